use factum::{Event, ProcessManager};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "fulfilment.payment_requested")]
struct PaymentRequested;

#[derive(ProcessManager, Default)]
#[process(name = "fulfilment", on(OrderPlaced))]
struct Fulfilment;

fn main() {}
