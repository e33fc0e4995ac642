use factum::{Aggregate, Apply, Event};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Aggregate, Default)]
#[aggregate(category = "order", id = u64, event = OrderPlaced)]
struct Order {
    #[aggregate(id = u64)]
    id: u64,
}

#[derive(Aggregate, Default)]
#[aggregate(category = "cart", id = u64, event = OrderPlaced)]
enum Cart {
    #[default]
    #[aggregate(category = "empty")]
    Empty,
    Full(#[aggregate(id = u64)] u64),
}

impl Apply<OrderPlaced> for Cart {
    fn apply(&mut self, _: OrderPlaced) {}
}

impl Apply<OrderPlaced> for Order {
    fn apply(&mut self, _: OrderPlaced) {}
}

fn main() {}
