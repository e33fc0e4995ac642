//! Checkpoints: how far a subscription has come, kept by the store.

use std::future::Future;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::stream::Position;

/// A store that keeps checkpoints.
#[async_trait]
pub trait Checkpoints: Send + Sync + 'static {
    /// How far the subscription has come; [`Position::START`] if it has not begun.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill.
    async fn checkpoint(&self, subscription: &str) -> Result<Position, StoreError>;

    /// Moves the checkpoint from where the caller last saw it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; of kind [`CheckpointMoved`](crate::StoreErrorKind::CheckpointMoved) if it is elsewhere,
    /// because the same subscription runs twice.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown; reading the checkpoint tells.
    async fn move_checkpoint(
        &self,
        subscription: &str,
        from: Position,
        to: Position,
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
        from: Position,
        to: Position,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
