//! Small histories that are made up: of a store that keeps its laws, and with one fault.

use std::collections::HashMap;

use factum_conformance::history::{Answer, Answered, History, Logged, Operation, Part, Request};
use factum_core::{Conflict, EventId, Expected, IdReused, Position, StreamId, Version};
use uuid::Uuid;

/// What is to be judged.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) history: History,
    pub(crate) log: Vec<Logged>,
    /// Whether appends took effect in the order of their positions by construction.
    pub(crate) in_order: bool,
}

/// Numbers that look random, and are the same for the same seed (`SplitMix64`).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// One of the numbers below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }

    /// Once in so many times.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.roll(len as u64)).unwrap()
    }
}

/// From here on ids are those of one append only.
const OWN: u64 = 1000;

/// One of a few streams.
pub(crate) fn stream(number: u64) -> StreamId {
    StreamId::new("order", &number.to_string()).unwrap()
}

/// A number as an id.
pub(crate) fn id(number: u64) -> EventId {
    EventId(Uuid::from_u128(u128::from(number)))
}

/// An operation while it is made.
struct Draft {
    invoked: u64,
    /// When it happens, if it does.
    moment: Option<u64>,
    /// When it is over, if anybody hears of it.
    over: Option<u64>,
    request: Request,
    answer: Answer,
}

/// A history of a store that keeps its laws, at most `operations_max` long.
///
/// Times are small numbers, so that many are equal.
pub(crate) fn correct(dice: &mut Dice, operations_max: u64) -> Case {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut ids = 0;
    // From nearly one after the other to nearly all at once.
    let (span, long) = (10 + dice.roll(50), 1 + dice.roll(20));
    // Half of the histories are of clients who demand nothing and look often.
    let is_calm = dice.once_in(2);
    for _ in 0..2 + dice.roll(operations_max - 1) {
        let mut request = request(dice, &drafts, &mut ids);
        if is_calm {
            calm(&mut request, dice);
        }
        // Those who look often look shortly, and some appends take long.
        let long = match request {
            Request::Read(_) if is_calm => 2,
            Request::Append(_) if dice.once_in(3) => 5 * long,
            _ => long,
        };
        let invoked = dice.roll(span);
        let moment = invoked + dice.roll(long);
        let over = moment + dice.roll(long);
        let draft =
            Draft { invoked, moment: Some(moment), over: Some(over), request, answer: Answer::Refused };
        drafts.push(match dice.roll(10) {
            // Its client does not hear of it, and it may happen late.
            0 => Draft { moment: Some(moment + dice.roll(30)), over: None, ..draft },
            // It never happens, and nobody knows.
            1 => Draft { moment: None, over: None, ..draft },
            // It is refused.
            2 if dice.once_in(3) => Draft { moment: None, ..draft },
            _ => draft,
        });
    }
    let in_order = dice.once_in(2);
    let log = happen(dice, &mut drafts, in_order);
    let operations = drafts.into_iter().zip(0..).map(|(draft, number)| {
        let Draft { invoked, over, request, answer, .. } = draft;
        let answered = over.map(|at| Answered { at, answer });
        Operation { client: "made".to_owned(), number, invoked, request, answered }
    });
    Case { history: History { operations: operations.collect() }, log, in_order }
}

fn request(dice: &mut Dice, drafts: &[Draft], ids: &mut u64) -> Request {
    let earlier = (!drafts.is_empty()).then(|| drafts[dice.index(drafts.len())].request.clone());
    match (dice.roll(10), earlier) {
        (0..3, _) => Request::Read(stream(dice.roll(2))),
        // A repeat, perhaps under other expectations.
        (3..5, Some(Request::Append(mut parts))) => {
            if dice.once_in(2) {
                for part in &mut parts {
                    part.expected = expected(dice);
                }
            }
            Request::Append(parts)
        }
        // Another append that shares an id.
        (5, Some(Request::Append(earlier))) => {
            // Each has one id of its own too, that is not shared: so it is never in doubt who wrote.
            let shared = earlier[0].ids.iter().copied().find(|shared| *shared < id(OWN)).unwrap();
            *ids += 1;
            let ids = vec![id(OWN + *ids), shared];
            let mut parts = vec![Part { stream: stream(dice.roll(2)), expected: expected(dice), ids }];
            if dice.once_in(2) {
                parts[0].ids.reverse();
            }
            Request::Append(parts)
        }
        _ => {
            let first = dice.roll(2);
            let streams = if dice.once_in(3) { vec![first, 1 - first] } else { vec![first] };
            let parts = streams.into_iter().map(|number| {
                let count = 1 + dice.roll(2);
                *ids += count;
                let ids = (*ids - count + 1..=*ids).map(id).collect();
                Part { stream: stream(number), expected: expected(dice), ids }
            });
            Request::Append(parts.collect())
        }
    }
}

