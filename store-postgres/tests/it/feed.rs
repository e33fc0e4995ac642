//! The feed skips nothing, and nothing that is none of its business stalls it. For each trap that `src/feed.rs` names there
//! is a test here, or in `restarts`.

use std::time::Duration;

use factum_core::store::ReadAll;
use factum_core::{AppendError, EventStore, Expected, Position, StoreErrorKind, Transactional};
use factum_postgres::{PostgresStore, PostgresTx};
use factum_testkit::{Database, Proxy};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::given::{
    ALL_IS_QUIET, ONE_SLEEPS, PATIENCE, all_events, ask, database, empty_database, events_of, kind_of,
    migrated_server, one, pause_in_the_insert, positions, run, store, stranger, stream, until, url_with,
};

/// The feed of a store that has read nothing yet, and waits for nothing.
async fn feed_of(database: &Database) -> Vec<u64> {
    positions(&all_events(&store(database).await).await)
}

/// Returns when there is something after a position, which may be no event but a hole that was passed.
async fn wait(store: &PostgresStore, after: u64) {
    let waited = tokio::time::timeout(PATIENCE, store.wait(Position(after)));
    waited.await.expect("in time").expect("waits");
}

/// A transaction with an append in it, which draws the next position.
async fn open_append(store: &PostgresStore, id: &str) -> PostgresTx {
    let mut tx = store.begin().await.expect("begins");
    store.append_in(&mut tx, one(id, Expected::Any)).await.expect("appends");
    tx
}

