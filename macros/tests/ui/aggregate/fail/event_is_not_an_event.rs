use factum::{Aggregate, Apply};

struct OrderPlaced;

#[derive(Aggregate, Default)]
#[aggregate(category = "order", id = u64, event = OrderPlaced)]
struct Order;

impl Apply<OrderPlaced> for Order {
    fn apply(&mut self, _: OrderPlaced) {}
}

fn main() {}
