use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type", rename(serialize = "A", deserialize = "A"))]
#[event(name = "order.placed")]
struct OrderPlaced {
    customer: String,
}

fn main() {}