/// Turns some requests into reads, and lets the others demand nothing.
fn calm(request: &mut Request, dice: &mut Dice) {
    match request {
        Request::Append(_) if dice.once_in(3) => *request = Request::Read(stream(dice.roll(2))),
        Request::Append(parts) => {
            for part in parts {
                part.expected = Expected::Any;
            }
        }
        Request::Read(_) => {}
    }
}

pub(crate) fn expected(dice: &mut Dice) -> Expected {
    match dice.roll(8) {
        0..3 => Expected::Any,
        3 => Expected::NoStream,
        4 => Expected::Exists,
        _ => Expected::Exactly(Version(dice.roll(4))),
    }
}

/// Does what is drafted, in the order of its moments, and fills in the answers.
fn happen(dice: &mut Dice, drafts: &mut [Draft], in_order: bool) -> Vec<Logged> {
    let mut order: Vec<usize> = (0..drafts.len()).filter(|&at| drafts[at].moment.is_some()).collect();
    order.sort_by_key(|&at| drafts[at].moment);
    let mut log: Vec<Logged> = Vec::new();
    // For each event the time at which its position is drawn: not before that of any in the same stream.
    let mut drawn: Vec<u64> = Vec::new();
    let mut of_stream: HashMap<StreamId, u64> = HashMap::new();
    // The acknowledged, whose positions are not known yet: the operation, and its last event.
    let mut acknowledged: Vec<(usize, EventId)> = Vec::new();
    let mut happened = Vec::new();
    for at in order {
        let moment = drafts[at].moment.unwrap();
        let parts = match &drafts[at].request {
            Request::Append(parts) => parts.clone(),
            Request::Read(stream) => {
                let seen = log.iter().filter(|event| event.stream == *stream);
                drafts[at].answer = Answer::Read(seen.map(|event| (event.id, event.version)).collect());
                continue;
            }
        };
        let known = |id: &EventId| log.iter().position(|event| event.id == *id);
        let ids = || parts.iter().flat_map(|part| part.ids.iter().map(move |id| (part, id)));
        if let Some((part, event)) = ids().find_map(|(part, id)| known(id).map(|event| (part, event))) {
            let event = &log[event];
            let is_repeat = happened.contains(&key(&parts));
            drafts[at].answer = if is_repeat {
                acknowledged.push((at, *ids().last().unwrap().1));
                let last = |part: &Part| part.ids.last().and_then(known).map(|at| log[at].version);
                Answer::Appended {
                    position: Position::START,
                    versions: parts.iter().filter_map(last).collect(),
                }
            } else {
                Answer::IdReused(IdReused {
                    id: event.id,
                    stream: part.stream.clone(),
                    recorded_stream: event.stream.clone(),
                    recorded_version: event.version,
                })
            };
            continue;
        }
        let actual = |part: &Part| {
            log.iter().filter(|event| event.stream == part.stream).map(|event| event.version).max()
        };
        let conflict = parts.iter().rev().find(|part| !part.expected.is_met_by(actual(part)));
        if let Some(part) = conflict {
            let (stream, expected, actual) = (part.stream.clone(), part.expected, actual(part));
            drafts[at].answer = Answer::Conflict(Conflict { stream, expected, actual });
            continue;
        }
        let began = drafts[at].invoked;
        let earlier = parts.iter().filter_map(|part| of_stream.get(&part.stream)).copied().max().unwrap_or(0);
        let draw = if in_order {
            moment
        } else {
            earlier.max(if dice.once_in(2) { began } else { began + dice.roll(moment - began + 1) })
        };
        let mut versions: Vec<_> = parts.iter().map(|part| actual(part).unwrap_or_default()).collect();
        for (part, version) in parts.iter().zip(&mut versions) {
            of_stream.insert(part.stream.clone(), draw);
            for &id in &part.ids {
                *version = version.next().unwrap();
                let version = *version;
                log.push(Logged { id, stream: part.stream.clone(), version, position: Position::START });
                drawn.push(draw);
            }
        }
        happened.push(key(&parts));
        drafts[at].answer = Answer::Appended { position: Position::START, versions };
        acknowledged.push((at, log[log.len() - 1].id));
    }
    let mut order: Vec<usize> = (0..log.len()).collect();
    order.sort_by_key(|&event| drawn[event]);
    let mut log: Vec<Logged> = order.into_iter().map(|event| log[event].clone()).collect();
    number(dice, &mut log);
    for (at, last) in acknowledged {
        if let Answer::Appended { position, .. } = &mut drafts[at].answer {
            *position = log.iter().find(|event| event.id == last).unwrap().position;
        }
    }
    log
}

