//! Orders: placed, paid, shipped, or cancelled before they are shipped.

mod past;

use std::fmt;

use factum::{Aggregate, Apply, Event, Events, Handle, events};
use serde::{Deserialize, Serialize};

use self::past::OrderConfirmed;
use super::{Cents, CustomerId, Product};

/// The shop's number of an order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct OrderId(pub String);

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One line of an order.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Line {
    /// What.
    pub product: Product,
    /// How many.
    pub quantity: u32,
    /// For how much altogether.
    pub total: Cents,
}

// ---- What can happen -------------------------------------------------------------------------------------------

/// A customer ordered something.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "order.placed")]
pub struct OrderPlaced {
    /// Who.
    pub customer: CustomerId,
    /// What.
    pub lines: Vec<Line>,
}

impl OrderPlaced {
    /// How many things were ordered.
    pub fn quantity(&self) -> u64 {
        quantity(&self.lines)
    }
}

/// The shop is to deliver the order. Said of orders that the service takes, and of none that an import brings: what those
/// tell has happened long ago, and nobody waits for a parcel.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(
    name = "order.delivery_requested",
    version = 3,
    upcast(from = 1, with = past::in_seconds),
    upcast(from = 2, typed = past::in_milliseconds)
)]
pub struct DeliveryRequested {
    /// What is to be delivered.
    pub lines: Vec<Line>,
    /// Where the customer reads mail.
    pub email: String,
    /// How long the customer may take to pay, in milliseconds from now on.
    pub pay_within_ms: u64,
}

/// Everything in the order is reserved for it.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "order.reserved", split(from = OrderConfirmed, with = past::reserved))]
pub struct OrderReserved {}

/// Nothing is missing any more, neither goods nor money: the order can be shipped.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "order.ready")]
pub struct OrderReady {}

/// The order was paid in full.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "order.paid", split(from = OrderConfirmed, with = past::paid))]
pub struct OrderPaid {
    /// By whom.
    pub customer: CustomerId,
    /// How much.
    pub amount: Cents,
}

/// The order left the house.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "order.shipped")]
pub struct OrderShipped {
    /// The carrier's number.
    pub parcel: String,
}

/// The order will not be shipped, and what was paid was paid back.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[event(name = "order.cancelled")]
pub struct OrderCancelled {
    /// Whose order it was.
    pub customer: CustomerId,
    /// How many things it had.
    pub quantity: u64,
    /// How much was paid back.
    pub refund: Cents,
    /// Why.
    pub reason: String,
}

/// Everything that can happen to an order. The program of the first years also told who had looked at one.
#[derive(Event, Clone, Debug, PartialEq)]
#[event(dropped("order.viewed"))]
pub enum OrderEvent {
    /// A customer ordered something.
    Placed(OrderPlaced),
    /// The shop is to deliver the order.
    DeliveryRequested(DeliveryRequested),
    /// Everything in the order is reserved for it.
    Reserved(OrderReserved),
    /// The order was paid in full.
    Paid(OrderPaid),
    /// Nothing is missing any more.
    Ready(OrderReady),
    /// The order left the house.
    Shipped(OrderShipped),
    /// The order will not be shipped.
    Cancelled(OrderCancelled),
}

// ---- The state that follows ------------------------------------------------------------------------------------

/// An order.
#[derive(Aggregate, Default, Clone, Debug, PartialEq, Eq)]
#[aggregate(category = "order", id = OrderId, event = OrderEvent)]
pub struct Order {
    status: Status,
    customer: Option<CustomerId>,
    lines: Vec<Line>,
    paid: Cents,
    delivery: Option<Delivery>,
}

/// What is known of an order that the shop is to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where the customer reads mail.
    pub email: String,
    /// Whether everything in the order is reserved for it.
    pub is_reserved: bool,
}

/// How far an order has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nobody has placed it.
    #[default]
    New,
    /// It waits for payment.
    Placed,
    /// It waits for shipping.
    Paid,
    /// It is on its way.
    Shipped,
    /// It will not be shipped.
    Cancelled,
}

impl Order {
    /// How far it has come.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Who placed it.
    pub fn customer(&self) -> Option<&CustomerId> {
        self.customer.as_ref()
    }

    /// What was ordered.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// What it costs.
    pub fn total(&self) -> Cents {
        self.lines.iter().map(|line| line.total).sum()
    }

    /// What was paid and not paid back.
    pub fn paid(&self) -> Cents {
        self.paid
    }

    /// What is known of its delivery, if the shop is to deliver it.
    pub fn delivery(&self) -> Option<&Delivery> {
        self.delivery.as_ref()
    }
}

