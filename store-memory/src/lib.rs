//! The in-memory store: for tests, and as the shortest answer to "how does one write a store?".
//!
//! It keeps every law that the durable stores keep, in the same suite, except that it forgets when the process ends.

mod keys;
mod progress;
mod retention;
mod snapshot;
mod transfer;
mod tx;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound, Utc};
use factum_core::retention::Closing;
use factum_core::snapshot::{PageFrom, ReadFrom, Snapshot, Turns};
use factum_core::store::bookkeeping::Bookkeeping;
use factum_core::store::verdict::{Breach, History, Place, first_breach, judge};
use factum_core::store::{
    Append, Appended, CategoryPage, Condition, Cursor, Limits, Matches, Page, ReadAll, ReadCategory,
    ReadMatching, ReadStream, StreamPage, Uncommitted, Wake,
};
use factum_core::{
    Advance, AppendError, Checkpoint, EventId, EventQuery, EventStore, Partition, Position, QueryItem,
    RecordedEvent, Snapshots, StoreError, StreamId, Tag, TenantId, Transactional, Version,
};

pub use self::keys::MemoryKeys;
pub use self::tx::MemoryTx;

/// A store in memory. Clones are the same store; the last one takes the events with it.
#[derive(Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    log: RwLock<Log>,
    /// The right to write. Whoever writes at once shares it, since the log's lock is enough for him; a transaction has it for
    /// itself from its first append to its end.
    writing: Arc<tokio::sync::RwLock<()>>,
    wake: Wake,
    limits: Limits,
    turns: Turns,
}

/// Everything that is recorded, in the order of positions.
#[derive(Default)]
struct Log {
    events: Vec<RecordedEvent>,
    /// The events whose content is gone.
    erased: HashSet<usize>,
    streams: HashMap<StreamId, StreamLog>,
    ids: HashMap<EventId, usize>,
    /// The events that were recorded with a tag.
    tagged: HashMap<Tag, Vec<usize>>,
    /// The events in streams of a tenant, and of its tenants.
    tenants: HashMap<String, Vec<usize>>,
    /// How many times a stream was deleted, archived, restored or truncated.
    changes: u64,
    /// What is kept for subscriptions.
    books: Bookkeeping,
    /// Of each stream, by shape.
    snapshots: HashMap<StreamId, BTreeMap<u32, Snapshot>>,
}

/// One stream. Its event with version `v` is at index `v - 1` of the places.
#[derive(Default)]
struct StreamLog {
    places: Vec<usize>,
    /// The index of the first event that is left to read.
    first: usize,
    /// The index of the first event that was not erased.
    kept: usize,
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

    /// From now on, until `tx` ends, nobody else writes.
    async fn take_turn(&self, tx: &mut MemoryTx) {
        if tx.turn.is_none() {
            tx.turn = Some(Arc::clone(&self.shared.writing).write_owned().await);
        }
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
        let _turn = self.shared.writing.read().await;
        let appended = self.write().append(append, now())?;
        self.shared.wake.wake(appended.position);
        Ok(appended)
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        let log = self.read();
        let Some(stream) = log.streams.get(&read.stream) else { return Ok(empty_page()) };
        let readable = stream.first..stream.places.len();
        Ok(stream_page(readable, |index| &log.events[stream.places[index]], &read))
    }

    async fn read_all(&self, read: ReadAll) -> Result<Page, StoreError> {
        let log = self.read();
        let after = log.checkpoint_at(read.after.position);
        read.after.check(after.event_id, "read")?;
        let first = log.index_after(after.position);
        let rest: Box<dyn Iterator<Item = usize> + Send> = match &read.filter.tenant {
            Some(tenant) => Box::new(not_before(first, log.of_tenant(tenant)).iter().copied()),
            None => Box::new(first..log.events.len()),
        };
        let rest = rest.filter(|at| !log.erased.contains(at)).map(|at| &log.events[at]);
        let (events, end) = page(rest, |event| read.filter.passes(event), read.limit, read.bytes);
        let checkpoint = match (events.last(), end) {
            (Some(last), false) => Checkpoint::from(last),
            _ if log.head() > after.position => log.events.last().map(Checkpoint::from).unwrap_or_default(),
            _ => after,
        };
        Ok(Page { events, checkpoint, end })
    }

