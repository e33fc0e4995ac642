//! Types, bounds, defaults, where clauses and constants; what is stored is asked for where the event is used.

use std::fmt::Debug;

use factum::{Aggregate, Apply, Event, EventType};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize, Clone)]
#[event(name = "field.changed", version = 2, upcast(from = 1, with = same))]
struct Changed<T> {
    to: T,
}

#[derive(Event, Serialize, Deserialize, Clone)]
#[event(name = "field.moved")]
struct Moved<T: Clone = u8, const STEPS: usize = 1>
where
    T: Debug,
{
    to: T,
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "field.cleared")]
struct Cleared;

#[derive(Event)]
enum FieldEvent<T: Clone + Debug, const STEPS: usize> {
    Changed(Changed<T>),
    Moved(Moved<T, STEPS>),
    Cleared(Cleared),
}

/// Told apart by their names, not by their types.
#[derive(Event)]
enum Concrete {
    Changed(Changed<u8>),
    Moved(Moved<Vec<String>>),
}

/// No event for any `T`, and no error either: nothing asks.
#[derive(Event, Serialize, Deserialize)]
#[event(name = "field.shared")]
struct Shared<T>(#[serde(skip)] std::marker::PhantomData<std::rc::Rc<T>>);

#[derive(Aggregate, Default)]
#[aggregate(category = "field", id = u64, event = FieldEvent<T, 2>)]
struct Field<T: Clone + Debug + Default + Serialize + serde::de::DeserializeOwned + Send + Sync + 'static> {
    value: Option<T>,
}

impl<T, E> Apply<E> for Field<T>
where
    T: Clone + Debug + Default + Serialize + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    fn apply(&mut self, _: E) {
        self.value = None;
    }
}

fn same(payload: serde_json::Value) -> Result<serde_json::Value, std::io::Error> {
    Ok(payload)
}

fn names<E: Event>() -> Vec<&'static str> {
    E::TYPES.iter().map(EventType::name).collect()
}

fn main() {
    assert_eq!(names::<FieldEvent<String, 3>>(), ["field.changed", "field.moved", "field.cleared"]);
    assert_eq!(names::<Concrete>(), ["field.changed", "field.moved"]);
    assert_eq!(names::<<Field<u8> as Aggregate>::Event>().len(), 3);
    let _ = FieldEvent::<u8, 1>::from(Changed { to: 1 });
    let _ = Shared::<u8>(std::marker::PhantomData);
}