impl Apply<OrderPlaced> for Order {
    fn apply(&mut self, event: OrderPlaced) {
        self.status = Status::Placed;
        self.customer = Some(event.customer);
        self.lines = event.lines;
    }
}

impl Apply<DeliveryRequested> for Order {
    fn apply(&mut self, event: DeliveryRequested) {
        self.delivery = Some(Delivery { email: event.email, is_reserved: false });
    }
}

impl Apply<OrderReserved> for Order {
    fn apply(&mut self, _: OrderReserved) {
        if let Some(delivery) = &mut self.delivery {
            delivery.is_reserved = true;
        }
    }
}

impl Apply<OrderReady> for Order {
    fn apply(&mut self, _: OrderReady) {}
}

impl Apply<OrderPaid> for Order {
    fn apply(&mut self, event: OrderPaid) {
        self.status = Status::Paid;
        self.paid = event.amount;
    }
}

impl Apply<OrderShipped> for Order {
    fn apply(&mut self, _: OrderShipped) {
        self.status = Status::Shipped;
    }
}

impl Apply<OrderCancelled> for Order {
    fn apply(&mut self, _: OrderCancelled) {
        self.status = Status::Cancelled;
        self.paid = Cents(0);
    }
}

// ---- The decisions ---------------------------------------------------------------------------------------------

/// Place an order.
#[derive(Clone, Debug)]
pub struct Place {
    /// Who orders.
    pub customer: CustomerId,
    /// What.
    pub lines: Vec<Line>,
}

/// Place an order that the shop is to deliver.
#[derive(Clone, Debug)]
pub struct PlaceForDelivery {
    /// Who orders, and what.
    pub place: Place,
    /// Where the customer reads mail.
    pub email: String,
    /// How long the customer may take to pay, in milliseconds.
    pub pay_within_ms: u64,
}

/// Note that everything in the order is reserved for it. Nothing happens if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmReserved;

/// Pay the order in full. An order of free things is paid with 0 cents.
#[derive(Clone, Debug)]
pub struct Pay {
    /// How much.
    pub amount: Cents,
}

/// Send the order off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ship {
    /// The carrier's number.
    pub parcel: String,
}

/// Cancel the order, which pays back what was paid. Nothing happens if it is cancelled already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// Why.
    pub reason: String,
}

/// Cancel the order, unless it is paid: nobody waits for the money any longer, but money that has come is not sent back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelUnpaid {
    /// Why.
    pub reason: String,
}

/// Why the shop says no.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// There is nothing in the order.
    #[error("an order has at least one line, and at least one of everything in it")]
    NothingOrdered,
    /// There is no such order.
    #[error("the order was never placed")]
    NeverPlaced,
    /// The order is not at a point where that can be done.
    #[error("the order is {0:?} already")]
    Already(Status),
    /// The order waits for payment.
    #[error("the order is not paid")]
    NotPaid,
    /// The order waits for goods.
    #[error("not everything in the order is reserved for it")]
    NotReserved,
    /// Nobody has asked the shop to deliver the order.
    #[error("the order is not one to be delivered")]
    NotForDelivery,
    /// The amount is not what the order costs.
    #[error("the order costs {total}, not {amount}")]
    WrongAmount {
        /// What it costs.
        total: Cents,
        /// What was offered.
        amount: Cents,
    },
}

impl Handle<Place> for Order {
    type Error = OrderError;

    fn handle(&self, command: &Place) -> Result<Events<OrderEvent>, OrderError> {
        if self.status != Status::New {
            return Err(OrderError::Already(self.status));
        }
        if command.lines.is_empty() || command.lines.iter().any(|line| line.quantity == 0) {
            return Err(OrderError::NothingOrdered);
        }
        let (customer, lines) = (command.customer.clone(), command.lines.clone());
        Ok(Events::one(OrderPlaced { customer, lines }))
    }
}

impl Handle<PlaceForDelivery> for Order {
    type Error = OrderError;

    fn handle(&self, command: &PlaceForDelivery) -> Result<Events<OrderEvent>, OrderError> {
        let PlaceForDelivery { place, email, pay_within_ms } = command;
        let placed = self.handle(place)?;
        let (lines, email, pay_within_ms) = (place.lines.clone(), email.clone(), *pay_within_ms);
        Ok(placed.and(DeliveryRequested { lines, email, pay_within_ms }))
    }
}

impl Handle<ConfirmReserved> for Order {
    type Error = OrderError;

    fn handle(&self, _: &ConfirmReserved) -> Result<Events<OrderEvent>, OrderError> {
        self.placed_by()?;
        let delivery = self.delivery.as_ref().ok_or(OrderError::NotForDelivery)?;
        match self.status {
            _ if delivery.is_reserved => Ok(Events::none()),
            Status::Placed => Ok(events![OrderReserved {}]),
            Status::Paid => Ok(events![OrderReserved {}, OrderReady {}]),
            status => Err(OrderError::Already(status)),
        }
    }
}

