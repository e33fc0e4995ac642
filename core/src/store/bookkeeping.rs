//! What a store keeps for subscriptions, in memory: for stores that have nothing better, and as the shortest description of
//! what the others do.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use crate::checkpoint::{Advance, Checkpoint};
use crate::dead_letter::{DeadLetter, Parked, ReadDeadLetters};
use crate::error::{StoreError, StoreErrorKind};
use crate::lease::{Heartbeat, Held, NodeId, Roster, Share};
use crate::metadata::EventId;
use crate::partition::Partition;
use crate::stream::Position;
use crate::timer::{DueTimers, Timer};

/// The checkpoints, leases and dead letters of all subscriptions.
///
/// Whether a checkpoint is one of the log is not known here: the store looks before.
#[derive(Debug, Default)]
pub struct Bookkeeping {
    subscriptions: HashMap<String, Books>,
    timers: BTreeMap<(String, EventId), DateTime<Utc>>,
}

#[derive(Debug, Default)]
struct Books {
    /// One for each partition; none before the subscription has begun.
    checkpoints: Vec<Checkpoint>,
    roster: Roster,
    letters: BTreeMap<Position, DeadLetter>,
}

impl Bookkeeping {
    /// See [`Checkpoints::checkpoint_of`](crate::Checkpoints::checkpoint_of).
    ///
    /// # Errors
    ///
    /// See there.
    pub fn checkpoint_of(&self, partition: &Partition) -> Result<Checkpoint, StoreError> {
        let Some(books) = self.subscriptions.get(partition.subscription()) else {
            return Ok(Checkpoint::START);
        };
        books.check_partitions(partition.of(), "read checkpoint")?;
        Ok(books.checkpoints.get(index(partition)).copied().unwrap_or_default())
    }

    /// Whether a step may be made.
    ///
    /// # Errors
    ///
    /// See [`Checkpoints::advance`](crate::Checkpoints::advance).
    pub fn check(&self, step: &Advance, now: DateTime<Utc>) -> Result<(), StoreError> {
        const ADVANCE: &str = "move checkpoint";
        let actual = self.checkpoint_of(&step.partition)?.position;
        let books = self.subscriptions.get(step.partition.subscription());
        let held = books.and_then(|books| books.roster.partitions.get(index(&step.partition)));
        let held = held.copied().unwrap_or_default();
        let may_move = match step.token {
            Some(token) => held.token == token.0 && held.by.is_some(),
            None => !held.is_held(now),
        };
        if !may_move {
            return Err(StoreError::new(StoreErrorKind::LeaseLost, ADVANCE));
        }
        if actual != step.from.position {
            let kind = StoreErrorKind::CheckpointMoved { expected: step.from.position, actual };
            return Err(StoreError::new(kind, ADVANCE));
        }
        Ok(())
    }

    /// See [`Checkpoints::advance`](crate::Checkpoints::advance).
    ///
    /// # Errors
    ///
    /// See there. Nothing is changed then.
    pub fn advance(&mut self, step: Advance, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.check(&step, now)?;
        let books = self.subscriptions.entry(step.partition.subscription().to_owned()).or_default();
        books.begin(step.partition.of());
        books.checkpoints[index(&step.partition)] = step.to;
        for position in &step.settled {
            books.letters.remove(position);
        }
        for letter in step.parked {
            let is_due = letter.failure.is_none();
            let subscription = step.partition.subscription().to_owned();
            let position = letter.event.position;
            books.letters.insert(position, DeadLetter { subscription, letter, parked_at: now, is_due });
        }
        Ok(())
    }

    /// See [`Leases::beat`](crate::Leases::beat).
    ///
    /// # Errors
    ///
    /// See there.
    pub fn beat(&mut self, heartbeat: &Heartbeat, now: DateTime<Utc>) -> Result<Share, StoreError> {
        let books = self.subscriptions.entry(heartbeat.subscription.clone()).or_default();
        books.check_partitions(heartbeat.partitions, "share")?;
        books.begin(heartbeat.partitions);
        Ok(books.roster.beat(heartbeat, now))
    }

    /// See [`Leases::leave`](crate::Leases::leave).
    pub fn leave(&mut self, subscription: &str, node: NodeId) {
        if let Some(books) = self.subscriptions.get_mut(subscription) {
            books.roster.leave(node);
        }
    }

