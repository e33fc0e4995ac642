use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Event)]
#[event(name = "order", version = 2, alias = "orders", upcast(from = 1, with = same), crate = factum)]
enum OrderEvent {
    Placed(OrderPlaced),
}

fn same(payload: serde_json::Value) -> Result<serde_json::Value, std::io::Error> {
    Ok(payload)
}

fn main() {}
