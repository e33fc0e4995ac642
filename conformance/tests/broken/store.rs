//! A store that is broken in one way: the memory store, and a fault in front of it.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use factum_conformance::{Fixture, Tx};
use factum_core::retention::Retention;
use factum_core::snapshot::{PageFrom, ReadFrom, Snapshot, Turns};
use factum_core::store::{
    Append, Appended, CategoryPage, Cursor, Matches, Page, ReadAll, ReadCategory, ReadMatching, ReadStream,
    StreamPage, Uncommitted,
};
use factum_core::transfer::{Import, Record, Transfer, TransferError};
use factum_core::{
    Advance, AppendError, Checkpoint, Checkpoints, DeadLetter, DeadLetters, DueTimers, EventId, EventStore,
    Expected, Heartbeat, Leases, NewEvent, NodeId, Parked, Partition, Position, ReadDeadLetters,
    RecordedEvent, Share, Snapshots, StoreError, StreamId, Timer, Timers, Transactional, Version,
};
use factum_memory::{MemoryStore, MemoryTx};

/// What is wrong with a store. A fault overrides one thing; all else is as in the memory store.
#[async_trait]
pub(crate) trait Fault: Default + Send + Sync + 'static {
    /// Another append than the one that was given.
    fn given(&self, append: Append) -> Append {
        append
    }

    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        store.append(self.given(append)).await
    }

    /// Another event than the one that is recorded.
    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        event
    }

    async fn read_stream(&self, store: &MemoryStore, read: ReadStream) -> Result<StreamPage, StoreError> {
        let StreamPage { events, end } = store.read_stream(read).await?;
        Ok(StreamPage { events: events.into_iter().map(|event| self.seen(event)).collect(), end })
    }

    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let page = store.read_all(read).await?;
        Ok(Page { events: page.events.into_iter().map(|event| self.seen(event)).collect(), ..page })
    }

    async fn read_matching(&self, store: &MemoryStore, read: ReadMatching) -> Result<Matches, StoreError> {
        let found = store.read_matching(read).await?;
        Ok(Matches { events: found.events.into_iter().map(|event| self.seen(event)).collect(), ..found })
    }

    async fn find_event(
        &self,
        store: &MemoryStore,
        id: EventId,
    ) -> Result<Option<RecordedEvent>, StoreError> {
        Ok(store.find_event(id).await?.map(|event| self.seen(event)))
    }

    async fn read_category(
        &self,
        store: &MemoryStore,
        read: ReadCategory,
    ) -> Result<CategoryPage, StoreError> {
        store.read_category(read).await
    }

    async fn wait(&self, store: &MemoryStore, after: Position) -> Result<(), StoreError> {
        store.wait(after).await
    }

    async fn read_from(&self, store: &MemoryStore, read: ReadFrom) -> Result<PageFrom, StoreError> {
        store.read_from(read).await
    }

    async fn read_from_in(
        &self,
        store: &MemoryStore,
        tx: &mut MemoryTx,
        read: ReadFrom,
    ) -> Result<PageFrom, StoreError> {
        store.read_from_in(tx, read).await
    }

    async fn save_snapshot(&self, store: &MemoryStore, snapshot: Snapshot) -> Result<bool, StoreError> {
        store.save_snapshot(snapshot).await
    }

    async fn delete_snapshots(&self, store: &MemoryStore, stream: &StreamId) -> Result<(), StoreError> {
        store.delete_snapshots(stream).await
    }

    async fn checkpoint(&self, store: &MemoryStore, name: &str) -> Result<Checkpoint, StoreError> {
        store.checkpoint(name).await
    }

    async fn move_checkpoint(
        &self,
        store: &MemoryStore,
        name: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        store.move_checkpoint(name, from, to).await
    }

    async fn checkpoint_of(
        &self,
        store: &MemoryStore,
        partition: &Partition,
    ) -> Result<Checkpoint, StoreError> {
        store.checkpoint_of(partition).await
    }

    async fn advance(&self, store: &MemoryStore, step: Advance) -> Result<(), StoreError> {
        store.advance(step).await
    }

    async fn hold_checkpoint(
        &self,
        store: &MemoryStore,
        tx: &mut MemoryTx,
        partition: &Partition,
    ) -> Result<Checkpoint, StoreError> {
        store.hold_checkpoint(tx, partition).await
    }

    async fn advance_in(
        &self,
        store: &MemoryStore,
        tx: &mut MemoryTx,
        step: Advance,
    ) -> Result<(), StoreError> {
        store.advance_in(tx, step).await
    }

    async fn commit_with(&self, store: &MemoryStore, tx: MemoryTx, step: Advance) -> Result<(), StoreError> {
        store.commit_with(tx, step).await
    }

    async fn dead_letters(
        &self,
        store: &MemoryStore,
        read: ReadDeadLetters,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        store.dead_letters(read).await
    }

    async fn parked(
        &self,
        store: &MemoryStore,
        subscription: &str,
        due_max: usize,
    ) -> Result<Parked, StoreError> {
        store.parked(subscription, due_max).await
    }

    async fn retry_dead_letter(
        &self,
        store: &MemoryStore,
        subscription: &str,
        position: Position,
    ) -> Result<bool, StoreError> {
        store.retry_dead_letter(subscription, position).await
    }

    async fn drop_dead_letter(
        &self,
        store: &MemoryStore,
        subscription: &str,
        position: Position,
    ) -> Result<bool, StoreError> {
        store.drop_dead_letter(subscription, position).await
    }

    async fn beat(&self, store: &MemoryStore, heartbeat: Heartbeat) -> Result<Share, StoreError> {
        store.beat(heartbeat).await
    }

    async fn leave(&self, store: &MemoryStore, subscription: &str, node: NodeId) -> Result<(), StoreError> {
        store.leave(subscription, node).await
    }

    async fn set_timer(
        &self,
        store: &MemoryStore,
        tx: &mut MemoryTx,
        timer: Timer,
    ) -> Result<(), StoreError> {
        store.set_timer(tx, timer).await
    }

    async fn take_timer(
        &self,
        store: &MemoryStore,
        tx: &mut MemoryTx,
        timer: &Timer,
    ) -> Result<bool, StoreError> {
        store.take_timer(tx, timer).await
    }

    async fn due_timers(
        &self,
        store: &MemoryStore,
        process: &str,
        limit: usize,
    ) -> Result<DueTimers, StoreError> {
        store.due_timers(process, limit).await
    }

    async fn begin(&self, store: &MemoryStore) -> Result<MemoryTx, StoreError> {
        store.begin().await
    }

    async fn read_records(
        &self,
        store: &MemoryStore,
        after: Position,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<Record>, StoreError> {
        store.read_records(after, limit, bytes).await
    }

    async fn changes(&self, store: &MemoryStore) -> Result<u64, StoreError> {
        store.changes().await
    }

    async fn begin_import(&self, store: &MemoryStore) -> Result<Box<dyn Import>, TransferError> {
        store.begin_import().await
    }

    async fn delete_stream(
        &self,
        store: &MemoryStore,
        stream: &StreamId,
        expected: Expected,
    ) -> Result<Appended, AppendError> {
        store.delete_stream(stream, expected).await
    }

    async fn archive_stream(
        &self,
        store: &MemoryStore,
        stream: &StreamId,
        expected: Expected,
    ) -> Result<Appended, AppendError> {
        store.archive_stream(stream, expected).await
    }

    async fn restore_stream(&self, store: &MemoryStore, stream: &StreamId) -> Result<Appended, AppendError> {
        store.restore_stream(stream).await
    }

    async fn truncate_stream(
        &self,
        store: &MemoryStore,
        stream: &StreamId,
        before: Version,
    ) -> Result<(), AppendError> {
        store.truncate_stream(stream, before).await
    }

    async fn append_in(
        &self,
        store: &MemoryStore,
        tx: &mut MemoryTx,
        append: Append,
    ) -> Result<Uncommitted, AppendError> {
        store.append_in(tx, append).await
    }

    async fn commit(
        &self,
        store: &MemoryStore,
        tx: MemoryTx,
        name: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        store.commit_with_checkpoint(tx, name, from, to).await
    }

    /// Without a checkpoint.
    async fn commit_alone(&self, store: &MemoryStore, tx: MemoryTx) -> Result<(), StoreError> {
        store.commit(tx).await
    }

    /// What a clone of the store shows.
    fn clone_of(&self, store: &MemoryStore) -> MemoryStore {
        store.clone()
    }

    /// What is there after the store was closed and opened again.
    fn reopen(&self, store: MemoryStore) -> MemoryStore {
        store
    }

    /// Whether work is done at once, and not with its transaction.
    const WORKS_AT_ONCE: bool = false;
}

