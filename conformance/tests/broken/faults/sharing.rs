//! Faults of leases, of dead letters and of timers.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use factum_core::{
    Advance, Checkpoint, Checkpoints, DeadLetter, DeadLetters, DueTimers, Heartbeat, Lease, Leases, NodeId,
    Parked, Partition, Position, ReadDeadLetters, Share, StoreError, Timer, Timers, Token, Transactional,
};
use factum_memory::{MemoryStore, MemoryTx};

use crate::store::Fault;

/// Has one checkpoint for all partitions.
#[derive(Default)]
pub(crate) struct HasOneCheckpoint;
#[async_trait]
impl Fault for HasOneCheckpoint {
    async fn checkpoint_of(
        &self,
        store: &MemoryStore,
        partition: &Partition,
    ) -> Result<Checkpoint, StoreError> {
        let mut last = Checkpoint::START;
        for partition in Partition::all(partition.subscription(), partition.of()) {
            let checkpoint = store.checkpoint_of(&partition).await?;
            last = if checkpoint.position > last.position { checkpoint } else { last };
        }
        Ok(last)
    }
}

/// Takes from those who are there to give to those who come.
#[derive(Default)]
pub(crate) struct RobsNodes;
#[async_trait]
impl Fault for RobsNodes {
    async fn beat(&self, store: &MemoryStore, heartbeat: Heartbeat) -> Result<Share, StoreError> {
        let leases = Partition::all(&heartbeat.subscription, heartbeat.partitions);
        let share = store.beat(heartbeat).await?;
        if share.leases.is_empty() {
            let leases = leases.map(|partition| Lease { partition, token: Token(1) }).collect();
            return Ok(Share { leases, surplus: 0 });
        }
        Ok(share)
    }
}

/// Moves checkpoints whoever asks.
#[derive(Default)]
pub(crate) struct ChecksNoToken;
#[async_trait]
impl Fault for ChecksNoToken {
    async fn advance(&self, store: &MemoryStore, step: Advance) -> Result<(), StoreError> {
        let subscription = step.partition.subscription().to_owned();
        let node = NodeId::new();
        match store.advance(step.clone()).await {
            Err(_) => {
                // Whoever has it is thrown out, and the step is made.
                let far = Duration::from_secs(1);
                let partitions = step.partition.of();
                let given_back = Vec::new();
                let heartbeat = Heartbeat { subscription, partitions, node, lease_for: far, given_back };
                let _ = store.beat(heartbeat).await;
                Ok(())
            }
            moved => moved,
        }
    }
}

/// Changes the token with each heartbeat.
#[derive(Default)]
pub(crate) struct ChangesTokens(Mutex<u64>);
#[async_trait]
impl Fault for ChangesTokens {
    async fn beat(&self, store: &MemoryStore, heartbeat: Heartbeat) -> Result<Share, StoreError> {
        let mut share = store.beat(heartbeat).await?;
        let mut beats = self.0.lock().unwrap();
        *beats += 1;
        for lease in &mut share.leases {
            lease.token.0 += *beats;
        }
        Ok(share)
    }
}

