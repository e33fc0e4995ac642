//! Every statement on the hot path finds its rows by an index: in an empty database, since a connection may go on using
//! the plan when the tables are large, and in a full one.

use factum_core::store::{Append, ReadStream};
use factum_core::{Expected, Transactional, Version};
use factum_postgres::PostgresStore;
use factum_testkit::Database;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use crate::given::{ask, database, event, one, run, stranger, stream};

/// A statement in `src/sql`, and the types of its parameters.
macro_rules! statement {
    ($name:literal, $types:literal) => {
        ($name, include_str!(concat!("../../src/sql/", $name, ".sql")), $types)
    };
}

/// A statement, how it is called, and the types of its parameters.
type Statement = (&'static str, &'static str, &'static str);

const LOOK_UP: Statement = statement!("look_up", "text[], text[]");
const APPEND_ONE: Statement =
    statement!("append_one", "integer, integer, text, text, bigint, uuid, text, integer, text, bytea, text");
const PLACES: Statement = statement!("places", "uuid[]");
const READ_STREAM: Statement = statement!("read_stream", "text, text, bigint, bigint");
const READ_STREAMS: Statement = statement!("read_streams", "text[], text[], bigint");
const READ_STREAM_BACK: Statement = statement!("read_stream_back", "text, text, bigint, bigint");
const READ_ARCHIVED: Statement = statement!("read_archived", "text, text, bigint, bigint");
const READ_ARCHIVED_BACK: Statement = statement!("read_archived_back", "text, text, bigint, bigint");
const READ_RECORDS: Statement = statement!("read_records", "bigint, bigint, bigint");
const READ_FROM: Statement =
    statement!("read_from", "text, text, bigint, uuid, integer, bigint, bigint, uuid, bigint");
const DELETE_SNAPSHOTS: Statement = statement!("delete_snapshots", "text, text");
const FIND_EVENT: Statement = statement!("find_event", "uuid");
const READ_CATEGORY: Statement = statement!("read_category", "text, text, bigint");
const HEAD: Statement = statement!("head", "bigint");
const NEXT: Statement = statement!("next", "bigint, bigint");
const READ_ALL: Statement =
    statement!("read_all", "bigint, bigint, bigint, text[], text[], text[], text[], text, bigint, boolean");
const CHECKPOINT: Statement = statement!("checkpoint", "text, integer");
const MOVE_CHECKPOINT: Statement =
    statement!("move_checkpoint", "text, bigint, uuid, bigint, uuid, integer, integer, bigint");

/// The plan that serves whatever the parameters are, line by line.
async fn plan(connection: &mut PgConnection, (name, sql, types): Statement) -> Vec<String> {
    run(connection, "SET plan_cache_mode = force_generic_plan; DEALLOCATE ALL").await;
    let prepare = format!("PREPARE {name} ({types}) AS\n{sql}");
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *connection).await.expect("is one statement");
    let nulls = types.split(", ").map(|_| "NULL").collect::<Vec<_>>().join(", ");
    explain(connection, &format!("EXECUTE {name} ({nulls})")).await
}

async fn explain(connection: &mut PgConnection, statement: &str) -> Vec<String> {
    let explain = AssertSqlSafe(format!("EXPLAIN (COSTS OFF) {statement}"));
    let lines = sqlx::raw_sql(explain).fetch_all(connection).await.expect("explains");
    lines.iter().map(|line| line.get(0)).collect()
}

/// Enough for an index to pay, in each table.
async fn fill(connection: &mut PgConnection) {
    let rows = "INSERT INTO factum_events (position, event_id, category, stream, version, name, schema_version, codec,
                                           payload, metadata, recorded_at)
                SELECT nextval('factum_position'), gen_random_uuid(), 'customer', n % 1000, 1 + n / 1000, 'tested', 1,
                       'json', '{}', '{}', now()
                FROM generate_series(0, 99999) AS n;
                INSERT INTO factum_archive (position, event_id, category, stream, version, recorded_at)
                SELECT nextval('factum_position'), gen_random_uuid(), 'parcel', n % 1000, 1 + n / 1000, now()
                FROM generate_series(0, 19999) AS n;
                INSERT INTO factum_archive (position, event_id, category, stream, version, name, schema_version, codec, payload,
                                            metadata, recorded_at)
                SELECT nextval('factum_position'), gen_random_uuid(), 'letter', n % 1000, 1 + n / 1000, 'tested', 1, 'json', '{}',
                       '{}', now()
                FROM generate_series(0, 19999) AS n;
                INSERT INTO factum_snapshots (category, stream, shape, version, position, event_id, begins, codec, checksum, state)
                SELECT 'customer', n, 1, 1, 1, gen_random_uuid(), 0, 'json', 0, '{}'
                FROM generate_series(0, 19999) AS n;
                INSERT INTO factum_checkpoints (subscription, position) SELECT n, 1 FROM generate_series(1, 2000) AS n";
    run(connection, rows).await;
}

