use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed", version = 0)]
struct OrderPlaced;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.shipped", version = 2147483648)]
struct OrderShipped;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.cancelled", version = 2, upcast(from = -1, with = same))]
struct OrderCancelled;

fn same(payload: serde_json::Value) -> Result<serde_json::Value, std::io::Error> {
    Ok(payload)
}

fn main() {}
