//! Orders: placed, paid, shipped, or cancelled before they are shipped.

use std::fmt;

use factum::{Aggregate, Apply, Event, Events, Handle};
use serde::{Deserialize, Serialize};

use super::{Cents, CustomerId};

/// The shop's number of an order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(pub String);

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One line of an order.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What.
    pub product: String,
    /// How many.
    pub quantity: u32,
    /// For how much altogether.
    pub total: Cents,
}

// ---- What can happen -------------------------------------------------------------------------------------------

/// A customer ordered something.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
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

/// The order was paid in full.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "order.paid")]
pub struct OrderPaid {
    /// By whom.
    pub customer: CustomerId,
    /// How much.
    pub amount: Cents,
}

/// The order left the house.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "order.shipped")]
pub struct OrderShipped {
    /// The carrier's number.
    pub parcel: String,
}

/// The order will not be shipped, and what was paid was paid back.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
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

/// Everything that can happen to an order.
#[derive(Event, Clone, Debug, PartialEq)]
pub enum OrderEvent {
    /// A customer ordered something.
    Placed(OrderPlaced),
    /// The order was paid in full.
    Paid(OrderPaid),
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
}

/// How far an order has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
}

impl Apply<OrderPlaced> for Order {
    fn apply(&mut self, event: OrderPlaced) {
        self.status = Status::Placed;
        self.customer = Some(event.customer);
        self.lines = event.lines;
    }
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

/// Pay the order in full. An order of free things is paid with 0 cents.
#[derive(Clone, Debug)]
pub struct Pay {
    /// How much.
    pub amount: Cents,
}

/// Send the order off.
#[derive(Clone, Debug)]
pub struct Ship {
    /// The carrier's number.
    pub parcel: String,
}

/// Cancel the order, which pays back what was paid. Nothing happens if it is cancelled already.
#[derive(Clone, Debug)]
pub struct Cancel {
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

impl Handle<Pay> for Order {
    type Error = OrderError;

    fn handle(&self, command: &Pay) -> Result<Events<OrderEvent>, OrderError> {
        let (customer, total, amount) = (self.placed_by()?, self.total(), command.amount);
        match self.status {
            Status::Placed if amount == total => Ok(Events::one(OrderPaid { customer, amount })),
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
        vec![Line { product: "CD".into(), quantity: 2, total: Cents(total) }]
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
        let none = vec![Line { product: "CD".into(), quantity: 0, total: Cents(0) }];
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
}
