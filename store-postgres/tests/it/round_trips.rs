//! How often the server is asked: what callers wait for, counted on the wire.
//!
//! Without notices, which are sent while nobody waits, as is the question with which the pool takes a connection back.

use std::time::Duration;

use factum_core::retention::Retention;
use factum_core::snapshot::{Footing, ReadFrom, Snapshot, Start};
use factum_core::store::{ReadAll, ReadStream};
use factum_core::{
    Checkpoint, Checkpoints, EventId, EventStore, Expected, Position, RecordedEvent, Snapshots,
    Transactional, Version,
};
use factum_postgres::PostgresStore;
use factum_testkit::{Database, Proxy};

use crate::given::{
    SOMEBODY_WAITS_FOR_THE_LOCK, database, one, run, store, stranger, stream, take_the_lock, until,
};

/// A store with one connection, which has prepared every statement that is counted.
async fn warm(database: &Database) -> (PostgresStore, Proxy) {
    let proxy = Proxy::in_front_of(database.url()).expect("a port is free");
    let builder = PostgresStore::builder().max_connections(1).append_lanes(1).notifications(false);
    let store = builder.connect(proxy.url()).await.expect("connects");
    for round in ["1", "2"] {
        let two = one("a", Expected::Any).and(stream("b"), Expected::Any, vec![crate::given::event()]);
        store.append(two).await.expect("appends");
        store.append(one(round, Expected::Any)).await.expect("appends");
        read(&store).await;
        store.read_all(ReadAll::after(Position::START)).await.expect("reads");
        remember(&store).await;
        store.find_event(EventId::new()).await.expect("reads");
        store.checkpoint("s").await.expect("reads");
        let whole = stream(&format!("whole {round}"));
        store.append(one(whole.id(), Expected::Any)).await.expect("appends");
        store.archive_stream(&whole, Expected::Any).await.expect("archives");
        store.restore_stream(&whole).await.expect("restores");
        store.truncate_stream(&whole, Version(1)).await.expect("truncates");
        store.delete_stream(&whole, Expected::Any).await.expect("deletes");
    }
    settle().await;
    proxy.reset_counts();
    (store, proxy)
}

async fn read(store: &PostgresStore) {
    store.read_stream(ReadStream::new(stream("1"))).await.expect("reads");
}

/// Keeps a snapshot of the first event of a stream.
async fn remember(store: &PostgresStore) {
    let page = store.read_stream(ReadStream::new(stream("1"))).await.expect("reads");
    let Some(RecordedEvent { version, position, id, .. }) = page.events.into_iter().next() else { return };
    let footing = Footing { version, position, event_id: id, begins: Version::NONE };
    store.save_snapshot(Snapshot::new(stream("1"), 1, footing, "json", "{}")).await.expect("is kept");
    let start = Start::Snapshot { shape: 1, up_to: Version::END };
    store.read_from(ReadFrom::new(stream("1"), start)).await.expect("reads");
}

