//! Connections at hand: those that were used a moment ago are kept from the pool for whoever comes next.
//!
//! The pool asks a connection that comes back whether it is alive, which is a round trip for each statement, and gives out the
//! one that has rested longest, whose process in the server has to fetch everything into the processor's caches anew.
//!
//! The pool's other users are not to wait for what lies here. So at most half of the connections does, none while a call of the
//! store waits for the pool, none for longer than a moment, and none that was not in the pool for a second.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::database::Lease;

/// For how long a connection lies here.
const REST: Duration = Duration::from_millis(5);

/// After how long it goes through the pool, which replaces what is too old.
const ROUND: Duration = Duration::from_secs(1);

/// The connections at hand.
pub(crate) struct Spare {
    most: usize,
    /// How many calls wait for the pool.
    waiting: AtomicUsize,
    at_hand: Mutex<AtHand>,
}

#[derive(Default)]
struct AtHand {
    /// The one that came last is the last.
    resting: Vec<Resting>,
    /// Whether somebody sees to it that none rests for too long.
    is_watched: bool,
}

struct Resting {
    lease: Lease,
    since: Instant,
}

impl Spare {
    /// Of a pool with so many connections.
    pub(crate) fn of(connections: u32) -> Self {
        let most = usize::try_from(connections / 2).unwrap_or_default();
        Self { most, waiting: AtomicUsize::new(0), at_hand: Mutex::default() }
    }

    fn at_hand(&self) -> MutexGuard<'_, AtHand> {
        self.at_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last.
    pub(crate) fn take(&self) -> Option<Lease> {
        let Resting { lease, since } = self.at_hand().resting.pop()?;
        if since.elapsed() < ROUND {
            return Some(lease);
        }
        // The process stood still meanwhile, so it is for the pool to ask whether the connection is alive.
        lease.put_back();
        None
    }

    /// Keeps a connection on which nothing is open, unless it has to go to the pool.
    pub(crate) fn keep(self: &Arc<Self>, lease: Lease) -> Result<(), Lease> {
        let Ok(runtime) = Handle::try_current() else { return Err(lease) };
        let mut at_hand = self.at_hand();
        let has_room = at_hand.resting.len() < self.most && self.waiting.load(Ordering::SeqCst) == 0;
        if !has_room || lease.age() >= ROUND {
            return Err(lease);
        }
        at_hand.resting.push(Resting { lease, since: Instant::now() });
        let is_watched = mem::replace(&mut at_hand.is_watched, true);
        // A runtime that is about to end drops the watcher at once, who says so.
        drop(at_hand);
        if !is_watched {
            runtime.spawn(watch(Watcher { spare: Arc::clone(self), has_ended: false }));
        }
        Ok(())
    }

    /// For as long as the guard is there, somebody waits for the pool.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Waiting(self)
    }
}

/// See [`Spare::wait`].
pub(crate) struct Waiting<'a>(&'a Spare);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Who sees to it that none rests for too long. Its runtime may end before it has, and then somebody else has to.
struct Watcher {
    spare: Arc<Spare>,
    has_ended: bool,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if !self.has_ended {
            self.spare.at_hand().is_watched = false;
        }
    }
}

/// Gives back what has rested long enough, until nothing is left.
async fn watch(mut watcher: Watcher) {
    while !watcher.has_ended {
        tokio::time::sleep(REST).await;
        let mut at_hand = watcher.spare.at_hand();
        for resting in at_hand.resting.extract_if(.., |resting| resting.since.elapsed() >= REST) {
            resting.lease.put_back();
        }
        // Said together with the look, so that nothing is kept in between for which nobody looks.
        at_hand.is_watched = !at_hand.resting.is_empty();
        let has_ended = !at_hand.is_watched;
        drop(at_hand);
        watcher.has_ended = has_ended;
    }
}
