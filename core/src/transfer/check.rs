//! Whether records are a log: the rule that every store has an import judged by, written once.
//!
//! Stores differ in how they keep records, never in what a log is. Record by record there is [`check_records`]. What only
//! shows over the whole of a stream is left to [`LogCheck`], which a store tells of everything that it has written, stream by
//! stream, before it lets anybody see it: so it needs no more memory than for one stream's last event, however long the log.

use super::{Record, TransferError};
use crate::error::BoxError;
use crate::retention::{Closing, RESTORED, TRUNCATED};
use crate::stream::{Position, StreamId, Version};
use crate::{RecordedEvent, name};

/// Refuses records that no store has, or whose positions do not grow after `last`. For stores, before they write them.
///
/// # Errors
///
/// [`TransferError::Invalid`] and [`TransferError::Unordered`].
pub fn check_records(records: &[Record], mut last: Position) -> Result<(), TransferError> {
    for record in records {
        let at = record.position();
        record.check().map_err(|source| TransferError::Invalid { at, source })?;
        if at <= last {
            return Err(TransferError::Unordered { at });
        }
        last = at;
    }
    Ok(())
}

impl Record {
    /// Refuses numbers, names and times that no store has.
    pub(super) fn check(&self) -> Result<(), BoxError> {
        let (position, version, recorded_at) = match self {
            Self::Live(event) | Self::Archived(event) => {
                check_content(event)?;
                (event.position, event.version, event.recorded_at)
            }
            Self::Erased(place) => (place.position, place.version, place.recorded_at),
        };
        if position == Position::START || version == Version::NONE {
            return Err("positions and versions count from 1".into());
        }
        if i64::try_from(position.0).is_err() || version > Version::MAX {
            return Err(format!("positions and versions end at {}", Version::MAX).into());
        }
        if !recorded_at.timestamp_subsec_nanos().is_multiple_of(1_000) {
            return Err("events are recorded at a whole microsecond".into());
        }
        Ok(())
    }
}

fn check_content(event: &RecordedEvent) -> Result<(), BoxError> {
    if event.schema_version == 0 || i32::try_from(event.schema_version).is_err() {
        return Err(format!("schema versions count from 1 to {}", i32::MAX).into());
    }
    name::check("codec", &event.codec)?;
    if let Some(actor) = &event.metadata.actor {
        name::check("actor", actor)?;
    }
    Ok(())
}

/// How a store keeps a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// In use.
    Live,
    /// In the archive.
    Archived,
    /// As what is left of it.
    Erased,
}

/// What the check of a log has to know of a record.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// In which stream it is.
    pub stream: &'a StreamId,
    /// Its version.
    pub version: Version,
    /// Its position.
    pub position: Position,
    /// How it is kept.
    pub part: Part,
    /// The name of the event; whatever, if it is erased.
    pub name: &'a str,
}

impl<'a> From<&'a Record> for Entry<'a> {
    fn from(record: &'a Record) -> Self {
        let (event, part) = match record {
            Record::Live(event) => (event, Part::Live),
            Record::Archived(event) => (event, Part::Archived),
            Record::Erased(place) => {
                let (version, position) = (place.version, place.position);
                return Self { stream: &place.stream, version, position, part: Part::Erased, name: "" };
            }
        };
        let (version, position, name) = (event.version, event.position, event.name.as_str());
        Self { stream: &event.stream, version, position, part, name }
    }
}

/// Checks a whole log: all of a stream after the other, and each in the order of its versions.
///
/// Versions have no hole, and grow with positions. What is erased is the beginning of a stream, which says so. An archived
/// stream is archived up to the event that says so, a deleted one is erased up to it, and nothing follows.
#[derive(Debug, Default)]
pub struct LogCheck {
    last: Option<Last>,
}

/// The last event that was looked at.
#[derive(Debug)]
struct Last {
    stream: StreamId,
    version: Version,
    position: Position,
    part: Part,
    /// How the event before it is kept.
    before: Option<Part>,
    closing: Option<Closing>,
}

impl LogCheck {
    /// The next record of the stream, or the first of another.
    ///
    /// # Errors
    ///
    /// [`TransferError::Unordered`].
    pub fn next(&mut self, entry: Entry<'_>) -> Result<(), TransferError> {
        let before = self.last.take_if(|last| last.stream == *entry.stream);
        if before.is_none() {
            self.end_stream()?;
        }
        if !follows(before.as_ref(), &entry) {
            return Err(TransferError::Unordered { at: entry.position });
        }
        let closing =
            Closing::of_event(entry.name).filter(|_| matches!(entry.part, Part::Live | Part::Archived));
        let (stream, part) = match before {
            Some(last) => (last.stream, Some(last.part)),
            None => (entry.stream.clone(), None),
        };
        self.last = Some(Last {
            stream,
            version: entry.version,
            position: entry.position,
            part: entry.part,
            before: part,
            closing,
        });
        Ok(())
    }

    /// There are no more records.
    ///
    /// # Errors
    ///
    /// [`TransferError::Unordered`].
    pub fn end(mut self) -> Result<(), TransferError> {
        self.end_stream()
    }

    fn end_stream(&mut self) -> Result<(), TransferError> {
        let Some(last) = self.last.take() else { return Ok(()) };
        let is_whole = match last.closing {
            // What is archived is all that came before.
            Some(Closing::Archived) => last.before == Some(Part::Archived),
            Some(Closing::Deleted) | None => true,
        };
        // The last event of a stream is always in use: it says what has become of the others.
        if last.part == Part::Live && is_whole {
            Ok(())
        } else {
            Err(TransferError::Unordered { at: last.position })
        }
    }
}

/// Whether `entry` may come after `last` in their stream, or may begin it.
fn follows(last: Option<&Last>, entry: &Entry<'_>) -> bool {
    let (version, position) =
        last.map_or((Version::NONE, Position::START), |last| (last.version, last.position));
    if version.next() != Some(entry.version) || entry.position <= position {
        return false;
    }
    let closing = Closing::of_event(entry.name);
    let is_next = match (last.map(|last| last.part), entry.part) {
        (None | Some(Part::Erased), Part::Erased) => true,
        (Some(Part::Erased), Part::Live) => entry.name == TRUNCATED || closing == Some(Closing::Deleted),
        (Some(Part::Erased), Part::Archived) => entry.name == TRUNCATED,
        (Some(Part::Archived), Part::Live) => closing == Some(Closing::Archived),
        // Where nothing was erased, the first event is the one that may say that the stream was truncated.
        (None, Part::Live | Part::Archived) => closing.is_none(),
        (Some(Part::Live), Part::Live) | (Some(Part::Archived), Part::Archived) => {
            entry.name != TRUNCATED && closing != Some(Closing::Deleted)
        }
        (Some(Part::Live), Part::Archived | Part::Erased) | (Some(Part::Archived), Part::Erased) => false,
    };
    let goes_on = match last.and_then(|last| last.closing.map(|closing| (closing, last))) {
        None => true,
        Some((Closing::Deleted, _)) => false,
        // What was archived, and is not restored, ends there.
        Some((Closing::Archived, last)) => {
            entry.name == RESTORED && !(last.part == Part::Live && last.before == Some(Part::Archived))
        }
    };
    is_next && goes_on
}
