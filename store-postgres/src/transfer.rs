//! Reading and writing the whole of a store as it is; writing by `COPY`, which is the fastest way into Postgres.

use std::num::TryFromIntError;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use factum_core::store::Recent;
use factum_core::transfer::check::{Entry, LogCheck, Part, check_records};
use factum_core::transfer::{Import, Place, Record, Transfer, TransferError};
use factum_core::{EventId, Position, RecordedEvent, StoreError, StoreErrorKind, StreamId, Version};
use futures_util::StreamExt as _;
use sqlx::error::DatabaseError;
use tokio::time::Instant;
use uuid::Uuid;

use crate::PostgresStore;
use crate::database::Lease;
use crate::error::Fault;
use crate::read::{self, limit_column};
use crate::row::{EventRow, column, number};

const READ: &str = "read records";
const WRITE: &str = "write records";

/// How long a writer waits for appends that are under way, in milliseconds.
const LOCK_MS: i32 = 10_000;
/// How much longer than for an answer it may take until the next records come, since they may come from far away. Then the
/// server gives the import up, because nobody can append meanwhile.
const PAUSE_FACTOR: u32 = 10;
/// How long a reader waits for them.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many records are checked at a time.
const PAGE_ROWS: i64 = 5_000;

/// How much is sent at a time.
const COPY_BYTES: usize = 128 << 10;

#[async_trait]
impl Transfer for PostgresStore {
    /// See [`Transfer::read_records`]. At an append that is not committed yet it waits, for half a minute at most.
    async fn read_records(
        &self,
        after: Position,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let database = self.database();
        let deadline = Instant::now() + PATIENCE;
        loop {
            read::refresh(database, READ).await?;
            let settled = database.tracker.ticket().settled;
            let records = database.retrying(READ, || self.records(after, settled, limit, bytes)).await?;
            if !records.is_empty() {
                return Ok(records);
            }
            let mut lease = database.lease(READ).await?;
            let end = sqlx::query_file_scalar!("src/sql/log_end.sql").fetch_one(&mut *lease);
            let end = database.within(READ, end).await?;
            lease.put_back();
            if number(end) <= after.0 {
                return Ok(Vec::new());
            }
            if read::settle(database, READ, after, deadline).await? == read::Waited::InVain {
                return Err(StoreError::new(StoreErrorKind::Busy, READ));
            }
        }
    }

    async fn changes(&self) -> Result<u64, StoreError> {
        let database = self.database();
        database
            .retrying(READ, || async {
                let mut lease = database.lease(READ).await?;
                let count = sqlx::query_file_scalar!("src/sql/changes.sql").fetch_one(&mut *lease);
                let count = database.within(READ, count).await?;
                lease.put_back();
                Ok(number(count))
            })
            .await
    }

    /// See [`Transfer::begin_import`]. It ends if nothing is written to it for ten times the
    /// [answer time-out](crate::Builder::answer_timeout).
    async fn begin_import(&self) -> Result<Box<dyn Import>, TransferError> {
        let database = self.database();
        let idle = database.answer_timeout().saturating_mul(PAUSE_FACTOR);
        let idle_ms = i32::try_from(idle.as_millis()).unwrap_or(i32::MAX);
        let begun = database.retrying(WRITE, || async {
            let mut lease = database.lease(WRITE).await?;
            lease.begin(database, WRITE).await?;
            let begun = sqlx::query_file!("src/sql/begin_write.sql", LOCK_MS, idle_ms).fetch_one(&mut *lease);
            database.within(WRITE, begun).await?;
            let last = sqlx::query_file_scalar!("src/sql/log_end.sql").fetch_one(&mut *lease);
            let last = database.within(WRITE, last).await?;
            Ok((lease, Position(number(last))))
        });
        let (lease, found) = begun.await?;
        if found > Position::START {
            return Err(TransferError::NotEmpty { found });
        }
        Ok(Box::new(PostgresImport { store: self.clone(), lease, last: Position::START }))
    }
}

