//! The database: connections that are fit to use, and nothing that waits for ever.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use factum_core::store::Wake;
use factum_core::{StoreError, StoreErrorKind};
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};
use tokio::sync::OnceCell;

use crate::error::{commit_error, store_error};
use crate::migrate;

/// The connections, and what every use of them has to mind.
pub(crate) struct Database {
    pool: PgPool,
    answer_timeout: Duration,
    /// Set when the tables were seen to be those of this program.
    migrated: OnceCell<()>,
    /// Told of every append of this process.
    pub(crate) wake: Wake,
}

impl Database {
    pub(crate) fn new(pool: PgPool, answer_timeout: Duration) -> Self {
        Self { pool, answer_timeout, migrated: OnceCell::new(), wake: Wake::new() }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// How long the server may take for one answer.
    pub(crate) fn answer_timeout(&self) -> Duration {
        self.answer_timeout
    }

    /// A connection to a database whose tables are those of this program.
    pub(crate) async fn lease(&self, operation: &'static str) -> Result<Lease, StoreError> {
        let mut lease = self.lease_unchecked(operation).await?;
        self.migrated
            .get_or_try_init(|| async {
                let found = migrate::last_applied(self, &mut lease, operation).await?;
                migrate::check(found).map_err(|kind| StoreError::new(kind, operation))
            })
            .await?;
        Ok(lease)
    }

    /// Looks once whether the tables are those of this program.
    pub(crate) async fn check_migrated(&self, operation: &'static str) -> Result<(), StoreError> {
        if !self.migrated.initialized() {
            self.lease(operation).await?.put_back();
        }
        Ok(())
    }

    /// A connection to a database that may have no tables yet.
    pub(crate) async fn lease_unchecked(&self, operation: &'static str) -> Result<Lease, StoreError> {
        // The pool has a time limit of its own.
        let connection = self.pool.acquire().await.map_err(|error| store_error(operation, error))?;
        Ok(Lease { connection: Some(connection), answer_timeout: self.answer_timeout })
    }

    /// What comes of `work`, unless it takes too long. For everything that a commit does not depend on.
    pub(crate) async fn within<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(self.answer_timeout, work).await {
            Ok(outcome) => outcome.map_err(|error| store_error(operation, error)),
            Err(elapsed) => Err(StoreError::because(StoreErrorKind::Busy, operation, elapsed)),
        }
    }

    /// What comes of a COMMIT, or of a statement that commits itself: not known, if the answer does not come.
    pub(crate) async fn within_commit<T>(
        &self,
        operation: &'static str,
        commit: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(self.answer_timeout, commit).await {
            Ok(outcome) => outcome.map_err(|error| commit_error(operation, error)),
            Err(elapsed) => Err(StoreError::because(StoreErrorKind::OutcomeUnknown, operation, elapsed)),
        }
    }
}

/// A connection that goes back to the pool only when somebody says that it is in order.
///
/// In all other cases (an error, a time-out, a dropped future) it is closed: then the server rolls back what is open
/// and lets go of the locks. sqlx's own way would be to give it back and to wait for the server there, which pins a
/// place in the pool for ever if the server is silent (sqlx issue 4349).
pub(crate) struct Lease {
    connection: Option<PoolConnection<Postgres>>,
    answer_timeout: Duration,
}

impl Lease {
    /// Gives the connection back: its last answer was read to the end, and no transaction is open.
    pub(crate) fn put_back(mut self) {
        if let Some(mut connection) = self.connection.take() {
            // What dropping it does as well, but with a time limit, because it asks the server for an answer.
            let returned = connection.return_to_pool();
            tokio::spawn(tokio::time::timeout(self.answer_timeout, returned));
        }
    }

    /// Keeps the connection from the pool for good.
    pub(crate) fn detach(mut self) -> PgConnection {
        self.connection.take().expect("a lease has its connection until it ends").detach()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

impl Deref for Lease {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect("a lease has its connection until it ends")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("a lease has its connection until it ends")
    }
}
