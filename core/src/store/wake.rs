//! Waking those who wait for the next event, inside one process.

use std::time::Duration;

use tokio::sync::watch;

use crate::stream::Position;

/// Tells waiting readers of this process how far the store has come.
///
/// It carries hints only: what a reader sees is decided by reading.
#[derive(Debug)]
pub struct Wake(watch::Sender<Position>);

impl Wake {
    /// Nobody has been told of anything yet.
    pub fn new() -> Self {
        Self(watch::Sender::new(Position::START))
    }

    /// Tells that there is an event at `position`.
    pub fn wake(&self, position: Position) {
        self.0.send_if_modified(|last| {
            let later = position > *last;
            if later {
                *last = position;
            }
            // Whoever comes from now on sees the position: we hold the lock.
            later && self.0.receiver_count() > 0
        });
    }

    /// The last position that was told of.
    pub fn last(&self) -> Position {
        *self.0.borrow()
    }

    /// Returns when an event after `after` was told of, or after `at_most`, within which writers in other
    /// processes are noticed by the read that follows.
    ///
    /// # Cancel safety
    ///
    /// Waiting changes nothing.
    pub async fn wait(&self, after: Position, at_most: Duration) {
        let mut receiver = self.0.subscribe();
        // Neither a time-out nor the end of the sender is a failure: the reader looks for itself.
        let _ = tokio::time::timeout(at_most, receiver.wait_for(|last| *last > after)).await;
    }
}

impl Default for Wake {
    fn default() -> Self {
        Self::new()
    }
}
