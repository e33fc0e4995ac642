//! Orders, stock and payments, and the process that fulfils orders.
//!
//! All of them do what they are told as often as they are told, and none looks whether it has been done already: so whatever is
//! delivered, decided or executed twice is in the log twice, for the verdict to find. Only where a customer and a deadline
//! race for a payment does it say no.

use chrono::{DateTime, TimeDelta, Utc};
use factum::{
    Aggregate, Apply, Deadline, Envelope, Event, Events, Handle, Issue, ProcessManager, React, events,
};
use serde::{Deserialize, Serialize};

macro_rules! event {
    ($name:literal $event:ident { $($field:ident: $type:ty),* }) => {
        #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
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

/// Commands that are done whatever has happened before.
macro_rules! always {
    ($aggregate:ident: $($command:ident => |$self:ident| $event:expr;)*) => {
        $(impl Handle<$command> for $aggregate {
            type Error = std::convert::Infallible;

            fn handle(&self, $self: &$command) -> Result<Events<<$aggregate as Aggregate>::Event>, Self::Error> {
                Ok(Events::one($event))
            }
        })*
    };
}

event!("order.placed" OrderPlaced { item: String, pay_within_ms: u32 });
event!("order.shipped" OrderShipped {});
event!("order.cancelled" OrderCancelled { why: String });

#[derive(Event, Clone, Debug, PartialEq, Eq)]
pub(crate) enum OrderEvent {
    Placed(OrderPlaced),
    Shipped(OrderShipped),
    Cancelled(OrderCancelled),
}

#[derive(Aggregate, Default, Debug)]
#[aggregate(category = "order", id = u64, event = OrderEvent)]
pub(crate) struct Order;

no_apply!(Order: OrderPlaced OrderShipped OrderCancelled);

#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) item: String,
    pub(crate) pay_within_ms: u32,
}
#[derive(Debug)]
pub(crate) struct Ship;
#[derive(Debug)]
pub(crate) struct Cancel(String);

always! {
    Order:
    Place => |place| OrderPlaced { item: place.item.clone(), pay_within_ms: place.pay_within_ms };
    Ship => |_ship| OrderShipped {};
    Cancel => |cancel| OrderCancelled { why: cancel.0.clone() };
}

event!("stock.filled" Filled { amount: u64 });
event!("stock.held" Held { order: u64 });
event!("stock.let_go" LetGo { order: u64 });
event!("stock.taken" Taken { order: u64 });

#[derive(Event, Clone, Debug, PartialEq, Eq)]
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
    free: u64,
}

no_apply!(Stock: Taken);

impl Apply<Filled> for Stock {
    fn apply(&mut self, event: Filled) {
        self.free += event.amount;
    }
}

impl Apply<Held> for Stock {
    fn apply(&mut self, _: Held) {
        self.free = self.free.saturating_sub(1);
    }
}

impl Apply<LetGo> for Stock {
    fn apply(&mut self, _: LetGo) {
        self.free += 1;
    }
}

#[derive(Debug)]
pub(crate) struct Fill(pub(crate) u64);
#[derive(Debug)]
pub(crate) struct Hold(u64);
#[derive(Debug)]
pub(crate) struct LetGoOf(u64);
#[derive(Debug)]
pub(crate) struct Take(u64);

#[derive(Debug, thiserror::Error)]
#[error("nothing is left")]
pub(crate) struct SoldOut;

impl Handle<Hold> for Stock {
    type Error = SoldOut;

    fn handle(&self, Hold(order): &Hold) -> Result<Events<StockEvent>, SoldOut> {
        if self.free == 0 { Err(SoldOut) } else { Ok(Events::one(Held { order: *order })) }
    }
}

always! {
    Stock:
    Fill => |fill| Filled { amount: fill.0 };
    LetGoOf => |let_go| LetGo { order: let_go.0 };
    Take => |take| Taken { order: take.0 };
}

event!("payment.requested" PaymentRequested {});
event!("payment.received" PaymentReceived {});
event!("payment.refused" PaymentRefused {});
event!("payment.withdrawn" PaymentWithdrawn {});

#[derive(Event, Clone, Debug, PartialEq, Eq)]
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
    status: PaymentStatus,
}

#[derive(Debug)]
pub(crate) struct Request;

always!(Payment: Request => |_request| PaymentRequested {};);

