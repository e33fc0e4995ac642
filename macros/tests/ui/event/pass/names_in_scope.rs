//! Whatever the user calls things, generated code means its own.
#![allow(dead_code, non_snake_case, unused_macros)]

use serde::{Deserialize, Serialize};

struct Event;
struct EventType;
struct RecordedEvent;
struct Codec;
struct Result;
struct Option;
struct Vec;
struct Box;
struct String;
struct Into;
struct From;
struct Send;
struct Sync;
struct Upcast;
mod core {}
mod std {}
mod factum_core {}

fn Ok() {}
fn Err() {}

macro_rules! unreachable {
    () => {
        compile_error!("this is the user's")
    };
}

#[derive(factum::Event, Serialize, Deserialize)]
#[event(name = "order.placed", version = 2, upcast(from = 1, with = same), alias = "order.made")]
struct OrderPlaced;

/// What generated code would find first if it asked by name alone.
impl OrderPlaced {
    const TYPES: u8 = 0;

    fn event_type(&self) {}
    fn encode(&self) {}
    fn decode() {}
    fn route(self) {}
    fn into(self) {}
}

#[derive(factum::Event)]
enum OrderEvent {
    Event(OrderPlaced),
    Error(OrderFailed),
}

#[derive(factum::Event, Serialize, Deserialize)]
#[event(name = "order.failed")]
struct OrderFailed;

impl OrderEvent {
    const TYPES: u8 = 0;

    fn event_type(&self) {}
}

fn same(payload: serde_json::Value) -> ::std::result::Result<serde_json::Value, ::std::io::Error> {
    ::std::result::Result::Ok(payload)
}

fn main() {
    let event = OrderEvent::from(OrderPlaced);
    assert_eq!(factum::Event::event_type(&event).name(), "order.placed");
    assert_eq!(<OrderEvent as factum::Event>::TYPES.len(), 2);
}
