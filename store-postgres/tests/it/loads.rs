//! Loads that share a statement: each has its own stream, whoever reads it.

use std::future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use factum_core::retention::Retention;
use factum_core::store::{Append, ReadStream, StreamPage};
use factum_core::{EventStore, Expected, NewEvent, StoreError, StoreErrorKind, Version};
use factum_postgres::PostgresStore;
use factum_testkit::Proxy;
use tokio::task::JoinHandle;

use crate::given::{PATIENCE, database, event, one, run, store, stranger, stream, until};

/// The most events of a stream that is read together with others.
const EVENTS_MAX: usize = 200;

/// The most streams in one statement.
const STREAMS_MAX: usize = 16;

/// A store of whose loads one is read at a time.
async fn store_with_one_lane(url: &str) -> PostgresStore {
    PostgresStore::builder().load_lanes(1).connect(url).await.expect("the database is there")
}

fn load(id: &str) -> ReadStream {
    ReadStream::new(stream(id))
}

fn spawn(store: &PostgresStore, id: &str) -> JoinHandle<Result<StreamPage, StoreError>> {
    spawn_read(store, load(id))
}

fn spawn_read(store: &PostgresStore, read: ReadStream) -> JoinHandle<Result<StreamPage, StoreError>> {
    let store = store.clone();
    tokio::spawn(async move { store.read_stream(read).await })
}

async fn answer(load: JoinHandle<Result<StreamPage, StoreError>>) -> Result<StreamPage, StoreError> {
    tokio::time::timeout(PATIENCE, load).await.expect("in time").expect("no panic")
}

/// For what everybody waits who reads an event, until it is committed.
const BLOCK: &str = "BEGIN; LOCK TABLE factum_events IN ACCESS EXCLUSIVE MODE";

const ONE_IS_BLOCKED: &str =
    "SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND relation = 'factum_events'::regclass";

const NOBODY_IS_BLOCKED: &str =
    "SELECT count(*) = 0 FROM pg_locks WHERE NOT granted AND relation = 'factum_events'::regclass";

