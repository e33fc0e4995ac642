//! What a projection holds whose rows were committed with the checkpoint: the log, once.

use std::collections::BTreeMap;

use factum_conformance::history::Logged;
use factum_core::Version;

use crate::note::{Note, Total};

/// Whether these rows are those of the log, each once, and the totals are what they come to.
pub(crate) fn check(notes: &[Note], log: &[Logged]) -> Result<(), String> {
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
    let differ = rows.iter().zip(log).find(|(row, event)| **row != *event);
    if let Some((row, event)) = differ {
        return Err(format!("the projection has the row {row:?} where the log has {event:?}"));
    }
    if rows.len() != log.len() {
        return Err(format!("the projection has {} rows of {} events", rows.len(), log.len()));
    }
    let mut folded: BTreeMap<&str, (u64, Version)> = BTreeMap::new();
    for event in log {
        let (events, version) = folded.entry(event.stream.as_str()).or_default();
        (*events, *version) = (*events + 1, event.version);
    }
    for (stream, total) in &folded {
        let found = totals.remove(stream);
        if found != Some(*total) {
            return Err(format!("the projection has {found:?} of {stream}, and the log comes to {total:?}"));
        }
    }
    match totals.first_key_value() {
        Some((stream, _)) => Err(format!("the projection has {stream}, and the log has not")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use factum_core::{EventId, Position};

    use super::*;

    fn log() -> Vec<Logged> {
        let event = |(position, stream, version): (u64, &str, u64)| Logged {
            id: EventId::new(),
            stream: stream.parse().unwrap(),
            version: Version(version),
            position: Position(position),
        };
        [(1, "a/1", 1), (2, "b/1", 1), (5, "a/1", 2)].map(event).to_vec()
    }

    fn notes(log: &[Logged]) -> Vec<Note> {
        let total = |stream: &str, events| {
            let stream = stream.parse().unwrap();
            Note::Total(Total { stream, events, version: Version(events) })
        };
        log.iter().cloned().map(Note::Row).chain([total("a/1", 2), total("b/1", 1)]).collect()
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
    fn a_total_counts_what_is_there() {
        let log = log();
        let mut notes = notes(&log);
        let Note::Total(total) = &mut notes[3] else { panic!("a total") };
        total.events += 1;
        check(&notes, &log).unwrap_err();
    }
}
