use factum::{Aggregate, Apply, Event, ProcessManager};
use serde::{Deserialize, Serialize};

struct OrderPlaced;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "fulfilment.payment_requested")]
struct PaymentRequested;

#[derive(Aggregate, ProcessManager, Default)]
#[aggregate(category = "fulfilment", id = String, event = PaymentRequested)]
#[process(name = "fulfilment", on(OrderPlaced))]
struct Fulfilment;

impl Apply<PaymentRequested> for Fulfilment {
    fn apply(&mut self, _: PaymentRequested) {}
}

fn main() {}
