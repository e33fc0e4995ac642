//! The in-memory store: for tests, and as the shortest answer to "how does one write a store?".
//!
//! It keeps every law that the durable stores keep, in the same suite, except that it forgets when the process ends.

mod tx;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound, Utc};
use factum_core::store::verdict::{History, Place, judge};
use factum_core::store::{Append, Appended, Limits, Page, ReadAll, ReadStream, StreamPage, Wake};
use factum_core::{
    AppendError, Checkpoints, EventId, EventStore, Position, RecordedEvent, StoreError, StoreErrorKind,
    StreamId, Transactional, Version,
};

pub use self::tx::MemoryTx;

/// A store in memory. Clones are the same store; the last one takes the events with it.
#[derive(Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    log: RwLock<Log>,
    wake: Wake,
    limits: Limits,
}

/// Everything that is recorded. The event at index `i` has position `i + 1`.
#[derive(Default)]
struct Log {
    events: Vec<RecordedEvent>,
    streams: HashMap<StreamId, Vec<usize>>,
    ids: HashMap<EventId, usize>,
    checkpoints: HashMap<String, Position>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that takes this much at once.
    pub fn with_limits(limits: Limits) -> Self {
        Self { shared: Arc::new(Shared { limits, ..Shared::default() }) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Log> {
        self.shared.log.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// No code that holds this lock can leave the log half changed: what may fail or panic comes before the change.
    fn write(&self) -> RwLockWriteGuard<'_, Log> {
        self.shared.log.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("events", &self.read().events.len()).finish_non_exhaustive()
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.check(&self.shared.limits)?;
        let appended = self.write().append(append, Utc::now().trunc_subsecs(6))?;
        self.shared.wake.wake(appended.position);
        Ok(appended)
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        let log = self.read();
        let places = log.streams.get(&read.stream).map_or(&[][..], Vec::as_slice);
        // Versions are dense, so the event with version v is at index v - 1.
        let rest = places.get(index(read.after.0)..).unwrap_or(&[]);
        let wanted = &rest[..rest.len().min(read.limit.max(1))];
        Ok(StreamPage {
            events: wanted.iter().map(|&at| log.events[at].clone()).collect(),
            end: wanted.len() == rest.len(),
        })
    }

    async fn read_all(&self, read: ReadAll) -> Result<Page, StoreError> {
        let log = self.read();
        let rest = log.events.get(index(read.after.0)..).unwrap_or(&[]);
        let events: Vec<_> =
            rest.iter().filter(|event| read.filter.passes(event)).take(read.limit.max(1)).cloned().collect();
        let head = log.head();
        let position = match events.last() {
            Some(last) if events.len() == read.limit.max(1) => last.position,
            _ => head.max(read.after),
        };
        Ok(Page { events, position, end: position >= head })
    }

    async fn wait(&self, after: Position) -> Result<(), StoreError> {
        // Nobody outside this process can append, so nothing has to be looked for in between.
        self.shared.wake.wait(after, Duration::from_hours(1)).await;
        Ok(())
    }
}

#[async_trait]
impl Checkpoints for MemoryStore {
    async fn checkpoint(&self, subscription: &str) -> Result<Position, StoreError> {
        Ok(self.read().checkpoints.get(subscription).copied().unwrap_or_default())
    }

    async fn move_checkpoint(
        &self,
        subscription: &str,
        from: Position,
        to: Position,
    ) -> Result<(), StoreError> {
        self.write().move_checkpoint(subscription, from, to)
    }
}

impl Transactional for MemoryStore {
    type Tx = MemoryTx;

    async fn begin(&self) -> Result<MemoryTx, StoreError> {
        Ok(MemoryTx::new())
    }

    async fn commit_with_checkpoint(
        &self,
        tx: MemoryTx,
        subscription: &str,
        from: Position,
        to: Position,
    ) -> Result<(), StoreError> {
        let mut log = self.write();
        log.move_checkpoint(subscription, from, to)?;
        tx.take_effect();
        Ok(())
    }
}

impl Log {
    fn head(&self) -> Position {
        self.events.last().map_or(Position::START, |event| event.position)
    }

    fn append(&mut self, append: Append, now: DateTime<Utc>) -> Result<Appended, AppendError> {
        let verdict = judge(append, self, self.head(), now)?;
        for event in verdict.events {
            let at = self.events.len();
            self.ids.insert(event.id, at);
            self.streams.entry(event.stream.clone()).or_default().push(at);
            self.events.push(event);
        }
        Ok(verdict.appended)
    }

    fn move_checkpoint(
        &mut self,
        subscription: &str,
        from: Position,
        to: Position,
    ) -> Result<(), StoreError> {
        let actual = self.checkpoints.get(subscription).copied().unwrap_or_default();
        if actual != from {
            let kind = StoreErrorKind::CheckpointMoved { expected: from, actual };
            return Err(StoreError::new(kind, "move checkpoint"));
        }
        self.checkpoints.insert(subscription.to_owned(), to);
        Ok(())
    }
}

impl History for Log {
    fn version_of(&self, stream: &StreamId) -> Option<Version> {
        let &last = self.streams.get(stream)?.last()?;
        Some(self.events[last].version)
    }

    fn place_of(&self, id: EventId) -> Option<Place> {
        let event = &self.events[*self.ids.get(&id)?];
        Some(Place {
            stream: event.stream.clone(),
            version: event.version,
            position: event.position,
            recorded_at: event.recorded_at,
        })
    }
}

/// A number as an index: one that does not fit is past every event there can be.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