/// The memory store behind a fault.
pub(crate) struct BrokenStore<B> {
    store: MemoryStore,
    fault: Arc<B>,
}

impl<B: Fault> Clone for BrokenStore<B> {
    fn clone(&self) -> Self {
        Self { store: self.fault.clone_of(&self.store), fault: Arc::clone(&self.fault) }
    }
}

#[async_trait]
impl<B: Fault> EventStore for BrokenStore<B> {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.fault.append(&self.store, append).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        self.fault.read_stream(&self.store, read).await
    }

    async fn read_all(&self, read: ReadAll) -> Result<Page, StoreError> {
        self.fault.read_all(&self.store, read).await
    }

    async fn read_matching(&self, read: ReadMatching) -> Result<Matches, StoreError> {
        self.fault.read_matching(&self.store, read).await
    }

    async fn find_event(&self, id: EventId) -> Result<Option<RecordedEvent>, StoreError> {
        self.fault.find_event(&self.store, id).await
    }

    async fn read_category(&self, read: ReadCategory) -> Result<CategoryPage, StoreError> {
        self.fault.read_category(&self.store, read).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        self.store.head().await
    }

    async fn wait(&self, after: Position) -> Result<(), StoreError> {
        self.fault.wait(&self.store, after).await
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        Some(self)
    }
}

