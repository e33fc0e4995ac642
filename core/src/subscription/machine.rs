//! The rules of a subscription: what to read, when to handle, commit, try again, set aside, wait and stop.
//!
//! A machine that is stepped: [`Machine::next`] says what is to be done, somebody does it, and tells what came of it. It has no
//! clock, does no I/O and waits for nothing, so that every sequence of events, failures and stops can be tried.
//!
//! # Invariants
//!
//! - The checkpoint is moved over an event only when the event was handled, or set aside in the same step, or does not
//!   belong to the subscription.
//! - Events of one stream are handled in their order; one that is set aside with its stream holds all later ones.
//! - What fails is tried as often as the policy says, by itself, so that it alone is set aside.
//!
//! # Two ways to work
//!
//! Effects in the world outlive a failure: then what was done before the failure is kept, and an attempt resumes at the handler
//! that failed. Rows in a transaction do not: everything is rolled back, what came before the failure is done again and
//! committed, and the event that failed becomes the first of a transaction of its own.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use super::policy::{OnFailure, Then};
use crate::checkpoint::Checkpoint;
use crate::dead_letter::{DeadLetter, Failure, NewDeadLetter};
use crate::dispatcher::EventFacts;
use crate::envelope::RecordedEvent;
use crate::error::{StoreError, StoreErrorKind};
use crate::store::Page;
use crate::stream::{Position, StreamId};

/// How long a subscription that has nothing to do leaves its checkpoint behind what it has seen.
const LAG: Duration = Duration::from_secs(1);
/// How long a dead letter that is to be handled again may wait for it, while there is nothing else to do.
const DUE: Duration = Duration::from_secs(1);
/// How many pages are handled between two looks for such dead letters.
const PAGES_BETWEEN_LOOKS: u32 = 16;

/// What is to be done next.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Read the checkpoint, and what is parked.
    Load,
    /// Read a page after this.
    Read(Checkpoint),
    /// Bring [`Machine::event`] to its handlers, from this turn on; in a transaction that is begun if there is none.
    Handle {
        turn: usize,
    },
    /// Let handlers write what they have gathered, and commit this.
    Commit(Commit),
    /// Roll the transaction back, and forget what was gathered.
    RollBack,
    /// Read what is parked and due, and the events of it.
    LookForDue,
    /// Wait as long, and by chance some longer.
    Rest(Duration),
    /// Wait for an event after this, at most so long.
    Wait {
        after: Position,
        at_most: Option<Duration>,
    },
    Finish(End),
}

/// What is committed, together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Commit {
    pub(super) from: Checkpoint,
    pub(super) to: Checkpoint,
    pub(super) parked: Vec<NewDeadLetter>,
    pub(super) settled: Vec<Position>,
}

/// What came of a step.
#[derive(Debug)]
pub(super) enum Input {
    Loaded {
        checkpoint: Checkpoint,
        parked: ParkedStreams,
    },
    Page(Page),
    Handled,
    /// A handler failed: at which turn, and why.
    Failed {
        turn: usize,
        failure: Failure,
    },
    Committed,
    /// A handler could not write what it had gathered.
    FlushFailed(Failure),
    RolledBack,
    /// What is due, each with its event unless that was erased.
    Due {
        due: Vec<(DeadLetter, Option<RecordedEvent>)>,
        parked: ParkedStreams,
    },
    /// The time to rest or to wait is over.
    Rested,
    /// There may be a new event.
    Woken,
    /// The store could not do it.
    Ill(StoreError),
}

/// What of the log is parked.
#[derive(Clone, Debug, Default)]
pub(super) struct ParkedStreams {
    pub(super) streams: HashSet<StreamId>,
    /// How many dead letters there are.
    pub(super) count: u64,
}

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    /// It was told to stop.
    Stopped,
    /// It has handled all there was.
    CaughtUp,
    /// A handler failed often enough; the last failure was told by the last `Failed` or `FlushFailed`.
    Failed,
    /// The store failed in a way that time does not heal; it was told by the last `Ill`.
    Ill,
    /// Somebody else has moved the checkpoint.
    Moved { expected: Position, actual: Position },
    /// The log gives nothing after this position, and does not end there.
    Stuck(Position),
}

