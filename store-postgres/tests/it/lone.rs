//! Lone events in a long log, which a plain statement appends (`sql/append_one.sql`): the promises of every store once more, and
//! what such a statement has to know that is older than its locks.

use factum_conformance::conformance;
use factum_core::retention::Retention;
use factum_core::store::{Append, Condition, ReadMatching};
use factum_core::{
    EventId, EventQuery, EventStore, Expected, QueryItem, StoreErrorKind, Transactional, Version,
};
use factum_postgres::PostgresStore;
use factum_testkit::Database;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use tokio::task::JoinHandle;

use crate::fixture::{On, Tables};
use crate::given::{
    SOMEBODY_WAITS_FOR_THE_LOCK, event, events_of, kind_of, long_database, one, run, store, stranger, stream,
    take_the_lock, until,
};

/// A store that knows that its log is long.
async fn long_store(database: &Database) -> PostgresStore {
    let store = store(database).await;
    store.append(one("to begin with", Expected::Any)).await.expect("appends");
    store
}

/// Takes the function away that is to be asked where the plain statement has not appended.
async fn leave_the_plain_statement_alone(connection: &mut PgConnection) {
    run(
        connection,
        "DO 'BEGIN EXECUTE (SELECT format(''ALTER FUNCTION %s RENAME TO nobody_is_asked'', oid::regprocedure)
        FROM pg_proc WHERE proname = ''factum_append''); END'",
    )
    .await;
}

struct Long;

impl Tables for Long {
    async fn database() -> Database {
        long_database().await
    }
}

conformance!(On<Long>);

#[tokio::test(flavor = "multi_thread")]
async fn in_a_long_log_a_lone_event_needs_no_function() {
    let database = long_database().await;
    let store = long_store(&database).await;
    leave_the_plain_statement_alone(&mut stranger(&database).await).await;
    for expected in [Expected::NoStream, Expected::Exactly(Version(1)), Expected::Exists, Expected::Any] {
        store.append(one("1", expected)).await.expect("appends");
    }
    let versions: Vec<_> = events_of(&store, "1").await.iter().map(|event| event.version.0).collect();
    assert_eq!(versions, [1, 2, 3, 4]);
}

const PLAIN: &str = include_str!("../../src/sql/append_one.sql");

/// What the plain statement says to an event of `order/<id>`: the version that it has written.
async fn append_plainly(connection: &mut PgConnection, sql: String, id: &str, expected: i64) -> Option<i64> {
    let statement = sqlx::query(AssertSqlSafe(sql)).bind(20_000_i32).bind(7_i32).bind("order").bind(id);
    let statement = statement.bind(expected).bind(EventId::new().0).bind("tested").bind(1_i32).bind("json");
    let row = statement.bind(&b"{}"[..]).bind("{}").fetch_optional(connection).await.expect("answers");
    row.map(|row| row.get("version"))
}

