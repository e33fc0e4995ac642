//! A store that fails now and then, and whose answers to commits are sometimes lost.
//!
//! What a proxy does to the connections of a server, this does to any store, and to each of its calls: so that a handler
//! fails in the midst of its work, and so that a commit has an unknown outcome also where there is no network.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use factum_core::snapshot::{PageFrom, ReadFrom};
use factum_core::store::{
    Append, Appended, CategoryPage, Matches, Page, ReadAll, ReadCategory, ReadMatching, ReadStream,
    StreamPage, Uncommitted,
};
use factum_core::{
    Advance, AppendError, Checkpoint, Checkpoints, DeadLetter, DeadLetters, DueTimers, EventId, EventStore,
    Heartbeat, Leases, NodeId, Parked, Partition, Position, ReadDeadLetters, RecordedEvent, Share, Snapshots,
    StoreError, StoreErrorKind, Timer, Timers, Transactional,
};

use crate::dice::Dice;
use crate::life;

/// How often things go wrong: once in so many calls, or never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Odds {
    /// A call within a transaction fails, and has done nothing.
    pub(crate) failure: Option<u64>,
    /// The answer to a commit is lost, which was done or was not.
    pub(crate) unknown: Option<u64>,
    /// A heartbeat comes so much later at most: then a node that has stood still goes on for a while with leases that others
    /// have by now.
    pub(crate) late_ms_max: Option<u64>,
}

/// A store that works in most cases. It tells what comes of its transactions, see [`Trace`].
#[derive(Clone, Debug)]
pub(crate) struct Flaky<S> {
    store: S,
    luck: Arc<Luck>,
}

/// A transaction of a store.
#[derive(Debug)]
pub(crate) struct Open<Tx> {
    pub(crate) tx: Tx,
    _open: StillOpen,
}

/// What a process says of its transactions. The numbers are told with each change, so that they are known of one that is
/// killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) begun: u64,
    /// How many of them are open.
    pub(crate) open: u64,
    /// Commits that were refused because somebody else has the lease.
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    pub(crate) unknown: u64,
}

#[derive(Debug)]
struct Luck {
    odds: Odds,
    dice: Mutex<Dice>,
    begun: AtomicU64,
    ended: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    unknown: AtomicU64,
}

#[derive(Debug)]
struct StillOpen(Arc<Luck>);

impl Trace {
    fn numbers(self) -> [u64; 5] {
        [self.begun, self.open, self.refused, self.failed, self.unknown]
    }

    pub(crate) fn of(numbers: &[u64]) -> Self {
        let at = |index: usize| numbers.get(index).copied().unwrap_or_default();
        Self { begun: at(0), open: at(1), refused: at(2), failed: at(3), unknown: at(4) }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            begun: self.begun + other.begun,
            open: self.open + other.open,
            refused: self.refused + other.refused,
            failed: self.failed + other.failed,
            unknown: self.unknown + other.unknown,
        }
    }
}

impl<S> Flaky<S> {
    pub(crate) fn new(store: S, odds: Odds, dice: Dice) -> Self {
        let (begun, ended, refused, failed, unknown) = Default::default();
        let dice = Mutex::new(dice);
        Self { store, luck: Arc::new(Luck { odds, dice, begun, ended, refused, failed, unknown }) }
    }

    /// Fails now and then.
    fn chance(&self, operation: &'static str) -> Result<(), StoreError> {
        if !self.luck.comes(self.luck.odds.failure) {
            return Ok(());
        }
        self.luck.count(&self.luck.failed);
        Err(StoreError::because(StoreErrorKind::Unavailable, operation, "it was to fail"))
    }

    fn note<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        if matches!(&outcome, Err(error) if *error.kind() == StoreErrorKind::LeaseLost) {
            self.luck.count(&self.luck.refused);
        }
        outcome
    }

    fn unknown(&self, operation: &'static str) -> StoreError {
        self.luck.count(&self.luck.unknown);
        StoreError::because(StoreErrorKind::OutcomeUnknown, operation, "the answer was to be lost")
    }
}

impl Luck {
    fn comes(&self, once_in: Option<u64>) -> bool {
        once_in.is_some_and(|times| self.dice().once_in(times))
    }

    fn dice(&self) -> MutexGuard<'_, Dice> {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, what: &AtomicU64) {
        what.fetch_add(1, Ordering::SeqCst);
        let number = |of: &AtomicU64| of.load(Ordering::SeqCst);
        // Before what has begun, or more could have ended.
        let ended = number(&self.ended);
        let begun = number(&self.begun);
        let (refused, failed, unknown) = (number(&self.refused), number(&self.failed), number(&self.unknown));
        life::tell(&Trace { begun, open: begun - ended, refused, failed, unknown }.numbers());
    }
}

impl Drop for StillOpen {
    fn drop(&mut self) {
        self.0.count(&self.0.ended);
    }
}

#[async_trait]
impl<S: EventStore> EventStore for Flaky<S> {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.store.append(append).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        self.store.read_stream(read).await
    }

    async fn read_all(&self, read: ReadAll) -> Result<Page, StoreError> {
        self.store.read_all(read).await
    }

    async fn read_matching(&self, read: ReadMatching) -> Result<Matches, StoreError> {
        self.store.read_matching(read).await
    }

    async fn find_event(&self, id: EventId) -> Result<Option<RecordedEvent>, StoreError> {
        self.store.find_event(id).await
    }

    async fn read_category(&self, read: ReadCategory) -> Result<CategoryPage, StoreError> {
        self.store.read_category(read).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        self.store.head().await
    }

    async fn wait(&self, after: Position) -> Result<(), StoreError> {
        self.store.wait(after).await
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        self.store.snapshots()
    }
}

