use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "customer.changed")]
struct CustomerChanged;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "customer.renamed", split(from = CustomerChanged, with = by_reference))]
struct CustomerRenamed;

fn by_reference(_: &CustomerChanged) -> Option<CustomerRenamed> {
    None
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "customer.moved", split(from = CustomerChanged, with = into_another))]
struct CustomerMoved;

fn into_another(_: CustomerChanged) -> Option<CustomerRenamed> {
    None
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "customer.married", split(from = Marriage, with = of_no_event))]
struct CustomerMarried;

#[derive(Deserialize)]
struct Marriage;

fn of_no_event(_: Marriage) -> Vec<CustomerMarried> {
    Vec::new()
}

fn main() {}
