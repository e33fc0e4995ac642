use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "customer.registered")]
struct Registered {
    customer: u64,
    #[event(personal(subject = customer))]
    #[serde(skip)]
    name: String,
    #[event(personal(subject = customer))]
    #[serde(flatten)]
    address: Address,
}

#[derive(Serialize, Deserialize, Default)]
struct Address {
    street: String,
}

#[derive(Event, Serialize, Deserialize, Clone)]
#[event(name = "customer.moved")]
#[serde(into = "Address", from = "Address")]
struct Moved {
    customer: u64,
    #[event(personal(subject = customer))]
    street: String,
}

fn main() {}