#[async_trait]
impl<B: Fault> Snapshots for BrokenStore<B> {
    async fn read_from(&self, read: ReadFrom) -> Result<PageFrom, StoreError> {
        self.fault.read_from(&self.store, read).await
    }

    async fn save_snapshot(&self, snapshot: Snapshot) -> Result<bool, StoreError> {
        self.fault.save_snapshot(&self.store, snapshot).await
    }

    async fn delete_snapshots(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.fault.delete_snapshots(&self.store, stream).await
    }

    fn turns(&self) -> &Turns {
        self.store.turns()
    }
}

#[async_trait]
impl<B: Fault> Checkpoints for BrokenStore<B> {
    async fn checkpoint_of(&self, partition: &Partition) -> Result<Checkpoint, StoreError> {
        self.fault.checkpoint_of(&self.store, partition).await
    }

    async fn advance(&self, step: Advance) -> Result<(), StoreError> {
        self.fault.advance(&self.store, step).await
    }

    async fn checkpoint(&self, name: &str) -> Result<Checkpoint, StoreError> {
        self.fault.checkpoint(&self.store, name).await
    }

    async fn move_checkpoint(&self, name: &str, from: Checkpoint, to: Checkpoint) -> Result<(), StoreError> {
        self.fault.move_checkpoint(&self.store, name, from, to).await
    }
}

#[async_trait]
impl<B: Fault> DeadLetters for BrokenStore<B> {
    async fn dead_letters(&self, read: ReadDeadLetters) -> Result<Vec<DeadLetter>, StoreError> {
        self.fault.dead_letters(&self.store, read).await
    }

    async fn parked(&self, subscription: &str, due_max: usize) -> Result<Parked, StoreError> {
        self.fault.parked(&self.store, subscription, due_max).await
    }

    async fn retry_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError> {
        self.fault.retry_dead_letter(&self.store, subscription, position).await
    }

    async fn drop_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError> {
        self.fault.drop_dead_letter(&self.store, subscription, position).await
    }
}

#[async_trait]
impl<B: Fault> Leases for BrokenStore<B> {
    async fn beat(&self, heartbeat: Heartbeat) -> Result<Share, StoreError> {
        self.fault.beat(&self.store, heartbeat).await
    }