/// An import in a transaction, on a connection that is closed if it does not come to its end.
struct PostgresImport {
    store: PostgresStore,
    lease: Lease,
    /// The last position that was written.
    last: Position,
}

#[async_trait]
impl Import for PostgresImport {
    async fn write(&mut self, records: Vec<Record>) -> Result<(), TransferError> {
        check_records(&records, self.last)?;
        let Some(last) = records.last().map(Record::position) else { return Ok(()) };
        let (live, apart): (Vec<&Record>, Vec<_>) =
            records.iter().partition(|record| matches!(record, Record::Live(_)));
        let has_tags =
            |record: &&Record| event_of(record).is_some_and(|event| !event.metadata.tags.is_empty());
        let tagged: Vec<_> = records.iter().filter(has_tags).collect();
        self.copy(COPY_EVENTS, &live, CopyRows::add).await?;
        self.copy(COPY_ARCHIVE, &apart, CopyRows::add).await?;
        self.copy(COPY_TAGS, &tagged, CopyRows::add_tags).await?;
        self.last = last;
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), TransferError> {
        self.check().await?;
        let Self { store, mut lease, last } = *self;
        let database = store.database();
        if last > Position::START {
            let set =
                sqlx::query_file_scalar!("src/sql/set_position.sql", column(last.0)).fetch_one(&mut *lease);
            database.within(WRITE, set).await?;
        }
        lease.commit(database, WRITE).await?;
        lease.put_back();
        store.wake();
        Ok(())
    }
}

impl PostgresImport {
    /// Sends the rows of some records, of which the server writes one part while the next is made.
    async fn copy(
        &mut self,
        sql: &str,
        records: &[&Record],
        add: fn(&mut CopyRows, &Record) -> Result<(), TryFromIntError>,
    ) -> Result<(), TransferError> {
        let Some(first) = records.first().map(|record| record.position()) else { return Ok(()) };
        // Of ids and versions that are there twice in one table, the constraints know.
        let or_unordered = |error: StoreError| {
            if is_unique_violation(&error) { TransferError::Unordered { at: first } } else { error.into() }
        };
        let database = self.store.database();
        // Each wait is bounded: a server that has fallen silent does not keep the import for ever.
        let mut copy = database.within(WRITE, self.lease.copy_in_raw(sql)).await?;
        let mut rows = CopyRows::new();
        for record in records {
            add(&mut rows, record)
                .map_err(|error| TransferError::Invalid { at: record.position(), source: error.into() })?;
            if rows.bytes.len() >= COPY_BYTES {
                database.within(WRITE, copy.send(&rows.bytes[..])).await.map_err(or_unordered)?;
                rows.bytes.clear();
            }
        }
        database.within(WRITE, copy.send(rows.finish())).await.map_err(or_unordered)?;
        database.within(WRITE, copy.finish()).await.map_err(or_unordered)?;
        Ok(())
    }

    /// Looks at all that was written, in pages.
    async fn check(&mut self) -> Result<(), TransferError> {
        let database = self.store.database();
        let indexed = sqlx::query_file!("src/sql/by_index.sql").fetch_all(&mut *self.lease);
        database.within(WRITE, indexed).await?;
        let mut check = LogCheck::default();
        // No name is empty, so all streams come after the empty ones.
        let (mut category, mut stream, mut version) = (String::new(), String::new(), 0);
        loop {
            let rows =
                sqlx::query_file_as!(Written, "src/sql/by_stream.sql", category, stream, version, PAGE_ROWS)
                    .fetch_all(&mut *self.lease);
            let mut rows = database.within(WRITE, rows).await?;
            for row in &rows {
                row.check(&mut check)?;
            }
            let Some(last) = rows.pop() else { return check.end() };
            (category, stream, version) = (last.category, last.stream, last.version);
        }
    }
}

