//! Faults of checkpoints, transactions, waiting, and of what outlives the process.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use factum_core::store::{Append, Appended, Page, ReadAll, ReadStream, StreamPage, Uncommitted};
use factum_core::{
    Advance, AppendError, Checkpoint, Checkpoints, EventId, EventName, EventStore, Expected, Metadata,
    NewEvent, Partition, Position, RecordedEvent, StoreError, StoreErrorKind, StreamId, Transactional,
};
use factum_memory::{MemoryStore, MemoryTx};
use tokio::sync::{Notify, Semaphore};

use crate::faults::idempotence::WritesARepeatAgain;
use crate::store::{Fault, all};

fn moved(expected: Checkpoint, actual: Checkpoint) -> StoreError {
    let (expected, actual) = (expected.position, actual.position);
    StoreError::new(StoreErrorKind::CheckpointMoved { expected, actual }, "move checkpoint")
}

/// Moves a checkpoint without looking where it is.
#[derive(Default)]
pub(crate) struct MovesFromAnywhere;
#[async_trait]
impl Fault for MovesFromAnywhere {
    async fn move_checkpoint(
        &self,
        store: &MemoryStore,
        name: &str,
        _: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        store.move_checkpoint(name, store.checkpoint(name).await?, to).await
    }
}

/// Looks where a checkpoint is, and then moves it.
#[derive(Default)]
pub(crate) struct LooksThenMoves;
#[async_trait]
impl Fault for LooksThenMoves {
    async fn move_checkpoint(
        &self,
        store: &MemoryStore,
        name: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        let actual = store.checkpoint(name).await?;
        if actual.position != from.position {
            return Err(moved(from, actual));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
        store.move_checkpoint(name, store.checkpoint(name).await?, to).await
    }
}

/// Reads a checkpoint, and lets others move it.
#[derive(Default)]
pub(crate) struct HoldsNothing;
#[async_trait]
impl Fault for HoldsNothing {
    async fn hold_checkpoint(
        &self,
        store: &MemoryStore,
        _: &mut MemoryTx,
        partition: &Partition,
    ) -> Result<Checkpoint, StoreError> {
        store.checkpoint_of(partition).await
    }
}

/// Moves a checkpoint at once, and not with its transaction.
#[derive(Default)]
pub(crate) struct MovesAtOnce;
#[async_trait]
impl Fault for MovesAtOnce {
    async fn advance_in(
        &self,
        store: &MemoryStore,
        _: &mut MemoryTx,
        step: Advance,
    ) -> Result<(), StoreError> {
        store.advance(step).await
    }
}

/// Says of a repeated append in a transaction that it has written.
#[derive(Default)]
pub(crate) struct TakesARepetitionForAnAppend;
#[async_trait]
impl Fault for TakesARepetitionForAnAppend {
    async fn append_in(
        &self,
        store: &MemoryStore,
        tx: &mut MemoryTx,
        append: Append,
    ) -> Result<Uncommitted, AppendError> {
        store.append_in(tx, append).await.map(|appended| Uncommitted::new(appended.committed()))
    }
}

/// Commits a transaction, and does not make the step that belongs to it.
#[derive(Default)]
pub(crate) struct CommitsWithoutTheStep;
#[async_trait]
impl Fault for CommitsWithoutTheStep {
    async fn commit_with(&self, store: &MemoryStore, tx: MemoryTx, _: Advance) -> Result<(), StoreError> {
        store.commit(tx).await
    }
}

/// Makes no step in a transaction that goes on.
#[derive(Default)]
pub(crate) struct ForgetsStepsInTransactions;
#[async_trait]
impl Fault for ForgetsStepsInTransactions {
    async fn advance_in(&self, _: &MemoryStore, _: &mut MemoryTx, _: Advance) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Appends outside the transaction, and forgets the work in it.
#[derive(Default)]
pub(crate) struct AppendsAtOnceAndForgetsWork;
#[async_trait]
impl Fault for AppendsAtOnceAndForgetsWork {
    async fn append_in(
        &self,
        store: &MemoryStore,
        _: &mut MemoryTx,
        append: Append,
    ) -> Result<Uncommitted, AppendError> {
        store.append(append).await.map(Uncommitted::new)
    }

