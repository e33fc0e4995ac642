//! The store's transaction: what users and projections do in it, and appends in it.

use factum_core::store::{Append, ReadStream, StreamPage, Uncommitted};
use factum_core::{AppendError, Checkpoint, StoreError, StoreErrorKind, Transactional};
use sqlx::{Acquire as _, Postgres, Transaction};

use crate::PostgresStore;
use crate::append::{APPEND, Run};
use crate::checkpoint::{MOVE_CHECKPOINT, Moved, compare_and_set};
use crate::database::BEGIN_POOLED;
use crate::error::is_clash;
use crate::read;

const BEGIN: &str = "begin";
const BEGIN_HERE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
const COMMIT: &str = "commit";

/// How often an append is tried that others overtake.
const ATTEMPTS_MAX: u32 = 20;

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
        let database = self.database();
        database.check_migrated(BEGIN).await?;
        database
            .retrying(BEGIN, || async {
                let pool = self.pool().clone();
                let begin = if database.is_pooled() { BEGIN_POOLED } else { BEGIN_HERE };
                // In a task, so that it always comes to its end: a connection on which sqlx's `begin` is dropped half-way
                // goes back to the pool with an open transaction that nobody ends.
                let begun = tokio::spawn(async move { pool.begin_with(begin).await });
                let begun = async { begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed)) };
                database.within(BEGIN, begun).await
            })
            .await
    }

    /// Appends as part of `tx`: recorded when it commits, together with the rows that the application writes in it.
    ///
    /// From the append on, the feed does not go past its position until `tx` ends, for any reader; so it had better be the
    /// last thing that a transaction does. Other appends go on, except to the same streams, which wait. A connection that is
    /// silent for the [answer time-out](crate::Builder::answer_timeout) after an append is ended by the server.
    ///
    /// A conflict leaves `tx` as it was: it can go on. After an error of the store it cannot.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; of kind [`Other`](StoreErrorKind::Other) in a transaction that is not READ COMMITTED, which could
    /// not see what it has to decide on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the append is part of `tx`: roll it back.
    async fn append_in(&self, tx: &mut PostgresTx, append: Append) -> Result<Uncommitted, AppendError> {
        append.check(&self.limits())?;
        let database = self.database();
        let run = Run::within_transaction(database);
        for _ in 0..ATTEMPTS_MAX {
            // What fails is rolled back to here, so that the transaction survives it. The lock goes with it, and is taken
            // again by the next attempt.
            let savepoint = database.within(APPEND, tx.begin());
            let mut savepoint = savepoint.await?;
            match run.try_append(&mut savepoint, &append).await {
                Ok(written) => {
                    database.within(APPEND, savepoint.commit()).await?;
                    return written.outcome.map(Uncommitted::new);
                }
                Err(error) if is_clash(&error) => {
                    database.within(APPEND, savepoint.rollback()).await?;
                    if let Some(outcome) = run.look_and_judge(tx, &append).await? {
                        return outcome.map(Uncommitted::new);
                    }
                }
                Err(error) => {
                    // Without an answer the connection is broken, and the server rolls back all of it.
                    database.within(APPEND, savepoint.rollback()).await?;
                    return Err(error.into());
                }
            }
        }
        Err(StoreError::new(StoreErrorKind::Busy, APPEND).into())
    }

    async fn read_stream_in(&self, tx: &mut PostgresTx, read: ReadStream) -> Result<StreamPage, StoreError> {
        let page = read::read_stream_on(self.database(), tx, &read).await?;
        Ok(StreamPage { end: page.is_last, events: page.events })
    }

    async fn commit(&self, tx: PostgresTx) -> Result<(), StoreError> {
        self.database().within_commit(COMMIT, tx.commit()).await?;
        self.wake();
        Ok(())
    }

    async fn commit_with_checkpoint(
        &self,
        mut tx: PostgresTx,
        subscription: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        let database = self.database();
        let moved = database.within(MOVE_CHECKPOINT, compare_and_set(&mut tx, subscription, from, to)).await;
        let refusal = match moved {
            Ok(Moved::Done { has_appended }) => {
                database.within_commit(MOVE_CHECKPOINT, tx.commit()).await?;
                if has_appended {
                    self.wake();
                }
                return Ok(());
            }
            Ok(Moved::Not(facts)) => {
                facts.explain(database, &mut tx, subscription, from, to).await.unwrap_or_else(|error| error)
            }
            Err(error) => error,
        };
        // Without an answer the connection is broken, and the server rolls back as well.
        let _ = database.within(MOVE_CHECKPOINT, tx.rollback()).await;
        Err(refusal)
    }
}
