use factum::{Aggregate, Apply, Event};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.shipped")]
struct OrderShipped;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.cancelled")]
struct OrderCancelled;

#[derive(Event)]
enum OrderEvent {
    Placed(OrderPlaced),
    Shipped(OrderShipped),
    Cancelled(OrderCancelled),
}

#[derive(Aggregate, Default)]
#[aggregate(category = "order", id = u64, event = OrderEvent)]
struct Order;

impl Apply<OrderShipped> for Order {
    fn apply(&mut self, _: OrderShipped) {}
}

fn main() {}
