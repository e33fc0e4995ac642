//! What is kept for subscriptions: checkpoints of this log, leases, dead letters, timers.

use async_trait::async_trait;
use factum_core::{
    Advance, Checkpoint, Checkpoints, DeadLetter, DeadLetters, DueTimers, Heartbeat, Leases, NodeId, Parked,
    Partition, Position, ReadDeadLetters, Share, StoreError, StoreErrorKind, Timer, Timers,
};

use crate::{Log, MemoryStore, MemoryTx, now};

const ADVANCE: &str = "move checkpoint";

#[async_trait]
impl Checkpoints for MemoryStore {
    async fn checkpoint_of(&self, partition: &Partition) -> Result<Checkpoint, StoreError> {
        self.read().books.checkpoint_of(partition)
    }

    async fn advance(&self, step: Advance) -> Result<(), StoreError> {
        self.write().advance(step)
    }
}

#[async_trait]
impl DeadLetters for MemoryStore {
    async fn dead_letters(&self, read: ReadDeadLetters) -> Result<Vec<DeadLetter>, StoreError> {
        Ok(self.read().books.dead_letters(&read))
    }

    async fn parked(&self, subscription: &str, due_max: usize) -> Result<Parked, StoreError> {
        Ok(self.read().books.parked(subscription, due_max))
    }

    async fn retry_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError> {
        Ok(self.write().books.retry_dead_letter(subscription, position))
    }

    async fn drop_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError> {
        Ok(self.write().books.drop_dead_letter(subscription, position))
    }
}

#[async_trait]
impl Leases for MemoryStore {
    async fn beat(&self, heartbeat: Heartbeat) -> Result<Share, StoreError> {
        self.write().books.beat(&heartbeat, now())
    }

    async fn leave(&self, subscription: &str, node: NodeId) -> Result<(), StoreError> {
        self.write().books.leave(subscription, node);
        Ok(())
    }
}

impl Timers for MemoryStore {
    async fn set_timer(&self, tx: &mut MemoryTx, timer: Timer) -> Result<(), StoreError> {
        tx.set.push(timer);
        Ok(())
    }

    async fn take_timer(&self, tx: &mut MemoryTx, timer: &Timer) -> Result<bool, StoreError> {
        self.take_turn(tx).await;
        let is_there = self.read().books.has_timer(timer) && !tx.taken.contains(timer);
        if is_there {
            tx.taken.push(timer.clone());
        }
        Ok(is_there)
    }

    async fn due_timers(&self, process: &str, limit: usize) -> Result<DueTimers, StoreError> {
        Ok(self.read().books.due_timers(process, limit, now()))
    }
}

impl Log {
    /// Makes a step, if its checkpoints are of this log.
    pub(crate) fn advance(&mut self, mut step: Advance) -> Result<(), StoreError> {
        self.check_step(&mut step)?;
        self.books.advance(step, now())
    }

    /// Whether a step may be made, which ends at an event of this log then.
    pub(crate) fn check_step(&self, step: &mut Advance) -> Result<(), StoreError> {
        self.books.check(step, now())?;
        step.from.check(self.checkpoint_at(step.from.position).event_id, ADVANCE)?;
        let found = self.checkpoint_at(step.to.position);
        step.to.check(found.event_id, ADVANCE)?;
        step.to = found;
        Ok(())
    }

    /// Whether a checkpoint is where it was when a transaction took hold of it.
    pub(crate) fn check_held(&self, partition: &Partition, held: Checkpoint) -> Result<(), StoreError> {
        let (expected, actual) = (held.position, self.books.checkpoint_of(partition)?.position);
        if expected == actual {
            return Ok(());
        }
        Err(StoreError::new(StoreErrorKind::CheckpointMoved { expected, actual }, ADVANCE))
    }
}

impl MemoryTx {
    /// Notes a step, to be made when the transaction is committed. Two of one partition become one.
    pub(crate) fn stage(&mut self, step: Advance) -> Result<(), StoreError> {
        let is_split_otherwise = |before: &&Advance| {
            let (before, now) = (&before.partition, &step.partition);
            before.subscription() == now.subscription() && before.of() != now.of()
        };
        if let Some(before) = self.steps.iter().find(is_split_otherwise) {
            let (found, wanted) = (before.partition.of(), step.partition.of());
            return Err(StoreError::new(StoreErrorKind::OtherPartitions { found, wanted }, ADVANCE));
        }
        let Some(before) = self.steps.iter_mut().find(|before| before.partition == step.partition) else {
            self.steps.push(step);
            return Ok(());
        };
        if before.to.position != step.from.position {
            let (expected, actual) = (step.from.position, before.to.position);
            return Err(StoreError::new(StoreErrorKind::CheckpointMoved { expected, actual }, ADVANCE));
        }
        before.to = step.to;
        before.parked.extend(step.parked);
        before.settled.extend(step.settled);
        Ok(())
    }
}