/// After this the pool has its connection back.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// How many statements were sent since this was last asked. Each was waited for, and was prepared before.
async fn asked(proxy: &Proxy) -> usize {
    settle().await;
    let counts = proxy.counts();
    proxy.reset_counts();
    assert_eq!((counts.queries, counts.parses), (0, 0));
    assert!(counts.syncs <= 2 * counts.executes, "{counts:?}");
    counts.executes
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_asks_once() {
    let database = database().await;
    let (store, proxy) = warm(&database).await;
    store.append(one("1", Expected::Any)).await.expect("appends");
    assert_eq!(asked(&proxy).await, 1, "a lone append");
    store.append(one("new", Expected::NoStream)).await.expect("appends");
    assert_eq!(asked(&proxy).await, 1, "the first append to a stream");
    let two = one("1", Expected::Any).and(stream("2"), Expected::Exists, vec![crate::given::event()]);
    store.append(two).await.expect("appends");
    assert_eq!(asked(&proxy).await, 1, "an append to two streams");
    store.append(one("1", Expected::NoStream)).await.expect_err("a conflict");
    assert_eq!(asked(&proxy).await, 1, "a conflict");
    read(&store).await;
    assert_eq!(asked(&proxy).await, 1, "a stream");
    remember(&store).await;
    assert_eq!(asked(&proxy).await, 3, "a stream, a snapshot, and the stream from the snapshot on");
    store.find_event(EventId::new()).await.expect("reads");
    assert_eq!(asked(&proxy).await, 1, "an event");
    store.checkpoint("s").await.expect("reads");
    assert_eq!(asked(&proxy).await, 1, "a checkpoint");
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_and_streams_as_a_whole_ask_once() {
    let database = database().await;
    let (store, proxy) = warm(&database).await;
    let whole = async |id: &str| {
        store.archive_stream(&stream(id), Expected::Any).await.expect("archives");
        let archived = asked(&proxy).await;
        store.restore_stream(&stream(id)).await.expect("restores");
        let restored = asked(&proxy).await;
        store.truncate_stream(&stream(id), Version(1)).await.expect("truncates");
        let truncated = asked(&proxy).await;
        store.delete_stream(&stream(id), Expected::Any).await.expect("deletes");
        [archived, restored, truncated, asked(&proxy).await]
    };
    let first = store.move_checkpoint("s", Checkpoint::START, Position(1).into()).await;
    first.expect("moves");
    settle().await;
    proxy.reset_counts();
    store.move_checkpoint("s", Position(1).into(), Position(2).into()).await.expect("moves");
    assert_eq!(asked(&proxy).await, 1, "a checkpoint that moves");
    assert_eq!(whole("1").await, [1; 4], "a stream as a whole");
}

/// How many statements were sent as texts, and how many that were prepared before.
async fn sent(proxy: &Proxy) -> (usize, usize) {
    settle().await;
    let counts = proxy.counts();
    proxy.reset_counts();
    assert_eq!(counts.parses, 0);
    (counts.queries, counts.executes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_asks_for_each_of_its_steps() {
    let database = database().await;
    let (store, proxy) = warm(&database).await;
    let mut from = Checkpoint::START;
    for is_warm in [false, true] {
        let mut tx = store.begin().await.expect("begins");
        let begun = sent(&proxy).await;
        store.append_in(&mut tx, one("1", Expected::Any)).await.expect("appends");
        let appended = sent(&proxy).await;
        let to = Checkpoint::from(Position(from.position.0 + 1));
        store.commit_with_checkpoint(tx, "s", from, to).await.expect("commits");
        from = store.checkpoint("s").await.expect("reads");
        if is_warm {
            assert_eq!(begun, (1, 0), "BEGIN");
            assert_eq!(appended, (2, 1), "the savepoint, the append, the end of the savepoint");
            assert_eq!(sent(&proxy).await, (1, 2), "the checkpoint and COMMIT; and this test reads it");
        }
        settle().await;
        proxy.reset_counts();
    }
    let tx = store.begin().await.expect("begins");
    sent(&proxy).await;
    store.commit(tx).await.expect("commits");
    assert_eq!(sent(&proxy).await, (2, 0), "whether no statement has failed, and COMMIT");
    drop(store.begin().await.expect("begins"));
    assert_eq!(sent(&proxy).await, (2, 0), "BEGIN and ROLLBACK");
}

#[tokio::test]
async fn twenty_appends_that_wait_together_ask_once() {
    let database = database().await;
    let (store, proxy) = warm(&database).await;
    let mut slow = stranger(&database).await;
    let mut looking = stranger(&database).await;
    take_the_lock(&mut slow).await;
    let task = |id: String| {
        let store = store.clone();
        tokio::spawn(async move { store.append(one(&id, Expected::NoStream)).await })
    };
    let mut tasks = vec![task("first".to_owned())];
    until(&mut looking, SOMEBODY_WAITS_FOR_THE_LOCK).await;
    for number in 0..20 {
        tasks.push(task(format!("later {number}")));
        // On the only thread, so that it queues.
        tokio::task::yield_now().await;
    }
    run(&mut slow, "COMMIT").await;
    for task in tasks {
        task.await.expect("no panic").expect("appends");
    }
    assert_eq!(asked(&proxy).await, 2, "one for the first, one for all others");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_the_feed_asks_once_and_an_event_of_this_process_is_waited_for_without_asking() {
    let database = database().await;
    let (store, proxy) = warm(&database).await;
    let mut after = Position::START;
    loop {
        let page = store.read_all(ReadAll::after(after)).await.expect("reads");
        assert_eq!(asked(&proxy).await, 1);
        after = page.checkpoint.position;
        if page.end {
            break;
        }
    }
    for _ in 0..3 {
        store.append(one("1", Expected::Any)).await.expect("appends");
        assert_eq!(asked(&proxy).await, 1);
        store.wait(after).await.expect("waits");
        let page = store.read_all(ReadAll::after(after)).await.expect("reads");
        assert_eq!(page.events.len(), 1);
        assert_eq!(asked(&proxy).await, 1, "the page");
        after = page.checkpoint.position;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_wait_the_end_of_the_log_is_asked_for_once() {
    let database = database().await;
    let proxy = Proxy::in_front_of(database.url()).expect("a port is free");
    let builder = PostgresStore::builder().poll_interval(Duration::from_millis(400)).notifications(false);
    let reader = builder.connect(proxy.url()).await.expect("connects");
    reader.checkpoint("s").await.expect("reads");
    settle().await;
    proxy.reset_counts();
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let reader = reader.clone();
            tokio::spawn(async move { reader.wait(Position::START).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let looks = proxy.counts().executes;
    assert!((1..=3).contains(&looks), "{looks} looks in one and a half intervals");
    store(&database).await.append(one("1", Expected::Any)).await.expect("appends");
    for waiting in waiting {
        waiting.await.expect("no panic").expect("waits");
    }
    assert!(proxy.counts().executes <= looks + 2);
}