    /// Sets a timer, unless it is set already.
    pub fn set_timer(&mut self, timer: Timer) {
        self.timers.entry((timer.process, timer.event_id)).or_insert(timer.due_at);
    }

    /// Whether a timer is set.
    pub fn has_timer(&self, timer: &Timer) -> bool {
        self.timers.contains_key(&(timer.process.clone(), timer.event_id))
    }

    /// Takes a timer.
    pub fn take_timer(&mut self, timer: &Timer) {
        self.timers.remove(&(timer.process.clone(), timer.event_id));
    }

    /// See [`Timers::due_timers`](crate::Timers::due_timers).
    pub fn due_timers(&self, process: &str, limit: usize, now: DateTime<Utc>) -> DueTimers {
        let own = self.timers.iter().filter(|((of, _), _)| of == process);
        let mut own: Vec<_> = own
            .map(|((process, event_id), due_at)| Timer {
                process: process.clone(),
                event_id: *event_id,
                due_at: *due_at,
            })
            .collect();
        own.sort_by_key(|timer| timer.due_at);
        let next = own.iter().find(|timer| timer.due_at > now).map(|timer| timer.due_at - now);
        own.retain(|timer| timer.due_at <= now);
        own.truncate(limit.max(1));
        DueTimers { timers: own, next: next.and_then(|next| next.to_std().ok()) }
    }

    /// See [`DeadLetters::dead_letters`](crate::DeadLetters::dead_letters).
    pub fn dead_letters(&self, read: &ReadDeadLetters) -> Vec<DeadLetter> {
        let letters =
            self.subscriptions.get(&read.subscription).into_iter().flat_map(|books| books.letters.values());
        letters
            .filter(|letter| letter.letter.event.position > read.after)
            .filter(|letter| read.stream.as_ref().is_none_or(|stream| letter.letter.event.stream == *stream))
            .take(read.limit.max(1))
            .cloned()
            .collect()
    }

    /// See [`DeadLetters::parked`](crate::DeadLetters::parked).
    pub fn parked(&self, subscription: &str, due_max: usize) -> Parked {
        let Some(books) = self.subscriptions.get(subscription) else { return Parked::default() };
        let mut streams = BTreeSet::new();
        let mut due = Vec::new();
        for letter in books.letters.values() {
            // In the order of positions, so the first of a stream is the one that the others wait behind.
            let is_first = !letter.letter.holds_stream || streams.insert(letter.letter.event.stream.clone());
            if is_first && letter.is_due && due.len() < due_max {
                due.push(letter.clone());
            }
        }
        Parked { streams: streams.into_iter().collect(), due, count: books.letters.len() as u64 }
    }

    /// See [`DeadLetters::retry_dead_letter`](crate::DeadLetters::retry_dead_letter).
    pub fn retry_dead_letter(&mut self, subscription: &str, position: Position) -> bool {
        let books = self.subscriptions.get_mut(subscription);
        let letter = books.and_then(|books| books.letters.get_mut(&position));
        letter.map(|letter| letter.is_due = true).is_some()
    }

    /// See [`DeadLetters::drop_dead_letter`](crate::DeadLetters::drop_dead_letter).
    pub fn drop_dead_letter(&mut self, subscription: &str, position: Position) -> bool {
        let books = self.subscriptions.get_mut(subscription);
        books.and_then(|books| books.letters.remove(&position)).is_some()
    }
}

impl Books {
    fn check_partitions(&self, wanted: u32, operation: &'static str) -> Result<(), StoreError> {
        let found = u32::try_from(self.checkpoints.len()).unwrap_or(u32::MAX);
        if found == 0 || found == wanted {
            return Ok(());
        }
        Err(StoreError::new(StoreErrorKind::OtherPartitions { found, wanted }, operation))
    }

    fn begin(&mut self, partitions: u32) {
        let partitions = usize::try_from(partitions).unwrap_or(usize::MAX);
        self.checkpoints.resize(partitions, Checkpoint::START);
        self.roster.partitions.resize(partitions, Held::default());
    }
}

fn index(partition: &Partition) -> usize {
    usize::try_from(partition.index()).unwrap_or(usize::MAX)
}
