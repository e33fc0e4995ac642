use factum::{Context, Envelope, Event, EventHandler, On};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

struct MailError;

#[derive(EventHandler)]
#[handler(name = "mails", error = MailError, on(OrderPlaced))]
struct Mails;

impl On<OrderPlaced> for Mails {
    async fn on(&self, _: &Envelope<OrderPlaced>, _: &mut Context) -> Result<(), MailError> {
        Ok(())
    }
}

fn main() {}
