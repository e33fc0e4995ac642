//! What is no view is in no decision, and its selects are of its views.

use factum::{Apply, Decision, Event, Records, Select, View};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "a")]
struct A;

#[derive(View, Default)]
#[view(event = A)]
struct One;

impl Apply<A> for One {
    fn apply(&mut self, _: A) {}
}

struct OnNoView;

impl Decision for OnNoView {
    type Views = u32;
    type Event = A;
    type Error = ();

    fn views(&self) -> Select<One> {
        Select::all()
    }

    fn decide(&self, _: &u32) -> Result<Records<A>, ()> {
        Ok(Records::none())
    }
}

async fn not_one(decisions: &factum::Decisions) {
    let _ = decisions.execute(7);
}

fn main() {}
