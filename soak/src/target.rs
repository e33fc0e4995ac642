//! What is broken: a store whose transactions take rows of a projection.

use std::time::Duration;

use clap::ValueEnum;
use factum_conformance::history::Logged;
use factum_core::retention::Retention;
use factum_core::transfer::Transfer;
use factum_core::{
    EventId, EventStore, Position, RecordedEvent, StoreError, StoreErrorKind, Timers, Transactional, Version,
};
use factum_postgres::{PostgresStore, PostgresTx};
use factum_sqlite::{Durability, SqliteStore, SqliteTx};
use serde_json::json;

use crate::dice::Dice;
use crate::note::Total;

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Postgres,
    Sqlite,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
        }
    }
}

/// A store with the tables of a projection beside its own.
pub(crate) trait Target: EventStore + Timers + Retention + Transfer + Clone {
    /// The store at an address. Where there is a choice, chance makes it.
    fn open(address: &str, dice: &mut Dice) -> impl Future<Output = Result<Self, StoreError>> + Send;

    /// Makes the tables.
    fn prepare(&self) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Writes events to the projection, once more for each time that it is told.
    fn project(
        &self,
        tx: &mut Self::Tx,
        events: &[RecordedEvent],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes a row of a client, which says that this event is recorded in the same transaction.
    fn mark(&self, tx: &mut Self::Tx, id: EventId) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// All rows of clients.
    fn marks(&self) -> impl Future<Output = anyhow::Result<Vec<EventId>>> + Send;

    /// What the projection holds: a row for each event, and what they come to for each stream.
    fn projection(&self) -> impl Future<Output = anyhow::Result<(Vec<Logged>, Vec<Total>)>> + Send;

    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Without a key: what is written twice is there twice.
const TABLES: &str = "
    CREATE TABLE soak_rows (position bigint NOT NULL, event text NOT NULL, stream text NOT NULL, version bigint NOT NULL);
    CREATE TABLE soak_totals (stream text PRIMARY KEY, events bigint NOT NULL, version bigint NOT NULL);
    CREATE TABLE soak_marks (event text NOT NULL)";
const MARK: &str = "INSERT INTO soak_marks VALUES ($1)";
const MARKS: &str = "SELECT event FROM soak_marks";
const ROWS: &str = "SELECT position, event, stream, version FROM soak_rows ORDER BY position";
const TOTALS: &str = "SELECT stream, events, version FROM soak_totals ORDER BY stream";

/// So short that what a broken network costs shows within a run of seconds.
const ANSWER: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(3);

impl Target for PostgresStore {
    async fn open(address: &str, dice: &mut Dice) -> Result<Self, StoreError> {
        Self::builder()
            .answer_timeout(ANSWER)
            .acquire_timeout(PATIENCE)
            .retry_for(if dice.once_in(4) { Duration::ZERO } else { PATIENCE })
            .append_lanes(1 + dice.index(3))
            .notifications(!dice.once_in(4))
            .connect(address)
            .await
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        self.migrate().await?;
        sqlx::raw_sql(TABLES).execute(self.pool()).await?;
        Ok(())
    }

    async fn project(&self, tx: &mut PostgresTx, events: &[RecordedEvent]) -> Result<(), StoreError> {
        const ROWS: &str = "
            INSERT INTO soak_rows
            SELECT position, event, stream, version
            FROM json_to_recordset($1::json) AS e (position bigint, event text, stream text, version bigint)";
        const TOTALS: &str = "
            INSERT INTO soak_totals
            SELECT stream, count(*), max(version)
            FROM json_to_recordset($1::json) AS e (stream text, version bigint)
            GROUP BY stream
            ON CONFLICT (stream) DO UPDATE
            SET events = soak_totals.events + excluded.events, version = excluded.version";
        let events = as_json(events);
        for sql in [ROWS, TOTALS] {
            within(sqlx::query(sql).bind(&events).execute(&mut **tx)).await?;
        }
        Ok(())
    }

    async fn mark(&self, tx: &mut PostgresTx, id: EventId) -> Result<(), StoreError> {
        let doing = sqlx::query(MARK).bind(id.to_string()).execute(&mut **tx);
        within(doing).await
    }

    async fn marks(&self) -> anyhow::Result<Vec<EventId>> {
        read_marks(&sqlx::query_scalar::<_, String>(MARKS).fetch_all(self.pool()).await?)
    }

    async fn projection(&self) -> anyhow::Result<(Vec<Logged>, Vec<Total>)> {
        let rows = sqlx::query_as(ROWS).fetch_all(self.pool()).await?;
        let totals = sqlx::query_as(TOTALS).fetch_all(self.pool()).await?;
        read_projection(rows, totals)
    }

    async fn close(self) {
        Self::close(&self).await;
    }
}

impl Target for SqliteStore {
    async fn open(address: &str, dice: &mut Dice) -> Result<Self, StoreError> {
        // Less than others stand still at times, or far more.
        let busy_timeout = if dice.once_in(3) { Duration::from_millis(300) } else { Duration::from_secs(5) };
        // Processes are killed and the machine is not, so either is enough.
        let durability = if dice.once_in(2) { Durability::Full } else { Durability::Normal };
        let readers = u32::try_from(1 + dice.roll(4)).expect("below five");
        Self::builder(address)
            .busy_timeout(busy_timeout)
            .durability(durability)
            .readers(readers)
            .connect()
            .await
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        self.migrate().await?;
        let mut tx = self.begin().await?;
        sqlx::raw_sql(TABLES).execute(&mut *tx).await?;
        Ok(self.commit(tx).await?)
    }

    async fn project(&self, tx: &mut SqliteTx, events: &[RecordedEvent]) -> Result<(), StoreError> {
        const ROWS: &str = "
            INSERT INTO soak_rows
            SELECT value ->> 'position', value ->> 'event', value ->> 'stream', value ->> 'version'
            FROM json_each($1)";
        // Without a condition, ON would be that of a join.
        const TOTALS: &str = "
            INSERT INTO soak_totals
            SELECT value ->> 'stream', count(*), max(value ->> 'version')
            FROM json_each($1)
            WHERE true
            GROUP BY value ->> 'stream'
            ON CONFLICT (stream) DO UPDATE
            SET events = soak_totals.events + excluded.events, version = excluded.version";
        let events = as_json(events);
        for sql in [ROWS, TOTALS] {
            sqlx::query(sql).bind(&events).execute(&mut **tx).await.map_err(failed)?;
        }
        Ok(())
    }

    async fn mark(&self, tx: &mut SqliteTx, id: EventId) -> Result<(), StoreError> {
        sqlx::query(MARK).bind(id.to_string()).execute(&mut **tx).await.map_err(failed)?;
        Ok(())
    }

    async fn marks(&self) -> anyhow::Result<Vec<EventId>> {
        read_marks(&sqlx::query_scalar::<_, String>(MARKS).fetch_all(self.pool()).await?)
    }

    async fn projection(&self) -> anyhow::Result<(Vec<Logged>, Vec<Total>)> {
        let rows = sqlx::query_as(ROWS).fetch_all(self.pool()).await?;
        let totals = sqlx::query_as(TOTALS).fetch_all(self.pool()).await?;
        read_projection(rows, totals)
    }

    async fn close(self) {
        Self::close(&self).await;
    }
}

fn as_json(events: &[RecordedEvent]) -> String {
    let rows = events.iter().map(|event| {
        let RecordedEvent { position, id, stream, version, .. } = event;
        json!({ "position": position.0, "event": id.to_string(), "stream": stream.as_str(), "version": version.0 })
    });
    rows.collect::<serde_json::Value>().to_string()
}

/// Waits for an answer as long as the store would.
async fn within<T>(doing: impl Future<Output = Result<T, sqlx::Error>>) -> Result<(), StoreError> {
    match tokio::time::timeout(ANSWER, doing).await {
        Ok(done) => done.map(|_| ()).map_err(failed),
        Err(elapsed) => Err(StoreError::because(StoreErrorKind::Busy, "project", elapsed)),
    }
}

/// Of the run's own SQL, so only a database that cannot be reached fails it: a transaction that is not committed has
/// written nothing.
fn failed(error: sqlx::Error) -> StoreError {
    let kind = match &error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            match &*code {
                // SQLite is busy, as all of its codes whose lowest byte says so.
                "5" | "261" | "517" | "773" => StoreErrorKind::Busy,
                // Postgres ends, starts, or has ended this session.
                _ if ["57P", "25P", "08"].iter().any(|class| code.starts_with(class)) => {
                    StoreErrorKind::Unavailable
                }
                _ => StoreErrorKind::Other,
            }
        }
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => StoreErrorKind::Unavailable,
        _ => StoreErrorKind::Other,
    };
    StoreError::because(kind, "project", error)
}

fn read_marks(marks: &[String]) -> anyhow::Result<Vec<EventId>> {
    marks.iter().map(|id| Ok(EventId(id.parse()?))).collect()
}

fn read_projection(
    rows: Vec<(i64, String, String, i64)>,
    totals: Vec<(String, i64, i64)>,
) -> anyhow::Result<(Vec<Logged>, Vec<Total>)> {
    let rows = rows.into_iter().map(|(position, event, stream, version)| {
        Ok(Logged {
            id: EventId(event.parse()?),
            stream: stream.parse()?,
            version: Version(version.try_into()?),
            position: Position(position.try_into()?),
        })
    });
    let totals = totals.into_iter().map(|(stream, events, version)| {
        let version = Version(version.try_into()?);
        Ok(Total { stream: stream.parse()?, events: events.try_into()?, version })
    });
    Ok((rows.collect::<anyhow::Result<_>>()?, totals.collect::<anyhow::Result<_>>()?))
}
