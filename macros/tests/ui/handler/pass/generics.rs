//! Generic handlers, contexts of any kind, and enums of events.

use factum::{Context, Dispatcher, Envelope, Event, EventHandler, Flush, On};
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.placed")]
struct OrderPlaced;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "order.changed")]
struct Changed<T>(T);

#[derive(Event)]
enum OrderEvent {
    Placed(OrderPlaced),
    Changed(Changed<u8>),
}

struct Transaction<T>(T);

/// Anything that sends.
trait Sender: Send + Sync + 'static {}
impl Sender for () {}

#[derive(EventHandler)]
#[handler(
    name = "mails",
    error = std::io::Error,
    cx = Transaction<Tx>,
    on(OrderPlaced, priority = -10,),
    on(Changed<u8>, priority = 0x10),
    on(OrderEvent, priority = 2147483647),
    flush,
)]
struct Mails<S, Tx, const RETRIES: usize>
where
    S: Sender,
    Tx: Send + Sync + 'static,
{
    sender: S,
    works_in: std::marker::PhantomData<Tx>,
}

impl<E: Event, S: Sender, Tx: Send + Sync + 'static, const RETRIES: usize> On<E, Transaction<Tx>>
    for Mails<S, Tx, RETRIES>
{
    async fn on(&self, _: &Envelope<E>, cx: &mut Context<Transaction<Tx>>) -> Result<(), std::io::Error> {
        let _ = (&self.sender, &cx.tx().0);
        Ok(())
    }
}

impl<S: Sender, Tx: Send + Sync + 'static, const RETRIES: usize> Flush<Transaction<Tx>>
    for Mails<S, Tx, RETRIES>
{
    async fn flush(&self, _: &mut Context<Transaction<Tx>>) -> Result<(), std::io::Error> {
        Ok(())
    }
}

fn main() {
    let mails = Mails::<_, u8, 3> { sender: (), works_in: std::marker::PhantomData };
    let _ = Dispatcher::<Transaction<u8>>::new().handler(mails);
    let priorities =
        <Mails<(), u8, 3> as EventHandler<Transaction<u8>>>::INTERESTS.iter().map(|i| i.priority);
    assert_eq!(priorities.collect::<Vec<_>>(), [-10, 16, i32::MAX]);
}
