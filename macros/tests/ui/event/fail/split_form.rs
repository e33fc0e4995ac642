use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "old")]
struct Old;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "a", split(from = Old))]
struct WithoutFunction;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "b", split(with = part))]
struct WithoutOldEvent;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "c", split(from = "old", with = part))]
struct WithText;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "d", split = part)]
struct WithoutForm;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "e", split(from = Old, with = part, of = Old))]
struct WithMore;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "f", split(from = Old, with = part), split(from = Old, with = part))]
struct WithTwo;

fn part<T>(_: Old) -> Option<T> {
    None
}

fn main() {}