    async fn read_matching(&self, read: ReadMatching) -> Result<Matches, StoreError> {
        let log = self.read();
        let (events, end) = page(log.matching(&read.query, read.after), |_| true, read.limit, read.bytes);
        // Whoever writes has the log to himself, so all of it is settled.
        Ok(Matches { events, settled: log.checkpoint_at(log.head()), end })
    }

    async fn find_event(&self, id: EventId) -> Result<Option<RecordedEvent>, StoreError> {
        let log = self.read();
        let place = log.ids.get(&id).filter(|at| !log.erased.contains(at));
        Ok(place.map(|&at| log.events[at].clone()))
    }

    async fn read_category(&self, read: ReadCategory) -> Result<CategoryPage, StoreError> {
        let log = self.read();
        let mut streams: Vec<_> = log
            .streams
            .iter()
            .filter(|(stream, _)| stream.category() == read.category && stream.id() > read.after.as_str())
            .map(|(stream, log)| (stream.clone(), Version(log.places.len() as u64)))
            .collect();
        streams.sort_unstable();
        let end = streams.len() <= read.limit.max(1);
        streams.truncate(read.limit.max(1));
        Ok(CategoryPage { streams, end })
    }

    async fn head(&self) -> Result<Position, StoreError> {
        Ok(self.read().head())
    }

    async fn wait(&self, after: Position) -> Result<(), StoreError> {
        // Nobody outside this process can append, so nothing has to be looked for in between.
        self.shared.wake.wait(after, Duration::from_hours(1)).await;
        Ok(())
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        Some(self)
    }
}

impl Transactional for MemoryStore {
    type Tx = MemoryTx;

    async fn begin(&self) -> Result<MemoryTx, StoreError> {
        Ok(MemoryTx::new())
    }

    /// Appends as part of `tx`. From then on nobody else appends until `tx` ends; whoever holds it must not wait for an
    /// append of its own.
    async fn append_in(&self, tx: &mut MemoryTx, append: Append) -> Result<Uncommitted, AppendError> {
        append.check(&self.shared.limits)?;
        self.take_turn(tx).await;
        let log = self.read();
        let head = tx.events.last().map_or(log.head(), |event| event.position);
        let verdict = judge(append, &Within { log: &log, tx }, head, now())?;
        if verdict.events.is_empty() {
            return Ok(Uncommitted::repeated(verdict.appended));
        }
        tx.events.extend(verdict.events);
        Ok(Uncommitted::new(verdict.appended))
    }

    async fn read_stream_in(&self, tx: &mut MemoryTx, read: ReadStream) -> Result<StreamPage, StoreError> {
        let log = self.read();
        let recorded = log.streams.get(&read.stream);
        let first = recorded.map_or(0, |stream| stream.first);
        let recorded = recorded.into_iter().flat_map(|stream| &stream.places).map(|&at| &log.events[at]);
        let all: Vec<_> = recorded.chain(tx.events_of(&read.stream)).collect();
        Ok(stream_page(first..all.len(), |index| all[index], &read))
    }

    async fn read_from_in(&self, tx: &mut MemoryTx, read: ReadFrom) -> Result<PageFrom, StoreError> {
        let stream = read.stream.clone();
        let appended: Vec<_> = tx.events_of(&stream).collect();
        Ok(self.read().read_from(read, &appended))
    }

    async fn commit(&self, mut tx: MemoryTx) -> Result<(), StoreError> {
        self.write().commit(&mut tx)?;
        self.shared.wake.wake(self.read().head());
        Ok(())
    }

    async fn rollback(&self, _: MemoryTx) -> Result<(), StoreError> {
        Ok(())
    }

