//! An event as the table has it.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use factum_core::{
    BoxError, Codec, EventId, EventName, Metadata, Position, RecordedEvent, StoreError, StreamId, Version,
};
use uuid::Uuid;

use crate::error::Fault;

/// The columns of `factum_events`.
pub(crate) struct EventRow {
    pub(crate) position: i64,
    pub(crate) event_id: Uuid,
    pub(crate) category: String,
    pub(crate) stream: String,
    pub(crate) version: i64,
    pub(crate) name: String,
    pub(crate) schema_version: i32,
    pub(crate) codec: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) metadata: String,
    pub(crate) recorded_at: DateTime<Utc>,
}

impl EventRow {
    /// The event, unless it is one that no store of ours can have written.
    pub(crate) fn into_event(self, operation: &'static str) -> Result<RecordedEvent, StoreError> {
        let position = self.position;
        self.decode()
            .map_err(|(column, source)| Fault::BadColumn { column, position, source }.during(operation))
    }

    fn decode(self) -> Result<RecordedEvent, (&'static str, BoxError)> {
        Ok(RecordedEvent {
            id: EventId(self.event_id),
            stream: read("stream", StreamId::new(&self.category, &self.stream))?,
            version: Version(read("version", self.version.try_into())?),
            position: Position(read("position", self.position.try_into())?),
            name: read("name", EventName::new(self.name))?,
            schema_version: read("schema_version", self.schema_version.try_into())?,
            codec: match Codec::named(&self.codec) {
                Some(known) => Cow::Borrowed(known.name()),
                None => Cow::Owned(self.codec),
            },
            payload: self.payload.into(),
            metadata: read("metadata", Metadata::from_json(&self.metadata))?,
            recorded_at: self.recorded_at,
        })
    }
}

fn read<T, E: Into<BoxError>>(
    column: &'static str,
    value: Result<T, E>,
) -> Result<T, (&'static str, BoxError)> {
    value.map_err(|error| (column, error.into()))
}

/// A number as a column holds it. One that no column holds is past every row there can be.
pub(crate) fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that a column holds.
pub(crate) fn number(column: i64) -> u64 {
    u64::try_from(column).expect("the table has a check that its numbers are positive")
}
