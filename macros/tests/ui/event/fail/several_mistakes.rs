use factum::{Aggregate, Apply, Event};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[serde(tag = "type")]
#[event(
    nam = "order.placed",
    version = 3,
    upcast(from = 2, with = same),
    alias = "",
    alias = "order.made",
    alias = "order.made",
    topic = "orders"
)]
struct OrderPlaced {
    #[event(skip)]
    customer: String,
}

#[derive(Event)]
#[event(name = "order")]
enum OrderEvent {
    Placed(OrderPlaced),
    Made(OrderPlaced),
    Shipped,
}

/// Hears nothing of it.
#[derive(Aggregate, Default)]
#[aggregate(category = "order", id = u64, event = OrderEvent)]
struct Order;

impl Apply<OrderPlaced> for Order {
    fn apply(&mut self, _: OrderPlaced) {}
}

fn same(payload: serde_json::Value) -> Result<serde_json::Value, std::io::Error> {
    Ok(payload)
}

fn main() {}
