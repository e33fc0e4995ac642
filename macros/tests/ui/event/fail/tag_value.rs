//! What makes no text is no tag, and what is one value is not many.

use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct NoText;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "a")]
struct OfNoText {
    #[event(tag)]
    value: NoText,
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "b")]
struct OfManyValues {
    #[event(tag)]
    values: Option<u32>,
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "c")]
struct OfOneValue {
    #[event(tags)]
    value: u32,
}

fn main() {}
