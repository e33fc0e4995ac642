use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(
    name = "order.placed",
    version = 6,
    upcast(from = 1, typed = into_the_next_but_one),
    upcast(from = 2, typed = by_reference),
    upcast(from = 3, typed = without_error),
    upcast(from = 4, typed = from_what_cannot_be_read),
    upcast(from = 5, typed = into_no_event)
)]
struct OrderPlaced;

#[derive(Deserialize)]
struct V1;
#[derive(Deserialize)]
struct V2;
#[derive(Deserialize)]
struct V3;
struct V4;
#[derive(Deserialize)]
struct V5;

fn into_the_next_but_one(_: V1) -> V3 {
    V3
}

fn by_reference(_: &V2) -> V3 {
    V3
}

fn without_error(_: V3) -> Result<V4, ()> {
    Ok(V4)
}

fn from_what_cannot_be_read(_: V4) -> Result<V5, std::io::Error> {
    Ok(V5)
}

fn into_no_event(_: V5) {}

fn main() {}
