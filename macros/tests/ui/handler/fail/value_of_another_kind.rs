use factum::{Context, Envelope, Event, EventHandler, On};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(EventHandler)]
#[handler(name = Mails, error = "std::io::Error", cx = 5, on(OrderPlaced), flush = true, crate = "factum")]
struct Mails;

#[derive(EventHandler)]
#[handler(name = "letters", error = std::io::Error, on(OrderPlaced, priority = "high"))]
struct Letters;

impl On<OrderPlaced> for Letters {
    async fn on(&self, _: &Envelope<OrderPlaced>, _: &mut Context) -> Result<(), std::io::Error> {
        Ok(())
    }
}

fn main() {}
