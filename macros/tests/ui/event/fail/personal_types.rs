use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Secret(u8);

#[derive(Serialize, Deserialize)]
struct Customer(u8);

#[derive(Event, Serialize, Deserialize)]
#[event(name = "customer.registered")]
struct Registered {
    customer: u64,
    #[event(personal(subject = customer))]
    secret: Secret,
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "customer.moved")]
struct Moved {
    customer: Customer,
    #[event(personal(subject = customer))]
    street: String,
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "customer.left")]
struct Left {
    customer: u64,
    #[event(personal(subject = customer, fallback = "no reason"))]
    reason: String,
}

fn main() {}
