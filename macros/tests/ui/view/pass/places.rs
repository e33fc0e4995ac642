//! Views with parameters, in modules, of macros, and beside an aggregate.

use factum::{Aggregate, Apply, Decision, Event, Records, Select, View};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize, Clone)]
#[event(name = "a")]
struct Happened {
    #[event(tag)]
    r#type: u32,
    #[event(tag = "who", tags = "each")]
    names: Names,
}

#[derive(Serialize, Deserialize, Clone)]
struct Names(Vec<String>);

impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("+"))
    }
}

impl<'a> IntoIterator for &'a Names {
    type Item = &'a String;
    type IntoIter = std::slice::Iter<'a, String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[derive(View, Aggregate, Default)]
#[view(event = Happened)]
#[aggregate(category = "thing", id = u32, event = Happened)]
struct Both(u32);

impl Apply<Happened> for Both {
    fn apply(&mut self, _: Happened) {
        self.0 += 1;
    }
}

#[derive(View)]
#[view(event = Happened)]
struct Generic<T: From<u32>>(Vec<T>);

impl<T: From<u32>> Default for Generic<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: From<u32>> Apply<Happened> for Generic<T> {
    fn apply(&mut self, event: Happened) {
        self.0.push(event.r#type.into());
    }
}

struct Decide;

impl Decision for Decide {
    type Views = (Both, (Generic<u64>, Both), (Both,));
    type Event = Happened;
    type Error = ();

    fn views(&self) -> <Self::Views as factum::Views>::Selects {
        (
            Select::tagged("type", &1),
            (Select::tagged("who", "Ada+Bob"), Select::tagged("each", "Ada").or(Select::tagged("each", "Bob"))),
            (Select::all().unguarded(),),
        )
    }

    fn decide(&self, (first, (second, third), (fourth,)): &Self::Views) -> Result<Records<Happened>, ()> {
        assert_eq!((first.0, &second.0[..], third.0, fourth.0), (1, &[1_u64][..], 2, 2));
        Ok(Records::none())
    }
}

fn main() {
    let happened = |r#type, names: &[&str]| {
        Happened { r#type, names: Names(names.iter().map(ToString::to_string).collect()) }
    };
    factum::testing::DecisionScenario::new()
        .given(happened(1, &["Ada", "Bob"]))
        .given(happened(2, &["Bob"]))
        .when(Decide);
}
