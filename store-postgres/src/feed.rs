//! The feed: how far it may be read, and why nothing is ever skipped.
//!
//! Positions come from a sequence, which gives out its numbers before the transactions that draw them commit. So a reader
//! can see position 7 before 6; if it goes on after 7, it never sees 6. Every event store on Postgres has to answer this,
//! and most lose events here.
//!
//! # What is done
//!
//! **Appends.** An append takes a *shared* advisory lock in a key of our own before it draws a position, and holds it until
//! its transaction ends (`factum_begin_append`, `sql/append_one.sql`). Shared locks do not wait for each other, so appends do not
//! either.
//!
//! **Readers.** A [`Tracker`] knows a position, *settled*, below which nothing will ever appear. To move it on, one
//! statement (`head.sql`) looks at what follows:
//!
//! 1. As far as positions follow each other without a hole, they are settled: there is nothing between two neighbours. Where
//!    little comes, `next.sql` looks only so far, and brings the events, which all who follow then have from memory.
//! 2. At a hole, the statement also says who holds the lock now, and what the greatest position was: `head`.
//! 3. When all of those have ended, everything up to `head` is settled.
//!
//! Then the events up to *settled* are read, by a statement that begins afterwards, or by the same statement where there was
//! no hole.
//!
//! # Why it is right
//!
//! Claim: when *settled* has reached `p`, whatever statement begins afterwards sees every event at or below `p` that is or
//! ever will be committed.
//!
//! - Without a hole (step 1) the positions up to `p` are all taken by committed events, and a position is never taken twice:
//!   it is the primary key, and the sequence does not give it out again.
//! - Let `x < head` be a position that the statement of step 2 did not see, drawn by the transaction `T`.
//!   - The sequence has `CACHE 1`, so it gives out its numbers in order, whoever asks. The event at `head` had drawn its
//!     number before it was committed, and it was committed before the snapshot of the statement. So `x` was drawn before
//!     the snapshot was taken, and `T` had the lock before that.
//!   - The list of locks is not part of the snapshot: `pg_locks` reads the lock table itself while the statement runs, which
//!     is after the snapshot was taken. So `T` is in the list, or has let go of the lock by then.
//!   - A transaction that commits becomes visible first and lets go of its locks afterwards (`CommitTransaction` calls
//!     `ProcArrayEndTransaction` before `ResourceOwnerRelease` of the locks). So once `T` is not in the list, it is committed
//!     and visible to every snapshot taken from then on, or it is dead and `x` stays empty for ever.
//! - What is drawn after the list was made is greater than `head`, so later appends need not be waited for: the wait ends
//!   although writers never pause.
//!
//! No clock decides any of this. How long the wait for a holder takes is the holder's affair; what waits is bounded only so
//! that a call returns.
//!
//! # Where it would break, each a test
//!
//! - *The head read after the lock list.* An append that draws, inserts and commits between the two is below the head and in
//!   no list.
//! - *Rows read in a snapshot older than the list.* What a holder has committed meanwhile is missing in it.
//! - *Holders known by their process.* A prepared transaction has none, and goes on holding the lock: they are known by their
//!   virtual transaction, and any prepared one counts as long as it is there.
//! - *A lock taken after the draw*, or in a subtransaction that is rolled back, which lets go of it: each append takes it
//!   anew.
//! - *`synchronous_commit = off`.* A crash forgets what readers have seen, and the numbers are drawn again. So each append
//!   sets it, and a server that has started anew makes the tracker begin anew.
//! - *Another server.* After a failover everything is asked again: see [`Ticket`]. A checkpoint that the new log does not
//!   have is found by its event id.
//! - *A replica.* Its lock table says nothing of the primary's appends. The feed refuses to be read there.
//!
//! # What was rejected
//!
//! - *One exclusive lock for all appends*: correct, and 2.4 times slower at 32 writers.
//! - *Ordering by transaction id* and reading up to the oldest running one: any open transaction of the whole server stalls
//!   it, of other databases too, and a transaction that wrote something before it appended can reverse a stream.
//! - *Waiting a moment at a hole*, or passing holes older than some margin: loses whatever is slower than the margin.
//! - *Numbers drawn under a lock on a counter row*: all appends wait for each other's commits.
//! - *`NOTIFY` with the rows in it*: it takes a lock on the whole server at commit.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use factum_core::{Position, StoreError, StoreErrorKind};
use serde::Deserialize;
use tokio::sync::watch;

