//! Checkpoints, alone and together with a projection's work.

use factum_core::{Position, StoreError, StoreErrorKind};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, Sqlite, Transaction};

use crate::database::Database;
use crate::error::{Fault, commit_error, store_error};
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
pub(crate) async fn read(database: &Database, subscription: &str) -> Result<Position, StoreError> {
    let sql = "SELECT position FROM factum_checkpoints WHERE subscription = ?1";
    match script::rows(&database.readers, sql, Values::default().and(subscription).done()).await {
        Ok(rows) => position_of(rows.first(), "read checkpoint"),
        Err(error) => Err(database.explain("read checkpoint", error).await),
    }
}

/// See [`Checkpoints::move_checkpoint`](factum_core::Checkpoints::move_checkpoint).
pub(crate) async fn advance(
    database: &Database,
    subscription: &str,
    from: Position,
    to: Position,
) -> Result<(), StoreError> {
    let values = values(subscription, from, to)?;
    let mut writer = Writer::acquire(&database.writer, MOVING).await?;
    match writer.run(MOVE, values).await {
        Ok(answers) => {
            writer.ended();
            // The first is that of BEGIN.
            moved(&answers, 1, from)
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

/// Moves the checkpoint in `tx`, and commits. See
/// [`Transactional::commit_with_checkpoint`](factum_core::Transactional::commit_with_checkpoint).
///
/// When SQLite rolls a transaction back by itself, statements that follow take effect one by one. The savepoint that
/// was set when the transaction began is gone then, and releasing it fails before anything else is done.
pub(crate) async fn commit_with(
    database: &Database,
    mut tx: SqliteTx,
    subscription: &str,
    from: Position,
    to: Position,
) -> Result<(), StoreError> {
    let values = values(subscription, from, to)?;
    let outcome = match script::run(&mut tx, MOVE_IN_TX, values).await {
        Ok(answers) => moved(&answers, 1, from),
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

const MOVING: &str = "move checkpoint";

#[derive(Debug, thiserror::Error)]
#[error(
    "the transaction had ended before: SQLite rolled it back when a statement failed, or a statement ended it"
)]
struct EndedBefore {
    source: sqlx::Error,
}

/// The arguments of `move_checkpoint.sql`.
fn values(subscription: &str, from: Position, to: Position) -> Result<SqliteArguments, StoreError> {
    let column = |position: Position| {
        i64::try_from(position.0).map_err(|error| StoreError::because(StoreErrorKind::Other, MOVING, error))
    };
    Ok(Values::default().and(subscription).and(column(from)?).and(column(to)?).done())
}

/// Whether the checkpoint was at `from`, by the answer `at` in those to `move_checkpoint.sql`.
fn moved(answers: &Answers, at: usize, from: Position) -> Result<(), StoreError> {
    let actual = position_of(answers.get(at).and_then(|rows| rows.first()), MOVING)?;
    if actual == from {
        return Ok(());
    }
    Err(StoreError::new(StoreErrorKind::CheckpointMoved { expected: from, actual }, MOVING))
}

/// The position of a checkpoint, which is at the start if it has no row.
fn position_of(row: Option<&SqliteRow>, operation: &'static str) -> Result<Position, StoreError> {
    let Some(row) = row else { return Ok(Position::START) };
    let position: i64 = row.try_get(0).map_err(|error| store_error(operation, error))?;
    let position = u64::try_from(position)
        .map_err(|error| StoreError::because(StoreErrorKind::Corrupt, operation, error))?;
    Ok(Position(position))
}
