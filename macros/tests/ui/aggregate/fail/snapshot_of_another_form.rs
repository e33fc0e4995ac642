use factum::{Aggregate, Apply, Event};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Aggregate, Default, Serialize, Deserialize)]
#[aggregate(category = "order0", id = u64, event = OrderPlaced, snapshot)]
struct Order0;

impl Apply<OrderPlaced> for Order0 {
    fn apply(&mut self, _: OrderPlaced) {}
}

#[derive(Aggregate, Default, Serialize, Deserialize)]
#[aggregate(category = "order1", id = u64, event = OrderPlaced, snapshot())]
struct Order1;

impl Apply<OrderPlaced> for Order1 {
    fn apply(&mut self, _: OrderPlaced) {}
}

#[derive(Aggregate, Default, Serialize, Deserialize)]
#[aggregate(category = "order2", id = u64, event = OrderPlaced, snapshot(every = 100))]
struct Order2;

impl Apply<OrderPlaced> for Order2 {
    fn apply(&mut self, _: OrderPlaced) {}
}

#[derive(Aggregate, Default, Serialize, Deserialize)]
#[aggregate(category = "order3", id = u64, event = OrderPlaced, snapshot(version = 1))]
struct Order3;

impl Apply<OrderPlaced> for Order3 {
    fn apply(&mut self, _: OrderPlaced) {}
}

#[derive(Aggregate, Default, Serialize, Deserialize)]
#[aggregate(category = "order4", id = u64, event = OrderPlaced, snapshot(every = 0, version = 1))]
struct Order4;

impl Apply<OrderPlaced> for Order4 {
    fn apply(&mut self, _: OrderPlaced) {}
}

#[derive(Aggregate, Default, Serialize, Deserialize)]
#[aggregate(category = "order5", id = u64, event = OrderPlaced, snapshot(every = 10, version = 0))]
struct Order5;

impl Apply<OrderPlaced> for Order5 {
    fn apply(&mut self, _: OrderPlaced) {}
}

#[derive(Aggregate, Default, Serialize, Deserialize)]
#[aggregate(category = "order6", id = u64, event = OrderPlaced, snapshot(every = 10, when = often, version = 1))]
struct Order6;

impl Apply<OrderPlaced> for Order6 {
    fn apply(&mut self, _: OrderPlaced) {}
}

#[derive(Aggregate, Default, Serialize, Deserialize)]
#[aggregate(category = "order7", id = u64, event = OrderPlaced, snapshot(every = 10, shape = 1))]
struct Order7;

impl Apply<OrderPlaced> for Order7 {
    fn apply(&mut self, _: OrderPlaced) {}
}

#[derive(Aggregate, Default, Serialize, Deserialize)]
#[aggregate(category = "order8", id = u64, event = OrderPlaced, snapshot(every = "10", version = 1))]
struct Order8;

impl Apply<OrderPlaced> for Order8 {
    fn apply(&mut self, _: OrderPlaced) {}
}

#[derive(Aggregate, Default, Serialize, Deserialize)]
#[aggregate(category = "order9", id = u64, event = OrderPlaced, snapshot(every = 10, version = 1), snapshot(every = 20, version = 1))]
struct Order9;

impl Apply<OrderPlaced> for Order9 {
    fn apply(&mut self, _: OrderPlaced) {}
}

fn main() {}
