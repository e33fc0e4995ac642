//! A view applies every event, has a default, and is folded from events.

use factum::{Apply, Event, View};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "a")]
struct A;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "b")]
struct B;

#[derive(Event)]
enum AB {
    A(A),
    B(B),
}

#[derive(View, Default)]
#[view(event = AB)]
struct WithoutB;

impl Apply<A> for WithoutB {
    fn apply(&mut self, _: A) {}
}

#[derive(View)]
#[view(event = A)]
struct WithoutDefault;

impl Apply<A> for WithoutDefault {
    fn apply(&mut self, _: A) {}
}

#[derive(View, Default)]
#[view(event = u32)]
struct OfNoEvent;

fn main() {}
