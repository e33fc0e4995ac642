//! What breaks which law, in histories that are short enough to be read.

use factum_conformance::history::{
    History, Law, Logged, Tally, Violation, Witness, check, check_in_order_of_positions,
};
use factum_core::{EventId, Position, Version};

/// The history that these lines describe, with blanks for tabs, `#1` for an id, and every line ending.
fn history(lines: &str) -> History {
    let lines: Vec<_> = lines.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text = lines.join("\n").replace(' ', "\t").replace('#', "00000000-0000-0000-0000-00000000000") + "\n";
    text.parse().unwrap()
}

/// The log of these events, such as `order/1#3` for the third one: versions and positions follow.
fn log(events: &[&str]) -> Vec<Logged> {
    let mut log: Vec<Logged> = Vec::new();
    for event in events {
        let (stream, id) = event.split_once('#').unwrap();
        let stream = stream.parse().unwrap();
        let before = log.iter().filter(|event| event.stream == stream).count();
        let version = Version::NONE.forward(before + 1).unwrap();
        let id = EventId(format!("00000000-0000-0000-0000-00000000000{id}").parse().unwrap());
        log.push(Logged { id, stream, version, position: Position(log.len() as u64 + 1) });
    }
    log
}

fn judge(lines: &str, events: &[&str]) -> Result<Witness, Violation> {
    check(&history(lines), &log(events))
}

#[track_caller]
fn assert_breaks(law: Law, lines: &str, events: &[&str]) {
    let violation = judge(lines, events).expect_err("a law is broken");
    assert_eq!(violation.law, law, "{violation}");
}

const ONE: &str = "
    began c 0 10 append o/1 any #1
    answered c 0 20 appended 1 1";

#[test]
fn an_acknowledged_append_is_there() {
    assert_eq!(judge(ONE, &["o/1#1"]).unwrap().order, [0]);
    assert_breaks(Law::Kept, ONE, &[]);
    assert_breaks(Law::Whole, ONE, &["o/2#1"]);
    assert_breaks(Law::Answer, ONE, &["o/2#2", "o/1#1"]);
    assert_breaks(Law::Once, ONE, &["o/1#1", "o/1#1"]);
    assert_breaks(Law::Asked, ONE, &["o/1#1", "o/1#2"]);
}

#[test]
fn a_read_sees_what_was_acknowledged_before_it_began() {
    let read = |times: &str, saw: &str| {
        let (began, over) = times.split_once(' ').unwrap();
        format!("{ONE}\nbegan c 1 {began} read o/1\nanswered c 1 {over} saw {saw}")
    };
    assert_breaks(Law::Moment, &read("21 30", "none"), &["o/1#1"]);
    // At the same time as the append it may see it, or not; in the same nanosecond is at the same time.
    for times in ["20 30", "15 16", "1 10"] {
        judge(&read(times, "none"), &["o/1#1"]).unwrap();
        judge(&read(times, "#1:1"), &["o/1#1"]).unwrap();
    }
    assert_breaks(Law::Moment, &read("1 9", "#1:1"), &["o/1#1"]);
    assert_breaks(Law::Read, &read("21 30", "#2:1"), &["o/1#1"]);
    assert_breaks(Law::Read, &read("21 30", "#1:2"), &["o/1#1"]);
}

#[test]
fn reads_do_not_go_back() {
    let lines = "
        began c 0 10 append o/1 any #1
        began c 1 20 read o/1
        answered c 1 25 saw #1:1
        began c 2 30 read o/1
        answered c 2 35 saw none";
    let violation = judge(lines, &["o/1#1"]).expect_err("the second read goes back");
    assert_eq!(violation.law, Law::Moment);
    let numbers: Vec<_> = violation.operations.iter().map(|operation| operation.number).collect();
    assert_eq!(numbers, [2, 0, 1], "{violation}");
}

#[test]
fn an_append_to_several_streams_has_one_moment() {
    let reads = |one: &str, two: &str| {
        format!(
            "began c 0 10 append o/1 any #1 o/2 any #2
            answered c 0 100 appended 2 1,1
            began c 1 20 read o/1
            answered c 1 25 saw {one}
            began c 2 30 read o/2
            answered c 2 35 saw {two}"
        )
    };
    judge(&reads("#1:1", "#2:1"), &["o/1#1", "o/2#2"]).unwrap();
    judge(&reads("none", "#2:1"), &["o/1#1", "o/2#2"]).unwrap();
    assert_breaks(Law::Moment, &reads("#1:1", "none"), &["o/1#1", "o/2#2"]);
    assert_breaks(Law::Kept, &reads("#1:1", "#2:1"), &["o/1#1"]);
}

