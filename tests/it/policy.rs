//! What becomes of events that handlers fail on: tried again, set aside, asked for again, given up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use factum::memory::{MemoryStore, MemoryTx};
use factum::{
    Checkpoints, Context, DeadLetters, Envelope, EventHandler, On, OnFailure, Position, ReadDeadLetters,
    Repository, Retry, Subscription, SubscriptionError,
};
use tokio::sync::oneshot;

use crate::domain::{Order, OrderPlaced, OrderShipped, place, ship};

#[derive(Debug, thiserror::Error)]
#[error("the printer is broken")]
struct Broken {
    source: std::io::Error,
}

/// What was printed, and how often each parcel's label fails to print still.
#[derive(Clone, Default)]
struct Printer {
    printed: Arc<Mutex<Vec<String>>>,
    failing: Arc<Mutex<HashMap<String, u32>>>,
}

impl Printer {
    fn breaks(self, parcel: &str, times: u32) -> Self {
        self.failing.lock().unwrap().insert(parcel.into(), times);
        self
    }

    fn repair(&self) {
        self.failing.lock().unwrap().clear();
    }

    fn printed(&self) -> String {
        self.printed.lock().unwrap().join(" ")
    }

    fn try_parcel(&self, parcel: &str) -> Result<(), Broken> {
        match self.failing.lock().unwrap().get_mut(parcel).filter(|times| **times > 0) {
            Some(times) => {
                *times -= 1;
                Err(Broken { source: std::io::Error::other("no paper") })
            }
            None => Ok(()),
        }
    }
}

#[derive(EventHandler)]
#[handler(name = "labels", error = Broken, on(OrderShipped))]
struct Labels(Printer);

impl On<OrderShipped> for Labels {
    async fn on(&self, event: &Envelope<OrderShipped>, _: &mut Context) -> Result<(), Broken> {
        self.0.try_parcel(&event.event.parcel)?;
        self.0.printed.lock().unwrap().push(event.event.parcel.clone());
        Ok(())
    }
}

/// The same in a transaction.
#[derive(EventHandler)]
#[handler(name = "labels", error = Broken, cx = MemoryTx, on(OrderPlaced), on(OrderShipped))]
struct LabelRows(Printer);

impl On<OrderPlaced, MemoryTx> for LabelRows {
    async fn on(&self, _: &Envelope<OrderPlaced>, _: &mut Context<MemoryTx>) -> Result<(), Broken> {
        Ok(())
    }
}

impl On<OrderShipped, MemoryTx> for LabelRows {
    async fn on(&self, event: &Envelope<OrderShipped>, cx: &mut Context<MemoryTx>) -> Result<(), Broken> {
        self.0.try_parcel(&event.event.parcel)?;
        let (printed, parcel) = (Arc::clone(&self.0.printed), event.event.parcel.clone());
        cx.tx().on_commit(move || printed.lock().unwrap().push(parcel));
        Ok(())
    }
}

/// Orders 1 and 2, with parcels 1a, 2a, 1b, 2b, 1c, 2c in this order.
async fn shipped() -> MemoryStore {
    let store = MemoryStore::new();
    let orders = Repository::<Order>::new(store.clone());
    for order in [1, 2] {
        orders.execute(&order, place()).await.unwrap();
    }
    for part in ["a", "b", "c"] {
        for order in [1, 2] {
            orders.execute(&order, ship(&format!("{order}{part}"))).await.unwrap();
        }
    }
    store
}

fn quick(attempts: u32) -> Retry {
    Retry::times(attempts).waits(Duration::from_millis(1), Duration::from_millis(2))
}

fn labels(store: &MemoryStore, printer: &Printer, on_failure: OnFailure) -> Subscription {
    Subscription::new("labels", store.clone(), on_failure).handler(Labels(printer.clone()))
}

fn label_rows(store: &MemoryStore, printer: &Printer, on_failure: OnFailure) -> Subscription<MemoryTx> {
    Subscription::transactional("labels", store.clone(), on_failure).handler(LabelRows(printer.clone()))
}

async fn parked(store: &MemoryStore) -> Vec<(u64, u32)> {
    let letters = store.dead_letters(ReadDeadLetters::of("labels")).await.unwrap();
    letters.iter().map(|letter| (letter.letter.event.position.0, letter.letter.attempts)).collect()
}

#[tokio::test]
async fn what_fails_for_a_moment_is_tried_again_and_comes_in_order() {
    let store = shipped().await;
    let printer = Printer::default().breaks("1b", 3);
    labels(&store, &printer, quick(4).then_stop()).catch_up().await.unwrap();
    assert_eq!(printer.printed(), "1a 2a 1b 2b 1c 2c");
}

#[tokio::test]
async fn after_the_last_attempt_it_stops_with_the_error() {
    let store = shipped().await;
    let printer = Printer::default().breaks("1b", 3);
    let error = labels(&store, &printer, quick(3).then_stop()).catch_up().await.unwrap_err();
    let SubscriptionError::Handler(error) = error else { panic!("{error:?}") };
    assert_eq!(error.event.map(|event| event.position), Some(Position(5)));
    assert_eq!(store.checkpoint("labels").await.unwrap().position, Position(4));
    assert_eq!(printer.printed(), "1a 2a");
}

