//! Reading and writing the whole of a store as it is.

use async_trait::async_trait;
use factum_core::transfer::{Place, Record, Transfer, TransferError, check_order};
use factum_core::{EventName, Metadata, Position, RecordedEvent, StoreError};

use crate::{Log, MemoryStore};

#[async_trait]
impl Transfer for MemoryStore {
    async fn read_records(
        &self,
        after: Position,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let log = self.read();
        let (mut records, mut sum) = (Vec::new(), 0);
        for at in log.index_after(after)..log.events.len() {
            let record = log.record_at(at);
            sum += record.payload_bytes();
            if !records.is_empty() && (records.len() >= limit || sum > bytes) {
                break;
            }
            records.push(record);
        }
        Ok(records)
    }

    async fn changes(&self) -> Result<u64, StoreError> {
        Ok(self.read().changes)
    }

    async fn write_records(&self, records: Vec<Record>) -> Result<(), TransferError> {
        let _turn = self.shared.writing.lock().await;
        let last = {
            let mut log = self.write();
            check_order(&records, log.head())?;
            log.check_versions(&records)?;
            for record in records {
                log.restore(record);
            }
            log.head()
        };
        self.shared.wake.wake(last);
        Ok(())
    }
}

impl Log {
    fn record_at(&self, at: usize) -> Record {
        let event = &self.events[at];
        if self.erased.contains(&at) {
            return Record::Erased(Place {
                id: event.id,
                stream: event.stream.clone(),
                version: event.version,
                position: event.position,
                recorded_at: event.recorded_at,
            });
        }
        let stream = &self.streams[&event.stream];
        let is_readable = usize::try_from(event.version.0).is_ok_and(|version| version > stream.first);
        if is_readable { Record::Live(event.clone()) } else { Record::Archived(event.clone()) }
    }

    /// Refuses records whose versions do not follow each other, or whose ids are taken.
    fn check_versions(&self, records: &[Record]) -> Result<(), TransferError> {
        let mut next = std::collections::HashMap::new();
        let mut ids = std::collections::HashSet::new();
        for record in records {
            let (stream, version, id) = match record {
                Record::Live(event) | Record::Archived(event) => (&event.stream, event.version, event.id),
                Record::Erased(place) => (&place.stream, place.version, place.id),
            };
            let known = || self.streams.get(stream).map_or(0, |stream| stream.places.len() as u64);
            let last = next.entry(stream).or_insert_with(known);
            *last += 1;
            if version.0 != *last || self.ids.contains_key(&id) || !ids.insert(id) {
                return Err(TransferError::Unordered { at: record.position() });
            }
        }
        Ok(())
    }

    fn restore(&mut self, record: Record) {
        let at = self.events.len();
        let (stream, is_archived) = match &record {
            Record::Live(event) => (event.stream.clone(), false),
            Record::Archived(event) => (event.stream.clone(), true),
            Record::Erased(place) => (place.stream.clone(), false),
        };
        match record {
            Record::Live(event) | Record::Archived(event) => self.record(event),
            Record::Erased(place) => {
                self.erased.insert(at);
                self.record(RecordedEvent {
                    id: place.id,
                    stream: place.stream,
                    version: place.version,
                    position: place.position,
                    name: EventName::new("erased").expect("it is a name"),
                    schema_version: 1,
                    codec: "json".into(),
                    payload: "".into(),
                    metadata: Metadata::default(),
                    recorded_at: place.recorded_at,
                });
            }
        }
        let is_erased = self.erased.contains(&at);
        let stream = self.streams.get_mut(&stream).expect("it was recorded just now");
        let end = stream.places.len();
        if is_erased {
            stream.kept = end;
        }
        if is_erased || is_archived {
            stream.first = end;
        }
    }
}