#[test]
fn a_read_sees_whole_appends() {
    let lines = "
        began c 0 10 append o/1 any #1,#2
        began c 1 20 read o/1
        answered c 1 25 saw #1:1";
    assert_breaks(Law::Whole, lines, &["o/1#1", "o/1#2"]);
    assert_breaks(Law::Whole, "began c 0 10 append o/1 any #1,#2", &["o/1#1"]);
    assert_breaks(Law::Whole, "began c 0 10 append o/1 any #1,#2", &["o/1#2", "o/1#1"]);
    let two = "began c 0 10 append o/1 any #1,#2\nbegan c 1 10 append o/1 any #3";
    assert_breaks(Law::Whole, two, &["o/1#1", "o/1#3", "o/1#2"]);
    assert_breaks(Law::Whole, two, &["o/1#1", "o/1#3"]);
}

#[test]
fn a_conflict_has_a_moment_at_which_it_was_one() {
    let conflict = |began: u64, over: u64, facts: &str| {
        format!(
            "{ONE}\nbegan c 1 {began} append o/1 no-stream #2\nanswered c 1 {over} conflict o/1 no-stream {facts}"
        )
    };
    judge(&conflict(15, 16, "1"), &["o/1#1"]).unwrap();
    assert_breaks(Law::Moment, &conflict(1, 9, "1"), &["o/1#1"]);
    assert_breaks(Law::Conflict, &conflict(15, 16, "none"), &["o/1#1"]);
    assert_breaks(Law::Conflict, &conflict(15, 16, "0"), &["o/1#1"]);
    assert_breaks(Law::Conflict, &conflict(15, 16, "2"), &["o/1#1"]);
    assert_breaks(Law::Conflict, &conflict(15, 16, "1").replace("conflict o/1", "conflict o/2"), &["o/1#1"]);
    assert_breaks(Law::Asked, &conflict(15, 16, "1"), &["o/1#1", "o/1#2"]);
    // It was a conflict, but not with what was asked for.
    let other = conflict(1, 9, "1").replace("conflict o/1 no-stream 1", "conflict o/1 exists none");
    assert_breaks(Law::Conflict, &other, &["o/1#1"]);
    let other = conflict(15, 16, "1").replace("append o/1 no-stream #2", "append o/2 no-stream #2");
    assert_breaks(Law::Conflict, &other, &["o/1#1"]);
}

#[test]
fn a_repeat_is_no_conflict() {
    let again =
        |answer: &str| format!("{ONE}\nbegan c 1 30 append o/1 no-stream #1\nanswered c 1 40 {answer}");
    let witness = judge(&again("appended 1 1"), &["o/1#1"]).unwrap();
    assert_eq!((witness.tally.appended, witness.tally.repeated), (1, 1));
    assert_breaks(Law::Moment, &again("conflict o/1 no-stream 1"), &["o/1#1"]);
    assert_breaks(Law::Answer, &again("reused #1 o/1 o/1 1"), &["o/1#1"]);
    assert_breaks(Law::Answer, &again("appended 2 1"), &["o/1#1"]);
    // Refused for the moment, which says nothing of what happened before.
    judge(&again("refused"), &["o/1#1"]).unwrap();
}

#[test]
fn an_unknown_outcome_may_be_late_or_never() {
    let lines = "
        began c 0 10 append o/1 no-stream #1
        began c 1 20 read o/1
        answered c 1 25 saw none
        began c 2 30 append o/1 no-stream #1
        answered c 2 35 conflict o/1 no-stream 2
        began c 3 28 append o/1 no-stream #2,#3
        answered c 3 29 appended 2 2";
    assert_eq!(judge(lines, &["o/1#2", "o/1#3"]).unwrap().tally.unknown_idle, 1);
    assert_breaks(Law::Expectation, lines, &["o/1#2", "o/1#3", "o/1#1"]);
    let late = lines.replace("no-stream #1", "any #1").replace("conflict o/1 no-stream 2", "refused");
    let tally = Tally { appended: 1, unknown_written: 1, refused: 1, read: 1, ..Tally::default() };
    assert_eq!(judge(&late, &["o/1#2", "o/1#3", "o/1#1"]).unwrap().tally, tally);
}

