//! Long histories are judged in seconds, also where everything happens in one stream.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use factum_conformance::history::{
    Answer, Answered, History, Law, Logged, Operation, Part, Request, check, check_in_order_of_positions,
};
use factum_core::{Conflict, EventId, Expected, Position, StreamId, Version};

use crate::made::{Dice, id, stream};

const OPERATIONS: u64 = 200_000;

/// Many clients at once on so many streams: three of five operations append, in twos where there are streams enough.
fn long_history(streams: u64) -> (History, Vec<Logged>) {
    let mut dice = Dice::new(streams);
    let (mut history, mut log) = (History::default(), Vec::new());
    let mut versions: HashMap<StreamId, Version> = HashMap::new();
    let mut contents: HashMap<StreamId, Vec<(EventId, Version)>> = HashMap::new();
    let mut last: HashMap<StreamId, u64> = HashMap::new();
    for number in 0..OPERATIONS {
        // Each has its moment in the midst of its time, and a hundred go on at once.
        let moment = 100 * number;
        let (invoked, over) = (moment.saturating_sub(dice.roll(5000)), moment + dice.roll(5000));
        let first = stream(dice.roll(streams));
        let actual = versions.get(&first).copied();
        let part = |stream: &StreamId, expected, id| Part { stream: stream.clone(), expected, ids: vec![id] };
        let (request, answer) = match dice.roll(5) {
            // Whole streams are read, so only while they are short.
            0 if actual.is_none_or(|version| version.0 < 50) => {
                let seen = contents.get(&first).cloned().unwrap_or_default();
                (Request::Read(first), Answer::Read(seen))
            }
            1 if actual.is_some() => {
                let expected = Expected::NoStream;
                let conflict = Conflict { stream: first.clone(), expected, actual };
                (Request::Append(vec![part(&first, expected, id(2 * number))]), Answer::Conflict(conflict))
            }
            2 if last.contains_key(&first) => {
                // A repeat of what was written last.
                let written = last[&first];
                let Operation { request, answered, .. } =
                    history.operations[usize::try_from(written).unwrap()].clone();
                (request, answered.unwrap().answer)
            }
            _ => {
                let mut names = vec![first.clone()];
                names.extend(
                    (streams > 1).then(|| stream(dice.roll(streams))).filter(|other| *other != first),
                );
                let (mut parts, mut now) = (Vec::new(), Vec::new());
                for (stream, event) in names.iter().zip(0..) {
                    let version = versions.entry(stream.clone()).or_default();
                    let id = id(2 * number + event);
                    parts.push(part(stream, Expected::Exactly(*version), id));
                    *version = version.next().unwrap();
                    now.push(*version);
                    let position = Position(log.len() as u64 + 1);
                    log.push(Logged { id, stream: stream.clone(), version: *version, position });
                    contents.entry(stream.clone()).or_default().push((id, *version));
                    last.insert(stream.clone(), number);
                }
                let answer = Answer::Appended { position: Position(log.len() as u64), versions: now };
                (Request::Append(parts), answer)
            }
        };
        let answered = Some(Answered { at: over, answer });
        history.operations.push(Operation { client: "long".to_owned(), number, invoked, request, answered });
    }
    (history, log)
}

#[test]
fn judges_200_000_operations_in_seconds() {
    for streams in [1, 20, 10_000] {
        let (history, log) = long_history(streams);
        let start = Instant::now();
        let witness = check_in_order_of_positions(&history, &log).unwrap_or_else(|broken| panic!("{broken}"));
        let took = start.elapsed();
        println!("{streams} streams: {took:?}, {:?}", witness.tally);
        assert!(took < Duration::from_secs(30), "{streams} streams take {took:?}");
        let tally = witness.tally;
        assert!(tally.appended > 50_000 && tally.repeated > 1000 && tally.conflicted > 1000, "{tally:?}");
    }
}

#[test]
fn finds_one_fault_among_200_000_operations() {
    let (mut history, log) = long_history(20);
    // A conflict in the midst of it, which tells of a version that was passed long before.
    let stale = history.operations.iter_mut().rev().find_map(|operation| match &mut operation.answered {
        Some(Answered { answer: Answer::Conflict(Conflict { actual, .. }), .. }) => actual.as_mut(),
        _ => None,
    });
    stale.unwrap().0 -= 500;
    let start = Instant::now();
    let violation = check(&history, &log).expect_err("the conflict is stale");
    assert!(start.elapsed() < Duration::from_secs(30), "it takes {:?}", start.elapsed());
    assert_eq!(violation.law, Law::Moment);
    assert!(violation.operations.len() < 20, "few operations show it: {violation}");
}
