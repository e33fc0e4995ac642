//! The projection: what there is of each stream and of each partition, and what was seen in the wrong order.

use factum::Event;
use factum_core::{StreamId, Token, Transactional as _, Version};
use factum_postgres::PostgresStore;
use factum_sqlite::SqliteStore;
use serde::{Deserialize, Serialize};

use crate::target::Target;

/// What is counted.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[event(name = "soak.counted")]
pub(crate) struct Counted {
    /// So small that the sum of all of them is a number of the database.
    pub(crate) value: u32,
}

/// An event as a node sees it.
#[derive(Clone, Debug)]
pub(crate) struct Sight<'a> {
    pub(crate) stream: &'a StreamId,
    pub(crate) version: Version,
    pub(crate) value: u32,
    pub(crate) partition: u32,
    /// Of the lease under which it is counted.
    pub(crate) token: Token,
}

/// What the projection holds of a stream.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct StreamRow {
    pub(crate) stream: String,
    pub(crate) events: i64,
    /// Of the event that was counted last.
    pub(crate) version: i64,
    /// All values together.
    pub(crate) checksum: i64,
}

/// What it holds of a partition.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct PartitionRow {
    pub(crate) partition: i64,
    pub(crate) events: i64,
    /// Of the lease under which the last event was counted.
    pub(crate) token: i64,
}

/// All that it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) streams: Vec<StreamRow>,
    pub(crate) partitions: Vec<PartitionRow>,
    /// What was seen in the wrong order, in words.
    pub(crate) disorder: Vec<String>,
}

/// A store that has the tables of the projection.
pub(crate) trait Tally: Target {
    /// Makes the tables.
    fn prepare_tally(&self) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Counts one event, and looks whether it is its turn.
    fn tally(tx: &mut Self::Tx, sight: &Sight<'_>) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// What there is now.
    fn rows(&self) -> impl Future<Output = anyhow::Result<Rows>> + Send;
}

const TABLES: &str = "
    CREATE TABLE tally_streams
        (stream text PRIMARY KEY, events bigint NOT NULL, version bigint NOT NULL, checksum bigint NOT NULL);
    CREATE TABLE tally_partitions (partition bigint PRIMARY KEY, events bigint NOT NULL, token bigint NOT NULL);
    CREATE TABLE tally_disorder (said text NOT NULL)";
const LAST_VERSION: &str = "SELECT version FROM tally_streams WHERE stream = $1";
const LAST_TOKEN: &str = "SELECT token FROM tally_partitions WHERE partition = $1";
const DISORDER: &str = "INSERT INTO tally_disorder VALUES ($1)";
const STREAM: &str = "
    INSERT INTO tally_streams VALUES ($1, 1, $2, $3)
    ON CONFLICT (stream) DO UPDATE SET
        events = tally_streams.events + 1,
        version = excluded.version,
        checksum = tally_streams.checksum + excluded.checksum";
const PARTITION: &str = "
    INSERT INTO tally_partitions VALUES ($1, 1, $2)
    ON CONFLICT (partition) DO UPDATE SET events = tally_partitions.events + 1, token = excluded.token";
const STREAMS: &str = "SELECT stream, events, version, checksum FROM tally_streams ORDER BY stream";
const PARTITIONS: &str = "SELECT partition, events, token FROM tally_partitions ORDER BY partition";
const ALL_DISORDER: &str = "SELECT said FROM tally_disorder";

/// Both speak the same SQL here, through connections of different types.
macro_rules! tally {
    ($store:ty) => {
        impl Tally for $store {
            async fn prepare_tally(&self) -> anyhow::Result<()> {
                self.migrate().await?;
                let mut tx = self.begin().await?;
                sqlx::raw_sql(TABLES).execute(&mut *tx).await?;
                Ok(self.commit(tx).await?)
            }

            async fn tally(tx: &mut Self::Tx, sight: &Sight<'_>) -> Result<(), sqlx::Error> {
                let Sight { stream, version, value, partition, token } = sight;
                let (version, token) = (signed(version.0), signed(token.0));
                let last: Option<i64> =
                    sqlx::query_scalar(LAST_VERSION).bind(stream.as_str()).fetch_optional(&mut **tx).await?;
                let mut disorder = Vec::new();
                if version != last.unwrap_or(0) + 1 {
                    disorder.push(format!("{stream}: version {version} after {last:?}"));
                }
                let last: Option<i64> = sqlx::query_scalar(LAST_TOKEN)
                    .bind(i64::from(*partition))
                    .fetch_optional(&mut **tx)
                    .await?;
                if last.is_some_and(|last| token < last) {
                    disorder.push(format!("partition {partition}: token {token} after {last:?}"));
                }
                for said in disorder {
                    sqlx::query(DISORDER).bind(said).execute(&mut **tx).await?;
                }
                let row = sqlx::query(STREAM).bind(stream.as_str()).bind(version).bind(i64::from(*value));
                row.execute(&mut **tx).await?;
                sqlx::query(PARTITION).bind(i64::from(*partition)).bind(token).execute(&mut **tx).await?;
                Ok(())
            }

            async fn rows(&self) -> anyhow::Result<Rows> {
                Ok(Rows {
                    streams: sqlx::query_as(STREAMS).fetch_all(self.pool()).await?,
                    partitions: sqlx::query_as(PARTITIONS).fetch_all(self.pool()).await?,
                    disorder: sqlx::query_scalar(ALL_DISORDER).fetch_all(self.pool()).await?,
                })
            }
        }
    };
}

tally!(PostgresStore);
tally!(SqliteStore);

/// The databases have no other numbers.
fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("no store counts further")
}
