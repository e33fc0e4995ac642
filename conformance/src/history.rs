//! What clients saw of a store while many of them used it, and whether a store that keeps its laws could have shown
//! them that.
//!
//! A [`Recorder`] notes when each operation began, what it asked for, when it was answered and what; [`check`] is given
//! that and everything that is in the store afterwards. It names an order of moments that explains every answer, or the
//! law that is broken and the operations that break it.
//!
//! ```
//! # use factum_core::store::Append;
//! # use factum_core::{EventStore, Expected, NewEvent, StreamId};
//! use factum_conformance::history::{Recorder, check, log_of};
//!
//! # async fn race(store: impl EventStore, events: Vec<NewEvent>) {
//! # let stream = StreamId::new("order", "1").expect("valid");
//! let recorder = Recorder::new("racer");
//! // From as many tasks as there are to be, each with a clone of the recorder:
//! let _ = recorder.append(&store, Append::to(stream.clone(), Expected::Any, events)).await;
//! let _ = recorder.read(&store, &stream).await;
//!
//! let witness = check(&recorder.history(), &log_of(&store).await).unwrap_or_else(|broken| panic!("{broken}"));
//! assert!(witness.tally.appended > 0, "a run in which nothing happened proves nothing");
//! # }
//! ```
//!
//! # What is checked
//!
//! The streams are linearizable (Herlihy and Wing, *Linearizability*, 1990), **all of them together as one object**:
//! each answered operation has one moment between its beginning and its answer, and done one after the other at those
//! moments they are answered as they were. (To judge one stream after the other would be enough if no append went to
//! several.) By these rules:
//!
//! - An append whose ids are not recorded happens whole if its streams are as expected, else it is a conflict, told
//!   with the version that a stream it named had then. It has one moment, also where it goes to several streams.
//! - An append whose ids are recorded by the same append is answered as that was: it is no conflict.
//! - An append that has some recorded id of another append is refused with the place of one.
//! - A read gives all events of the stream.
//! - An append without an answer happens at any moment after it began, also long after its client is gone, or never.
//! - After all of them, the streams are as the log has them.
//!
//! And of positions (law 6): they grow with the versions of a stream and with the events of an append, and an append
//! gets its own after it began and before anybody can see its effect. So one that was acknowledged, read or
//! conflicted with before another began has the smaller positions.
//!
//! [`check_in_order_of_positions`] demands more: that appends take effect in the order of their positions, as they do
//! where one commits after the other.
//!
//! # What is not
//!
//! - What events contain, and when they were recorded.
//! - Streams that are closed or cut short meanwhile: the log is to hold all that was ever appended.
//! - Reads of the feed, and reads of a stream that do not begin at its start.
//! - Whether a refusal other than a conflict or a reuse was right; only that what was refused is not there.
//! - Whether anything is answered in time, or at all.
//! - Histories in which it cannot be told which append wrote an event, because different ones share it and the log
//!   could be made up of either. They are not passed over: [`Law::Undecided`].
//!
//! # Why this is enough
//!
//! In general one searches for the moments, which takes exponential time (Wing and Gong, *Testing and verifying
//! concurrent objects*, 1993; cut down by Horn and Kroening, *Faster linearizability checking via
//! P-compositionality*, 2015, and by Lowe, *Testing for linearizability*, 2017). Here the log has fixed what the
//! search would have to guess.
//!
//! 1. *Which appends happened, and in which order for each stream,* is in the log. Only their moments are left.
//! 2. *Who wrote an append that was sent several times* does not matter but for when that one began: it must be one
//!    that was not refused, and whose expectation held. The one that began first leaves the most room, so it may be
//!    assumed.
//! 3. *Every answer pins its operation between appends:* a read of `k` events comes after the append that wrote
//!    version `k` and before the one that wrote `k + 1`; so does a conflict that found version `k`, which also comes
//!    before any append with one of its ids; an acknowledgement comes after its append. None of these leaves a
//!    choice.
//!
//! So there is a set of pairs "this before that" and no alternative, and every order of moments that explains the
//! answers keeps all of the pairs: what is refused is broken. Conversely, let `E(x)` be the latest beginning among
//! `x` and all that has to come before it. If the pairs run in no circle, and `E(x)` is not after the answer of `x`
//! for any `x`, then ordering by `E`, and by the pairs where it is equal, keeps the pairs; and it keeps real time,
//! because if `a` was answered before `b` began, then `E(a) ≤ answer(a) < beginning(b) ≤ E(b)`. By induction each
//! operation meets the state that its answer tells of: what is accepted has a witness, which [`Witness::order`] is. A
//! position is one more moment, before that of its append, and positions are in their order, which is more pairs.
//!
//! Pairs are few for each operation, so this takes linear time, but for one sorting. It is compared with the search
//! over tens of thousands of small histories in the tests of this crate.

