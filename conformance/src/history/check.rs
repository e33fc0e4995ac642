//! The check: pins every operation between appends, and asks whether there are moments for all.

use std::ops::AddAssign;

use factum_core::{Conflict, EventId, IdReused, Position, StreamId, Version};

use super::graph::{Graph, Knot};
use super::log::{Log, Misfit};
use super::writers::Writers;
use super::{Answer, Answered, History, Law, Logged, Operation, Part, Request, Violation};

/// Why a history can be that of a store that keeps its laws.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Operations, as indices into the history: done one by one in this order, they are answered as they were and leave
    /// the log. Operations that were refused, and those without an answer that wrote nothing, are left out.
    pub order: Vec<usize>,
    /// What the history consists of.
    pub tally: Tally,
}

/// How many operations came to what. A history in which nothing of a kind happened proves nothing about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Acknowledged appends that wrote.
    pub appended: usize,
    /// Acknowledged appends that had been written by another operation.
    pub repeated: usize,
    /// Appends that conflicted.
    pub conflicted: usize,
    /// Appends with the ids of others.
    pub reused: usize,
    /// Appends that were refused otherwise.
    pub refused: usize,
    /// Appends without an answer that wrote.
    pub unknown_written: usize,
    /// Appends without an answer that did not.
    pub unknown_idle: usize,
    /// Answered reads.
    pub read: usize,
    /// Reads that were refused or not answered.
    pub unread: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        let Self {
            appended,
            repeated,
            conflicted,
            reused,
            refused,
            unknown_written,
            unknown_idle,
            read,
            unread,
        } = self;
        *appended += other.appended;
        *repeated += other.repeated;
        *conflicted += other.conflicted;
        *reused += other.reused;
        *refused += other.refused;
        *unknown_written += other.unknown_written;
        *unknown_idle += other.unknown_idle;
        *read += other.read;
        *unread += other.unread;
    }
}

/// Whether a store that keeps its laws can have answered so, and hold `log`, in the order of positions, at the end.
///
/// See the [module](super) for what is checked, and why that is sound and complete.
///
/// # Errors
///
/// [`Violation`]: the first law that was found broken.
pub fn check(history: &History, log: &[Logged]) -> Result<Witness, Violation> {
    let mut check = Check::new(history, log)?;
    check.solve(Law::Moment)?;
    check.draw_positions();
    check.solve(Law::Cause)
}

/// The same for a store in which appends take effect in the order of their positions, and together with all their
/// events: one that has one writer at a time, as the stores of factum do.
///
/// # Errors
///
/// [`Violation`]: the first law that was found broken.
pub fn check_in_order_of_positions(history: &History, log: &[Logged]) -> Result<Witness, Violation> {
    let mut check = Check::new(history, log)?;
    check.solve(Law::Moment)?;
    check.draw_positions();
    check.solve(Law::Cause)?;
    check.commit_in_order();
    check.solve(Law::Commit)
}

struct Check<'a> {
    history: &'a History,
    log: Log<'a>,
    writers: Writers,
    tally: Tally,
    graph: Graph,
    /// Whose moment each is. The first are those of the appends that were written, in their order.
    moments: Vec<Moment>,
}

#[derive(Clone, Copy)]
enum Moment {
    /// When an operation wrote.
    Write(usize),
    /// When an operation that wrote nothing, or nothing further, learned its answer.
    Answer(usize),
    /// When an operation got positions.
    Draw(usize),
}

impl<'a> Check<'a> {
    /// Pins all operations.
    fn new(history: &'a History, log: &'a [Logged]) -> Result<Self, Violation> {
        let log = Log::new(log)?;
        for operation in &history.operations {
            check_acknowledged(operation, &log)?;
        }
        let writers = Writers::find(history, &log)?;
        let (graph, moments) = (Graph::default(), Vec::new());
        let mut check = Self { history, log, writers, tally: Tally::default(), graph, moments };
        for write in 0..check.writers.written.len() {
            let by = check.writers.written[write];
            check.add(Moment::Write(by), u64::MAX);
        }
        check.order_streams();
        for (at, operation) in history.operations.iter().enumerate() {
            check.pin(at, operation)?;
        }
        Ok(check)
    }

    fn add(&mut self, moment: Moment, until: u64) -> usize {
        self.moments.push(moment);
        self.graph.moment(self.history.operations[moment.of()].invoked, until)
    }

    /// Appends to a stream happen in the order of its versions.
    fn order_streams(&mut self) {
        for at in 0..self.log.events.len() {
            let event = &self.log.events[at];
            let next =
                usize::try_from(event.version.0).ok().and_then(|v| self.log.stream(&event.stream).get(v));
            if let Some(&next) = next {
                let (earlier, later) = (self.writers.of(at), self.writers.of(next));
                if earlier != later {
                    self.graph.order(earlier, later);
                }
            }
        }
    }

    /// Pins an operation between the appends that its answer tells of.
    fn pin(&mut self, at: usize, operation: &'a Operation) -> Result<(), Violation> {
        match &operation.request {
            Request::Append(parts) => self.pin_append(at, operation, parts),
            Request::Read(stream) => self.pin_read(at, operation, stream),
        }
    }

