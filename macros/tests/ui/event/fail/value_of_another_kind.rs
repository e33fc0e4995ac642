use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = 1, version = "2", alias("order.made"), crate = "factum")]
struct OrderPlaced;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.shipped" version = 1)]
struct OrderShipped;

fn main() {}