impl Apply<PaymentRequested> for Payment {
    fn apply(&mut self, _: PaymentRequested) {
        self.status = PaymentStatus::Open;
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the payment is {0:?}")]
pub(crate) struct PaymentIs(PaymentStatus);

/// What ends a payment, and may do so again, but not after another end.
macro_rules! end {
    ($($event:ident => $status:ident, $command:ident;)*) => {$(
        impl Apply<$event> for Payment {
            fn apply(&mut self, _: $event) {
                self.status = PaymentStatus::$status;
            }
        }

        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $command;

        impl Handle<$command> for Payment {
            type Error = PaymentIs;

            fn handle(&self, _: &$command) -> Result<Events<PaymentEvent>, PaymentIs> {
                match self.status {
                    PaymentStatus::Open | PaymentStatus::$status => Ok(Events::one($event {})),
                    status => Err(PaymentIs(status)),
                }
            }
        }
    )*};
}

end! {
    PaymentReceived => Received, Pay;
    PaymentRefused => Refused, Refuse;
    PaymentWithdrawn => Withdrawn, Withdraw;
}

event!("fulfilment.begun" Begun { item: String, pay_within_ms: u32 });
event!("fulfilment.stock_held" StockHeld { pay_within_ms: u32 });
event!("fulfilment.patience_lost" PatienceLost {});
event!("fulfilment.paid" Paid { item: String });
event!("fulfilment.packed" Packed {});
event!("fulfilment.stock_returned" StockReturned { item: String });
event!("fulfilment.given_up" GivenUp { why: String });

#[derive(Event, Clone, Debug, PartialEq, Eq)]
pub(crate) enum FulfilmentEvent {
    Begun(Begun),
    StockHeld(StockHeld),
    PatienceLost(PatienceLost),
    Paid(Paid),
    Packed(Packed),
    StockReturned(StockReturned),
    GivenUp(GivenUp),
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
    /// Whether it waits for the customer no more.
    is_over: bool,
}

impl Apply<Begun> for Fulfilment {
    fn apply(&mut self, event: Begun) {
        self.item = event.item;
        self.pay_within_ms = event.pay_within_ms;
    }
}

impl Apply<Paid> for Fulfilment {
    fn apply(&mut self, _: Paid) {
        self.is_over = true;
    }
}

impl Apply<GivenUp> for Fulfilment {
    fn apply(&mut self, _: GivenUp) {
        self.is_over = true;
    }
}

no_apply!(Fulfilment: StockHeld PatienceLost Packed StockReturned);

impl Fulfilment {
    /// The customer does not pay.
    fn give_up(&self, why: &str) -> Events<FulfilmentEvent> {
        events![StockReturned { item: self.item.clone() }, GivenUp { why: why.to_owned() }]
    }
}

/// An order, its payment and its fulfilment have one id.
pub(crate) fn same_id<E>(event: &Envelope<E>) -> u64 {
    event.stream.id().parse().expect("it is the number of an order")
}

macro_rules! reacts {
    ($($event:ident => $id:expr, |$process:ident, $envelope:ident| $reaction:expr;)*) => {$(
        impl React<$event> for Fulfilment {
            fn process(event: &Envelope<$event>) -> Option<u64> {
                Some($id(event))
            }

            fn react(&self, $envelope: &Envelope<$event>) -> Events<FulfilmentEvent> {
                let $process = self;
                $reaction
            }
        }
    )*};
}

reacts! {
    OrderPlaced => same_id, |_process, placed| {
        let OrderPlaced { item, pay_within_ms } = placed.event.clone();
        Events::one(Begun { item, pay_within_ms })
    };
    Held => |event: &Envelope<Held>| event.event.order, |process, _held| {
        Events::one(StockHeld { pay_within_ms: process.pay_within_ms })
    };
    PaymentReceived => same_id, |process, _received| Events::one(Paid { item: process.item.clone() });
    PaymentRefused => same_id, |process, _refused| process.give_up("the customer refused to pay");
    PaymentWithdrawn => same_id, |process, _withdrawn| process.give_up("the customer did not pay in time");
    Taken => |event: &Envelope<Taken>| event.event.order, |_process, _taken| Events::one(Packed {});
}

impl Deadline<StockHeld> for Fulfilment {
    fn due(event: &Envelope<StockHeld>) -> Option<DateTime<Utc>> {
        Some(event.recorded_at + TimeDelta::milliseconds(event.event.pay_within_ms.into()))
    }

    fn elapsed(&self, _: &Envelope<StockHeld>) -> Events<FulfilmentEvent> {
        if self.is_over { Events::none() } else { Events::one(PatienceLost {}) }
    }
}

impl Issue<Begun> for Fulfilment {
    type Target = Stock;
    type Command = Hold;

    fn issue(event: &Envelope<Begun>) -> (String, Hold) {
        (event.event.item.clone(), Hold(same_id(event)))
    }

    fn rejected(&self, _: &Envelope<Begun>, error: &SoldOut) -> Events<FulfilmentEvent> {
        Events::one(GivenUp { why: error.to_string() })
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

/// Commands that are never rejected.
macro_rules! issues {
    ($($event:ident => $target:ident::$command:ident, $issue:expr;)*) => {$(
        impl Issue<$event> for Fulfilment {
            type Target = $target;
            type Command = $command;

            fn issue(event: &Envelope<$event>) -> (<$target as Aggregate>::Id, $command) {
                $issue(event)
            }

            fn rejected(&self, _: &Envelope<$event>, never: &std::convert::Infallible) -> Events<FulfilmentEvent> {
                match *never {}
            }
        }
    )*};
}

issues! {
    StockHeld => Payment::Request, |event| (same_id(event), Request);
    Paid => Stock::Take, |event: &Envelope<Paid>| (event.event.item.clone(), Take(same_id(event)));
    Packed => Order::Ship, |event| (same_id(event), Ship);
    StockReturned => Stock::LetGoOf,
        |event: &Envelope<StockReturned>| (event.event.item.clone(), LetGoOf(same_id(event)));
    GivenUp => Order::Cancel,
        |event: &Envelope<GivenUp>| (same_id(event), Cancel(event.event.why.clone()));
}
