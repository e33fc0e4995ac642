use factum::memory::MemoryStore;
use factum::{Aggregate, Apply, Event, Events, Handle, Repository};
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

struct Place;

impl Handle<Place> for Order {
    type Error = std::convert::Infallible;

    fn handle(&self, _: &Place) -> Result<Events<OrderPlaced>, Self::Error> {
        Ok(Events::none())
    }
}

struct Ship;

impl Handle<Ship> for Order {
    type Error = std::convert::Infallible;

    fn handle(&self, _: &Ship) -> Result<Events<OrderPlaced>, Self::Error> {
        Ok(Events::none())
    }
}

struct Refund;

async fn refund() {
    let orders = Repository::<Order>::new(MemoryStore::new());
    let _ = orders.execute(&1, Refund).await;
}

fn main() {}
