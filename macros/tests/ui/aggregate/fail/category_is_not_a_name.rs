use factum::{Aggregate, Apply, Event};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Aggregate, Default)]
#[aggregate(category = "", id = u64, event = OrderPlaced)]
struct Order;

#[derive(Aggregate, Default)]
#[aggregate(category = "shop/order", id = u64, event = OrderPlaced)]
struct ShopOrder;

#[derive(Aggregate, Default)]
#[aggregate(category = "order\0", id = u64, event = OrderPlaced)]
struct NulOrder;

impl Apply<OrderPlaced> for ShopOrder {
    fn apply(&mut self, _: OrderPlaced) {}
}

impl Apply<OrderPlaced> for NulOrder {
    fn apply(&mut self, _: OrderPlaced) {}
}

impl Apply<OrderPlaced> for Order {
    fn apply(&mut self, _: OrderPlaced) {}
}

fn main() {}
