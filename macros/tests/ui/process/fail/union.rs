use factum::{Event, ProcessManager};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(ProcessManager)]
#[process(name = "fulfilment", on(OrderPlaced))]
union Fulfilment {
    cents: u64,
    euros: u64,
}

fn main() {}
