//! Timers: deadlines of processes, kept by the store until their time has come.

use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::checkpoint::Transactional;
use crate::error::StoreError;
use crate::metadata::EventId;

/// A deadline that an event of a process has set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// The name of the process manager.
    pub process: String,
    /// The event that has set it. An event sets one deadline at most.
    pub event_id: EventId,
    /// When its time comes, by the store's clock. In whole microseconds.
    pub due_at: DateTime<Utc>,
}

/// The timers of a process whose time has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueTimers {
    /// Those that are due, the longest due first, up to a limit.
    pub timers: Vec<Timer>,
    /// How long until the time of the next one comes; `None` if there is none.
    pub next: Option<Duration>,
}

/// A store that keeps timers. They are set and taken in its transactions, so a deadline is set together with whatever sets
/// it, and one that is taken has its effect exactly once, however many nodes see that it is due.
pub trait Timers: Transactional {
    /// Sets a timer, when `tx` commits. One that is set already stays as it is.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill. Then `tx` can only be rolled back.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves `tx` to be rolled back.
    fn set_timer(
        &self,
        tx: &mut Self::Tx,
        timer: Timer,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes a timer, when `tx` commits. Returns whether it was there: no other transaction can take it meanwhile.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill. Then `tx` can only be rolled back.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves `tx` to be rolled back.
    fn take_timer(
        &self,
        tx: &mut Self::Tx,
        timer: &Timer,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The timers of a process whose time has come, at most so many.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill.
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    fn due_timers(
        &self,
        process: &str,
        limit: usize,
    ) -> impl Future<Output = Result<DueTimers, StoreError>> + Send;
}
