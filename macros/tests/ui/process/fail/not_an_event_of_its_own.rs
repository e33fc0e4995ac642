use factum::{Aggregate, Apply, Deadline, Envelope, Event, Events, Issue, ProcessManager, React};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "fulfilment.payment_requested")]
struct PaymentRequested;

#[derive(Aggregate, ProcessManager, Default)]
#[aggregate(category = "fulfilment", id = String, event = PaymentRequested)]
#[process(name = "fulfilment", on(OrderPlaced), issues(OrderPlaced), deadline(OrderPlaced))]
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

impl Issue<OrderPlaced> for Fulfilment {
    type Target = Payment;
    type Command = ();

    fn issue(event: &Envelope<OrderPlaced>) -> (String, ()) {
        (event.stream.id().to_owned(), ())
    }

    fn rejected(&self, _: &Envelope<OrderPlaced>, _: &()) -> Events<PaymentRequested> {
        Events::none()
    }
}

impl Deadline<OrderPlaced> for Fulfilment {
    fn due(event: &Envelope<OrderPlaced>) -> Option<chrono::DateTime<chrono::Utc>> {
        Some(event.recorded_at)
    }

    fn elapsed(&self, _: &Envelope<OrderPlaced>) -> Events<PaymentRequested> {
        Events::none()
    }
}

#[derive(Aggregate, Default)]
#[aggregate(category = "payment", id = String, event = PaymentRequested)]
struct Payment;

impl Apply<PaymentRequested> for Payment {
    fn apply(&mut self, _: PaymentRequested) {}
}

impl factum::Handle<()> for Payment {
    type Error = ();

    fn handle(&self, (): &()) -> Result<Events<PaymentRequested>, ()> {
        Ok(Events::none())
    }
}

fn main() {}