    async fn commit_alone(&self, _: &MemoryStore, _: MemoryTx) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Moves checkpoints forward only.
#[derive(Default)]
pub(crate) struct MovesForwardOnly;
#[async_trait]
impl Fault for MovesForwardOnly {
    async fn move_checkpoint(
        &self,
        store: &MemoryStore,
        name: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        if to.position <= from.position {
            Err(moved(from, from))
        } else {
            store.move_checkpoint(name, from, to).await
        }
    }
}

/// Moves a checkpoint once.
#[derive(Default)]
pub(crate) struct MovesOnce(Mutex<HashMap<String, usize>>);
#[async_trait]
impl Fault for MovesOnce {
    async fn move_checkpoint(
        &self,
        store: &MemoryStore,
        name: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        let times = {
            let mut moves = self.0.lock().unwrap();
            let times = moves.entry(name.to_owned()).or_default();
            *times += 1;
            *times
        };
        if times > 1 { Ok(()) } else { store.move_checkpoint(name, from, to).await }
    }
}

/// Says that a checkpoint is where it was expected, and does not move it.
#[derive(Default)]
pub(crate) struct SaysWhereItIsNot;
#[async_trait]
impl Fault for SaysWhereItIsNot {
    async fn move_checkpoint(
        &self,
        store: &MemoryStore,
        name: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        store.move_checkpoint(name, from, to).await.map_err(|_| moved(from, from))
    }
}

/// Lets a subscription begin with what comes next.
#[derive(Default)]
pub(crate) struct BeginsAtTheHead;
#[async_trait]
impl Fault for BeginsAtTheHead {
    async fn checkpoint(&self, store: &MemoryStore, name: &str) -> Result<Checkpoint, StoreError> {
        match store.checkpoint(name).await? {
            Checkpoint::START => Ok(all(store).await.last().map(Checkpoint::from).unwrap_or_default()),
            checkpoint => Ok(checkpoint),
        }
    }
}

/// Takes names of subscriptions that differ in case for one.
#[derive(Default)]
pub(crate) struct IgnoresTheCaseOfSubscriptions;
#[async_trait]
impl Fault for IgnoresTheCaseOfSubscriptions {
    async fn checkpoint(&self, store: &MemoryStore, name: &str) -> Result<Checkpoint, StoreError> {
        store.checkpoint(&name.to_lowercase()).await
    }

    async fn move_checkpoint(
        &self,
        store: &MemoryStore,
        name: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        store.move_checkpoint(&name.to_lowercase(), from, to).await
    }
}

/// Keeps checkpoints as events among those of others.
#[derive(Default)]
pub(crate) struct KeepsCheckpointsAsEvents;
#[async_trait]
impl Fault for KeepsCheckpointsAsEvents {
    async fn move_checkpoint(
        &self,
        store: &MemoryStore,
        name: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        store.move_checkpoint(name, from, to).await?;
        let event = NewEvent {
            id: EventId::new(),
            name: EventName::new("moved").unwrap(),
            schema_version: 1,
            codec: "json".into(),
            payload: to.position.to_string().into(),
            metadata: Metadata::default(),
        };
        let stream = StreamId::new("checkpoint", name).unwrap();
        store.append(Append::to(stream, Expected::Any, vec![event])).await.unwrap();
        Ok(())
    }
}

/// Commits a transaction without its checkpoint.
#[derive(Default)]
pub(crate) struct CommitsWithoutTheCheckpoint;
#[async_trait]
impl Fault for CommitsWithoutTheCheckpoint {
    async fn commit(
        &self,
        store: &MemoryStore,
        tx: MemoryTx,
        _: &str,
        _: Checkpoint,
        _: Checkpoint,
    ) -> Result<(), StoreError> {
        commit_beside(store, tx).await
    }
}

/// Commits a transaction wherever its checkpoint is.
#[derive(Default)]
pub(crate) struct CommitsFromAnywhere;
#[async_trait]
impl Fault for CommitsFromAnywhere {
    async fn commit(
        &self,
        store: &MemoryStore,
        tx: MemoryTx,
        name: &str,
        _: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        store.commit_with_checkpoint(tx, name, store.checkpoint(name).await?, to).await
    }
}

/// Commits the work, and then moves the checkpoint.
#[derive(Default)]
pub(crate) struct CommitsWorkFirst;
#[async_trait]
impl Fault for CommitsWorkFirst {
    async fn commit(
        &self,
        store: &MemoryStore,
        tx: MemoryTx,
        name: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        commit_beside(store, tx).await?;
        store.move_checkpoint(name, from, to).await
    }
}

/// Commits a transaction with a checkpoint that nobody asks for.
async fn commit_beside(store: &MemoryStore, tx: MemoryTx) -> Result<(), StoreError> {
    store.commit_with_checkpoint(tx, "beside", Position::START.into(), Position::START.into()).await
}

/// Moves the checkpoint, and forgets the work.
#[derive(Default)]
pub(crate) struct ForgetsWork;
#[async_trait]
impl Fault for ForgetsWork {
    async fn commit(
        &self,
        store: &MemoryStore,
        _: MemoryTx,
        name: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        store.move_checkpoint(name, from, to).await
    }
}

/// Does work outside the transaction.
#[derive(Default)]
pub(crate) struct WorksAtOnce;
impl Fault for WorksAtOnce {
    const WORKS_AT_ONCE: bool = true;
}

/// Never gets back the connection of a transaction that was dropped.
pub(crate) struct LeaksTransactions(Semaphore);
impl Default for LeaksTransactions {
    fn default() -> Self {
        Self(Semaphore::new(10))
    }
}
#[async_trait]
impl Fault for LeaksTransactions {
    async fn begin(&self, store: &MemoryStore) -> Result<MemoryTx, StoreError> {
        self.0.acquire().await.unwrap().forget();
        store.begin().await
    }