mod check;
mod graph;
mod lines;
mod log;
mod recorder;
mod violation;
mod writers;

use factum_core::store::Append;
use factum_core::{
    Conflict, EventId, EventStore, Expected, IdReused, Position, RecordedEvent, StreamId, Version,
};

pub use self::check::{Tally, Witness, check, check_in_order_of_positions};
pub use self::lines::LineError;
pub use self::recorder::{Pending, Recorder};
pub use self::violation::{Law, Violation};

/// Operations, in any order. As text it has a line for every beginning and every answer.
///
/// Times are nanoseconds of one clock that never goes back, the same for all operations. One that ends at the very
/// nanosecond at which another begins counts as being at the same time as that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// What was done.
    pub operations: Vec<Operation>,
}

impl History {
    /// The operations of both, such as those of two processes.
    pub fn and(mut self, other: Self) -> Self {
        self.operations.extend(other.operations);
        self
    }
}

/// What a client asked for, and what it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The recorder that saw it.
    pub client: String,
    /// Which of the recorder's operations it is.
    pub number: u64,
    /// When it began.
    pub invoked: u64,
    /// What was asked for.
    pub request: Request,
    /// What was answered. Without an answer it may have happened at any time after it began, or may yet, or never.
    pub answered: Option<Answered>,
}

/// An answer and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// When the operation was over.
    pub at: u64,
    /// What was answered.
    pub answer: Answer,
}

/// What a store is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// An append. A repeat is an operation of its own, with the same ids.
    Append(Vec<Part>),
    /// All events of a stream.
    Read(StreamId),
}

impl From<&Append> for Request {
    fn from(append: &Append) -> Self {
        let parts = append.streams().iter().map(|part| Part {
            stream: part.stream.clone(),
            expected: part.expected,
            ids: part.events.iter().map(|event| event.id).collect(),
        });
        Self::Append(parts.collect())
    }
}

/// The part of an append that goes to one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which stream.
    pub stream: StreamId,
    /// What it must be like.
    pub expected: Expected,
    /// The ids of the events, in order.
    pub ids: Vec<EventId>,
}

/// What a store answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The append happened, now or before.
    Appended {
        /// The position of its last event.
        position: Position,
        /// The version of the last event of each stream.
        versions: Vec<Version>,
    },
    /// The append did not happen: a stream was not as expected.
    Conflict(Conflict),
    /// The append did not happen: another has used an id of it.
    IdReused(IdReused),
    /// Nothing was done, for a reason that is not judged here.
    Refused,
    /// What the stream had.
    Read(Vec<(EventId, Version)>),
}

/// An event of the log: what a store holds at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its identity.
    pub id: EventId,
    /// The stream it belongs to.
    pub stream: StreamId,
    /// Its place in the stream.
    pub version: Version,
    /// Its place in the store.
    pub position: Position,
}

impl From<&RecordedEvent> for Logged {
    fn from(event: &RecordedEvent) -> Self {
        let RecordedEvent { id, stream, version, position, .. } = event;
        Self { id: *id, stream: stream.clone(), version: *version, position: *position }
    }
}

/// Everything that is in a store, in the order of positions, once all who write to it are done.
///
/// It appends a marker, so that nothing before it can be missing because the feed lags. Markers are not in the answer.
///
/// # Panics
///
/// If the store cannot be read, or its feed does not come to the marker.
pub async fn log_of(store: &impl EventStore) -> Vec<Logged> {
    crate::seen::everything(store).await.iter().map(Logged::from).collect()
}
