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
struct Decoded;
struct Answer;
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
#[event(
    name = "order.placed",
    version = 5,
    upcast(from = 1, with = old),
    upcast(from = 2, typed = version_2),
    upcast(from = 3, with = event_type),
    upcast(from = 4, typed = today),
    split(from = OrderMade, with = recorded),
    alias = "order.given"
)]
struct OrderPlaced;

#[derive(factum::Event, Serialize, Deserialize)]
#[event(name = "order.made")]
struct OrderMade;

#[derive(Serialize, Deserialize)]
struct Old;

/// What generated code would find first if it asked by name alone.
impl OrderPlaced {
    const TYPES: u8 = 0;

    fn event_type(&self) {}
    fn encode(&self) {}
    fn decode() {}
    fn decode_all() {}
    fn route(self) {}
    fn into(self) {}
}

#[derive(factum::Event)]
#[event(dropped("order.viewed"))]
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

fn old(payload: serde_json::Value) -> ::std::result::Result<serde_json::Value, ::std::io::Error> {
    ::std::result::Result::Ok(payload)
}

fn version_2(_: Old) -> ::std::result::Result<Old, ::std::string::String> {
    ::std::result::Result::Ok(Old)
}

fn event_type(payload: serde_json::Value) -> ::std::result::Result<serde_json::Value, ::std::io::Error> {
    ::std::result::Result::Ok(payload)
}

fn today(_: Old) -> OrderPlaced {
    OrderPlaced
}

fn recorded(_: OrderMade) -> ::std::vec::Vec<OrderPlaced> {
    ::std::vec![OrderPlaced]
}

fn main() {
    let event = OrderEvent::from(OrderPlaced);
    assert_eq!(factum::Event::event_type(&event).name(), "order.placed");
    assert_eq!(<OrderEvent as factum::Event>::TYPES.len(), 2);
}
