//! Snapshots: the state of an aggregate at one of its events, kept so that loading need not begin with the first.
//!
//! A snapshot is a cache and nothing more. What it says is believed only where the log still has what it
//! [stands on](Footing); in all other cases it is passed over, with a line in the log of the program, and the events are
//! folded from the beginning.

mod taking;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use self::taking::take;
use crate::aggregate::{Aggregate, Loaded};
use crate::codec::Codec;
use crate::error::{BoxError, StoreError};
use crate::metadata::EventId;
use crate::partition::fnv1a;
use crate::store::{ReadStream, StreamPage};
use crate::stream::{Position, StreamId, Version};

/// What a state was folded from, by which a log is known again that has the same events.
///
/// The version alone would fit any log. One that was restored from a backup, or that failed over to a copy without the last
/// commits, gives the same versions to other events; the id tells. And a stream that was truncated begins with another
/// state than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Footing {
    /// The version of the last event in the state.
    pub version: Version,
    /// Its position.
    pub position: Position,
    /// Its id.
    pub event_id: EventId,
    /// The version of the event that says that the stream was truncated, with which it began; 0 if it began with its first.
    pub begins: Version,
}

/// The state of an aggregate at one of its events, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Of which stream.
    pub stream: StreamId,
    /// The version of the shape of the state. Those of two shapes are kept beside each other.
    pub shape: u32,
    /// What it stands on.
    pub footing: Footing,
    /// How the state became bytes.
    pub codec: Cow<'static, str>,
    /// The state.
    pub state: Bytes,
    /// Over all of the above, see [`is_intact`](Snapshot::is_intact).
    pub checksum: u64,
}

impl Snapshot {
    /// A snapshot, with its checksum.
    pub fn new(
        stream: StreamId,
        shape: u32,
        footing: Footing,
        codec: impl Into<Cow<'static, str>>,
        state: impl Into<Bytes>,
    ) -> Self {
        let (codec, state) = (codec.into(), state.into());
        let mut snapshot = Self { stream, shape, footing, codec, state, checksum: 0 };
        snapshot.checksum = snapshot.sum();
        snapshot
    }

    /// Whether it is what was kept. A state that was damaged may well be one that can be read, and is wrong.
    pub fn is_intact(&self) -> bool {
        self.checksum == self.sum()
    }

    fn sum(&self) -> u64 {
        let Footing { version, position, event_id, begins } = self.footing;
        let shape = self.shape.to_le_bytes();
        let numbers = [version.0, position.0, begins.0].map(u64::to_le_bytes);
        let fields = self.stream.as_str().bytes().chain([0]).chain(self.codec.bytes()).chain([0]);
        let fields = fields.chain(shape).chain(numbers.into_iter().flatten()).chain(*event_id.0.as_bytes());
        fnv1a(fields.chain(self.state.iter().copied()))
    }
}

/// Which events of a stream are wanted: those that come after a state that is known already, if the log has what that stands
/// on; otherwise all.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a read happens when a store is given it"]
pub struct ReadFrom {
    /// Of which stream.
    pub stream: StreamId,
    /// From which state on.
    pub start: Start,
    /// A state that has this event is passed over: whoever looks for the event has to come across it.
    pub unless: Option<EventId>,
    /// The most events in the answer; at least one is always allowed.
    pub limit: usize,
    /// The most bytes of payload in the answer, unless its first event alone has more.
    pub bytes: usize,
}

/// A state that is known already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// That of the snapshot of the stream.
    Snapshot {
        /// Of which shape.
        shape: u32,
        /// And no newer than this.
        up_to: Version,
    },
    /// One that the caller has.
    Footing(Footing),
}

impl ReadFrom {
    /// What comes after `start` in `stream`, in pages as of [`ReadStream`].
    pub fn new(stream: StreamId, start: Start) -> Self {
        let ReadStream { stream, limit, bytes, .. } = ReadStream::new(stream);
        Self { stream, start, unless: None, limit, bytes }
    }

    /// Only if the state does not have this event.
    pub const fn unless(mut self, event: Option<EventId>) -> Self {
        self.unless = event;
        self
    }

    /// At most so many events; at least one is always allowed.
    pub const fn limit(mut self, events: usize) -> Self {
        self.limit = events;
        self
    }

    /// For stores that have no snapshots, and for those of which the state does not hold: all events.
    pub fn from_the_beginning(self) -> ReadStream {
        let Self { stream, limit, bytes, .. } = self;
        ReadStream::new(stream).limit(limit).bytes(bytes)
    }
}

/// The answer to a [`ReadFrom`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageFrom {
    /// After which state the page begins.
    pub found: Found,
    /// The first page of the events that follow: of the state, or of all.
    pub page: StreamPage,
}