/// How a prepared transaction is called in the list of holders: it has no process, and may have had another name before.
const PREPARED: &str = "prepared";

/// How many ranges of committed positions are remembered above the first hole. What is forgotten is read again.
const RANGES_MAX: usize = 256;

/// What a statement saw of the end of the log.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Head {
    /// The greatest position in the snapshot of the statement.
    pub(crate) last: u64,
    /// How far there was no hole above the position of the [`Ticket`].
    pub(crate) settled: u64,
    /// If there was a hole: who held the lock of appends after the snapshot was taken.
    pub(crate) holders: Option<Vec<String>>,
    /// When the server was started, by which it is known again.
    pub(crate) server: DateTime<Utc>,
    pub(crate) is_replica: bool,
}

/// What a statement may rely on that is about to look at the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    /// Nothing will appear at or below this.
    pub(crate) settled: u64,
    /// Of which server that was said: counts how often it was another one.
    epoch: u64,
    /// Which question was open when the statement began. An answer that is older than a question does not answer it.
    question: u64,
    hints: u64,
    begun: Instant,
}

/// What came of a look at the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learned {
    /// This is settled, as far as anybody knows.
    Settled(Position),
    /// What was said of another server, or of this one before it was started anew, was forgotten: look again.
    StartedAnew,
}

/// How far the feed may be read: one for all readers of a store.
#[derive(Debug)]
pub(crate) struct Tracker {
    state: Mutex<State>,
    settled: watch::Sender<Position>,
}

#[derive(Debug)]
struct State {
    settled: u64,
    epoch: u64,
    server: Option<DateTime<Utc>>,
    /// Ranges above `settled` that appends of this process have committed, from first to last.
    committed: BTreeMap<u64, u64>,
    /// Who has to end before everything up to a position is settled.
    question: Option<Question>,
    questions: u64,
    /// How often somebody said that there is something new, and how often that was so when the last look began.
    hints: u64,
    hints_seen: u64,
    looked: Option<Instant>,
}

#[derive(Debug)]
struct Question {
    up_to: u64,
    holders: Vec<String>,
    since: Instant,
    is_reported: bool,
}

