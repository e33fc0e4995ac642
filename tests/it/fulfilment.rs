//! A shop in which a process has orders fulfilled: stock is held, the customer pays in time, and the order is shipped; or what
//! was done is made good.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use factum::{
    Aggregate, Apply, Deadline, Envelope, Event, Events, Handle, Issue, ProcessManager, React, events,
};
use serde::{Deserialize, Serialize};

macro_rules! event {
    ($name:literal $event:ident { $($field:ident: $type:ty),* }) => {
        #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
        #[event(name = $name)]
        pub(crate) struct $event { $(pub(crate) $field: $type),* }
    };
}

/// Events that say nothing to the state of an aggregate.
macro_rules! no_apply {
    ($aggregate:ident: $($event:ident)*) => {
        $(impl Apply<$event> for $aggregate {
            fn apply(&mut self, _: $event) {}
        })*
    };
}

event!("order.placed" OrderPlaced { item: String, pay_within_ms: u32 });
event!("order.shipped" OrderShipped {});
event!("order.cancelled" OrderCancelled { why: String });

#[derive(Event, Clone, Debug, PartialEq)]
pub(crate) enum OrderEvent {
    Placed(OrderPlaced),
    Shipped(OrderShipped),
    Cancelled(OrderCancelled),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OrderStatus {
    #[default]
    New,
    Placed,
    Shipped,
    Cancelled,
}

#[derive(Aggregate, Default, Debug)]
#[aggregate(category = "order", id = u64, event = OrderEvent)]
pub(crate) struct Order {
    pub(crate) status: OrderStatus,
    pub(crate) why: String,
}

impl Apply<OrderPlaced> for Order {
    fn apply(&mut self, _: OrderPlaced) {
        self.status = OrderStatus::Placed;
    }
}

impl Apply<OrderShipped> for Order {
    fn apply(&mut self, _: OrderShipped) {
        self.status = OrderStatus::Shipped;
    }
}

impl Apply<OrderCancelled> for Order {
    fn apply(&mut self, event: OrderCancelled) {
        self.status = OrderStatus::Cancelled;
        self.why = event.why;
    }
}

pub(crate) struct Place {
    pub(crate) item: &'static str,
    /// How long the customer may take to pay.
    pub(crate) pay_within: Duration,
}
#[derive(Debug, PartialEq)]
pub(crate) struct Ship;
#[derive(Debug, PartialEq)]
pub(crate) struct Cancel(pub(crate) String);

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("the order is {0:?}")]
pub(crate) struct OrderIs(OrderStatus);

impl Handle<Place> for Order {
    type Error = OrderIs;

    fn handle(&self, Place { item, pay_within }: &Place) -> Result<Events<OrderEvent>, OrderIs> {
        match self.status {
            OrderStatus::New => Ok(Events::one(OrderPlaced {
                item: (*item).to_owned(),
                pay_within_ms: u32::try_from(pay_within.as_millis()).expect("some days at most"),
            })),
            status => Err(OrderIs(status)),
        }
    }
}

impl Handle<Ship> for Order {
    type Error = OrderIs;

    fn handle(&self, _: &Ship) -> Result<Events<OrderEvent>, OrderIs> {
        match self.status {
            OrderStatus::Placed => Ok(Events::one(OrderShipped {})),
            status => Err(OrderIs(status)),
        }
    }
}

impl Handle<Cancel> for Order {
    type Error = OrderIs;

    fn handle(&self, Cancel(why): &Cancel) -> Result<Events<OrderEvent>, OrderIs> {
        match self.status {
            OrderStatus::Placed => Ok(Events::one(OrderCancelled { why: why.clone() })),
            status => Err(OrderIs(status)),
        }
    }
}

event!("stock.filled" Filled { amount: u64 });
event!("stock.held" Held { order: u64 });
event!("stock.let_go" LetGo { order: u64 });
event!("stock.taken" Taken { order: u64 });

#[derive(Event, Clone, Debug, PartialEq)]
pub(crate) enum StockEvent {
    Filled(Filled),
    Held(Held),
    LetGo(LetGo),
    Taken(Taken),
}

