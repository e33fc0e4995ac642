//! What an aggregate is asked for is asked where it is used, so its parameters need no bounds of their own.

use std::fmt::Display;

use factum::testing::Scenario;
use factum::{Aggregate, Apply, Event, Events, Handle};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "counter.raised")]
struct Raised;

#[derive(Aggregate, Default, Debug)]
#[aggregate(category = "counter", id = String, event = Raised)]
struct Counter<T, const STEP: usize> {
    total: usize,
    kind: std::marker::PhantomData<T>,
}

impl<T, const STEP: usize> Apply<Raised> for Counter<T, STEP> {
    fn apply(&mut self, _: Raised) {
        self.total += STEP;
    }
}

struct Raise;

impl<T: Default + Send + Sync + 'static, const STEP: usize> Handle<Raise> for Counter<T, STEP> {
    type Error = std::convert::Infallible;

    fn handle(&self, _: &Raise) -> Result<Events<Raised>, Self::Error> {
        Ok(Events::one(Raised))
    }
}

#[derive(Aggregate, Default)]
#[aggregate(category = "keyed", id = Id, event = Raised)]
struct Keyed<Id: Display + Default + Send + Sync + 'static>(Id)
where
    Id: Clone;

impl<Id: Display + Default + Send + Sync + Clone + 'static> Apply<Raised> for Keyed<Id> {
    fn apply(&mut self, _: Raised) {}
}

#[derive(Aggregate, Default)]
#[aggregate(category = "state", id = u64, event = Raised)]
enum State {
    #[default]
    Low,
    High(u8),
}

impl Apply<Raised> for State {
    fn apply(&mut self, _: Raised) {
        *self = match self {
            Self::Low => Self::High(0),
            Self::High(n) => Self::High(*n + 1),
        };
    }
}

fn main() {
    Scenario::<Counter<u8, 2>>::new().given(Raised).when(Raise).then(Raised).and_state(|counter| {
        assert_eq!(counter.total, 4);
    });
    Scenario::<State>::new().given(Raised).then_state(|state| assert!(matches!(state, State::High(0))));
    let _: <Keyed<String> as Aggregate>::Id = String::new();
}
