//! A store that takes its time, so that whoever uses it can be dropped between any two things it does.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use factum::memory::{MemoryStore, MemoryTx};
use factum::snapshot::{PageFrom, ReadFrom};
use factum::store::{
    Append, Appended, CategoryPage, Matches, Page, ReadAll, ReadCategory, ReadMatching, ReadStream,
    StreamPage, Uncommitted,
};
use factum::{
    Advance, AppendError, Checkpoint, Checkpoints, DeadLetter, DeadLetters, DueTimers, EventId, EventStore,
    Heartbeat, Leases, NodeId, Parked, Partition, Position, ReadDeadLetters, RecordedEvent, Share, Snapshots,
    StoreError, StoreErrorKind, Timer, Timers, Transactional,
};
use tokio::task::yield_now;

/// The in-memory store, with a pause before and after everything.
#[derive(Clone)]
pub(crate) struct Slow {
    store: MemoryStore,
    has_timers: bool,
    meanwhile: Option<Meanwhile>,
}

/// What others do, each time before a transaction begins.
pub(crate) type Meanwhile = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

impl Slow {
    pub(crate) fn new(store: MemoryStore) -> Self {
        Self { store, has_timers: true, meanwhile: None }
    }

    /// One whose timers can never be read.
    pub(crate) fn without_timers(store: MemoryStore) -> Self {
        Self { store, has_timers: false, meanwhile: None }
    }

    /// One in which others do something each time before a transaction begins.
    pub(crate) fn meanwhile(store: MemoryStore, meanwhile: Meanwhile) -> Self {
        Self { store, has_timers: true, meanwhile: Some(meanwhile) }
    }
}

async fn slowly<T>(work: impl Future<Output = T>) -> T {
    yield_now().await;
    let outcome = work.await;
    yield_now().await;
    outcome
}

#[async_trait]
impl EventStore for Slow {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        slowly(self.store.append(append)).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        slowly(self.store.read_stream(read)).await
    }

    async fn read_all(&self, read: ReadAll) -> Result<Page, StoreError> {
        slowly(self.store.read_all(read)).await
    }

    async fn read_matching(&self, read: ReadMatching) -> Result<Matches, StoreError> {
        slowly(self.store.read_matching(read)).await
    }

    async fn find_event(&self, id: EventId) -> Result<Option<RecordedEvent>, StoreError> {
        slowly(self.store.find_event(id)).await
    }

    async fn read_category(&self, read: ReadCategory) -> Result<CategoryPage, StoreError> {
        slowly(self.store.read_category(read)).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        slowly(self.store.head()).await
    }

    async fn wait(&self, after: Position) -> Result<(), StoreError> {
        slowly(self.store.wait(after)).await
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        self.store.snapshots()
    }
}

#[async_trait]
impl Checkpoints for Slow {
    async fn checkpoint_of(&self, partition: &Partition) -> Result<Checkpoint, StoreError> {
        slowly(self.store.checkpoint_of(partition)).await
    }

    async fn advance(&self, step: Advance) -> Result<(), StoreError> {
        slowly(self.store.advance(step)).await
    }
}

#[async_trait]
impl DeadLetters for Slow {
    async fn dead_letters(&self, read: ReadDeadLetters) -> Result<Vec<DeadLetter>, StoreError> {
        slowly(self.store.dead_letters(read)).await
    }

    async fn parked(&self, subscription: &str, due_max: usize) -> Result<Parked, StoreError> {
        slowly(self.store.parked(subscription, due_max)).await
    }

    async fn retry_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError> {
        slowly(self.store.retry_dead_letter(subscription, position)).await
    }

    async fn drop_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError> {
        slowly(self.store.drop_dead_letter(subscription, position)).await
    }
}

#[async_trait]
impl Leases for Slow {
    async fn beat(&self, heartbeat: Heartbeat) -> Result<Share, StoreError> {
        slowly(self.store.beat(heartbeat)).await
    }

    async fn leave(&self, subscription: &str, node: NodeId) -> Result<(), StoreError> {
        slowly(self.store.leave(subscription, node)).await
    }
}

impl Transactional for Slow {
    type Tx = MemoryTx;

    async fn begin(&self) -> Result<MemoryTx, StoreError> {
        if let Some(meanwhile) = &self.meanwhile {
            meanwhile().await;
        }
        slowly(self.store.begin()).await
    }

    async fn append_in(&self, tx: &mut MemoryTx, append: Append) -> Result<Uncommitted, AppendError> {
        slowly(self.store.append_in(tx, append)).await
    }

    async fn read_stream_in(&self, tx: &mut MemoryTx, read: ReadStream) -> Result<StreamPage, StoreError> {
        slowly(self.store.read_stream_in(tx, read)).await
    }

    async fn read_from_in(&self, tx: &mut MemoryTx, read: ReadFrom) -> Result<PageFrom, StoreError> {
        slowly(self.store.read_from_in(tx, read)).await
    }

    async fn commit(&self, tx: MemoryTx) -> Result<(), StoreError> {
        slowly(self.store.commit(tx)).await
    }

    async fn rollback(&self, tx: MemoryTx) -> Result<(), StoreError> {
        slowly(self.store.rollback(tx)).await
    }

    async fn hold_checkpoint(
        &self,
        tx: &mut MemoryTx,
        partition: &Partition,
    ) -> Result<Checkpoint, StoreError> {
        slowly(self.store.hold_checkpoint(tx, partition)).await
    }

    async fn advance_in(&self, tx: &mut MemoryTx, step: Advance) -> Result<(), StoreError> {
        slowly(self.store.advance_in(tx, step)).await
    }

    async fn commit_with(&self, tx: MemoryTx, step: Advance) -> Result<(), StoreError> {
        slowly(self.store.commit_with(tx, step)).await
    }
}

impl Timers for Slow {
    async fn set_timer(&self, tx: &mut MemoryTx, timer: Timer) -> Result<(), StoreError> {
        slowly(self.store.set_timer(tx, timer)).await
    }

    async fn take_timer(&self, tx: &mut MemoryTx, timer: &Timer) -> Result<bool, StoreError> {
        slowly(self.store.take_timer(tx, timer)).await
    }

    async fn due_timers(&self, process: &str, limit: usize) -> Result<DueTimers, StoreError> {
        if !self.has_timers {
            return Err(StoreError::new(StoreErrorKind::Corrupt, "read timers"));
        }
        slowly(self.store.due_timers(process, limit)).await
    }
}
