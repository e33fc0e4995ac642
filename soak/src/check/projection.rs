//! What a projection holds whose rows were committed with the checkpoint: the log, once; and of what was erased since, or
//! before it came there, a row or none.

use std::collections::BTreeMap;

use factum_core::Version;

use super::left::Left;
use crate::note::{Note, Total};

/// Whether these rows are those of the log, each once, and the totals are what they come to.
pub(crate) fn check(notes: &[Note], log: &[Left]) -> Result<(), String> {
    let (mut rows, mut totals) = (Vec::new(), BTreeMap::new());
    for note in notes {
        match note {
            Note::Row(row) => rows.push(row),
            Note::Total(Total { stream, events, version }) => {
                if totals.insert(stream.as_str(), (*events, *version)).is_some() {
                    return Err(format!("the projection has {stream} twice"));
                }
            }
            _ => return Err(format!("the projection has {note:?}")),
        }
    }
    let mut left = log.iter();
    for row in &rows {
        let next = left.find(|left| left.event() == *row || left.name().is_some());
        if next.map(Left::event) != Some(*row) {
            return Err(format!("the projection has the row {row:?} where the log has {next:?}"));
        }
    }
    if let Some(missing) = left.find(|left| left.name().is_some()) {
        return Err(format!("the projection has {} rows, and none for {missing:?}", rows.len()));
    }
    let mut folded: BTreeMap<&str, (u64, Version)> = BTreeMap::new();
    for event in rows {
        let (events, version) = folded.entry(event.stream.as_str()).or_default();
        (*events, *version) = (*events + 1, event.version);
    }
    for (stream, total) in &folded {
        let found = totals.remove(stream);
        if found != Some(*total) {
            return Err(format!("the projection has {found:?} of {stream}, and its rows come to {total:?}"));
        }
    }
    match totals.first_key_value() {
        Some((stream, _)) => Err(format!("the projection has a total of {stream}, and no row")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use factum_conformance::history::Logged;
    use factum_core::{EventId, Position};

    use super::*;
    use crate::note::Seen;

    fn log() -> Vec<Left> {
        let event = |(position, stream, version): (u64, &str, u64)| Seen {
            event: Logged {
                id: EventId::new(),
                stream: stream.parse().unwrap(),
                version: Version(version),
                position: Position(position),
            },
            name: "soak.happened".to_owned(),
            is_whole: true,
        };
        [(1, "a/1", 1), (2, "b/1", 1), (5, "a/1", 2)].map(event).map(Left::Live).to_vec()
    }

    fn notes(log: &[Left]) -> Vec<Note> {
        let total = |stream: &str, events| {
            let stream = stream.parse().unwrap();
            Note::Total(Total { stream, events, version: Version(events) })
        };
        log.iter()
            .map(|left| Note::Row(left.event().clone()))
            .chain([total("a/1", 2), total("b/1", 1)])
            .collect()
    }

    #[test]
    fn the_rows_are_the_log_and_the_totals_its_fold() {
        let log = log();
        assert_eq!(check(&notes(&log), &log), Ok(()));
    }

    #[test]
    fn nothing_is_missing_and_nothing_there_twice() {
        let log = log();
        for at in 0..notes(&log).len() {
            let mut fewer = notes(&log);
            let note = fewer.remove(at);
            check(&fewer, &log).unwrap_err();
            let mut more = notes(&log);
            more.insert(at, note);
            check(&more, &log).unwrap_err();
        }
    }

    #[test]
    fn of_what_was_erased_there_is_a_row_or_none() {
        let mut log = log();
        let with = notes(&log);
        log[1] = Left::Erased(log[1].event().clone());
        assert_eq!(check(&with, &log), Ok(()));
        let mut without = with.clone();
        // The row, and the total that is the fold of it alone.
        without.retain(|note| {
            let text = note.to_string();
            !text.contains("b/1")
        });
        assert_eq!((without.len(), check(&without, &log)), (with.len() - 2, Ok(())));
        check(&with[1..], &log).expect_err("a row of what is there is missing");
        let mut twice = with;
        twice.insert(1, Note::Row(log[1].event().clone()));
        check(&twice, &log).expect_err("a row is there twice");
    }

    #[test]
    fn a_total_counts_what_is_there() {
        let log = log();
        let mut notes = notes(&log);
        let Note::Total(total) = &mut notes[3] else { panic!("a total") };
        total.events += 1;
        check(&notes, &log).unwrap_err();
    }
}