/// What there is of one item.
#[derive(Aggregate, Default, Debug)]
#[aggregate(category = "stock", id = String, event = StockEvent)]
pub(crate) struct Stock {
    pub(crate) free: u64,
    pub(crate) held: BTreeSet<u64>,
    pub(crate) taken: BTreeSet<u64>,
}

impl Apply<Filled> for Stock {
    fn apply(&mut self, event: Filled) {
        self.free += event.amount;
    }
}

impl Apply<Held> for Stock {
    fn apply(&mut self, event: Held) {
        self.free -= 1;
        assert!(self.held.insert(event.order), "it is held once");
    }
}

impl Apply<LetGo> for Stock {
    fn apply(&mut self, event: LetGo) {
        self.free += 1;
        assert!(self.held.remove(&event.order), "it was held");
    }
}

impl Apply<Taken> for Stock {
    fn apply(&mut self, event: Taken) {
        assert!(self.held.remove(&event.order), "it was held");
        assert!(self.taken.insert(event.order), "it is taken once");
    }
}

pub(crate) struct Fill(pub(crate) u64);
#[derive(Debug, PartialEq)]
pub(crate) struct Hold(pub(crate) u64);
#[derive(Debug, PartialEq)]
pub(crate) struct LetGoOf(pub(crate) u64);
#[derive(Debug, PartialEq)]
pub(crate) struct Take(pub(crate) u64);

#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum StockError {
    #[error("nothing is left")]
    SoldOut,
    #[error("nothing is held for the order")]
    NotHeld,
}

impl Handle<Fill> for Stock {
    type Error = StockError;

    fn handle(&self, Fill(amount): &Fill) -> Result<Events<StockEvent>, StockError> {
        Ok(Events::one(Filled { amount: *amount }))
    }
}

impl Handle<Hold> for Stock {
    type Error = StockError;

    fn handle(&self, Hold(order): &Hold) -> Result<Events<StockEvent>, StockError> {
        if self.free == 0 { Err(StockError::SoldOut) } else { Ok(Events::one(Held { order: *order })) }
    }
}

impl Handle<LetGoOf> for Stock {
    type Error = StockError;

    fn handle(&self, LetGoOf(order): &LetGoOf) -> Result<Events<StockEvent>, StockError> {
        let is_held = self.held.contains(order);
        if is_held { Ok(Events::one(LetGo { order: *order })) } else { Err(StockError::NotHeld) }
    }
}

impl Handle<Take> for Stock {
    type Error = StockError;

    fn handle(&self, Take(order): &Take) -> Result<Events<StockEvent>, StockError> {
        let is_held = self.held.contains(order);
        if is_held { Ok(Events::one(Taken { order: *order })) } else { Err(StockError::NotHeld) }
    }
}

event!("payment.requested" PaymentRequested {});
event!("payment.received" PaymentReceived {});
event!("payment.refused" PaymentRefused {});
event!("payment.withdrawn" PaymentWithdrawn {});