/// What became of the state that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is none, or it has the event that is looked for.
    Nothing,
    /// The log does not have what the state at this version stands on.
    Fallen(Version),
    /// The snapshot.
    Snapshot(Snapshot),
    /// What the caller has stands.
    Footing,
}

impl Found {
    /// After which version the page begins.
    pub fn version(&self, start: &Start) -> Version {
        match (self, start) {
            (Self::Snapshot(snapshot), _) => snapshot.footing.version,
            (Self::Footing, Start::Footing(footing)) => footing.version,
            _ => Version::NONE,
        }
    }
}

/// A store that keeps snapshots: one for each stream and shape, of the last two shapes.
///
/// A stream that is deleted, archived or truncated loses its snapshots in the same transaction. An export has none.
#[async_trait]
pub trait Snapshots: Send + Sync + 'static {
    /// A page of a stream from a state on that is known already, and whether the log has what that stands on, as of one
    /// moment: the log has its last event, at that version in that stream, and the stream begins as it did.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill. A stream that does not exist is an empty page.
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    async fn read_from(&self, read: ReadFrom) -> Result<PageFrom, StoreError>;

    /// Keeps a snapshot in the place of the one of the same stream and shape, and says whether it did. It does not if the log
    /// does not have what the snapshot stands on, or if there is a newer one that stands.
    ///
    /// Of other shapes the one with the greatest number is kept, so that two versions of a program work beside each other,
    /// and no others.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether it is kept.
    async fn save_snapshot(&self, snapshot: Snapshot) -> Result<bool, StoreError>;

    /// Forgets the snapshots of a stream, of all shapes.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether they are forgotten.
    async fn delete_snapshots(&self, stream: &StreamId) -> Result<(), StoreError>;

    /// Whose turn it is to take snapshots. Each store has one, and all its clones share it.
    fn turns(&self) -> &Turns;
}

/// How many snapshots of a store are taken at a time, and of which streams: what bounds the work that nobody waits for.
///
/// Whoever finds no turn takes no snapshot. The next command on the stream tries again.
#[derive(Clone)]
pub struct Turns {
    free: Arc<Semaphore>,
    streams: Arc<Mutex<HashSet<StreamId>>>,
}

/// Each has a connection of the store for some milliseconds. Four keep up with some hundred a second.
const TURNS: usize = 4;

impl Turns {
    /// A turn for the snapshot of a stream, unless all are taken or this one is being taken.
    pub(crate) fn turn(&self, stream: &StreamId) -> Option<Turn> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        let is_first = self.streams.lock().unwrap_or_else(PoisonError::into_inner).insert(stream.clone());
        is_first.then(|| Turn { streams: Arc::clone(&self.streams), stream: stream.clone(), _permit: permit })
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(TURNS)), streams: Arc::default() }
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").field("free", &self.free.available_permits()).finish_non_exhaustive()
    }
}

/// A turn, given back when it is dropped.
pub(crate) struct Turn {
    streams: Arc<Mutex<HashSet<StreamId>>>,
    stream: StreamId,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.stream);
    }
}

/// When snapshots of an aggregate are taken, and how its state becomes bytes. Made by `#[aggregate(snapshot(..))]`.
pub struct SnapshotPolicy<A> {
    shape: u32,
    due: Due<A>,
    encode: fn(Codec, &A) -> Result<Vec<u8>, BoxError>,
    decode: fn(Codec, &[u8]) -> Result<A, BoxError>,
}

enum Due<A> {
    Every(u64),
    When(fn(&Loaded<A>, u64) -> bool),
}

impl<A: Serialize + DeserializeOwned> SnapshotPolicy<A> {
    /// After every so many events, with the version `shape` of the state's shape.
    pub const fn every(events: u64, shape: u32) -> Self {
        Self::new(Due::Every(events), shape)
    }

    /// When the function says so of a state and the number of events since the last snapshot, of which there is at least one.
    pub const fn when(due: fn(&Loaded<A>, u64) -> bool, shape: u32) -> Self {
        Self::new(Due::When(due), shape)
    }

    const fn new(due: Due<A>, shape: u32) -> Self {
        Self { shape, due, encode: Codec::encode::<A>, decode: Codec::decode::<A> }
    }
}

impl<A> SnapshotPolicy<A> {
    /// The version of the state's shape.
    pub const fn shape(&self) -> u32 {
        self.shape
    }
}

impl<A: Aggregate> SnapshotPolicy<A> {
    /// Whether a snapshot of this state is to be taken.
    pub(crate) fn is_due(&self, loaded: &Loaded<A>) -> bool {
        let since = loaded.since_snapshot();
        match self.due {
            _ if since == 0 => false,
            Due::Every(events) => since >= events,
            Due::When(due) => undisturbed(|| Ok(due(loaded, since))).unwrap_or_else(|error| {
                tracing::error!(%error, category = A::CATEGORY, "the policy of snapshots failed: none is taken");
                false
            }),
        }
    }

