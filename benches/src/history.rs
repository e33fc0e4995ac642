//! A log with something in it: 100,000 events, of which some are of a rare kind.

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