/// That each table of ours is looked into by an index, and by a condition on it, or for the first of its rows alone.
fn assert_indexed(plan: &[String], name: &str) {
    let whole = plan.join("\n");
    for (at, line) in plan.iter().enumerate() {
        // A sequence has one row.
        let is_ours = line.contains(" on factum_") && line.contains("Scan") && !line.contains("factum_alone");
        let has_condition = plan.get(at + 1).is_some_and(|next| next.contains(" Cond: "));
        let is_for_one = line.contains("Index") && at > 0 && plan[at - 1].ends_with("Limit");
        let is_indexed = !line.contains("Seq Scan") && (has_condition || is_for_one);
        assert!(!is_ours || is_indexed, "{name}: {line}\n{whole}");
    }
}

async fn assert_all_indexed(database: &Database, statements: &[Statement]) {
    let mut connection = stranger(database).await;
    for &statement in statements {
        assert_indexed(&plan(&mut connection, statement).await, statement.0);
    }
    fill(&mut connection).await;
    run(&mut connection, "ANALYZE").await;
    for &statement in statements {
        assert_indexed(&plan(&mut connection, statement).await, statement.0);
    }
}

#[tokio::test]
async fn streams_and_events_are_found_by_an_index() {
    let statements = [READ_STREAM, READ_STREAMS, READ_STREAM_BACK, FIND_EVENT, READ_CATEGORY];
    assert_all_indexed(&database().await, &statements).await;
}

#[tokio::test]
async fn snapshots_and_what_they_stand_on_are_found_by_an_index() {
    assert_all_indexed(&database().await, &[READ_FROM, DELETE_SNAPSHOTS]).await;
}

#[tokio::test]
async fn what_is_archived_is_found_by_an_index() {
    let statements = [READ_ARCHIVED, READ_ARCHIVED_BACK, READ_RECORDS];
    assert_all_indexed(&database().await, &statements).await;
}

#[tokio::test]
async fn the_end_of_the_log_is_found_by_an_index() {
    let database = database().await;
    let mut connection = stranger(&database).await;
    let body: String = ask(&mut connection, "SELECT prosrc FROM pg_proc WHERE proname = 'factum_head'").await;
    let body = body.replace("BEGIN", "").replace("RETURN", "SELECT").replace("END", "").replace(';', "");
    for is_full in [false, true] {
        if is_full {
            fill(&mut connection).await;
            run(&mut connection, "ANALYZE").await;
        }
        let plan = explain(&mut connection, &body).await;
        assert_eq!(plan.iter().filter(|line| line.contains("Scan Backward using factum_")).count(), 2);
        assert_indexed(&plan, "factum_head");
    }
}

#[tokio::test]
async fn a_stream_is_read_in_the_order_of_the_index() {
    let database = database().await;
    let mut connection = stranger(&database).await;
    for is_full in [false, true] {
        if is_full {
            fill(&mut connection).await;
            run(&mut connection, "ANALYZE").await;
        }
        for (statement, table, direction, comparison) in [
            (READ_STREAM, "factum_events", "", ">"),
            (READ_STREAM_BACK, "factum_events", " Backward", "<"),
            (READ_ARCHIVED, "factum_archive", "", ">"),
            (READ_ARCHIVED_BACK, "factum_archive", " Backward", "<"),
        ] {
            let plan = plan(&mut connection, statement).await;
            let plan: Vec<_> = plan.iter().map(|line| line.trim()).collect();
            let scan = format!("->  Index Scan{direction} using {table}_stream_version_key on {table}");
            let condition =
                format!("Index Cond: ((category = $1) AND (stream = $2) AND (version {comparison} $3))");
            assert_eq!(plan[..3], ["Limit", &scan, &condition]);
            // The archive has rows without content, too, and there are none to be read.
            let rest: &[&str] = if table == "factum_archive" { &["Filter: (name IS NOT NULL)"] } else { &[] };
            assert_eq!(plan[3..], *rest);
        }
    }
}

#[tokio::test]
async fn the_feed_is_read_by_an_index() {
    assert_all_indexed(&database().await, &[READ_ALL]).await;
}

/// How many events the transactions of this session have read, that are not told to the server yet.
async fn rows_read(connection: &mut PgConnection) -> i64 {
    let rows = "SELECT sum(seq_tup_read + idx_tup_fetch)::bigint FROM pg_stat_xact_user_tables
                WHERE relname IN ('factum_events', 'factum_archive')";
    ask(connection, rows).await
}

