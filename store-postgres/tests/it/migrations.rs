//! Migrations: who applies them, and what a store says of tables that are not its own.

use std::process::Command;

use factum_core::retention::Retention;
use factum_core::store::{Append, ReadAll, ReadCategory, ReadStream};
use factum_core::{
    AppendError, Checkpoint, Checkpoints, EventId, EventStore, Expected, NewEvent, Position, RecordedEvent,
    StoreError, StoreErrorKind, Transactional, Version,
};
use factum_postgres::PostgresStore;
use factum_testkit::Database;
use sqlx::PgConnection;

use crate::given::{
    ALL_IS_QUIET, PATIENCE, all_events, database, empty_database, event, events_of, kind_of, last_migration,
    migrations, one, run, store, stranger, stream, until,
};

/// What every kind of call says.
async fn refusals(store: &PostgresStore) -> Vec<StoreErrorKind> {
    let read_stream = ReadStream::new(stream("1")).limit(1);
    let read_all = ReadAll::after(Position::START).limit(1);
    let (from, to) = (Position::START, Position(1));
    let kind = |error: StoreError| error.kind().clone();
    vec![
        kind_of(store.append(one("1", Expected::Any)).await),
        store.read_stream(read_stream).await.map_err(kind).expect_err("refused"),
        store.read_all(read_all).await.map_err(kind).expect_err("refused"),
        store.find_event(EventId::new()).await.map_err(kind).expect_err("refused"),
        store.read_category(ReadCategory::new("order")).await.map_err(kind).expect_err("refused"),
        store.wait(Position::START).await.map_err(kind).expect_err("refused"),
        store.checkpoint("s").await.map_err(kind).expect_err("refused"),
        store.move_checkpoint("s", from.into(), to.into()).await.map_err(kind).expect_err("refused"),
        store.begin().await.map(drop).map_err(kind).expect_err("refused"),
    ]
}