    /// Reads a checkpoint. If it is elsewhere when `tx` is to be committed, that is refused.
    async fn hold_checkpoint(
        &self,
        tx: &mut MemoryTx,
        partition: &Partition,
    ) -> Result<Checkpoint, StoreError> {
        if let Some(step) = tx.steps.iter().find(|step| step.partition == *partition) {
            // It is held by the step, which is refused if it does not begin there.
            return Ok(step.to);
        }
        let checkpoint = self.read().books.checkpoint_of(partition)?;
        if checkpoint != Checkpoint::START {
            tx.held.push((partition.clone(), checkpoint));
        }
        Ok(checkpoint)
    }

    /// Makes a step when `tx` is committed, which is refused if it may not be made then.
    async fn advance_in(&self, tx: &mut MemoryTx, step: Advance) -> Result<(), StoreError> {
        tx.stage(step)
    }

    async fn commit_with(&self, mut tx: MemoryTx, step: Advance) -> Result<(), StoreError> {
        tx.stage(step)?;
        self.commit(tx).await
    }
}

/// What comes in a list of indices, which grow, from this one on.
fn not_before(first: usize, list: &[usize]) -> &[usize] {
    &list[list.partition_point(|&at| at < first)..]
}

fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

fn empty_page() -> StreamPage {
    StreamPage { events: Vec::new(), end: true }
}

/// A page of a stream that has the events with these indices. Versions are dense, so the event with version v is at index
/// v - 1.
fn stream_page<'a>(
    readable: Range<usize>,
    at: impl Fn(usize) -> &'a RecordedEvent,
    read: &ReadStream,
) -> StreamPage {
    let (events, end) = match read.cursor {
        Cursor::After(version) => {
            let first = index(version.0).max(readable.start);
            page((first..readable.end).map(at), |_| true, read.limit, read.bytes)
        }
        Cursor::Before(version) => {
            let end = readable.end.min(index(version.0.saturating_sub(1)));
            page((readable.start..end).rev().map(at), |_| true, read.limit, read.bytes)
        }
    };
    StreamPage { events, end }
}

/// The events that pass, up to the limits, and whether there are no more of them.
fn page<'a>(
    events: impl Iterator<Item = &'a RecordedEvent>,
    passes: impl Fn(&RecordedEvent) -> bool,
    limit: usize,
    bytes_max: usize,
) -> (Vec<RecordedEvent>, bool) {
    let (mut found, mut bytes) = (Vec::new(), 0);
    for event in events.filter(|event| passes(event)) {
        bytes += event.payload.len();
        if !found.is_empty() && (found.len() >= limit || bytes > bytes_max) {
            return (found, false);
        }
        found.push(event.clone());
    }
    (found, true)
}

impl Log {
    fn last_of(&self, stream: &StreamId) -> Option<&RecordedEvent> {
        let &last = self.streams.get(stream)?.places.last()?;
        Some(&self.events[last])
    }

    /// Records what a transaction has appended, and lets its effects happen.
    /// All of it, or nothing.
    fn commit(&mut self, tx: &mut MemoryTx) -> Result<(), StoreError> {
        for (partition, checkpoint) in tx.held.drain(..) {
            self.check_held(&partition, checkpoint)?;
        }
        for step in &mut tx.steps {
            self.check_step(step)?;
        }
        let now = now();
        for step in tx.steps.drain(..) {
            self.books.advance(step, now)?;
        }
        tx.events.drain(..).for_each(|event| self.record(event));
        tx.set.drain(..).for_each(|timer| self.books.set_timer(timer));
        tx.taken.drain(..).for_each(|timer| self.books.take_timer(&timer));
        tx.take_effect();
        Ok(())
    }

    fn record(&mut self, event: RecordedEvent) {
        let at = self.events.len();
        self.ids.insert(event.id, at);
        for tag in &event.metadata.tags {
            self.tagged.entry(tag.clone()).or_default().push(at);
        }
        if let Some((tenant, _)) = TenantId::of(&event.stream) {
            self.tenants.entry(tenant.to_string()).or_default().push(at);
        }
        self.streams.entry(event.stream.clone()).or_default().places.push(at);
        self.events.push(event);
    }

    /// Among these are all that a tenant has.
    fn of_tenant(&self, tenant: &TenantId) -> &[usize] {
        self.tenants.get(tenant.outermost()).map_or(&[], Vec::as_slice)
    }

