//! An event as the table has it.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use factum_core::codec;
use factum_core::store::Recent;
use factum_core::{BoxError, EventId, Metadata, Position, RecordedEvent, StoreError, Version};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::error::Fault;

/// The columns of `factum_events`, in the order in which all statements have them.
pub(crate) struct EventRow<'r> {
    pub(crate) position: i64,
    pub(crate) event_id: Uuid,
    pub(crate) category: &'r str,
    pub(crate) stream: &'r str,
    pub(crate) version: i64,
    pub(crate) name: &'r str,
    pub(crate) schema_version: i32,
    pub(crate) codec: &'r str,
    pub(crate) payload: Bytes,
    pub(crate) metadata: &'r str,
    pub(crate) recorded_at: DateTime<Utc>,
}

impl<'r> EventRow<'r> {
    /// The columns of `row` from the one with the index `first` on. Texts stay where they are, because
    /// [`into_event`](EventRow::into_event) copies what it keeps.
    pub(crate) fn at(first: usize, row: &'r PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            position: row.try_get_unchecked(first)?,
            event_id: row.try_get_unchecked(first + 1)?,
            category: row.try_get_unchecked(first + 2)?,
            stream: row.try_get_unchecked(first + 3)?,
            version: row.try_get_unchecked(first + 4)?,
            name: row.try_get_unchecked(first + 5)?,
            schema_version: row.try_get_unchecked(first + 6)?,
            codec: row.try_get_unchecked(first + 7)?,
            payload: Bytes::copy_from_slice(row.try_get_unchecked(first + 8)?),
            metadata: row.try_get_unchecked(first + 9)?,
            recorded_at: row.try_get_unchecked(first + 10)?,
        })
    }

    /// The event, unless it is one that no store of ours can have written.
    pub(crate) fn into_event(
        self,
        operation: &'static str,
        recent: &mut Recent,
    ) -> Result<RecordedEvent, StoreError> {
        let position = self.position;
        self.decode(recent)
            .map_err(|(column, source)| Fault::BadColumn { column, position, source }.during(operation))
    }

    fn decode(self, recent: &mut Recent) -> Result<RecordedEvent, (&'static str, BoxError)> {
        Ok(RecordedEvent {
            id: EventId(self.event_id),
            stream: read("stream", recent.stream(self.category, self.stream))?,
            version: Version(read("version", self.version.try_into())?),
            position: Position(read("position", self.position.try_into())?),
            name: read("name", recent.name(self.name))?,
            schema_version: read("schema_version", self.schema_version.try_into())?,
            codec: codec::stored_name(self.codec),
            payload: self.payload,
            metadata: read("metadata", Metadata::from_json(self.metadata))?,
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