/// How long a subscription runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// Until it has handled what has happened so far.
    CaughtUp,
    /// Until it is told to stop.
    Stopped,
}

/// How a subscription works.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) until: Until,
    pub(super) on_failure: OnFailure,
    /// Whether what handlers did stays done when a later event fails.
    pub(super) outlives_a_failure: bool,
    /// How many events share a checkpoint at most. A page may have more.
    pub(super) batch_events: usize,
}

pub(super) struct Machine {
    settings: Settings,
    /// Where the checkpoint is.
    at: Checkpoint,
    /// How far the log was looked at: up to here everything is in the page, or behind the checkpoint, or somebody else's.
    seen: Checkpoint,
    parked: ParkedStreams,
    /// The page at hand, and the checkpoint and end that it came with.
    events: Vec<RecordedEvent>,
    is_end: bool,
    /// The first event that is not committed, the first that is not handled, and where this commit ends.
    begin: usize,
    next: usize,
    end: usize,
    /// Events between `begin` and `next` that will be set aside.
    letters: Vec<NewDeadLetter>,
    /// Dead letters that are to be handled again. The first is at hand.
    due: VecDeque<(DeadLetter, Option<RecordedEvent>)>,
    /// The event that has failed last and was not handled since.
    trial: Option<Trial>,
    pages_since_look: u32,
    /// How often in a row the store was ill.
    ills: u32,
    is_stopping: bool,
    now: Now,
}

/// An event that fails.
struct Trial {
    position: Position,
    attempts: u32,
    /// Where an attempt resumes.
    turn: usize,
    failure: Failure,
    /// Whether the wait before the next attempt is over.
    is_rested: bool,
}

/// What the machine is about: a step that it asks for, or an answer that it waits for.
#[derive(Debug)]
enum Now {
    Load,
    /// The outcome of this commit is not known: the checkpoint will tell.
    Unsure(Commit),
    Decide,
    Read,
    Handle,
    Commit(Commit),
    RollBack(Reason),
    LookForDue,
    Wait,
    /// And then this.
    Rest(Duration, Box<Now>),
    Finished(End),
}

/// Why everything since the last commit is undone.
#[derive(Debug)]
enum Reason {
    Failed(Failure),
    FlushFailed(Failure),
}

