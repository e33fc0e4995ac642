use factum::{Aggregate, Apply, Event};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Aggregate, Default)]
#[aggregate(category = "order", id = u64, event = OrderPlaced)]
struct Order<'a> {
    customer: &'a str,
}

impl Apply<OrderPlaced> for Order<'_> {
    fn apply(&mut self, _: OrderPlaced) {}
}

fn main() {}