async fn append(store: &PostgresStore, id: &str) -> u64 {
    store.append(one(id, Expected::Any)).await.expect("appends").position.0
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_append_holds_the_feed_at_its_position_until_it_is_committed() {
    let database = database().await;
    let (writer, reader) = (store(&database).await, store(&database).await);
    append(&writer, "before").await;
    let open = open_append(&writer, "open").await;
    assert_eq!(append(&writer, "after").await, 3);

    // The process that has committed the event after it does not pass it either.
    for store in [&reader, &writer] {
        let page = store.read_all(ReadAll::after(Position::START)).await.expect("reads");
        assert_eq!((positions(&page.events), page.checkpoint.position), (vec![1], Position(1)));
        let page = store.read_all(ReadAll::after(Position(1))).await.expect("reads");
        assert_eq!((page.events.len(), page.checkpoint.position, page.end), (0, Position(1), true));
    }
    let waiting = tokio::spawn({
        let reader = reader.clone();
        async move { wait(&reader, 1).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished());

    writer.commit(open).await.expect("commits");
    waiting.await.expect("no panic");
    for store in [&reader, &writer] {
        assert_eq!(positions(&all_events(store).await), [1, 2, 3]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_append_that_is_rolled_back_is_passed() {
    let database = database().await;
    let (writer, reader) = (store(&database).await, store(&database).await);
    append(&writer, "before").await;
    let open = open_append(&writer, "open").await;
    append(&writer, "after").await;
    assert_eq!(positions(&all_events(&reader).await), [1]);
    open.rollback().await.expect("rolls back");
    for store in [&reader, &writer] {
        wait(store, 1).await;
        assert_eq!(positions(&all_events(store).await), [1, 3]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_begins_while_the_feed_waits_is_not_waited_for() {
    let database = database().await;
    let (writer, reader) = (store(&database).await, store(&database).await);
    let first = open_append(&writer, "first").await;
    append(&writer, "between").await;
    assert_eq!(positions(&all_events(&reader).await), [0_u64; 0]);
    let second = open_append(&writer, "second").await;
    append(&writer, "last").await;
    writer.commit(first).await.expect("commits");
    wait(&reader, 0).await;
    assert_eq!(positions(&all_events(&reader).await), [1, 2]);
    writer.commit(second).await.expect("commits");
    wait(&reader, 2).await;
    assert_eq!(positions(&all_events(&reader).await), [1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_that_overlap_without_end_do_not_hold_the_feed_for_ever() {
    let database = database().await;
    let (writer, reader) = (store(&database).await, store(&database).await);
    // At any moment one is open, and each is older than the last event.
    let mut open = open_append(&writer, "open").await;
    for round in 0..6 {
        let next = open_append(&writer, &format!("next {round}")).await;
        append(&writer, "between").await;
        all_events(&reader).await;
        if round % 2 == 0 {
            writer.commit(open).await.expect("commits");
        } else {
            drop(open);
        }
        open = next;
        // "open" holds up to its own position and no further.
        wait(&reader, 2 * round).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_of_others_do_not_stall_the_feed() {
    let (database, elsewhere) = (database().await, empty_database().await);
    let (writer, reader) = (store(&database).await, store(&database).await);
    // Transactions that have written and looked, and then do nothing, here and in another database; one has a lock with
    // the keys of ours there, one of another kind here, and one has drawn a position past our functions.
    let mut idle = [stranger(&database).await, stranger(&elsewhere).await, stranger(&database).await];
    for (at, idle) in idle.iter_mut().enumerate() {
        let sql = format!(
            "CREATE TABLE others_{at} (id int);
             COMMIT; BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO others_{at} VALUES (1)"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(idle).await.expect("idles");
    }
    let oid: i64 = ask(&mut stranger(&database).await, "SELECT 'factum_events'::regclass::oid::bigint").await;
    let elsewhere = format!("SELECT pg_advisory_xact_lock_shared(1717658484, {oid}::oid::integer)");
    sqlx::raw_sql(AssertSqlSafe(elsewhere)).execute(&mut idle[1]).await.expect("locks");
    run(
        &mut idle[0],
        "SELECT pg_advisory_xact_lock('factum_events'::regclass::oid::bigint);
         SELECT pg_advisory_xact_lock((1717658484::bigint << 32) + 'factum_events'::regclass::oid::bigint)",
    )
    .await;
    run(&mut idle[2], "SELECT nextval('factum_position')").await;

    for number in 2..=4 {
        assert_eq!(append(&writer, "1").await, number);
        let seen = tokio::time::timeout(Duration::from_millis(900), all_events(&reader)).await;
        assert_eq!(positions(&seen.expect("does not wait")), (2..=number).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_in_two_schemas_of_a_database_do_not_wait_for_each_other() {
    let database = empty_database().await;
    let mut stores = Vec::new();
    for schema in ["one", "other"] {
        let sql = format!("CREATE SCHEMA {schema}");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut stranger(&database).await).await.expect("creates");
        let url = url_with(&database, &format!("search_path={schema}"));
        let store = PostgresStore::connect(&url).await.expect("connects");
        store.migrate().await.expect("migrates");
        stores.push(store);
    }
    let (one, other) = (&stores[0], &stores[1]);
    drop(open_append(other, "a hole").await);
    append(other, "1").await;
    let _open = open_append(one, "open").await;
    let seen = tokio::time::timeout(Duration::from_millis(900), all_events(other)).await;
    assert_eq!(positions(&seen.expect("does not wait")), [2]);
}

/// What becomes of an append that was prepared, for a reader that has waited before or comes afterwards.
async fn prepared(finish: &'static str, reader_waits_before: bool) -> Vec<u64> {
    let (server, store) = migrated_server().await;
    let reader = PostgresStore::connect(server.url()).await.expect("connects");
    let mut open = open_append(&store, "prepared").await;
    append(&store, "after").await;
    if reader_waits_before {
        assert_eq!(positions(&all_events(&reader).await), [0_u64; 0]);
    }
    run(&mut open, "PREPARE TRANSACTION 'ours'").await;
    drop(open);
    // It has no process any more.
    assert_eq!(positions(&all_events(&reader).await), [0_u64; 0]);
    let waited = tokio::time::timeout(Duration::from_millis(300), reader.wait(Position::START)).await;
    assert!(waited.is_err(), "the prepared transaction still holds its lock");
    let mut connection = PgConnection::connect(server.url()).await.expect("connects");
    run(&mut connection, finish).await;
    store.wake();
    wait(&reader, 0).await;
    positions(&all_events(&reader).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_append_holds_the_feed_until_it_is_committed() {
    assert_eq!(prepared("COMMIT PREPARED 'ours'", false).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_is_prepared_while_the_feed_waits_for_it_goes_on_holding_it() {
    assert_eq!(prepared("COMMIT PREPARED 'ours'", true).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_append_that_is_rolled_back_is_passed() {
    assert_eq!(prepared("ROLLBACK PREPARED 'ours'", true).await, [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_append_holds_the_feed_over_a_crash() {
    let (server, store) = migrated_server().await;
    let mut open = open_append(&store, "prepared").await;
    run(&mut open, "PREPARE TRANSACTION 'ours'").await;
    drop(open);
    append(&store, "after").await;
    server.kill().expect("dies");
    server.start_again().expect("comes back");
    assert_eq!(positions(&all_events(&store).await), [0_u64; 0]);
    let mut connection = PgConnection::connect(server.url()).await.expect("connects");
    run(&mut connection, "COMMIT PREPARED 'ours'").await;
    wait(&store, 0).await;
    assert_eq!(positions(&all_events(&store).await), [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_in_a_savepoint_that_is_rolled_back_lets_go_and_the_next_holds_again() {
    let database = database().await;
    let (writer, reader) = (store(&database).await, store(&database).await);
    let mut tx = writer.begin().await.expect("begins");
    run(&mut tx, "SAVEPOINT own").await;
    writer.append_in(&mut tx, one("gone", Expected::Any)).await.expect("appends");
    run(&mut tx, "ROLLBACK TO SAVEPOINT own").await;
    append(&writer, "between").await;
    // The lock went with the savepoint: its position will stay empty, although the transaction goes on.
    assert_eq!(positions(&all_events(&reader).await), [2]);

    writer.append_in(&mut tx, one("kept", Expected::Any)).await.expect("appends");
    append(&writer, "after").await;
    assert_eq!(positions(&all_events(&reader).await), [2]);
    writer.commit(tx).await.expect("commits");
    wait(&reader, 2).await;
    assert_eq!(positions(&all_events(&reader).await), [2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_append_holds_when_a_later_savepoint_is_rolled_back() {
    let database = database().await;
    let (writer, reader) = (store(&database).await, store(&database).await);
    let mut tx = open_append(&writer, "kept").await;
    run(&mut tx, "SAVEPOINT own").await;
    writer.append_in(&mut tx, one("gone", Expected::Any)).await.expect("appends");
    run(&mut tx, "ROLLBACK TO SAVEPOINT own").await;
    append(&writer, "after").await;
    assert_eq!(positions(&all_events(&reader).await), [0_u64; 0]);
    writer.commit(tx).await.expect("commits");
    wait(&reader, 0).await;
    assert_eq!(positions(&all_events(&reader).await), [1, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_in_a_transaction_that_has_appended_does_not_let_go_of_the_feed() {
    let database = database().await;
    let (writer, reader) = (store(&database).await, store(&database).await);
    append(&writer, "taken").await;
    let mut tx = open_append(&writer, "kept").await;
    let refused = writer.append_in(&mut tx, one("taken", Expected::NoStream)).await;
    assert!(matches!(refused, Err(AppendError::Conflict(_))), "{refused:?}");
    append(&writer, "after").await;
    assert_eq!(positions(&all_events(&reader).await), [1]);
    writer.commit(tx).await.expect("commits");
    wait(&reader, 1).await;
    assert_eq!(positions(&all_events(&reader).await), [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_is_killed_between_draw_and_commit_is_passed() {
    let database = database().await;
    let (writer, reader) = (store(&database).await, store(&database).await);
    let open = open_append(&writer, "open").await;
    append(&writer, "after").await;
    assert_eq!(positions(&all_events(&reader).await), [0_u64; 0]);
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND state LIKE 'idle in%'";
    run(&mut stranger(&database).await, kill).await;
    wait(&reader, 0).await;
    assert_eq!(positions(&all_events(&reader).await), [2]);
    writer.commit(open).await.expect_err("was killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_whose_connection_breaks_between_draw_and_commit_is_passed() {
    let database = database().await;
    let proxy = Proxy::in_front_of(database.url()).expect("a port is free");
    let writer = PostgresStore::connect(proxy.url()).await.expect("connects");
    let reader = store(&database).await;
    let open = open_append(&writer, "open").await;
    append(&reader, "after").await;
    assert_eq!(positions(&all_events(&reader).await), [0_u64; 0]);
    proxy.cut();
    wait(&reader, 0).await;
    assert_eq!(positions(&all_events(&reader).await), [2]);
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_append_that_is_killed_after_its_draw_is_passed() {
    let database = database().await;
    let mut stranger = stranger(&database).await;
    pause_in_the_insert(&mut stranger, 1, 20.0).await;
    let builder = PostgresStore::builder().retry_for(Duration::ZERO);
    let hasty = builder.connect(database.url()).await.expect("connects");
    let slow = tokio::spawn(async move { hasty.append(one("slow", Expected::Any)).await });
    until(&mut stranger, ONE_SLEEPS).await;
    let other = store(&database).await;
    append(&other, "after").await;
    assert_eq!(positions(&all_events(&other).await), [0_u64; 0]);
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event = 'PgSleep'";
    run(&mut stranger, kill).await;
    assert_eq!(kind_of(slow.await.expect("no panic")), StoreErrorKind::OutcomeUnknown);
    wait(&other, 0).await;
    assert_eq!(positions(&all_events(&other).await), [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn holes_of_long_ago_are_passed_at_once() {
    let database = database().await;
    let writer = store(&database).await;
    for _ in 0..5 {
        drop(open_append(&writer, "gone").await);
        append(&writer, "1").await;
    }
    until(&mut stranger(&database).await, ALL_IS_QUIET).await;
    let seen = tokio::time::timeout(Duration::from_millis(900), feed_of(&database)).await;
    assert_eq!(seen.expect("does not wait"), [2, 4, 6, 8, 10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_that_was_set_back_writes_nothing_in_a_transaction_either() {
    let database = database().await;
    let store = store(&database).await;
    for _ in 0..3 {
        append(&store, "1").await;
    }
    // The position that comes next is free, but readers have passed it.
    let set_back = "DELETE FROM factum_events WHERE position = 2; SELECT setval('factum_position', 1)";
    run(&mut stranger(&database).await, set_back).await;
    let mut tx = store.begin().await.expect("begins");
    let refused = store.append_in(&mut tx, one("2", Expected::Any)).await;
    assert_eq!(kind_of(refused.map(factum_core::store::Uncommitted::committed)), StoreErrorKind::Corrupt);
    drop(tx);
    assert_eq!(positions(&all_events(&store).await), [1, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_cannot_see_what_it_decides_on_is_refused() {
    let database = database().await;
    let store = store(&database).await;
    for isolation in ["REPEATABLE READ", "SERIALIZABLE"] {
        let mut tx = store.begin().await.expect("begins");
        let set = AssertSqlSafe(format!("SET TRANSACTION ISOLATION LEVEL {isolation}"));
        sqlx::raw_sql(set).execute(&mut *tx).await.expect("nothing was done in it yet");
        let refused = store.append_in(&mut tx, one("1", Expected::Any)).await;
        let error = match refused {
            Err(AppendError::Store(error)) => error,
            other => panic!("{isolation}: expected a refusal, got {other:?}"),
        };
        assert_eq!(*error.kind(), StoreErrorKind::Other, "{isolation}");
        assert!(!error.is_transient());
    }
    assert_eq!(events_of(&store, "1").await.len(), 0);
    let read = factum_core::store::ReadStream::new(stream("1"));
    assert!(store.read_stream(read).await.expect("reads").end);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_has_streams_to_read_and_no_feed() {
    let (primary, store) = migrated_server().await;
    for _ in 0..3 {
        append(&store, "1").await;
    }
    let standby = tokio::task::block_in_place(|| {
        let standby = primary.standby().expect("follows");
        standby.catch_up_with(&primary).expect("catches up");
        standby
    });
    let replica = PostgresStore::connect(standby.url()).await.expect("connects");
    assert_eq!(events_of(&replica, "1").await.len(), 3);
    let refused = replica.read_all(ReadAll::after(Position::START)).await.expect_err("a replica");
    assert_eq!(*refused.kind(), StoreErrorKind::ReadOnly);
    let refused = replica.wait(Position::START).await.expect_err("a replica");
    assert_eq!(*refused.kind(), StoreErrorKind::ReadOnly);
    assert_eq!(kind_of(replica.append(one("1", Expected::Any)).await), StoreErrorKind::ReadOnly);
}