    async fn leave(&self, subscription: &str, node: NodeId) -> Result<(), StoreError> {
        self.fault.leave(&self.store, subscription, node).await
    }
}

impl<B: Fault> Timers for BrokenStore<B> {
    async fn set_timer(&self, tx: &mut MemoryTx, timer: Timer) -> Result<(), StoreError> {
        self.fault.set_timer(&self.store, tx, timer).await
    }

    async fn take_timer(&self, tx: &mut MemoryTx, timer: &Timer) -> Result<bool, StoreError> {
        self.fault.take_timer(&self.store, tx, timer).await
    }

    async fn due_timers(&self, process: &str, limit: usize) -> Result<DueTimers, StoreError> {
        self.fault.due_timers(&self.store, process, limit).await
    }
}

impl<B: Fault> Transactional for BrokenStore<B> {
    type Tx = MemoryTx;

    async fn begin(&self) -> Result<MemoryTx, StoreError> {
        self.fault.begin(&self.store).await
    }

    async fn append_in(&self, tx: &mut MemoryTx, append: Append) -> Result<Uncommitted, AppendError> {
        self.fault.append_in(&self.store, tx, append).await
    }

    async fn read_stream_in(&self, tx: &mut MemoryTx, read: ReadStream) -> Result<StreamPage, StoreError> {
        self.store.read_stream_in(tx, read).await
    }

    async fn read_from_in(&self, tx: &mut MemoryTx, read: ReadFrom) -> Result<PageFrom, StoreError> {
        self.fault.read_from_in(&self.store, tx, read).await
    }

    async fn commit(&self, tx: MemoryTx) -> Result<(), StoreError> {
        self.fault.commit_alone(&self.store, tx).await
    }

    async fn rollback(&self, tx: MemoryTx) -> Result<(), StoreError> {
        self.store.rollback(tx).await
    }

    async fn hold_checkpoint(
        &self,
        tx: &mut MemoryTx,
        partition: &Partition,
    ) -> Result<Checkpoint, StoreError> {
        self.fault.hold_checkpoint(&self.store, tx, partition).await
    }

    async fn advance_in(&self, tx: &mut MemoryTx, step: Advance) -> Result<(), StoreError> {
        self.fault.advance_in(&self.store, tx, step).await
    }

    async fn commit_with(&self, tx: MemoryTx, step: Advance) -> Result<(), StoreError> {
        self.fault.commit_with(&self.store, tx, step).await
    }

    async fn commit_with_checkpoint(
        &self,
        tx: MemoryTx,
        name: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        self.fault.commit(&self.store, tx, name, from, to).await
    }
}

#[async_trait]
impl<B: Fault> Retention for BrokenStore<B> {
    async fn delete_stream(&self, stream: &StreamId, expected: Expected) -> Result<Appended, AppendError> {
        self.fault.delete_stream(&self.store, stream, expected).await
    }

    async fn archive_stream(&self, stream: &StreamId, expected: Expected) -> Result<Appended, AppendError> {
        self.fault.archive_stream(&self.store, stream, expected).await
    }

    async fn restore_stream(&self, stream: &StreamId) -> Result<Appended, AppendError> {
        self.fault.restore_stream(&self.store, stream).await
    }

    async fn truncate_stream(&self, stream: &StreamId, before: Version) -> Result<(), AppendError> {
        self.fault.truncate_stream(&self.store, stream, before).await
    }

    async fn read_archived(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        self.store.read_archived(read).await
    }
}

#[async_trait]
impl<B: Fault> Transfer for BrokenStore<B> {
    async fn read_records(
        &self,
        after: Position,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.fault.read_records(&self.store, after, limit, bytes).await
    }

    async fn changes(&self) -> Result<u64, StoreError> {
        self.fault.changes(&self.store).await
    }

    async fn begin_import(&self) -> Result<Box<dyn Import>, TransferError> {
        self.fault.begin_import(&self.store).await
    }
}

/// A fixture with a fault.
pub(crate) struct Broken<B> {
    store: BrokenStore<B>,
    done: Arc<Mutex<Vec<String>>>,
    fault: PhantomData<B>,
}

