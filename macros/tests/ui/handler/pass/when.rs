//! Conditions of every kind: closures of which nothing is said, functions, paths, and what the handler knows.

use factum::{Context, Envelope, Event, EventHandler, On};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced {
    cents: u64,
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.cancelled")]
struct OrderCancelled;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.changed")]
struct Changed<T> {
    to: T,
}

#[derive(Event)]
enum OrderEvent {
    Placed(OrderPlaced),
    Cancelled(OrderCancelled),
}

mod rules {
    pub fn any<E>(_: &factum::Envelope<E>) -> bool {
        true
    }
}

#[derive(EventHandler)]
#[handler(
    name = "mails",
    error = std::io::Error,
    on(OrderPlaced, when = |event| event.event.cents > 0 && event.version.0 == 1, priority = -1),
    on(OrderCancelled, priority = 5, when = rules::any),
    on(OrderEvent, when = |Envelope { event, .. }| matches!(event, OrderEvent::Placed(_)),),
    on(Changed<T>, when = |event| self.only.as_ref().is_none_or(|only| event.event.to == *only)),
)]
struct Mails<T>
where
    T: PartialEq + Serialize + for<'a> Deserialize<'a> + Send + Sync + 'static,
{
    only: Option<T>,
}

impl<E: Event, T> On<E> for Mails<T>
where
    T: PartialEq + Serialize + for<'a> Deserialize<'a> + Send + Sync + 'static,
{
    async fn on(&self, _: &Envelope<E>, _: &mut Context) -> Result<(), std::io::Error> {
        Ok(())
    }
}

fn main() {
    let priorities = <Mails<u8> as EventHandler>::INTERESTS.iter().map(|interest| interest.priority);
    assert_eq!(priorities.collect::<Vec<_>>(), [-1, 5, 0, 0]);
    let _ = factum::Dispatcher::new().handler(Mails { only: Some(1) });
}