/// The same, by a statement that has its snapshot, and then waits for the lock 42 before it does anything.
async fn append_plainly_after_a_pause(
    database: &Database,
    id: &'static str,
    expected: i64,
) -> JoinHandle<Option<i64>> {
    let begin = "SELECT CASE\n";
    assert_eq!(PLAIN.matches(begin).count(), 1);
    let pause = format!("{begin} WHEN pg_advisory_xact_lock_shared(42) IS NULL THEN false\n");
    let (sql, mut connection) = (PLAIN.replace(begin, &pause), stranger(database).await);
    tokio::spawn(async move { append_plainly(&mut connection, sql, id, expected).await })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_older_than_what_was_done_to_its_stream_appends_nothing() {
    for (is_done, version) in [(false, Some(3)), (true, None)] {
        let database = long_database().await;
        let store = long_store(&database).await;
        for _ in 0..2 {
            store.append(one("1", Expected::Any)).await.expect("appends");
        }
        let mut pausing = stranger(&database).await;
        run(&mut pausing, "BEGIN; SELECT pg_advisory_xact_lock(42)").await;
        let paused = append_plainly_after_a_pause(&database, "1", 2).await;
        until(&mut stranger(&database).await, SOMEBODY_WAITS_FOR_THE_LOCK).await;
        if is_done {
            // Its version 3 moves away with the others: no constraint keeps the place.
            store.archive_stream(&stream("1"), Expected::Any).await.expect("archives");
            store.restore_stream(&stream("1")).await.expect("restores");
            store.delete_stream(&stream("1"), Expected::Any).await.expect("deletes");
        }
        run(&mut pausing, "COMMIT").await;
        assert_eq!(paused.await.expect("no panic"), version, "done: {is_done}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_who_has_the_log_to_himself_is_appended_afterwards() {
    let database = long_database().await;
    let store = long_store(&database).await;
    let mut alone = stranger(&database).await;
    take_the_lock(&mut alone).await;
    let appending = tokio::spawn({
        let store = store.clone();
        async move { store.append(one("1", Expected::NoStream)).await }
    });
    until(&mut stranger(&database).await, SOMEBODY_WAITS_FOR_THE_LOCK).await;
    run(&mut alone, "COMMIT").await;
    assert_eq!(appending.await.expect("no panic").expect("appends").version(), Version(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_event_waits_for_a_decision_that_it_concerns() {
    let database = long_database().await;
    let (deciding, store) = (long_store(&database).await, long_store(&database).await);
    let query = EventQuery::of(QueryItem::named(event().name));
    let seen = store.read_matching(ReadMatching::new(query.clone())).await.expect("reads");
    let decision =
        one("1", Expected::NoStream).only_if(Condition::unchanged(query, seen.settled, &seen.events));
    let mut tx = deciding.begin().await.expect("begins");
    deciding.append_in(&mut tx, decision).await.expect("nothing came in between");
    let appending = tokio::spawn(async move { store.append(one("2", Expected::NoStream)).await });
    until(&mut stranger(&database).await, SOMEBODY_WAITS_FOR_THE_LOCK).await;
    let decided = deciding.commit(tx).await;
    decided.expect("commits");
    appending.await.expect("no panic").expect("appends");
    let [decided, appended] = ["1", "2"].map(async |id| events_of(&deciding, id).await[0].position);
    assert!(decided.await < appended.await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_an_archived_event_is_not_used_again() {
    let database = long_database().await;
    let store = long_store(&database).await;
    let event = event();
    let to = |id| Append::to(stream(id), Expected::NoStream, vec![event.clone()]);
    store.append(to("1")).await.expect("appends");
    store.archive_stream(&stream("1"), Expected::Any).await.expect("archives");
    store.append(to("2")).await.expect_err("is recorded in another stream");
    assert_eq!(events_of(&store, "2").await.len(), 0);
}

/// Such an id is greater than every one of this server, and would keep all from the plain statement.
#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_a_transaction_of_another_server_is_in_the_way_once() {
    let database = long_database().await;
    let store = long_store(&database).await;
    let mut stranger = stranger(&database).await;
    run(&mut stranger, "SELECT setval('factum_alone', 1::bigint << 60)").await;
    store.append(one("1", Expected::NoStream)).await.expect("appends by the function");
    leave_the_plain_statement_alone(&mut stranger).await;
    store.append(one("1", Expected::Exactly(Version(1)))).await.expect("appends without");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_set_a_stream_apart_is_in_nobodys_way_afterwards() {
    let database = long_database().await;
    let store = long_store(&database).await;
    store.archive_stream(&stream("to begin with"), Expected::Any).await.expect("archives");
    leave_the_plain_statement_alone(&mut stranger(&database).await).await;
    store.append(one("1", Expected::NoStream)).await.expect("appends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_event_is_not_written_below_another_one() {
    let database = long_database().await;
    let store = long_store(&database).await;
    let mut stranger = stranger(&database).await;
    leave_the_plain_statement_alone(&mut stranger).await;
    store.append(one("1", Expected::NoStream)).await.expect("appends");
    run(&mut stranger, "SELECT setval('factum_position', 10)").await;
    assert_eq!(kind_of(store.append(one("2", Expected::NoStream)).await), StoreErrorKind::Corrupt);
    assert_eq!(events_of(&store, "2").await.len(), 0);
}

#[tokio::test]
async fn a_transaction_that_sees_what_was_once_is_left_to_the_function_which_refuses() {
    let database = long_database().await;
    for (isolation, written) in
        [("read committed", Some(1)), ("repeatable read", None), ("serializable", None)]
    {
        let mut connection = stranger(&database).await;
        let set = AssertSqlSafe(format!("SET default_transaction_isolation = '{isolation}'"));
        sqlx::raw_sql(set).execute(&mut connection).await.expect("sets");
        let version = append_plainly(&mut connection, PLAIN.to_owned(), isolation, 0).await;
        assert_eq!(version, written, "{isolation}");
    }
}

#[tokio::test]
async fn a_lone_event_waits_for_the_disk_whatever_the_session_does() {
    let database = long_database().await;
    let mut connection = stranger(&database).await;
    let watch = "CREATE TABLE settings (setting text);
                 CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN INSERT INTO settings VALUES (current_setting(''synchronous_commit'')); RETURN NULL; END';
                 CREATE CONSTRAINT TRIGGER watch AFTER INSERT ON factum_events DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION watch()";
    run(&mut connection, watch).await;
    for setting in ["SET synchronous_commit = off", "SET synchronous_commit = on"] {
        run(&mut connection, setting).await;
        assert_eq!(append_plainly(&mut connection, PLAIN.to_owned(), setting, 0).await, Some(1));
    }
    let settings: Vec<String> =
        sqlx::query_scalar("SELECT setting FROM settings").fetch_all(&mut connection).await.expect("reads");
    assert_eq!(settings, ["on", "on"], "when the transaction ends");
}
