use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed", version = 3, upcast(from = 1, typed = unwritable), upcast(from = 2, with = same))]
struct OrderPlaced;

#[derive(Deserialize)]
struct V1;
struct V2;

fn unwritable(_: V1) -> V2 {
    V2
}

fn same(payload: serde_json::Value) -> Result<serde_json::Value, std::io::Error> {
    Ok(payload)
}

fn main() {}
