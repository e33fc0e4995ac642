use factum::{Context, Envelope, Event, EventHandler, On};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(EventHandler)]
#[handler(
    name = "mails",
    error = std::io::Error,
    on = OrderPlaced,
    on(),
    on("order.placed"),
    on(OrderPlaced, OrderShipped),
    on(OrderPlaced, 10),
    on(OrderPlaced, order = 10),
    on(OrderPlaced, priority = 1, priority = 2)
)]
struct Mails;

impl On<OrderPlaced> for Mails {
    async fn on(&self, _: &Envelope<OrderPlaced>, _: &mut Context) -> Result<(), std::io::Error> {
        Ok(())
    }
}

fn main() {}