/// What an import has written of an event.
struct Written {
    category: String,
    stream: String,
    version: i64,
    position: i64,
    name: Option<String>,
    is_archived: bool,
    /// Whether its version or its id is there once more.
    is_twice: bool,
}

impl Written {
    fn check(&self, check: &mut LogCheck) -> Result<(), TransferError> {
        let position = Position(number(self.position));
        if self.is_twice {
            return Err(TransferError::Unordered { at: position });
        }
        let stream = StreamId::new(&self.category, &self.stream)
            .map_err(|source| Fault::BadName { name: self.stream.clone(), source }.during(WRITE))?;
        let part = match (&self.name, self.is_archived) {
            (None, _) => Part::Erased,
            (Some(_), true) => Part::Archived,
            (Some(_), false) => Part::Live,
        };
        check.next(Entry {
            stream: &stream,
            version: Version(number(self.version)),
            position,
            part,
            name: self.name.as_deref().unwrap_or_default(),
        })
    }
}

fn is_unique_violation(error: &StoreError) -> bool {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<sqlx::Error>())
        .and_then(sqlx::Error::as_database_error)
        .is_some_and(DatabaseError::is_unique_violation)
}

impl PostgresStore {
    async fn records(
        &self,
        after: Position,
        up_to: u64,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let database = self.database();
        let mut lease = database.lease(READ).await?;
        let mut coming = sqlx::query_file_as!(
            RecordRow,
            "src/sql/read_records.sql",
            column(after.0),
            column(up_to),
            limit_column(limit.max(1)),
        )
        .fetch(&mut *lease);
        let read = async {
            let (mut found, mut bytes) = (Vec::new(), 0_usize);
            while let Some(row) = coming.next().await {
                let row = row?;
                bytes += row.payload.as_ref().map_or(0, Vec::len);
                if !found.is_empty() && bytes > bytes_max {
                    return Ok((found, false));
                }
                found.push(row);
            }
            Ok((found, true))
        };
        let (rows, is_drained) = database.within(READ, read).await?;
        drop(coming);
        lease.put_back_if(is_drained);
        let mut recent = Recent::default();
        rows.into_iter().map(|row| row.into_record(&mut recent)).collect()
    }
}

struct RecordRow {
    position: i64,
    event_id: Uuid,
    category: String,
    stream: String,
    version: i64,
    name: Option<String>,
    schema_version: Option<i32>,
    codec: Option<String>,
    payload: Option<Vec<u8>>,
    metadata: Option<String>,
    recorded_at: DateTime<Utc>,
    is_archived: bool,
}

impl RecordRow {
    fn into_record(self, recent: &mut Recent) -> Result<Record, StoreError> {
        let (Some(name), Some(schema_version), Some(codec), Some(payload), Some(metadata)) =
            (self.name, self.schema_version, self.codec, self.payload, self.metadata)
        else {
            let stream = StreamId::new(&self.category, &self.stream)
                .map_err(|source| Fault::BadName { name: self.stream, source }.during(READ))?;
            return Ok(Record::Erased(Place {
                id: EventId(self.event_id),
                stream,
                version: Version(number(self.version)),
                position: Position(number(self.position)),
                recorded_at: self.recorded_at,
            }));
        };
        let row = EventRow {
            position: self.position,
            event_id: self.event_id,
            category: &self.category,
            stream: &self.stream,
            version: self.version,
            name: &name,
            schema_version,
            codec: &codec,
            payload: payload.into(),
            metadata: &metadata,
            recorded_at: self.recorded_at,
        };
        let event = row.into_event(READ, recent)?;
        Ok(if self.is_archived { Record::Archived(event) } else { Record::Live(event) })
    }
}

const COPY_EVENTS: &str = "COPY factum_events (position, version, recorded_at, event_id, schema_version, category, \
    stream, name, codec, payload, metadata) FROM STDIN (FORMAT binary)";
