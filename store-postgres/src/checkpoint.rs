//! Checkpoints, alone and with the work they stand for.

use async_trait::async_trait;
use factum_core::{Checkpoints, Position, StoreError, StoreErrorKind, Transactional};
use sqlx::{PgConnection, Postgres, Transaction};

use crate::PostgresStore;
use crate::database::Database;
use crate::row::{column, number};

const CHECKPOINT: &str = "read checkpoint";
const MOVE_CHECKPOINT: &str = "move checkpoint";
const BEGIN: &str = "begin";

#[async_trait]
impl Checkpoints for PostgresStore {
    async fn checkpoint(&self, subscription: &str) -> Result<Position, StoreError> {
        let mut lease = self.database().lease(CHECKPOINT).await?;
        let position = self.database().within(CHECKPOINT, read(&mut lease, subscription)).await?;
        lease.put_back();
        Ok(position)
    }

    async fn move_checkpoint(
        &self,
        subscription: &str,
        from: Position,
        to: Position,
    ) -> Result<(), StoreError> {
        let mut lease = self.database().lease(MOVE_CHECKPOINT).await?;
        let moved = compare_and_set(&mut lease, subscription, from, to);
        let outcome = if self.database().within_commit(MOVE_CHECKPOINT, moved).await? {
            Ok(())
        } else {
            Err(moved_meanwhile(self.database(), &mut lease, subscription, from).await?)
        };
        lease.put_back();
        outcome
    }
}

/// The transaction of a Postgres store: sqlx's, in which any SQL can be run. Dropping it rolls it back.
pub type PostgresTx = Transaction<'static, Postgres>;

impl Transactional for PostgresStore {
    type Tx = PostgresTx;

    /// Begins a transaction: of a projection, or of the application's own. It runs at READ COMMITTED, whatever the
    /// database's default is.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; of kind [`Unavailable`](StoreErrorKind::Unavailable) if there was no connection in time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future begins nothing.
    async fn begin(&self) -> Result<Self::Tx, StoreError> {
        self.database().check_migrated(BEGIN).await?;
        let pool = self.pool().clone();
        // In a task, so that it always comes to its end: a connection on which sqlx's `begin` is dropped half-way goes
        // back to the pool with an open transaction that nobody ends.
        let begun =
            tokio::spawn(async move { pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await });
        let begun = async { begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed)) };
        self.database().within(BEGIN, begun).await
    }

    async fn commit_with_checkpoint(
        &self,
        mut tx: Self::Tx,
        subscription: &str,
        from: Position,
        to: Position,
    ) -> Result<(), StoreError> {
        let moved =
            self.database().within(MOVE_CHECKPOINT, compare_and_set(&mut tx, subscription, from, to)).await;
        let refusal = match moved {
            Ok(true) => return self.database().within_commit(MOVE_CHECKPOINT, tx.commit()).await,
            Ok(false) => moved_meanwhile(self.database(), &mut tx, subscription, from)
                .await
                .unwrap_or_else(|error| error),
            Err(error) => error,
        };
        // Without an answer the connection is broken, and the server rolls back as well.
        let _ = self.database().within(MOVE_CHECKPOINT, tx.rollback()).await;
        Err(refusal)
    }
}

async fn read(connection: &mut PgConnection, subscription: &str) -> Result<Position, sqlx::Error> {
    let position =
        sqlx::query_file_scalar!("src/sql/checkpoint.sql", subscription).fetch_optional(connection).await?;
    Ok(Position(number(position.unwrap_or_default())))
}

/// Whether the checkpoint was at `from`, and is at `to` now.
async fn compare_and_set(
    connection: &mut PgConnection,
    subscription: &str,
    from: Position,
    to: Position,
) -> Result<bool, sqlx::Error> {
    let to = i64::try_from(to.0).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let done = if from == Position::START {
        sqlx::query_file!("src/sql/start_checkpoint.sql", subscription, to).execute(connection).await?
    } else {
        sqlx::query_file!("src/sql/move_checkpoint.sql", subscription, column(from.0), to)
            .execute(connection)
            .await?
    };
    Ok(done.rows_affected() == 1)
}

/// The error that says where the checkpoint is instead.
async fn moved_meanwhile(
    database: &Database,
    connection: &mut PgConnection,
    subscription: &str,
    expected: Position,
) -> Result<StoreError, StoreError> {
    let actual = database.within(MOVE_CHECKPOINT, read(connection, subscription)).await?;
    Ok(StoreError::new(StoreErrorKind::CheckpointMoved { expected, actual }, MOVE_CHECKPOINT))
}
