use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "customer.changed")]
struct CustomerChanged;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "customer.moved", alias = "customer.changed", split(from = CustomerChanged, with = moved))]
struct CustomerMoved;

fn moved(_: CustomerChanged) -> Option<CustomerMoved> {
    None
}

#[derive(Event)]
enum CustomerEvent {
    Moved(CustomerMoved),
}

fn main() {}
