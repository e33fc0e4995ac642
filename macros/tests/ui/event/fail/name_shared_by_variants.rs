use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.shipped")]
struct OrderShipped;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.made", alias = "order.placed")]
struct OrderMade;

#[derive(Event)]
enum OrderEvent {
    Placed(OrderPlaced),
    Shipped(OrderShipped),
    Made(OrderMade),
}

fn main() {}
