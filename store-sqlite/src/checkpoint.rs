//! Checkpoints, alone and together with a projection's work.

use factum_core::{Checkpoint, Position, StoreError, StoreErrorKind};
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, Transaction};

use crate::database::Database;
use crate::error::{Fault, commit_error, store_error};
use crate::row;
use crate::script::{self, Answers, Values};
use crate::writer::Writer;

/// The transaction of a [`SqliteStore`](crate::SqliteStore): sqlx's own. Dropping it rolls it back.
///
/// It holds the one connection that writes: appends, and other transactions, wait until it ends. Execute on
/// `&mut *tx`, in a handler on `&mut **cx.tx()`.
///
/// Where SQLite fails a statement because the disk is full, it may have rolled back the whole transaction. Treat an
/// error as the end of the transaction; [`commit_with_checkpoint`](factum_core::Transactional::commit_with_checkpoint)
/// refuses to commit what is left of one that was continued. And leave the connection's pragmas as they are: the
/// connection is the store's, and will write its events.
pub type SqliteTx = Transaction<'static, Sqlite>;

/// A transaction with the write lock from its beginning, so that nothing it has read changes before it commits.
///
/// The savepoint is there to be missed: see [`commit_with`].
const BEGIN: &str = "BEGIN IMMEDIATE; SAVEPOINT factum_tx";
const MOVE_IN_TX: &str = concat!("RELEASE factum_tx;", include_str!("sql/move_checkpoint.sql"));
const MOVE: &str = concat!("BEGIN IMMEDIATE;", include_str!("sql/move_checkpoint.sql"), "COMMIT");

/// See [`Checkpoints::checkpoint`](factum_core::Checkpoints::checkpoint).
pub(crate) async fn read(database: &Database, subscription: &str) -> Result<Checkpoint, StoreError> {
    let values = Values::default().and(subscription).done();
    let rows = match script::rows(&database.readers, include_str!("sql/checkpoint.sql"), values).await {
        Ok(rows) => rows,
        Err(error) => return Err(database.explain(READING, error).await),
    };
    let Some(row) = rows.first() else { return Ok(Checkpoint::START) };
    let (checkpoint, found) = row::checkpoint(row)?;
    checkpoint.check(found, READING)?;
    Ok(checkpoint)
}

/// See [`Checkpoints::move_checkpoint`](factum_core::Checkpoints::move_checkpoint).
pub(crate) async fn advance(
    database: &Database,
    subscription: &str,
    from: Checkpoint,
    to: Checkpoint,
) -> Result<(), StoreError> {
    let values = values(subscription, from, to)?;
    let mut writer = Writer::acquire(&database.writer, MOVING).await?;
    match writer.run(MOVE, values).await {
        Ok(answers) => {
            writer.ended();
            // The first is that of BEGIN.
            moved(&answers, 1, from, to)
        }
        Err(Fault { error, .. }) => {
            writer.abandon().await;
            Err(database.explain_commit(MOVING, error).await)
        }
    }
}

/// See [`Transactional::begin`](factum_core::Transactional::begin).
pub(crate) async fn begin(database: &Database, operation: &'static str) -> Result<SqliteTx, StoreError> {
    database.writer.begin_with(BEGIN).await.map_err(|error| store_error(operation, error))
}

/// See [`Transactional::commit`](factum_core::Transactional::commit).
pub(crate) async fn commit(mut tx: SqliteTx) -> Result<(), StoreError> {
    const COMMIT: &str = "commit";
    match script::run(&mut tx, "RELEASE factum_tx", SqliteArguments::default()).await {
        Ok(_) => tx.commit().await.map_err(|error| commit_error(COMMIT, error)),
        Err(Fault { error, .. }) => {
            let _ = tx.rollback().await;
            Err(StoreError::because(StoreErrorKind::Other, COMMIT, EndedBefore { source: error }))
        }
    }
}

/// Moves the checkpoint in `tx`, and commits. See
/// [`Transactional::commit_with_checkpoint`](factum_core::Transactional::commit_with_checkpoint).
///
/// When SQLite rolls a transaction back by itself, statements that follow take effect one by one. The savepoint that
/// was set when the transaction began is gone then, and releasing it fails before anything else is done.
pub(crate) async fn commit_with(
    database: &Database,
    mut tx: SqliteTx,
    subscription: &str,
    from: Checkpoint,
    to: Checkpoint,
) -> Result<(), StoreError> {
    let values = values(subscription, from, to)?;
    let outcome = match script::run(&mut tx, MOVE_IN_TX, values).await {
        Ok(answers) => moved(&answers, 1, from, to),
        Err(Fault { statement: 0, error }) => {
            Err(StoreError::because(StoreErrorKind::Other, MOVING, EndedBefore { source: error }))
        }
        Err(Fault { error, .. }) => Err(database.explain(MOVING, error).await),
    };
    match outcome {
        Ok(()) => tx.commit().await.map_err(|error| commit_error(MOVING, error)),
        Err(error) => {
            // If it fails, the connection is not used again: see `Database::open`.
            let _ = tx.rollback().await;
            Err(error)
        }
    }
}

const READING: &str = "read checkpoint";
const MOVING: &str = "move checkpoint";

#[derive(Debug, thiserror::Error)]
#[error(
    "the transaction had ended before: SQLite rolled it back when a statement failed, or a statement ended it"
)]
struct EndedBefore {
    source: sqlx::Error,
}

/// The arguments of `move_checkpoint.sql`.
fn values(subscription: &str, from: Checkpoint, to: Checkpoint) -> Result<SqliteArguments, StoreError> {
    let column = |position: Position| {
        i64::try_from(position.0).map_err(|error| StoreError::because(StoreErrorKind::Other, MOVING, error))
    };
    let id = |checkpoint: Checkpoint| checkpoint.event_id.map(|id| id.0.as_bytes().to_vec());
    let values = Values::default().and(subscription).and(column(from.position)?).and(column(to.position)?);
    Ok(values.and(id(from)).and(id(to)).done())
}

/// Whether the checkpoint was moved, by the answer `at` in those to `move_checkpoint.sql`.
fn moved(answers: &Answers, at: usize, from: Checkpoint, to: Checkpoint) -> Result<(), StoreError> {
    let row = answers.get(at).and_then(|rows| rows.first());
    let row =
        row.ok_or_else(|| StoreError::because(StoreErrorKind::Corrupt, MOVING, "no answer to a move"))?;
    let (was, found_from, found_to) = row::facts(row)?;
    if was != from.position {
        let kind = StoreErrorKind::CheckpointMoved { expected: from.position, actual: was };
        return Err(StoreError::new(kind, MOVING));
    }
    from.check(found_from, MOVING)?;
    to.check(found_to, MOVING)
}