async fn tables(connection: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar("SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        .fetch_all(connection)
        .await
        .expect("the catalog is readable")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_tables_is_refused_and_left_alone() {
    let database = empty_database().await;
    let store = store(&database).await;
    for kind in refusals(&store).await {
        assert_eq!(kind, StoreErrorKind::NotMigrated { found: None, needed: last_migration().await });
    }
    assert_eq!(tables(&mut stranger(&database).await).await, [""; 0]);

    store.migrate().await.expect("migrates");
    store.append(one("1", Expected::NoStream)).await.expect("appends after the migration");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_database_is_refused_and_brought_up() {
    let database = empty_database().await;
    migrations().await.run_to(1, &mut stranger(&database).await).await.expect("migrates half the way");
    let store = store(&database).await;
    for kind in refusals(&store).await {
        assert_eq!(kind, StoreErrorKind::NotMigrated { found: Some(1), needed: last_migration().await });
    }
    store.migrate().await.expect("does the rest");
    store.append(one("1", Expected::NoStream)).await.expect("appends");
}

/// `tests/schemas` has a database as an older program left it: a frozen copy, which is never changed.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_program_has_recorded_is_read_and_goes_on() {
    let database = empty_database().await;
    run(&mut stranger(&database).await, include_str!("../schemas/0002.sql")).await;
    let store = store(&database).await;
    for kind in refusals(&store).await {
        assert_eq!(kind, StoreErrorKind::NotMigrated { found: Some(2), needed: last_migration().await });
    }
    store.migrate().await.expect("does the rest");

    let events = all_events(&store).await;
    let facts: Vec<_> =
        events.iter().map(|event| (event.position.0, event.stream.as_str(), event.version.0)).collect();
    let wanted =
        [(1, "order/1", 1), (2, "order/2", 1), (6, "order/1", 2), (7, "cart/a/b", 1), (8, "order/1", 3)];
    assert_eq!(facts, wanted);
    assert_eq!(&events[3].payload[..], b"\xff\x00\xfe");
    assert_eq!(events[1].metadata.fields["source"], "ü");
    assert_eq!(store.find_event(events[2].id).await.expect("reads").as_ref(), Some(&events[2]));

    // Checkpoints of then know no event, and get one when they move.
    let mails = store.checkpoint("mails").await.expect("reads");
    assert_eq!((mails.position, mails.event_id), (Position(6), None));
    store.move_checkpoint("mails", mails, Position(8).into()).await.expect("it was there");
    assert_eq!(store.checkpoint("mails").await.expect("reads").event_id, Some(events[4].id));

    // It goes on after the last position, and knows the ids.
    let appended = store.append(one("1", Expected::Exactly(Version(3)))).await.expect("appends");
    assert_eq!(appended.position, Position(9));
    let again = NewEvent { id: events[0].id, ..event() };
    let reused = store.append(Append::to(stream("9"), Expected::Any, vec![again])).await;
    assert!(matches!(reused, Err(AppendError::IdReused(_))), "{reused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_program_has_set_apart_stays_apart() {
    let database = empty_database().await;
    run(&mut stranger(&database).await, include_str!("../schemas/0004.sql")).await;
    let store = store(&database).await;
    for kind in refusals(&store).await {
        assert_eq!(kind, StoreErrorKind::NotMigrated { found: Some(4), needed: last_migration().await });
    }
    store.migrate().await.expect("does the rest");

    let events = all_events(&store).await;
    let facts: Vec<_> = events.iter().map(|event| (event.position.0, event.name.as_str())).collect();
    let wanted = [
        (1, "order.placed"),
        (4, "factum.truncated"),
        (5, "order.shipped"),
        (9, "order.placed"),
        (10, "order.shipped"),
        (11, "order.placed"),
        (12, "cart.filled"),
        (13, "factum.deleted"),
        (14, "factum.archived"),
        (15, "factum.archived"),
        (16, "factum.restored"),
        (17, "order.shipped"),
    ];
    assert_eq!(facts, wanted);

    // A truncated stream begins where it was cut, and goes on.
    let versions =
        |events: Vec<RecordedEvent>| events.iter().map(|event| event.version.0).collect::<Vec<_>>();
    assert_eq!(versions(events_of(&store, "cut").await), [3, 4]);
    let appended = store.append(one("cut", Expected::Exactly(Version(4)))).await.expect("appends");
    assert_eq!((appended.version(), appended.position), (Version(5), Position(18)));
    // What was deleted or archived takes nothing, and what was erased keeps its ids.
    for id in ["erased", "apart"] {
        let refused = store.append(one(id, Expected::Any)).await;
        assert!(matches!(refused, Err(AppendError::Closed(_))), "{refused:?}");
    }
    let erased = EventId("01910000-0000-7000-8000-000000000007".parse().expect("an id"));
    assert_eq!(store.find_event(erased).await.expect("reads"), None);
    let again = NewEvent { id: erased, ..event() };
    let reused = store.append(Append::to(stream("9"), Expected::Any, vec![again])).await;
    assert!(matches!(reused, Err(AppendError::IdReused(_))), "{reused:?}");
    // What was archived comes back whole.
    let archived = store.read_archived(ReadStream::new(stream("apart"))).await.expect("reads").events;
    assert_eq!(archived, events[3..5]);
    store.restore_stream(&stream("apart")).await.expect("restores");
    assert_eq!(versions(events_of(&store, "apart").await), [1, 2, 3, 4]);
    store.delete_stream(&stream("back"), Expected::Exactly(Version(3))).await.expect("deletes");

    let spend = store.checkpoint("spend").await.expect("reads");
    assert_eq!((spend.position, spend.event_id), (Position(10), Some(events[4].id)));
    store.move_checkpoint("spend", spend, Checkpoint::from(&events[7])).await.expect("is of this log");
}

#[tokio::test(flavor = "multi_thread")]
async fn from_whatever_version_it_is_migrated_a_database_becomes_the_same() {
    let new = dump(&database().await).await;
    for old in [include_str!("../schemas/0002.sql"), include_str!("../schemas/0004.sql")] {
        let database = empty_database().await;
        run(&mut stranger(&database).await, old).await;
        store(&database).await.migrate().await.expect("does the rest");
        assert_eq!(dump(&database).await, new);
        let checksums = applied(&database).await;
        assert_eq!(checksums.len(), migrations().await.iter().count());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_database_is_refused() {
    let database = database().await;
    let newer = "INSERT INTO _factum_migrations (version, description, success, checksum, execution_time)
                 VALUES (9000, 'of a later program', true, '', 0)";
    run(&mut stranger(&database).await, newer).await;
    let store = store(&database).await;
    let mut kinds = refusals(&store).await;
    kinds.push(store.migrate().await.expect_err("refused").kind().clone());
    for kind in kinds {
        assert_eq!(kind, StoreErrorKind::NewerThanProgram { found: 9000, known: last_migration().await });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_vanish_are_reported_as_missing() {
    let database = database().await;
    let store = store(&database).await;
    store.append(one("1", Expected::Any)).await.expect("appends");
    run(&mut stranger(&database).await, "DROP TABLE factum_events CASCADE").await;
    let kind = kind_of(store.append(one("1", Expected::Any)).await);
    assert_eq!(kind, StoreErrorKind::NotMigrated { found: None, needed: last_migration().await });
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_may_migrate_at_once() {
    let database = empty_database().await;
    let mut tasks = Vec::new();
    for _ in 0..6 {
        let store = store(&database).await;
        tasks.push(tokio::spawn(async move {
            store.migrate().await?;
            store.migrate().await?;
            store.close().await;
            Ok::<_, StoreError>(())
        }));
    }
    for task in tasks {
        tokio::time::timeout(PATIENCE, task).await.expect("in time").expect("no panic").expect("migrates");
    }
    until(&mut stranger(&database).await, ALL_IS_QUIET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_fails_locks_nobody_out() {
    let database = empty_database().await;
    let mut stranger = stranger(&database).await;
    run(&mut stranger, "CREATE TABLE factum_checkpoints ()").await;
    let store = store(&database).await;
    store.migrate().await.expect_err("the table is there, and is another one");
    run(&mut stranger, "DROP TABLE factum_checkpoints").await;
    let again = PostgresStore::connect(database.url()).await.expect("connects");
    tokio::time::timeout(PATIENCE, again.migrate()).await.expect("is not locked out").expect("migrates");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_and_sqlx_migrate_alike() {
    let (ours, theirs) = (empty_database().await, empty_database().await);
    let store_of_ours = store(&ours).await;
    store_of_ours.migrate().await.expect("migrates");
    migrations().await.run(&mut stranger(&theirs).await).await.expect("sqlx migrates");
    assert_eq!(dump(&ours).await, dump(&theirs).await);
    assert_eq!(applied(&ours).await, applied(&theirs).await);

    // Each takes the other's work for its own.
    migrations().await.run(&mut stranger(&ours).await).await.expect("nothing is left to do");
    store(&theirs).await.migrate().await.expect("nothing is left to do");
    store(&theirs).await.append(one("1", Expected::Any)).await.expect("appends");

    // And so does the tool that people use, where it is installed.
    let tools = empty_database().await;
    let tool = Command::new("sqlx")
        .args(["migrate", "run"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("FACTUM_DATABASE_URL", tools.url())
        .output();
    match tool {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        tool => {
            let tool = tool.expect("the tool runs");
            assert!(tool.status.success(), "{}", String::from_utf8_lossy(&tool.stderr));
            assert_eq!(dump(&ours).await, dump(&tools).await);
            assert_eq!(applied(&ours).await, applied(&tools).await);
        }
    }
}

#[tokio::test]
async fn schema_sql_is_what_the_migrations_add_up_to() {
    let (migrated, from_file) = (database().await, empty_database().await);
    let mut connection = stranger(&from_file).await;
    run(&mut connection, include_str!("../../schema.sql")).await;
    let of_factum = |lines: Vec<String>| -> Vec<String> {
        lines.into_iter().filter(|line| !line.contains("_factum_migrations")).collect()
    };
    let (migrated, from_file) = (of_factum(dump(&migrated).await), of_factum(dump(&from_file).await));
    assert!(migrated.len() > 30, "too little to compare: {migrated:#?}");
    let missing = |here: &[String], there: &[String]| -> Vec<String> {
        here.iter().filter(|line| !there.contains(line)).cloned().collect()
    };
    assert_eq!(missing(&migrated, &from_file), [""; 0], "is not in the file");
    assert_eq!(missing(&from_file, &migrated), [""; 0], "is in the file only");
    assert_eq!(migrated, from_file);
}

async fn applied(database: &Database) -> Vec<(i64, String, Vec<u8>)> {
    sqlx::query_as(
        "SELECT version, description, checksum FROM _factum_migrations WHERE success ORDER BY version",
    )
    .fetch_all(&mut stranger(database).await)
    .await
    .expect("the table is there")
}

/// The tables and what belongs to them, a line for each thing, from the catalog.
async fn dump(database: &Database) -> Vec<String> {
    let queries = [
        // Relations, with their settings.
        "SELECT format('%s %s %s %s', relkind, oid::regclass, relpersistence, reloptions)
         FROM pg_class WHERE relnamespace = 'public'::regnamespace",
        // Columns.
        "SELECT format('column %s.%s #%s %s not null %s default %s collation %s storage %s',
                       attrelid::regclass, attname, attnum, format_type(atttypid, atttypmod), attnotnull,
                       pg_get_expr(adbin, adrelid), attcollation::regcollation, attstorage)
         FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
         WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'v')",
        "SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
         FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
        "SELECT format('index %s', pg_get_indexdef(indexrelid))
         FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relnamespace = 'public'::regnamespace",
        "SELECT format('sequence %s %s from %s by %s in %s to %s cache %s cycle %s owner %s', seqrelid::regclass,
                       seqtypid::regtype, seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle,
                       (SELECT format('%s #%s', refobjid::regclass, refobjsubid) FROM pg_depend
                        WHERE objid = seqrelid AND deptype = 'a'))
         FROM pg_sequence",
        "SELECT format('view %s %s', viewname, definition) FROM pg_views WHERE schemaname = 'public'",
        "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
        "SELECT format('trigger %s', pg_get_triggerdef(oid)) FROM pg_trigger WHERE NOT tgisinternal",
        "SELECT format('comment %s %s', objoid::regclass, description) FROM pg_description
         JOIN pg_class ON pg_class.oid = objoid WHERE relnamespace = 'public'::regnamespace",
    ];
    let mut connection = stranger(database).await;
    let mut lines: Vec<String> = Vec::new();
    for query in queries {
        let found: Vec<String> = sqlx::query_scalar(query)
            .fetch_all(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{query}: {error}"));
        lines.extend(found);
    }
    lines.sort();
    lines
}
