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
#[process(name = "", on(OrderPlaced))]
struct Empty;

impl Apply<PaymentRequested> for Empty {
    fn apply(&mut self, _: PaymentRequested) {}
}

impl React<OrderPlaced> for Empty {
    fn process(event: &Envelope<OrderPlaced>) -> Option<String> {
        Some(event.stream.id().to_owned())
    }

    fn react(&self, _: &Envelope<OrderPlaced>) -> Events<PaymentRequested> {
        Events::one(PaymentRequested)
    }
}

#[derive(Aggregate, ProcessManager, Default)]
#[aggregate(category = "fulfilment", id = String, event = PaymentRequested)]
#[process(name = "shop/fulfilment", on(OrderPlaced))]
struct Slashed;

impl Apply<PaymentRequested> for Slashed {
    fn apply(&mut self, _: PaymentRequested) {}
}

impl React<OrderPlaced> for Slashed {
    fn process(event: &Envelope<OrderPlaced>) -> Option<String> {
        Some(event.stream.id().to_owned())
    }

    fn react(&self, _: &Envelope<OrderPlaced>) -> Events<PaymentRequested> {
        Events::one(PaymentRequested)
    }
}

#[derive(Aggregate, ProcessManager, Default)]
#[aggregate(category = "fulfilment", id = String, event = PaymentRequested)]
#[process(
    name = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    on(OrderPlaced)
)]
struct Long;

impl Apply<PaymentRequested> for Long {
    fn apply(&mut self, _: PaymentRequested) {}
}

impl React<OrderPlaced> for Long {
    fn process(event: &Envelope<OrderPlaced>) -> Option<String> {
        Some(event.stream.id().to_owned())
    }

    fn react(&self, _: &Envelope<OrderPlaced>) -> Events<PaymentRequested> {
        Events::one(PaymentRequested)
    }
}

#[derive(Aggregate, ProcessManager, Default)]
#[aggregate(category = "fulfilment", id = String, event = PaymentRequested)]
#[process(name = "a\nb", on(OrderPlaced))]
struct Broken;

impl Apply<PaymentRequested> for Broken {
    fn apply(&mut self, _: PaymentRequested) {}
}

impl React<OrderPlaced> for Broken {
    fn process(event: &Envelope<OrderPlaced>) -> Option<String> {
        Some(event.stream.id().to_owned())
    }

    fn react(&self, _: &Envelope<OrderPlaced>) -> Events<PaymentRequested> {
        Events::one(PaymentRequested)
    }
}

fn main() {}
