use factum::{Aggregate, Event};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Event)]
enum OrderEvent {
    Placed,
    /// Documented, and wrong.
    Shipped {
        parcel: String,
    },
    Paid(u64, String),
    Cancelled(),
    Ok(OrderPlaced),
}

/// Hears nothing of it.
#[derive(Aggregate, Default)]
#[aggregate(category = "order", id = u64, event = OrderEvent)]
struct Order;

fn main() {}
