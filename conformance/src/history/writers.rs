//! Who wrote what is in the log.

use std::collections::HashMap;

use factum_core::{EventId, StreamId};

use super::log::{Log, Misfit};
use super::{Answer, History, Law, Operation, Part, Request, Violation};

/// The appends of the log, and who wrote each.
#[derive(Debug)]
pub(super) struct Writers {
    /// The appends that happened, in the order in which they were first asked for.
    ///
    /// Each is known by the operation that wrote it. Where several may have, the one that began first leaves the most
    /// room.
    pub(super) written: Vec<usize>,
    /// For each event of the log, the append that wrote it.
    of_event: Vec<usize>,
    /// For each operation that is an append, which one: the same number where it is the same append.
    of_operation: Vec<Option<usize>>,
    /// For each append, however often it was sent, where it was written.
    repeated: Vec<Option<usize>>,
}

/// What makes two appends the same: ids and streams.
type Same<'a> = Vec<(&'a StreamId, &'a [EventId])>;

impl Writers {
    /// Finds who wrote each event of the log.
    pub(super) fn find(history: &History, log: &Log<'_>) -> Result<Self, Violation> {
        let mut same: HashMap<Same<'_>, usize> = HashMap::new();
        let mut sent: Vec<Vec<usize>> = Vec::new();
        let mut of_operation = vec![None; history.operations.len()];
        for (at, operation) in history.operations.iter().enumerate() {
            if let Request::Append(parts) = &operation.request {
                let of = *same.entry(key(parts)).or_insert(sent.len());
                sent.resize_with(sent.len().max(of + 1), Vec::new);
                sent[of].push(at);
                of_operation[at] = Some(of);
            }
        }
        let mut rivals = Rivals::new(log);
        for (of, operations) in sent.iter().enumerate() {
            if let Some((by, places)) = writer(history, log, operations) {
                rivals.add(Rival { sent: of, by, places, is_out: false });
            }
        }
        if let Some(at) = rivals.of_event.iter().position(Vec::is_empty) {
            return Err(nobody_wrote(history, log, at));
        }
        rivals.decide().map_err(|(law, said, shown)| {
            Violation::new(law, said.to_owned()).by(shown.into_iter().map(|by| &history.operations[by]))
        })?;
        let (mut written, mut of_event) = (Vec::new(), vec![0; log.events.len()]);
        let mut repeated = vec![None; sent.len()];
        for rival in rivals.all.into_iter().filter(|rival| !rival.is_out) {
            for at in rival.places {
                of_event[at] = written.len();
            }
            repeated[rival.sent] = Some(written.len());
            written.push(rival.by);
        }
        Ok(Self { written, of_event, of_operation, repeated })
    }

    /// Who wrote an event of the log.
    pub(super) fn of(&self, at: usize) -> usize {
        self.of_event[at]
    }

    /// Where the append that an operation asked for was written, by whichever operation.
    pub(super) fn repeated(&self, operation: usize) -> Option<usize> {
        self.repeated[self.of_operation[operation]?]
    }

    /// Whether an operation wrote what it asked for.
    pub(super) fn wrote(&self, operation: usize) -> bool {
        self.repeated(operation).is_some_and(|write| self.written[write] == operation)
    }

    /// The appends that wrote an id of these.
    pub(super) fn of_ids(&self, log: &Log<'_>, parts: &[Part]) -> Vec<usize> {
        let ids = parts.iter().flat_map(|part| &part.ids);
        let mut written: Vec<_> = ids.filter_map(|&id| log.place_of(id)).map(|at| self.of(at)).collect();
        written.sort_unstable();
        written.dedup();
        written
    }
}

/// Appends that may have written what is in the log, where some share ids.
#[derive(Debug)]
struct Rivals {
    all: Vec<Rival>,
    /// Those that may have written an event, without those that are out.
    of_event: Vec<Vec<usize>>,
}

#[derive(Debug)]
struct Rival {
    /// Which append.
    sent: usize,
    /// The operation that wrote it, if it was written.
    by: usize,
    /// Its events in the log.
    places: Vec<usize>,
    /// Whether another wrote one of them.
    is_out: bool,
}