impl Tracker {
    pub(crate) fn new() -> Self {
        let state = State {
            settled: 0,
            epoch: 0,
            server: None,
            committed: BTreeMap::new(),
            question: None,
            questions: 0,
            hints: 0,
            hints_seen: 0,
            looked: None,
        };
        Self { state: Mutex::new(state), settled: watch::Sender::new(Position::START) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before a statement looks at the log.
    pub(crate) fn ticket(&self) -> Ticket {
        let State { settled, epoch, questions, hints, .. } = *self.state();
        Ticket { settled, epoch, question: questions, hints, begun: Instant::now() }
    }

    /// After it has looked.
    ///
    /// # Errors
    ///
    /// Of kind [`ReadOnly`](StoreErrorKind::ReadOnly), if it looked at a replica.
    pub(crate) fn learn(
        &self,
        ticket: Ticket,
        head: &Head,
        operation: &'static str,
    ) -> Result<Learned, StoreError> {
        if head.is_replica {
            return Err(StoreError::because(StoreErrorKind::ReadOnly, operation, ReplicaFeed));
        }
        let mut state = self.state();
        if ticket.epoch != state.epoch {
            return Ok(Learned::StartedAnew);
        }
        if state.server.is_some_and(|server| server != head.server) {
            tracing::warn!(server = %head.server, "the server was started anew or is another one: the feed is checked anew");
            *state = State {
                epoch: state.epoch + 1,
                questions: state.questions + 1,
                hints: state.hints,
                hints_seen: 0,
                settled: 0,
                server: Some(head.server),
                committed: BTreeMap::new(),
                question: None,
                looked: None,
            };
            self.settled.send_replace(Position::START);
            return Ok(Learned::StartedAnew);
        }
        state.server = Some(head.server);
        state.settled = state.settled.max(head.settled);
        state.hints_seen = state.hints_seen.max(ticket.hints);
        state.looked = state.looked.max(Some(ticket.begun));
        if let Some(holders) = &head.holders {
            state.hear(ticket, head.last, holders);
        }
        state.close_up();
        Ok(Learned::Settled(self.publish(&state)))
    }

    /// An append of this process that began after `ticket` has committed these positions, in growing order.
    pub(crate) fn committed(&self, ticket: Ticket, positions: impl IntoIterator<Item = Position>) {
        let mut state = self.state();
        // What was committed to another server may not be on this one; and before anybody has looked, nobody knows which
        // one it was.
        if ticket.epoch != state.epoch || state.server.is_none() {
            drop(state);
            self.hint();
            return;
        }
        for position in positions {
            // Neighbours become one range.
            match state.committed.last_entry() {
                Some(mut range) if *range.get() + 1 == position.0 => *range.get_mut() = position.0,
                _ => {
                    state.committed.insert(position.0, position.0);
                }
            }
        }
        state.close_up();
        while state.committed.len() > RANGES_MAX {
            state.committed.pop_first();
        }
        // Below what is left there is a hole, which somebody has to ask about.
        let is_hint = !state.committed.is_empty();
        state.hints += u64::from(is_hint);
        self.settled.send_if_modified(|told| {
            std::mem::replace(told, Position(state.settled)) != Position(state.settled) || is_hint
        });
    }

    /// Somebody said that there may be something new.
    pub(crate) fn hint(&self) {
        self.state().hints += 1;
        // Whoever waits looks at the hints when it is woken.
        self.settled.send_modify(|_| ());
    }

    /// What is settled was said of another log: somebody had better look before it is relied on again.
    pub(crate) fn doubt(&self) {
        self.state().looked = None;
    }

    /// Whether somebody waits for something new.
    pub(crate) fn is_followed(&self) -> bool {
        self.settled.receiver_count() > 0
    }

    /// Told of every step of what is settled, and of every hint.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Position> {
        self.settled.subscribe()
    }

    /// Whether anybody has looked at the log yet.
    pub(crate) fn has_looked(&self) -> bool {
        self.state().looked.is_some()
    }

    /// How long one who waits need not look at the log, if nobody hints at something new; `None` for not at all.
    pub(crate) fn rest(&self, poll: Duration) -> Option<Duration> {
        let state = self.state();
        let patience = match &state.question {
            // Appends take milliseconds. The longer one takes, the less often it is looked after.
            Some(question) => (question.since.elapsed() / 4).clamp(Duration::from_millis(1), poll),
            None if state.hints != state.hints_seen => return None,
            None => poll,
        };
        patience.checked_sub(state.looked?.elapsed())
    }

    /// Who is waited for, if that takes so long that it should be said; once for each hole.
    pub(crate) fn report_due(&self, after: Duration) -> Option<Vec<String>> {
        let mut state = self.state();
        let question = state.question.as_mut().filter(|question| !question.is_reported)?;
        question.is_reported = question.since.elapsed() >= after;
        question.is_reported.then(|| question.holders.clone())
    }

    fn publish(&self, state: &State) -> Position {
        let settled = Position(state.settled);
        self.settled.send_if_modified(|told| std::mem::replace(told, settled) != settled);
        settled
    }
}

impl State {
    /// There was a hole somewhere below `last`, and these held the lock afterwards.
    fn hear(&mut self, ticket: Ticket, last: u64, holders: &[String]) {
        let is_prepared = holders.iter().any(|holder| holder == PREPARED);
        if let Some(question) = self.question.as_mut().filter(|_| ticket.question == self.questions) {
            question.holders.retain(|holder| holders.contains(holder));
            if question.holders.is_empty() && !is_prepared {
                self.settled = self.settled.max(question.up_to);
                self.question = None;
            }
        }
        if holders.is_empty() {
            self.settled = self.settled.max(last);
        } else if self.question.is_none() && self.settled < last {
            self.questions += 1;
            let holders = holders.to_vec();
            self.question =
                Some(Question { up_to: last, holders, since: Instant::now(), is_reported: false });
        }
    }