/// What makes appends the same.
fn key(parts: &[Part]) -> Vec<(StreamId, Vec<EventId>)> {
    parts.iter().map(|part| (part.stream.clone(), part.ids.clone())).collect()
}

/// Gives positions, with holes.
fn number(dice: &mut Dice, log: &mut [Logged]) {
    let mut position = 0;
    for event in log {
        position += 1 + dice.roll(2);
        event.position = Position(position);
    }
}

/// Something that is wrong with a store, or seems so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// An acknowledged append is not there.
    LosesAnAppend,
    /// An event is not there, and others have taken its version.
    LosesAnEvent,
    /// There is an event that nobody asked for.
    MakesUpAnEvent,
    /// An append that was refused, or conflicted, is there.
    WritesInVain,
    /// What is there is answered as if it were not.
    DeniesAnAppend,
    /// A read does not see the last events.
    ReadsTooLittle,
    /// A read sees what was not there yet.
    ReadsTooMuch,
    /// A read leaves out an event.
    ReadsWithHoles,
    /// A conflict that is none, or tells of another version.
    ConflictsWithoutReason,
    /// A conflict is answered as if it had happened, and it has.
    IgnoresAConflict,
    /// An append is there twice.
    WritesTwice,
    /// Two events of a stream have changed places.
    SwapsVersions,
    /// Two events that follow each other have changed places in the log only.
    SwapsPositions,
    /// An answer tells of another position or version.
    AnswersWrongly,
    /// A reuse that is none, or tells of another place.
    RefusesIds,
    /// An operation is answered sooner than it was.
    AnswersSooner,
    /// An operation began later than it did.
    BeginsLater,
    /// An operation was done at another time than it was.
    MovesInTime,
    /// An append without an answer is there at the end, where it was not.
    HappensAtTheEnd,
}

impl Fault {
    pub(crate) const ALL: [Self; 19] = [
        Self::LosesAnAppend,
        Self::LosesAnEvent,
        Self::MakesUpAnEvent,
        Self::WritesInVain,
        Self::DeniesAnAppend,
        Self::ReadsTooLittle,
        Self::ReadsTooMuch,
        Self::ReadsWithHoles,
        Self::ConflictsWithoutReason,
        Self::IgnoresAConflict,
        Self::WritesTwice,
        Self::SwapsVersions,
        Self::SwapsPositions,
        Self::AnswersWrongly,
        Self::RefusesIds,
        Self::AnswersSooner,
        Self::BeginsLater,
        Self::MovesInTime,
        Self::HappensAtTheEnd,
    ];

