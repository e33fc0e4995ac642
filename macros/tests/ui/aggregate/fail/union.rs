use factum::{Aggregate, Apply, Event};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Aggregate)]
#[aggregate(category = "order", id = u64, event = OrderPlaced)]
union Order {
    cents: u64,
    euros: u64,
}

fn main() {}

impl Apply<OrderPlaced> for Order {
    fn apply(&mut self, _: OrderPlaced) {}
}

impl Default for Order {
    fn default() -> Self {
        Self { cents: 0 }
    }
}