impl Handle<Pay> for Order {
    type Error = OrderError;

    fn handle(&self, command: &Pay) -> Result<Events<OrderEvent>, OrderError> {
        let (customer, total, amount) = (self.placed_by()?, self.total(), command.amount);
        match self.status {
            Status::Placed if amount == total => {
                let paid = events![OrderPaid { customer, amount }];
                let is_reserved = self.delivery.as_ref().is_some_and(|delivery| delivery.is_reserved);
                Ok(if is_reserved { paid.and(OrderReady {}) } else { paid })
            }
            Status::Placed => Err(OrderError::WrongAmount { total, amount }),
            status => Err(OrderError::Already(status)),
        }
    }
}

impl Handle<Ship> for Order {
    type Error = OrderError;

    fn handle(&self, command: &Ship) -> Result<Events<OrderEvent>, OrderError> {
        self.placed_by()?;
        match self.status {
            Status::Paid if self.delivery.as_ref().is_some_and(|delivery| !delivery.is_reserved) => {
                Err(OrderError::NotReserved)
            }
            Status::Paid => Ok(Events::one(OrderShipped { parcel: command.parcel.clone() })),
            Status::Placed => Err(OrderError::NotPaid),
            status => Err(OrderError::Already(status)),
        }
    }
}

impl Handle<Cancel> for Order {
    type Error = OrderError;

    fn handle(&self, command: &Cancel) -> Result<Events<OrderEvent>, OrderError> {
        let customer = self.placed_by()?;
        match self.status {
            Status::Cancelled => Ok(Events::none()),
            Status::Shipped => Err(OrderError::Already(Status::Shipped)),
            _ => Ok(Events::one(OrderCancelled {
                customer,
                quantity: quantity(&self.lines),
                refund: self.paid,
                reason: command.reason.clone(),
            })),
        }
    }
}

impl Handle<CancelUnpaid> for Order {
    type Error = OrderError;

    fn handle(&self, CancelUnpaid { reason }: &CancelUnpaid) -> Result<Events<OrderEvent>, OrderError> {
        match self.status {
            Status::Paid => Err(OrderError::Already(Status::Paid)),
            _ => self.handle(&Cancel { reason: reason.clone() }),
        }
    }
}

impl Order {
    fn placed_by(&self) -> Result<CustomerId, OrderError> {
        self.customer.clone().ok_or(OrderError::NeverPlaced)
    }
}

fn quantity(lines: &[Line]) -> u64 {
    lines.iter().map(|line| u64::from(line.quantity)).sum()
}

#[cfg(test)]
mod tests {
    use factum::testing::Scenario;

    use super::*;

    fn ada() -> CustomerId {
        CustomerId("00001".into())
    }

    fn lines(total: i64) -> Vec<Line> {
        vec![Line { product: Product("CD".into()), quantity: 2, total: Cents(total) }]
    }

    fn placed(total: i64) -> OrderPlaced {
        OrderPlaced { customer: ada(), lines: lines(total) }
    }

    fn paid(amount: i64) -> OrderPaid {
        OrderPaid { customer: ada(), amount: Cents(amount) }
    }

    fn shipped() -> OrderShipped {
        OrderShipped { parcel: "P1".into() }
    }

    fn ship() -> Ship {
        Ship { parcel: "P1".into() }
    }

    fn cancel() -> Cancel {
        Cancel { reason: "changed my mind".into() }
    }

    fn order() -> Scenario<Order> {
        Scenario::new()
    }

    fn to_deliver(total: i64) -> Scenario<Order> {
        order().given(placed(total)).given(requested(total))
    }

    fn requested(total: i64) -> DeliveryRequested {
        DeliveryRequested { lines: lines(total), email: "ada@example.com".into(), pay_within_ms: 60_000 }
    }

    #[test]
    fn an_order_is_placed_paid_and_shipped() {
        let place = Place { customer: ada(), lines: lines(1177) };
        let _ = order().when(place).then(placed(1177));
        let _ = order().given(placed(1177)).when(Pay { amount: Cents(1177) }).then(paid(1177));
        order()
            .given(placed(1177))
            .given(paid(1177))
            .when(ship())
            .then(shipped())
            .and_state(|order| assert_eq!(order.status(), Status::Shipped));
    }