/// Polls once, and says whether there is no answer yet.
async fn has_no_answer<T>(mut future: Pin<&mut (dyn Future<Output = T> + Send)>) -> bool {
    future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

/// Time for a task to begin to wait, where nobody can see that it does.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_that_wait_share_a_statement() {
    let database = database().await;
    let proxy = Proxy::in_front_of(database.url()).expect("a port is free");
    let store = store_with_one_lane(proxy.url()).await;
    let ids: Vec<String> = (0..=2 * STREAMS_MAX).map(|id| id.to_string()).collect();
    for id in &ids {
        store.append(one(id, Expected::NoStream)).await.expect("appends");
    }
    let mut blocker = stranger(&database).await;
    run(&mut blocker, BLOCK).await;
    proxy.reset_counts();
    let first = spawn(&store, &ids[0]);
    until(&mut blocker, ONE_IS_BLOCKED).await;
    let others: Vec<_> = ids[1..].iter().map(|id| spawn(&store, id)).collect();
    settle().await;
    run(&mut blocker, "COMMIT").await;
    for (id, load) in ids.iter().zip(std::iter::once(first).chain(others)) {
        let page = answer(load).await.expect("reads");
        assert_eq!((page.events.len(), page.end), (1, true));
        assert_eq!(page.events[0].stream, stream(id));
    }
    // The first, and two groups; more, if some began to wait late.
    let statements = proxy.counts().executes;
    assert!((3..=STREAMS_MAX).contains(&statements), "{statements} for {} loads", ids.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_load_has_its_own_stream_in_its_order() {
    let database = database().await;
    let lone = store(&database).await;
    let many = store_with_one_lane(database.url()).await;
    let lengths = [0, 1, 2, 10, EVENTS_MAX - 1, EVENTS_MAX, EVENTS_MAX + 1, 3 * EVENTS_MAX];
    for length in lengths {
        if length > 0 {
            let events: Vec<NewEvent> = std::iter::repeat_with(event).take(length).collect();
            let append = Append::to(stream(&length.to_string()), Expected::NoStream, events);
            lone.append(append).await.expect("appends");
        }
    }
    lone.append(one("deleted", Expected::NoStream)).await.expect("appends");
    lone.delete_stream(&stream("deleted"), Expected::Any).await.expect("deletes");
    lone.append(Append::to(stream("truncated"), Expected::NoStream, vec![event(), event(), event()]))
        .await
        .expect("appends");
    lone.truncate_stream(&stream("truncated"), Version(2)).await.expect("truncates");
    let ids = lengths.map(|length| length.to_string()).into_iter();
    let ids: Vec<String> = ids.chain(["deleted".to_owned(), "truncated".to_owned()]).collect();

    for _ in 0..20 {
        // Twice each, so that a stream can be twice in a statement.
        let loads: Vec<_> = ids.iter().chain(&ids).map(|id| spawn(&many, id)).collect();
        for (id, load) in ids.iter().chain(&ids).zip(loads) {
            let page = answer(load).await.expect("reads");
            let whole = lone.read_stream(ReadStream::new(stream(id))).await.expect("reads");
            assert!(whole.end);
            assert_eq!(page.events[..], whole.events[..page.events.len()], "{id}");
            assert_eq!(page.end, page.events.len() == whole.events.len(), "{id}");
            assert!(page.end || page.events.len() >= EVENTS_MAX, "{id}: {}", page.events.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_that_are_too_large_together_are_read_one_by_one() {
    const PAYLOAD: usize = 1 << 20;
    let database = database().await;
    let store = store_with_one_lane(database.url()).await;
    let ids: Vec<String> = (0..STREAMS_MAX).map(|id| id.to_string()).collect();
    for id in &ids {
        let large = NewEvent { payload: vec![b'1'; PAYLOAD].into(), ..event() };
        store.append(Append::to(stream(id), Expected::NoStream, vec![large])).await.expect("appends");
    }
    // Two of them are more than a page may have.
    let load = |id: &str| load(id).bytes(PAYLOAD + PAYLOAD / 2);
    for _ in 0..2 {
        let loads: Vec<_> = ids.iter().map(|id| spawn_read(&store, load(id))).collect();
        for (id, load) in ids.iter().zip(loads) {
            let page = answer(load).await.expect("reads");
            assert_eq!((page.events.len(), page.end), (1, true));
            assert_eq!((&page.events[0].stream, page.events[0].payload.len()), (&stream(id), PAYLOAD));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_cannot_be_read_is_nobody_elses_fault() {
    let database = database().await;
    let store = store_with_one_lane(database.url()).await;
    for id in ["sound", "ill", "well"] {
        store.append(one(id, Expected::NoStream)).await.expect("appends");
    }
    run(&mut stranger(&database).await, "UPDATE factum_events SET metadata = 'none' WHERE stream = 'ill'")
        .await;
    for _ in 0..20 {
        let loads = ["sound", "ill", "well"].map(|id| spawn(&store, id));
        let [sound, ill, well] = loads;
        assert_eq!(answer(sound).await.expect("reads").events.len(), 1);
        assert_eq!(*answer(ill).await.expect_err("no metadata").kind(), StoreErrorKind::Corrupt);
        assert_eq!(answer(well).await.expect("reads").events.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_for_others_may_be_dropped() {
    let database = database().await;
    let store = store_with_one_lane(database.url()).await;
    for id in ["1", "2", "3"] {
        store.append(one(id, Expected::NoStream)).await.expect("appends");
    }
    let mut blocker = stranger(&database).await;
    run(&mut blocker, BLOCK).await;
    let first = spawn(&store, "1");
    until(&mut blocker, ONE_IS_BLOCKED).await;
    let second = spawn(&store, "2");
    settle().await;
    let third = spawn(&store, "3");
    settle().await;
    // The lane falls to the second, who takes the third along; and each that is dropped closes its connection.
    for reader in [first, second] {
        reader.abort();
        reader.await.expect_err("is dropped");
        settle().await;
    }
    run(&mut blocker, "COMMIT").await;
    let page = answer(third).await.expect("reads");
    assert_eq!(page.events[0].stream, stream("3"));
    until(&mut blocker, NOBODY_IS_BLOCKED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_load_that_is_not_polled() {
    let database = database().await;
    let store = PostgresStore::builder().load_lanes(2).connect(database.url()).await;
    let store = Arc::new(store.expect("the database is there"));
    for id in ["1", "2", "3"] {
        store.append(one(id, Expected::NoStream)).await.expect("appends");
    }
    let begin = |id: &str| -> Pin<Box<dyn Future<Output = Result<StreamPage, StoreError>> + Send>> {
        let (store, read) = (Arc::clone(&store), load(id));
        Box::pin(async move { store.read_stream(read).await })
    };
    let mut blocker = stranger(&database).await;
    run(&mut blocker, BLOCK).await;
    let (mut has_a_lane, mut has_the_other) = (begin("1"), begin("1"));
    assert!(has_no_answer(has_a_lane.as_mut()).await && has_no_answer(has_the_other.as_mut()).await);
    run(&mut blocker, "COMMIT").await;
    let late = tokio::time::timeout(PATIENCE, begin("1")).await;
    assert!(late.expect("in time").is_ok(), "no lane is free, and none will be");

    run(&mut blocker, BLOCK).await;
    let (mut reads_for_both, mut third) = (begin("2"), begin("3"));
    assert!(has_no_answer(reads_for_both.as_mut()).await && has_no_answer(third.as_mut()).await);
    drop(has_a_lane);
    assert!(has_no_answer(reads_for_both.as_mut()).await, "it has the lane, and begins to read");
    run(&mut blocker, "COMMIT").await;
    drop(has_the_other);
    let third = tokio::time::timeout(PATIENCE, third).await;
    assert_eq!(third.expect("in time").expect("reads").events[0].stream, stream("3"));
}
