//! Handlers: in which order, until which error, and what they cause.

use std::sync::{Arc, Mutex};

use factum::memory::MemoryStore;
use factum::store::ReadAll;
use factum::{
    Context, Dispatcher, Envelope, EventHandler, EventName, EventStore, HandlerFault, On, OnFailure,
    Position, RecordedEvent, Repository, Subscription,
};

use crate::domain::{Cancel, Order, OrderCancelled, OrderEvent, OrderPlaced, OrderShipped, place, ship};

/// What was handled, by whom.
type Log = Arc<Mutex<Vec<String>>>;

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{0} refuses")]
struct Refused(&'static str);

macro_rules! handler {
    ($type:ident, $name:literal, $($on:tt)*) => {
        #[derive(EventHandler)]
        #[handler(name = $name, error = Refused, $($on)*)]
        struct $type(Log);

        impl $type {
            fn log(&self, event: &str) -> Result<(), Refused> {
                self.0.lock().expect("no panic").push(format!("{} {event}", $name));
                Ok(())
            }
        }
    };
}

handler!(Early, "early", on(OrderPlaced, priority = -5), on(OrderShipped, priority = 20));
handler!(Late, "late", on(OrderPlaced, priority = 10), on(OrderShipped, priority = 10));
handler!(Plain, "plain", on(OrderPlaced), on(OrderShipped));
handler!(Whole, "whole", on(OrderEvent));

macro_rules! on {
    ($type:ident: $($event:ident),*) => {$(
        impl On<$event> for $type {
            async fn on(&self, _: &Envelope<$event>, _: &mut Context) -> Result<(), Refused> {
                self.log(stringify!($event))
            }
        }
    )*};
}

on!(Early: OrderPlaced, OrderShipped);
on!(Late: OrderPlaced, OrderShipped);
on!(Plain: OrderPlaced, OrderShipped);
on!(Whole: OrderEvent);

#[derive(EventHandler)]
#[handler(name = "refuser", error = Refused, on(OrderShipped, priority = 15))]
struct Refuser;

impl On<OrderShipped> for Refuser {
    async fn on(&self, _: &Envelope<OrderShipped>, _: &mut Context) -> Result<(), Refused> {
        Err(Refused("refuser"))
    }
}

/// An order that was placed, shipped and, on another, cancelled: as recorded.
async fn recorded() -> Vec<RecordedEvent> {
    let store = MemoryStore::new();
    let orders = Repository::<Order>::new(store.clone());
    orders.execute(&1, place()).await.unwrap();
    orders.execute(&1, ship("a")).await.unwrap();
    orders.execute(&2, Cancel).await.unwrap();
    let read = ReadAll::after(Position::START).limit(10);
    store.read_all(read).await.unwrap().events
}

async fn handled(dispatcher: Dispatcher, log: &Log) -> Vec<String> {
    let mut cx = Context::new(());
    for event in recorded().await {
        dispatcher.dispatch(&event, &mut cx).await.unwrap();
    }
    log.lock().unwrap().clone()
}

#[tokio::test]
async fn handlers_run_by_priority_lower_first() {
    let log = Log::default();
    let dispatcher =
        Dispatcher::new().handler(Late(log.clone())).handler(Plain(log.clone())).handler(Early(log.clone()));
    let expected = [
        "early OrderPlaced",
        "plain OrderPlaced",
        "late OrderPlaced",
        "plain OrderShipped",
        "late OrderShipped",
        "early OrderShipped",
    ];
    assert_eq!(handled(dispatcher, &log).await, expected);
}

#[tokio::test]
async fn equal_priorities_keep_the_order_of_registration() {
    let log = Log::default();
    let dispatcher =
        Dispatcher::new().handler(Whole(log.clone())).handler(Plain(log.clone())).handler(Whole(log.clone()));
    let expected = [
        "whole OrderEvent",
        "plain OrderPlaced",
        "whole OrderEvent",
        "whole OrderEvent",
        "plain OrderShipped",
        "whole OrderEvent",
        "whole OrderEvent",
        "whole OrderEvent",
    ];
    assert_eq!(handled(dispatcher, &log).await, expected);
}

#[tokio::test]
async fn the_order_can_be_asked_for() {
    let log = Log::default();
    let dispatcher = Dispatcher::new().handler(Late(log.clone())).handler(Early(log)).handler(Refuser);
    let name = EventName::new("order.shipped").unwrap();
    assert_eq!(dispatcher.order(&name), ["late", "refuser", "early"]);
    // Under the old name it is the same event.
    assert_eq!(dispatcher.order(&EventName::new("order.sent").unwrap()), ["late", "refuser", "early"]);
    assert!(dispatcher.order(&EventName::new("order.cancelled").unwrap()).is_empty());
}

#[tokio::test]
async fn the_first_error_stops_the_chain_and_names_the_handler() {
    let log = Log::default();
    let dispatcher =
        Dispatcher::new().handler(Early(log.clone())).handler(Refuser).handler(Late(log.clone()));
    let events = recorded().await;
    let mut cx = Context::new(());
    let error = dispatcher.dispatch(&events[1], &mut cx).await.unwrap_err();
    assert_eq!(error.handler, "refuser");
    assert_eq!(
        error.to_string(),
        "handler `refuser` failed on event order.shipped (version 2 of order/1, position 2)"
    );
    let HandlerFault::Failed(source) = &error.fault else { panic!("{error:?}") };
    assert_eq!(source.downcast_ref(), Some(&Refused("refuser")));
    // `late` came before, `early` was not called any more.
    assert_eq!(*log.lock().unwrap(), ["late OrderShipped"]);
}

fn is_of_ada(event: &Envelope<OrderPlaced>) -> bool {
    event.event.customer == "Ada"
}

handler!(
    Choosy,
    "choosy",
    on(OrderPlaced, when = is_of_ada, priority = -1),
    on(OrderShipped, when = |event| event.event.parcel != "a", priority = -1)
);
on!(Choosy: OrderPlaced, OrderShipped);

#[tokio::test]
async fn an_event_is_passed_over_by_the_handler_that_does_not_want_it_and_by_no_other() {
    let log = Log::default();
    let dispatcher = Dispatcher::new().handler(Plain(log.clone())).handler(Choosy(log.clone()));
    let expected = ["choosy OrderPlaced", "plain OrderPlaced", "plain OrderShipped"];
    assert_eq!(handled(dispatcher, &log).await, expected);
}

#[tokio::test]
async fn a_subscription_goes_past_what_its_handler_does_not_want() {
    let (store, log) = (MemoryStore::new(), Log::default());
    let orders = Repository::<Order>::new(store.clone());
    orders.execute(&1, place()).await.unwrap();
    for parcel in ["a", "b", "a"] {
        orders.execute(&1, ship(parcel)).await.unwrap();
    }
    let subscription = Subscription::new("choosy", store, OnFailure::stop()).handler(Choosy(log.clone()));
    assert_eq!(subscription.catch_up().await.unwrap(), Position(4));
    assert_eq!(*log.lock().unwrap(), ["choosy OrderPlaced", "choosy OrderShipped"]);
}

/// Cancels order 7 when another one is cancelled.
#[derive(EventHandler)]
#[handler(name = "copycat", error = Refused, on(OrderCancelled))]
struct Copycat(Repository<Order>);

impl On<OrderCancelled> for Copycat {
    async fn on(&self, event: &Envelope<OrderCancelled>, _: &mut Context) -> Result<(), Refused> {
        if event.stream.id() != "7" {
            self.0.execute(&7, Cancel).await.map_err(|_| Refused("copycat"))?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn causation_and_correlation_flow_from_an_event_to_the_commands_of_its_handlers() {
    let store = MemoryStore::new();
    let orders = Repository::<Order>::new(store.clone());
    orders.execute(&1, Cancel).await.unwrap();
    Subscription::new("copycat", store.clone(), OnFailure::stop())
        .handler(Copycat(orders))
        .catch_up()
        .await
        .unwrap();
    let read = ReadAll::after(Position::START).limit(10);
    let events = store.read_all(read).await.unwrap().events;
    let (cause, effect) = (&events[0], &events[1]);
    assert_eq!(effect.metadata.causation_id, Some(cause.id));
    assert_eq!(effect.metadata.correlation_id, Some(cause.correlation_id()));
    assert_eq!(effect.correlation_id(), cause.id.0);
    // And nothing flows where nothing is handled.
    assert_eq!((cause.metadata.causation_id, cause.metadata.correlation_id), (None, None));
}
