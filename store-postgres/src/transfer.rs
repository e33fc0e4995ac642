//! Reading and writing the whole of a store as it is; writing by `COPY`, which is the fastest way into Postgres.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use factum_core::transfer::{Place, Record, Transfer, TransferError, check_order};
use factum_core::{EventId, Position, StoreError, StoreErrorKind, StreamId, Transactional as _, Version};
use futures_util::StreamExt as _;
use sqlx::PgConnection;
use sqlx::error::DatabaseError;
use tokio::time::Instant;
use uuid::Uuid;

use crate::PostgresStore;
use crate::error::{Fault, store_error};
use crate::read::{self, limit_column};
use crate::row::{EventRow, column, number};

const READ: &str = "read records";
const WRITE: &str = "write records";

/// How long a writer waits for appends that are under way, in milliseconds.
const LOCK_MS: i32 = 10_000;
/// How long a reader waits for them.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much is sent at a time.
const COPY_BYTES: usize = 1 << 20;

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

    async fn write_records(&self, records: Vec<Record>) -> Result<(), TransferError> {
        let database = self.database();
        let Some(end) = records.last().map(Record::position) else { return Ok(()) };
        let mut tx = self.begin().await?;
        let last = sqlx::query_file_scalar!("src/sql/begin_write.sql", LOCK_MS).fetch_one(&mut *tx);
        check_order(&records, Position(number(database.within(WRITE, last).await?)))?;
        let (mut live, mut apart) = (CopyRows::new(), CopyRows::new());
        for record in &records {
            match record {
                Record::Live(_) => live.add(record),
                Record::Archived(_) | Record::Erased(_) => apart.add(record),
            }
        }
        let first = records.first().map(Record::position).unwrap_or_default();
        for (rows, sql) in [(live, COPY_EVENTS), (apart, COPY_ARCHIVE)] {
            copy(&mut tx, sql, rows).await.map_err(|error| {
                // Of the laws of a log, the constraints know.
                if error.as_database_error().is_some_and(DatabaseError::is_unique_violation) {
                    TransferError::Unordered { at: first }
                } else {
                    store_error(WRITE, error).into()
                }
            })?;
        }
        let set = sqlx::query_file_scalar!("src/sql/set_position.sql", column(end.0)).fetch_one(&mut *tx);
        database.within(WRITE, set).await?;
        Ok(self.commit(tx).await?)
    }
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
        rows.into_iter().map(RecordRow::into_record).collect()
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
    fn into_record(self) -> Result<Record, StoreError> {
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
            category: self.category,
            stream: self.stream,
            version: self.version,
            name,
            schema_version,
            codec,
            payload,
            metadata,
            recorded_at: self.recorded_at,
        };
        let event = row.into_event(READ)?;
        Ok(if self.is_archived { Record::Archived(event) } else { Record::Live(event) })
    }
}

const COPY_EVENTS: &str = "COPY factum_events (position, version, recorded_at, event_id, schema_version, category, \
    stream, name, codec, payload, metadata) FROM STDIN (FORMAT binary)";
const COPY_ARCHIVE: &str = "COPY factum_archive (position, version, recorded_at, event_id, schema_version, category, \
    stream, name, codec, payload, metadata) FROM STDIN (FORMAT binary)";

async fn copy(connection: &mut PgConnection, sql: &str, rows: CopyRows) -> Result<(), sqlx::Error> {
    let Some(bytes) = rows.finish() else { return Ok(()) };
    let mut copy = connection.copy_in_raw(sql).await?;
    for chunk in bytes.chunks(COPY_BYTES) {
        if let Err(error) = copy.send(chunk).await {
            copy.abort("it could not be sent").await?;
            return Err(error);
        }
    }
    copy.finish().await.map(drop)
}

/// Rows in the binary form of `COPY`, which the manual of Postgres describes under that command.
struct CopyRows {
    bytes: Vec<u8>,
    rows: usize,
}

impl CopyRows {
    fn new() -> Self {
        let mut bytes = b"PGCOPY\n\xff\r\n\0".to_vec();
        // No flags, and no extension of the header.
        bytes.extend([0; 8]);
        Self { bytes, rows: 0 }
    }

    fn add(&mut self, record: &Record) {
        const COLUMNS: i16 = 11;
        self.rows += 1;
        self.bytes.extend(COLUMNS.to_be_bytes());
        match record {
            Record::Live(event) | Record::Archived(event) => {
                self.place(event.position, event.version, event.recorded_at, event.id);
                let schema_version = i32::try_from(event.schema_version).unwrap_or(i32::MAX);
                self.field(Some(&schema_version.to_be_bytes()));
                self.field(Some(event.stream.category().as_bytes()));
                self.field(Some(event.stream.id().as_bytes()));
                self.field(Some(event.name.as_str().as_bytes()));
                self.field(Some(event.codec.as_bytes()));
                self.field(Some(&event.payload));
                self.field(Some(event.metadata.to_json().as_bytes()));
            }
            Record::Erased(place) => {
                self.place(place.position, place.version, place.recorded_at, place.id);
                self.field(None);
                self.field(Some(place.stream.category().as_bytes()));
                self.field(Some(place.stream.id().as_bytes()));
                (0..4).for_each(|_| self.field(None));
            }
        }
    }

    fn place(&mut self, position: Position, version: Version, recorded_at: DateTime<Utc>, id: EventId) {
        /// 2000-01-01, from which Postgres counts, in microseconds since 1970.
        const EPOCH: i64 = 946_684_800_000_000;
        self.field(Some(&column(position.0).to_be_bytes()));
        self.field(Some(&column(version.0).to_be_bytes()));
        self.field(Some(&(recorded_at.timestamp_micros() - EPOCH).to_be_bytes()));
        self.field(Some(id.0.as_bytes()));
    }

    fn field(&mut self, value: Option<&[u8]>) {
        let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap_or(i32::MAX));
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend(value.unwrap_or_default());
    }

    /// `None`, if there are no rows.
    fn finish(mut self) -> Option<Vec<u8>> {
        self.bytes.extend((-1_i16).to_be_bytes());
        (self.rows > 0).then_some(self.bytes)
    }
}
