//! Snapshots, in a table of their own.

use async_trait::async_trait;
use factum_core::codec;
use factum_core::snapshot::{Footing, Found, PageFrom, ReadFrom, Snapshot, Start, Turns};
use factum_core::store::StreamPage;
use factum_core::{EventId, Position, Snapshots, StoreError, StreamId, Version};
use sqlx::postgres::PgRow;
use sqlx::{Executor as _, PgConnection, Row as _};
use uuid::Uuid;

use crate::PostgresStore;
use crate::append::lock_ms;
use crate::database::Database;
use crate::error::{Fault, store_error};
use crate::page::{self, Budget, Filled, Prepared};
use crate::read::limit_column;
use crate::row::{column, number};

const READ: &str = "read";
const SAVE: &str = "save snapshot";
const DELETE: &str = "delete snapshots";

#[async_trait]
impl Snapshots for PostgresStore {
    async fn read_from(&self, read: ReadFrom) -> Result<PageFrom, StoreError> {
        let database = self.database();
        database
            .retrying(READ, || async {
                let mut lease = database.lease(READ).await?;
                let (found, filled) = read_from_on(database, &mut lease, &read).await?;
                lease.put_back_if(filled.is_drained);
                let page = StreamPage { events: filled.events, end: filled.is_drained && filled.is_last };
                Ok(PageFrom { found, page })
            })
            .await
    }

    /// Waits for a stream that is being set apart, as appends do, and not for the disk.
    async fn save_snapshot(&self, snapshot: Snapshot) -> Result<bool, StoreError> {
        let database = self.database();
        let Snapshot { stream, shape, footing, codec, state, checksum } = snapshot;
        database
            .retrying(SAVE, || async {
                let mut lease = database.lease(SAVE).await?;
                let row = sqlx::query_file!(
                    "src/sql/save_snapshot.sql",
                    lock_ms(database.answer_timeout()),
                    stream.category(),
                    stream.id(),
                    shape_column(shape),
                    column(footing.version.0),
                    column(footing.position.0),
                    footing.event_id.0,
                    column(footing.begins.0),
                    &codec,
                    checksum.cast_signed(),
                    &state[..],
                )
                .fetch_one(&mut *lease);
                let row = database.within_commit(SAVE, row).await?;
                lease.commit(database, SAVE).await?;
                lease.put_back();
                Ok(row.is_kept)
            })
            .await
    }

    async fn delete_snapshots(&self, stream: &StreamId) -> Result<(), StoreError> {
        let database = self.database();
        let delete = || sqlx::query_file!("src/sql/delete_snapshots.sql", stream.category(), stream.id());
        database.retrying(DELETE, || database.changing(DELETE, delete())).await.map(drop)
    }

    fn turns(&self) -> &Turns {
        &self.shared.turns
    }
}

/// A page from a known state on, on a connection that may be in a transaction.
pub(crate) async fn read_from_on(
    database: &Database,
    connection: &mut PgConnection,
    read: &ReadFrom,
) -> Result<(Found, Filled), StoreError> {
    let budget = Budget::new(read.limit, read.bytes, &database.payload_bytes);
    let (mut shape, mut up_to, mut footing) = (None, None, None);
    match read.start {
        Start::Snapshot { shape: of, up_to: at_most } => {
            (shape, up_to) = (Some(shape_column(of)), Some(column(at_most.0)));
        }
        Start::Footing(known) => footing = Some(known),
    }
    let rows = sqlx::query_file!(
        "src/sql/read_from.sql",
        read.stream.category(),
        read.stream.id(),
        // One more tells whether the stream goes on.
        limit_column(budget.rows().saturating_add(1)),
        read.unless.map(|id| id.0) as Option<Uuid>,
        shape as Option<i32>,
        up_to as Option<i64>,
        footing.map(|footing| column(footing.version.0)) as Option<i64>,
        footing.map(|footing| footing.event_id.0) as Option<Uuid>,
        footing.map(|footing| column(footing.begins.0)) as Option<i64>,
    );
    let mut rows = connection.fetch_many(Prepared(rows));
    let first = database.within(READ, page::next(&mut rows)).await?;
    let first = first.ok_or_else(|| Fault::Headless.during(READ))?;
    let found = found(&first, read).map_err(|error| store_error(READ, error))?;
    let filled = page::fill(database, READ, budget, COLUMNS, rows).await?;
    Ok((found, filled))
}

/// How many columns of `read_from.sql` are not those of events.
const COLUMNS: usize = 9;

/// What the first row of `read_from.sql` says.
fn found(row: &PgRow, read: &ReadFrom) -> Result<Found, sqlx::Error> {
    let Some(version) = row.try_get_unchecked::<Option<i64>, _>(0)? else { return Ok(Found::Nothing) };
    let version = Version(number(version));
    if !row.try_get_unchecked::<Option<bool>, _>(7)?.unwrap_or_default() {
        return Ok(Found::Fallen(version));
    }
    if row.try_get_unchecked(8)? {
        return Ok(Found::Nothing);
    }
    let Start::Snapshot { shape, .. } = read.start else { return Ok(Found::Footing) };
    let codec: &str = row.try_get_unchecked(4)?;
    let checksum: i64 = row.try_get_unchecked(5)?;
    let state: &[u8] = row.try_get_unchecked(6)?;
    Ok(Found::Snapshot(Snapshot {
        stream: read.stream.clone(),
        shape,
        footing: Footing {
            version,
            position: Position(number(row.try_get_unchecked(1)?)),
            event_id: EventId(row.try_get_unchecked(2)?),
            begins: Version(number(row.try_get_unchecked(3)?)),
        },
        codec: codec::stored_name(codec),
        state: state.to_vec().into(),
        checksum: checksum.cast_unsigned(),
    }))
}

/// A shape as a column has it. The derive has none that is greater.
fn shape_column(shape: u32) -> i32 {
    i32::try_from(shape).unwrap_or(i32::MAX)
}