/// What is broken, how, and by which operations.
type Unsettled = (Law, &'static str, Vec<usize>);

impl Rivals {
    fn new(log: &Log<'_>) -> Self {
        Self { all: Vec::new(), of_event: vec![Vec::new(); log.events.len()] }
    }

    fn add(&mut self, rival: Rival) {
        for &at in &rival.places {
            self.of_event[at].push(self.all.len());
        }
        self.all.push(rival);
    }

    /// Leaves one for each event. Who alone may have written some event has written all of its own, so others that
    /// share one of those have not.
    fn decide(&mut self) -> Result<(), Unsettled> {
        let is_sure = |of: &Vec<usize>| of.len() == 1;
        let mut sure: Vec<usize> = self.of_event.iter().filter(|of| is_sure(of)).map(|of| of[0]).collect();
        let mut is_settled = vec![false; self.all.len()];
        while let Some(winner) = sure.pop() {
            if std::mem::replace(&mut is_settled[winner], true) {
                continue;
            }
            for at in self.all[winner].places.clone() {
                for loser in self.of_event[at].clone().into_iter().filter(|&rival| rival != winner) {
                    self.all[loser].is_out = true;
                    for at in self.all[loser].places.clone() {
                        self.of_event[at].retain(|&rival| rival != loser);
                        match self.of_event[at][..] {
                            [] => {
                                let said = "both are there, although they share an id";
                                return Err((Law::Once, said, vec![self.all[winner].by, self.all[loser].by]));
                            }
                            [last] => sure.push(last),
                            _ => {}
                        }
                    }
                }
            }
        }
        match self.of_event.iter().find(|of| of.len() > 1) {
            Some(of) => {
                let shown = of.iter().map(|&rival| self.all[rival].by).collect();
                Err((Law::Undecided, "each of these may have written an event that they share", shown))
            }
            None => Ok(()),
        }
    }
}

fn key(parts: &[Part]) -> Same<'_> {
    parts.iter().map(|part| (&part.stream, part.ids.as_slice())).collect()
}

/// The first of `operations`, which are the same append, that may have written it.
fn writer(history: &History, log: &Log<'_>, operations: &[usize]) -> Option<(usize, Vec<usize>)> {
    let places = match &history.operations[*operations.first()?].request {
        Request::Append(parts) => log.places_of(parts).ok()?,
        Request::Read(_) => return None,
    };
    if places.is_empty() || !places.is_sorted() {
        return None;
    }
    let able = operations.iter().copied().filter(|&at| {
        let operation = &history.operations[at];
        may_have_written(operation) && expectations_held(operation, log)
    });
    able.min_by_key(|&at| history.operations[at].invoked).map(|by| (by, places))
}

/// Whether the operation was not refused.
fn may_have_written(operation: &Operation) -> bool {
    let answer = operation.answered.as_ref().map(|answered| &answered.answer);
    matches!(answer, None | Some(Answer::Appended { .. }))
}

/// Whether the streams of an append were as it expects before its events, which are in place, were there.
fn expectations_held(operation: &Operation, log: &Log<'_>) -> bool {
    let Request::Append(parts) = &operation.request else { return false };
    parts.iter().all(|part| {
        let first = part.ids.first().and_then(|&id| log.place_of(id));
        first.is_some_and(|at| part.expected.is_met_by(log.version_before(at)))
    })
}

/// What is wrong with an event that nobody can have written.
fn nobody_wrote(history: &History, log: &Log<'_>, at: usize) -> Violation {
    let event = &log.events[at];
    let what = format!("event {}, version {} of {}", event.id, event.version, event.stream);
    let asked = history.operations.iter().filter_map(|operation| match &operation.request {
        Request::Append(parts) if parts.iter().any(|part| part.ids.contains(&event.id)) => {
            Some((operation, parts))
        }
        _ => None,
    });
    let asked: Vec<_> = asked.collect();
    if asked.is_empty() {
        return Violation::new(Law::Asked, format!("nobody asked for {what}"));
    }
    let shown = asked.iter().map(|(operation, _)| *operation);
    let able: Vec<_> = asked.iter().filter(|(operation, _)| may_have_written(operation)).collect();
    if able.is_empty() {
        let said = format!("all who asked for {what}, were told that it did not happen");
        return Violation::new(Law::Asked, said).by(shown);
    }
    let misfits = able.iter().map(|(_, parts)| log.places_of(parts));
    let in_place = misfits.clone().any(|places| places.is_ok_and(|places| places.is_sorted()));
    if in_place {
        let said = format!("{what}, was written although the streams were not as expected");
        return Violation::new(Law::Expectation, said).by(shown);
    }
    let said = match misfits.clone().find_map(Result::err) {
        Some(Misfit::Missing(id)) => format!("{what}, is there without event {id}"),
        Some(Misfit::Misplaced(id)) => format!("{what}, is there, and event {id} is not where it belongs"),
        None => format!("{what}, is not in the order of its append"),
    };
    Violation::new(Law::Whole, said).by(shown)
}
