use factum::memory::MemoryStore;
use factum::{Aggregate, Apply, Event, Repository};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Aggregate, Default)]
#[aggregate(category = "order", id = u64, event = OrderPlaced)]
struct Order;

impl Apply<OrderPlaced> for Order {
    fn apply(&mut self, _: OrderPlaced) {}
}

struct Refund;

async fn refund() {
    let orders = Repository::<Order>::new(MemoryStore::new());
    let _ = orders.execute(&1, Refund).await;
}

fn main() {}
