use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed", alias = "order.made")]
struct OrderPlaced;

#[derive(Event)]
#[event(dropped("order.viewed", "order.made"))]
enum OrderEvent {
    Placed(OrderPlaced),
}

fn main() {}
