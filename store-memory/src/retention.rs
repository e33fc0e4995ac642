//! Streams as a whole: deleted, archived, restored and truncated.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use factum_core::retention::{
    Closing, RESTORED, Retention, Step, TRUNCATED, judge_closing, judge_restoring, judge_truncation, marker,
};
use factum_core::store::{Appended, ReadStream, StreamPage};
use factum_core::{AppendError, Expected, Metadata, Position, RecordedEvent, StoreError, StreamId, Version};

use crate::{Log, MemoryStore, empty_page, index, now, stream_page};

#[async_trait]
impl Retention for MemoryStore {
    async fn delete_stream(&self, stream: &StreamId, expected: Expected) -> Result<Appended, AppendError> {
        self.close(stream, expected, Closing::Deleted).await
    }

    async fn archive_stream(&self, stream: &StreamId, expected: Expected) -> Result<Appended, AppendError> {
        self.close(stream, expected, Closing::Archived).await
    }

    async fn restore_stream(&self, stream: &StreamId) -> Result<Appended, AppendError> {
        let _turn = self.shared.writing.read().await;
        let appended = {
            let mut log = self.write();
            if let Step::Done(answer) = judge_restoring(stream, log.last_of(stream))? {
                return Ok(answer);
            }
            log.mark(stream, RESTORED, now());
            let streams = log.streams.get_mut(stream).expect("it has events");
            streams.first = streams.kept;
            log.last_of(stream).map(Appended::from).expect("it has events")
        };
        self.shared.wake.wake(appended.position);
        Ok(appended)
    }

    async fn truncate_stream(&self, stream: &StreamId, before: Version) -> Result<(), AppendError> {
        let _turn = self.shared.writing.read().await;
        let mut log = self.write();
        judge_truncation(stream, log.last_of(stream), before)?;
        // The last event that goes becomes the one that says so.
        let Some(at) = index(before.0).checked_sub(2) else { return Ok(()) };
        let streams = &log.streams[stream];
        if at <= streams.kept && streams.kept > 0 {
            return Ok(());
        }
        let place = streams.places[at];
        log.erase(stream, at);
        let truncated = marker(TRUNCATED);
        let event = &mut log.events[place];
        event.name = truncated.name;
        event.schema_version = truncated.schema_version;
        event.codec = truncated.codec;
        event.payload = truncated.payload;
        event.metadata = Metadata::default();
        log.streams.get_mut(stream).expect("it has events").first = at;
        log.snapshots.remove(stream);
        log.changes += 1;
        Ok(())
    }

    async fn read_archived(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        let log = self.read();
        let Some(stream) = log.streams.get(&read.stream) else { return Ok(empty_page()) };
        if log.last_of(&read.stream).is_none_or(|last| last.name.as_str() != Closing::Archived.event_name()) {
            return Ok(empty_page());
        }
        let readable = stream.kept..stream.places.len() - 1;
        Ok(stream_page(readable, |index| &log.events[stream.places[index]], &read))
    }
}

impl MemoryStore {
    async fn close(
        &self,
        stream: &StreamId,
        expected: Expected,
        closing: Closing,
    ) -> Result<Appended, AppendError> {
        let _turn = self.shared.writing.read().await;
        let appended = {
            let mut log = self.write();
            if let Step::Done(answer) = judge_closing(stream, log.last_of(stream), expected, closing)? {
                return Ok(answer);
            }
            let end = log.streams[stream].places.len();
            if closing == Closing::Deleted {
                log.erase(stream, end);
            }
            log.mark(stream, closing.event_name(), now());
            log.streams.get_mut(stream).expect("it has events").first = end;
            log.snapshots.remove(stream);
            log.last_of(stream).map(Appended::from).expect("it has events")
        };
        self.shared.wake.wake(appended.position);
        Ok(appended)
    }
}

impl Log {
    /// Forgets the content of the stream's events up to an index, and keeps their numbers and ids.
    fn erase(&mut self, stream: &StreamId, end: usize) {
        let streams = self.streams.get_mut(stream).expect("it has events");
        for &place in &streams.places[streams.kept..end] {
            self.events[place].payload.clear();
            self.events[place].metadata = Metadata::default();
            self.erased.insert(place);
        }
        streams.kept = end;
    }

    /// Records an event of the framework's own, which says what was done to the stream.
    fn mark(&mut self, stream: &StreamId, name: &'static str, recorded_at: DateTime<Utc>) {
        let last = self.last_of(stream).expect("it has events");
        let (version, new) = (Version(last.version.0 + 1), marker(name));
        let event = RecordedEvent {
            id: new.id,
            stream: stream.clone(),
            version,
            position: Position(self.head().0 + 1),
            name: new.name,
            schema_version: new.schema_version,
            codec: new.codec,
            payload: new.payload,
            metadata: new.metadata,
            recorded_at,
        };
        self.record(event);
        self.changes += 1;
    }
}