    /// Moves on over what this process knows to be committed, and forgets what is behind.
    fn close_up(&mut self) {
        while let Some((&first, &last)) = self.committed.first_key_value() {
            if first > self.settled.saturating_add(1) {
                break;
            }
            self.settled = self.settled.max(last);
            self.committed.pop_first();
        }
        if self.question.as_ref().is_some_and(|question| question.up_to <= self.settled) {
            self.question = None;
        }
    }
}

/// Why the feed cannot be read from a replica.
#[derive(Debug, thiserror::Error)]
#[error(
    "the server is a replica, which does not know what the primary is about to commit: only streams are read there"
)]
struct ReplicaFeed;

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATION: &str = "test";

    fn head(last: u64, settled: u64, holders: Option<&[&str]>) -> Head {
        Head {
            last,
            settled,
            holders: holders.map(|holders| holders.iter().map(|&holder| holder.to_owned()).collect()),
            server: DateTime::UNIX_EPOCH,
            is_replica: false,
        }
    }

    /// A look that begins and ends at once.
    fn look(tracker: &Tracker, last: u64, settled: u64, holders: Option<&[&str]>) -> u64 {
        match tracker.learn(tracker.ticket(), &head(last, settled, holders), OPERATION).expect("a primary") {
            Learned::Settled(position) => position.0,
            Learned::StartedAnew => panic!("it is the same server"),
        }
    }

    #[test]
    fn without_a_hole_everything_is_settled() {
        let tracker = Tracker::new();
        assert_eq!(look(&tracker, 7, 7, None), 7);
        assert_eq!(tracker.ticket().settled, 7);
    }

    #[test]
    fn a_hole_that_nobody_can_fill_is_passed() {
        let tracker = Tracker::new();
        assert_eq!(look(&tracker, 7, 4, Some(&[])), 7);
    }

    #[test]
    fn a_hole_waits_for_those_who_held_the_lock_and_for_nobody_else() {
        let tracker = Tracker::new();
        assert_eq!(look(&tracker, 7, 4, Some(&["3/1", "4/1"])), 4);
        assert_eq!(look(&tracker, 9, 4, Some(&["4/1", "5/1"])), 4);
        // The second question begins where the first ends: there may be a hole above 7, too.
        assert_eq!(look(&tracker, 12, 4, Some(&["5/1", "6/1"])), 7);
        assert_eq!(look(&tracker, 13, 7, Some(&["6/1"])), 7);
        assert_eq!(look(&tracker, 13, 7, Some(&["8/1"])), 12);
    }

    #[test]
    fn a_list_that_is_older_than_the_question_answers_nothing() {
        let tracker = Tracker::new();
        // Began before the holder 4/1, and comes late.
        let early = tracker.ticket();
        assert_eq!(look(&tracker, 7, 4, Some(&["4/1"])), 4);
        let late = tracker.learn(early, &head(5, 4, Some(&["9/1"])), OPERATION).expect("a primary");
        assert_eq!(late, Learned::Settled(Position(4)));
        assert_eq!(look(&tracker, 7, 4, Some(&["9/1"])), 7);
    }

    #[test]
    fn a_transaction_that_was_prepared_meanwhile_holds_on() {
        let tracker = Tracker::new();
        assert_eq!(look(&tracker, 7, 4, Some(&["3/1"])), 4);
        assert_eq!(look(&tracker, 7, 4, Some(&[PREPARED])), 4);
        assert_eq!(look(&tracker, 7, 4, Some(&["5/1"])), 7);
    }

    #[test]
    fn what_this_process_has_committed_needs_no_look() {
        let tracker = Tracker::new();
        look(&tracker, 0, 0, None);
        let committed = |positions: &[u64]| {
            tracker.committed(tracker.ticket(), positions.iter().map(|&p| Position(p)));
        };
        committed(&[1, 2]);
        assert_eq!(tracker.ticket().settled, 2);
        committed(&[5, 6, 8]);
        assert_eq!(tracker.ticket().settled, 2, "3 and 4 are somebody else's");
        committed(&[3, 4]);
        assert_eq!(tracker.ticket().settled, 6);
        committed(&[7]);
        assert_eq!(tracker.ticket().settled, 8);
    }

    #[test]
    fn what_was_committed_before_the_first_look_is_looked_for() {
        let tracker = Tracker::new();
        tracker.committed(tracker.ticket(), [Position(1), Position(2)]);
        assert_eq!(tracker.ticket().settled, 0, "another server may answer the first look");
        assert_eq!(look(&tracker, 2, 2, None), 2);
    }

    #[test]
    fn ranges_are_forgotten_and_not_passed() {
        let tracker = Tracker::new();
        look(&tracker, 0, 0, None);
        for at in 1..=2 * RANGES_MAX as u64 {
            tracker.committed(tracker.ticket(), [Position(2 * at)]);
        }
        assert_eq!(tracker.ticket().settled, 0);
        assert!(tracker.state().committed.len() <= RANGES_MAX);
        tracker.committed(tracker.ticket(), [Position(1)]);
        assert_eq!(tracker.ticket().settled, 1, "whether 2 was committed is not known any more");
    }

    #[test]
    fn another_server_begins_anew() {
        let tracker = Tracker::new();
        assert_eq!(look(&tracker, 7, 7, None), 7);
        let before = tracker.ticket();
        let mut other = head(9, 9, None);
        other.server += chrono::TimeDelta::seconds(1);
        let said = tracker.learn(tracker.ticket(), &other, OPERATION).expect("a primary");
        assert_eq!((said, tracker.ticket().settled), (Learned::StartedAnew, 0));
        // A look that began before knows of the other server, but relied on what the first one had said.
        assert_eq!(tracker.learn(before, &other, OPERATION).expect("a primary"), Learned::StartedAnew);
        // And an append that began before may have been committed to the other server.
        tracker.committed(before, [Position(1)]);
        assert_eq!(tracker.ticket().settled, 0);
        let said = tracker.learn(tracker.ticket(), &other, OPERATION).expect("a primary");
        assert_eq!(said, Learned::Settled(Position(9)));
        let poll = Duration::from_hours(1);
        assert!(tracker.rest(poll).is_some());
        tracker.committed(before, [Position(10)]);
        assert_eq!(tracker.rest(poll), None, "whoever waits looks for it");
    }

    #[test]
    fn a_replica_is_refused() {
        let tracker = Tracker::new();
        let replica = Head { is_replica: true, ..head(7, 7, None) };
        let refused = tracker.learn(tracker.ticket(), &replica, OPERATION).expect_err("a replica");
        assert_eq!(*refused.kind(), StoreErrorKind::ReadOnly);
    }

    #[test]
    fn one_who_waits_looks_again_when_there_is_a_hint_or_a_hole() {
        let tracker = Tracker::new();
        let poll = Duration::from_hours(1);
        assert_eq!(tracker.rest(poll), None, "it has never looked");
        look(&tracker, 7, 7, None);
        assert!(tracker.rest(poll).expect("it has just looked") > Duration::from_mins(59));
        tracker.hint();
        assert_eq!(tracker.rest(poll), None);
        look(&tracker, 9, 7, Some(&["3/1"]));
        assert!(tracker.rest(poll).is_none_or(|rest| rest < Duration::from_secs(1)));
    }
}
