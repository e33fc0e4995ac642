//! The rule of appending: what an append comes to, given what is recorded already. Laws 2 to 4 in one pure function.
//!
//! Stores differ in how they learn what is recorded and how they write; they do not differ in what an append means,
//! so that is said once, here.

use std::collections::HashMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::{Append, Appended, Condition, StreamAppend};
use crate::envelope::RecordedEvent;
use crate::error::{AppendError, Conflict, IdReused, Invalid, Overtaken, StoreError, StreamClosed};
use crate::metadata::EventId;
use crate::retention::Closing;
use crate::stream::{Position, StreamId, Version};

/// What is recorded already, as far as an append needs to know.
pub trait History {
    /// The version of the stream's last event.
    fn version_of(&self, stream: &StreamId) -> Option<Version>;
    /// Where an event with this id is.
    fn place_of(&self, id: EventId) -> Option<Place>;
    /// What has closed the stream.
    fn closing_of(&self, stream: &StreamId) -> Option<Closing>;
    /// What breaks the condition: the first such event.
    fn breach_of(&self, condition: &Condition) -> Option<Breach>;
}

/// What breaks a condition.
#[derive(Clone, Debug)]
pub enum Breach {
    /// This event came in between.
    Overtaken(Overtaken),
    /// The log is not the one that the decision has read.
    OtherLog(StoreError),
}

impl From<Breach> for AppendError {
    fn from(breach: Breach) -> Self {
        match breach {
            Breach::Overtaken(error) => error.into(),
            Breach::OtherLog(error) => error.into(),
        }
    }
}

/// Where an event is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// In which stream.
    pub stream: StreamId,
    /// Its version.
    pub version: Version,
    /// Its position.
    pub position: Position,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
}

/// What an append comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The answer.
    pub appended: Appended,
    /// The events to write: none, if the append had happened before.
    pub events: Vec<RecordedEvent>,
}

/// Judges `append`, whose events would get the positions after `last`, at the time `now`.
///
/// The ids are looked up first, so an append that happened before answers as it did then, whatever came after it.
///
/// # Errors
///
/// [`AppendError`]: a conflict, reused ids, a closed stream, or versions past the last one there can be.
pub fn judge(
    append: Append,
    history: &impl History,
    last: Position,
    now: DateTime<Utc>,
) -> Result<Verdict, AppendError> {
    if let Some(appended) = find_repeated(&append, history)? {
        return Ok(Verdict { appended, events: Vec::new() });
    }
    let breach = append.condition().and_then(|condition| history.breach_of(condition));
    let mut verdict = Verdict {
        appended: Appended { position: last, recorded_at: now, versions: Vec::new() },
        events: Vec::with_capacity(append.events().count()),
    };
    for part in append.into_streams() {
        let StreamAppend { stream, expected, events } = part;
        let actual = history.version_of(&stream);
        if let Some(closing) = actual.and_then(|_| history.closing_of(&stream)) {
            return Err(StreamClosed { stream, closing }.into());
        }
        if !expected.is_met_by(actual) {
            return Err(Conflict { stream, expected, actual }.into());
        }
        let mut version = actual.unwrap_or_default();
        for event in events {
            version = version.next().ok_or_else(|| Invalid::VersionOverflow { stream: stream.clone() })?;
            verdict.appended.position.0 += 1;
            verdict.events.push(RecordedEvent {
                id: event.id,
                stream: stream.clone(),
                version,
                position: verdict.appended.position,
                name: event.name,
                schema_version: event.schema_version,
                codec: event.codec,
                payload: event.payload,
                metadata: event.metadata,
                recorded_at: now,
            });
        }
        verdict.appended.versions.push(version);
    }
    // Last, since a stream that is closed, or not as it was expected to be, says more about what to do.
    breach.map_or(Ok(verdict), |breach| Err(breach.into()))
}

