//! What is configured away is not there, and what is configured in is.
#![allow(unexpected_cfgs)]

use factum::{Aggregate, Apply, Event};
use serde::{Deserialize, Serialize};

#[cfg_attr(all(), derive(Event, Serialize, Deserialize))]
#[cfg_attr(all(), event(name = "order.placed"))]
#[cfg_attr(any(), event(name = "order.made"))]
struct OrderPlaced {
    customer: String,
    #[cfg(any())]
    lines: NoSuchType,
}

#[cfg(any())]
struct OrderShipped;

#[derive(Event)]
enum OrderEvent {
    Placed(#[cfg(all())] OrderPlaced),
    #[cfg(any())]
    Shipped(OrderShipped),
    #[cfg(any())]
    Cancelled,
}

#[derive(Aggregate, Default)]
#[cfg_attr(all(), aggregate(category = "order", id = u64, event = OrderEvent))]
struct Order;

impl Apply<OrderPlaced> for Order {
    fn apply(&mut self, event: OrderPlaced) {
        assert_eq!(event.customer, "Ada");
    }
}

fn main() {
    let event = OrderEvent::from(OrderPlaced { customer: "Ada".into() });
    factum::Route::route(event, &mut Order);
    assert_eq!(OrderEvent::TYPES.len(), 1);
}
