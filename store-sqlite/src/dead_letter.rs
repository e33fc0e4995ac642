//! Events that subscriptions have set aside.

use async_trait::async_trait;
use chrono::Utc;
use factum_core::{
    Advance, DeadLetter, DeadLetters, NewDeadLetter, Parked, Position, ReadDeadLetters, StoreError, StreamId,
};
use serde_json::json;

use crate::SqliteStore;
use crate::checkpoint::SqliteTx;
use crate::database::Database;
use crate::read::{column, rows_max, select};
use crate::row;
use crate::script::{self, Values};

const READ: &str = "read dead letters";

#[async_trait]
impl DeadLetters for SqliteStore {
    async fn dead_letters(&self, read: ReadDeadLetters) -> Result<Vec<DeadLetter>, StoreError> {
        self.database().check_schema(READ).await?;
        let ReadDeadLetters { subscription, after, stream, limit } = read;
        let values = Values::default()
            .and(&*subscription)
            .and(column(after.0))
            .and(stream.as_ref().map(StreamId::category))
            .and(stream.as_ref().map(StreamId::id))
            .and(rows_max(limit.max(1)))
            .done();
        let rows = select(self.database(), include_str!("sql/dead_letters.sql"), values).await?;
        rows.iter().map(|row| row::dead_letter(&subscription, row)).collect()
    }

    async fn parked(&self, subscription: &str, due_max: usize) -> Result<Parked, StoreError> {
        self.database().check_schema(READ).await?;
        let values = Values::default().and(subscription).done();
        let rows = select(self.database(), include_str!("sql/parked_streams.sql"), values).await?;
        let mut parked = Parked::default();
        if let Some((first, streams)) = rows.split_first() {
            parked.count = row::dead_letter_count(first)?;
            parked.streams = streams.iter().map(row::parked_stream).collect::<Result<_, _>>()?;
        }
        if parked.count > 0 && due_max > 0 {
            let values = Values::default().and(subscription).and(rows_max(due_max)).done();
            let rows = select(self.database(), include_str!("sql/due_dead_letters.sql"), values).await?;
            parked.due =
                rows.iter().map(|row| row::dead_letter(subscription, row)).collect::<Result<_, _>>()?;
        }
        Ok(parked)
    }

    async fn retry_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError> {
        const RETRY: &str = "BEGIN IMMEDIATE;
            UPDATE factum_dead_letters SET is_due = 1 WHERE subscription = ?1 AND position = ?2 RETURNING 1;
            COMMIT";
        self.change_letter(RETRY, subscription, position).await
    }

    async fn drop_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError> {
        const DROP: &str = "BEGIN IMMEDIATE;
            DELETE FROM factum_dead_letters WHERE subscription = ?1 AND position = ?2 RETURNING 1;
            COMMIT";
        self.change_letter(DROP, subscription, position).await
    }
}

impl SqliteStore {
    async fn change_letter(
        &self,
        script: &'static str,
        subscription: &str,
        position: Position,
    ) -> Result<bool, StoreError> {
        let values = Values::default().and(subscription).and(column(position.0)).done();
        let answers = self.database().write("change dead letter", script, values).await?;
        // The first is that of BEGIN.
        Ok(answers.get(1).is_some_and(|rows| !rows.is_empty()))
    }
}

/// Keeps the dead letters of a step, in a transaction that goes on.
pub(crate) async fn keep(
    database: &Database,
    tx: &mut SqliteTx,
    step: &Advance,
    operation: &'static str,
) -> Result<(), StoreError> {
    let subscription = step.partition.subscription();
    if !step.parked.is_empty() {
        let letters: Vec<_> = step.parked.iter().map(to_json).collect();
        let values = Values::default().and(subscription).and(json!(letters).to_string());
        let values = values.and(Utc::now().timestamp_micros()).done();
        if let Err(fault) = script::run(tx, include_str!("sql/park.sql"), values).await {
            return Err(database.explain(operation, fault.error).await);
        }
    }
    if !step.settled.is_empty() {
        let positions: Vec<_> = step.settled.iter().map(|position| column(position.0)).collect();
        let values = Values::default().and(subscription).and(json!(positions).to_string()).done();
        if let Err(fault) = script::run(tx, include_str!("sql/settle.sql"), values).await {
            return Err(database.explain(operation, fault.error).await);
        }
    }
    Ok(())
}

fn to_json(letter: &NewDeadLetter) -> serde_json::Value {
    let NewDeadLetter { event, holds_stream, attempts, failure } = letter;
    json!({
        "position": column(event.position.0),
        "event_id": event.id.0.simple().to_string(),
        "category": event.stream.category(),
        "stream": event.stream.id(),
        "version": column(event.version.0),
        "name": event.name.as_str(),
        "holds_stream": i64::from(*holds_stream),
        "attempts": attempts,
        "handler": failure.as_ref().map(|failure| &failure.handler),
        // A text within a text: the column keeps it as it is.
        "errors": failure.as_ref().map(|failure| json!(failure.errors).to_string()),
    })
}
