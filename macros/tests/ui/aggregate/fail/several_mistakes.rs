use factum::{Aggregate, Apply, Event};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Aggregate, Default)]
#[aggregate(category = "shop/order", ident = u64, event = OrderPlaced, event = OrderPlaced)]
struct Order<'a> {
    #[aggregate(skip)]
    customer: &'a str,
}

impl Apply<OrderPlaced> for Order<'_> {
    fn apply(&mut self, _: OrderPlaced) {}
}

fn main() {}