    /// Brings the fault into a history, if there is a place for it.
    #[expect(clippy::too_many_lines, reason = "a few lines for each fault")]
    pub(crate) fn inject(self, case: &mut Case, dice: &mut Dice) -> Option<()> {
        let operations = &mut case.history.operations;
        let log = &mut case.log;
        let acknowledged = |operation: &Operation| matches!(answer(operation), Some(Answer::Appended { .. }));
        let conflicted = |operation: &Operation| matches!(answer(operation), Some(Answer::Conflict(_)));
        let is_append = |operation: &Operation| matches!(operation.request, Request::Append(_));
        match self {
            Self::LosesAnAppend => {
                let parts = parts(pick(operations, dice, acknowledged)?)?;
                log.retain(|event| !parts.iter().any(|part| part.ids.contains(&event.id)));
                renumber(log);
            }
            Self::LosesAnEvent => {
                (!log.is_empty()).then(|| log.remove(dice.index(log.len())))?;
                renumber(log);
            }
            Self::MakesUpAnEvent => {
                let event = Logged {
                    id: id(0),
                    stream: stream(dice.roll(2)),
                    version: Version::NONE,
                    position: Position::START,
                };
                insert(log, vec![event], dice);
            }
            Self::WritesInVain => {
                let refused = |operation: &Operation| is_append(operation) && !acknowledged(operation);
                let parts = parts(pick(operations, dice, refused)?)?;
                write(log, &parts, dice);
            }
            Self::DeniesAnAppend => {
                let operation = pick(operations, dice, acknowledged)?;
                operation.answered.as_mut()?.answer = Answer::Refused;
            }
            Self::ReadsTooLittle => {
                let read = pick(
                    operations,
                    dice,
                    |o| matches!(answer(o), Some(Answer::Read(seen)) if !seen.is_empty()),
                )?;
                if let Answer::Read(seen) = &mut read.answered.as_mut()?.answer {
                    seen.truncate(dice.index(seen.len()));
                }
            }
            Self::ReadsTooMuch => {
                let read = pick(operations, dice, |o| matches!(answer(o), Some(Answer::Read(_))))?;
                let Request::Read(stream) = &read.request else { return None };
                let there: Vec<_> = log.iter().filter(|event| event.stream == *stream).collect();
                if let Answer::Read(seen) = &mut read.answered.as_mut()?.answer {
                    let rest = &there[seen.len()..];
                    let more = dice.index(rest.len() + 1);
                    seen.extend(rest[..more].iter().map(|event| (event.id, event.version)));
                    (more > 0).then_some(())?;
                }
            }
            Self::ReadsWithHoles => {
                let read = pick(
                    operations,
                    dice,
                    |o| matches!(answer(o), Some(Answer::Read(seen)) if seen.len() > 1),
                )?;
                if let Answer::Read(seen) = &mut read.answered.as_mut()?.answer {
                    seen.remove(dice.index(seen.len()));
                }
            }
            Self::ConflictsWithoutReason => {
                let operation = pick(operations, dice, |o| is_append(o) && o.answered.is_some())?;
                let part = &parts(operation)?[0];
                let actual = Some(Version(dice.roll(4))).filter(|version| version.0 > 0 || dice.once_in(5));
                let mut conflict = Conflict { stream: part.stream.clone(), expected: part.expected, actual };
                if dice.once_in(4) {
                    (conflict.stream, conflict.expected) = (stream(dice.roll(2)), expected(dice));
                }
                operation.answered.as_mut()?.answer = Answer::Conflict(conflict);
            }
            Self::IgnoresAConflict => {
                let operation = pick(operations, dice, conflicted)?;
                let parts = parts(operation)?;
                write(log, &parts, dice);
                operation.answered.as_mut()?.answer = told(log, &parts);
            }
            Self::WritesTwice => {
                let parts = parts(pick(operations, dice, acknowledged)?)?;
                write(log, &parts, dice);
            }
            Self::SwapsVersions => {
                (log.len() > 1).then_some(())?;
                let (one, other) = (dice.index(log.len()), dice.index(log.len()));
                (one != other && log[one].stream == log[other].stream).then_some(())?;
                let (first, second) = (log[one].id, log[other].id);
                (log[one].id, log[other].id) = (second, first);
                if dice.once_in(3) {
                    let (first, second) = (log[one].version, log[other].version);
                    (log[one].version, log[other].version) = (second, first);
                }
            }
            Self::SwapsPositions => {
                (log.len() > 1).then_some(())?;
                let at = dice.index(log.len() - 1);
                let (first, second) = (log[at].position, log[at + 1].position);
                log.swap(at, at + 1);
                (log[at].position, log[at + 1].position) = (first, second);
                for operation in operations.iter_mut().filter(|operation| acknowledged(operation)) {
                    let parts = parts(operation)?;
                    operation.answered.as_mut()?.answer = told(log, &parts);
                }
            }
            Self::AnswersWrongly => {
                let operation = pick(operations, dice, acknowledged)?;
                if let Answer::Appended { position, versions } = &mut operation.answered.as_mut()?.answer {
                    if dice.once_in(2) {
                        position.0 += 1;
                    } else {
                        versions[0].0 += 1;
                    }
                }
            }
            Self::RefusesIds => {
                let operation = pick(operations, dice, |o| is_append(o) && o.answered.is_some())?;
                let part = &parts(operation)?[0];
                (!log.is_empty()).then_some(())?;
                let place = log[dice.index(log.len())].clone();
                operation.answered.as_mut()?.answer = Answer::IdReused(IdReused {
                    id: part.ids[0],
                    stream: part.stream.clone(),
                    recorded_stream: place.stream,
                    recorded_version: place.version,
                });
            }
            Self::AnswersSooner => {
                let operation = pick(operations, dice, |operation| operation.answered.is_some())?;
                let (began, answered) = (operation.invoked, operation.answered.as_mut()?);
                answered.at =
                    if dice.once_in(2) { began } else { began + dice.roll(answered.at - began + 1) };
            }
            Self::BeginsLater => {
                let operation = pick(operations, dice, |_| true)?;
                let over = operation.answered.as_ref().map_or(operation.invoked + 40, |answered| answered.at);
                operation.invoked = if dice.once_in(2) {
                    over
                } else {
                    operation.invoked + dice.roll(over - operation.invoked + 1)
                };
            }
            Self::MovesInTime => {
                let operation = pick(operations, dice, |operation| operation.answered.is_some())?;
                let answered = operation.answered.as_mut()?;
                let (took, began) = (answered.at - operation.invoked, dice.roll(80));
                (operation.invoked, answered.at) = (began, began + took);
            }
            Self::HappensAtTheEnd => {
                let operation = pick(operations, dice, |o| is_append(o) && o.answered.is_none())?;
                let parts = parts(operation)?;
                write(log, &parts, dice);
            }
        }
        Some(())
    }
}