    async fn commit(
        &self,
        store: &MemoryStore,
        tx: MemoryTx,
        name: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        self.0.add_permits(1);
        store.commit_with_checkpoint(tx, name, from, to).await
    }
}

/// Lets nobody read while a transaction is open.
#[derive(Default)]
pub(crate) struct LocksReadersOut(AtomicUsize);
#[async_trait]
impl Fault for LocksReadersOut {
    async fn begin(&self, store: &MemoryStore) -> Result<MemoryTx, StoreError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        store.begin().await
    }

    async fn commit(
        &self,
        store: &MemoryStore,
        tx: MemoryTx,
        name: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        self.0.fetch_sub(1, Ordering::SeqCst);
        store.commit_with_checkpoint(tx, name, from, to).await
    }

    async fn read_stream(&self, store: &MemoryStore, read: ReadStream) -> Result<StreamPage, StoreError> {
        while self.0.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        store.read_stream(read).await
    }
}

/// Wakes nobody.
#[derive(Default)]
pub(crate) struct WakesNobody;
#[async_trait]
impl Fault for WakesNobody {
    async fn wait(&self, _: &MemoryStore, _: Position) -> Result<(), StoreError> {
        std::future::pending().await
    }
}

/// Wakes one of those who wait.
#[derive(Default)]
pub(crate) struct WakesOne(Notify);
#[async_trait]
impl Fault for WakesOne {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let outcome = store.append(append).await;
        self.0.notify_one();
        outcome
    }

    async fn wait(&self, store: &MemoryStore, after: Position) -> Result<(), StoreError> {
        if all(store).await.last().is_none_or(|event| event.position <= after) {
            self.0.notified().await;
        }
        Ok(())
    }
}

/// Wakes those who wait when something is appended, and nobody who comes too late for it.
#[derive(Default)]
pub(crate) struct WakesOnlyWhoWaits(Notify);
#[async_trait]
impl Fault for WakesOnlyWhoWaits {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let outcome = store.append(append).await;
        self.0.notify_waiters();
        outcome
    }

    async fn wait(&self, store: &MemoryStore, after: Position) -> Result<(), StoreError> {
        if all(store).await.last().is_none_or(|event| event.position <= after) {
            // Here an append goes unnoticed.
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.0.notified().await;
        }
        Ok(())
    }
}

/// Looks for something now and then, and not at once.
#[derive(Default)]
pub(crate) struct LooksNowAndThen;
#[async_trait]
impl Fault for LooksNowAndThen {
    async fn wait(&self, _: &MemoryStore, _: Position) -> Result<(), StoreError> {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(())
    }
}

