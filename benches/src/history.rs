//! Logs with something in them: one of 100,000 events, of which some are of a rare kind, and one of deposits alone.

use factum::store::Append;
use factum::{Codec, EventStore, Expected, Metadata, NewEvent, StreamId};

use crate::{Deposited, Withdrawn};

/// How many events the history has.
pub const HISTORY_EVENTS: u32 = 100_000;
/// The name of one event in ten.
pub const RARE_NAME: &str = "account.withdrawn";
/// The category of one stream in ten.
pub const RARE_CATEGORY: &str = "vault";

/// How many streams they are in.
pub const HISTORY_STREAMS: u32 = 1_000;

/// The stream with this number, in the category `account` or in the rare one.
pub fn stream(number: u32) -> StreamId {
    let category = if number.is_multiple_of(10) { RARE_CATEGORY } else { "account" };
    StreamId::new(category, &number.to_string()).expect("a name")
}

/// Deposits, as a store is given them.
pub fn deposits(events: u32) -> Vec<NewEvent> {
    let deposit = || NewEvent::encode(&Deposited::sample(), Codec::Json, Metadata::default());
    std::iter::repeat_with(|| deposit().expect("it can be encoded")).take(events as usize).collect()
}

/// Appends the history to an empty store: 1,000 streams, in which each tenth event is a withdrawal.
pub async fn append_history(store: &impl EventStore) {
    for number in 0..HISTORY_STREAMS {
        let mut events = deposits(HISTORY_EVENTS / HISTORY_STREAMS);
        for event in events.iter_mut().step_by(10) {
            *event = NewEvent::encode(&Withdrawn { amount: 1 }, Codec::Json, Metadata::default())
                .expect("it can be encoded");
        }
        let append = Append::to(stream(number), Expected::NoStream, events);
        store.append(append).await.expect("it can be written");
    }
}

/// How many customers the deposits are of.
pub const CUSTOMERS: u32 = 10_000;

/// Appends so many deposits to an empty store, which are a multiple of [`CUSTOMERS`]: one of each customer after the
/// other, in an order that is not that of their names, and then again. So a batch has as many customers as it has
/// events, until it has all: the least that a projection can gather.
pub async fn append_deposits(store: &impl EventStore, events: u32) {
    // It shares no factor with the number of customers, so it meets each.
    const STRIDE: u32 = 7919;
    assert!(events.is_multiple_of(CUSTOMERS), "{events} events of {CUSTOMERS} customers");
    for _ in 0..events / CUSTOMERS {
        let customers = (0..CUSTOMERS).map(|number| number * STRIDE % CUSTOMERS);
        let parts = customers.map(|customer| {
            (StreamId::new("account", &customer.to_string()).expect("a name"), Expected::Any, deposits(1))
        });
        let append = parts.map(|(stream, expected, events)| Append::to(stream, expected, events));
        let append = append.reduce(|append, part| {
            part.into_streams()
                .into_iter()
                .fold(append, |append, part| append.and(part.stream, part.expected, part.events))
        });
        store.append(append.expect("there are customers")).await.expect("it can be written");
    }
}
