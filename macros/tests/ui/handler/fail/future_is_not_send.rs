use factum::{Context, Envelope, Event, EventHandler, On};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(EventHandler)]
#[handler(name = "mails", error = std::io::Error, on(OrderPlaced))]
struct Mails;

impl On<OrderPlaced> for Mails {
    async fn on(&self, _: &Envelope<OrderPlaced>, _: &mut Context) -> Result<(), std::io::Error> {
        let mail = std::rc::Rc::new("placed");
        std::future::ready(()).await;
        drop(mail);
        Ok(())
    }
}

fn main() {}
