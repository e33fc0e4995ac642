//! Events that subscriptions have set aside.

use std::mem;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use factum_core::{
    BoxError, DeadLetter, DeadLetters, EventFacts, EventId, EventName, Failure, NewDeadLetter, Parked,
    Position, ReadDeadLetters, StoreError, StreamId, Version,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::PostgresStore;
use crate::error::Fault;
use crate::read::limit_column;
use crate::row::{column, number};

const READ: &str = "read dead letters";
const RETRY: &str = "retry dead letter";
const DROP: &str = "drop dead letter";

#[async_trait]
impl DeadLetters for PostgresStore {
    async fn dead_letters(&self, read: ReadDeadLetters) -> Result<Vec<DeadLetter>, StoreError> {
        let database = self.database();
        let ReadDeadLetters { subscription, after, stream, limit } = read;
        database
            .retrying(READ, || async {
                let mut lease = database.lease(READ).await?;
                let rows = sqlx::query_file_as!(
                    Row,
                    "src/sql/dead_letters.sql",
                    &subscription,
                    column(after.0),
                    stream.as_ref().map(StreamId::category) as Option<&str>,
                    stream.as_ref().map(StreamId::id) as Option<&str>,
                    limit_column(limit.max(1)),
                )
                .fetch_all(&mut *lease);
                let rows = database.within(READ, rows).await?;
                lease.put_back();
                rows.into_iter().map(|row| row.into_letter(&subscription)).collect()
            })
            .await
    }

    async fn parked(&self, subscription: &str, due_max: usize) -> Result<Parked, StoreError> {
        let database = self.database();
        database
            .retrying(READ, || async {
                let mut lease = database.lease(READ).await?;
                let rows =
                    sqlx::query_file!("src/sql/parked_streams.sql", subscription).fetch_all(&mut *lease);
                let rows = database.within(READ, rows).await?;
                let mut parked =
                    Parked { count: rows.first().map_or(0, |row| number(row.count)), ..Parked::default() };
                for row in rows {
                    if let (Some(category), Some(stream)) = (row.category, row.stream) {
                        parked.streams.push(stream_of(&category, &stream, 0)?);
                    }
                }
                if parked.count > 0 && due_max > 0 {
                    let due = sqlx::query_file_as!(
                        Row,
                        "src/sql/due_dead_letters.sql",
                        subscription,
                        limit_column(due_max)
                    )
                    .fetch_all(&mut *lease);
                    let due = database.within(READ, due).await?;
                    parked.due =
                        due.into_iter().map(|row| row.into_letter(subscription)).collect::<Result<_, _>>()?;
                }
                lease.put_back();
                Ok(parked)
            })
            .await
    }

    async fn retry_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError> {
        let retried = sqlx::query_file!("src/sql/retry_dead_letter.sql", subscription, column(position.0));
        self.database().changing(RETRY, retried).await.map(|rows| rows > 0)
    }

    async fn drop_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError> {
        let dropped = sqlx::query_file!("src/sql/drop_dead_letter.sql", subscription, column(position.0));
        self.database().changing(DROP, dropped).await.map(|rows| rows > 0)
    }
}

/// Sets events aside.
pub(crate) async fn park(
    connection: &mut PgConnection,
    subscription: &str,
    letters: &[NewDeadLetter],
) -> Result<(), sqlx::Error> {
    let each = |of: fn(&NewDeadLetter) -> &str| letters.iter().map(of).collect::<Vec<_>>();
    let numbers =
        |of: fn(&NewDeadLetter) -> u64| letters.iter().map(|letter| column(of(letter))).collect::<Vec<_>>();
    let failures = || letters.iter().map(|letter| letter.failure.as_ref());
    let errors = failures().map(|failure| {
        // A text of Postgres has no NUL.
        let errors =
            failure.map(|failure| failure.errors.iter().map(|error| error.replace('\0', "\u{fffd}")));
        errors.map(|errors| serde_json::json!(errors.collect::<Vec<_>>()).to_string())
    });
    sqlx::query_file!(
        "src/sql/park.sql",
        subscription,
        &numbers(|letter| letter.event.position.0),
        &letters.iter().map(|letter| letter.event.id.0).collect::<Vec<Uuid>>(),
        &each(|letter| letter.event.stream.category()) as &[&str],
        &each(|letter| letter.event.stream.id()) as &[&str],
        &numbers(|letter| letter.event.version.0),
        &each(|letter| letter.event.name.as_str()) as &[&str],
        &letters.iter().map(|letter| letter.holds_stream).collect::<Vec<_>>(),
        &letters.iter().map(|letter| i32::try_from(letter.attempts).unwrap_or(i32::MAX)).collect::<Vec<_>>(),
        &failures().map(|failure| failure.map(|failure| failure.handler.as_str())).collect::<Vec<_>>()
            as &[Option<&str>],
        &errors.collect::<Vec<_>>() as &[Option<String>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

struct Row {
    position: i64,
    event_id: Uuid,
    category: String,
    stream: String,
    version: i64,
    name: String,
    holds_stream: bool,
    attempts: i32,
    handler: Option<String>,
    errors: Option<Vec<String>>,
    is_due: bool,
    parked_at: DateTime<Utc>,
}

impl Row {
    fn into_letter(mut self, subscription: &str) -> Result<DeadLetter, StoreError> {
        let name =
            EventName::new(mem::take(&mut self.name)).map_err(|error| bad("name", self.position, error))?;
        let event = EventFacts {
            id: EventId(self.event_id),
            name,
            stream: stream_of(&self.category, &self.stream, self.position)?,
            version: Version(number(self.version)),
            position: Position(number(self.position)),
        };
        let failure = self.handler.zip(self.errors).map(|(handler, errors)| Failure { handler, errors });
        let attempts = u32::try_from(self.attempts).map_err(|error| bad("attempts", self.position, error))?;
        Ok(DeadLetter {
            subscription: subscription.to_owned(),
            letter: NewDeadLetter { event, holds_stream: self.holds_stream, attempts, failure },
            parked_at: self.parked_at,
            is_due: self.is_due,
        })
    }
}

fn stream_of(category: &str, stream: &str, position: i64) -> Result<StreamId, StoreError> {
    StreamId::new(category, stream).map_err(|error| bad("stream", position, error))
}

fn bad(column: &'static str, position: i64, source: impl Into<BoxError>) -> StoreError {
    Fault::BadColumn { column, position, source: source.into() }.during(READ)
}
