use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "a", version = 2, upcast(from = 1))]
struct WithoutFunction;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "b", version = 2, upcast = same)]
struct WithoutVersion;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "c", version = 2, upcast(from = 1, to = 2, with = same))]
struct WithTarget;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "d", version = 2, upcast(from = 1, with = same, with = same))]
struct WithTwoFunctions;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "e", version = 2, upcast(from = 1, with = "same"))]
struct WithText;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "f", version = 2, upcast(from = 1, with = same, typed = same))]
struct WithTwoKinds;

fn same(payload: serde_json::Value) -> Result<serde_json::Value, std::io::Error> {
    Ok(payload)
}

fn main() {}
