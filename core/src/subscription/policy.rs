//! What a subscription does when a handler fails: how often it tries again, and what comes then.

use std::time::Duration;

/// What happens when a handler fails on an event. It is always chosen: a subscription cannot be made without one.
///
/// ```
/// use std::time::Duration;
///
/// use factum::{OnFailure, Retry};
///
/// // The subscription stops at the first failure, and its error says why.
/// let strict = OnFailure::stop();
/// // Five attempts, then the event is set aside, and the later events of its stream wait behind it in their order.
/// let patient = Retry::times(5).then_park_stream();
/// // Twenty attempts with longer waits, then it stops.
/// let stubborn = Retry::times(20).waits(Duration::from_secs(1), Duration::from_mins(5)).then_stop();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnFailure {
    retry: Retry,
    then: Then,
}

/// What comes when an event was tried often enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Stop,
    /// Whether later events of the stream wait behind it.
    Park {
        holds_stream: bool,
    },
}

/// How often an event is tried, and how long the waits are.
///
/// The waits grow from the first to the longest, twice as long each time, and each is lengthened by chance, up to half as
/// much again, so that those that failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "say what comes then: `then_stop`, `then_park_stream`, or `then_park_event`"]
pub struct Retry {
    attempts: u32,
    first: Duration,
    longest: Duration,
}

impl Retry {
    /// An event is tried so often, at least once. The first wait is 100 ms, the longest a minute.
    pub const fn times(attempts: u32) -> Self {
        let attempts = if attempts == 0 { 1 } else { attempts };
        Self { attempts, first: Duration::from_millis(100), longest: Duration::from_mins(1) }
    }

    /// How long the first wait is, and how long the longest.
    pub const fn waits(mut self, first: Duration, longest: Duration) -> Self {
        self.first = first;
        self.longest = longest;
        self
    }

    /// Then the subscription stops, with the error. Its checkpoint is before the event.
    pub const fn then_stop(self) -> OnFailure {
        OnFailure { retry: self, then: Then::Stop }
    }

    /// Then the event is set aside as a [dead letter](crate::DeadLetter), and the later events of its stream wait behind
    /// it, in their order. Other streams go on.
    pub const fn then_park_stream(self) -> OnFailure {
        OnFailure { retry: self, then: Then::Park { holds_stream: true } }
    }

    /// Then the event is set aside as a [dead letter](crate::DeadLetter), and everything else goes on: for handlers to
    /// whom the order of events does not matter.
    pub const fn then_park_event(self) -> OnFailure {
        OnFailure { retry: self, then: Then::Park { holds_stream: false } }
    }
}

impl OnFailure {
    /// The subscription stops at the first failure, with the error. Its checkpoint is before the event.
    pub const fn stop() -> Self {
        Retry::times(1).then_stop()
    }

    /// As often tried, and then stopped at.
    pub(super) const fn or_stop(self) -> Self {
        self.retry.then_stop()
    }

    pub(super) const fn attempts(&self) -> u32 {
        self.retry.attempts
    }

    pub(super) const fn then(&self) -> Then {
        self.then
    }

    /// How long to wait after so many attempts, at least.
    pub(super) fn wait(&self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(30);
        self.retry.first.saturating_mul(1 << doublings).min(self.retry.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let policy = Retry::times(9).waits(Duration::from_secs(1), Duration::from_secs(5)).then_stop();
        let waits: Vec<_> = (1..=5).map(|attempts| policy.wait(attempts).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5]);
        assert_eq!(policy.wait(u32::MAX).as_secs(), 5);
    }
}
