//! Subscriptions: catch up, then live; checkpoints; stopping; failing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use factum::memory::{MemoryStore, MemoryTx};
use factum::{
    Checkpoints, Context, Envelope, EventHandler, Flush, On, OnFailure, Position, Repository, StoreErrorKind,
    Subscription, SubscriptionError,
};
use tokio::sync::{oneshot, watch};

use crate::domain::{Cancel, Order, OrderPlaced, OrderShipped, place, ship};

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("out of stamps")]
struct OutOfStamps;

/// Parcels that were announced by mail.
#[derive(Clone, Default)]
struct Outbox {
    parcels: Arc<Mutex<Vec<String>>>,
    is_out_of_stamps: Arc<AtomicBool>,
    count: Arc<watch::Sender<usize>>,
}

impl Outbox {
    fn parcels(&self) -> String {
        self.parcels.lock().unwrap().concat()
    }

    async fn reaches(&self, count: usize) {
        let reached = async { self.count.subscribe().wait_for(|now| *now >= count).await.map(|_| ()) };
        tokio::time::timeout(Duration::from_secs(10), reached).await.expect("in time").expect("open");
    }
}

#[derive(EventHandler)]
#[handler(name = "mails", error = OutOfStamps, on(OrderShipped))]
struct Mails(Outbox);

impl On<OrderShipped> for Mails {
    async fn on(&self, event: &Envelope<OrderShipped>, _: &mut Context) -> Result<(), OutOfStamps> {
        if self.0.is_out_of_stamps.load(Ordering::SeqCst) && event.event.parcel == "c" {
            return Err(OutOfStamps);
        }
        self.0.parcels.lock().unwrap().push(event.event.parcel.clone());
        self.0.count.send_modify(|count| *count += 1);
        Ok(())
    }
}

/// A shop with an order that was placed and shipped in these parcels.
async fn shop(parcels: &[&str]) -> (MemoryStore, Repository<Order>) {
    let store = MemoryStore::new();
    let orders = Repository::<Order>::new(store.clone());
    orders.execute(&1, place()).await.unwrap();
    for parcel in parcels {
        orders.execute(&1, ship(parcel)).await.unwrap();
    }
    (store, orders)
}

fn mails(store: &MemoryStore, outbox: &Outbox) -> Subscription {
    Subscription::new("mails", store.clone(), OnFailure::stop())
        .handler(Mails(outbox.clone()))
        .batch_events(2)
}

#[tokio::test]
async fn catches_up_and_goes_on_from_its_checkpoint() {
    let (store, orders) = shop(&["a", "b", "c"]).await;
    let outbox = Outbox::default();
    assert_eq!(mails(&store, &outbox).catch_up().await.unwrap(), Position(4));
    assert_eq!(outbox.parcels(), "abc");
    assert_eq!(mails(&store, &outbox).catch_up().await.unwrap(), Position(4));
    orders.execute(&1, ship("d")).await.unwrap();
    mails(&store, &outbox).catch_up().await.unwrap();
    assert_eq!(outbox.parcels(), "abcd");
}

#[tokio::test]
async fn switches_from_the_past_to_the_present_without_a_seam() {
    let (store, orders) = shop(&["a", "b"]).await;
    let outbox = Outbox::default();
    let (stop, stopped) = oneshot::channel::<()>();
    let subscription = mails(&store, &outbox);
    let running = tokio::spawn(async move { subscription.run_until(async { drop(stopped.await) }).await });
    outbox.reaches(2).await;
    for parcel in ["c", "d", "e"] {
        orders.execute(&1, ship(parcel)).await.unwrap();
    }
    outbox.reaches(5).await;
    stop.send(()).unwrap();
    assert_eq!(running.await.unwrap().unwrap(), Position(6));
    assert_eq!(outbox.parcels(), "abcde");
    assert_eq!(store.checkpoint("mails").await.unwrap().position, Position(6));
}

/// Waits in the middle of an event until it is told to go on.
#[derive(EventHandler)]
#[handler(name = "slow", error = OutOfStamps, on(OrderShipped))]
struct Slow {
    outbox: Outbox,
    go_on: watch::Receiver<bool>,
}

