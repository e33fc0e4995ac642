use factum::{Apply, Event, Events, Handle};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Default)]
struct Order;

impl Apply<OrderPlaced> for Order {
    fn apply(&mut self, _: OrderPlaced) {}
}

struct Place;

impl Handle<Place> for Order {
    type Error = std::convert::Infallible;

    fn handle(&self, _: &Place) -> Result<Events<OrderPlaced>, Self::Error> {
        Ok(Events::one(OrderPlaced))
    }
}

fn main() {}