    /// The snapshot of a state that stands on something.
    fn snapshot_of(&self, stream: &StreamId, loaded: &Loaded<A>) -> Result<Option<Snapshot>, BoxError> {
        let Some(footing) = loaded.footing() else { return Ok(None) };
        let codec = Codec::default();
        let state = undisturbed(|| (self.encode)(codec, loaded.state()))?;
        Ok(Some(Snapshot::new(stream.clone(), self.shape, footing, codec.name(), state)))
    }

    /// The state of a snapshot.
    pub(crate) fn state_of(&self, snapshot: &Snapshot) -> Result<A, BoxError> {
        if !snapshot.is_intact() {
            return Err("its checksum is another one".into());
        }
        let codec = Codec::named(&snapshot.codec).ok_or_else(|| format!("no codec `{}`", snapshot.codec))?;
        undisturbed(|| (self.decode)(codec, &snapshot.state))
    }
}

impl<A> SnapshotPolicy<A> {
    /// The state, as it comes back from a snapshot.
    #[cfg(feature = "testing")]
    pub(crate) fn reread(&self, state: &A) -> Result<A, BoxError> {
        let codec = Codec::default();
        (self.decode)(codec, &(self.encode)(codec, state)?)
    }
}

impl<A> fmt::Debug for SnapshotPolicy<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotPolicy").field("shape", &self.shape).finish_non_exhaustive()
    }
}

/// What the user's code says. It may panic, and a command that has succeeded must not fail because of its snapshot.
fn undisturbed<T>(code: impl FnOnce() -> Result<T, BoxError>) -> Result<T, BoxError> {
    catch_unwind(AssertUnwindSafe(code)).unwrap_or_else(|_| Err("it panicked".into()))
}

/// Says, once in a process for each category, that an aggregate declares snapshots where there are none.
pub(crate) fn warn_of_none(category: &'static str) {
    static WARNED: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut warned = WARNED.lock().unwrap_or_else(PoisonError::into_inner);
    if warned.get_or_insert_default().insert(category) {
        tracing::warn!(
            category,
            "the aggregate declares snapshots, and its store keeps none: all events are folded"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let event_id = EventId::new();
        let footing = Footing { version: Version(7), position: Position(9), event_id, begins: Version(2) };
        Snapshot::new("order/1".parse().expect("a name"), 3, footing, "json", r#"{"total":100}"#)
    }

    #[test]
    fn a_snapshot_that_was_damaged_anywhere_is_not_intact() {
        let whole = snapshot();
        assert!(whole.is_intact());
        for at in 0..whole.state.len() {
            for bit in 0..8 {
                let mut state = whole.state.to_vec();
                state[at] ^= 1 << bit;
                assert!(
                    !Snapshot { state: state.into(), ..whole.clone() }.is_intact(),
                    "byte {at}, bit {bit}"
                );
            }
            assert!(!Snapshot { state: whole.state.slice(..at), ..whole.clone() }.is_intact(), "cut at {at}");
        }
        let Footing { version, position, begins, .. } = whole.footing;
        let others = [
            Footing { version: Version(version.0 + 1), ..whole.footing },
            Footing { position: Position(position.0 + 1), ..whole.footing },
            Footing { begins: Version(begins.0 + 1), ..whole.footing },
            Footing { event_id: EventId::new(), ..whole.footing },
        ];
        for footing in others {
            assert!(!Snapshot { footing, ..whole.clone() }.is_intact());
        }
        assert!(!Snapshot { shape: 4, ..whole.clone() }.is_intact());
        assert!(!Snapshot { codec: "yaml".into(), ..whole.clone() }.is_intact());
        assert!(!Snapshot { stream: "order/2".parse().expect("a name"), ..whole.clone() }.is_intact());
        assert!(!Snapshot { checksum: whole.checksum ^ 1, ..whole }.is_intact());
    }

    #[test]
    fn a_store_takes_few_snapshots_at_a_time_and_one_of_a_stream() {
        let turns = Turns::default();
        let stream = |id: usize| StreamId::new("order", &id.to_string()).expect("a name");
        let first = turns.turn(&stream(0));
        assert!(first.is_some() && turns.turn(&stream(0)).is_none());
        let others: Vec<_> = (1..TURNS).map(|id| turns.turn(&stream(id))).collect();
        assert!(others.iter().all(Option::is_some) && turns.turn(&stream(TURNS)).is_none());
        drop(first);
        assert!(turns.turn(&stream(0)).is_some());
    }
}