#[derive(Event, Clone, Debug, PartialEq)]
pub(crate) enum PaymentEvent {
    Requested(PaymentRequested),
    Received(PaymentReceived),
    Refused(PaymentRefused),
    Withdrawn(PaymentWithdrawn),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PaymentStatus {
    #[default]
    New,
    Open,
    Received,
    Refused,
    Withdrawn,
}

/// What a customer is to pay for an order.
#[derive(Aggregate, Default, Debug)]
#[aggregate(category = "payment", id = u64, event = PaymentEvent)]
pub(crate) struct Payment {
    pub(crate) status: PaymentStatus,
}

macro_rules! payment {
    ($($event:ident => $status:ident, $command:ident from $before:ident;)*) => {$(
        impl Apply<$event> for Payment {
            fn apply(&mut self, _: $event) {
                self.status = PaymentStatus::$status;
            }
        }

        #[derive(Debug, PartialEq)]
        pub(crate) struct $command;

        impl Handle<$command> for Payment {
            type Error = PaymentIs;

            fn handle(&self, _: &$command) -> Result<Events<PaymentEvent>, PaymentIs> {
                match self.status {
                    PaymentStatus::$before => Ok(Events::one($event {})),
                    status => Err(PaymentIs(status)),
                }
            }
        }
    )*};
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("the payment is {0:?}")]
pub(crate) struct PaymentIs(pub(crate) PaymentStatus);

payment! {
    PaymentRequested => Open, Request from New;
    PaymentReceived => Received, Pay from Open;
    PaymentRefused => Refused, Refuse from Open;
    PaymentWithdrawn => Withdrawn, Withdraw from Open;
}

event!("fulfilment.begun" Begun { item: String, pay_within_ms: u32 });
event!("fulfilment.stock_held" StockHeld { pay_within_ms: u32 });
event!("fulfilment.patience_lost" PatienceLost {});
event!("fulfilment.paid" Paid { item: String });
event!("fulfilment.packed" Packed {});
event!("fulfilment.stock_returned" StockReturned { item: String });
event!("fulfilment.given_up" GivenUp { why: String });

#[derive(Event, Clone, Debug, PartialEq)]
pub(crate) enum FulfilmentEvent {
    Begun(Begun),
    StockHeld(StockHeld),
    PatienceLost(PatienceLost),
    Paid(Paid),
    Packed(Packed),
    StockReturned(StockReturned),
    GivenUp(GivenUp),
}

/// What an order waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Step {
    #[default]
    Stock,
    Payment,
    Over,
}

#[derive(Aggregate, ProcessManager, Default, Debug)]
#[aggregate(category = "fulfilment", id = u64, event = FulfilmentEvent)]
#[process(
    name = "fulfilment",
    on(OrderPlaced),
    on(Held),
    on(PaymentReceived),
    on(PaymentRefused),
    on(PaymentWithdrawn),
    on(Taken),
    issues(Begun),
    issues(StockHeld),
    issues(PatienceLost),
    issues(Paid),
    issues(Packed),
    issues(StockReturned),
    issues(GivenUp),
    deadline(StockHeld)
)]
pub(crate) struct Fulfilment {
    item: String,
    pay_within_ms: u32,
    pub(crate) step: Step,
}

impl Apply<Begun> for Fulfilment {
    fn apply(&mut self, event: Begun) {
        self.item = event.item;
        self.pay_within_ms = event.pay_within_ms;
    }
}

impl Apply<StockHeld> for Fulfilment {
    fn apply(&mut self, _: StockHeld) {
        self.step = Step::Payment;
    }
}

impl Apply<Paid> for Fulfilment {
    fn apply(&mut self, _: Paid) {
        self.step = Step::Over;
    }
}

impl Apply<GivenUp> for Fulfilment {
    fn apply(&mut self, _: GivenUp) {
        self.step = Step::Over;
    }
}

no_apply!(Fulfilment: PatienceLost Packed StockReturned);

impl Fulfilment {
    /// The customer does not pay.
    fn give_up(&self, why: &str) -> Events<FulfilmentEvent> {
        match self.step {
            Step::Payment => {
                events![StockReturned { item: self.item.clone() }, GivenUp { why: why.to_owned() }]
            }
            Step::Stock | Step::Over => Events::none(),
        }
    }
}

/// An order, its payment and its fulfilment have one id.
fn same_id<E>(event: &Envelope<E>) -> u64 {
    event.stream.id().parse().expect("it is the number of an order")
}

impl React<OrderPlaced> for Fulfilment {
    fn process(event: &Envelope<OrderPlaced>) -> Option<u64> {
        Some(same_id(event))
    }

    fn react(&self, event: &Envelope<OrderPlaced>) -> Events<FulfilmentEvent> {
        let OrderPlaced { item, pay_within_ms } = event.event.clone();
        Events::one(Begun { item, pay_within_ms })
    }
}

impl React<Held> for Fulfilment {
    fn process(event: &Envelope<Held>) -> Option<u64> {
        // Number 0 is kept for the shop itself.
        (event.event.order > 0).then_some(event.event.order)
    }

    fn react(&self, _: &Envelope<Held>) -> Events<FulfilmentEvent> {
        match self.step {
            Step::Stock => Events::one(StockHeld { pay_within_ms: self.pay_within_ms }),
            Step::Payment | Step::Over => Events::none(),
        }
    }
}

