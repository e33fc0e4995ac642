//! Whatever the user calls things, and wherever the input comes from, generated code means its own.
#![allow(dead_code, unused_macros)]

use factum::{Apply, Envelope, Events, React};
use serde::{Deserialize, Serialize};

pub use factum as reexported;

struct ProcessManager;
struct Aggregate;
struct Event;
struct Interest;
struct Choice;
struct Option;
struct Result;
struct EventStore;
mod core {}

macro_rules! unreachable {
    () => {
        compile_error!("this is the user's")
    };
}

#[derive(factum::Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(factum::Event, Serialize, Deserialize)]
#[event(name = "fulfilment.begun")]
struct Begun;

#[derive(factum::Aggregate, factum::ProcessManager, Default)]
#[aggregate(category = "fulfilment", id = String, event = Begun)]
#[process(name = "fulfilment", on(OrderPlaced), issues(Begun), deadline(Begun))]
enum Fulfilment {
    #[default]
    New,
    Event,
}

impl Fulfilment {
    const NAME: u8 = 0;
    const REACTIONS: u8 = 0;
    const ISSUES: u8 = 0;
    const DEADLINES: u8 = 0;

    fn react_to(&self) {}
    fn issue_for(&self) {}
    fn wait_for(&self) {}
}

impl Apply<Begun> for Fulfilment {
    fn apply(&mut self, _: Begun) {
        *self = Self::Event;
    }
}

impl React<OrderPlaced> for Fulfilment {
    fn process(event: &Envelope<OrderPlaced>) -> std::option::Option<String> {
        Some(event.stream.id().to_owned())
    }

    fn react(&self, _: &Envelope<OrderPlaced>) -> Events<Begun> {
        Events::one(Begun)
    }
}

impl factum::Issue<Begun> for Fulfilment {
    type Target = Self;
    type Command = u8;

    fn issue(event: &Envelope<Begun>) -> (String, u8) {
        (event.stream.id().to_owned(), 0)
    }

    fn rejected(&self, _: &Envelope<Begun>, _: &()) -> Events<Begun> {
        Events::none()
    }
}

impl factum::Deadline<Begun> for Fulfilment {
    fn due(_: &Envelope<Begun>) -> std::option::Option<chrono::DateTime<chrono::Utc>> {
        None
    }

    fn elapsed(&self, _: &Envelope<Begun>) -> Events<Begun> {
        Events::none()
    }
}

impl factum::Handle<u8> for Fulfilment {
    type Error = ();

    fn handle(&self, _: &u8) -> std::result::Result<Events<Begun>, ()> {
        Ok(Events::none())
    }
}

macro_rules! process {
    ($process:ident, $name:literal, $on:ident, $event:ty) => {
        #[derive($crate::reexported::Aggregate, $crate::reexported::ProcessManager, Default)]
        #[aggregate(category = $name, id = String, event = Begun, crate = $crate::reexported)]
        #[process(name = $name, $on($event), crate = $crate::reexported)]
        struct $process;

        impl Apply<Begun> for $process {
            fn apply(&mut self, _: Begun) {}
        }

        impl React<$event> for $process {
            fn process(_: &Envelope<$event>) -> std::option::Option<String> {
                None
            }

            fn react(&self, _: &Envelope<$event>) -> Events<Begun> {
                Events::none()
            }
        }
    };
}

process!(Returns, "returns", on, OrderPlaced);

fn main() {
    assert_eq!(<Fulfilment as factum::ProcessManager>::NAME, "fulfilment");
    assert_eq!(<Fulfilment as factum::ProcessManager>::ISSUES.len(), 1);
    assert_eq!(<Returns as factum::ProcessManager>::REACTIONS.len(), 1);
}
