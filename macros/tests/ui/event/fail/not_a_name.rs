use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "")]
struct Empty;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order\u{85}placed")]
struct Control;

#[derive(Event, Serialize, Deserialize)]
#[event(
    name = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
)]
struct Long;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed", alias = "", alias = "order\nplaced")]
struct Aliases;

fn main() {}