/// Has ten connections, of which everybody who waits holds one.
pub(crate) struct WaitsOnAConnection(Semaphore);
impl Default for WaitsOnAConnection {
    fn default() -> Self {
        Self(Semaphore::new(10))
    }
}
#[async_trait]
impl Fault for WaitsOnAConnection {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let _connection = self.0.acquire().await.unwrap();
        store.append(append).await
    }

    async fn wait(&self, store: &MemoryStore, after: Position) -> Result<(), StoreError> {
        let _connection = self.0.acquire().await.unwrap();
        store.wait(after).await
    }
}

/// Has a hundred connections, and loses one with everybody who gives up waiting.
pub(crate) struct LeaksConnections(Semaphore);
impl Default for LeaksConnections {
    fn default() -> Self {
        Self(Semaphore::new(100))
    }
}
#[async_trait]
impl Fault for LeaksConnections {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let _connection = self.0.acquire().await.unwrap();
        store.append(append).await
    }

    async fn wait(&self, store: &MemoryStore, after: Position) -> Result<(), StoreError> {
        self.0.acquire().await.unwrap().forget();
        let waited = store.wait(after).await;
        self.0.add_permits(1);
        waited
    }
}

/// Holds nothing after it was opened again.
#[derive(Default)]
pub(crate) struct ForgetsEverything;
impl Fault for ForgetsEverything {
    fn reopen(&self, _: MemoryStore) -> MemoryStore {
        MemoryStore::new()
    }
}

/// Has checkpoints in memory only.
#[derive(Default)]
pub(crate) struct ForgetsCheckpoints(AtomicBool);
#[async_trait]
impl Fault for ForgetsCheckpoints {
    fn reopen(&self, store: MemoryStore) -> MemoryStore {
        self.0.store(true, Ordering::SeqCst);
        store
    }

    async fn checkpoint(&self, store: &MemoryStore, name: &str) -> Result<Checkpoint, StoreError> {
        if self.0.load(Ordering::SeqCst) { Ok(Checkpoint::START) } else { store.checkpoint(name).await }
    }
}

/// Has the ids of events in memory only.
#[derive(Default)]
pub(crate) struct ForgetsIds(AtomicBool, WritesARepeatAgain);
impl Fault for ForgetsIds {
    fn reopen(&self, store: MemoryStore) -> MemoryStore {
        self.0.store(true, Ordering::SeqCst);
        store
    }

    fn given(&self, append: Append) -> Append {
        if self.0.load(Ordering::SeqCst) { self.1.given(append) } else { append }
    }

    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        self.1.seen(event)
    }
}

/// Counts positions from the number of events on, of which it has seen none.
#[derive(Default)]
pub(crate) struct ForgetsPositions(AtomicBool);
#[async_trait]
impl Fault for ForgetsPositions {
    fn reopen(&self, store: MemoryStore) -> MemoryStore {
        self.0.store(true, Ordering::SeqCst);
        store
    }

    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let answer = store.append(append).await?;
        let position = if self.0.load(Ordering::SeqCst) { Position(1) } else { answer.position };
        Ok(Appended { position, ..answer })
    }

    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        store.read_all(read).await
    }
}

/// Keeps the position of a checkpoint and not its event.
#[derive(Default)]
pub(crate) struct KeepsPositionsOnly;
#[async_trait]
impl Fault for KeepsPositionsOnly {
    async fn checkpoint(&self, store: &MemoryStore, name: &str) -> Result<Checkpoint, StoreError> {
        Ok(store.checkpoint(name).await?.position.into())
    }

    async fn move_checkpoint(
        &self,
        store: &MemoryStore,
        name: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        store.move_checkpoint(name, from.position.into(), to.position.into()).await
    }
}

/// Looks whether the log is the same where a checkpoint goes to, and not where it comes from.
#[derive(Default)]
pub(crate) struct ForgetsWhereItCameFrom;
#[async_trait]
impl Fault for ForgetsWhereItCameFrom {
    async fn move_checkpoint(
        &self,
        store: &MemoryStore,
        name: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        store.move_checkpoint(name, from.position.into(), to).await
    }
}
