use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed", version = 1, name = "order.made", crate = factum)]
#[event(version = 1, crate = factum)]
struct OrderPlaced;

fn main() {}