impl<B: Fault> Fixture for Broken<B> {
    type Store = BrokenStore<B>;

    async fn empty() -> Self {
        let store = BrokenStore { store: MemoryStore::new(), fault: Arc::default() };
        Self { store, done: Arc::default(), fault: PhantomData }
    }

    fn store(&self) -> &BrokenStore<B> {
        &self.store
    }

    async fn reopen(self) -> Self {
        let BrokenStore { store, fault } = self.store;
        Self { store: BrokenStore { store: fault.reopen(store), fault }, ..self }
    }

    async fn work(&self, tx: &mut Tx<Self>, note: &str) {
        let (done, note) = (Arc::clone(&self.done), note.to_owned());
        let work = move || done.lock().unwrap().push(note);
        if B::WORKS_AT_ONCE { work() } else { tx.on_commit(work) }
    }

    async fn work_done(&self) -> Vec<String> {
        self.done.lock().unwrap().clone()
    }
}

/// The parts of an append, which may be changed and joined again.
pub(crate) type Parts = Vec<(StreamId, Expected, Vec<NewEvent>)>;

pub(crate) fn parts(append: Append) -> Parts {
    append.into_streams().into_iter().map(|part| (part.stream, part.expected, part.events)).collect()
}

/// The append of these parts; there is none without parts.
pub(crate) fn join(parts: Parts) -> Option<Append> {
    let mut parts = parts.into_iter();
    let (stream, expected, events) = parts.next()?;
    let first = Append::to(stream, expected, events);
    Some(parts.fold(first, |append, (stream, expected, events)| append.and(stream, expected, events)))
}

/// The append with each of its events changed.
pub(crate) fn each_event(append: Append, change: impl Fn(&mut NewEvent)) -> Append {
    let mut parts = parts(append);
    parts.iter_mut().flat_map(|(.., events)| events).for_each(change);
    join(parts).unwrap()
}

/// The append with each of its streams changed.
pub(crate) fn each_stream(append: Append, change: impl Fn(&StreamId) -> StreamId) -> Append {
    let mut parts = parts(append);
    for (stream, ..) in &mut parts {
        *stream = change(stream);
    }
    join(parts).unwrap()
}

/// The append with each of its expectations changed.
pub(crate) fn each_expected(append: Append, change: impl Fn(Expected) -> Expected) -> Append {
    let mut parts = parts(append);
    for (_, expected, _) in &mut parts {
        *expected = change(*expected);
    }
    join(parts).unwrap()
}

/// All events of a store.
pub(crate) async fn all(store: &MemoryStore) -> Vec<RecordedEvent> {
    let read = ReadAll::after(Position::START).limit(usize::MAX);
    store.read_all(read).await.unwrap().events
}

/// The version of a stream's last event.
pub(crate) async fn version_of(store: &MemoryStore, stream: &StreamId) -> Option<Version> {
    let read = ReadStream::new(stream.clone()).limit(usize::MAX);
    store.read_stream(read).await.unwrap().events.last().map(|event| event.version)
}

/// Which of the append's ids are recorded.
pub(crate) async fn known(store: &MemoryStore, append: &Append) -> Vec<EventId> {
    let all = all(store).await;
    let ids = append.events().map(|event| event.id);
    ids.filter(|id| all.iter().any(|event| event.id == *id)).collect()
}

/// The page that a store with these events, sorted by position, would give.
pub(crate) fn page_of(events: Vec<RecordedEvent>, read: &ReadAll) -> Page {
    let head = events.last().map_or(Position::START, |event| event.position);
    let rest =
        events.into_iter().filter(|event| event.position > read.after.position && read.filter.passes(event));
    let events: Vec<_> = rest.take(read.limit.max(1)).collect();
    let position = match events.last() {
        Some(last) if events.len() == read.limit.max(1) => last.position,
        _ => head.max(read.after.position),
    };
    Page { events, checkpoint: position.into(), end: position >= head }
}

/// The version after which a stream is read forward.
pub(crate) fn after_of(read: &ReadStream) -> Version {
    match read.cursor {
        Cursor::After(version) => version,
        Cursor::Before(_) => Version::NONE,
    }
}
