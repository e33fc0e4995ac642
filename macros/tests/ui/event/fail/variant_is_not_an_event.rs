use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct OrderPlaced;

#[derive(Event)]
enum OrderEvent {
    Placed(OrderPlaced),
}

fn main() {}
