use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed", dropped("order.viewed"))]
struct OrderPlaced;

#[derive(Event)]
#[event(dropped("order.viewed", "order.printed", "order.viewed"))]
enum Twice {
    Placed(OrderPlaced),
}

#[derive(Event)]
#[event(dropped(OrderViewed))]
enum WithType {
    Placed(OrderPlaced),
}

#[derive(Event)]
#[event(dropped())]
enum WithNothing {
    Placed(OrderPlaced),
}

#[derive(Event)]
#[event(dropped(""))]
enum WithNoName {
    Placed(OrderPlaced),
}

fn main() {}