#[test]
fn what_is_not_as_expected_is_not_written() {
    assert_breaks(Law::Expectation, &ONE.replace("any", "exists"), &["o/1#1"]);
    assert_breaks(Law::Expectation, &ONE.replace("any", "1"), &["o/1#1"]);
    judge(&ONE.replace("any", "0"), &["o/1#1"]).unwrap();
}

#[test]
fn positions_grow_in_the_order_of_cause() {
    let two = format!("{ONE}\nbegan c 1 21 append o/2 any #2\nanswered c 1 30 appended 2 1");
    judge(&two, &["o/1#1", "o/2#2"]).unwrap();
    let turned =
        two.replace("0 20 appended 1", "0 20 appended 2").replace("1 30 appended 2", "1 30 appended 1");
    assert_breaks(Law::Cause, &turned, &["o/2#2", "o/1#1"]);
    judge(&turned.replace("1 21 append", "1 20 append"), &["o/2#2", "o/1#1"]).unwrap();
    // Not acknowledged, but read before the other began.
    let read =
        turned.replace("answered c 0 20 appended 2 1", "began c 2 12 read o/1\nanswered c 2 15 saw #1:1");
    assert_breaks(Law::Cause, &read, &["o/2#2", "o/1#1"]);
}

#[test]
fn appends_may_take_effect_in_another_order_unless_that_is_demanded() {
    // The first has drawn its position, and is not seen when the second is done.
    let lines = "
        began c 0 10 append o/1 any #1
        answered c 0 100 appended 1 1
        began c 1 20 append o/2 any #2
        answered c 1 30 appended 2 1
        began c 2 40 read o/1
        answered c 2 50 saw none";
    let (history, log) = (history(lines), log(&["o/1#1", "o/2#2"]));
    assert_eq!(check(&history, &log).unwrap().order, [1, 2, 0]);
    assert_eq!(check_in_order_of_positions(&history, &log).unwrap_err().law, Law::Commit);
}

#[test]
fn numbers_are_those_of_a_log() {
    let lines = format!("{ONE}\nbegan c 1 10 append o/1 any #2");
    let good = log(&["o/1#1", "o/1#2"]);
    assert!(check(&history(&lines), &good).is_ok());
    let mut hole = good.clone();
    hole[1].version = Version(3);
    let mut same = good;
    same[1].position = Position(1);
    for log in [hole, same] {
        assert_eq!(check(&history(&lines), &log).unwrap_err().law, Law::Numbering);
    }
}

#[test]
fn who_wrote_a_shared_id_is_told_by_what_only_one_can_have_written() {
    let lines = "
        began c 0 10 append o/1 any #1
        began c 1 10 append o/1 any #1,#2
        began c 2 20 append o/1 any #1,#3
        answered c 2 30 reused #1 o/1 o/1 1";
    let witness = judge(lines, &["o/1#1", "o/1#2"]).unwrap();
    assert_eq!(witness.order, [1, 2]);
    assert_eq!(judge(lines, &["o/1#1"]).unwrap().order, [0, 2]);
    // Either both of the first, or the third.
    let lines = "
        began c 0 10 append o/1 any #1
        began c 1 10 append o/1 any #2
        began c 2 10 append o/1 any #1,#2";
    assert_breaks(Law::Undecided, lines, &["o/1#1", "o/1#2"]);
    // The second and the third cannot both have happened.
    let lines = "
        began c 0 10 append o/1 any #1,#2
        began c 1 10 append o/1 any #2,#3";
    assert_breaks(Law::Once, lines, &["o/1#1", "o/1#2", "o/1#3"]);
}

#[test]
fn a_violation_shows_few_operations() {
    // A repeat that conflicts after a thousand others.
    let mut lines = vec![ONE.to_owned()];
    let mut log = log(&["o/1#1"]);
    for number in 1..1000_u64 {
        let id = format!("{number:08x}-0000-0000-0000-000000000000");
        lines.push(format!("began c {number} {} append o/1 any {id}", 100 * number));
        let (version, position) = (Version(number + 1), Position(number + 1));
        log.push(Logged { id: EventId(id.parse().unwrap()), version, position, ..log[0].clone() });
    }
    lines.push("began c 1000 999999 append o/1 0 #1\nanswered c 1000 999999 conflict o/1 0 1000".to_owned());
    let violation = check(&history(&lines.join("\n")), &log).unwrap_err();
    assert_eq!(violation.law, Law::Moment);
    let numbers: Vec<_> = violation.operations.iter().map(|operation| operation.number).collect();
    assert!(numbers.contains(&0) && numbers.contains(&1000) && numbers.len() < 6, "{violation}");
}