impl On<OrderShipped> for Slow {
    async fn on(&self, event: &Envelope<OrderShipped>, _: &mut Context) -> Result<(), OutOfStamps> {
        self.outbox.count.send_modify(|count| *count += 1);
        self.go_on.clone().wait_for(|go_on| *go_on).await.map_err(|_| OutOfStamps)?;
        self.outbox.parcels.lock().unwrap().push(event.event.parcel.clone());
        Ok(())
    }
}

#[tokio::test]
async fn a_stop_finishes_the_event_and_commits() {
    let (store, _) = shop(&["a", "b", "c"]).await;
    let outbox = Outbox::default();
    let (go_on, waiting) = watch::channel(false);
    let (stop, stopped) = oneshot::channel::<()>();
    let subscription = Subscription::new("slow", store.clone(), OnFailure::stop())
        .handler(Slow { outbox: outbox.clone(), go_on: waiting });
    let running = tokio::spawn(async move { subscription.run_until(async { drop(stopped.await) }).await });
    outbox.reaches(1).await;
    stop.send(()).unwrap();
    tokio::task::yield_now().await;
    go_on.send(true).unwrap();
    assert_eq!(running.await.unwrap().unwrap(), Position(2));
    assert_eq!(outbox.parcels(), "a");
    assert_eq!(store.checkpoint("slow").await.unwrap().position, Position(2));
}

/// Takes its time over each event.
#[derive(EventHandler)]
#[handler(name = "leisurely", error = OutOfStamps, on(OrderShipped))]
struct Leisurely(Outbox);

