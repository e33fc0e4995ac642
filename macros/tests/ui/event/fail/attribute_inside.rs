use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced {
    #[event(name = "order.customer")]
    customer: String,
}

#[derive(Event)]
enum OrderEvent {
    #[event(name = "order.placed")]
    Placed(#[event(version = 1)] OrderPlaced),
}

fn main() {}
