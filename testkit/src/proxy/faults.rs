//! What a proxy shall do wrong, and what it has counted.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    Counts,
    connection::{Connection, Ending},
    messages::Request,
};

/// A fault that happens once, at the statement that it is about.
pub(super) enum Rule {
    CutBefore(String),
    CutAfter(String),
    ResetAfter(String),
    ResetDuring(String),
    /// In so many round trips.
    SwallowAnswer(usize),
}

/// What to do with a message of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Forward,
    /// Forward it, and drop the answer to it.
    Swallow,
    /// Forward it, and end the connection instead of forwarding the answer to it.
    EndAfter(Ending),
    /// Forward it, and end the connection before there is an answer.
    EndDuring(Ending),
    CutBefore,
}

#[derive(Default)]
pub(super) struct Faults {
    state: Mutex<State>,
    /// Notified when something changes for those who wait.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_silent: bool,
    delay: Duration,
    rules: Vec<Rule>,
    counts: Counts,
}

impl Faults {
    pub(super) fn silence(&self) {
        self.lock().is_silent = true;
    }

    pub(super) fn delay(&self, delay: Duration) {
        self.lock().delay = delay;
        self.wake();
    }

    pub(super) fn add(&self, rule: Rule) {
        self.lock().rules.push(rule);
    }

    pub(super) fn heal(&self) {
        let mut state = self.lock();
        state.is_silent = false;
        state.delay = Duration::ZERO;
        state.rules.clear();
        drop(state);
        self.wake();
    }

    pub(super) fn rules_waiting(&self) -> usize {
        self.lock().rules.len()
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }

    pub(super) fn reset_counts(&self) {
        self.lock().counts = Counts::default();
    }

    pub(super) fn is_silent(&self) -> bool {
        self.lock().is_silent
    }

    /// Judges a request, and counts it if it is forwarded. `executed` is the text of the statement that it executes.
    pub(super) fn judge(&self, request: &Request<'_>, executed: Option<&str>) -> Verdict {
        let mut state = self.lock();
        let is_round_trip = matches!(request, Request::Query { .. } | Request::Sync);
        let mut verdict = Verdict::Forward;
        state.rules.retain_mut(|rule| {
            let fires = match rule {
                // One fault for one statement: the other rules wait for the next.
                _ if verdict != Verdict::Forward => None,
                Rule::CutBefore(needle) => contains(executed, needle).then_some(Verdict::CutBefore),
                Rule::CutAfter(needle) => {
                    contains(executed, needle).then_some(Verdict::EndAfter(Ending::Cut))
                }
                Rule::ResetAfter(needle) => {
                    contains(executed, needle).then_some(Verdict::EndAfter(Ending::Reset))
                }
                Rule::ResetDuring(needle) => {
                    contains(executed, needle).then_some(Verdict::EndDuring(Ending::Reset))
                }
                Rule::SwallowAnswer(_) if !is_round_trip => None,
                Rule::SwallowAnswer(1) => Some(Verdict::Swallow),
                Rule::SwallowAnswer(nth) => {
                    *nth -= 1;
                    None
                }
            };
            verdict = fires.unwrap_or(verdict);
            fires.is_none()
        });
        if verdict != Verdict::CutBefore {
            let counts = &mut state.counts;
            match request {
                Request::Query { .. } => counts.queries += 1,
                Request::Parse { .. } => counts.parses += 1,
                Request::Bind { .. } => counts.binds += 1,
                Request::Execute { .. } => counts.executes += 1,
                Request::Sync => counts.syncs += 1,
                Request::Tls | Request::Startup | Request::FunctionCall | Request::Other => {}
            }
        }
        verdict
    }

    /// Waits as long as whatever is forwarded has to be late, but not on a connection that was ended.
    pub(super) fn wait_out_delay(&self, connection: &Connection) {
        let state = self.lock();
        let delay = state.delay;
        if !delay.is_zero() {
            let unchanged = |state: &mut State| state.delay == delay && !connection.is_over();
            drop(self.changed.wait_timeout_while(state, delay, unchanged));
        }
    }

    /// Waits until the connection is cut or reset.
    pub(super) fn wait_for_end(&self, connection: &Connection) {
        drop(self.changed.wait_while(self.lock(), |_| !connection.is_over()));
    }

    /// Makes those who wait look again.
    pub(super) fn wake(&self) {
        // Whoever has looked already waits by now.
        drop(self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn contains(statement: Option<&str>, needle: &str) -> bool {
    statement.is_some_and(|statement| statement.contains(needle))
}
