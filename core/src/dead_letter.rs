//! Dead letters: events that a subscription has set aside because a handler failed on them, and those that wait behind them.
//!
//! A dead letter is a place in the log, an error, and a count of attempts. The event itself stays where it is and is not
//! copied: what is erased from the log later is not kept here. The store records it in the transaction that moves the
//! checkpoint over the event, so there is no moment at which the event is neither ahead of the checkpoint nor here.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::dispatcher::EventFacts;
use crate::error::StoreError;
use crate::stream::{Position, StreamId};

/// An event that a subscription is about to set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDeadLetter {
    /// Which event.
    pub event: EventFacts,
    /// Whether the later events of its stream wait behind it.
    pub holds_stream: bool,
    /// How often it was tried. 0 for one that only waits behind another.
    pub attempts: u32,
    /// Why. `None` for one that only waits behind another.
    pub failure: Option<Failure>,
}

/// Why an event could not be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The [`NAME`](crate::EventHandler::NAME) of the handler that failed.
    pub handler: String,
    /// What it said: its error, and the reasons of that, one after the other.
    pub errors: Vec<String>,
}

/// An event that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// By which subscription.
    pub subscription: String,
    /// The event, and why.
    pub letter: NewDeadLetter,
    /// When it was set aside last, by the store's clock.
    pub parked_at: DateTime<Utc>,
    /// Whether it is to be handled again as soon as it is its turn: it was asked for, or it only waits behind another.
    pub is_due: bool,
}

/// Which dead letters are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a read happens when a store is given it"]
pub struct ReadDeadLetters {
    /// Of which subscription.
    pub subscription: String,
    /// Only those after this position.
    pub after: Position,
    /// Only those of this stream.
    pub stream: Option<StreamId>,
    /// The most dead letters in the answer; at least one is always allowed.
    pub limit: usize,
}

impl ReadDeadLetters {
    /// Those of `subscription`, at most 1,000.
    pub fn of(subscription: impl Into<String>) -> Self {
        Self { subscription: subscription.into(), after: Position::START, stream: None, limit: 1000 }
    }

    /// Only those after `position`.
    pub const fn after(mut self, position: Position) -> Self {
        self.after = position;
        self
    }

    /// Only those of `stream`.
    pub fn stream(mut self, stream: StreamId) -> Self {
        self.stream = Some(stream);
        self
    }

    /// At most so many; at least one is always allowed.
    pub const fn limit(mut self, letters: usize) -> Self {
        self.limit = letters;
        self
    }
}

/// What a subscription has to know of its dead letters to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parked {
    /// The streams whose events wait, in any order.
    pub streams: Vec<StreamId>,
    /// Those that are to be handled again and wait behind no other, in the order of their positions, up to a limit.
    pub due: Vec<DeadLetter>,
    /// How many dead letters there are in all.
    pub count: u64,
}

/// A store that keeps dead letters. They are put there, and are done with, by [`Advance`](crate::Advance).
///
/// To handle one again is the affair of the subscription that has set it aside, wherever that runs: it is asked for here
/// ([`retry_dead_letter`](DeadLetters::retry_dead_letter)), and found within a second.
#[async_trait]
pub trait DeadLetters: Send + Sync + 'static {
    /// Dead letters, in the order of their positions.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill.
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    async fn dead_letters(&self, read: ReadDeadLetters) -> Result<Vec<DeadLetter>, StoreError>;

    /// What a subscription has to know to go on; at most `due_max` letters that are due.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill.
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    async fn parked(&self, subscription: &str, due_max: usize) -> Result<Parked, StoreError>;

    /// Asks that the subscription handles the event at `position` again; those that wait behind it follow in their order.
    /// Returns whether there is such a dead letter.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown; it may be repeated.
    async fn retry_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError>;

    /// Gives up the event at `position`: the subscription never handles it. Those that wait behind it follow in their
    /// order. Returns whether there was such a dead letter.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown; it may be repeated.
    async fn drop_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError>;
}