#[tokio::test]
async fn a_parked_stream_waits_in_its_order_while_others_go_on_and_follows_when_asked_for() {
    let store = shipped().await;
    let printer = Printer::default().breaks("1b", 100);
    let subscription = label_rows(&store, &printer, quick(2).then_park_stream());
    subscription.catch_up().await.unwrap();
    assert_eq!(printer.printed(), "1a 2a 2b 2c");
    assert_eq!(parked(&store).await, [(5, 2), (7, 0)]);
    let letters = store.dead_letters(ReadDeadLetters::of("labels")).await.unwrap();
    let failure = letters[0].letter.failure.as_ref().unwrap();
    assert_eq!(
        (&*failure.handler, &*failure.errors),
        ("labels", &["the printer is broken".into(), "no paper".into()][..])
    );
    assert!(letters[1].letter.failure.is_none(), "it only waits");
    assert_eq!(store.checkpoint("labels").await.unwrap().position, Position(8));

    // Asked for too early, it counts another attempt and stays.
    assert!(store.retry_dead_letter("labels", Position(5)).await.unwrap());
    subscription.catch_up().await.unwrap();
    assert_eq!(parked(&store).await, [(5, 3), (7, 0)]);

    printer.repair();
    store.retry_dead_letter("labels", Position(5)).await.unwrap();
    subscription.catch_up().await.unwrap();
    assert_eq!(printer.printed(), "1a 2a 2b 2c 1b 1c");
    assert_eq!(parked(&store).await, []);
}

#[tokio::test]
async fn a_dead_letter_that_is_dropped_lets_its_stream_go_on_without_it() {
    let store = shipped().await;
    let printer = Printer::default().breaks("1b", 100);
    let subscription = labels(&store, &printer, quick(1).then_park_stream());
    subscription.catch_up().await.unwrap();
    assert!(store.drop_dead_letter("labels", Position(5)).await.unwrap());
    assert!(!store.drop_dead_letter("labels", Position(5)).await.unwrap());
    subscription.catch_up().await.unwrap();
    assert_eq!(printer.printed(), "1a 2a 2b 2c 1c");
}

#[tokio::test]
async fn an_event_that_is_parked_alone_holds_nobody_up() {
    let store = shipped().await;
    let printer = Printer::default().breaks("1b", 1);
    let subscription = label_rows(&store, &printer, quick(1).then_park_event());
    subscription.catch_up().await.unwrap();
    assert_eq!(printer.printed(), "1a 2a 2b 1c 2c");
    store.retry_dead_letter("labels", Position(5)).await.unwrap();
    subscription.catch_up().await.unwrap();
    assert_eq!(printer.printed(), "1a 2a 2b 1c 2c 1b");
}

#[tokio::test]
async fn a_running_subscription_finds_what_is_asked_for_by_itself() {
    let store = shipped().await;
    let printer = Printer::default().breaks("1a", 1);
    let subscription = labels(&store, &printer, quick(1).then_park_stream());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn({
        let subscription = subscription.clone();
        async move { subscription.run_until(async { drop(stopped.await) }).await }
    });
    subscription.reached(Position(8), Duration::from_secs(5)).await.unwrap();
    assert_eq!(printer.printed(), "2a 2b 2c");
    assert_eq!(subscription.health().await.unwrap().dead_letters, 3);
    store.retry_dead_letter("labels", Position(3)).await.unwrap();
    while !parked(&store).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    assert_eq!(printer.printed(), "2a 2b 2c 1a 1b 1c");
}

#[tokio::test]
async fn health_tells_what_is_in_the_way_and_how_far_behind_that_puts_it() {
    let store = shipped().await;
    let printer = Printer::default().breaks("1b", 2);
    let policy = Retry::times(3).waits(Duration::from_millis(300), Duration::from_millis(300)).then_stop();
    let subscription = labels(&store, &printer, policy);
    assert!(!subscription.health().await.unwrap().is_well(), "it does not run");
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn({
        let subscription = subscription.clone();
        async move { subscription.run_until(async { drop(stopped.await) }).await }
    });
    let late = subscription.reached(Position(8), Duration::from_millis(200)).await.unwrap_err();
    assert_eq!((late.at, late.position), (Position(4), Position(8)));
    let health = subscription.health().await.unwrap();
    let trouble = &health.partitions[0].trouble.as_ref().unwrap().1;
    assert!(trouble.contains("order.shipped") && trouble.contains("the printer is broken"), "{trouble}");
    assert_eq!((health.position, health.head, health.behind), (Position(4), Position(8), 4));
    assert!(!health.is_well() && !health.behind_for.is_zero(), "{health:?}");

    subscription.reached(Position(8), Duration::from_secs(5)).await.unwrap();
    let health = subscription.health().await.unwrap();
    assert!(health.is_well(), "{health:?}");
    assert_eq!((health.behind, health.behind_for), (0, Duration::ZERO));
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn one_that_has_stopped_says_why() {
    let store = shipped().await;
    let printer = Printer::default().breaks("1b", 1);
    let subscription = labels(&store, &printer, OnFailure::stop());
    subscription.catch_up().await.unwrap_err();
    let (_, why) = subscription.health().await.unwrap().ended.unwrap();
    assert!(why.contains("`labels`") && why.contains("the printer is broken"), "{why}");
}

#[tokio::test]
async fn one_in_memory_begins_anew_and_leaves_nothing_in_the_store() {
    let store = shipped().await;
    for _ in 0..2 {
        let printer = Printer::default().breaks("1b", 1);
        let subscription = Subscription::in_memory("labels", store.clone(), quick(1).then_park_stream())
            .handler(Labels(printer.clone()));
        subscription.catch_up().await.unwrap();
        assert_eq!(printer.printed(), "1a 2a 2b 2c");
        assert_eq!(subscription.health().await.unwrap().dead_letters, 2);
    }
    assert_eq!(store.checkpoint("labels").await.unwrap().position, Position::START);
    assert_eq!(parked(&store).await, []);
}