impl Machine {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            at: Checkpoint::START,
            seen: Checkpoint::START,
            parked: ParkedStreams::default(),
            events: Vec::new(),
            is_end: false,
            begin: 0,
            next: 0,
            end: 0,
            letters: Vec::new(),
            due: VecDeque::new(),
            trial: None,
            pages_since_look: 0,
            ills: 0,
            is_stopping: false,
            now: Now::Load,
        }
    }

    /// The event to be handled, after [`Step::Handle`].
    pub(super) fn event(&self) -> &RecordedEvent {
        match self.due.front() {
            Some((_, Some(event))) => event,
            _ => &self.events[self.next],
        }
    }

    /// Where the checkpoint is.
    pub(super) const fn at(&self) -> Checkpoint {
        self.at
    }

    /// Up to here everything is committed, or is not the subscription's.
    pub(super) fn reached(&self) -> Position {
        let has_all_committed = self.begin == self.events.len() && self.letters.is_empty();
        if has_all_committed { self.seen.position } else { self.at.position }
    }

    /// How many dead letters there are, as far as is known.
    pub(super) const fn parked_count(&self) -> u64 {
        self.parked.count
    }

    /// The event at hand is the last that is handled.
    pub(super) const fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// What is to be done now. It is answered by [`tell`](Machine::tell) before this is asked again.
    pub(super) fn next(&mut self) -> Step {
        loop {
            match &self.now {
                Now::Decide => self.decide(),
                Now::Load | Now::Unsure(_) if self.is_stopping => self.now = Now::Finished(End::Stopped),
                Now::Load | Now::Unsure(_) => return Step::Load,
                Now::Read => return Step::Read(self.seen),
                Now::Handle => return Step::Handle { turn: self.turn() },
                Now::Commit(commit) => return Step::Commit(commit.clone()),
                Now::RollBack(_) => return Step::RollBack,
                Now::LookForDue => return Step::LookForDue,
                Now::Wait => {
                    let has_to_look = self.parked.count > 0;
                    let lags = self.seen.position > self.at.position;
                    let at_most = lags.then_some(LAG).or(has_to_look.then_some(DUE));
                    return Step::Wait { after: self.seen.position, at_most };
                }
                Now::Rest(..) if self.is_stopping => self.rested(),
                Now::Rest(time, _) => return Step::Rest(*time),
                Now::Finished(end) => return Step::Finish(*end),
            }
        }
    }

    /// What came of the step.
    pub(super) fn tell(&mut self, input: Input) {
        let now = std::mem::replace(&mut self.now, Now::Decide);
        match (now, input) {
            (now, Input::Ill(error)) => self.ill(now, &error),
            (Now::Load, Input::Loaded { checkpoint, parked }) => {
                (self.at, self.seen, self.parked) = (checkpoint, checkpoint, parked);
                if self.parked.count > 0 {
                    self.now = Now::LookForDue;
                }
            }
            (Now::Unsure(commit), Input::Loaded { checkpoint, .. }) => self.told(commit, checkpoint),
            (Now::Read, Input::Page(page)) => self.turn_to(page),
            (Now::Handle, Input::Handled) => self.handled(),
            (Now::Handle, Input::Failed { turn, failure }) => self.failed(turn, failure),
            (Now::Commit(commit), Input::Committed) => self.committed(commit),
            (Now::Commit(_), Input::FlushFailed(failure)) => {
                self.now = Now::RollBack(Reason::FlushFailed(failure));
            }
            (Now::RollBack(reason), Input::RolledBack) => self.rolled_back(reason),
            (Now::LookForDue, Input::Due { due, parked }) => {
                (self.due, self.parked, self.pages_since_look) = (due.into(), parked, 0);
            }
            (now @ Now::Rest(..), Input::Rested) => {
                self.now = now;
                self.rested();
            }
            (Now::Wait, Input::Rested) if self.seen.position > self.at.position => {
                self.commit_what_was_seen();
            }
            (Now::Wait, Input::Rested) if self.parked.count > 0 => self.now = Now::LookForDue,
            (Now::Wait, Input::Woken | Input::Rested) => self.now = Now::Read,
            (now, input) => unreachable!("{input:?} is no answer to {now:?}"),
        }
    }

    fn decide(&mut self) {
        let has_done_something = self.next > self.begin;
        self.now = if !self.due.is_empty() {
            if self.is_stopping {
                self.due.clear();
                return;
            }
            self.take_up_a_dead_letter()
        } else if self.is_stopping {
            if has_done_something {
                self.commit_what_was_done()
            } else if self.begin == self.events.len() && self.seen.position > self.at.position {
                return self.commit_what_was_seen();
            } else {
                Now::Finished(End::Stopped)
            }
        } else if self.next < self.end {
            return self.take_up_an_event();
        } else if has_done_something {
            self.commit_what_was_done()
        } else if self.next < self.events.len() {
            let is_tried = self.trial_of(self.next).is_some();
            self.end = if is_tried { self.next + 1 } else { self.end_of_batch() };
            return;
        } else if self.parked.count > 0 && self.pages_since_look >= PAGES_BETWEEN_LOOKS {
            Now::LookForDue
        } else if self.is_far_behind() {
            return self.commit_what_was_seen();
        } else if !self.is_end {
            Now::Read
        } else if self.settings.until == Until::Stopped {
            Now::Wait
        } else if self.seen.position > self.at.position {
            return self.commit_what_was_seen();
        } else {
            Now::Finished(End::CaughtUp)
        };
    }

    /// Where nothing passes the filter, moving the checkpoint is a write, and not worth one for every foreign event.
    fn is_far_behind(&self) -> bool {
        let behind = self.seen.position.0.saturating_sub(self.at.position.0);
        usize::try_from(behind).is_ok_and(|behind| behind >= self.settings.batch_events)
    }

    fn take_up_an_event(&mut self) {
        let attempts_max = self.settings.on_failure.attempts();
        let event = &self.events[self.next];
        if let Some(trial) = self.trial.as_mut().filter(|trial| trial.position == event.position) {
            if trial.attempts >= attempts_max {
                self.give_up();
            } else if trial.is_rested {
                self.now = Now::Handle;
            } else {
                trial.is_rested = true;
                let wait = self.settings.on_failure.wait(trial.attempts);
                self.now = Now::Rest(wait, Box::new(Now::Decide));
            }
        } else if self.parked.streams.contains(&event.stream) {
            let event = EventFacts::from(event);
            self.letters.push(NewDeadLetter { event, holds_stream: true, attempts: 0, failure: None });
            self.next += 1;
        } else {
            self.now = Now::Handle;
        }
    }

    /// The event at hand was tried often enough. It is the first that is not committed.
    fn give_up(&mut self) {
        let Then::Park { holds_stream } = self.settings.on_failure.then() else {
            self.now = Now::Finished(End::Failed);
            return;
        };
        let trial = self.trial.as_ref().expect("only what was tried is given up");
        self.letters.push(NewDeadLetter {
            event: EventFacts::from(&self.events[self.next]),
            holds_stream,
            attempts: trial.attempts,
            failure: Some(trial.failure.clone()),
        });
        self.next += 1;
        // It is committed by itself: only then do others wait behind it.
        self.end = self.next;
    }

    fn take_up_a_dead_letter(&self) -> Now {
        match self.due.front() {
            Some((_, Some(_))) => Now::Handle,
            // Its content was erased: nobody can handle it any more, and nobody shall.
            _ => self.settle_the_dead_letter(),
        }
    }

    fn settle_the_dead_letter(&self) -> Now {
        let settled = self.due.iter().take(1).map(|(letter, _)| letter.letter.event.position).collect();
        Now::Commit(Commit { from: self.at, to: self.at, parked: Vec::new(), settled })
    }

    /// Keeps the dead letter at hand where it is, with its new failure, until somebody asks for it again.
    fn park_the_dead_letter_again(&self, failure: &Failure) -> Now {
        let parked = self.due.iter().take(1).map(|(letter, _)| {
            let attempts = letter.letter.attempts.saturating_add(1);
            NewDeadLetter { attempts, failure: Some(failure.clone()), ..letter.letter.clone() }
        });
        Now::Commit(Commit { from: self.at, to: self.at, parked: parked.collect(), settled: Vec::new() })
    }

    fn commit_what_was_done(&self) -> Now {
        let to = if self.next == self.events.len() {
            self.seen
        } else {
            Checkpoint::from(&self.events[self.next - 1])
        };
        Now::Commit(Commit { from: self.at, to, parked: self.letters.clone(), settled: Vec::new() })
    }

    fn commit_what_was_seen(&mut self) {
        self.now =
            Now::Commit(Commit { from: self.at, to: self.seen, parked: Vec::new(), settled: Vec::new() });
    }

    fn turn_to(&mut self, page: Page) {
        let Page { events, checkpoint, end } = page;
        if events.is_empty() && !end && checkpoint.position <= self.seen.position {
            self.now = Now::Finished(End::Stuck(self.seen.position));
            return;
        }
        (self.events, self.seen, self.is_end) = (events, checkpoint, end);
        (self.begin, self.next) = (0, 0);
        self.end = self.end_of_batch();
        self.pages_since_look = self.pages_since_look.saturating_add(1);
        self.ills = 0;
    }

    /// Commits what was handled before more is, where it would be handled again after a crash.
    pub(super) fn end_batch(&mut self) {
        if self.settings.outlives_a_failure && self.due.is_empty() && self.next > self.begin {
            self.end = self.next;
        }
    }

    /// Where a batch ends that begins with the next event.
    fn end_of_batch(&self) -> usize {
        self.next.saturating_add(self.settings.batch_events).min(self.events.len())
    }

    fn handled(&mut self) {
        if self.due.is_empty() {
            // Where an attempt goes on in the next event, it begins with the first handler.
            if let Some(trial) = self.trial.as_mut() {
                trial.turn = 0;
            }
            self.next += 1;
        } else {
            self.now = self.settle_the_dead_letter();
        }
    }

    fn failed(&mut self, turn: usize, failure: Failure) {
        if !self.settings.outlives_a_failure {
            self.now = Now::RollBack(Reason::Failed(failure));
        } else if self.due.is_empty() {
            self.note_failure(self.next, turn, failure);
            // What came before it is committed first.
            self.end = self.next;
        } else {
            self.now = self.park_the_dead_letter_again(&failure);
        }
    }

    fn rolled_back(&mut self, reason: Reason) {
        self.letters.clear();
        if !self.due.is_empty() {
            let (Reason::Failed(failure) | Reason::FlushFailed(failure)) = reason;
            self.now = self.park_the_dead_letter_again(&failure);
            return;
        }
        let handled = self.next - self.begin;
        match reason {
            Reason::Failed(failure) => {
                self.note_failure(self.next, 0, failure);
                self.end = self.next;
            }
            Reason::FlushFailed(failure) if handled <= 1 => {
                self.note_failure(self.begin, 0, failure);
                self.end = self.begin + 1;
            }
            // Whose fault it is shows when there is only one event left.
            Reason::FlushFailed(_) => {
                self.end = self.begin + handled / 2;
                self.now = Now::Rest(self.settings.on_failure.wait(1), Box::new(Now::Decide));
            }
        }
        self.next = self.begin;
    }

    fn note_failure(&mut self, index: usize, turn: usize, failure: Failure) {
        let before = self.trial_of(index).map_or(0, |trial| trial.attempts);
        let position = self.events[index].position;
        let attempts = before.saturating_add(1);
        self.trial = Some(Trial { position, attempts, turn, failure, is_rested: false });
    }

    fn trial_of(&self, index: usize) -> Option<&Trial> {
        let position = self.events.get(index)?.position;
        self.trial.as_ref().filter(|trial| trial.position == position)
    }

    /// Where the event at hand is taken up.
    fn turn(&self) -> usize {
        let resumes = self.due.is_empty() && self.settings.outlives_a_failure;
        self.trial_of(self.next).filter(|_| resumes).map_or(0, |trial| trial.turn)
    }

    fn committed(&mut self, commit: Commit) {
        self.at = commit.to;
        self.ills = 0;
        if self.due.pop_front().is_some() {
            // The next of its stream is due now, or the whole stream is free.
            if self.due.is_empty() {
                self.now = Now::LookForDue;
            }
            return;
        }
        self.parked.count += commit.parked.len() as u64;
        let holding = commit.parked.into_iter().filter(|letter| letter.holds_stream);
        self.parked.streams.extend(holding.map(|letter| letter.event.stream));
        self.letters.clear();
        self.begin = self.next;
        if self.trial.as_ref().is_some_and(|trial| trial.position <= self.at.position) {
            self.trial = None;
        }
    }

    /// The checkpoint tells what came of a commit.
    fn told(&mut self, commit: Commit, checkpoint: Checkpoint) {
        if !self.due.is_empty() {
            // What became of a dead letter is told by those that are left.
            self.due.clear();
            self.now = Now::LookForDue;
        } else if checkpoint.position == commit.to.position {
            self.committed(commit);
        } else if checkpoint.position == commit.from.position {
            self.do_again();
        } else {
            let (expected, actual) = (commit.from.position, checkpoint.position);
            self.now = Now::Finished(End::Moved { expected, actual });
        }
    }

    /// What was not committed is done again, as far as it is undone.
    fn do_again(&mut self) {
        if !self.settings.outlives_a_failure {
            self.letters.clear();
            self.next = self.begin;
        }
    }

    fn ill(&mut self, during: Now, error: &StoreError) {
        let is_unsure = *error.kind() == StoreErrorKind::OutcomeUnknown;
        if !error.is_transient() || self.settings.until == Until::CaughtUp && !is_unsure {
            self.now = Now::Finished(End::Ill);
            return;
        }
        if self.is_stopping {
            self.now = Now::Finished(End::Stopped);
            return;
        }
        let then = match during {
            Now::Commit(commit) if is_unsure => Now::Unsure(commit),
            // It was no handler's fault, so it is no attempt.
            Now::Handle | Now::Commit(_) | Now::RollBack(_) => {
                self.do_again();
                Now::Decide
            }
            other => other,
        };
        self.ills = self.ills.saturating_add(1);
        let wait = Duration::from_millis(50 << self.ills.min(8));
        self.now = Now::Rest(wait.min(Duration::from_secs(10)), Box::new(then));
    }

    fn rested(&mut self) {
        if let Now::Rest(_, then) = std::mem::replace(&mut self.now, Now::Decide) {
            self.now = *then;
        }
    }
}

#[cfg(test)]
mod tests;
