use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event]
struct OrderPlaced;

#[derive(Event, Serialize, Deserialize)]
#[event = "order.shipped"]
struct OrderShipped;

#[derive(Event, Serialize, Deserialize)]
#[event("order.cancelled")]
struct OrderCancelled;

fn main() {}
