use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.shipped")]
struct OrderShipped;

#[derive(Event)]
enum OrderEvent {
    Placed(OrderPlaced),
    Shipped(OrderShipped),
}

#[derive(Event)]
enum ShopEvent {
    Order(OrderEvent),
}

fn main() {}
