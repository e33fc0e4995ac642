use factum::Event;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Event, Serialize, Deserialize)]
#[event(
    name = "order.placed",
    version = 5,
    upcast(from = 1, with = infallible),
    upcast(from = 2, with = by_reference),
    upcast(from = 3, with = without_error),
    upcast(from = 4, with = into_nothing)
)]
struct OrderPlaced;

fn infallible(payload: Value) -> Value {
    payload
}

fn by_reference(payload: &Value) -> Result<Value, std::io::Error> {
    Ok(payload.clone())
}

fn without_error(payload: Value) -> Result<Value, ()> {
    Ok(payload)
}

fn into_nothing(_: Value) -> Result<(), std::io::Error> {
    Ok(())
}

fn main() {}
