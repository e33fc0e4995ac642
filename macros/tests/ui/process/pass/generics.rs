//! Generic processes: what is asked of their parameters is asked where they are run.

use std::fmt::Debug;
use std::marker::PhantomData;

use chrono::{DateTime, TimeDelta, Utc};
use factum::memory::MemoryStore;
use factum::{
    Aggregate, Apply, Deadline, Envelope, Event, Events, Handle, Issue, OnFailure, Process, ProcessManager,
    React,
};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "field.changed")]
struct Changed<T> {
    to: T,
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "copy.requested")]
struct Requested<T> {
    to: T,
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "copy.given_up")]
struct GivenUp;

#[derive(Event)]
enum CopyEvent<T> {
    Requested(Requested<T>),
    GivenUp(GivenUp),
}

/// What is copied.
trait Value: Default + Clone + Debug + Serialize + for<'a> Deserialize<'a> + Send + Sync + 'static {}
impl Value for u8 {}

#[derive(Aggregate, ProcessManager, Default)]
#[aggregate(category = "copy", id = String, event = CopyEvent<T>)]
#[process(name = "copy", on(Changed<T>), issues(Requested<T>), deadline(Requested<T>),)]
struct Copy<T: Value, const STEPS: usize> {
    value: PhantomData<T>,
}

impl<T: Value, const STEPS: usize> Apply<Requested<T>> for Copy<T, STEPS> {
    fn apply(&mut self, _: Requested<T>) {}
}

impl<T: Value, const STEPS: usize> Apply<GivenUp> for Copy<T, STEPS> {
    fn apply(&mut self, _: GivenUp) {}
}

impl<T: Value, const STEPS: usize> React<Changed<T>> for Copy<T, STEPS> {
    fn process(event: &Envelope<Changed<T>>) -> Option<String> {
        Some(event.stream.id().to_owned())
    }

    fn react(&self, event: &Envelope<Changed<T>>) -> Events<CopyEvent<T>> {
        Events::one(Requested { to: event.event.to.clone() })
    }
}

impl<T: Value, const STEPS: usize> Issue<Requested<T>> for Copy<T, STEPS> {
    type Target = Field<T>;
    type Command = Change<T>;

    fn issue(event: &Envelope<Requested<T>>) -> (u64, Change<T>) {
        (1, Change(event.event.to.clone()))
    }

    fn rejected(&self, _: &Envelope<Requested<T>>, _: &String) -> Events<CopyEvent<T>> {
        Events::one(GivenUp)
    }
}

impl<T: Value, const STEPS: usize> Deadline<Requested<T>> for Copy<T, STEPS> {
    fn due(event: &Envelope<Requested<T>>) -> Option<DateTime<Utc>> {
        Some(event.recorded_at + TimeDelta::seconds(1))
    }

    fn elapsed(&self, _: &Envelope<Requested<T>>) -> Events<CopyEvent<T>> {
        Events::none()
    }
}

#[derive(Aggregate, Default)]
#[aggregate(category = "field", id = u64, event = Changed<T>)]
struct Field<T: Value> {
    value: PhantomData<T>,
}

impl<T: Value> Apply<Changed<T>> for Field<T> {
    fn apply(&mut self, _: Changed<T>) {}
}

struct Change<T>(T);

impl<T: Value> Handle<Change<T>> for Field<T> {
    type Error = String;

    fn handle(&self, command: &Change<T>) -> Result<Events<Changed<T>>, String> {
        Ok(Events::one(Changed { to: command.0.clone() }))
    }
}

fn main() {
    let process = Process::<Copy<u8, 3>, _>::new(MemoryStore::new(), OnFailure::stop());
    assert_eq!(
        process.subscriptions().map(|part| part.name().to_owned()),
        ["copy", "copy/commands", "copy/deadlines"]
    );
    assert_eq!(Copy::<u8, 3>::REACTIONS[0].types[0].name(), "field.changed");
}
