use factum::{Aggregate, Apply, Event};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Aggregate, Default)]
#[aggregate(category = "order", id = u64, event = OrderPlaced, snapshot(every = 100, version = 1))]
struct Order;

impl Apply<OrderPlaced> for Order {
    fn apply(&mut self, _: OrderPlaced) {}
}

#[derive(Aggregate, Default)]
#[aggregate(category = "cart", id = u64, event = OrderPlaced, snapshot(when = |_, events| events > 9, version = 1))]
struct Cart;

impl Apply<OrderPlaced> for Cart {
    fn apply(&mut self, _: OrderPlaced) {}
}

fn main() {}
