//! Rows that clients write in the transaction of an append: there if it was recorded, and not if it was not.

use std::collections::HashSet;

use factum_conformance::history::Logged;
use factum_core::EventId;

use crate::note::Note;

/// Whether each row that is there has its event in the log, and each that was acknowledged with its event is there. Says
/// how many are there.
pub(crate) fn check(rows: &[Note], workers: &[Note], log: &[Logged]) -> Result<usize, String> {
    let rows = marks(rows);
    let recorded: HashSet<EventId> = log.iter().map(|event| event.id).collect();
    if let Some(id) = rows.difference(&recorded).next() {
        return Err(format!("the row that was committed with event {id} is there, and the event is not"));
    }
    if let Some(id) = marks(workers).difference(&rows).next() {
        return Err(format!("event {id} was committed with a row that is not there"));
    }
    Ok(rows.len())
}

fn marks(notes: &[Note]) -> HashSet<EventId> {
    let mark = |note: &Note| if let Note::Mark(id) = note { Some(*id) } else { None };
    notes.iter().filter_map(mark).collect()
}

#[cfg(test)]
mod tests {
    use factum_core::{Position, Version};

    use super::*;

    #[test]
    fn a_row_and_its_event_are_there_together() {
        let ids = [EventId::new(), EventId::new()];
        let event = |id| {
            let (stream, version, position) = ("a/1".parse().unwrap(), Version(1), Position(1));
            Logged { id, stream, version, position }
        };
        let both = ids.map(Note::Mark);

        // The second was not acknowledged.
        assert_eq!(check(&both, &both[..1], &ids.map(event)), Ok(2));
        check(&both, &both, &[event(ids[0])]).expect_err("a row without its event");
        check(&both[..1], &both, &ids.map(event)).expect_err("an event without its row");
    }
}
