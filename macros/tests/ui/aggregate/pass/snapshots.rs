use factum::{Aggregate, Apply, Event, Loaded};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Aggregate, Default, Serialize, Deserialize)]
#[aggregate(category = "order", id = u64, event = OrderPlaced, snapshot(every = 100, version = 1))]
struct Order;

impl Apply<OrderPlaced> for Order {
    fn apply(&mut self, _: OrderPlaced) {}
}

#[derive(Aggregate, Default, Serialize, Deserialize)]
#[aggregate(
    category = "cart",
    id = u64,
    event = OrderPlaced,
    snapshot(version = 3, when = |cart, events| cart.is_full || events >= 50),
)]
struct Cart {
    is_full: bool,
}

impl Apply<OrderPlaced> for Cart {
    fn apply(&mut self, _: OrderPlaced) {}
}

fn seldom<T>(_: &Loaded<Parcel<T>>, events: u64) -> bool {
    events > 1000
}

#[derive(Aggregate, Default, Serialize, Deserialize)]
#[aggregate(category = "parcel", id = u64, event = OrderPlaced, snapshot(when = seldom, version = 1))]
struct Parcel<T> {
    of: T,
}

impl<T> Apply<OrderPlaced> for Parcel<T> {
    fn apply(&mut self, _: OrderPlaced) {}
}

fn main() {
    assert_eq!(<Order as Aggregate>::SNAPSHOT.expect("it has one").shape(), 1);
    assert_eq!(<Cart as Aggregate>::SNAPSHOT.expect("it has one").shape(), 3);
    assert_eq!(<Parcel<u8> as Aggregate>::SNAPSHOT.expect("it has one").shape(), 1);
}
