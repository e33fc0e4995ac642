use factum::{Aggregate, Apply, Event, Loaded};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

fn by_count(events: u64) -> bool {
    events > 9
}

fn says_nothing(_: &Loaded<Cart>, _: u64) {}

#[derive(Aggregate, Default, Serialize, Deserialize)]
#[aggregate(category = "order", id = u64, event = OrderPlaced, snapshot(when = by_count, version = 1))]
struct Order;

impl Apply<OrderPlaced> for Order {
    fn apply(&mut self, _: OrderPlaced) {}
}

#[derive(Aggregate, Default, Serialize, Deserialize)]
#[aggregate(category = "cart", id = u64, event = OrderPlaced, snapshot(when = says_nothing, version = 1))]
struct Cart;

impl Apply<OrderPlaced> for Cart {
    fn apply(&mut self, _: OrderPlaced) {}
}

fn main() {
    let least = 10;
    let _ = least;
}
