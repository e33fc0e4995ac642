use factum::{Aggregate, Apply, Event, ProcessManager};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "fulfilment.payment_requested")]
struct PaymentRequested;

#[derive(Aggregate, ProcessManager, Default)]
#[aggregate(category = "fulfilment", id = String, event = PaymentRequested)]
#[process(name = "fulfilment", on(OrderPlaced))]
struct Fulfilment<'a> {
    customer: &'a str,
}

impl Apply<PaymentRequested> for Fulfilment<'_> {
    fn apply(&mut self, _: PaymentRequested) {}
}

fn main() {}
