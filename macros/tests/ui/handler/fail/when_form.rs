use factum::{Context, Envelope, Event, EventHandler, On};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced {
    is_gift: bool,
}

#[derive(EventHandler)]
#[handler(
    name = "mails",
    error = std::io::Error,
    on(OrderPlaced, when = |event| event.event.is_gift, when = is_gift),
    on(OrderPlaced, when),
    on(OrderPlaced, when = ),
    on(OrderPlaced, when(is_gift)),
    on(OrderPlaced, if = is_gift)
)]
struct Mails;

impl On<OrderPlaced> for Mails {
    async fn on(&self, _: &Envelope<OrderPlaced>, _: &mut Context) -> Result<(), std::io::Error> {
        Ok(())
    }
}

fn main() {}
