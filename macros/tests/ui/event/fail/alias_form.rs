use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed", alias("order.made", OrderGiven))]
struct OrderPlaced;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.shipped", alias())]
struct OrderShipped;

fn main() {}
