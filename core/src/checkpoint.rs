//! Checkpoints: how far a subscription has come, kept by the store.

use std::future::Future;

use async_trait::async_trait;

use crate::dead_letter::{DeadLetters, NewDeadLetter};
use crate::envelope::RecordedEvent;
use crate::error::{AppendError, StoreError, StoreErrorKind};
use crate::lease::{Leases, Token};
use crate::metadata::EventId;
use crate::partition::Partition;
use crate::snapshot::{PageFrom, ReadFrom};
use crate::store::{Append, ReadStream, StreamPage, Uncommitted};
use crate::stream::Position;

/// How far a reader has come: a position, and the event by which the log is known again.
///
/// The position alone would fit any log. A log that was restored from a backup, or that failed over to a copy which
/// lacked the last commits, gives the same positions to other events; the id tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Checkpoint {
    /// Everything up to here was seen.
    pub position: Position,
    /// The last event of the log at or below the position, whether or not it passed the reader's filter. `None` if there
    /// is none, or if it is not known: then the log is not checked.
    pub event_id: Option<EventId>,
}

impl Checkpoint {
    /// Before the first event.
    pub const START: Self = Self { position: Position::START, event_id: None };

    /// For stores: refuses a checkpoint that was made from another log than the one whose last event at or below its
    /// position is `found`.
    ///
    /// # Errors
    ///
    /// Of kind [`ForeignCheckpoint`](StoreErrorKind::ForeignCheckpoint).
    pub fn check(self, found: Option<EventId>, operation: &'static str) -> Result<(), StoreError> {
        if self.event_id.is_none_or(|id| found == Some(id)) {
            return Ok(());
        }
        Err(StoreError::new(StoreErrorKind::ForeignCheckpoint { checkpoint: self, found }, operation))
    }
}

/// A place in any log.
impl From<Position> for Checkpoint {
    fn from(position: Position) -> Self {
        Self { position, event_id: None }
    }
}

impl From<&RecordedEvent> for Checkpoint {
    fn from(event: &RecordedEvent) -> Self {
        Self { position: event.position, event_id: Some(event.id) }
    }
}

/// A step of a subscription: where its checkpoint is moved to, and what else is kept with it. All of it, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a step is made when a store is given it"]
pub struct Advance {
    /// Of which part of which subscription.
    pub partition: Partition,
    /// Where the caller last saw the checkpoint.
    pub from: Checkpoint,
    /// Where it is moved to; it may stay where it is.
    pub to: Checkpoint,
    /// The token of the lease under which it is moved. Without one, nobody else may hold a lease.
    pub token: Option<Token>,
    /// The events that are set aside. One that is there already is replaced.
    pub parked: Vec<NewDeadLetter>,
    /// The positions of those that are done with.
    pub settled: Vec<Position>,
}

impl Advance {
    /// The checkpoint is moved, and nothing else.
    pub const fn new(partition: Partition, from: Checkpoint, to: Checkpoint) -> Self {
        Self { partition, from, to, token: None, parked: Vec::new(), settled: Vec::new() }
    }
}

/// A store that keeps checkpoints.
#[async_trait]
pub trait Checkpoints: Send + Sync + 'static {
    /// How far a part of a subscription has come; [`Checkpoint::START`] if it has not begun.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; of kind [`ForeignCheckpoint`](StoreErrorKind::ForeignCheckpoint) if the log is not the one that was
    /// read; of kind [`OtherPartitions`](StoreErrorKind::OtherPartitions) if the subscription's work is split otherwise.
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    async fn checkpoint_of(&self, partition: &Partition) -> Result<Checkpoint, StoreError>;

    /// Moves a checkpoint from where the caller last saw it, and keeps what belongs to that.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; of kind [`CheckpointMoved`](StoreErrorKind::CheckpointMoved) if its position is elsewhere, because
    /// the same subscription runs twice; of kind [`LeaseLost`](StoreErrorKind::LeaseLost) if somebody else holds the lease;
    /// of kind [`ForeignCheckpoint`](StoreErrorKind::ForeignCheckpoint) if the log does not have the event of one of the
    /// two; of kind [`OtherPartitions`](StoreErrorKind::OtherPartitions) if the subscription's work is split otherwise.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown; reading the checkpoint tells.
    async fn advance(&self, step: Advance) -> Result<(), StoreError>;

    /// How far a subscription has come whose work is not split, see [`checkpoint_of`](Checkpoints::checkpoint_of).
    ///
    /// # Errors
    ///
    /// See there.
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    async fn checkpoint(&self, subscription: &str) -> Result<Checkpoint, StoreError> {
        self.checkpoint_of(&subscription.into()).await
    }

    /// Moves the checkpoint of a subscription whose work is not split, see [`advance`](Checkpoints::advance).
    ///
    /// # Errors
    ///
    /// See there.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown; reading the checkpoint tells.
    async fn move_checkpoint(
        &self,
        subscription: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        self.advance(Advance::new(subscription.into(), from, to)).await
    }
}

