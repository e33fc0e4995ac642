//! Deadlines of processes.

use std::time::Duration;

use factum_core::{DueTimers, EventId, StoreError, Timer, Timers};

use crate::PostgresStore;
use crate::read::limit_column;
use crate::transaction::PostgresTx;

const SET: &str = "set timer";
const TAKE: &str = "take timer";
const DUE: &str = "read timers";

impl Timers for PostgresStore {
    async fn set_timer(&self, tx: &mut PostgresTx, timer: Timer) -> Result<(), StoreError> {
        let Timer { process, event_id, due_at } = timer;
        let set = sqlx::query_file!("src/sql/set_timer.sql", process, event_id.0, due_at).execute(&mut **tx);
        self.database().within(SET, set).await.map(drop)
    }

    /// Waits for another transaction that is taking it.
    async fn take_timer(&self, tx: &mut PostgresTx, timer: &Timer) -> Result<bool, StoreError> {
        let taken =
            sqlx::query_file!("src/sql/take_timer.sql", timer.process, timer.event_id.0).execute(&mut **tx);
        self.database().within(TAKE, taken).await.map(|done| done.rows_affected() > 0)
    }

    async fn due_timers(&self, process: &str, limit: usize) -> Result<DueTimers, StoreError> {
        let database = self.database();
        database
            .retrying(DUE, || async {
                let mut lease = database.lease(DUE).await?;
                let rows = sqlx::query_file!("src/sql/due_timers.sql", process, limit_column(limit.max(1)))
                    .fetch_all(&mut *lease);
                let rows = database.within(DUE, rows).await?;
                lease.put_back();
                let mut due = DueTimers::default();
                for row in rows {
                    let (Some(event_id), Some(due_at)) = (row.event_id, row.due_at) else { continue };
                    if row.is_due {
                        due.timers.push(Timer {
                            process: process.to_owned(),
                            event_id: EventId(event_id),
                            due_at,
                        });
                    } else {
                        due.next = Some((due_at - row.now).to_std().unwrap_or(Duration::ZERO));
                    }
                }
                Ok(due)
            })
            .await
    }
}
