//! Snapshots, in a table of their own.

use async_trait::async_trait;
use factum_core::snapshot::{Found, PageFrom, ReadFrom, Snapshot, Start, Turns};
use factum_core::{Snapshots, StoreError, StoreErrorKind, StreamId};
use sqlx::sqlite::SqliteArguments;

use crate::SqliteStore;
use crate::database::Database;
use crate::pack::{self, Answer, PageQuery, Reader, page_query};
use crate::read;
use crate::row;
use crate::script::Values;

const READ: &str = "read";
const SAVE: &str = "save snapshot";

const READ_FROM: PageQuery = page_query!("sql/read_from.sql");
const SAVE_SNAPSHOT: &str = concat!("BEGIN IMMEDIATE;", include_str!("sql/save_snapshot.sql"), "COMMIT");
/// The answer that says whether it was kept: after those of BEGIN and INSERT.
const KEPT: usize = 2;
const DELETE_SNAPSHOTS: &str =
    "BEGIN IMMEDIATE; DELETE FROM factum_snapshots WHERE category = ?1 AND stream = ?2; COMMIT";

#[async_trait]
impl Snapshots for SqliteStore {
    async fn read_from(&self, read: ReadFrom) -> Result<PageFrom, StoreError> {
        let database = self.database();
        database.check_schema(READ).await?;
        read_from(database, Reader::Any(&database.readers), read).await
    }

    /// Waits for its turn as appends do.
    async fn save_snapshot(&self, snapshot: Snapshot) -> Result<bool, StoreError> {
        self.database().check_schema(SAVE).await?;
        let Snapshot { stream, shape, footing, codec, state, checksum } = snapshot;
        let values = Values::default()
            .and(stream.category())
            .and(stream.id())
            .and(i64::from(shape))
            .and(read::column(footing.version.0))
            .and(read::column(footing.position.0))
            .and(&footing.event_id.0.as_bytes()[..])
            .and(read::column(footing.begins.0))
            .and(&*codec)
            .and(checksum.cast_signed())
            .and(&state[..])
            .done();
        let answers = self.database().write(SAVE, SAVE_SNAPSHOT, values).await?;
        match answers.get(KEPT).and_then(|rows| rows.first()) {
            Some(row) => row::kept(row),
            None => Err(StoreError::because(StoreErrorKind::Corrupt, SAVE, "no answer to a snapshot")),
        }
    }

    async fn delete_snapshots(&self, stream: &StreamId) -> Result<(), StoreError> {
        const DELETE: &str = "delete snapshots";
        self.database().check_schema(DELETE).await?;
        let values = Values::default().and(stream.category()).and(stream.id()).done();
        self.database().write(DELETE, DELETE_SNAPSHOTS, values).await.map(drop)
    }

    fn turns(&self) -> &Turns {
        &self.shared.turns
    }
}

/// See [`Snapshots::read_from`].
pub(crate) async fn read_from(
    database: &Database,
    reader: Reader<'_>,
    read: ReadFrom,
) -> Result<PageFrom, StoreError> {
    let wanted = database.wanted(read.limit, read.bytes);
    let values = values(&read, wanted);
    pack::page(database, reader, &READ_FROM, values, |answer| page_from(database, &read, wanted, answer))
        .await
}

/// The arguments of `read_from.sql`.
fn values(read: &ReadFrom, wanted: usize) -> SqliteArguments {
    let (mut shape, mut up_to, mut footing) = (None, None, None);
    match read.start {
        Start::Snapshot { shape: of, up_to: at_most } => {
            (shape, up_to) = (Some(i64::from(of)), Some(read::column(at_most.0)));
        }
        Start::Footing(known) => footing = Some(known),
    }
    Values::default()
        .and(read.stream.category())
        .and(read.stream.id())
        // One more than wanted tells whether there is more.
        .and(read::rows_max(wanted.saturating_add(1)))
        .and(read.unless.map(|id| id.0.as_bytes().to_vec()))
        .and(shape)
        .and(up_to)
        .and(footing.map(|footing| read::column(footing.version.0)))
        .and(footing.map(|footing| footing.event_id.0.as_bytes().to_vec()))
        .and(footing.map(|footing| read::column(footing.begins.0)))
        .done()
}

/// What the answer of `read_from.sql` says.
fn page_from(
    database: &Database,
    read: &ReadFrom,
    wanted: usize,
    answer: &Answer,
) -> Result<PageFrom, StoreError> {
    let Some(start) = answer.facts()? else {
        return Err(StoreError::because(StoreErrorKind::Corrupt, READ, "no answer to a read of a stream"));
    };
    let found = match (row::known(start)?, read.start) {
        (None, _) => Found::Nothing,
        (Some(known), _) if !known.stands => Found::Fallen(known.version),
        (Some(known), _) if known.has_event => Found::Nothing,
        (Some(_), Start::Footing(_)) => Found::Footing,
        (Some(_), Start::Snapshot { shape, .. }) => {
            Found::Snapshot(row::snapshot(start, read.stream.clone(), shape)?)
        }
    };
    let page = read::stream_page(database, &read.stream, read.bytes, wanted, answer)?;
    Ok(PageFrom { found, page })
}
