use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced<'a, T> {
    customer: &'a str,
    lines: T,
}

fn main() {}
