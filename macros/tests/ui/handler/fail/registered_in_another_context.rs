use factum::memory::MemoryStore;
use factum::{Context, Envelope, Event, EventHandler, On, OnFailure, Subscription};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

struct Transaction;

#[derive(EventHandler)]
#[handler(name = "summary", error = std::io::Error, cx = Transaction, on(OrderPlaced))]
struct Summary;

impl On<OrderPlaced, Transaction> for Summary {
    async fn on(
        &self,
        _: &Envelope<OrderPlaced>,
        _: &mut Context<Transaction>,
    ) -> Result<(), std::io::Error> {
        Ok(())
    }
}

/// A handler of no context.
struct NoHandler;

fn main() {
    let _ = Subscription::new("summaries", MemoryStore::new(), OnFailure::stop()).handler(Summary);
    let _ = Subscription::new("nothing", MemoryStore::new(), OnFailure::stop()).handler(NoHandler);
}