/// Does not hear that a node leaves.
#[derive(Default)]
pub(crate) struct IgnoresWhoLeaves;
#[async_trait]
impl Fault for IgnoresWhoLeaves {
    async fn leave(&self, _: &MemoryStore, _: &str, _: NodeId) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Gives each node all of it.
#[derive(Default)]
pub(crate) struct GivesAllToAll;
#[async_trait]
impl Fault for GivesAllToAll {
    async fn beat(&self, store: &MemoryStore, heartbeat: Heartbeat) -> Result<Share, StoreError> {
        let all = Partition::all(&heartbeat.subscription, heartbeat.partitions);
        let leases = all.map(|partition| Lease { partition, token: Token(1) }).collect();
        store.beat(heartbeat).await?;
        Ok(Share { leases, surplus: 0 })
    }
}

/// Splits the work as whoever asks last wants it.
#[derive(Default)]
pub(crate) struct SplitsAnew;
#[async_trait]
impl Fault for SplitsAnew {
    async fn checkpoint_of(
        &self,
        store: &MemoryStore,
        partition: &Partition,
    ) -> Result<Checkpoint, StoreError> {
        Ok(store.checkpoint_of(partition).await.unwrap_or_default())
    }
}

/// Keeps the checkpoint of a step, and forgets the rest of it.
#[derive(Default)]
pub(crate) struct ForgetsWhatIsParked;
#[async_trait]
impl Fault for ForgetsWhatIsParked {
    async fn advance(&self, store: &MemoryStore, step: Advance) -> Result<(), StoreError> {
        store.advance(Advance { parked: Vec::new(), ..step }).await
    }
}

/// Parks what a step names, whether or not the step is made.
#[derive(Default)]
pub(crate) struct ParksWhatIsRefused;
#[async_trait]
impl Fault for ParksWhatIsRefused {
    async fn advance(&self, store: &MemoryStore, step: Advance) -> Result<(), StoreError> {
        let at = store.checkpoint_of(&step.partition).await?;
        let outcome = store.advance(step.clone()).await;
        if outcome.is_err() {
            store.advance(Advance { from: at, to: at, ..step }).await?;
        }
        outcome
    }
}

/// Has everything due that was asked for, also what waits behind another.
#[derive(Default)]
pub(crate) struct HasWhatWaitsDue;
#[async_trait]
impl Fault for HasWhatWaitsDue {
    async fn parked(
        &self,
        store: &MemoryStore,
        subscription: &str,
        due_max: usize,
    ) -> Result<Parked, StoreError> {
        let parked = store.parked(subscription, due_max).await?;
        let letters = store.dead_letters(ReadDeadLetters::of(subscription)).await?;
        let due = letters.into_iter().filter(|letter| letter.is_due).take(due_max).collect();
        Ok(Parked { due, ..parked })
    }
}

/// Lets every dead letter hold its stream.
#[derive(Default)]
pub(crate) struct HoldsEveryStream;
#[async_trait]
impl Fault for HoldsEveryStream {
    async fn advance(&self, store: &MemoryStore, mut step: Advance) -> Result<(), StoreError> {
        step.parked.iter_mut().for_each(|letter| letter.holds_stream = true);
        store.advance(step).await
    }
}

/// Keeps what was parked first.
#[derive(Default)]
pub(crate) struct ParksOnce;
#[async_trait]
impl Fault for ParksOnce {
    async fn advance(&self, store: &MemoryStore, mut step: Advance) -> Result<(), StoreError> {
        let known = store.dead_letters(ReadDeadLetters::of(step.partition.subscription())).await?;
        let is_known = |at: Position| known.iter().any(|letter| letter.letter.event.position == at);
        step.parked.retain(|letter| !is_known(letter.event.position));
        store.advance(step).await
    }
}

/// Drops what is asked for, and says so, and keeps it.
#[derive(Default)]
pub(crate) struct DropsNothing;
#[async_trait]
impl Fault for DropsNothing {
    async fn drop_dead_letter(
        &self,
        store: &MemoryStore,
        subscription: &str,
        at: Position,
    ) -> Result<bool, StoreError> {
        let letters: Vec<DeadLetter> = store.dead_letters(ReadDeadLetters::of(subscription)).await?;
        Ok(letters.iter().any(|letter| letter.letter.event.position == at))
    }
}

/// Sets timers at once.
#[derive(Default)]
pub(crate) struct SetsTimersAtOnce;
#[async_trait]
impl Fault for SetsTimersAtOnce {
    async fn set_timer(&self, store: &MemoryStore, _: &mut MemoryTx, timer: Timer) -> Result<(), StoreError> {
        let mut own = store.begin().await?;
        store.set_timer(&mut own, timer).await?;
        store.commit(own).await
    }
}

/// Has every timer due, the last first.
#[derive(Default)]
pub(crate) struct ReversesTimers;
#[async_trait]
impl Fault for ReversesTimers {
    async fn due_timers(
        &self,
        store: &MemoryStore,
        process: &str,
        limit: usize,
    ) -> Result<DueTimers, StoreError> {
        let mut due = store.due_timers(process, limit).await?;
        due.timers.reverse();
        Ok(due)
    }
}

/// Never has a timer due.
#[derive(Default)]
pub(crate) struct StopsTheClock;
#[async_trait]
impl Fault for StopsTheClock {
    async fn due_timers(
        &self,
        store: &MemoryStore,
        process: &str,
        limit: usize,
    ) -> Result<DueTimers, StoreError> {
        let due = store.due_timers(process, limit).await?;
        Ok(DueTimers { timers: Vec::new(), next: due.next })
    }
}

/// Sets a timer anew that is set.
#[derive(Default)]
pub(crate) struct SetsTimersAnew;
#[async_trait]
impl Fault for SetsTimersAnew {
    async fn set_timer(
        &self,
        store: &MemoryStore,
        tx: &mut MemoryTx,
        timer: Timer,
    ) -> Result<(), StoreError> {
        store.take_timer(tx, &timer).await?;
        let mut taken = store.begin().await?;
        std::mem::swap(tx, &mut taken);
        store.commit(taken).await?;
        store.set_timer(tx, timer).await
    }
}

/// Takes a timer at once, whatever becomes of the transaction.
#[derive(Default)]
pub(crate) struct TakesTimersAtOnce;
#[async_trait]
impl Fault for TakesTimersAtOnce {
    async fn take_timer(
        &self,
        store: &MemoryStore,
        _: &mut MemoryTx,
        timer: &Timer,
    ) -> Result<bool, StoreError> {
        let mut own = store.begin().await?;
        let is_taken = store.take_timer(&mut own, timer).await?;
        store.commit(own).await?;
        Ok(is_taken)
    }
}

/// Says of every timer that it was there.
#[derive(Default)]
pub(crate) struct TakesTimersTwice;
#[async_trait]
impl Fault for TakesTimersTwice {
    async fn take_timer(
        &self,
        store: &MemoryStore,
        tx: &mut MemoryTx,
        timer: &Timer,
    ) -> Result<bool, StoreError> {
        store.take_timer(tx, timer).await?;
        Ok(true)
    }
}