#[tokio::test]
async fn what_a_tenant_has_is_found_by_an_index() {
    let database = database().await;
    let mut connection = stranger(&database).await;
    fill(&mut connection).await;
    let others = "INSERT INTO factum_events (position, event_id, category, stream, version, name, schema_version, codec,
                                             payload, metadata, recorded_at)
                  SELECT nextval('factum_position'), gen_random_uuid(), 't' || n % 500 || '~order', n, 1, 'tested', 1,
                         'json', '{}', '{}', now()
                  FROM generate_series(1, 20000) AS n";
    run(&mut connection, others).await;
    for is_known in [false, true] {
        if is_known {
            run(&mut connection, "ANALYZE").await;
        }
        for question in [
            "SELECT count(*) FROM factum_of_tenant('t7', 't7~', 0, 1000000, 1000)",
            r#"SELECT count(*) FROM factum_matching('[{"names": [], "tags": [], "tenant": "t7", "prefix": "t7~"}]', 0, 1000)"#,
        ] {
            run(&mut connection, "BEGIN").await;
            let before = rows_read(&mut connection).await;
            let found: i64 = ask(&mut connection, question).await;
            let looks = rows_read(&mut connection).await - before;
            run(&mut connection, "COMMIT").await;
            assert_eq!((found, looks), (40, 40), "{question} looks at nobody else's events");
        }
    }
}

#[tokio::test]
async fn the_end_of_the_feed_is_found_by_an_index() {
    assert_all_indexed(&database().await, &[HEAD, NEXT]).await;
}

#[tokio::test]
async fn checkpoints_are_found_by_an_index() {
    assert_all_indexed(&database().await, &[CHECKPOINT, MOVE_CHECKPOINT]).await;
}

#[tokio::test]
async fn what_an_append_looks_up_is_found_by_an_index() {
    assert_all_indexed(&database().await, &[LOOK_UP, PLACES, APPEND_ONE]).await;
}

/// How often this transaction has read a table of ours from end to end, and how often by an index.
const SCANS: &str = "SELECT sum(seq_scan)::bigint, sum(idx_scan)::bigint FROM pg_stat_xact_user_tables
                     WHERE relname IN ('factum_events', 'factum_archive', 'factum_snapshots')";

async fn scans(tx: &mut PgConnection) -> (i64, i64) {
    sqlx::query_as(SCANS).fetch_one(tx).await.expect("counts")
}

/// Appends of every kind, often enough for the server to settle on a plan. Answers how often they have read a table from
/// end to end.
async fn append_often(store: &PostgresStore) -> i64 {
    let mut tx = store.begin().await.expect("begins");
    let before = scans(&mut tx).await;
    for _ in 0..10 {
        let page = store.read_stream_in(&mut tx, ReadStream::last(stream("1"))).await.expect("reads");
        let last = page.events.first().map_or(Version::NONE, |event| event.version);
        let next = one("1", Expected::Exactly(last));
        store.append_in(&mut tx, next.clone()).await.expect("appends");
        store.append_in(&mut tx, next).await.expect("is known");
        store.append_in(&mut tx, one("2", Expected::Any)).await.expect("appends");
        store.append_in(&mut tx, one("2", Expected::NoStream)).await.expect_err("a conflict");
        let many = Append::to(stream("3"), Expected::Any, std::iter::repeat_with(event).take(100).collect());
        store.append_in(&mut tx, many.clone()).await.expect("appends");
        let two = many.and(stream("4"), Expected::Any, vec![event()]);
        store.append_in(&mut tx, two).await.expect_err("is known in part");
        let two = one("3", Expected::Any).and(stream("4"), Expected::Any, vec![event()]);
        store.append_in(&mut tx, two).await.expect("appends");
    }
    let after = scans(&mut tx).await;
    assert!(after.1 > before.1 + 100);
    store.commit(tx).await.expect("commits");
    after.0 - before.0
}

