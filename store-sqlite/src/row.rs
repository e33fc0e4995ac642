//! From a row to an event. What no store of ours can have written is corrupt, and the error names the column.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use factum_core::codec;
use factum_core::privacy::{StoredKey, WrappedKey};
use factum_core::snapshot::{Footing, Snapshot};
use factum_core::store::verdict::{Breach, Place};
use factum_core::store::{Condition, Recent};
use factum_core::transfer::check::{Entry, LogCheck, Part};
use factum_core::transfer::{self, Record, TransferError};
use factum_core::{
    BoxError, Checkpoint, DeadLetter, EventFacts, EventId, EventName, Failure, Held, Metadata, NewDeadLetter,
    NodeId, Overtaken, Position, RecordedEvent, StoreError, StoreErrorKind, StreamId, Version,
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

/// What a page of the feed says of the log: the facts of `read_all.sql`.
pub(crate) struct Bounds {
    /// The last position of the store.
    pub(crate) head: Position,
    /// The last event at or below where the page begins.
    pub(crate) at_begin: Option<EventId>,
    /// The last event at or below where a filtered read looked.
    pub(crate) at_window_end: Option<EventId>,
    /// Where that is, if the reader does not know.
    pub(crate) window_end: Option<Position>,
}

pub(crate) fn bounds(row: &SqliteRow) -> Result<Bounds, StoreError> {
    let read = Reading { row, operation: "read", position_at: 0 };
    let head = Position(read.number(0, "position")?);
    let has_end = read.column::<Option<i64>>(2, "version")?.is_some();
    let window_end = if has_end { Some(Position(read.number(2, "version")?)) } else { None };
    Ok(Bounds { head, at_begin: read.optional_id(1)?, at_window_end: read.optional_id(8)?, window_end })
}

/// Whether a row of a page is an event, and not what the page says of the log.
pub(crate) fn is_event(row: &SqliteRow) -> Result<bool, StoreError> {
    let read = Reading { row, operation: "read", position_at: 0 };
    Ok(read.column::<Option<&[u8]>>(3, "name")?.is_some())
}

/// The events of a page in one value, none in an empty page: the first row of `packed.sql`.
pub(crate) fn pack(row: &SqliteRow) -> Result<&[u8], StoreError> {
    let read = Reading { row, operation: "read", position_at: usize::MAX };
    Ok(read.column::<Option<&[u8]>>(0, "pack")?.unwrap_or_default())
}

/// How many they are: in the same row.
pub(crate) fn packed_count(row: &SqliteRow) -> Result<usize, StoreError> {
    let read = Reading { row, operation: "read", position_at: usize::MAX };
    read.parsed(1, "count", |count: i64| usize::try_from(count))
}

/// The event of a row of `read_stream.sql`, which is one of `stream`.
pub(crate) fn event_of(
    stream: &StreamId,
    row: &SqliteRow,
    recent: &mut Recent,
) -> Result<RecordedEvent, StoreError> {
    Reading { row, operation: "read", position_at: 0 }.event(stream.clone(), recent)
}

/// The event of a row of `read_all.sql`.
pub(crate) fn event(row: &SqliteRow, recent: &mut Recent) -> Result<RecordedEvent, StoreError> {
    let read = Reading { row, operation: "read", position_at: 0 };
    let category = read.column(9, "category")?;
    read.event(read.parsed(10, "stream", |id| recent.stream(category, id))?, recent)
}

/// A stream of `category` and its version: a row of `read_category.sql`.
pub(crate) fn stream_of(category: &str, row: &SqliteRow) -> Result<(StreamId, Version), StoreError> {
    let read = Reading { row, operation: "read", position_at: 1 };
    let stream = read.parsed(0, "stream", |id: &str| StreamId::new(category, id))?;
    Ok((stream, Version(read.number(1, "version")?)))
}

/// Up to where all is settled: the facts of `read_matching.sql`.
pub(crate) fn settled(row: &SqliteRow) -> Result<Checkpoint, StoreError> {
    let read = Reading { row, operation: "read", position_at: 0 };
    Ok(Checkpoint { position: Position(read.number(0, "position")?), event_id: read.optional_id(1)? })
}

/// The position that is all of a row.
pub(crate) fn position(row: &SqliteRow, operation: &'static str) -> Result<Position, StoreError> {
    Reading { row, operation, position_at: 0 }.number(0, "position").map(Position)
}

/// The number that is all of a row.
pub(crate) fn count(row: &SqliteRow) -> Result<u64, StoreError> {
    let count = row.try_get::<i64, _>(0).map_err(BoxError::from);
    count
        .and_then(|count| Ok(u64::try_from(count)?))
        .map_err(|source| StoreError::because(StoreErrorKind::Corrupt, "read records", source))
}

/// What is held of an event: a row of `read_records.sql`.
pub(crate) fn record(row: &SqliteRow) -> Result<Record, StoreError> {
    let read = Reading { row, operation: "read records", position_at: 0 };
    if read.column::<Option<&str>>(3, "name")?.is_none() {
        return Ok(Record::Erased(transfer::Place {
            id: read.event_id(1)?,
            stream: read.stream(9, 10)?,
            version: Version(read.number(2, "version")?),
            position: Position(read.number(0, "position")?),
            recorded_at: read.time(6, "recorded_at")?,
        }));
    }
    let event = read.event(read.stream(9, 10)?, &mut Recent::default())?;
    let is_archived = read.number(11, "archived")? == 1;
    Ok(if is_archived { Record::Archived(event) } else { Record::Live(event) })
}

/// What an import has written of an event: a row of `by_stream.sql`.
pub(crate) struct Written {
    pub(crate) stream: StreamId,
    pub(crate) version: Version,
    position: Position,
    part: Part,
    name: Option<String>,
    /// Whether its version or its id is there once more.
    is_twice: bool,
}

impl Written {
    pub(crate) fn of(row: &SqliteRow) -> Result<Self, StoreError> {
        let read = Reading { row, operation: "write records", position_at: 3 };
        let name: Option<String> = read.column(4, "name")?;
        let is_archived = read.number(5, "archived")? == 1;
        Ok(Self {
            stream: read.stream(0, 1)?,
            version: Version(read.number(2, "version")?),
            position: Position(read.number(3, "position")?),
            part: match (&name, is_archived) {
                (None, _) => Part::Erased,
                (Some(_), true) => Part::Archived,
                (Some(_), false) => Part::Live,
            },
            name,
            is_twice: read.number(6, "twice")? == 1,
        })
    }

    pub(crate) fn check(&self, check: &mut LogCheck) -> Result<(), TransferError> {
        if self.is_twice {
            return Err(TransferError::Unordered { at: self.position });
        }
        let Self { ref stream, version, position, part, .. } = *self;
        check.next(Entry { stream, version, position, part, name: self.name.as_deref().unwrap_or_default() })
    }
}

/// What is kept of a partition: a row of `checkpoint.sql`.
pub(crate) struct Kept {
    pub(crate) checkpoint: Checkpoint,
    /// The event that the log has there.
    pub(crate) found: Option<EventId>,
    pub(crate) partition: u32,
    pub(crate) partitions: u32,
}

pub(crate) fn checkpoint(row: &SqliteRow) -> Result<Kept, StoreError> {
    let read = Reading { row, operation: "read checkpoint", position_at: 0 };
    let position = Position(read.number(0, "position")?);
    Ok(Kept {
        checkpoint: Checkpoint { position, event_id: read.optional_id(1)? },
        found: read.optional_id(2)?,
        partition: read.small_number(3, "partition")?,
        partitions: read.small_number(4, "partitions")?,
    })
}

/// What a move depends on: an answer of `move_checkpoint.sql`.
pub(crate) struct Facts {
    /// Where the checkpoint was.
    pub(crate) was: Position,
    /// The events that the log has where the move begins and ends.
    pub(crate) found_from: Option<EventId>,
    pub(crate) found_to: Option<EventId>,
    pub(crate) partitions: u32,
    /// Whether the lease is as it must be.
    pub(crate) may_move: bool,
}

pub(crate) fn facts(row: &SqliteRow) -> Result<Facts, StoreError> {
    let read = Reading { row, operation: "move checkpoint", position_at: 0 };
    Ok(Facts {
        was: Position(read.number(0, "position")?),
        found_from: read.optional_id(1)?,
        found_to: read.optional_id(2)?,
        partitions: read.small_number(3, "partitions")?,
        may_move: read.column(4, "may_move")?,
    })
}

/// A partition of a subscription, and of how many it is one: a row of `roster.sql`.
pub(crate) fn held(row: &SqliteRow) -> Result<(u32, Held), StoreError> {
    let read = Reading { row, operation: "share", position_at: 0 };
    let until: Option<i64> = read.column(3, "leased_until")?;
    let by = match until {
        Some(_) => Some((NodeId(read.event_id(2)?.0), read.time(3, "leased_until")?)),
        None => None,
    };
    Ok((read.small_number(0, "partitions")?, Held { token: read.number(1, "token")?, by }))
}

/// A node and until when it is there: a row of `roster.sql`.
pub(crate) fn node(row: &SqliteRow) -> Result<(NodeId, DateTime<Utc>), StoreError> {
    let read = Reading { row, operation: "share", position_at: 1 };
    Ok((NodeId(read.event_id(0)?.0), read.time(1, "there_until")?))
}

/// A row of `dead_letters.sql`.
pub(crate) fn dead_letter(subscription: &str, row: &SqliteRow) -> Result<DeadLetter, StoreError> {
    let read = Reading { row, operation: "read dead letters", position_at: 0 };
    let event = EventFacts {
        id: read.event_id(1)?,
        name: read.parsed(5, "name", |name: String| EventName::new(name))?,
        stream: read.stream(2, 3)?,
        version: Version(read.number(4, "version")?),
        position: Position(read.number(0, "position")?),
    };
    let failure = match read.column::<Option<String>>(8, "handler")? {
        Some(handler) => {
            let errors = read.parsed(9, "errors", |errors: &str| serde_json::from_str(errors))?;
            Some(Failure { handler, errors })
        }
        None => None,
    };
    let attempts = read.small_number(7, "attempts")?;
    Ok(DeadLetter {
        subscription: subscription.to_owned(),
        letter: NewDeadLetter { event, holds_stream: read.column(6, "holds_stream")?, attempts, failure },
        is_due: read.column(10, "is_due")?,
        parked_at: read.time(11, "parked_at")?,
    })
}

/// A row of `parked_streams.sql`: the first has a number, the others are streams.
pub(crate) fn dead_letter_count(row: &SqliteRow) -> Result<u64, StoreError> {
    Reading { row, operation: "read dead letters", position_at: 0 }.number(0, "count")
}

pub(crate) fn parked_stream(row: &SqliteRow) -> Result<StreamId, StoreError> {
    Reading { row, operation: "read dead letters", position_at: 0 }.stream(0, 1)
}

/// A row of `due_timers.sql`.
pub(crate) fn timer(row: &SqliteRow) -> Result<(EventId, DateTime<Utc>), StoreError> {
    let read = Reading { row, operation: "read timers", position_at: 1 };
    Ok((read.event_id(0)?, read.time(1, "due_at")?))
}

/// A state that is known already: the facts of `read_from.sql`.
///
/// It is nothing that anybody has to be able to read: a number that cannot be is 0, a text that is none has other letters, and
/// then the checksum is another one.
pub(crate) struct Known {
    pub(crate) version: Version,
    /// Whether the log has what it stands on.
    pub(crate) stands: bool,
    /// Whether the state has the event that it must not have.
    pub(crate) has_event: bool,
}

pub(crate) fn known(row: &SqliteRow) -> Result<Option<Known>, StoreError> {
    let read = Reading { row, operation: "read", position_at: 0 };
    let Some(version) = read.column::<Option<i64>>(2, "version")? else { return Ok(None) };
    Ok(Some(Known {
        version: Version(u64::try_from(version).unwrap_or_default()),
        stands: read.column::<Option<bool>>(9, "stands")?.unwrap_or_default(),
        has_event: read.column(10, "has_event")?,
    }))
}

/// The same row, where it is a snapshot that stands.
pub(crate) fn snapshot(row: &SqliteRow, stream: StreamId, shape: u32) -> Result<Snapshot, StoreError> {
    let read = Reading { row, operation: "read", position_at: 0 };
    let number = |at, column| -> Result<u64, StoreError> {
        Ok(u64::try_from(read.column::<i64>(at, column)?).unwrap_or_default())
    };
    let codec = row.try_get_unchecked::<Vec<u8>, _>(5).map_err(|error| read.bad("codec", error))?;
    let codec = String::from_utf8_lossy(&codec).into_owned();
    Ok(Snapshot {
        stream,
        shape,
        footing: Footing {
            position: Position(number(0, "position")?),
            event_id: read.event_id(1)?,
            version: Version(number(2, "version")?),
            begins: Version(number(4, "begins")?),
        },
        codec: codec::stored_name(&codec),
        state: read.column::<Vec<u8>>(8, "state")?.into(),
        checksum: read.column::<i64>(6, "checksum")?.cast_unsigned(),
    })
}

/// Whether a snapshot was kept: an answer of `save_snapshot.sql`.
pub(crate) fn kept(row: &SqliteRow) -> Result<bool, StoreError> {
    Ok(Reading { row, operation: "save snapshot", position_at: 0 }.number(0, "kept")? > 0)
}

/// A row of a key: its subject, generation, master and wrapped key.
pub(crate) fn key(row: &SqliteRow) -> Result<StoredKey, StoreError> {
    let read = Reading { row, operation: "read keys", position_at: usize::MAX };
    let (by, bytes): (Option<String>, Option<Vec<u8>>) =
        (read.column(2, "master")?, read.column(3, "wrapped")?);
    Ok(StoredKey {
        subject: read.column(0, "subject")?,
        generation: read.small_number(1, "generation")?,
        key: by.zip(bytes).map(|(by, bytes)| WrappedKey { by, bytes }),
    })
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

/// Where an event is: the row of `append_one.sql`.
pub(crate) fn appended(row: &SqliteRow) -> Result<(Position, Version), StoreError> {
    let read = Reading { row, operation: "append", position_at: 0 };
    Ok((Position(read.number(0, "position")?), Version(read.number(1, "version")?)))
}

/// What breaks a condition: a row of `breaches.sql`.
pub(crate) fn breach(condition: &Condition, row: &SqliteRow) -> Result<Option<Breach>, StoreError> {
    let read = Reading { row, operation: "append", position_at: 0 };
    if let Err(error) = condition.after.check(read.optional_id(1)?, "append") {
        return Ok(Some(Breach::OtherLog(error)));
    }
    if read.column::<Option<i64>>(0, "position")?.is_none() {
        return Ok(None);
    }
    let name = read.parsed(2, "name", |name: String| EventName::new(name))?;
    Ok(Some(Breach::Overtaken(Overtaken { name, position: Position(read.number(0, "position")?) })))
}

/// A row, and what to say of it if it cannot be read.
struct Reading<'r> {
    row: &'r SqliteRow,
    operation: &'static str,
    /// The index of the column with the position.
    position_at: usize,
}

impl<'r> Reading<'r> {
    fn event(&self, stream: StreamId, recent: &mut Recent) -> Result<RecordedEvent, StoreError> {
        Ok(RecordedEvent {
            position: Position(self.number(0, "position")?),
            id: self.event_id(1)?,
            stream,
            version: Version(self.number(2, "version")?),
            name: self.parsed(3, "name", |name| recent.name(name))?,
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

    fn optional_id(&self, at: usize) -> Result<Option<EventId>, StoreError> {
        let is_null = self.column::<Option<&[u8]>>(at, "event_id")?.is_none();
        if is_null { Ok(None) } else { self.event_id(at).map(Some) }
    }

    fn codec(&self, at: usize) -> Result<Cow<'static, str>, StoreError> {
        let name: &str = self.column(at, "codec")?;
        Ok(codec::stored_name(name))
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

    fn small_number(&self, at: usize, column: &'static str) -> Result<u32, StoreError> {
        self.parsed(at, column, |number: i64| u32::try_from(number))
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