    fn pin_append(&mut self, at: usize, operation: &'a Operation, parts: &[Part]) -> Result<(), Violation> {
        let wrote = self.writers.wrote(at);
        let Some(answered) = &operation.answered else {
            *(if wrote { &mut self.tally.unknown_written } else { &mut self.tally.unknown_idle }) += 1;
            return Ok(());
        };
        match &answered.answer {
            Answer::Appended { .. } => {
                *(if wrote { &mut self.tally.appended } else { &mut self.tally.repeated }) += 1;
                let moment = self.add(Moment::Answer(at), answered.at);
                for write in self.writers.of_ids(&self.log, parts) {
                    self.graph.order(write, moment);
                }
            }
            Answer::Conflict(conflict) => {
                self.tally.conflicted += 1;
                check_conflict(operation, parts, conflict)?;
                let moment = self.add(Moment::Answer(at), answered.at);
                let events = conflict.actual.unwrap_or_default();
                self.pin_between(operation, moment, &conflict.stream, events)?;
                for write in self.writers.of_ids(&self.log, parts) {
                    self.graph.order(moment, write);
                }
            }
            Answer::IdReused(reused) => {
                self.tally.reused += 1;
                let recorded = check_reused(operation, parts, reused, &self.log)?;
                if self.writers.repeated(at).is_some() {
                    let said =
                        "the ids are refused as those of another append, but it is this one that is recorded";
                    return Err(Violation::new(Law::Answer, said.to_owned()).by([operation]));
                }
                let moment = self.add(Moment::Answer(at), answered.at);
                self.graph.order(self.writers.of(recorded), moment);
            }
            Answer::Refused => self.tally.refused += 1,
            Answer::Read(_) => return Err(beside_the_point(operation)),
        }
        Ok(())
    }

    fn pin_read(&mut self, at: usize, operation: &'a Operation, stream: &StreamId) -> Result<(), Violation> {
        let (until, events) = match &operation.answered {
            None | Some(Answered { answer: Answer::Refused, .. }) => {
                self.tally.unread += 1;
                return Ok(());
            }
            Some(Answered { at, answer: Answer::Read(events) }) => (*at, events),
            Some(_) => return Err(beside_the_point(operation)),
        };
        self.tally.read += 1;
        let mut there = self.log.stream(stream).iter().map(|&at| &self.log.events[at]);
        let mut events_read = Version::NONE;
        for &(id, version) in events {
            let event = there.next();
            if event.is_none_or(|event| (event.id, event.version) != (id, version)) {
                let is = event
                    .map_or("nothing".to_owned(), |event| format!("{}, version {}", event.id, event.version));
                let said = format!("event {id}, version {version}, was read where there is {is}");
                return Err(Violation::new(Law::Read, said).by([operation]));
            }
            events_read = version;
        }
        let moment = self.add(Moment::Answer(at), until);
        self.pin_between(operation, moment, stream, events_read)
    }

    /// Pins a moment to where the last version of a stream was `version`.
    fn pin_between(
        &mut self,
        operation: &Operation,
        moment: usize,
        stream: &StreamId,
        version: Version,
    ) -> Result<(), Violation> {
        let events = self.log.stream(stream);
        let count = usize::try_from(version.0).unwrap_or(usize::MAX);
        if count > events.len() {
            let said = format!("{stream} never was at version {version}, its last is {}", events.len());
            return Err(Violation::new(Law::Conflict, said).by([operation]));
        }
        let before = count.checked_sub(1).map(|last| self.writers.of(events[last]));
        let after = events.get(count).map(|&next| self.writers.of(next));
        if let Some(write) = before.filter(|_| before == after) {
            let said = format!("version {version} of {stream} was seen, but not the rest of its append");
            let by = &self.history.operations[self.writers.written[write]];
            return Err(Violation::new(Law::Whole, said).by([operation, by]));
        }
        if let Some(write) = before {
            self.graph.order(write, moment);
        }
        if let Some(write) = after {
            self.graph.order(moment, write);
        }
        Ok(())
    }

    /// Positions are drawn in their order, each after the append began and before its effect.
    fn draw_positions(&mut self) {
        let mut last: Option<(usize, usize)> = None;
        for at in 0..self.log.events.len() {
            let write = self.writers.of(at);
            // Positions of an append that follow each other are as one.
            if last.is_some_and(|(_, of)| of == write) {
                continue;
            }
            let draw = self.add(Moment::Draw(self.writers.written[write]), u64::MAX);
            self.graph.order(draw, write);
            if let Some((earlier, _)) = last.replace((draw, write)) {
                self.graph.order(earlier, draw);
            }
        }
    }

    /// Appends happen in the order of their positions.
    fn commit_in_order(&mut self) {
        for at in 1..self.log.events.len() {
            let (earlier, later) = (self.writers.of(at - 1), self.writers.of(at));
            if earlier != later {
                self.graph.order(earlier, later);
            }
        }
    }

