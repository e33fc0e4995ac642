//! From a row to an event. What no store of ours can have written is corrupt, and the error names the column.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use factum_core::store::verdict::Place;
use factum_core::{
    BoxError, Codec, EventId, EventName, Metadata, Position, RecordedEvent, StoreError, StoreErrorKind,
    StreamId, Version,
};
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row, Sqlite, Type};
use uuid::Uuid;

/// A value that no event has.
#[derive(Debug, thiserror::Error)]
#[error("column `{column}` of the event at position {position} cannot be read")]
struct BadColumn {
    column: &'static str,
    /// As SQL prints it: it may be what is wrong.
    position: String,
    source: BoxError,
}

/// The last position of the store, if this is the row that follows the events of a page.
pub(crate) fn head(row: &SqliteRow) -> Result<Option<Position>, StoreError> {
    let read = Reading { row, operation: "read", position_at: 0 };
    let is_head = read.column::<Option<&[u8]>>(1, "event_id")?.is_none();
    is_head.then(|| read.number(0, "position").map(Position)).transpose()
}

/// The event of a row of `read_stream.sql`, which is one of `stream`.
pub(crate) fn event_of(stream: &StreamId, row: &SqliteRow) -> Result<RecordedEvent, StoreError> {
    Reading { row, operation: "read", position_at: 0 }.event(stream.clone())
}

/// The event of a row of `read_all.sql`.
pub(crate) fn event(row: &SqliteRow) -> Result<RecordedEvent, StoreError> {
    let read = Reading { row, operation: "read", position_at: 0 };
    read.event(read.stream(9, 10)?)
}

/// An id and its place: a row of `look_up.sql`.
pub(crate) fn place(row: &SqliteRow) -> Result<(EventId, Place), StoreError> {
    let read = Reading { row, operation: "append", position_at: 4 };
    let place = Place {
        stream: read.stream(1, 2)?,
        version: Version(read.number(3, "version")?),
        position: Position(read.number(4, "position")?),
        recorded_at: read.time(5, "recorded_at")?,
    };
    Ok((read.event_id(0)?, place))
}

/// A row, and what to say of it if it cannot be read.
struct Reading<'r> {
    row: &'r SqliteRow,
    operation: &'static str,
    /// The index of the column with the position.
    position_at: usize,
}

impl<'r> Reading<'r> {
    fn event(&self, stream: StreamId) -> Result<RecordedEvent, StoreError> {
        Ok(RecordedEvent {
            position: Position(self.number(0, "position")?),
            id: self.event_id(1)?,
            stream,
            version: Version(self.number(2, "version")?),
            name: self.parsed(3, "name", |name: String| EventName::new(name))?,
            schema_version: self.parsed(4, "schema_version", |version: i64| u32::try_from(version))?,
            codec: self.codec(5)?,
            recorded_at: self.time(6, "recorded_at")?,
            metadata: self.parsed(7, "metadata", Metadata::from_json)?,
            payload: self.column::<Vec<u8>>(8, "payload")?.into(),
        })
    }

    fn stream(&self, category_at: usize, id_at: usize) -> Result<StreamId, StoreError> {
        let category = self.column(category_at, "category")?;
        self.parsed(id_at, "stream", |id| StreamId::new(category, id))
    }

    fn event_id(&self, at: usize) -> Result<EventId, StoreError> {
        self.parsed(at, "event_id", |bytes| Uuid::from_slice(bytes).map(EventId))
    }

    fn codec(&self, at: usize) -> Result<Cow<'static, str>, StoreError> {
        let name: &str = self.column(at, "codec")?;
        Ok(Codec::named(name).map_or_else(|| name.to_owned().into(), |codec| codec.name().into()))
    }

    fn time(&self, at: usize, column: &'static str) -> Result<DateTime<Utc>, StoreError> {
        self.parsed(at, column, |micros: i64| {
            DateTime::from_timestamp_micros(micros).ok_or("it is a time that no calendar has")
        })
    }

    /// A number that cannot be negative.
    fn number(&self, at: usize, column: &'static str) -> Result<u64, StoreError> {
        self.parsed(at, column, |number: i64| u64::try_from(number))
    }

    fn parsed<V, T, E>(
        &self,
        at: usize,
        column: &'static str,
        parse: impl FnOnce(V) -> Result<T, E>,
    ) -> Result<T, StoreError>
    where
        V: Decode<'r, Sqlite> + Type<Sqlite>,
        E: Into<BoxError>,
    {
        parse(self.column(at, column)?).map_err(|error| self.bad(column, error))
    }

    fn column<V: Decode<'r, Sqlite> + Type<Sqlite>>(
        &self,
        at: usize,
        column: &'static str,
    ) -> Result<V, StoreError> {
        self.row.try_get(at).map_err(|error| self.bad(column, error))
    }

    fn bad(&self, column: &'static str, source: impl Into<BoxError>) -> StoreError {
        let position = self.row.try_get::<i64, _>(self.position_at);
        let position = position.map_or_else(|_| "unknown".to_owned(), |position| position.to_string());
        let bad = BadColumn { column, position, source: source.into() };
        StoreError::because(StoreErrorKind::Corrupt, self.operation, bad)
    }
}