fn answer(operation: &Operation) -> Option<&Answer> {
    operation.answered.as_ref().map(|answered| &answered.answer)
}

fn parts(operation: &Operation) -> Option<Vec<Part>> {
    match &operation.request {
        Request::Append(parts) => Some(parts.clone()),
        Request::Read(_) => None,
    }
}

fn pick<'a>(
    operations: &'a mut [Operation],
    dice: &mut Dice,
    which: impl Fn(&Operation) -> bool,
) -> Option<&'a mut Operation> {
    let mut those: Vec<_> = operations.iter_mut().filter(|operation| which(operation)).collect();
    (!those.is_empty()).then(|| those.swap_remove(dice.index(those.len())))
}

/// Writes an append somewhere into the log, mostly at its end.
fn write(log: &mut Vec<Logged>, parts: &[Part], dice: &mut Dice) {
    let events = parts.iter().flat_map(|part| {
        let logged = |&id| Logged {
            id,
            stream: part.stream.clone(),
            version: Version::NONE,
            position: Position::START,
        };
        part.ids.iter().map(logged)
    });
    insert(log, events.collect(), dice);
}

fn insert(log: &mut Vec<Logged>, events: Vec<Logged>, dice: &mut Dice) {
    let at = if dice.once_in(3) { dice.index(log.len() + 1) } else { log.len() };
    let is_last = at == log.len();
    log.splice(at..at, events);
    if !is_last {
        number(dice, log);
    }
    renumber(log);
}

/// Makes versions dense again, and gives positions to those that have none.
fn renumber(log: &mut [Logged]) {
    let mut versions: HashMap<StreamId, Version> = HashMap::new();
    let mut last = Position::START;
    for event in log {
        let version = versions.entry(event.stream.clone()).or_default();
        *version = version.next().unwrap();
        event.version = *version;
        event.position = event.position.max(Position(last.0 + 1));
        last = event.position;
    }
}

/// What those are told whose append is in the log.
fn told(log: &[Logged], parts: &[Part]) -> Answer {
    let events =
        || parts.iter().flat_map(|part| &part.ids).filter_map(|id| log.iter().rfind(|event| event.id == *id));
    let last =
        |part: &Part| events().filter(|event| event.stream == part.stream).map(|event| event.version).max();
    Answer::Appended {
        position: events().map(|event| event.position).max().unwrap_or_default(),
        versions: parts.iter().filter_map(last).collect(),
    }
}