impl On<OrderShipped> for Leisurely {
    async fn on(&self, _: &Envelope<OrderShipped>, _: &mut Context) -> Result<(), OutOfStamps> {
        self.0.count.send_modify(|count| *count += 1);
        tokio::time::sleep(Duration::from_millis(60)).await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_checkpoint_of_a_slow_handler_is_not_far_behind() {
    let (store, _) = shop(&["a", "b", "c", "d", "e"]).await;
    let outbox = Outbox::default();
    let subscription = Subscription::new("leisurely", store.clone(), OnFailure::stop());
    let subscription = subscription.handler(Leisurely(outbox.clone()));
    let running = tokio::spawn(async move { subscription.catch_up().await });
    outbox.reaches(5).await;
    // Two events take longer than a batch lasts. They are at 2 and 3, then 4 and 5, and the last is at hand.
    assert_eq!(store.checkpoint("leisurely").await.unwrap().position, Position(5));
    running.await.unwrap().unwrap();
    assert_eq!(store.checkpoint("leisurely").await.unwrap().position, Position(6));
}

#[tokio::test]
async fn a_failure_stops_before_the_event_and_skips_nothing() {
    let (store, _) = shop(&["a", "b", "c", "d"]).await;
    let outbox = Outbox::default();
    outbox.is_out_of_stamps.store(true, Ordering::SeqCst);
    let error = mails(&store, &outbox).catch_up().await.unwrap_err();
    let SubscriptionError::Handler(error) = error else { panic!("{error:?}") };
    assert_eq!((error.handler, error.event.map(|event| event.position)), ("mails", Some(Position(4))));
    assert!(store.checkpoint("mails").await.unwrap().position < Position(4));
    outbox.is_out_of_stamps.store(false, Ordering::SeqCst);
    mails(&store, &outbox).catch_up().await.unwrap();
    assert_eq!(outbox.parcels(), "abcd");
}

#[tokio::test]
async fn work_before_a_failure_is_not_done_again() {
    let (store, _) = shop(&["a", "b", "c", "d"]).await;
    let outbox = Outbox::default();
    outbox.is_out_of_stamps.store(true, Ordering::SeqCst);
    // One batch holds all: the handled part of it is committed before the subscription stops.
    let all = Subscription::new("mails", store.clone(), OnFailure::stop()).handler(Mails(outbox.clone()));
    all.catch_up().await.unwrap_err();
    assert_eq!(store.checkpoint("mails").await.unwrap().position, Position(3));
    outbox.is_out_of_stamps.store(false, Ordering::SeqCst);
    all.catch_up().await.unwrap();
    assert_eq!(outbox.parcels(), "abcd");
}

#[tokio::test]
async fn a_checkpoint_moves_on_over_what_nobody_wants() {
    let (store, orders) = shop(&["a"]).await;
    for id in 2..50 {
        orders.execute(&id, Cancel).await.unwrap();
    }
    let outbox = Outbox::default();
    assert_eq!(mails(&store, &outbox).catch_up().await.unwrap(), Position(50));
    assert_eq!(store.checkpoint("mails").await.unwrap().position, Position(50));
}

#[tokio::test]
async fn the_same_subscription_twice_is_told() {
    let (store, _) = shop(&["a", "b"]).await;
    let outbox = Outbox::default();
    let (go_on, waiting) = watch::channel(false);
    let first = Subscription::new("mails", store.clone(), OnFailure::stop())
        .handler(Slow { outbox: outbox.clone(), go_on: waiting });
    let running = tokio::spawn(async move { first.catch_up().await });
    outbox.reaches(1).await;
    mails(&store, &outbox).catch_up().await.unwrap();
    go_on.send(true).unwrap();
    let error = running.await.unwrap().unwrap_err();
    let SubscriptionError::Store(error) = error else { panic!("{error:?}") };
    let moved = StoreErrorKind::CheckpointMoved { expected: Position::START, actual: Position(3) };
    assert_eq!(*error.kind(), moved);
}

/// Counts, in the transaction, and fails on parcel "c" while it shall.
#[derive(EventHandler)]
#[handler(name = "counts", error = OutOfStamps, cx = MemoryTx, on(OrderPlaced), on(OrderShipped), flush)]
struct Counts {
    total: Arc<Mutex<usize>>,
    shall_fail: Arc<AtomicBool>,
}

impl On<OrderPlaced, MemoryTx> for Counts {
    async fn on(&self, _: &Envelope<OrderPlaced>, cx: &mut Context<MemoryTx>) -> Result<(), OutOfStamps> {
        *cx.batch::<usize>() += 100;
        Ok(())
    }
}

impl On<OrderShipped, MemoryTx> for Counts {
    async fn on(
        &self,
        event: &Envelope<OrderShipped>,
        cx: &mut Context<MemoryTx>,
    ) -> Result<(), OutOfStamps> {
        if event.event.parcel == "c" && self.shall_fail.load(Ordering::SeqCst) {
            return Err(OutOfStamps);
        }
        *cx.batch::<usize>() += 1;
        Ok(())
    }
}

impl Flush<MemoryTx> for Counts {
    async fn flush(&self, cx: &mut Context<MemoryTx>) -> Result<(), OutOfStamps> {
        let (total, added) = (self.total.clone(), cx.take_batch::<usize>());
        cx.tx().on_commit(move || *total.lock().unwrap() += added);
        Ok(())
    }
}

#[tokio::test]
async fn rows_and_checkpoint_are_committed_together_or_not_at_all() {
    let (store, _) = shop(&["a", "b", "c", "d"]).await;
    let (total, shall_fail) = (Arc::new(Mutex::new(0)), Arc::new(AtomicBool::new(true)));
    let counts = || Counts { total: total.clone(), shall_fail: shall_fail.clone() };
    let subscription = Subscription::transactional("counts", store.clone(), OnFailure::stop())
        .handler(counts())
        .batch_events(2);
    let state = async || {
        let checkpoint = store.checkpoint("counts").await.unwrap().position;
        (*total.lock().unwrap(), checkpoint)
    };

    // What comes before the event that fails is committed without it.
    subscription.catch_up().await.unwrap_err();
    assert_eq!(state().await, (102, Position(3)));
    subscription.catch_up().await.unwrap_err();
    assert_eq!(state().await, (102, Position(3)));

    shall_fail.store(false, Ordering::SeqCst);
    subscription.catch_up().await.unwrap();
    assert_eq!(state().await, (104, Position(5)));
    subscription.catch_up().await.unwrap();
    assert_eq!(*total.lock().unwrap(), 104);
}

#[tokio::test]
async fn handlers_cannot_touch_what_others_have_gathered() {
    let (store, _) = shop(&["a", "b"]).await;
    let (first, second) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
    let counts = |total: &Arc<Mutex<usize>>| Counts { total: total.clone(), shall_fail: Arc::default() };
    Subscription::transactional("two", store, OnFailure::stop())
        .handler(counts(&first))
        .handler(counts(&second))
        .catch_up()
        .await
        .unwrap();
    assert_eq!((*first.lock().unwrap(), *second.lock().unwrap()), (102, 102));
}
