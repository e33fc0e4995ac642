//! A tag stands on a field, has a key, and is made of text.

use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct NoText;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "a")]
struct WithoutName(#[event(tag)] u32);

#[derive(Event, Serialize, Deserialize)]
#[event(name = "b")]
struct Twice {
    #[event(tag, tags = "id")]
    id: String,
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "c")]
struct OtherKeys {
    #[event(name = "id")]
    id: u32,
    #[event(tag = 7)]
    number: u32,
    #[event(tag = "")]
    empty: u32,
    #[event]
    none: u32,
}

#[derive(Event)]
enum OnAVariant {
    #[event(tag)]
    Other(Other),
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "d")]
struct Other;

fn main() {}
