use chrono::{DateTime, Utc};
use factum::{Aggregate, Apply, Deadline, Envelope, Event, Events, ProcessManager, React};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "payment.awaited")]
struct PaymentAwaited;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "payment.requested", split(from = PaymentAwaited, with = requested))]
struct Requested;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "payment.reminded", split(from = PaymentAwaited, with = reminded))]
struct Reminded;

fn requested(_: PaymentAwaited) -> Requested {
    Requested
}

fn reminded(_: PaymentAwaited) -> Reminded {
    Reminded
}

#[derive(Event)]
enum PaymentEvent {
    Requested(Requested),
    Reminded(Reminded),
}

#[derive(Aggregate, ProcessManager, Default)]
#[aggregate(category = "payment", id = String, event = PaymentEvent)]
#[process(name = "payment", on(OrderPlaced), deadline(Requested), deadline(Reminded))]
struct Payment;

impl Apply<Requested> for Payment {
    fn apply(&mut self, _: Requested) {}
}

impl Apply<Reminded> for Payment {
    fn apply(&mut self, _: Reminded) {}
}

impl React<OrderPlaced> for Payment {
    fn process(_: &Envelope<OrderPlaced>) -> Option<String> {
        None
    }

    fn react(&self, _: &Envelope<OrderPlaced>) -> Events<PaymentEvent> {
        Events::none()
    }
}

impl Deadline<Requested> for Payment {
    fn due(_: &Envelope<Requested>) -> Option<DateTime<Utc>> {
        None
    }

    fn elapsed(&self, _: &Envelope<Requested>) -> Events<PaymentEvent> {
        Events::none()
    }
}

impl Deadline<Reminded> for Payment {
    fn due(_: &Envelope<Reminded>) -> Option<DateTime<Utc>> {
        None
    }

    fn elapsed(&self, _: &Envelope<Reminded>) -> Events<PaymentEvent> {
        Events::none()
    }
}

fn main() {}
