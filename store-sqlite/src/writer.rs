//! The one connection that writes, in a transaction that sqlx does not keep count of.
//!
//! sqlx's own transactions take a message to the connection's thread for each of their ends. Here `BEGIN` and `COMMIT`
//! are parts of scripts, and this type does what sqlx's would: what was begun and not ended is rolled back.

use factum_core::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqlitePool};

use crate::error::{Fault, store_error};
use crate::script::{self, Answers};

/// The writer connection, for the time of one transaction.
pub(crate) struct Writer {
    /// `None` once it was given back.
    connection: Option<PoolConnection<Sqlite>>,
}

impl Writer {
    /// Waits for its turn: the queue is first come, first served.
    pub(crate) async fn acquire(pool: &SqlitePool, operation: &'static str) -> Result<Self, StoreError> {
        let connection = pool.acquire().await.map_err(|error| store_error(operation, error))?;
        Ok(Self { connection: Some(connection) })
    }

    /// Runs a script, see [`script::run`].
    pub(crate) async fn run(
        &mut self,
        sql: &'static str,
        arguments: SqliteArguments,
    ) -> Result<Answers, Fault> {
        let connection = self.connection.as_mut().expect("it is given back only by value");
        script::run(connection, sql, arguments).await
    }

    /// Gives the connection back: a script has ended the transaction.
    pub(crate) fn ended(mut self) {
        self.connection = None;
    }

    /// Rolls back, by closing the connection: after a failure nobody knows for sure what state it is in.
    pub(crate) async fn abandon(mut self) {
        if let Some(connection) = self.connection.take() {
            // Nothing to be done about a connection that does not even close.
            let _ = connection.close().await;
        }
    }
}

impl Drop for Writer {
    /// As [`abandon`](Writer::abandon), in the background.
    fn drop(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            connection.close_on_drop();
        }
    }
}