/// Snapshots of every kind, as often. Answers the same.
async fn save_often(store: &PostgresStore) -> i64 {
    let mut tx = store.begin().await.expect("begins");
    let before = scans(&mut tx).await;
    let appended = store.append_in(&mut tx, one("1", Expected::Any)).await.expect("appends");
    let version = appended.versions()[0];
    let saved = "SELECT factum_save_snapshot(100, 'order', '1', $1, $2, 1, event_id, 0, 'json', 0, '{}')
                 FROM factum_events WHERE category = 'order' AND stream = '1' AND version = $3";
    for _ in 0..10 {
        for (shape, at) in [(1, version.0), (2, version.0), (3, version.0), (1, version.0 + 1)] {
            let [at, last] = [at, version.0].map(|number| i64::try_from(number).expect("small"));
            sqlx::query(saved).bind(shape).bind(at).bind(last).fetch_one(&mut *tx).await.expect("answers");
        }
    }
    let after = scans(&mut tx).await;
    assert!(after.1 > before.1 + 100);
    tx.rollback().await.expect("rolls back");
    after.0 - before.0
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_kept_without_reading_a_large_table_from_end_to_end() {
    let database = database().await;
    let builder = PostgresStore::builder().max_connections(1).notifications(false);
    let store = builder.connect(database.url()).await.expect("connects");
    save_often(&store).await;
    let mut stranger = stranger(&database).await;
    fill(&mut stranger).await;
    assert_eq!(save_often(&store).await, 0, "with the plans for empty tables");
    run(&mut stranger, "ANALYZE").await;
    assert_eq!(save_often(&store).await, 0, "with the plans for full ones");
}

/// Streams set apart in every way, as often. Answers the same.
async fn retain_often(store: &PostgresStore) -> i64 {
    let mut tx = store.begin().await.expect("begins");
    let before = scans(&mut tx).await;
    for round in 0..10 {
        let events = std::iter::repeat_with(event).take(5).collect();
        let id = format!("of round {round}");
        store.append_in(&mut tx, Append::to(stream(&id), Expected::Any, events)).await.expect("appends");
        for call in [
            "factum_truncate_and_forget(100, 'order', $1, 3)",
            "factum_close_and_forget(100, 'order', $1, -2, gen_random_uuid(), 'factum.archived')",
            "factum_restore(100, 'order', $1, gen_random_uuid())",
            "factum_close_and_forget(100, 'order', $1, -2, gen_random_uuid(), 'factum.archived')",
            // It erases what is archived, too.
            "factum_close_and_forget(100, 'order', $1, -2, gen_random_uuid(), 'factum.deleted')",
            "factum_restore(100, 'order', $1, gen_random_uuid())",
        ] {
            let call = AssertSqlSafe(format!("SELECT closed_by FROM {call}"));
            sqlx::query(call).bind(&id).fetch_one(&mut *tx).await.expect("answers");
        }
    }
    let after = scans(&mut tx).await;
    assert!(after.1 > before.1 + 100);
    // So that each turn finds the streams as the first one did.
    tx.rollback().await.expect("rolls back");
    after.0 - before.0
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_reads_no_large_table_from_end_to_end() {
    let database = database().await;
    let builder = PostgresStore::builder().max_connections(1).notifications(false);
    let store = builder.connect(database.url()).await.expect("connects");
    retain_often(&store).await;
    let mut stranger = stranger(&database).await;
    fill(&mut stranger).await;
    assert_eq!(retain_often(&store).await, 0, "with the plans for empty tables");
    run(&mut stranger, "ANALYZE").await;
    assert_eq!(retain_often(&store).await, 0, "with the plans for full ones");
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_read_no_large_table_from_end_to_end() {
    let database = database().await;
    // One connection, so that the plans of the empty tables meet the full ones.
    let builder = PostgresStore::builder().max_connections(1).notifications(false);
    let store = builder.connect(database.url()).await.expect("connects");
    append_often(&store).await;
    let mut stranger = stranger(&database).await;
    fill(&mut stranger).await;
    assert_eq!(append_often(&store).await, 0, "with the plans for empty tables");
    run(&mut stranger, "ANALYZE").await;
    assert_eq!(append_often(&store).await, 0, "with the plans for full ones");
}

/// Appends to new streams, one or two at a time. Answers how often they have read a table from end to end.
async fn begin_streams(store: &PostgresStore, numbers: std::ops::Range<u32>) -> i64 {
    let mut tx = store.begin().await.expect("begins");
    let before = scans(&mut tx).await;
    for number in numbers {
        let new = |letter| one(&format!("{letter}{number}"), Expected::NoStream);
        store.append_in(&mut tx, new('a')).await.expect("appends");
        let two = new('b').and(stream(&format!("c{number}")), Expected::NoStream, vec![event()]);
        store.append_in(&mut tx, two).await.expect("appends");
    }
    let after = scans(&mut tx).await;
    store.commit(tx).await.expect("commits");
    after.0 - before.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_for_a_small_table_reads_no_large_one_from_end_to_end() {
    let database = database().await;
    let builder = PostgresStore::builder().max_connections(1).notifications(false);
    let store = builder.connect(database.url()).await.expect("connects");
    begin_streams(&store, 0..20).await;
    let mut stranger = stranger(&database).await;
    // A table that is known to be small is read from end to end in less time than an index is.
    run(&mut stranger, "ANALYZE").await;
    begin_streams(&store, 20..30).await;
    fill(&mut stranger).await;
    assert_eq!(begin_streams(&store, 30..40).await, 0);
}
