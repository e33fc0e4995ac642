//! What a store holds at the end, looked up by id and by place.

use std::collections::HashMap;

use factum_core::{EventId, StreamId, Version};

use super::{Law, Logged, Part, Violation};

/// The log. Its events are known by their index in it.
#[derive(Debug)]
pub(super) struct Log<'a> {
    pub(super) events: &'a [Logged],
    places: HashMap<EventId, usize>,
    /// The events of each stream: the one with version `v` is at index `v - 1`.
    streams: HashMap<&'a StreamId, Vec<usize>>,
}

/// How an append stands in the log, if not as one that was written or repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// This id is not there.
    Missing(EventId),
    /// This one is in another stream, or does not follow the one before it.
    Misplaced(EventId),
}

impl<'a> Log<'a> {
    /// The log of these events, if they are numbered as those of a store.
    pub(super) fn new(events: &'a [Logged]) -> Result<Self, Violation> {
        let mut log = Self { events, places: HashMap::with_capacity(events.len()), streams: HashMap::new() };
        let mut last = None;
        for (at, event) in events.iter().enumerate() {
            let Logged { id, stream, version, position } = event;
            if Some(*position) <= last {
                let said = format!("the log has position {position} after one that is not smaller");
                return Err(Violation::new(Law::Numbering, said));
            }
            last = Some(*position);
            if let Some(first) = log.places.insert(*id, at) {
                let first = &events[first];
                let said = format!(
                    "event {id} is version {} of {} and version {version} of {stream}",
                    first.version, first.stream
                );
                return Err(Violation::new(Law::Once, said));
            }
            let of_stream = log.streams.entry(stream).or_default();
            of_stream.push(at);
            if Version::NONE.forward(of_stream.len()) != Some(*version) {
                let said = format!("event {} of {stream} has version {version}", of_stream.len());
                return Err(Violation::new(Law::Numbering, said));
            }
        }
        Ok(log)
    }

    /// Where the event with this id is.
    pub(super) fn place_of(&self, id: EventId) -> Option<usize> {
        self.places.get(&id).copied()
    }

    /// The events of a stream, in order.
    pub(super) fn stream(&self, stream: &StreamId) -> &[usize] {
        self.streams.get(stream).map_or(&[], Vec::as_slice)
    }

    /// Where the events of an append are, if they are all there, in their streams and those of each next to each other.
    pub(super) fn places_of(&self, parts: &[Part]) -> Result<Vec<usize>, Misfit> {
        let mut places = Vec::new();
        for part in parts {
            let mut last: Option<Version> = None;
            for &id in &part.ids {
                let at = self.place_of(id).ok_or(Misfit::Missing(id))?;
                let event = &self.events[at];
                let follows = last.is_none_or(|last| last.next() == Some(event.version));
                if event.stream != part.stream || !follows {
                    return Err(Misfit::Misplaced(id));
                }
                last = Some(event.version);
                places.push(at);
            }
        }
        Ok(places)
    }

    /// The version of an event's stream before it was there.
    pub(super) fn version_before(&self, at: usize) -> Option<Version> {
        let Logged { version, .. } = self.events[at];
        (version.0 > 1).then(|| Version(version.0 - 1))
    }
}
