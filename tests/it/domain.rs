//! The domain of these tests: the orders of the front page.

use factum::{Aggregate, Apply, Event, Events, Handle};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "order.placed")]
pub(crate) struct OrderPlaced {
    pub(crate) customer: String,
    pub(crate) lines: Vec<String>,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "order.shipped", version = 2, upcast(from = 1, with = shipped_v1), alias = "order.sent")]
pub(crate) struct OrderShipped {
    pub(crate) parcel: String,
}

/// Version 1 called the parcel a packet.
fn shipped_v1(mut payload: serde_json::Value) -> Result<serde_json::Value, std::io::Error> {
    let fields = payload.as_object_mut().ok_or_else(|| std::io::Error::other("not an object"))?;
    let packet = fields.remove("packet").ok_or_else(|| std::io::Error::other("no packet"))?;
    fields.insert("parcel".into(), packet);
    Ok(payload)
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "order.cancelled")]
pub(crate) struct OrderCancelled;

/// Everything that can happen to an order: one event per variant.
#[derive(Event, Clone, Debug, PartialEq)]
pub(crate) enum OrderEvent {
    Placed(OrderPlaced),
    Shipped(OrderShipped),
    Cancelled(OrderCancelled),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Status {
    #[default]
    New,
    Placed,
    Shipped,
    Cancelled,
}

#[derive(Aggregate, Default, Clone, Debug, PartialEq)]
#[aggregate(category = "order", id = u64, event = OrderEvent)]
pub(crate) struct Order {
    pub(crate) status: Status,
    pub(crate) lines: Vec<String>,
    pub(crate) parcels: Vec<String>,
}

impl Apply<OrderPlaced> for Order {
    fn apply(&mut self, event: OrderPlaced) {
        self.status = Status::Placed;
        self.lines = event.lines;
    }
}

impl Apply<OrderShipped> for Order {
    fn apply(&mut self, event: OrderShipped) {
        self.status = Status::Shipped;
        self.parcels.push(event.parcel);
    }
}

impl Apply<OrderCancelled> for Order {
    fn apply(&mut self, _: OrderCancelled) {
        self.status = Status::Cancelled;
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) customer: String,
    pub(crate) lines: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Ship {
    pub(crate) parcel: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Cancel;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OrderError {
    #[error("the order is {0:?}")]
    Is(Status),
}

impl Handle<Place> for Order {
    type Error = OrderError;

    fn handle(&self, command: &Place) -> Result<Events<OrderEvent>, OrderError> {
        match self.status {
            Status::New => Ok(Events::one(OrderPlaced {
                customer: command.customer.clone(),
                lines: command.lines.clone(),
            })),
            status => Err(OrderError::Is(status)),
        }
    }
}

impl Handle<Ship> for Order {
    type Error = OrderError;

    fn handle(&self, command: &Ship) -> Result<Events<OrderEvent>, OrderError> {
        match self.status {
            Status::Placed | Status::Shipped => {
                Ok(Events::one(OrderShipped { parcel: command.parcel.clone() }))
            }
            status => Err(OrderError::Is(status)),
        }
    }
}

impl Handle<Cancel> for Order {
    type Error = OrderError;

    fn handle(&self, _: &Cancel) -> Result<Events<OrderEvent>, OrderError> {
        match self.status {
            Status::New | Status::Placed => Ok(Events::one(OrderCancelled)),
            Status::Cancelled => Ok(Events::none()),
            Status::Shipped => Err(OrderError::Is(self.status)),
        }
    }
}

pub(crate) fn place() -> Place {
    Place { customer: "Ada".into(), lines: vec!["Kind of Blue".into()] }
}

pub(crate) fn ship(parcel: &str) -> Ship {
    Ship { parcel: parcel.into() }
}