/// The first answer, if this very append happened before; `None` if none of its ids is recorded.
fn find_repeated(append: &Append, history: &impl History) -> Result<Option<Appended>, IdReused> {
    let mut events =
        append.streams().iter().flat_map(|part| part.events.iter().map(move |event| (part, event.id)));
    let Some((target, id, seen)) =
        events.find_map(|(part, id)| history.place_of(id).map(|place| (&part.stream, id, place)))
    else {
        return Ok(None);
    };
    let mut repeated = Appended {
        position: Position::START,
        recorded_at: seen.recorded_at,
        versions: Vec::with_capacity(append.streams().len()),
    };
    for part in append.streams() {
        let mut last: Option<Version> = None;
        for event in &part.events {
            let reused = |place: &Place| IdReused {
                id: event.id,
                stream: part.stream.clone(),
                recorded_stream: place.stream.clone(),
                recorded_version: place.version,
            };
            // An id that is missing among recorded ones is told by the one that was seen.
            let place = history.place_of(event.id).ok_or_else(|| IdReused {
                id,
                stream: target.clone(),
                ..reused(&seen)
            })?;
            if place.stream != part.stream || last.is_some_and(|last| last.next() != Some(place.version)) {
                return Err(reused(&place));
            }
            last = Some(place.version);
            repeated.position = repeated.position.max(place.position);
        }
        repeated.versions.extend(last);
    }
    Ok(Some(repeated))
}

/// The part of a history that was looked up for a group of appends, kept up while they are judged one by one.
#[derive(Clone, Debug, Default)]
pub struct KnownHistory {
    versions: HashMap<StreamId, Version>,
    places: HashMap<EventId, Place>,
    closings: HashMap<StreamId, Closing>,
    /// For each condition that was broken before the group: by what.
    breaches: Vec<(Condition, Breach)>,
    /// What the group itself has recorded, as far as a condition may ask.
    recorded: Vec<RecordedEvent>,
}

impl KnownHistory {
    /// Notes that the last event of `stream` has this version.
    pub fn note_version(&mut self, stream: StreamId, version: Version) {
        self.versions.insert(stream, version);
    }

    /// Notes where the event with this id is.
    pub fn note_place(&mut self, id: EventId, place: Place) {
        self.places.insert(id, place);
    }

    /// Notes that `stream` was closed.
    pub fn note_closing(&mut self, stream: StreamId, closing: Closing) {
        self.closings.insert(stream, closing);
    }

    /// Notes what breaks the condition.
    pub fn note_breach(&mut self, condition: Condition, breach: Breach) {
        self.breaches.push((condition, breach));
    }

    /// Notes that `events` are recorded now, for the conditions of those that come after them.
    pub fn note_for_conditions(&mut self, events: &[RecordedEvent]) {
        self.recorded.extend(events.iter().map(without_payload));
    }

    /// Notes that `events` are recorded now.
    pub fn note_recorded(&mut self, events: &[RecordedEvent]) {
        for event in events {
            self.note_version(event.stream.clone(), event.version);
            let place = Place {
                stream: event.stream.clone(),
                version: event.version,
                position: event.position,
                recorded_at: event.recorded_at,
            };
            self.note_place(event.id, place);
        }
    }
}

impl History for KnownHistory {
    fn version_of(&self, stream: &StreamId) -> Option<Version> {
        self.versions.get(stream).copied()
    }

    fn place_of(&self, id: EventId) -> Option<Place> {
        self.places.get(&id).cloned()
    }

    fn closing_of(&self, stream: &StreamId) -> Option<Closing> {
        self.closings.get(stream).copied()
    }

    fn breach_of(&self, condition: &Condition) -> Option<Breach> {
        let before = self.breaches.iter().find(|(broken, _)| broken == condition);
        before.map(|(_, breach)| breach.clone()).or_else(|| first_breach(condition, &self.recorded))
    }
}

/// The first of the events that breaks the condition.
pub fn first_breach<'e>(
    condition: &Condition,
    events: impl IntoIterator<Item = &'e RecordedEvent>,
) -> Option<Breach> {
    let broken = events.into_iter().find(|event| condition.is_broken_by(event));
    broken.map(|event| Breach::Overtaken(Overtaken { name: event.name.clone(), position: event.position }))
}

/// The event as far as a condition may ask.
fn without_payload(event: &RecordedEvent) -> RecordedEvent {
    RecordedEvent { payload: Bytes::new(), ..event.clone() }
}
