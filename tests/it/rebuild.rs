//! The last moment of a rebuild: the old version goes on while the new one is about to take its place.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use factum::memory::{MemoryStore, MemoryTx};
use factum::{
    Context, Envelope, EventHandler, EventStore, On, OnFailure, Position, Rebuild, Repository, Retry,
    Subscription, Swap,
};

use crate::domain::{Order, OrderPlaced, place};
use crate::slow::{Meanwhile, Slow};

/// Which positions were handled, and whether to rebuild.
type Rows = Arc<Mutex<Vec<(u64, bool)>>>;

#[derive(Debug, thiserror::Error, PartialEq)]
#[error("it was told to fail")]
struct ToldToFail;

#[derive(EventHandler, Clone, Default)]
#[handler(name = "rows", error = ToldToFail, cx = MemoryTx, on(OrderPlaced))]
struct Rowing {
    rows: Rows,
    /// From which position on it fails; 0 for never.
    fails_from: Arc<AtomicU64>,
    /// On which position it fails; 0 for none.
    fails_on: Arc<AtomicU64>,
}

impl On<OrderPlaced, MemoryTx> for Rowing {
    async fn on(&self, event: &Envelope<OrderPlaced>, cx: &mut Context<MemoryTx>) -> Result<(), ToldToFail> {
        if (1..=event.position.0).contains(&self.fails_from.load(Ordering::SeqCst)) {
            return Err(ToldToFail);
        }
        if self.fails_on.load(Ordering::SeqCst) == event.position.0 {
            return Err(ToldToFail);
        }
        let (rows, row) = (Arc::clone(&self.rows), (event.position.0, cx.is_rebuilding()));
        cx.tx().on_commit(move || rows.lock().unwrap().push(row));
        Ok(())
    }
}