impl React<PaymentReceived> for Fulfilment {
    fn process(event: &Envelope<PaymentReceived>) -> Option<u64> {
        Some(same_id(event))
    }

    fn react(&self, _: &Envelope<PaymentReceived>) -> Events<FulfilmentEvent> {
        match self.step {
            Step::Payment => Events::one(Paid { item: self.item.clone() }),
            Step::Stock | Step::Over => Events::none(),
        }
    }
}

impl React<PaymentRefused> for Fulfilment {
    fn process(event: &Envelope<PaymentRefused>) -> Option<u64> {
        Some(same_id(event))
    }

    fn react(&self, _: &Envelope<PaymentRefused>) -> Events<FulfilmentEvent> {
        self.give_up("the customer refused to pay")
    }
}

impl React<PaymentWithdrawn> for Fulfilment {
    fn process(event: &Envelope<PaymentWithdrawn>) -> Option<u64> {
        Some(same_id(event))
    }

    fn react(&self, _: &Envelope<PaymentWithdrawn>) -> Events<FulfilmentEvent> {
        self.give_up("the customer did not pay in time")
    }
}

impl React<Taken> for Fulfilment {
    fn process(event: &Envelope<Taken>) -> Option<u64> {
        Some(event.event.order)
    }

    fn react(&self, _: &Envelope<Taken>) -> Events<FulfilmentEvent> {
        Events::one(Packed {})
    }
}

impl Issue<Begun> for Fulfilment {
    type Target = Stock;
    type Command = Hold;

    fn issue(event: &Envelope<Begun>) -> (String, Hold) {
        (event.event.item.clone(), Hold(same_id(event)))
    }

    fn rejected(&self, _: &Envelope<Begun>, error: &StockError) -> Events<FulfilmentEvent> {
        Events::one(GivenUp { why: error.to_string() })
    }
}

impl Deadline<StockHeld> for Fulfilment {
    fn due(event: &Envelope<StockHeld>) -> Option<DateTime<Utc>> {
        Some(event.recorded_at + TimeDelta::milliseconds(event.event.pay_within_ms.into()))
    }

    fn elapsed(&self, _: &Envelope<StockHeld>) -> Events<FulfilmentEvent> {
        if self.step == Step::Payment { Events::one(PatienceLost {}) } else { Events::none() }
    }
}

impl Issue<PatienceLost> for Fulfilment {
    type Target = Payment;
    type Command = Withdraw;

    fn issue(event: &Envelope<PatienceLost>) -> (u64, Withdraw) {
        (same_id(event), Withdraw)
    }

    /// The customer has paid, or refused, at the last moment: that is heard of, too.
    fn rejected(&self, _: &Envelope<PatienceLost>, _: &PaymentIs) -> Events<FulfilmentEvent> {
        Events::none()
    }
}

/// Commands that are never rejected if the process is right.
macro_rules! issues {
    ($($event:ident => $target:ident::$command:ident, $error:ident, $issue:expr;)*) => {$(
        impl Issue<$event> for Fulfilment {
            type Target = $target;
            type Command = $command;

            fn issue(event: &Envelope<$event>) -> (<$target as Aggregate>::Id, $command) {
                $issue(event)
            }

            fn rejected(&self, event: &Envelope<$event>, error: &$error) -> Events<FulfilmentEvent> {
                panic!("{} was rejected: {error}", event.stream)
            }
        }
    )*};
}

issues! {
    StockHeld => Payment::Request, PaymentIs, |event| (same_id(event), Request);
    Paid => Stock::Take, StockError, |event: &Envelope<Paid>| (event.event.item.clone(), Take(same_id(event)));
    Packed => Order::Ship, OrderIs, |event| (same_id(event), Ship);
    StockReturned => Stock::LetGoOf, StockError,
        |event: &Envelope<StockReturned>| (event.event.item.clone(), LetGoOf(same_id(event)));
    GivenUp => Order::Cancel, OrderIs,
        |event: &Envelope<GivenUp>| (same_id(event), Cancel(event.event.why.clone()));
}
