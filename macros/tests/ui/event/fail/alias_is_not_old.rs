use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.shipped", alias = "order.shipped")]
struct OrderShipped;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed", alias = "order.made", alias = "order.given", alias = "order.made")]
struct OrderPlaced;

fn main() {}
