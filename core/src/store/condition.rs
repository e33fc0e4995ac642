//! Conditions: an append that happens only if nothing came in between that its decision would have wanted to know.

use crate::checkpoint::Checkpoint;
use crate::envelope::RecordedEvent;
use crate::error::Invalid;
use crate::query::EventQuery;
use crate::stream::Position;

/// What an append demands of the whole log: no event that `query` matches may be recorded at commit which the decision
/// did not see.
///
/// Where it read from is not one position. An event below the last one that a read saw may be committed later than the
/// read, by somebody who drew its position before and was slower. So a read says up to where it saw *everything* there will
/// ever be, and a condition names that, and what was seen above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What must not have come in between.
    pub query: EventQuery,
    /// The decision has seen everything up to here: the [`settled`](Matches::settled) of its first page. If it names its
    /// event, the log must have it.
    pub after: Checkpoint,
    /// The positions above `after` of the matching events that the decision has seen. An [`Append`](super::Append) sorts them.
    pub seen: Vec<Position>,
}

impl Condition {
    /// That nothing matches `query`, in the whole log.
    pub const fn nothing_matches(query: EventQuery) -> Self {
        Self { query, after: Checkpoint::START, seen: Vec::new() }
    }

    /// That nothing matches `query` that is later than all a reader has seen, who was answered `settled` first and has since
    /// been given `events`.
    pub fn unchanged<'e>(
        query: EventQuery,
        settled: Checkpoint,
        events: impl IntoIterator<Item = &'e RecordedEvent>,
    ) -> Self {
        let is_above = |event: &&RecordedEvent| event.position > settled.position;
        let is_asked = |event: &&RecordedEvent| query.finds(event);
        let seen = events.into_iter().filter(is_above).filter(is_asked).map(|event| event.position).collect();
        Self { query, after: settled, seen }
    }

    /// Whether an event of the log breaks the condition.
    pub fn is_broken_by(&self, event: &RecordedEvent) -> bool {
        event.position > self.after.position
            && self.seen.binary_search(&event.position).is_err()
            && self.query.finds(event)
    }

    /// The form in which stores hand it to their databases: an object with `query`, see [`EventQuery::to_json`]; `after`, a
    /// position, and `event`, the id that it names there; `seen`, an array of positions.
    pub fn to_json(&self) -> serde_json::Value {
        // No database has a greater number.
        let number = |position: Position| position.0.min(i64::MAX as u64);
        serde_json::json!({
            "query": self.query.to_json(),
            "after": number(self.after.position),
            "event": self.after.event_id,
            "seen": self.seen.iter().copied().map(number).collect::<Vec<_>>(),
        })
    }

    /// Refuses a condition that no store is asked.
    ///
    /// # Errors
    ///
    /// [`Invalid`], see [`EventQuery::check`].
    pub(super) fn check(&self) -> Result<(), Invalid> {
        self.query.check()
    }
}

/// Which events a decision wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a read happens when a store is given it"]
pub struct ReadMatching {
    /// Those that match this.
    pub query: EventQuery,
    /// Only those after this.
    pub after: Position,
    /// The most events in the answer; at least one is always allowed.
    pub limit: usize,
    /// The most bytes of payload in the answer, unless its first event alone has more.
    pub bytes: usize,
}

impl ReadMatching {
    /// All that match `query`, in pages of at most 1,000 events and 16 MiB.
    pub const fn new(query: EventQuery) -> Self {
        Self { query, after: Position::START, limit: super::PAGE_EVENTS, bytes: super::PAGE_BYTES }
    }

    /// Only those after `position`.
    pub const fn after(mut self, position: Position) -> Self {
        self.after = position;
        self
    }

    /// At most so many events; at least one is always allowed.
    pub const fn limit(mut self, events: usize) -> Self {
        self.limit = events;
        self
    }
}

/// Events that match a query. Unlike the feed it has what is recorded now, also where somebody may still write below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matches {
    /// The events, in the order of their positions.
    pub events: Vec<RecordedEvent>,
    /// The page has everything up to here that it was asked for, and there will never be more.
    pub settled: Checkpoint,
    /// Whether there were no further events when the page was read.
    pub end: bool,
}
