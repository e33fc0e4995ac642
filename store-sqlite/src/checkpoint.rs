//! Checkpoints, alone and together with a projection's work.

use chrono::Utc;
use factum_core::{Advance, Checkpoint, Partition, Position, StoreError, StoreErrorKind};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Sqlite, Transaction};

use crate::database::Database;
use crate::dead_letter;
use crate::error::{Fault, commit_error, store_error};
use crate::read;
use crate::row;
use crate::script::{self, Answers, Values};

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
const MOVE_IN_TX: &str = include_str!("sql/move_checkpoint.sql");
const MOVE_LAST: &str = concat!("RELEASE factum_tx;", include_str!("sql/move_checkpoint.sql"));
const MOVE: &str = concat!("BEGIN IMMEDIATE;", include_str!("sql/move_checkpoint.sql"), "COMMIT");

const CHECKPOINT: &str = include_str!("sql/checkpoint.sql");

/// See [`Checkpoints::checkpoint_of`](factum_core::Checkpoints::checkpoint_of).
pub(crate) async fn read(database: &Database, partition: &Partition) -> Result<Checkpoint, StoreError> {
    match script::rows(&database.readers, CHECKPOINT, place(partition)).await {
        Ok(rows) => checkpoint(rows.first(), partition),
        Err(error) => Err(database.explain(READING, error).await),
    }
}

/// See [`Transactional::hold_checkpoint`](factum_core::Transactional::hold_checkpoint).
pub(crate) async fn read_in(
    database: &Database,
    tx: &mut SqliteTx,
    partition: &Partition,
) -> Result<Checkpoint, StoreError> {
    match script::run(tx, CHECKPOINT, place(partition)).await {
        Ok(answers) => checkpoint(answers.first().and_then(|rows| rows.first()), partition),
        Err(fault) => Err(database.explain(READING, fault.error).await),
    }
}

/// The arguments of `checkpoint.sql`.
fn place(partition: &Partition) -> SqliteArguments {
    Values::default().and(partition.subscription()).and(i64::from(partition.index())).done()
}

/// What `checkpoint.sql` answers.
fn checkpoint(row: Option<&SqliteRow>, partition: &Partition) -> Result<Checkpoint, StoreError> {
    let Some(row) = row else { return Ok(Checkpoint::START) };
    let kept = row::checkpoint(row)?;
    check_partitions(kept.partitions, partition.of(), READING)?;
    if kept.partition != partition.index() {
        return Ok(Checkpoint::START);
    }
    kept.checkpoint.check(kept.found, READING)?;
    Ok(kept.checkpoint)
}

/// Refuses to split the work otherwise than it is.
pub(crate) fn check_partitions(found: u32, wanted: u32, operation: &'static str) -> Result<(), StoreError> {
    if found == wanted {
        return Ok(());
    }
    Err(StoreError::new(StoreErrorKind::OtherPartitions { found, wanted }, operation))
}

/// See [`Checkpoints::advance`](factum_core::Checkpoints::advance).
pub(crate) async fn advance(database: &Database, step: &Advance) -> Result<(), StoreError> {
    if !step.parked.is_empty() || !step.settled.is_empty() {
        let tx = begin(database, MOVING).await?;
        return commit_with(database, tx, step).await;
    }
    let answers = database.write(MOVING, MOVE, values(step)?).await?;
    // The first is that of BEGIN.
    moved(&answers, 1, step)
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

/// See [`Transactional::rollback`](factum_core::Transactional::rollback).
pub(crate) async fn rollback(tx: SqliteTx) -> Result<(), StoreError> {
    tx.rollback().await.map_err(|error| store_error("roll back", error))
}

/// See [`Transactional::advance_in`](factum_core::Transactional::advance_in).
pub(crate) async fn advance_in(
    database: &Database,
    tx: &mut SqliteTx,
    step: &Advance,
) -> Result<(), StoreError> {
    let answers = match script::run(tx, MOVE_IN_TX, values(step)?).await {
        Ok(answers) => answers,
        Err(fault) => return Err(database.explain(MOVING, fault.error).await),
    };
    moved(&answers, 0, step)?;
    dead_letter::keep(database, tx, step, MOVING).await
}

/// Makes a step in `tx`, and commits. See [`Transactional::commit_with`](factum_core::Transactional::commit_with).
///
/// When SQLite rolls a transaction back by itself, statements that follow take effect one by one. The savepoint that
/// was set when the transaction began is gone then, and releasing it fails before anything else is done.
pub(crate) async fn commit_with(
    database: &Database,
    mut tx: SqliteTx,
    step: &Advance,
) -> Result<(), StoreError> {
    let outcome = match script::run(&mut tx, MOVE_LAST, values(step)?).await {
        Ok(answers) => match moved(&answers, 1, step) {
            Ok(()) => dead_letter::keep(database, &mut tx, step, MOVING).await,
            Err(error) => Err(error),
        },
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
fn values(step: &Advance) -> Result<SqliteArguments, StoreError> {
    let column = |position: Position| {
        i64::try_from(position.0).map_err(|error| StoreError::because(StoreErrorKind::Other, MOVING, error))
    };
    let id = |checkpoint: Checkpoint| checkpoint.event_id.map(|id| id.0.as_bytes().to_vec());
    let Advance { partition, from, to, token, .. } = step;
    Ok(Values::default()
        .and(partition.subscription())
        .and(column(from.position)?)
        .and(column(to.position)?)
        .and(id(*from))
        .and(id(*to))
        .and(i64::from(partition.index()))
        .and(i64::from(partition.of()))
        .and(token.map(|token| read::column(token.0)))
        .and(Utc::now().timestamp_micros())
        .done())
}

/// Whether the checkpoint was moved, by the answer `at` in those to `move_checkpoint.sql`.
fn moved(answers: &Answers, at: usize, step: &Advance) -> Result<(), StoreError> {
    let row = answers.get(at).and_then(|rows| rows.first());
    let row =
        row.ok_or_else(|| StoreError::because(StoreErrorKind::Corrupt, MOVING, "no answer to a move"))?;
    let facts = row::facts(row)?;
    check_partitions(facts.partitions, step.partition.of(), MOVING)?;
    if !facts.may_move {
        return Err(StoreError::new(StoreErrorKind::LeaseLost, MOVING));
    }
    if facts.was != step.from.position {
        let kind = StoreErrorKind::CheckpointMoved { expected: step.from.position, actual: facts.was };
        return Err(StoreError::new(kind, MOVING));
    }
    step.from.check(facts.found_from, MOVING)?;
    step.to.check(facts.found_to, MOVING)
}
