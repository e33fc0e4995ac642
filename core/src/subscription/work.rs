//! How a subscription's work and its checkpoint belong together: one after the other, in one transaction, or not beyond the
//! program.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::Utc;

use crate::checkpoint::{Advance, Checkpoint, Checkpoints, Progress, Transactional};
use crate::dead_letter::{DeadLetter, DeadLetters, Parked, ReadDeadLetters};
use crate::error::StoreError;
use crate::lease::{Heartbeat, Leases, NodeId, Share};
use crate::partition::Partition;
use crate::store::bookkeeping::Bookkeeping;
use crate::stream::Position;

#[async_trait]
pub(super) trait Work<Cx>: Send + Sync {
    /// Whether what handlers did stays done when a later event fails.
    fn outlives_a_failure(&self) -> bool;
    /// Where checkpoints, dead letters and leases are.
    fn books(&self) -> &dyn Progress;
    async fn begin(&self) -> Result<Cx, StoreError>;
    async fn roll_back(&self, tx: Cx) -> Result<(), StoreError>;
    async fn commit(&self, tx: Cx, step: Advance) -> Result<(), StoreError>;
    /// Makes a step to which no work belongs.
    async fn advance(&self, step: Advance) -> Result<(), StoreError> {
        self.books().advance(step).await
    }
}

/// The checkpoint is moved after the work.
pub(super) struct AtLeastOnce<S>(pub(super) S);

#[async_trait]
impl<S: Progress> Work<()> for AtLeastOnce<S> {
    fn outlives_a_failure(&self) -> bool {
        true
    }

    fn books(&self) -> &dyn Progress {
        &self.0
    }

    async fn begin(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn roll_back(&self, (): ()) -> Result<(), StoreError> {
        Ok(())
    }

    async fn commit(&self, (): (), step: Advance) -> Result<(), StoreError> {
        self.0.advance(step).await
    }
}

/// Together with the work.
pub(super) struct ExactlyOnce<S>(pub(super) S);

#[async_trait]
impl<S: Transactional> Work<S::Tx> for ExactlyOnce<S> {
    fn outlives_a_failure(&self) -> bool {
        false
    }

    fn books(&self) -> &dyn Progress {
        &self.0
    }

    async fn begin(&self) -> Result<S::Tx, StoreError> {
        self.0.begin().await
    }

    async fn roll_back(&self, tx: S::Tx) -> Result<(), StoreError> {
        self.0.rollback(tx).await
    }

    async fn commit(&self, tx: S::Tx, step: Advance) -> Result<(), StoreError> {
        self.0.commit_with(tx, step).await
    }
}

/// Nothing outlives the program.
#[derive(Default)]
pub(super) struct InMemory(Mutex<Bookkeeping>);

impl InMemory {
    fn books(&self) -> MutexGuard<'_, Bookkeeping> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Work<()> for InMemory {
    fn outlives_a_failure(&self) -> bool {
        true
    }

    fn books(&self) -> &dyn Progress {
        self
    }

    async fn begin(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn roll_back(&self, (): ()) -> Result<(), StoreError> {
        Ok(())
    }

    async fn commit(&self, (): (), step: Advance) -> Result<(), StoreError> {
        Checkpoints::advance(self, step).await
    }
}

#[async_trait]
impl Checkpoints for InMemory {
    async fn checkpoint_of(&self, partition: &Partition) -> Result<Checkpoint, StoreError> {
        self.books().checkpoint_of(partition)
    }

    async fn advance(&self, step: Advance) -> Result<(), StoreError> {
        self.books().advance(step, Utc::now())
    }
}

#[async_trait]
impl DeadLetters for InMemory {
    async fn dead_letters(&self, read: ReadDeadLetters) -> Result<Vec<DeadLetter>, StoreError> {
        Ok(self.books().dead_letters(&read))
    }

    async fn parked(&self, subscription: &str, due_max: usize) -> Result<Parked, StoreError> {
        Ok(self.books().parked(subscription, due_max))
    }

    async fn retry_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError> {
        Ok(self.books().retry_dead_letter(subscription, position))
    }

    async fn drop_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError> {
        Ok(self.books().drop_dead_letter(subscription, position))
    }
}

#[async_trait]
impl Leases for InMemory {
    async fn beat(&self, heartbeat: Heartbeat) -> Result<Share, StoreError> {
        self.books().beat(&heartbeat, Utc::now())
    }

    async fn leave(&self, subscription: &str, node: NodeId) -> Result<(), StoreError> {
        self.books().leave(subscription, node);
        Ok(())
    }
}