#[async_trait]
impl<S: Checkpoints> Checkpoints for Flaky<S> {
    async fn checkpoint_of(&self, partition: &Partition) -> Result<Checkpoint, StoreError> {
        self.store.checkpoint_of(partition).await
    }

    async fn advance(&self, step: Advance) -> Result<(), StoreError> {
        let is_lost = self.luck.comes(self.luck.odds.unknown);
        if !is_lost || self.luck.comes(Some(2)) {
            self.note(self.store.advance(step).await)?;
        }
        if is_lost { Err(self.unknown("advance")) } else { Ok(()) }
    }
}

#[async_trait]
impl<S: DeadLetters> DeadLetters for Flaky<S> {
    async fn dead_letters(&self, read: ReadDeadLetters) -> Result<Vec<DeadLetter>, StoreError> {
        self.store.dead_letters(read).await
    }

    async fn parked(&self, subscription: &str, due_max: usize) -> Result<Parked, StoreError> {
        self.store.parked(subscription, due_max).await
    }

    async fn retry_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError> {
        self.store.retry_dead_letter(subscription, position).await
    }

    async fn drop_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError> {
        self.store.drop_dead_letter(subscription, position).await
    }
}

#[async_trait]
impl<S: Leases> Leases for Flaky<S> {
    async fn beat(&self, heartbeat: Heartbeat) -> Result<Share, StoreError> {
        let late = self.luck.odds.late_ms_max.filter(|_| self.luck.comes(Some(2)));
        if let Some(late) = late.map(|max| self.luck.dice().millis(1, max)) {
            tokio::time::sleep(late).await;
        }
        self.store.beat(heartbeat).await
    }

    async fn leave(&self, subscription: &str, node: NodeId) -> Result<(), StoreError> {
        self.store.leave(subscription, node).await
    }
}

impl<S: Transactional> Transactional for Flaky<S> {
    type Tx = Open<S::Tx>;

    async fn begin(&self) -> Result<Self::Tx, StoreError> {
        let tx = self.store.begin().await?;
        self.luck.count(&self.luck.begun);
        Ok(Open { tx, _open: StillOpen(Arc::clone(&self.luck)) })
    }

    async fn append_in(&self, tx: &mut Self::Tx, append: Append) -> Result<Uncommitted, AppendError> {
        self.chance("append")?;
        self.store.append_in(&mut tx.tx, append).await
    }

    async fn read_stream_in(&self, tx: &mut Self::Tx, read: ReadStream) -> Result<StreamPage, StoreError> {
        self.chance("read stream")?;
        self.store.read_stream_in(&mut tx.tx, read).await
    }

    async fn read_from_in(&self, tx: &mut Self::Tx, read: ReadFrom) -> Result<PageFrom, StoreError> {
        self.chance("read stream")?;
        self.store.read_from_in(&mut tx.tx, read).await
    }

    async fn commit(&self, Open { tx, _open }: Self::Tx) -> Result<(), StoreError> {
        let is_lost = self.luck.comes(self.luck.odds.unknown);
        if !is_lost || self.luck.comes(Some(2)) {
            self.store.commit(tx).await?;
        } else {
            self.store.rollback(tx).await?;
        }
        if is_lost { Err(self.unknown("commit")) } else { Ok(()) }
    }

    async fn rollback(&self, Open { tx, _open }: Self::Tx) -> Result<(), StoreError> {
        self.store.rollback(tx).await
    }

    async fn hold_checkpoint(
        &self,
        tx: &mut Self::Tx,
        partition: &Partition,
    ) -> Result<Checkpoint, StoreError> {
        self.chance("hold checkpoint")?;
        self.store.hold_checkpoint(&mut tx.tx, partition).await
    }

    async fn advance_in(&self, tx: &mut Self::Tx, step: Advance) -> Result<(), StoreError> {
        self.chance("advance")?;
        self.note(self.store.advance_in(&mut tx.tx, step).await)
    }

    async fn commit_with(&self, Open { tx, _open }: Self::Tx, step: Advance) -> Result<(), StoreError> {
        let is_lost = self.luck.comes(self.luck.odds.unknown);
        if !is_lost || self.luck.comes(Some(2)) {
            self.note(self.store.commit_with(tx, step).await)?;
        } else {
            self.store.rollback(tx).await?;
        }
        if is_lost { Err(self.unknown("commit")) } else { Ok(()) }
    }
}

impl<S: Timers> Timers for Flaky<S> {
    async fn set_timer(&self, tx: &mut Self::Tx, timer: Timer) -> Result<(), StoreError> {
        self.chance("set timer")?;
        self.store.set_timer(&mut tx.tx, timer).await
    }

    async fn take_timer(&self, tx: &mut Self::Tx, timer: &Timer) -> Result<bool, StoreError> {
        self.chance("take timer")?;
        self.store.take_timer(&mut tx.tx, timer).await
    }

    async fn due_timers(&self, process: &str, limit: usize) -> Result<DueTimers, StoreError> {
        self.store.due_timers(process, limit).await
    }
}
