//! Histories as text: what one process writes another reads, whenever the first was killed.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Mutex};

use factum_conformance::history::{Answer, History, Recorder, Request, check};

use crate::made::{Dice, correct, stream};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[test]
fn what_is_written_is_read() {
    let mut operations = 0;
    for seed in 0..2000 {
        let mut history = correct(&mut Dice::new(seed), 9).history;
        for operation in &mut history.operations {
            operation.client = "a client, with blanks".to_owned();
        }
        operations += history.operations.len();
        assert_eq!(history.to_string().parse(), Ok(history));
    }
    assert!(operations > 8000, "{operations} operations were written");
}

#[test]
fn a_history_cut_off_anywhere_is_one_with_fewer_answers() {
    let case = correct(&mut Dice::new(7), 9);
    let text = case.history.to_string();
    let mut lengths = BTreeSet::new();
    for end in 0..=text.len() {
        let cut: History = text[..end].parse().unwrap_or_else(|error| panic!("cut off at {end}: {error}"));
        assert!(case.history.operations.iter().zip(&cut.operations).all(|(whole, cut)| {
            whole.request == cut.request && (cut.answered.is_none() || cut.answered == whole.answered)
        }));
        lengths.insert(cut.operations.len());
    }
    assert_eq!(lengths.len(), case.history.operations.len() + 1);
}

#[test]
fn other_lines_are_refused() {
    let line = "began\tone\t0\t5\tread\torder/1\n";
    assert_eq!(line.parse::<History>().unwrap().operations.len(), 1);
    for (number, text) in [
        (1, "nonsense\n".to_owned()),
        (1, line.replace("read", "write")),
        (1, line.replace("order/1", "order")),
        (2, format!("{line}{line}")),
        (1, "answered\tone\t0\t6\tsaw\tnone\n".to_owned()),
        (3, format!("{line}answered\tone\t0\t6\tsaw\tnone\nanswered\tone\t0\t7\tsaw\tnone\n")),
        (2, format!("{line}answered\tone\t0\t6\tsaw\t1:1\n")),
    ] {
        assert_eq!(text.parse::<History>().map_err(|error| error.number), Err(number), "{text:?}");
    }
}

#[test]
fn a_beginning_is_written_before_anything_is_asked() {
    let sink = Sink::default();
    let clock = Arc::new(Mutex::new(0));
    let recorder = Recorder::with_clock("one", move || {
        let mut clock = clock.lock().unwrap();
        *clock += 1;
        *clock
    });
    let recorder = recorder.writing(sink.clone());
    let pending = recorder.begin(Request::Read(stream(1)));
    assert_eq!(sink.text(), "began\tone\t0\t1\tread\torder/1\n");
    pending.answer(Answer::Read(Vec::new()));
    assert_eq!(sink.text(), "began\tone\t0\t1\tread\torder/1\nanswered\tone\t0\t2\tsaw\tnone\n");
    drop(recorder.begin(Request::Read(stream(2))));
    assert_eq!(sink.text().parse(), Ok(recorder.history()));
}

#[test]
fn histories_of_several_processes_are_judged_together() {
    let mut judged = 0;
    for seed in 0..500 {
        let case = correct(&mut Dice::new(seed), 9);
        let (mut one, mut other) = (History::default(), History::default());
        for operation in case.history.operations.clone() {
            (if operation.number % 2 == 0 { &mut one } else { &mut other }).operations.push(operation);
        }
        let read = |history: &History| history.to_string().parse::<History>().unwrap();
        let joined = read(&one).and(read(&other));
        check(&joined, &case.log).unwrap_or_else(|broken| panic!("case {seed} is correct: {broken}"));
        judged += usize::from(check(&one, &case.log).is_err());
    }
    assert!(judged > 100, "the half of a history is often not enough: {judged}");
}