/// Which version is in use.
#[derive(Clone, Default)]
struct InUse(Arc<Mutex<Vec<&'static str>>>);

impl Swap<MemoryTx> for InUse {
    type Error = std::convert::Infallible;

    async fn swap(&self, tx: &mut MemoryTx) -> Result<(), Self::Error> {
        let in_use = self.0.clone();
        tx.on_commit(move || in_use.lock().unwrap().push("v2"));
        Ok(())
    }
}

/// A shop with so many orders, and the two versions, of which the old one has come to the middle.
async fn half_way(orders: u64, partitions: u32) -> (MemoryStore, [Subscription<MemoryTx>; 2], [Rowing; 2]) {
    let store = MemoryStore::new();
    fill(&store, 1..=orders).await;
    let handlers = [Rowing::default(), Rowing::default()];
    let mut versions = ["v1", "v2"].into_iter().zip(&handlers).map(|(name, handler)| {
        Subscription::transactional(name, store.clone(), OnFailure::stop())
            .handler(handler.clone())
            .shared(partitions)
    });
    let versions = [versions.next().unwrap(), versions.next().unwrap()];
    handlers[0].fails_from.store(orders / 2 + 1, Ordering::SeqCst);
    versions[0].catch_up().await.unwrap_err();
    handlers[0].fails_from.store(0, Ordering::SeqCst);
    (store, versions, handlers)
}

async fn fill(store: &MemoryStore, orders: impl Iterator<Item = u64>) {
    let repository = Repository::<Order>::new(store.clone());
    for id in orders {
        repository.execute(&id, place()).await.unwrap();
    }
}

fn rows(of: &Rowing) -> Vec<(u64, bool)> {
    let mut rows = of.rows.lock().unwrap().clone();
    rows.sort_unstable();
    rows
}

/// Each event once, rebuilt up to `swapped` and live from there on.
fn assert_whole(of: &Rowing, events: u64, swapped: u64) {
    let expected: Vec<_> = (1..=events).map(|position| (position, position <= swapped)).collect();
    assert_eq!(rows(of), expected);
}

#[tokio::test]
async fn what_the_old_version_has_not_handled_is_not_rebuilt() {
    for workers in [0, 2] {
        let (store, [old, new], [_, rowing]) = half_way(40, 1).await;
        let rebuild = Rebuild::new(store, &new).replacing(&old);
        let rebuild = match workers {
            0 => rebuild,
            workers => rebuild.in_parallel(workers, |event| Ok(Some(event.stream.to_string()))),
        };
        assert_eq!(rebuild.run(&InUse::default()).await.unwrap(), Position(20));
        new.catch_up().await.unwrap();
        assert_whole(&rowing, 40, 20);
    }
}

#[tokio::test]
async fn what_the_old_version_handles_before_the_swap_is_part_of_it() {
    for partitions in [1, 3] {
        let (store, [old, new], [_, rowing]) = half_way(40, partitions).await;
        let meanwhile: Meanwhile = Arc::new({
            let old = old.clone();
            move || {
                let old = old.clone();
                Box::pin(async move { assert_eq!(old.catch_up().await.unwrap(), Position(40)) })
            }
        });
        let in_use = InUse::default();
        let rebuild = Rebuild::new(Slow::meanwhile(store, meanwhile), &new).replacing(&old);
        assert_eq!(rebuild.run(&in_use).await.unwrap(), Position(40));
        assert_whole(&rowing, 40, 40);
        assert_eq!(*in_use.0.lock().unwrap(), ["v2"]);
        new.catch_up().await.unwrap();
        assert_whole(&rowing, 40, 40);
    }
}

#[tokio::test]
async fn an_old_version_that_goes_on_is_followed_until_it_is_reached() {
    let (store, [old, new], [_, rowing]) = half_way(40, 1).await;
    let next = Arc::new(AtomicU64::new(41));
    let meanwhile: Meanwhile = Arc::new({
        let (old, store) = (old.clone(), store.clone());
        move || {
            let (old, store, next) = (old.clone(), store.clone(), Arc::clone(&next));
            Box::pin(async move {
                // Three times something happens that was not there when the new version looked.
                let first = next.fetch_add(5, Ordering::SeqCst);
                if first < 55 {
                    fill(&store, first..first + 5).await;
                }
                old.catch_up().await.unwrap();
            })
        }
    });
    let in_use = InUse::default();
    let rebuild = Rebuild::new(Slow::meanwhile(store.clone(), meanwhile), &new).replacing(&old);
    assert_eq!(rebuild.run(&in_use).await.unwrap(), Position(55));
    assert_eq!(store.head().await.unwrap(), Position(55));
    assert_whole(&rowing, 55, 55);
    assert_eq!(*in_use.0.lock().unwrap(), ["v2"]);
}

#[tokio::test]
async fn what_fails_at_the_last_moment_is_treated_as_the_policy_says() {
    let (store, [old, _], _) = half_way(40, 1).await;
    let rowing = Rowing::default();
    let new = Subscription::transactional("v2", store.clone(), Retry::times(1).then_park_stream())
        .handler(rowing.clone());
    let meanwhile: Meanwhile = Arc::new({
        let (old, fails_from) = (old.clone(), Arc::clone(&rowing.fails_from));
        move || {
            let (old, fails_from) = (old.clone(), Arc::clone(&fails_from));
            Box::pin(async move {
                old.catch_up().await.unwrap();
                fails_from.store(40, Ordering::SeqCst);
            })
        }
    });
    let in_use = InUse::default();
    let rebuild = Rebuild::new(Slow::meanwhile(store.clone(), meanwhile), &new).replacing(&old);
    assert_eq!(rebuild.run(&in_use).await.unwrap(), Position(40));
    assert_whole(&rowing, 39, 39);
    assert_eq!(new.health().await.unwrap().dead_letters, 1);
    assert_eq!(*in_use.0.lock().unwrap(), ["v2"]);
}

#[tokio::test]
async fn no_effect_is_left_out_where_the_work_is_split_otherwise() {
    let store = MemoryStore::new();
    fill(&store, 1..=40).await;
    let (behind, rowing) = (Rowing::default(), Rowing::default());
    behind.fails_on.store(5, Ordering::SeqCst);
    // While one partition fails, the others come to the end.
    let stubborn = Retry::times(4).waits(Duration::from_millis(50), Duration::from_millis(50)).then_stop();
    let old = Subscription::transactional("v1", store.clone(), stubborn).handler(behind.clone()).shared(3);
    old.catch_up().await.unwrap_err();
    assert!(rows(&behind).iter().any(|(position, _)| *position > 5));

    let new = Subscription::transactional("v2", store.clone(), OnFailure::stop()).handler(rowing.clone());
    let swapped = Rebuild::new(store, &new).replacing(&old).run(&InUse::default()).await.unwrap();
    assert!(swapped < Position(5), "{swapped}");
    new.catch_up().await.unwrap();
    assert_whole(&rowing, 40, swapped.0);
}