const COPY_ARCHIVE: &str = "COPY factum_archive (position, version, recorded_at, event_id, schema_version, category, \
    stream, name, codec, payload, metadata) FROM STDIN (FORMAT binary)";
const COPY_TAGS: &str = "COPY factum_tags (tag, name, position) FROM STDIN (FORMAT binary)";

/// The event, if more is left of it than its place.
fn event_of(record: &Record) -> Option<&RecordedEvent> {
    match record {
        Record::Live(event) | Record::Archived(event) => Some(event),
        Record::Erased(_) => None,
    }
}

/// Rows in the binary form of `COPY`, which the manual of Postgres describes under that command.
struct CopyRows {
    /// What has not been sent yet.
    bytes: Vec<u8>,
}

impl CopyRows {
    fn new() -> Self {
        let mut bytes = b"PGCOPY\n\xff\r\n\0".to_vec();
        // No flags, and no extension of the header.
        bytes.extend([0; 8]);
        Self { bytes }
    }

    /// Fails for what no column has.
    fn add(&mut self, record: &Record) -> Result<(), TryFromIntError> {
        const COLUMNS: i16 = 11;
        self.bytes.extend(COLUMNS.to_be_bytes());
        match record {
            Record::Live(event) | Record::Archived(event) => {
                self.place(event.position, event.version, event.recorded_at, event.id)?;
                self.field(Some(&i32::try_from(event.schema_version)?.to_be_bytes()))?;
                self.field(Some(event.stream.category().as_bytes()))?;
                self.field(Some(event.stream.id().as_bytes()))?;
                self.field(Some(event.name.as_str().as_bytes()))?;
                self.field(Some(event.codec.as_bytes()))?;
                self.field(Some(&event.payload))?;
                self.field(Some(event.metadata.to_json().as_bytes()))
            }
            Record::Erased(place) => {
                self.place(place.position, place.version, place.recorded_at, place.id)?;
                self.field(None)?;
                self.field(Some(place.stream.category().as_bytes()))?;
                self.field(Some(place.stream.id().as_bytes()))?;
                (0..4).try_for_each(|_| self.field(None))
            }
        }
    }

    /// What the event is about: a row for each tag.
    fn add_tags(&mut self, record: &Record) -> Result<(), TryFromIntError> {
        const COLUMNS: i16 = 3;
        let Some(event) = event_of(record) else { return Ok(()) };
        for tag in &event.metadata.tags {
            self.bytes.extend(COLUMNS.to_be_bytes());
            self.field(Some(tag.as_str().as_bytes()))?;
            self.field(Some(event.name.as_str().as_bytes()))?;
            self.field(Some(&i64::try_from(event.position.0)?.to_be_bytes()))?;
        }
        Ok(())
    }

    fn place(
        &mut self,
        position: Position,
        version: Version,
        recorded_at: DateTime<Utc>,
        id: EventId,
    ) -> Result<(), TryFromIntError> {
        /// 2000-01-01, from which Postgres counts, in microseconds since 1970.
        const EPOCH: i64 = 946_684_800_000_000;
        self.field(Some(&i64::try_from(position.0)?.to_be_bytes()))?;
        self.field(Some(&i64::try_from(version.0)?.to_be_bytes()))?;
        self.field(Some(&(recorded_at.timestamp_micros() - EPOCH).to_be_bytes()))?;
        self.field(Some(id.0.as_bytes()))
    }

    fn field(&mut self, value: Option<&[u8]>) -> Result<(), TryFromIntError> {
        let length = value.map_or(Ok(-1), |value| i32::try_from(value.len()))?;
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend(value.unwrap_or_default());
        Ok(())
    }

    /// What is left to be sent, and that it is the end.
    fn finish(mut self) -> Vec<u8> {
        self.bytes.extend((-1_i16).to_be_bytes());
        self.bytes
    }
}
