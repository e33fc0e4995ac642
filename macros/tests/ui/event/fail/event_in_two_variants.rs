use factum::{Event, Events};
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
    Made(OrderPlaced),
}

fn main() {
    let _: Events<OrderEvent> = Events::one(OrderPlaced).and(OrderShipped);
}
