//! The checker and the search agree, on histories of stores that keep their laws and on histories with a fault.

use std::collections::BTreeMap;

use factum_conformance::history::{
    Answer, History, Law, Logged, Request, Tally, Violation, Witness, check, check_in_order_of_positions,
};

use crate::made::{Case, Dice, Fault, correct};
use crate::search::finds_an_order;

const CASES: u64 = 15_000;
const OPERATIONS_MAX: u64 = 7;

/// What both say of a case, once leniently and once strictly.
struct Said {
    lenient: Result<Witness, Violation>,
    strict: Result<Witness, Violation>,
}

fn ask_both(case: &Case, seed: u64) -> Said {
    let Case { history, log, .. } = case;
    let said = Said { lenient: check(history, log), strict: check_in_order_of_positions(history, log) };
    for (verdict, commits_in_order) in [(&said.lenient, false), (&said.strict, true)] {
        let found = finds_an_order(history, log, commits_in_order);
        assert_eq!(
            verdict.is_ok(),
            found,
            "case {seed}, in order {commits_in_order}: {verdict:?}\n{history}{log:#?}"
        );
        if let Ok(witness) = verdict {
            assert_witnesses(witness, history, log);
        }
        let undecided = |violation: &Violation| violation.law == Law::Undecided;
        assert!(!verdict.as_ref().is_err_and(undecided), "case {seed} can be judged:\n{history}");
    }
    said
}

/// The order of a witness keeps real time, and does what the search would do.
fn assert_witnesses(witness: &Witness, history: &History, log: &[Logged]) {
    let operations = &history.operations;
    for (step, &later) in witness.order.iter().enumerate() {
        for &earlier in &witness.order[..step] {
            assert_ne!(earlier, later, "everything happens once");
            let over = operations[later].answered.as_ref().map_or(u64::MAX, |answered| answered.at);
            assert!(over >= operations[earlier].invoked, "{witness:?} turns back time:\n{history}");
        }
    }
    // The same history without any overlap, in the order of the witness, is one that only that order explains.
    let in_turn = witness.order.iter().zip(0..).map(|(&at, turn)| {
        let mut operation = operations[at].clone();
        operation.invoked = 2 * turn;
        if let Some(answered) = &mut operation.answered {
            answered.at = 2 * turn + 1;
        }
        operation
    });
    let in_turn = History { operations: in_turn.collect() };
    // Positions may have been drawn in another order than that of the effects. The first that asked for an event and was
    // not refused wrote it.
    let mut log = log.to_vec();
    let wrote = in_turn.operations.iter().filter(|operation| {
        let answer = operation.answered.as_ref().map(|answered| &answered.answer);
        matches!(answer, None | Some(Answer::Appended { .. }))
    });
    let parts = wrote.filter_map(|operation| match &operation.request {
        Request::Append(parts) => Some(parts),
        Request::Read(_) => None,
    });
    let order: Vec<_> = parts.flatten().flat_map(|part| part.ids.clone()).collect();
    log.sort_by_key(|event| order.iter().position(|id| *id == event.id));
    let mut positions: Vec<_> = log.iter().map(|event| event.position).collect();
    positions.sort();
    for (event, position) in log.iter_mut().zip(positions) {
        event.position = position;
    }
    let mut in_turn = in_turn;
    for operation in &mut in_turn.operations {
        let Request::Append(parts) = &operation.request else { continue };
        let of = |id| log.iter().find(|event| event.id == id).map(|event| event.position);
        if let Some(Answer::Appended { position, .. }) = operation.answered.as_mut().map(|a| &mut a.answer) {
            *position = parts.iter().flat_map(|part| &part.ids).filter_map(|&id| of(id)).max().unwrap();
        }
    }
    assert!(finds_an_order(&in_turn, &log, true), "{witness:?} is not answered so:\n{history}");
}

#[test]
fn both_accept_stores_that_keep_their_laws() {
    let mut all = Tally::default();
    let (mut reordered, mut in_order) = (0, 0);
    for seed in 0..CASES {
        let case = correct(&mut Dice::new(seed), OPERATIONS_MAX);
        let said = ask_both(&case, seed);
        let witness = said.lenient.unwrap_or_else(|broken| panic!("case {seed} is correct: {broken}"));
        if case.in_order {
            in_order += 1;
            assert!(said.strict.is_ok(), "case {seed} commits in order: {:?}", said.strict);
        } else if said.strict.is_err() {
            reordered += 1;
        }
        all += witness.tally;
    }
    println!("{all:?}, {in_order} in order, {reordered} not");
    let Tally {
        appended,
        repeated,
        conflicted,
        reused,
        refused,
        unknown_written,
        unknown_idle,
        read,
        unread,
    } = all;
    for count in
        [appended, repeated, conflicted, reused, refused, unknown_written, unknown_idle, read, unread]
    {
        assert!(count > 500, "everything happened often: {all:?}");
    }
    assert!(in_order > 5000 && reordered >= 5, "{in_order} in order, {reordered} not");
}

#[test]
fn both_say_the_same_of_stores_with_a_fault() {
    /// How often a fault was there, and how often it was found, leniently and strictly.
    #[derive(Debug, Default)]
    struct Count {
        injected: u64,
        found: u64,
        found_strictly: u64,
    }
    let mut counts: BTreeMap<Fault, Count> = BTreeMap::new();
    let mut laws: BTreeMap<Law, u64> = BTreeMap::new();
    for seed in 0..2 * CASES {
        let mut dice = Dice::new(seed + 1_000_000);
        let mut case = correct(&mut dice, OPERATIONS_MAX);
        let fault = Fault::ALL[dice.index(Fault::ALL.len())];
        if fault.inject(&mut case, &mut dice).is_none() {
            continue;
        }
        let said = ask_both(&case, seed);
        let count = counts.entry(fault).or_default();
        count.injected += 1;
        count.found += u64::from(said.lenient.is_err());
        count.found_strictly += u64::from(said.strict.is_err());
        if let Err(violation) = said.strict {
            *laws.entry(violation.law).or_default() += 1;
        }
    }
    println!("{counts:#?} {laws:#?}");
    let injected: u64 = counts.values().map(|count| count.injected).sum();
    assert!(injected > CASES, "{injected} histories have a fault");
    for fault in Fault::ALL {
        let count = counts.get(&fault).unwrap_or_else(|| panic!("{fault:?} was never injected"));
        let least = 30;
        assert!(count.found >= least && count.found_strictly >= count.found, "{fault:?} is found: {count:?}");
    }
    // Faults that can look like something that may happen: that is accepted, by both.
    for fault in
        [Fault::ReadsTooLittle, Fault::SwapsPositions, Fault::ConflictsWithoutReason, Fault::HappensAtTheEnd]
    {
        assert!(counts[&fault].found < counts[&fault].injected, "{fault:?} is no fault always: {counts:?}");
    }
    let wanted = [
        Law::Numbering,
        Law::Once,
        Law::Kept,
        Law::Asked,
        Law::Whole,
        Law::Expectation,
        Law::Answer,
        Law::Conflict,
        Law::Read,
        Law::Moment,
        Law::Cause,
        Law::Commit,
    ];
    for law in wanted {
        assert!(laws.get(&law).is_some_and(|&found| found >= 20), "{law:?} is found broken: {laws:?}");
    }
}
