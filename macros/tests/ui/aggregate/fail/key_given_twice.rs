use factum::{Aggregate, Apply, Event};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Aggregate, Default)]
#[aggregate(category = "order", id = u64, event = OrderPlaced, crate = factum)]
#[aggregate(category = "orders", id = u32, event = OrderPlaced, crate = factum)]
struct Order;

impl Apply<OrderPlaced> for Order {
    fn apply(&mut self, _: OrderPlaced) {}
}

fn main() {}