    #[test]
    fn an_order_is_placed_once_and_has_something_in_it() {
        let place = |lines| Place { customer: ada(), lines };
        order().when(place(vec![])).then_rejected(&OrderError::NothingOrdered);
        let none = vec![Line { product: Product("CD".into()), quantity: 0, total: Cents(0) }];
        order().when(place(none)).then_rejected(&OrderError::NothingOrdered);
        order().given(placed(1)).when(place(lines(1))).then_rejected(&OrderError::Already(Status::Placed));
    }

    #[test]
    fn an_order_is_paid_once_and_exactly() {
        let pay = |amount| Pay { amount: Cents(amount) };
        order().when(pay(1)).then_rejected(&OrderError::NeverPlaced);
        let wrong = OrderError::WrongAmount { total: Cents(1177), amount: Cents(1176) };
        order().given(placed(1177)).when(pay(1176)).then_rejected(&wrong);
        order()
            .given(placed(1))
            .given(paid(1))
            .when(pay(1))
            .then_rejected(&OrderError::Already(Status::Paid));
    }

    #[test]
    fn free_things_are_paid_with_nothing() {
        let _ = order().given(placed(0)).when(Pay { amount: Cents(0) }).then(paid(0));
    }

    #[test]
    fn an_order_is_shipped_after_it_was_paid() {
        order().when(ship()).then_rejected(&OrderError::NeverPlaced);
        order().given(placed(1)).when(ship()).then_rejected(&OrderError::NotPaid);
    }

    #[test]
    fn a_cancelled_order_is_paid_back() {
        let cancelled = |refund| OrderCancelled {
            customer: ada(),
            quantity: 2,
            refund: Cents(refund),
            reason: "changed my mind".into(),
        };
        let _ = order().given(placed(5)).when(cancel()).then(cancelled(0));
        let _ = order().given(placed(5)).given(paid(5)).when(cancel()).then(cancelled(5));
        let _ = order().given(placed(5)).given(cancelled(0)).when(cancel()).then_nothing();
        order()
            .given(placed(5))
            .given(paid(5))
            .given(shipped())
            .when(cancel())
            .then_rejected(&OrderError::Already(Status::Shipped));
    }

    #[test]
    fn an_order_to_deliver_says_so_from_the_beginning() {
        let place = Place { customer: ada(), lines: lines(5) };
        let place = PlaceForDelivery { place, email: "ada@example.com".into(), pay_within_ms: 60_000 };
        let _ = order().when(place.clone()).then_all(events![placed(5), requested(5)]);
        to_deliver(5).when(place).then_rejected(&OrderError::Already(Status::Placed));
    }

    #[test]
    fn an_order_to_deliver_is_ready_when_it_is_paid_and_reserved_in_either_order() {
        let pay = Pay { amount: Cents(5) };
        let _ = to_deliver(5).when(pay.clone()).then(paid(5));
        let _ = to_deliver(5).when(ConfirmReserved).then(OrderReserved {});
        let _ = to_deliver(5).given(OrderReserved {}).when(pay).then_all(events![paid(5), OrderReady {}]);
        let _ = to_deliver(5)
            .given(paid(5))
            .when(ConfirmReserved)
            .then_all(events![OrderReserved {}, OrderReady {}]);
    }

    #[test]
    fn an_order_to_deliver_is_not_shipped_before_it_is_reserved() {
        to_deliver(5).given(paid(5)).when(ship()).then_rejected(&OrderError::NotReserved);
        let _ = to_deliver(5).given(paid(5)).given(OrderReserved {}).when(ship()).then(shipped());
    }

    #[test]
    fn what_is_reserved_is_noted_once_and_not_for_an_order_that_is_over() {
        let cancelled = OrderCancelled {
            customer: ada(),
            quantity: 2,
            refund: Cents(0),
            reason: "changed my mind".into(),
        };
        let _ = to_deliver(5).given(OrderReserved {}).when(ConfirmReserved).then_nothing();
        to_deliver(5)
            .given(cancelled)
            .when(ConfirmReserved)
            .then_rejected(&OrderError::Already(Status::Cancelled));
        order().given(placed(5)).when(ConfirmReserved).then_rejected(&OrderError::NotForDelivery);
    }

    #[test]
    fn money_that_has_come_keeps_an_order_from_being_cancelled_for_want_of_it() {
        let overdue = || CancelUnpaid { reason: "changed my mind".into() };
        let cancelled = OrderCancelled {
            customer: ada(),
            quantity: 2,
            refund: Cents(0),
            reason: "changed my mind".into(),
        };
        let _ = to_deliver(5).when(overdue()).then(cancelled.clone());
        to_deliver(5).given(paid(5)).when(overdue()).then_rejected(&OrderError::Already(Status::Paid));
        let _ = to_deliver(5).given(cancelled).when(overdue()).then_nothing();
    }
}
