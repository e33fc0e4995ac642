use factum::{Aggregate, Apply, Event};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
struct OrderPlaced;

#[derive(Event, Serialize, Deserialize)]
#[event(version = 1)]
struct OrderShipped;

/// Hears nothing of it.
#[derive(Event)]
enum OrderEvent {
    Placed(OrderPlaced),
}

#[derive(Aggregate, Default)]
#[aggregate(category = "order", id = u64, event = OrderEvent)]
struct Order;

impl Apply<OrderPlaced> for Order {
    fn apply(&mut self, _: OrderPlaced) {}
}

fn main() {}