    /// The checkpoint of a reader that has seen everything up to `position`.
    fn checkpoint_at(&self, position: Position) -> Checkpoint {
        let last = self.events[..self.index_after(position)].last();
        Checkpoint { position, event_id: last.map(|event| event.id) }
    }

    /// The index of the first event after a position.
    fn index_after(&self, position: Position) -> usize {
        self.events.partition_point(|event| event.position <= position)
    }

    /// The events after a position that match a query, in order.
    fn matching<'a>(
        &'a self,
        query: &'a EventQuery,
        after: Position,
    ) -> impl Iterator<Item = &'a RecordedEvent> {
        let first = self.index_after(after);
        // An item without tags may match anything that its tenant has, or that anybody has.
        let of_item =
            |item| self.rarest_tag(item).or_else(|| query.tenant().map(|tenant| self.of_tenant(tenant)));
        let lists: Option<Vec<_>> = query.items().iter().map(of_item).collect();
        let candidates: Box<dyn Iterator<Item = usize>> = match lists {
            Some(lists) => {
                let rest = lists.iter().flat_map(|list| not_before(first, list));
                Box::new(rest.copied().collect::<BTreeSet<_>>().into_iter())
            }
            None => Box::new(first..self.events.len()),
        };
        let left = candidates.filter(|at| !self.erased.contains(at)).map(|at| &self.events[at]);
        left.filter(|event| query.finds(event))
    }

    /// The events with that tag of the item which the fewest have; `None` if it has no tags.
    fn rarest_tag(&self, item: &QueryItem) -> Option<&[usize]> {
        let tagged = item.tags.iter().map(|tag| self.tagged.get(tag).map_or(&[][..], Vec::as_slice));
        tagged.min_by_key(|events| events.len())
    }

    fn head(&self) -> Position {
        self.events.last().map_or(Position::START, |event| event.position)
    }

    fn append(&mut self, append: Append, now: DateTime<Utc>) -> Result<Appended, AppendError> {
        let verdict = judge(append, self, self.head(), now)?;
        verdict.events.into_iter().for_each(|event| self.record(event));
        Ok(verdict.appended)
    }
}

impl History for Log {
    fn version_of(&self, stream: &StreamId) -> Option<Version> {
        Some(Version(self.streams.get(stream)?.places.len() as u64))
    }

    fn place_of(&self, id: EventId) -> Option<Place> {
        Some(place(&self.events[*self.ids.get(&id)?]))
    }

    fn closing_of(&self, stream: &StreamId) -> Option<Closing> {
        Closing::of_event(self.last_of(stream)?.name.as_str())
    }

    fn breach_of(&self, condition: &Condition) -> Option<Breach> {
        let Condition { query, after, .. } = condition;
        if let Err(error) = after.check(self.checkpoint_at(after.position).event_id, "append") {
            return Some(Breach::OtherLog(error));
        }
        first_breach(condition, self.matching(query, after.position))
    }
}

/// The log as a transaction sees it.
struct Within<'a> {
    log: &'a Log,
    tx: &'a MemoryTx,
}

impl History for Within<'_> {
    fn version_of(&self, stream: &StreamId) -> Option<Version> {
        let own = self.tx.events_of(stream).next_back().map(|event| event.version);
        own.or_else(|| self.log.version_of(stream))
    }

    fn place_of(&self, id: EventId) -> Option<Place> {
        let own = self.tx.events.iter().find(|event| event.id == id).map(place);
        own.or_else(|| self.log.place_of(id))
    }

    fn closing_of(&self, stream: &StreamId) -> Option<Closing> {
        self.log.closing_of(stream)
    }

    fn breach_of(&self, condition: &Condition) -> Option<Breach> {
        self.log.breach_of(condition).or_else(|| first_breach(condition, &self.tx.events))
    }
}

fn place(event: &RecordedEvent) -> Place {
    Place {
        stream: event.stream.clone(),
        version: event.version,
        position: event.position,
        recorded_at: event.recorded_at,
    }
}

/// A number as an index: one that does not fit is past every event there can be.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
