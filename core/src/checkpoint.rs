//! Checkpoints: how far a subscription has come, kept by the store.

use std::future::Future;

use async_trait::async_trait;

use crate::envelope::RecordedEvent;
use crate::error::{AppendError, StoreError, StoreErrorKind};
use crate::metadata::EventId;
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

/// A store that keeps checkpoints.
#[async_trait]
pub trait Checkpoints: Send + Sync + 'static {
    /// How far the subscription has come; [`Checkpoint::START`] if it has not begun.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; of kind [`ForeignCheckpoint`](crate::StoreErrorKind::ForeignCheckpoint) if the log is not the one
    /// that was read.
    async fn checkpoint(&self, subscription: &str) -> Result<Checkpoint, StoreError>;

    /// Moves the checkpoint from where the caller last saw it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; of kind [`CheckpointMoved`](crate::StoreErrorKind::CheckpointMoved) if its position is elsewhere,
    /// because the same subscription runs twice; of kind
    /// [`ForeignCheckpoint`](crate::StoreErrorKind::ForeignCheckpoint) if the log does not have the event of one of the
    /// two.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown; reading the checkpoint tells.
    async fn move_checkpoint(
        &self,
        subscription: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError>;
}

/// The typed half of a store: what needs its transaction.
///
/// Rows that a projection writes in [`Tx`](Transactional::Tx) and the checkpoint are committed together or not at
/// all, which is what makes the projection exact.
pub trait Transactional: Checkpoints {
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

    /// Moves the checkpoint, see [`Checkpoints::move_checkpoint`], as part of `tx`, and commits it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; where it is not [`OutcomeUnknown`](crate::StoreErrorKind::OutcomeUnknown), `tx` was rolled
    /// back.
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
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
