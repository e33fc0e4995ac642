use factum::{Aggregate, Apply, Envelope, Event, Events, ProcessManager, React};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "fulfilment.payment_requested")]
struct PaymentRequested;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "fulfilment.shipment_requested")]
struct ShipmentRequested;

#[derive(Event)]
enum FulfilmentEvent {
    PaymentRequested(PaymentRequested),
    ShipmentRequested(ShipmentRequested),
}

#[derive(Aggregate, ProcessManager, Default)]
#[aggregate(category = "fulfilment", id = String, event = FulfilmentEvent)]
#[process(name = "fulfilment", on(OrderPlaced), issues(PaymentRequested), issues(ShipmentRequested))]
struct Fulfilment;

impl Apply<PaymentRequested> for Fulfilment {
    fn apply(&mut self, _: PaymentRequested) {}
}

impl Apply<ShipmentRequested> for Fulfilment {
    fn apply(&mut self, _: ShipmentRequested) {}
}

impl React<OrderPlaced> for Fulfilment {
    fn process(event: &Envelope<OrderPlaced>) -> Option<String> {
        Some(event.stream.id().to_owned())
    }

    fn react(&self, _: &Envelope<OrderPlaced>) -> Events<FulfilmentEvent> {
        Events::one(PaymentRequested)
    }
}

fn main() {}
