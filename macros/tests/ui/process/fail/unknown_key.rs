use factum::{Aggregate, Apply, Envelope, Event, Events, ProcessManager, React};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "fulfilment.payment_requested")]
struct PaymentRequested;

#[derive(Aggregate, ProcessManager, Default)]
#[aggregate(category = "fulfilment", id = String, event = PaymentRequested)]
#[process(nme = "fulfilment", on(OrderPlaced), issue(PaymentRequested), deadlines(PaymentRequested), flush)]
struct Fulfilment;

impl Apply<PaymentRequested> for Fulfilment {
    fn apply(&mut self, _: PaymentRequested) {}
}

impl React<OrderPlaced> for Fulfilment {
    fn process(event: &Envelope<OrderPlaced>) -> Option<String> {
        Some(event.stream.id().to_owned())
    }

    fn react(&self, _: &Envelope<OrderPlaced>) -> Events<PaymentRequested> {
        Events::one(PaymentRequested)
    }
}

fn main() {}
