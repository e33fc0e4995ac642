use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "customer.registered")]
struct Registered {
    customer: u64,
    #[event(personal)]
    name: String,
    #[event(personal())]
    street: String,
    #[event(personal(subject = customer, falback = String::new()))]
    town: String,
    #[event(personal(of = customer))]
    country: String,
    #[event(personal(subject = custmer))]
    mail: String,
    #[event(personal(subject = mail))]
    phone: String,
    #[event(name = "fax")]
    fax: String,
    #[event(personal(subject = customer), tag)]
    village: String,
    #[event(personal(subject = customer), personal(subject = customer))]
    county: String,
    #[event(personal(subject = customer, fallback = String::new()) nonsense)]
    region: String,
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "customer.moved")]
struct Moved(u64, #[event(personal(subject = customer))] String);

fn main() {}
