use factum::{Context, Envelope, Event, EventHandler, On};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced {
    customer: String,
    is_gift: bool,
}

fn is_gift(event: &OrderPlaced) -> bool {
    event.is_gift
}

#[derive(EventHandler)]
#[handler(name = "mails", error = std::io::Error, on(OrderPlaced, when = true))]
struct Mails;

#[derive(EventHandler)]
#[handler(name = "letters", error = std::io::Error, on(OrderPlaced, when = is_gift))]
struct Letters;

#[derive(EventHandler)]
#[handler(name = "parcels", error = std::io::Error, on(OrderPlaced, when = |event| event.event.customer.len()))]
struct Parcels;

#[derive(EventHandler)]
#[handler(name = "gifts", error = std::io::Error, on(OrderPlaced, when = |event| event.is_gift))]
struct Gifts;

macro_rules! on {
    ($($handler:ident)*) => {$(
        impl On<OrderPlaced> for $handler {
            async fn on(&self, _: &Envelope<OrderPlaced>, _: &mut Context) -> Result<(), std::io::Error> {
                Ok(())
            }
        }
    )*};
}

on!(Mails Letters Parcels Gifts);

fn main() {}