/// All that a store keeps for subscriptions.
pub trait Progress: Checkpoints + DeadLetters + Leases {}

impl<S: Checkpoints + DeadLetters + Leases + ?Sized> Progress for S {}

/// The typed half of a store: what needs its transaction.
///
/// Rows that a projection writes in [`Tx`](Transactional::Tx) and the checkpoint are committed together or not at
/// all, which is what makes the projection exact.
pub trait Transactional: Progress {
    /// The store's transaction. Dropping it rolls it back.
    type Tx: Send + 'static;

    /// Begins a transaction.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill.
    fn begin(&self) -> impl Future<Output = Result<Self::Tx, StoreError>> + Send;

    /// Appends as part of `tx`: recorded when it commits, or not at all.
    ///
    /// # Errors
    ///
    /// [`AppendError`]. A conflict leaves `tx` as it was; after an error of the store it can only be rolled back.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the append is part of `tx`: roll it back.
    fn append_in(
        &self,
        tx: &mut Self::Tx,
        append: Append,
    ) -> impl Future<Output = Result<Uncommitted, AppendError>> + Send;

    /// Reads a stream as `tx` sees it: with what was appended in it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves `tx` to be rolled back.
    fn read_stream_in(
        &self,
        tx: &mut Self::Tx,
        read: ReadStream,
    ) -> impl Future<Output = Result<StreamPage, StoreError>> + Send;

    /// Reads a stream from a state on that is known already, see [`Snapshots::read_from`](crate::Snapshots::read_from), as `tx` sees it. A store that keeps
    /// no snapshots reads [all of it](ReadFrom::from_the_beginning).
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves `tx` to be rolled back.
    fn read_from_in(
        &self,
        tx: &mut Self::Tx,
        read: ReadFrom,
    ) -> impl Future<Output = Result<PageFrom, StoreError>> + Send;

    /// Commits `tx`, and wakes those who wait for what was appended in it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; where it is not [`OutcomeUnknown`](crate::StoreErrorKind::OutcomeUnknown), `tx` was rolled back.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown: all of `tx`, or nothing.
    fn commit(&self, tx: Self::Tx) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Rolls `tx` back, and waits for it. Dropping it does the same and says nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked. The transaction is rolled back all the same.
    ///
    /// # Cancel safety
    ///
    /// It is rolled back.
    fn rollback(&self, tx: Self::Tx) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Reads a checkpoint, see [`Checkpoints::checkpoint_of`], and holds it there: until `tx` ends nobody else moves it, or
    /// `tx` is not committed. One that has not begun is not held.
    ///
    /// # Errors
    ///
    /// [`StoreError`], as there.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves `tx` to be rolled back.
    fn hold_checkpoint(
        &self,
        tx: &mut Self::Tx,
        partition: &Partition,
    ) -> impl Future<Output = Result<Checkpoint, StoreError>> + Send;

    /// Makes a step, see [`Checkpoints::advance`], as part of `tx`, which goes on.
    ///
    /// # Errors
    ///
    /// [`StoreError`], of `tx` now or when it is committed. Then it can only be rolled back.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves `tx` to be rolled back.
    fn advance_in(
        &self,
        tx: &mut Self::Tx,
        step: Advance,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes a step, see [`Checkpoints::advance`], as part of `tx`, and commits it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; where it is not [`OutcomeUnknown`](crate::StoreErrorKind::OutcomeUnknown), `tx` was rolled
    /// back.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown: all of `tx` and the step, or nothing.
    fn commit_with(&self, tx: Self::Tx, step: Advance)
    -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Moves the checkpoint of a subscription whose work is not split as part of `tx`, and commits it, see
    /// [`commit_with`](Transactional::commit_with).
    ///
    /// # Errors
    ///
    /// See there.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown: all of `tx` and the checkpoint, or nothing.
    fn commit_with_checkpoint(
        &self,
        tx: Self::Tx,
        subscription: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.commit_with(tx, Advance::new(subscription.into(), from, to))
    }
}
