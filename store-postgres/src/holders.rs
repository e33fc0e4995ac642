//! Who holds up the feed, and since when.

use std::time::Duration;

use chrono::{DateTime, Utc};
use factum_core::{Position, StoreError};

use crate::database::Database;
use crate::row::number;

const HOLDERS: &str = "list feed holders";

/// How long the feed waits at a hole before it is said.
const HELD_UP: Duration = Duration::from_secs(1);

/// A transaction that the feed does not pass before it is over: there is an append in it, or it sets a stream apart.
///
/// Of the processes of other users, Postgres tells only those who may know (`pg_read_all_stats`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FeedHolder {
    /// The process of the server, for `pg_terminate_backend`. A prepared transaction has none.
    pub pid: Option<i32>,
    /// The name of a prepared transaction, for `COMMIT PREPARED` or `ROLLBACK PREPARED`.
    pub prepared: Option<String>,
    /// Since when the transaction is open, or prepared.
    pub since: Option<DateTime<Utc>>,
    /// How long that is, by the clock of the server.
    pub age: Option<Duration>,
    /// What the process does: `active`, or `idle in transaction` where the application is to blame.
    pub state: Option<String>,
    /// What the application calls itself; `factum`, if it says nothing else.
    pub application_name: Option<String>,
    /// What `pg_locks` calls the transaction.
    pub virtual_transaction: String,
}

/// All there are now, the oldest first.
pub(crate) async fn list(database: &Database) -> Result<Vec<FeedHolder>, StoreError> {
    database
        .retrying(HOLDERS, || async {
            let mut lease = database.lease(HOLDERS).await?;
            let rows = sqlx::query_file!("src/sql/feed_holders.sql").fetch_all(&mut *lease);
            let rows = database.within(HOLDERS, rows).await?;
            lease.put_back();
            let holders = rows.into_iter().map(|row| FeedHolder {
                pid: row.pid,
                prepared: row.prepared,
                since: row.since,
                age: row.age_ms.map(|ms| Duration::from_millis(number(ms.max(0)))),
                state: row.state,
                application_name: row.application_name,
                virtual_transaction: row.virtual_transaction,
            });
            Ok(holders.collect())
        })
        .await
}

/// Tells those who read the logs what the feed waits for, if it has waited for long; once for each hole.
pub(crate) async fn report(database: &Database) {
    let Some(names) = database.tracker.report_due(HELD_UP) else { return };
    let after = Position(database.tracker.ticket().settled);
    match list(database).await {
        Ok(mut holders) => {
            // Whoever has come since then is not waited for. One that was prepared meanwhile may have another name.
            holders.retain(|holder| holder.pid.is_none() || names.contains(&holder.virtual_transaction));
            if !holders.is_empty() {
                tracing::warn!(%after, ?holders, "the feed waits for transactions that are still open");
            }
        }
        Err(error) => {
            tracing::warn!(%after, ?names, %error, "the feed waits, and who holds it up cannot be told");
        }
    }
}