    /// The order of the moments, if there is one that keeps `law` and those before it.
    fn solve(&self, law: Law) -> Result<Witness, Violation> {
        let moments = self.graph.solve().map_err(|knot| self.explain(law, &knot))?;
        let order = moments.into_iter().filter_map(|at| match self.moments[at] {
            Moment::Write(of) => Some(of),
            // Where an operation wrote, its answer has no moment of its own.
            Moment::Answer(of) => (!self.writers.wrote(of)).then_some(of),
            Moment::Draw(_) => None,
        });
        Ok(Witness { order: order.collect(), tally: self.tally })
    }

    /// A chain without what is in the midst of a row of writes or of positions: their order is that of the log.
    fn shortened(&self, chain: &[usize]) -> Vec<usize> {
        let is_like = |one: usize, other: usize| self.moments[chain[one]].is_like(self.moments[chain[other]]);
        let ends = |at: usize| at == 0 || at + 1 == chain.len();
        let shown = |&at: &usize| ends(at) || !is_like(at - 1, at) || !is_like(at, at + 1);
        (0..chain.len()).filter(shown).map(|at| chain[at]).collect()
    }

    fn explain(&self, law: Law, knot: &Knot) -> Violation {
        let (said, chain) = match knot {
            Knot::Circle(chain) => {
                ("each of these must come before the next, and the last before the first", chain)
            }
            Knot::Late(chain) => {
                ("each of these must come before the next, but the last was over when the first began", chain)
            }
        };
        let mut operations: Vec<usize> =
            self.shortened(chain).into_iter().map(|at| self.moments[at].of()).collect();
        operations.dedup();
        let shown = operations.into_iter().map(|at| &self.history.operations[at]);
        Violation::new(law, said.to_owned()).by(shown)
    }
}

impl Moment {
    /// Whether the two are of the same kind, of which there may be thousands in a row that say nothing.
    fn is_like(self, other: Self) -> bool {
        matches!((self, other), (Self::Write(_), Self::Write(_)) | (Self::Draw(_), Self::Draw(_)))
    }

    fn of(self) -> usize {
        match self {
            Self::Write(of) | Self::Answer(of) | Self::Draw(of) => of,
        }
    }
}

/// What was acknowledged is there, and where the answer says.
fn check_acknowledged(operation: &Operation, log: &Log<'_>) -> Result<(), Violation> {
    let Request::Append(parts) = &operation.request else { return Ok(()) };
    let Some(Answer::Appended { position, versions }) = operation.answered.as_ref().map(|a| &a.answer) else {
        return Ok(());
    };
    let violation = |law, said| Err(Violation::new(law, said).by([operation]));
    match log.places_of(parts) {
        Err(Misfit::Missing(id)) => {
            violation(Law::Kept, format!("event {id} was acknowledged and is not there"))
        }
        Err(Misfit::Misplaced(id)) => violation(Law::Whole, format!("event {id} is not where it belongs")),
        Ok(places) => {
            let events = || places.iter().map(|&at| &log.events[at]);
            let last = events().map(|event| event.position).max();
            let of = |id: EventId| log.place_of(id).map(|at| log.events[at].version);
            let found: Vec<_> =
                parts.iter().filter_map(|part| part.ids.last().copied().and_then(of)).collect();
            if last == Some(*position) && found == *versions {
                return Ok(());
            }
            let last = last.unwrap_or(Position::START);
            violation(
                Law::Answer,
                format!("the last position is {last}, and the last versions are {found:?}"),
            )
        }
    }
}

/// A conflict is about a part of the append, and tells of a version that is not as expected.
fn check_conflict(operation: &Operation, parts: &[Part], conflict: &Conflict) -> Result<(), Violation> {
    let Conflict { stream, expected, actual } = conflict;
    let said = if !parts.iter().any(|part| part.stream == *stream && part.expected == *expected) {
        format!("{expected} was not expected of {stream}")
    } else if expected.is_met_by(*actual) {
        "what was found is what was expected".to_owned()
    } else if *actual == Some(Version::NONE) {
        "no event has version 0".to_owned()
    } else {
        return Ok(());
    };
    Err(Violation::new(Law::Conflict, said).by([operation]))
}

/// A reused id is one of the append, and is where the answer says: there, in the log.
fn check_reused(
    operation: &Operation,
    parts: &[Part],
    reused: &IdReused,
    log: &Log<'_>,
) -> Result<usize, Violation> {
    let IdReused { id, stream, recorded_stream, recorded_version } = reused;
    let is_asked = parts.iter().any(|part| part.stream == *stream && part.ids.contains(id));
    let at = log.place_of(*id).filter(|&at| {
        let event = &log.events[at];
        is_asked && event.stream == *recorded_stream && event.version == *recorded_version
    });
    at.ok_or_else(|| {
        let said = format!("event {id} is not where it is said to be, or is not of this append");
        Violation::new(Law::Answer, said).by([operation])
    })
}

/// An answer to something else.
fn beside_the_point(operation: &Operation) -> Violation {
    Violation::new(Law::Answer, "this is no answer to that".to_owned()).by([operation])
}
