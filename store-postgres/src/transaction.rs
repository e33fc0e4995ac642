//! The store's transaction: what users and projections do in it, and appends in it.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use factum_core::snapshot::{PageFrom, ReadFrom};
use factum_core::store::{Append, ReadStream, StreamPage, Uncommitted};
use factum_core::{Advance, AppendError, Checkpoint, Partition, StoreError, StoreErrorKind, Transactional};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::postgres::PgTransactionManager;
use sqlx::{Acquire, Connection as _, PgConnection, Postgres, SqlSafeStr as _, Transaction};
use sqlx_core::transaction::TransactionManager as _;
use tokio::time::timeout;

use crate::PostgresStore;
use crate::append::{APPEND, Run};
use crate::checkpoint::{self, MOVE_CHECKPOINT, Moved, step_in};
use crate::database::Lease;
use crate::error::{Fault, commit_error, is_clash, store_error};
use crate::read;
use crate::snapshot;

const BEGIN: &str = "begin";
const COMMIT: &str = "commit";
const ROLLBACK: &str = "roll back";

/// How often an append is tried that others overtake.
const ATTEMPTS_MAX: u32 = 20;

/// The transaction of a Postgres store, in which any SQL can be run: it is a connection of sqlx, `&mut *tx`, on which
/// [`Connection::begin`](sqlx::Connection::begin) makes savepoints.
///
/// Dropping it rolls it back. That, and its end, may take the server no longer than the
/// [answer time-out](crate::Builder::answer_timeout): then the connection is closed, so that its place in the pool is free
/// also where the network has fallen silent. sqlx's own transactions would wait there for ever.
#[must_use = "dropping a transaction rolls it back"]
pub struct PostgresTx {
    /// `None` when it is over.
    lease: Option<Lease>,
}

impl PostgresTx {
    /// Commits it. Whoever waits for what was appended in it hears of that from
    /// [`Transactional::commit`], or from [`PostgresStore::wake`] afterwards.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; where it is not [`OutcomeUnknown`](StoreErrorKind::OutcomeUnknown), it was rolled back.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown: all of it, or nothing.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        self.check_open(COMMIT)?;
        // Where a statement has failed before, COMMIT rolls back and is answered without an error; this is not.
        let limit = self.answer_timeout();
        match timeout(limit, sqlx::raw_sql("SELECT 1").execute(&mut *self)).await {
            Ok(Ok(_)) => self.finish().await,
            Ok(Err(error)) => Err(store_error(COMMIT, error)),
            Err(elapsed) => {
                self.lease = None;
                Err(StoreError::because(StoreErrorKind::Busy, COMMIT, elapsed))
            }
        }
    }

    /// Commits it, after a statement that did not fail.
    async fn finish(mut self) -> Result<(), StoreError> {
        let limit = self.answer_timeout();
        let committing = async {
            // A savepoint that somebody has begun and forgotten is part of it.
            while PgTransactionManager::get_transaction_depth(&self) > 0 {
                PgTransactionManager::commit(&mut self).await?;
            }
            Ok(())
        };
        match timeout(limit, committing).await {
            Ok(outcome) => outcome.map_err(|error| commit_error(COMMIT, error)),
            Err(elapsed) => {
                self.lease = None;
                Err(StoreError::because(StoreErrorKind::OutcomeUnknown, COMMIT, elapsed))
            }
        }
    }

    /// Rolls it back, as dropping it does, and returns when that is done.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the server did not say that it is done. It will do it, since the connection is closed then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future rolls back as well.
    pub async fn rollback(mut self) -> Result<(), StoreError> {
        let limit = self.answer_timeout();
        match timeout(limit, PgTransactionManager::rollback(&mut self)).await {
            Ok(outcome) => outcome.map_err(|error| store_error(ROLLBACK, error)),
            Err(elapsed) => {
                self.lease = None;
                Err(StoreError::because(StoreErrorKind::Unavailable, ROLLBACK, elapsed))
            }
        }
    }

    /// Refuses a transaction that sqlx has rolled back by itself, because the beginning of a savepoint failed or was dropped:
    /// what came afterwards would be committed alone.
    fn check_open(&self, operation: &'static str) -> Result<(), StoreError> {
        match PgTransactionManager::get_transaction_depth(self) {
            0 => Err(StoreError::because(StoreErrorKind::Busy, operation, Fault::GivenUp)),
            _ => Ok(()),
        }
    }

    fn answer_timeout(&self) -> Duration {
        self.lease().answer_timeout()
    }

    fn lease(&self) -> &Lease {
        self.lease.as_ref().expect("a transaction has its connection until it ends")
    }
}

impl Drop for PostgresTx {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.roll_back();
        }
    }
}

impl Deref for PostgresTx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.lease()
    }
}

impl DerefMut for PostgresTx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.lease.as_mut().expect("a transaction has its connection until it ends")
    }
}

