//! The schema is made when asked for, checked before the first use, and never guessed at.

use std::path::Path;

use factum_core::retention::Retention;
use factum_core::store::{Append, ReadAll, ReadStream};
use factum_core::transfer::{Transfer, export, import};
use factum_core::{
    AppendError, Checkpoints, EventId, EventStore, Expected, NewEvent, Position, StoreErrorKind, StreamId,
    Transactional, Version,
};
use factum_sqlite::SqliteStore;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Executor, SqlSafeStr};
use tempfile::TempDir;

use crate::support::{event, everything, execute, file, one, ready, stranger};

/// The last migration in the folder.
const NEEDED: i64 = 9;

/// Why an append does not happen.
async fn refusal(store: &SqliteStore) -> StoreErrorKind {
    match store.append(one("a")).await {
        Err(AppendError::Store(error)) => error.kind().clone(),
        other => panic!("a refusal, not {other:?}"),
    }
}

/// What `sqlx migrate run` does in the folder of the crate.
async fn run_folder(connection: &mut SqliteConnection, target: Option<i64>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut migrator = Migrator::new(folder).await.expect("reads the folder");
    migrator.dangerous_set_table_name("_factum_migrations");
    match target {
        Some(target) => migrator.run_to(target, connection).await,
        None => migrator.run(connection).await,
    }
    .expect("migrates");
}

/// The definitions of all tables and indexes.
async fn schema(connection: &mut SqliteConnection) -> Vec<(String, Option<String>)> {
    sqlx::query_as("SELECT name, sql FROM sqlite_schema ORDER BY name")
        .fetch_all(connection)
        .await
        .expect("reads")
}

#[tokio::test]
async fn connecting_makes_no_tables_and_using_says_what_is_missing() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::connect(file(&dir)).await.expect("opens");
    let missing = StoreErrorKind::NotMigrated { found: None, needed: NEEDED };
    let read = ReadAll::after(Position::START).limit(1);

    assert_eq!(refusal(&store).await, missing);
    assert_eq!(store.read_all(read).await.expect_err("no tables").kind(), &missing);
    assert_eq!(store.checkpoint("mails").await.expect_err("no tables").kind(), &missing);
    assert_eq!(store.wait(Position::START).await.expect_err("no tables").kind(), &missing);
    let tx = store.begin().await.expect("needs no table");
    let error = store
        .commit_with_checkpoint(tx, "mails", Position(0).into(), Position(1).into())
        .await
        .expect_err("no tables");
    assert_eq!(error.kind(), &missing);
    assert_eq!(schema(&mut stranger(&file(&dir)).await).await, []);

    store.migrate().await.expect("migrates");
    store.append(one("a")).await.expect("appends");
}

#[tokio::test]
async fn an_old_database_is_refused_until_it_is_migrated() {
    let dir = tempfile::tempdir().expect("a folder");
    run_folder(&mut stranger(&file(&dir)).await, Some(1)).await;
    let store = SqliteStore::connect(file(&dir)).await.expect("opens");

    assert_eq!(refusal(&store).await, StoreErrorKind::NotMigrated { found: Some(1), needed: NEEDED });
    store.migrate().await.expect("migrates");
    store.append(one("a")).await.expect("appends");
}

#[tokio::test]
async fn a_newer_database_is_refused() {
    let (store, dir) = ready().await;
    execute(&store, "INSERT INTO _factum_migrations VALUES (99, 'later', 0, TRUE, x'00', 0)").await;
    store.close().await;

    let store = SqliteStore::connect(file(&dir)).await.expect("opens");
    let newer = StoreErrorKind::NewerThanProgram { found: 99, known: NEEDED };
    assert_eq!(refusal(&store).await, newer);
    assert_eq!(store.migrate().await.expect_err("newer").kind(), &newer);
}

#[tokio::test]
async fn the_folder_and_the_program_make_the_same_schema() {
    let (store, dir) = ready().await;
    let by_folder = tempfile::tempdir().expect("a folder");
    let mut connection = stranger(&file(&by_folder)).await;
    run_folder(&mut connection, None).await;

    let by_program = schema(&mut stranger(&file(&dir)).await).await;
    assert!(by_program.iter().any(|(name, _)| name == "factum_events"));
    assert_eq!(schema(&mut connection).await, by_program);

    // Each takes over from the other, checksums included.
    run_folder(&mut stranger(&file(&dir)).await, None).await;
    store.append(one("a")).await.expect("appends");
    let other = SqliteStore::connect(file(&by_folder)).await.expect("opens");
    other.append(one("a")).await.expect("appends");
    other.migrate().await.expect("has nothing to do");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_open_and_migrate_a_new_file_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let path = file(&dir);
            tokio::spawn(async move {
                let store = SqliteStore::connect(path).await.expect("opens");
                store.migrate().await.expect("migrates");
                store.append(one("a")).await.expect("appends");
                store
            })
        })
        .collect();
    let mut store = None;
    for task in tasks {
        store = Some(task.await.expect("no panic"));
    }
    assert_eq!(everything(&store.expect("there are 8")).await.len(), 8);
}

#[tokio::test]
async fn tables_that_are_lost_on_the_way_are_told() {
    let (store, _dir) = ready().await;
    store.append(one("a")).await.expect("appends");
    execute(&store, "DROP TABLE factum_events; DROP TABLE factum_checkpoints; DROP TABLE _factum_migrations")
        .await;

    let missing = StoreErrorKind::NotMigrated { found: None, needed: NEEDED };
    let read = ReadAll::after(Position::START).limit(1);
    assert_eq!(refusal(&store).await, missing);
    assert_eq!(store.read_all(read).await.expect_err("no table").kind(), &missing);
    let error =
        store.move_checkpoint("mails", Position(0).into(), Position(1).into()).await.expect_err("no table");
    assert_eq!(error.kind(), &missing);
}

