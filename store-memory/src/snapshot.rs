//! Snapshots, beside the log.

use async_trait::async_trait;
use factum_core::retention::TRUNCATED;
use factum_core::snapshot::{Footing, Found, PageFrom, ReadFrom, Snapshot, Start, Turns};
use factum_core::{EventId, RecordedEvent, Snapshots, StoreError, StreamId, Version};

use crate::{Log, MemoryStore, index, stream_page};

#[async_trait]
impl Snapshots for MemoryStore {
    async fn read_from(&self, read: ReadFrom) -> Result<PageFrom, StoreError> {
        Ok(self.read().read_from(read, &[]))
    }

    async fn save_snapshot(&self, snapshot: Snapshot) -> Result<bool, StoreError> {
        let mut log = self.write();
        let Snapshot { ref stream, shape, footing, .. } = snapshot;
        if !log.has(stream, &footing) {
            return Ok(false);
        }
        let kept = log.snapshots.get(stream).and_then(|kept| kept.get(&shape)).map(|kept| kept.footing);
        if kept.is_some_and(|kept| kept.version >= footing.version && log.has(stream, &kept)) {
            return Ok(false);
        }
        let of_stream = log.snapshots.entry(stream.clone()).or_default();
        let other = of_stream.keys().copied().filter(|other| *other != shape).max();
        of_stream.retain(|kept, _| Some(*kept) == other);
        of_stream.insert(shape, snapshot);
        Ok(true)
    }

    async fn delete_snapshots(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.write().snapshots.remove(stream);
        Ok(())
    }

    fn turns(&self) -> &Turns {
        &self.shared.turns
    }
}

impl Log {
    /// A page of a stream whose last events are these, which a transaction has appended.
    pub(crate) fn read_from(&self, read: ReadFrom, appended: &[&RecordedEvent]) -> PageFrom {
        let (found, version) = self.found(&read);
        let stream = self.streams.get(&read.stream);
        let first = stream.map_or(0, |stream| stream.first);
        let places = stream.map_or(&[][..], |stream| &stream.places);
        let at = |index: usize| match places.get(index) {
            Some(&place) => &self.events[place],
            None => appended[index - places.len()],
        };
        let readable = first..places.len() + appended.len();
        let page = stream_page(readable, at, &read.from_the_beginning().after(version));
        PageFrom { found, page }
    }

    /// What became of the state that is asked for, and after which version the page begins.
    fn found(&self, read: &ReadFrom) -> (Found, Version) {
        let nothing = (Found::Nothing, Version::NONE);
        let (found, footing) = match read.start {
            Start::Footing(footing) => (Found::Footing, footing),
            Start::Snapshot { shape, up_to } => {
                let kept = self.snapshots.get(&read.stream).and_then(|kept| kept.get(&shape));
                let Some(kept) = kept.filter(|kept| kept.footing.version <= up_to) else { return nothing };
                (Found::Snapshot(kept.clone()), kept.footing)
            }
        };
        if !self.has(&read.stream, &footing) {
            return (Found::Fallen(footing.version), Version::NONE);
        }
        let is_passed = read
            .unless
            .and_then(|id| self.version_in(&read.stream, id))
            .is_some_and(|version| version <= footing.version);
        if is_passed { nothing } else { (found, footing.version) }
    }

    /// Whether the log has what a state stands on.
    fn has(&self, stream: &StreamId, footing: &Footing) -> bool {
        let Some(log) = self.streams.get(stream) else { return false };
        let readable = &log.places[log.first..];
        let first = readable.first().map(|&place| &self.events[place]);
        let begins = first.filter(|first| first.name.as_str() == TRUNCATED);
        let last = index(footing.version.0).checked_sub(1).filter(|at| *at >= log.first);
        let last = last.and_then(|at| log.places.get(at)).map(|&place| self.events[place].id);
        last == Some(footing.event_id)
            && begins.map_or(Version::NONE, |begins| begins.version) == footing.begins
    }

    /// The version of an event that can be read in a stream.
    fn version_in(&self, stream: &StreamId, id: EventId) -> Option<Version> {
        let event = &self.events[*self.ids.get(&id)?];
        let first = self.streams.get(stream)?.first;
        let is_readable = event.stream == *stream && index(event.version.0) > first;
        is_readable.then_some(event.version)
    }
}