impl AsMut<PgConnection> for PostgresTx {
    fn as_mut(&mut self) -> &mut PgConnection {
        self
    }
}

/// For functions that take whatever leads to a connection. What they begin is a savepoint.
impl<'t> Acquire<'t> for &'t mut PostgresTx {
    type Database = Postgres;
    type Connection = &'t mut PgConnection;

    fn acquire(self) -> BoxFuture<'t, Result<Self::Connection, sqlx::Error>> {
        std::future::ready(Ok(&mut **self)).boxed()
    }

    fn begin(self) -> BoxFuture<'t, Result<Transaction<'t, Postgres>, sqlx::Error>> {
        PgConnection::begin(self).boxed()
    }
}

impl fmt::Debug for PostgresTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresTx").finish_non_exhaustive()
    }
}

impl Transactional for PostgresStore {
    type Tx = PostgresTx;

    /// Begins a transaction: of a projection, or of the application's own. It runs at READ COMMITTED, whatever the
    /// database's default is, and is ended by the server if nothing is asked in it for the
    /// [answer time-out](crate::Builder::answer_timeout).
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
                let mut lease = database.lease_idle(BEGIN).await?;
                let begin = Some(database.begin_for_others().into_sql_str());
                let begun = PgTransactionManager::begin(&mut lease, begin);
                database.within(BEGIN, begun).await?;
                Ok(PostgresTx { lease: Some(lease) })
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
        tx.check_open(APPEND)?;
        let database = self.database();
        let run = Run::within_transaction(database);
        for _ in 0..ATTEMPTS_MAX {
            // What fails is rolled back to here, so that the transaction survives it. The lock goes with it, and is taken
            // again by the next attempt.
            let savepoint = database.within(APPEND, PgConnection::begin(tx));
            let mut savepoint = savepoint.await?;
            match run.try_append(&mut savepoint, &append).await {
                Ok(written) => {
                    database.within(APPEND, savepoint.commit()).await?;
                    let is_repeated = written.is_repeated();
                    let answer = if is_repeated { Uncommitted::repeated } else { Uncommitted::new };
                    return written.outcome.map(answer);
                }
                Err(error) => {
                    if let Err(second) = database.within(APPEND, savepoint.rollback()).await {
                        // The connection is broken, and the server rolls back all of it.
                        tracing::warn!(error = %second, "a transaction is lost in which an append failed");
                        return Err(error.into());
                    }
                    if !is_clash(&error) {
                        return Err(error.into());
                    }
                    if let Some(outcome) = run.look_and_judge(tx, &append).await? {
                        return outcome.map(Uncommitted::repeated);
                    }
                }
            }
        }
        Err(StoreError::new(StoreErrorKind::Busy, APPEND).into())
    }

    async fn read_stream_in(&self, tx: &mut PostgresTx, read: ReadStream) -> Result<StreamPage, StoreError> {
        let page = read::read_stream_on(self.database(), tx, &read).await?;
        Ok(StreamPage { end: page.is_last, events: page.events })
    }

    async fn read_from_in(&self, tx: &mut PostgresTx, read: ReadFrom) -> Result<PageFrom, StoreError> {
        let (found, page) = snapshot::read_from_on(self.database(), tx, &read).await?;
        Ok(PageFrom { found, page: StreamPage { end: page.is_last, events: page.events } })
    }

    async fn commit(&self, tx: PostgresTx) -> Result<(), StoreError> {
        tx.commit().await?;
        self.wake();
        Ok(())
    }

    async fn rollback(&self, tx: PostgresTx) -> Result<(), StoreError> {
        tx.rollback().await
    }

    async fn hold_checkpoint(
        &self,
        tx: &mut PostgresTx,
        partition: &Partition,
    ) -> Result<Checkpoint, StoreError> {
        checkpoint::hold(self.database(), tx, partition).await
    }

    async fn advance_in(&self, tx: &mut PostgresTx, step: Advance) -> Result<(), StoreError> {
        tx.check_open(MOVE_CHECKPOINT)?;
        match step_in(self.database(), tx, &step).await? {
            Moved::Done { .. } => Ok(()),
            Moved::Not(facts) => Err(facts.explain(self.database(), tx, &step).await?),
        }
    }

    async fn commit_with(&self, mut tx: PostgresTx, step: Advance) -> Result<(), StoreError> {
        tx.check_open(MOVE_CHECKPOINT)?;
        let database = self.database();
        let refusal = match step_in(database, &mut tx, &step).await {
            Ok(Moved::Done { has_appended }) => {
                tx.finish().await?;
                if has_appended {
                    self.wake();
                }
                return Ok(());
            }
            Ok(Moved::Not(facts)) => {
                facts.explain(database, &mut tx, &step).await.unwrap_or_else(|error| error)
            }
            Err(error) => error,
        };
        // Without an answer the connection is broken, and the server rolls back as well.
        let _ = tx.rollback().await;
        Err(refusal)
    }
}