#[tokio::test]
async fn the_applications_own_migrations_live_beside_ours() {
    let (store, _dir) = ready().await;
    let sql = "CREATE TABLE orders (id TEXT PRIMARY KEY)".into_sql_str();
    let own = Migrator::with_migrations(vec![Migration::new(
        1,
        "orders".into(),
        MigrationType::Simple,
        sql,
        false,
    )]);

    let mut tx = store.begin().await.expect("begins");
    own.run(&mut *tx).await.expect("migrates");
    tx.execute("INSERT INTO orders VALUES ('42')").await.expect("writes");
    tx.commit().await.expect("commits");

    let orders: i64 =
        sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(store.pool()).await.expect("reads");
    assert_eq!(orders, 1);
    store.migrate().await.expect("has nothing to do");
    store.append(one("a")).await.expect("appends");
}

/// A store over a database as an older program left it: a frozen copy, which is never changed.
async fn old_store(dir: &TempDir, schema: &'static str) -> SqliteStore {
    std::fs::File::create(file(dir)).expect("a file");
    sqlx::raw_sql(schema).execute(&mut stranger(&file(dir)).await).await.expect("loads");
    SqliteStore::connect(file(dir)).await.expect("opens")
}

#[tokio::test]
async fn what_an_older_program_has_recorded_is_read_and_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = old_store(&dir, include_str!("../schemas/0002.sql")).await;
    let old = StoreErrorKind::NotMigrated { found: Some(2), needed: NEEDED };
    assert_eq!(refusal(&store).await, old);
    store.migrate().await.expect("migrates");

    let events = everything(&store).await;
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
    let next = Append::to("order/1".parse().expect("a stream"), Expected::Exactly(Version(3)), vec![event()]);
    assert_eq!(store.append(next).await.expect("appends").position, Position(9));
    let again = NewEvent { id: events[0].id, ..event() };
    let reused =
        store.append(Append::to("order/9".parse().expect("a stream"), Expected::Any, vec![again])).await;
    assert!(matches!(reused, Err(AppendError::IdReused(_))), "{reused:?}");
    store.close().await;
}

#[tokio::test]
async fn what_an_older_program_has_set_apart_stays_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = old_store(&dir, include_str!("../schemas/0003.sql")).await;
    assert_eq!(refusal(&store).await, StoreErrorKind::NotMigrated { found: Some(3), needed: NEEDED });
    store.migrate().await.expect("migrates");

    let order = |id: &str| StreamId::new("order", id).expect("a name");
    let whole = async |id: &str| {
        let page = store.read_stream(ReadStream::new(order(id))).await.expect("reads");
        let facts = page.events.into_iter().map(|event| (event.version.0, event.name.as_str().to_owned()));
        facts.collect::<Vec<_>>()
    };
    let named = |facts: &[(u64, &str)]| {
        facts.iter().map(|&(version, name)| (version, name.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(whole("3").await, named(&[(2, "factum.truncated"), (3, "order.shipped")]));
    assert_eq!(whole("4").await, named(&[(3, "factum.archived")]));
    assert_eq!(whole("5").await, named(&[(3, "factum.deleted")]));
    let restored =
        [(1, "order.placed"), (2, "order.shipped"), (3, "factum.archived"), (4, "factum.restored")];
    assert_eq!(whole("6").await, named(&restored));
    for (read, versions) in
        [(ReadStream::new(order("4")), [1, 2]), (ReadStream::new(order("4")).before(Version::END), [2, 1])]
    {
        let archived = store.read_archived(read).await.expect("reads").events;
        assert_eq!(archived.iter().map(|event| event.version.0).collect::<Vec<_>>(), versions);
    }
    let spend = store.checkpoint("spend").await.expect("is of this log");
    assert_eq!(spend.position, Position(17));

    // A copy of it is the same, so it is a log; and it has seen none of the changes that are counted from now on.
    let (mut exported, mut again) = (Vec::new(), Vec::new());
    assert_eq!(export(&store, &mut exported).await.expect("exports"), 18);
    let (copy, _folder) = ready().await;
    import(&copy, &exported[..]).await.expect("imports");
    export(&copy, &mut again).await.expect("exports");
    assert_eq!(again.escape_ascii().to_string(), exported.escape_ascii().to_string());
    assert_eq!(store.changes().await.expect("counts"), 0);

    // The ids of what was erased are known, and what was archived comes back.
    let erased = EventId("00190000-0000-0700-0800-000000000009".parse().expect("an id"));
    let reused = Append::to(order("9"), Expected::Any, vec![NewEvent { id: erased, ..event() }]);
    let reused = store.append(reused).await;
    assert!(matches!(reused, Err(AppendError::IdReused(_))), "{reused:?}");
    assert!(matches!(store.append(one_of(order("5"))).await, Err(AppendError::Closed(_))));
    assert_eq!(store.restore_stream(&order("4")).await.expect("is archived").position, Position(22));
    assert_eq!(whole("4").await.len(), 4);
    assert_eq!(store.changes().await.expect("counts"), 1);
}

fn one_of(stream: StreamId) -> Append {
    Append::to(stream, Expected::Any, vec![event()])
}
