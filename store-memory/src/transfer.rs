//! Reading and writing the whole of a store as it is.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use async_trait::async_trait;
use factum_core::transfer::check::{Entry, LogCheck, check_records};
use factum_core::transfer::{Import, Place, Record, Transfer, TransferError};
use factum_core::{EventId, EventName, Metadata, Position, RecordedEvent, StoreError, StreamId};
use tokio::sync::OwnedRwLockWriteGuard;

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

    async fn begin_import(&self) -> Result<Box<dyn Import>, TransferError> {
        let turn = Arc::clone(&self.shared.writing).write_owned().await;
        let found = self.read().head();
        if found > Position::START {
            return Err(TransferError::NotEmpty { found });
        }
        Ok(Box::new(MemoryImport { store: self.clone(), log: Log::default(), streams: HashMap::new(), turn }))
    }
}

/// A log beside that of the store, whose place it takes in the end.
struct MemoryImport {
    store: MemoryStore,
    log: Log,
    /// What was written of each stream, which is checked for itself.
    streams: HashMap<StreamId, LogCheck>,
    /// Nobody appends until it is dropped.
    turn: OwnedRwLockWriteGuard<()>,
}

#[async_trait]
impl Import for MemoryImport {
    async fn write(&mut self, records: Vec<Record>) -> Result<(), TransferError> {
        check_records(&records, self.log.head())?;
        for record in records {
            let entry = Entry::from(&record);
            self.streams.entry(entry.stream.clone()).or_default().next(entry)?;
            if self.log.ids.contains_key(&id_of(&record)) {
                return Err(TransferError::Unordered { at: record.position() });
            }
            self.log.restore(record);
        }
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), TransferError> {
        let Self { store, log, streams, turn } = *self;
        streams.into_values().try_for_each(LogCheck::end)?;
        let last = log.head();
        {
            let mut known = store.write();
            let Log { books, changes, .. } = mem::replace(&mut *known, log);
            known.books = books;
            known.changes = changes;
        }
        drop(turn);
        store.shared.wake.wake(last);
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

    /// Keeps a record as it is said to be kept.
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

fn id_of(record: &Record) -> EventId {
    match record {
        Record::Live(event) | Record::Archived(event) => event.id,
        Record::Erased(place) => place.id,
    }
}
