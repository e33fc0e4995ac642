//! The slow way, to compare with: tries all orders (Wing and Gong), and does the operations one by one, by the rules
//! as the laws state them. Written from the laws, and not from the checker.

use std::collections::{HashMap, HashSet};

use factum_conformance::history::{Answer, History, Logged, Operation, Part, Request};
use factum_core::{Conflict, EventId, IdReused, StreamId, Version};

/// Whether there is an order of all operations that keeps real time, answers each as it was, and leaves the log.
///
/// If `commits_in_order`, appends must happen in the order of positions; else only positions must be given so, each
/// some time between the beginning of its append and its effect.
pub(crate) fn finds_an_order(history: &History, log: &[Logged], commits_in_order: bool) -> bool {
    let mut versions: HashMap<&StreamId, u64> = HashMap::new();
    for event in log {
        let version = versions.entry(&event.stream).or_default();
        *version += 1;
        if event.version.0 != *version {
            return false;
        }
    }
    if !log.windows(2).all(|pair| pair[0].position < pair[1].position) {
        return false;
    }
    let refused =
        |operation: &Operation| operation.answered.as_ref().is_some_and(|a| a.answer == Answer::Refused);
    let operations: Vec<_> = history.operations.iter().filter(|operation| !refused(operation)).collect();
    let search = Search { operations, log, commits_in_order };
    search.try_all(&State::default(), &mut HashSet::new())
}

struct Search<'a> {
    operations: Vec<&'a Operation>,
    log: &'a [Logged],
    commits_in_order: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    /// Which operations are done, bit by bit.
    done: u32,
    /// Who got the first positions of the log.
    drawn: Vec<usize>,
    /// The appends that happened: the operation, and the indices of its events in the log.
    happened: Vec<(usize, Vec<usize>)>,
}

