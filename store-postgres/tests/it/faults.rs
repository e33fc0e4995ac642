//! What breaks: connections, servers, callers that leave. The answer is typed, and a repetition by ids tells the rest.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use factum_core::store::{Append, Appended, ReadAll};
use factum_core::{
    AppendError, Checkpoints, EventStore, Expected, Position, StoreErrorKind, Transactional, Version,
};
use factum_postgres::PostgresStore;
use factum_testkit::Database;

use crate::given::{
    ALL_IS_QUIET, ONE_SLEEPS, PATIENCE, SOMEBODY_WAITS_FOR_THE_LOCK, all_events, database, event, events_of,
    hasty_store, kind_of, one, pause_in_the_commit, pause_in_the_insert, positions, run, store, stranger,
    stream, take_the_lock, until, url_with,
};

const KILL_THE_SLEEPER: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event = 'PgSleep'";
const CANCEL_THE_SLEEPER: &str = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event = 'PgSleep'";

/// What becomes of an append that `disturb` meets while it sleeps.
async fn disturbed(
    database: &Database,
    store: &PostgresStore,
    append: &Append,
    disturb: &'static str,
) -> Result<Appended, AppendError> {
    let mut stranger = stranger(database).await;
    let task = tokio::spawn({
        let (store, append) = (store.clone(), append.clone());
        async move { store.append(append).await }
    });
    until(&mut stranger, ONE_SLEEPS).await;
    run(&mut stranger, disturb).await;
    tokio::time::timeout(PATIENCE, task).await.expect("in time").expect("no panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_whose_connection_is_killed_is_repeated_and_recorded_once() {
    for disturb in [KILL_THE_SLEEPER, CANCEL_THE_SLEEPER] {
        for in_the_commit in [false, true] {
            let database = database().await;
            let mut stranger = stranger(&database).await;
            if in_the_commit {
                pause_in_the_commit(&mut stranger, 1, 20.0).await;
            } else {
                pause_in_the_insert(&mut stranger, 1, 20.0).await;
            }
            let store = store(&database).await;
            let append = one("slow", Expected::NoStream);
            let appended = disturbed(&database, &store, &append, disturb).await.expect("is repeated");
            assert_eq!(appended.version(), Version(1));
            assert_eq!(store.append(append).await.expect("is known"), appended);
            assert_eq!(events_of(&store, "slow").await.len(), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_is_tried_once_says_that_its_outcome_is_unknown() {
    for disturb in [KILL_THE_SLEEPER, CANCEL_THE_SLEEPER] {
        let database = database().await;
        let mut stranger = stranger(&database).await;
        pause_in_the_commit(&mut stranger, 1, 20.0).await;
        let store = hasty_store(&database).await;
        let append = one("slow", Expected::NoStream);
        let outcome = disturbed(&database, &store, &append, disturb).await;
        assert_eq!(kind_of(outcome), StoreErrorKind::OutcomeUnknown);
        until(&mut stranger, ALL_IS_QUIET).await;
        assert_eq!(events_of(&store, "slow").await.len(), 0, "nothing is half there");
        for _ in 0..2 {
            assert_eq!(store.append(append.clone()).await.expect("can be repeated").version(), Version(1));
        }
        assert_eq!(events_of(&store, "slow").await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_outlasts_the_time_limit_is_unknown_and_tells_when_repeated() {
    let database = database().await;
    pause_in_the_commit(&mut stranger(&database).await, 1, 1.5).await;
    let impatient =
        PostgresStore::builder().answer_timeout(Duration::from_millis(500)).retry_for(Duration::ZERO);
    // And at the server there is no limit.
    let url = url_with(&database, "statement_timeout=0");
    let impatient = impatient.connect(&url).await.expect("connects");
    let append = one("slow", Expected::NoStream);
    let outcome = impatient.append(append.clone()).await;
    assert_eq!(kind_of(outcome), StoreErrorKind::OutcomeUnknown);
    // The server goes on for a while, and commits.
    let store = store(&database).await;
    let repeated = store.append(append).await.expect("tells");
    assert_eq!(repeated.version(), Version(1));
    assert_eq!(events_of(&store, "slow").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_that_was_set_back_is_noticed_before_a_position_is_used_twice() {
    let database = database().await;
    let store = store(&database).await;
    for _ in 0..4 {
        store.append(one("1", Expected::Any)).await.expect("appends");
    }
    let mut stranger = stranger(&database).await;
    run(&mut stranger, "SELECT setval('factum_position', 1)").await;
    // The position that comes next is taken.
    assert_eq!(kind_of(store.append(one("1", Expected::Any)).await), StoreErrorKind::Corrupt);
    // One group of which something might be refused, and one of which nothing is.
    let twos = [Expected::Any, Expected::NoStream]
        .map(|expected| one("2", expected).and(stream("3"), expected, vec![event()]));
    for two in &twos {
        run(&mut stranger, "SELECT setval('factum_position', 1)").await;
        assert_eq!(kind_of(store.append(two.clone()).await), StoreErrorKind::Corrupt);
    }
    // And these are free, but readers may have passed them.
    run(
        &mut stranger,
        "DELETE FROM factum_events WHERE position IN (2, 3); SELECT setval('factum_position', 1)",
    )
    .await;
    assert_eq!(kind_of(store.append(one("1", Expected::Any)).await), StoreErrorKind::Corrupt);
    for two in twos {
        run(&mut stranger, "SELECT setval('factum_position', 1)").await;
        assert_eq!(kind_of(store.append(two).await), StoreErrorKind::Corrupt);
    }
    assert_eq!(positions(&all_events(&store).await), [1, 4], "nothing was written");

    run(&mut stranger, "SELECT setval('factum_position', 4)").await;
    store.append(one("1", Expected::Any)).await.expect("appends again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_may_not_be_written_to_says_so() {
    let database = database().await;
    let read_only = "DO 'BEGIN EXECUTE format(''ALTER DATABASE %I SET default_transaction_read_only = on'',
                     current_database()); END'";
    run(&mut stranger(&database).await, read_only).await;
    let store = store(&database).await;
    assert_eq!(kind_of(store.append(one("1", Expected::Any)).await), StoreErrorKind::ReadOnly);
    assert_eq!(all_events(&store).await.len(), 0);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let builder = PostgresStore::builder().acquire_timeout(Duration::from_millis(200));
    let url = format!("postgres://nobody@{address}/nothing");
    let error = tokio::time::timeout(PATIENCE, builder.connect(&url))
        .await
        .expect("in time")
        .expect_err("nothing is there");
    assert_eq!(*error.kind(), StoreErrorKind::Unavailable);
    assert!(error.is_transient());
    let error = PostgresStore::connect("not a url").await.expect_err("is none");
    assert!(!error.is_transient());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_server_ended_are_replaced() {
    let database = database().await;
    let store = store(&database).await;
    store.append(one("1", Expected::Any)).await.expect("appends");
    let mut stranger = stranger(&database).await;
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    run(&mut stranger, kill).await;
    // It is young enough to be taken for alive, so the call meets it, and is repeated.
    assert_eq!(store.append(one("1", Expected::Any)).await.expect("appends").version(), Version(2));
    run(&mut stranger, kill).await;
    assert_eq!(events_of(&store, "1").await.len(), 2);

    // One that rested for a while is asked first.
    run(&mut stranger, kill).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    store.append(one("1", Expected::Any)).await.expect("appends at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_says_so() {
    let database = database().await;
    let store = store(&database).await;
    store.append(one("1", Expected::Any)).await.expect("appends");
    let clone = store.clone();
    store.close().await;
    assert_eq!(kind_of(clone.append(one("1", Expected::Any)).await), StoreErrorKind::Closed);
    let error = clone.checkpoint("s").await.expect_err("closed");
    assert_eq!(*error.kind(), StoreErrorKind::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_finishes_what_is_queued() {
    let database = database().await;
    let store = store(&database).await;
    let mut slow = stranger(&database).await;
    take_the_lock(&mut slow).await;
    let mut queued = Vec::new();
    for id in ["1", "2", "3"] {
        let store = store.clone();
        queued.push(tokio::spawn(async move { store.append(one(id, Expected::NoStream)).await }));
    }
    until(&mut stranger(&database).await, SOMEBODY_WAITS_FOR_THE_LOCK).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let closing = tokio::spawn({
        let store = store.clone();
        async move { store.close().await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(kind_of(store.append(one("late", Expected::Any)).await), StoreErrorKind::Closed);
    run(&mut slow, "COMMIT").await;
    for append in queued {
        append.await.expect("no panic").expect("was queued before");
    }
    tokio::time::timeout(PATIENCE, closing).await.expect("in time").expect("no panic");
}

/// Polls `future` as often, and drops it wherever it is then.
async fn abandon(future: impl Future, polls: usize) {
    let (mut future, mut left) = (pin!(future), polls);
    poll_fn(|context| {
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Pending if left > 0 => Poll::Pending,
            _ => Poll::Ready(()),
        }
    })
    .await;
}

/// More polls than any call of the store needs.
const POLLS_MAX: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_leave_leave_nothing_open() {
    let database = database().await;
    let store = store(&database).await;
    let mut stranger = stranger(&database).await;
    store.append(one("1", Expected::Any)).await.expect("appends");

    // At any point of any call.
    for polls in (1..=POLLS_MAX).cycle().take(5 * POLLS_MAX) {
        abandon(store.begin(), polls).await;
        abandon(store.append(one("1", Expected::Any)), polls).await;
        let read = ReadAll::after(Position::START).limit(10);
        abandon(store.read_all(read), polls).await;
        let at = store.checkpoint("s").await.expect("reads").position;
        abandon(store.move_checkpoint("s", at.into(), Position(at.0 + 1).into()), polls).await;
        let work = async {
            let tx = store.begin().await?;
            store.commit_with_checkpoint(tx, "other", Position(0).into(), Position(0).into()).await
        };
        abandon(work, polls).await;
    }
    until(&mut stranger, ALL_IS_QUIET).await;

    // While they wait for the turn to append, for a row, or for the table.
    take_the_lock(&mut stranger).await;
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.append(one("left", Expected::Any)).await }
    });
    until(&mut stranger, SOMEBODY_WAITS_FOR_THE_LOCK).await;
    waiting.abort();
    run(&mut stranger, "COMMIT; BEGIN; LOCK TABLE factum_events, factum_checkpoints").await;
    let short = Duration::from_millis(50);
    let _ =
        tokio::time::timeout(short, store.wait(Position(u64::MAX))).await.expect_err("waits for the table");
    let _ = tokio::time::timeout(short, store.checkpoint("s")).await.expect_err("waits for the table");
    let moving = store.move_checkpoint("s", Position(0).into(), Position(1).into());
    let _ = tokio::time::timeout(short, moving).await.expect_err("waits for the table");
    run(&mut stranger, "COMMIT").await;
    until(&mut stranger, ALL_IS_QUIET).await;

    // And nobody has taken connections with him.
    let mut transactions = Vec::new();
    for _ in 0..10 {
        let begun = tokio::time::timeout(PATIENCE, store.begin()).await.expect("a connection is left");
        transactions.push(begun.expect("begins"));
    }
    drop(transactions);
    tokio::time::sleep(Duration::from_millis(50)).await;
    until(&mut stranger, ALL_IS_QUIET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_beginning_was_abandoned_is_over() {
    let database = database().await;
    let store = store(&database).await;
    let mut stranger = stranger(&database).await;
    // So that nothing has to be made ready any more: each poll is one of the beginning itself.
    store.checkpoint("s").await.expect("reads");
    for polls in 1..=POLLS_MAX {
        tokio::time::sleep(Duration::from_millis(20)).await;
        // Each time, because the next to begin on the same connection would end what was left open.
        until(&mut stranger, ALL_IS_QUIET).await;
        abandon(store.begin(), polls).await;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    until(&mut stranger, ALL_IS_QUIET).await;
}
