//! Deadlines of processes.

use chrono::Utc;
use factum_core::{DueTimers, StoreError, Timer, Timers};

use crate::SqliteStore;
use crate::checkpoint::SqliteTx;
use crate::read::{rows_max, select};
use crate::row;
use crate::script::{self, Values};

const SET: &str =
    "INSERT INTO factum_timers (process, event_id, due_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
const TAKE: &str = "DELETE FROM factum_timers WHERE process = ?1 AND event_id = ?2 RETURNING 1";

impl Timers for SqliteStore {
    async fn set_timer(&self, tx: &mut SqliteTx, timer: Timer) -> Result<(), StoreError> {
        let values = Values::default().and(&*timer.process).and(&timer.event_id.0.as_bytes()[..]);
        match script::run(tx, SET, values.and(timer.due_at.timestamp_micros()).done()).await {
            Ok(_) => Ok(()),
            Err(fault) => Err(self.database().explain("set timer", fault.error).await),
        }
    }

    async fn take_timer(&self, tx: &mut SqliteTx, timer: &Timer) -> Result<bool, StoreError> {
        let values = Values::default().and(&*timer.process).and(&timer.event_id.0.as_bytes()[..]).done();
        match script::run(tx, TAKE, values).await {
            Ok(answers) => Ok(answers.iter().any(|rows| !rows.is_empty())),
            Err(fault) => Err(self.database().explain("take timer", fault.error).await),
        }
    }

    async fn due_timers(&self, process: &str, limit: usize) -> Result<DueTimers, StoreError> {
        self.database().check_schema("read timers").await?;
        let now = Utc::now();
        let values =
            Values::default().and(process).and(now.timestamp_micros()).and(rows_max(limit.max(1))).done();
        let rows = select(self.database(), include_str!("sql/due_timers.sql"), values).await?;
        let mut due = DueTimers::default();
        for row in &rows {
            let (event_id, due_at) = row::timer(row)?;
            if due_at.timestamp_micros() <= now.timestamp_micros() {
                due.timers.push(Timer { process: process.to_owned(), event_id, due_at });
            } else {
                due.next = (due_at - now).to_std().ok();
            }
        }
        Ok(due)
    }
}