impl Search<'_> {
    /// Whether the end can be reached from `state`, by a way that was not `tried`.
    fn try_all(&self, state: &State, tried: &mut HashSet<State>) -> bool {
        if self.is_end(state) {
            return true;
        }
        if !tried.insert(state.clone()) {
            return false;
        }
        let all = 0..self.operations.len();
        if !self.commits_in_order
            && all.clone().any(|at| self.draw(state, at).is_some_and(|next| self.try_all(&next, tried)))
        {
            return true;
        }
        all.clone().any(|at| {
            self.may_be_next(state, at) && self.steps(state, at).iter().any(|next| self.try_all(next, tried))
        })
    }

    /// Whether everything is done that was answered, and the log is there.
    fn is_end(&self, state: &State) -> bool {
        let answered = |at: &usize| self.operations[*at].answered.is_some();
        (0..self.operations.len()).filter(answered).all(|at| state.is_done(at))
            && state.happened.iter().map(|(_, events)| events.len()).sum::<usize>() == self.log.len()
    }

    /// Whether no operation that is not done was over before this began.
    fn may_be_next(&self, state: &State, at: usize) -> bool {
        let began = self.operations[at].invoked;
        let over = |of: usize| self.operations[of].answered.as_ref().is_some_and(|a| a.at < began);
        !state.is_done(at) && !(0..self.operations.len()).any(|of| !state.is_done(of) && over(of))
    }

    /// The operation gets the next position.
    fn draw(&self, state: &State, at: usize) -> Option<State> {
        let event = self.log.get(state.drawn.len())?;
        let asked = self.parts(at)?.iter().any(|part| part.ids.contains(&event.id));
        // Those who were told that it did not happen need no position.
        let answer = self.operations[at].answered.as_ref().map(|answered| &answered.answer);
        let asked = asked && matches!(answer, None | Some(Answer::Appended { .. }));
        (asked && self.may_be_next(state, at)).then(|| {
            let mut next = state.clone();
            next.drawn.push(at);
            next
        })
    }

    fn parts(&self, at: usize) -> Option<&[Part]> {
        match &self.operations[at].request {
            Request::Append(parts) => Some(parts),
            Request::Read(_) => None,
        }
    }

    /// What can be after the operation is done, if it is answered as it was.
    fn steps(&self, state: &State, at: usize) -> Option<State> {
        let answer = self.operations[at].answered.as_ref().map(|answered| &answered.answer);
        let mut next = state.clone();
        next.done |= 1 << at;
        let Some(parts) = self.parts(at) else {
            let Request::Read(stream) = &self.operations[at].request else { return None };
            let stream = self.stream(state, stream);
            let seen: Vec<_> = stream.into_iter().map(|(id, version, _)| (id, version)).collect();
            return (answer.is_none_or(|answer| *answer == Answer::Read(seen))).then_some(next);
        };
        let recorded = self.recorded(state, parts);
        if recorded.is_empty() {
            let conflicts = self.conflicts(state, parts);
            if conflicts.is_empty() {
                let events = self.write(state, at, parts)?;
                let told = self.told(parts, &events);
                next.happened.push((at, events));
                return answer.is_none_or(|answer| *answer == told).then_some(next);
            }
            let told = |answer: &Answer| matches!(answer, Answer::Conflict(told) if conflicts.contains(told));
            return answer.is_none_or(told).then_some(next);
        }
        let same = |of: usize| is_same(self.parts(of).unwrap_or(&[]), parts);
        if let Some((_, events)) = state.happened.iter().find(|(of, _)| same(*of)) {
            return answer.is_none_or(|answer| *answer == self.told(parts, events)).then_some(next);
        }
        // The laws do not say whether what is recorded in the right places, but by other appends, is a repeat.
        let repeat = self.in_place(state, parts).map(|events| self.told(parts, &events));
        let told = |answer: &Answer| match answer {
            Answer::IdReused(told) => recorded.contains(told),
            _ => repeat.as_ref() == Some(answer),
        };
        answer.is_none_or(told).then_some(next)
    }

    /// What is recorded of a stream: ids, versions, and indices in the log.
    fn stream(&self, state: &State, stream: &StreamId) -> Vec<(EventId, Version, usize)> {
        let events = state.happened.iter().flat_map(|(_, events)| events);
        let of_stream = events.filter(|event| self.log[**event].stream == *stream);
        of_stream.map(|&event| (self.log[event].id, self.log[event].version, event)).collect()
    }

    /// All that can be said of ids that are recorded.
    fn recorded(&self, state: &State, parts: &[Part]) -> Vec<IdReused> {
        let mut reused = Vec::new();
        for &event in state.happened.iter().flat_map(|(_, events)| events) {
            let Logged { id, stream, version, .. } = &self.log[event];
            reused.extend(parts.iter().filter(|part| part.ids.contains(id)).map(|part| IdReused {
                id: *id,
                stream: part.stream.clone(),
                recorded_stream: stream.clone(),
                recorded_version: *version,
            }));
        }
        reused
    }

    /// All that can be said of streams that are not as expected.
    fn conflicts(&self, state: &State, parts: &[Part]) -> Vec<Conflict> {
        let conflicts = parts.iter().map(|part| {
            let actual = self.stream(state, &part.stream).last().map(|(_, version, _)| *version);
            Conflict { stream: part.stream.clone(), expected: part.expected, actual }
        });
        conflicts.filter(|conflict| !conflict.expected.is_met_by(conflict.actual)).collect()
    }

    /// The events of the log that the append becomes.
    fn write(&self, state: &State, at: usize, parts: &[Part]) -> Option<Vec<usize>> {
        let mut events = Vec::new();
        for part in parts {
            let mut version = self.stream(state, &part.stream).len() as u64;
            for id in &part.ids {
                version += 1;
                let event = self.log.iter().position(|event| event.id == *id)?;
                let Logged { stream, version: found, .. } = &self.log[event];
                if *stream != part.stream || found.0 != version {
                    return None;
                }
                events.push(event);
            }
        }
        let written: usize = state.happened.iter().map(|(_, events)| events.len()).sum();
        let has_positions = if self.commits_in_order {
            events.iter().copied().eq(written..written + events.len())
        } else {
            events.is_sorted() && events.iter().all(|&event| state.drawn.get(event) == Some(&at))
        };
        (has_positions && !events.is_empty()).then_some(events)
    }

    /// The events of an append, if they are recorded in its streams, those of each in order and together.
    fn in_place(&self, state: &State, parts: &[Part]) -> Option<Vec<usize>> {
        let mut events = Vec::new();
        for part in parts {
            let stream = self.stream(state, &part.stream);
            let first = stream.iter().position(|(id, ..)| Some(id) == part.ids.first())?;
            let there = stream.get(first..first + part.ids.len())?;
            if !there.iter().map(|(id, ..)| id).eq(&part.ids) {
                return None;
            }
            events.extend(there.iter().map(|(.., event)| event));
        }
        Some(events)
    }

    /// What an append of these events is told.
    fn told(&self, parts: &[Part], events: &[usize]) -> Answer {
        let logged = || events.iter().map(|&event| &self.log[event]);
        let last = |part: &Part| {
            logged().filter(|event| event.stream == part.stream).map(|event| event.version).max()
        };
        Answer::Appended {
            position: logged().map(|event| event.position).max().unwrap_or_default(),
            versions: parts.iter().filter_map(last).collect(),
        }
    }
}

impl State {
    fn is_done(&self, at: usize) -> bool {
        self.done & (1 << at) != 0
    }
}

/// Whether two appends are the same: the same ids for the same streams in the same order.
fn is_same(one: &[Part], other: &[Part]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|(one, other)| one.stream == other.stream && one.ids == other.ids)
}
