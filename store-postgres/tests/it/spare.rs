//! Connections that are kept from the pool for a moment: whoever else uses the pool does not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use factum_core::store::ReadStream;
use factum_core::{EventStore, Expected, StoreErrorKind};
use factum_postgres::PostgresStore;
use factum_testkit::{Database, Proxy};
use tokio::task::JoinHandle;

use crate::given::{PATIENCE, database, one, stream};

async fn read(store: &PostgresStore) {
    store.read_stream(ReadStream::new(stream("1"))).await.expect("reads");
}

/// A store that has read before, and what counts its messages from then on.
async fn counted(database: &Database) -> (PostgresStore, Proxy) {
    let proxy = Proxy::in_front_of(database.url()).expect("a port is free");
    let builder = PostgresStore::builder().max_connections(2).notifications(false);
    let store = builder.connect(proxy.url()).await.expect("connects");
    read(&store).await;
    proxy.reset_counts();
    (store, proxy)
}

/// That every connection is in the pool and at rest, soon.
async fn all_are_idle(store: &PostgresStore) {
    let begin = Instant::now();
    while store.pool().num_idle() != usize::try_from(store.pool().size()).expect("few") {
        assert!(begin.elapsed() < PATIENCE, "{store:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Readers without a pause, until they are stopped.
struct Readers {
    are_stopped: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Readers {
    fn start(store: &PostgresStore, count: usize) -> Self {
        let are_stopped = Arc::<AtomicBool>::default();
        let tasks = (0..count).map(|_| {
            let (store, are_stopped) = (store.clone(), Arc::clone(&are_stopped));
            tokio::spawn(async move {
                loop {
                    read(&store).await;
                    if are_stopped.load(Ordering::SeqCst) {
                        break;
                    }
                }
            })
        });
        Self { tasks: tasks.collect(), are_stopped }
    }

    async fn stop(self) {
        self.are_stopped.store(true, Ordering::SeqCst);
        for task in self.tasks {
            tokio::time::timeout(PATIENCE, task).await.expect("in time").expect("no panic");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_follow_each_other_ask_the_connection_nothing_else() {
    let database = database().await;
    let (store, proxy) = counted(&database).await;
    for _ in 0..50 {
        read(&store).await;
    }
    let counts = proxy.counts();
    assert_eq!(counts.executes, 50);
    // One for each statement, and some where the machine was slow and the connection had rested.
    assert!(counts.syncs < 90, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_always_used_goes_through_the_pool_now_and_then() {
    let database = database().await;
    let (store, proxy) = counted(&database).await;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(2_500) {
        read(&store).await;
    }
    let counts = proxy.counts();
    assert!(counts.syncs >= counts.executes + 2, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_has_its_connections_while_the_store_is_busy() {
    for connections in [1, 2, 4] {
        let database = database().await;
        let builder = PostgresStore::builder().max_connections(connections).notifications(false);
        let store = builder.connect(database.url()).await.expect("connects");
        let readers = Readers::start(&store, 8);
        for _ in 0..20 {
            // Half of what there is, together, as a page of an application may take.
            let held = (0..connections.div_ceil(2)).map(|_| {
                let pool = store.pool().clone();
                tokio::spawn(async move { pool.acquire().await })
            });
            for held in held.collect::<Vec<_>>() {
                let connection =
                    tokio::time::timeout(PATIENCE, held).await.expect("in time").expect("no panic");
                connection.expect("is had");
            }
        }
        readers.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_callers_as_connections_leave_some_for_the_application() {
    let database = database().await;
    let builder = PostgresStore::builder().max_connections(2).notifications(false);
    let store = builder.connect(database.url()).await.expect("connects");
    let readers = Readers::start(&store, 2);
    let begin = Instant::now();
    for _ in 0..20 {
        drop(store.pool().acquire().await.expect("is had"));
    }
    // It would be one in a second, if only those came to the pool that have to.
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    readers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_starves_where_one_connection_is_left() {
    let database = database().await;
    let builder = PostgresStore::builder().max_connections(2).acquire_timeout(Duration::from_millis(2_500));
    let store = builder.retry_for(Duration::ZERO).notifications(false).connect(database.url()).await;
    let store = store.expect("connects");
    store.head().await.expect("is there");
    let held = store.pool().acquire().await.expect("is had");
    let begin = Instant::now();
    let callers = (0..6).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            while begin.elapsed() < Duration::from_secs(6) {
                store.head().await.expect("its turn comes");
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("no panic");
    }
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_rested_is_in_the_pool_again() {
    let database = database().await;
    let builder = PostgresStore::builder().max_connections(6).notifications(false);
    let store = builder.connect(database.url()).await.expect("connects");
    Readers::start(&store, 12).stop().await;
    all_are_idle(&store).await;
    // So the application can have all of them at once.
    let mut held = Vec::new();
    for _ in 0..6 {
        let connection = tokio::time::timeout(PATIENCE, store.pool().acquire()).await.expect("in time");
        held.push(connection.expect("is had"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_ends_leaves_nobody_unwatched() {
    let database = database().await;
    let builder = PostgresStore::builder().max_connections(2).notifications(false);
    let store = builder.connect(database.url()).await.expect("connects");
    read(&store).await;
    all_are_idle(&store).await;
    let other = store.clone();
    let ended = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Runtime::new().expect("starts");
        runtime.block_on(read(&other));
        drop(runtime);
    });
    ended.await.expect("no panic");
    read(&store).await;
    all_are_idle(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_closed_keeps_no_connection() {
    let database = database().await;
    for _ in 0..10 {
        let builder = PostgresStore::builder().max_connections(4).retry_for(Duration::ZERO);
        let store = builder.notifications(false).connect(database.url()).await.expect("connects");
        store.append(one("1", Expected::Any)).await.expect("appends");
        read(&store).await;
        let closing = tokio::spawn({
            let store = store.clone();
            async move { store.close().await }
        });
        while !store.pool().is_closed() {
            tokio::task::yield_now().await;
        }
        let late = store.read_stream(ReadStream::new(stream("1"))).await.expect_err("is closed");
        assert_eq!(*late.kind(), StoreErrorKind::Closed);
        tokio::time::timeout(PATIENCE, closing).await.expect("in time").expect("no panic");
        assert_eq!(store.pool().size(), 0);
    }
}
