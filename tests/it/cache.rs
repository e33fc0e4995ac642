//! The cache of hot aggregates: what it saves, and that it never says what is not so.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use factum::memory::MemoryStore;
use factum::retention::Retention;
use factum::{
    Cache, CommandId, ExecuteError, Expected, LoadError, Repository, StreamId, Transactional, Version,
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use crate::domain::{Cancel, Order, OrderError, Status, place, ship};
use crate::faulty::Faulty;
use crate::watched::{Asked, Watched};

fn cache() -> Cache<Order> {
    Cache::new(100, 1 << 20).trusted_for(Duration::MAX)
}

fn stream() -> StreamId {
    StreamId::new("order", "1").unwrap()
}

/// A placed order, which is hot in a repository; others use the store beside it.
async fn placed(cache: Cache<Order>) -> (Repository<Order>, Repository<Order>, Watched) {
    let store = Watched::default();
    let orders = Repository::<Order>::new(store.clone()).cached(cache);
    orders.execute(&1, place()).await.unwrap();
    store.asked();
    (orders, Repository::new(store.now()), store)
}

#[tokio::test]
async fn a_command_on_a_hot_aggregate_asks_once() {
    let (orders, _, store) = placed(cache()).await;
    for round in 1..=3_u64 {
        let order = orders.execute(&1, ship("ours")).await.unwrap();
        assert_eq!((order.parcels.len() as u64, order.version()), (round, Version(round + 1)));
        assert_eq!(store.asked(), Asked { reads: 0, events: 0, appends: 1 });
    }
    // Also right after it was loaded.
    let orders = Repository::<Order>::new(store.clone()).cached(cache());
    orders.load(&1).await.unwrap();
    store.asked();
    assert_eq!(orders.execute(&1, ship("ours")).await.unwrap().parcels.len(), 4);
    assert_eq!(store.asked(), Asked { reads: 0, events: 0, appends: 1 });
}

#[tokio::test]
async fn what_others_have_appended_is_found_by_the_conflict_and_nothing_else_is_read() {
    let (orders, others, store) = placed(cache()).await;
    for _ in 0..5 {
        orders.execute(&1, ship("ours")).await.unwrap();
    }
    others.execute(&1, ship("theirs")).await.unwrap();
    store.asked();
    let order = orders.execute(&1, ship("ours")).await.unwrap();
    assert_eq!(order.parcels, ["ours", "ours", "ours", "ours", "ours", "theirs", "ours"]);
    assert_eq!(store.asked(), Asked { reads: 1, events: 1, appends: 2 });
    orders.execute(&1, ship("ours")).await.unwrap();
    assert_eq!(store.asked(), Asked { reads: 0, events: 0, appends: 1 });
}

#[tokio::test]
async fn a_remembered_state_never_says_no() {
    let (orders, others, store) = placed(cache()).await;
    orders.execute(&1, Cancel).await.unwrap();
    // Whether it is still cancelled is asked.
    store.asked();
    let rejected = orders.execute(&1, ship("ours")).await.unwrap_err();
    assert!(matches!(rejected, ExecuteError::Rejected(OrderError::Is(Status::Cancelled))));
    assert_eq!(store.asked(), Asked { reads: 1, events: 0, appends: 0 });
    let nothing = orders.execute(&1, Cancel).await.unwrap();
    assert_eq!((nothing.version(), store.asked().reads), (Version(2), 1));

    // What was not possible has become so.
    let (orders, _, store) = (Repository::<Order>::new(store.now()).cached(cache()), others, store);
    assert!(matches!(orders.execute(&2, ship("early")).await, Err(ExecuteError::Rejected(_))));
    Repository::<Order>::new(store.now()).execute(&2, place()).await.unwrap();
    orders.load(&2).await.unwrap();
    Repository::<Order>::new(store.now()).execute(&2, ship("theirs")).await.unwrap();
    let again = orders.execute(&2, place()).await.unwrap_err();
    assert!(matches!(again, ExecuteError::Rejected(OrderError::Is(Status::Shipped))), "{again:?}");
}

#[tokio::test]
async fn a_load_is_never_behind() {
    let (orders, others, store) = placed(cache()).await;
    for parcels in 1..=4 {
        others.execute(&1, ship("theirs")).await.unwrap();
        assert_eq!(orders.load(&1).await.unwrap().parcels.len(), parcels);
        assert_eq!(store.asked(), Asked { reads: 1, events: 1, appends: 0 });
        assert_eq!(orders.find(&1).await.unwrap().unwrap().parcels.len(), parcels);
        assert_eq!(store.asked(), Asked { reads: 1, events: 0, appends: 0 });
    }
}

#[tokio::test]
async fn a_stream_that_was_set_apart_is_not_what_is_remembered() {
    for is_trusted in [true, false] {
        let trust = if is_trusted { Duration::MAX } else { Duration::ZERO };
        let (orders, others, store) = placed(cache().trusted_for(trust)).await;
        others.execute(&1, ship("1")).await.unwrap();
        others.execute(&1, ship("2")).await.unwrap();
        assert_eq!(orders.load(&1).await.unwrap().parcels, ["1", "2"]);
        store.now().truncate_stream(&stream(), Version(3)).await.unwrap();
        if is_trusted {
            // It is noticed by looking.
            assert_eq!(orders.load(&1).await.unwrap().parcels, ["2"]);
        }
        let order = orders.execute(&1, ship("3")).await.unwrap();
        assert_eq!(order.parcels, ["2", "3"]);
        assert_eq!(orders.load(&1).await.unwrap(), others.load(&1).await.unwrap());

        store.now().archive_stream(&stream(), Expected::Any).await.unwrap();
        assert!(matches!(orders.execute(&1, ship("4")).await, Err(ExecuteError::Closed(_))));
        assert!(matches!(orders.load(&1).await, Err(LoadError::Closed(_))));
        store.now().restore_stream(&stream()).await.unwrap();
        assert_eq!(orders.execute(&1, ship("5")).await.unwrap().parcels, ["2", "3", "5"]);

        store.now().delete_stream(&stream(), Expected::Any).await.unwrap();
        assert!(matches!(orders.execute(&1, ship("6")).await, Err(ExecuteError::Closed(_))));
        assert!(matches!(orders.load(&1).await, Err(LoadError::Closed(_))));
    }
}

#[tokio::test]
async fn a_log_that_was_restored_is_not_what_is_remembered() {
    for is_ahead in [true, false] {
        let (orders, _, store) = placed(cache().trusted_for(Duration::ZERO)).await;
        orders.execute(&1, ship("lost")).await.unwrap();
        orders.execute(&1, ship("lost too")).await.unwrap();
        // Another log comes to the same version, or not as far.
        let other = MemoryStore::new();
        let theirs = Repository::<Order>::new(other.clone());
        theirs.execute(&1, place()).await.unwrap();
        for _ in 0..if is_ahead { 1 } else { 2 } {
            theirs.execute(&1, ship("kept")).await.unwrap();
        }
        let wanted = theirs.load(&1).await.unwrap();
        store.become_another(other);
        assert_eq!(orders.load(&1).await.unwrap(), wanted);
        let order = orders.execute(&1, ship("new")).await.unwrap();
        assert_eq!(order.parcels.len(), wanted.parcels.len() + 1);
        assert_eq!(order.parcels[0], "kept");
        assert_eq!(orders.load(&1).await.unwrap(), order);
    }
    let (orders, _, store) = placed(cache().trusted_for(Duration::ZERO)).await;
    orders.execute(&1, ship("lost")).await.unwrap();
    let other = MemoryStore::new();
    let theirs = Repository::<Order>::new(other.clone());
    theirs.execute(&1, place()).await.unwrap();
    theirs.execute(&1, Cancel).await.unwrap();
    store.become_another(other);
    let rejected = orders.execute(&1, ship("new")).await.unwrap_err();
    assert!(matches!(rejected, ExecuteError::Rejected(OrderError::Is(Status::Cancelled))), "{rejected:?}");
}

#[tokio::test]
async fn a_repeated_command_is_answered_as_before() {
    let (orders, _, _) = placed(cache()).await;
    let id = CommandId::from_key("the first parcel");
    let first = orders.execute(&1, ship("1")).command_id(id).await.unwrap();
    orders.execute(&1, ship("2")).await.unwrap();
    assert_eq!(orders.execute(&1, ship("1")).command_id(id).await.unwrap(), first);
    orders.execute(&1, ship("3")).await.unwrap();
    let again = orders.execute(&1, ship("1")).command_id(id).expecting(Version(1)).await.unwrap();
    assert_eq!(again, first);
    // One that the state of now refuses.
    let id = CommandId::from_key("place");
    let placed = orders.execute(&2, place()).command_id(id).await.unwrap();
    orders.execute(&2, ship("1")).await.unwrap();
    assert_eq!(orders.execute(&2, place()).command_id(id).await.unwrap(), placed);
    assert_eq!(orders.load(&1).await.unwrap().parcels, ["1", "2", "3"]);
    assert_eq!(orders.execute(&1, ship("4")).await.unwrap().parcels.len(), 4);
}

#[tokio::test]
async fn what_a_transaction_has_done_is_not_remembered() {
    let store = MemoryStore::new();
    let orders = Repository::<Order>::new(store.clone()).cached(cache());
    orders.execute(&1, place()).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    orders.execute(&1, ship("never")).within(&store, &mut tx).await.unwrap();
    let seen = orders.execute(&1, ship("never")).within(&store, &mut tx).await.unwrap();
    assert_eq!(seen.state().parcels.len(), 2);
    store.rollback(tx).await.unwrap();
    // Others come as far as the transaction would have.
    let others = Repository::<Order>::new(store);
    for _ in 0..2 {
        others.execute(&1, ship("theirs")).await.unwrap();
    }
    let order = orders.execute(&1, ship("ours")).await.unwrap();
    assert_eq!(
        (&order.parcels[..], order.version()),
        (&["theirs", "theirs", "ours"].map(String::from)[..], Version(4))
    );
    assert_eq!(orders.load(&1).await.unwrap(), order);
}

#[tokio::test]
async fn time_travel_neither_reads_nor_leaves_anything_there() {
    let (orders, _, store) = placed(cache()).await;
    orders.execute(&1, ship("1")).await.unwrap();
    let fresh = Repository::<Order>::new(store.clone()).cached(cache());
    assert_eq!(fresh.load_at(&1, Version(1)).await.unwrap().parcels.len(), 0);
    store.asked();
    fresh.execute(&1, ship("2")).await.unwrap();
    assert_eq!(store.asked(), Asked { reads: 1, events: 2, appends: 1 });
    assert_eq!(fresh.load_at(&1, Version(1)).await.unwrap().parcels.len(), 0);
    assert_eq!(store.asked().events, 3, "all of them, and not from the cache");
    assert_eq!(fresh.load(&1).await.unwrap().parcels.len(), 2);
}

#[tokio::test]
async fn a_state_that_somebody_brings_along_is_not_kept() {
    let (orders, _, _) = placed(cache()).await;
    // Of another store, and of the same version.
    let elsewhere = Repository::<Order>::new(MemoryStore::new());
    let theirs = elsewhere.execute(&1, crate::domain::Place { customer: "Bo".into(), lines: vec![] }).await;
    orders.execute(&1, ship("1")).starting_from(theirs.unwrap()).await.unwrap();
    assert_eq!(orders.load(&1).await.unwrap().lines, place().lines);
    assert_eq!(orders.execute(&1, ship("2")).await.unwrap().lines, place().lines);
}

#[tokio::test]
async fn clones_share_it_and_what_is_forgotten_is_gone_from_all() {
    let (orders, _, store) = placed(cache()).await;
    let clone = orders.clone();
    clone.execute(&1, ship("1")).await.unwrap();
    orders.execute(&1, ship("2")).await.unwrap();
    assert_eq!(store.asked(), Asked { reads: 0, events: 0, appends: 2 });
    orders.forget(&1).unwrap();
    clone.execute(&1, ship("3")).await.unwrap();
    assert_eq!(store.asked(), Asked { reads: 1, events: 3, appends: 1 });
}

#[tokio::test]
async fn a_command_that_is_dropped_leaves_it_right() {
    let mut outcomes = [0, 0];
    for steps in 0..12 {
        for is_stale in [false, true] {
            let (orders, others, store) = placed(cache()).await;
            if is_stale {
                others.execute(&1, ship("theirs")).await.unwrap();
            }
            let mut cx = Context::from_waker(Waker::noop());
            let mut executing = Box::pin(orders.execute(&1, ship("ours")).into_future());
            let is_done = (0..steps).any(|_| matches!(executing.as_mut().poll(&mut cx), Poll::Ready(_)));
            drop(executing);
            outcomes[usize::from(is_done)] += 1;
            let real = others.load(&1).await.unwrap();
            assert_eq!(orders.load(&1).await.unwrap(), real, "{steps} steps");
            store.asked();
            let order = orders.execute(&1, ship("next")).await.unwrap();
            assert_eq!(order.parcels.len(), real.parcels.len() + 1);
        }
    }
    assert!(outcomes.iter().all(|&times| times > 3), "{outcomes:?}");
}

#[tokio::test]
async fn many_at_once_lose_nothing() {
    let (orders, others, _) = placed(cache()).await;
    let racers = (0..20).map(|number| {
        let orders = if number % 3 == 0 { others.clone() } else { orders.clone() };
        tokio::spawn(async move {
            orders.execute(&1, ship("p")).attempts(1000).await.map(|order| order.version())
        })
    });
    let mut versions = Vec::new();
    for racer in racers.collect::<Vec<_>>() {
        versions.push(racer.await.unwrap().unwrap().0);
    }
    versions.sort_unstable();
    assert_eq!(versions, (2..=21).collect::<Vec<_>>());
    assert_eq!(orders.load(&1).await.unwrap(), others.load(&1).await.unwrap());
}

#[tokio::test]
async fn a_store_that_cannot_say_what_stands_has_no_cache() {
    let orders = Repository::<Order>::new(Faulty::new(MemoryStore::new(), [])).cached(cache());
    orders.execute(&1, place()).await.unwrap();
    assert_eq!(orders.execute(&1, ship("1")).await.unwrap().parcels.len(), 1);
    assert_eq!(orders.load(&1).await.unwrap().parcels.len(), 1);
}

#[test]
fn what_it_did_is_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut counting = pin!(async {
            let (orders, others, _) = placed(cache()).await; // A miss.
            orders.execute(&1, ship("1")).await.unwrap(); // A hit.
            others.execute(&1, ship("2")).await.unwrap();
            orders.execute(&1, ship("3")).await.unwrap(); // A hit, and stale.
            orders.load(&1).await.unwrap(); // A hit.
            orders.load(&2).await.unwrap_err(); // A miss.
            orders.execute(&1, ship("4")).expecting(Version(4)).await.unwrap(); // A hit.
            others.execute(&1, ship("5")).await.unwrap();
            orders.load(&1).await.unwrap(); // A hit, and stale.
        });
        runtime.block_on(&mut counting);
    });
    let mut counts: Vec<_> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| {
            let labels: Vec<_> = key.key().labels().map(|label| label.value().to_owned()).collect();
            assert_eq!(labels, ["order"]);
            let DebugValue::Counter(count) = value else { panic!("{value:?}") };
            (key.key().name().to_owned(), count)
        })
        .collect();
    counts.sort();
    let wanted =
        [("factum_cache_hits_total", 5), ("factum_cache_misses_total", 2), ("factum_cache_stale_total", 2)];
    assert_eq!(counts, wanted.map(|(name, count)| (name.to_owned(), count)));
}
