//! How a subscription is: what its runners note, and what is told to those who ask.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio::time::Instant;

use super::SubscriptionError;
use crate::envelope::RecordedEvent;
use crate::stream::Position;

/// Over how much time the rate is measured, and how often it is noted.
const WINDOW: Duration = Duration::from_secs(10);
const SAMPLE: Duration = Duration::from_secs(1);

/// How a subscription is, see [`Subscription::health`](crate::Subscription::health).
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// Its name.
    pub subscription: String,
    /// Up to here everything was handled or set aside, in all partitions.
    pub position: Position,
    /// The position of the last event of the store.
    pub head: Position,
    /// How many positions lie between the two: no less than the events that are still to be handled, and more where some
    /// belong to others.
    pub behind: u64,
    /// How old the first event is that is still to be handled; zero if there is none. The clocks of the store and of this
    /// process are compared, so it is as exact as they are.
    pub behind_for: Duration,
    /// How many events this process has handled a second, over the last ten seconds.
    pub rate: f64,
    /// How many dead letters there are, as of the last look.
    pub dead_letters: u64,
    /// The partitions that this process works on, or has worked on.
    pub partitions: Vec<PartitionHealth>,
    /// Why it stopped by itself, and when.
    pub ended: Option<(DateTime<Utc>, String)>,
}

impl Health {
    pub(super) fn note_oldest(&mut self, event: Option<&RecordedEvent>) {
        let age = event.map(|event| (Utc::now() - event.recorded_at).to_std().unwrap_or_default());
        self.behind_for = age.unwrap_or_default();
    }

    /// Whether this process works for it and nothing is in its way.
    pub fn is_well(&self) -> bool {
        self.ended.is_none()
            && !self.partitions.is_empty()
            && self.partitions.iter().all(|partition| partition.trouble.is_none())
    }
}

/// How a part of a subscription is, in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionHealth {
    /// Which one, from 0 on.
    pub index: u32,
    /// Whether this process works on it now.
    pub is_running: bool,
    /// Up to here everything was handled or set aside.
    pub position: Position,
    /// What is in its way, since when: a handler that fails and is tried again, or a store that cannot be reached.
    pub trouble: Option<(DateTime<Utc>, String)>,
}

/// What is noted of all partitions of a subscription, by all its runners in this process.
#[derive(Debug, Default)]
pub(super) struct Board {
    notes: Mutex<Notes>,
    changed: watch::Sender<()>,
    handled: AtomicU64,
}

#[derive(Debug, Default)]
struct Notes {
    partitions: BTreeMap<u32, PartitionHealth>,
    dead_letters: u64,
    ended: Option<(DateTime<Utc>, String)>,
    /// How many events had been handled when.
    samples: VecDeque<(Instant, u64)>,
}

impl Board {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a runner that begins.
    pub(super) fn take(self: &Arc<Self>, index: u32) -> Seat {
        let health = PartitionHealth { index, is_running: true, position: Position::START, trouble: None };
        let mut notes = self.notes();
        notes.ended = None;
        notes.partitions.insert(index, health);
        Seat { board: Arc::clone(self), index, sampled: None }
    }

    /// Told of every change.
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// How far a partition has come that this process works on.
    pub(super) fn reached(&self, index: u32) -> Option<Position> {
        let notes = self.notes();
        notes.partitions.get(&index).filter(|health| health.is_running).map(|health| health.position)
    }

    pub(super) fn note_end(&self, error: &SubscriptionError) {
        let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
        self.notes().ended = Some((Utc::now(), format!("{error}{source}")));
        self.changed.send_replace(());
    }

    pub(super) fn health(&self, subscription: &str, position: Position, head: Position) -> Health {
        let notes = self.notes();
        let handled = self.handled.load(Ordering::Relaxed);
        let since = notes.samples.iter().find(|(time, _)| time.elapsed() <= WINDOW + SAMPLE);
        #[expect(clippy::cast_precision_loss, reason = "a rate is for reading")]
        let rate = since.map_or(0.0, |(time, before)| {
            (handled - before) as f64 / time.elapsed().max(Duration::from_millis(1)).as_secs_f64()
        });
        Health {
            subscription: subscription.to_owned(),
            position,
            head,
            behind: head.0.saturating_sub(position.0),
            behind_for: Duration::ZERO,
            rate,
            dead_letters: notes.dead_letters,
            partitions: notes.partitions.values().cloned().collect(),
            ended: notes.ended.clone(),
        }
    }
}

/// A runner's place on the board. Dropped, it says that nobody runs there any more.
pub(super) struct Seat {
    board: Arc<Board>,
    index: u32,
    sampled: Option<Instant>,
}

impl Seat {
    pub(super) fn note_handled(&self) {
        self.board.handled.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_progress(&mut self, position: Position, dead_letters: u64) {
        let mut notes = self.board.notes();
        notes.dead_letters = dead_letters;
        if self.sampled.is_none_or(|sampled| sampled.elapsed() >= SAMPLE) {
            let now = Instant::now();
            self.sampled = Some(now);
            notes.samples.push_back((now, self.board.handled.load(Ordering::Relaxed)));
            while notes.samples.front().is_some_and(|(time, _)| now - *time > WINDOW) {
                notes.samples.pop_front();
            }
        }
        if let Some(health) = notes.partitions.get_mut(&self.index) {
            health.trouble = None;
            if std::mem::replace(&mut health.position, position) != position {
                drop(notes);
                self.board.changed.send_replace(());
            }
        }
    }

    pub(super) fn note_trouble(&self, trouble: Option<String>) {
        let mut notes = self.board.notes();
        if let Some(health) = notes.partitions.get_mut(&self.index) {
            let since = health.trouble.take().map_or_else(Utc::now, |(since, _)| since);
            health.trouble = trouble.map(|text| (since, text));
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(health) = self.board.notes().partitions.get_mut(&self.index) {
            health.is_running = false;
        }
        self.board.changed.send_replace(());
    }
}
