//! The least SQL that does the same, by sqlx: what an application does that has no framework.
//!
//! Written once for SQLite and Postgres, which differ in how a table numbers its rows and in how they tell the time.

use std::fmt;
use std::future::Future;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sqlx::{Database, Encode, Executor, FromRow, IntoArguments, Pool, Postgres, Sqlite, Type};
use uuid::Uuid;

use crate::{Account, Deposited};

/// The least SQL on one database.
pub trait LeastSql: Clone + Send + Sync + 'static {
    /// Which one.
    type Database: Database;

    /// The tables of all of this, where they are not there yet.
    fn make_tables(
        connection: &mut <Self::Database as Database>::Connection,
    ) -> impl Future<Output = ()> + Send;

    /// One event in a new stream: one `INSERT`, which commits itself.
    fn create(&self) -> impl Future<Output = ()> + Send;

    /// A row of the application's own, written in a transaction.
    fn order_in(connection: &mut <Self::Database as Database>::Connection)
    -> impl Future<Output = ()> + Send;

    /// The same row and an event, in a transaction of four statements.
    fn order_and_create(&self) -> impl Future<Output = ()> + Send;

    /// A stream with this many events.
    fn fill(&self, stream: Uuid, events: u32) -> impl Future<Output = ()> + Send;

    /// What the events of a stream come to: one `SELECT`.
    fn load(&self, stream: Uuid) -> impl Future<Output = Account> + Send;

    /// Reads rows of factum's own table as they come, and says how many: one `SELECT`.
    fn read(pool: &Pool<Self::Database>, rows: Rows) -> impl Future<Output = u32> + Send;

    /// Reads all rows of factum's own table as they come, decodes each as a deposit, and says what they come to.
    fn read_and_decode(pool: &Pool<Self::Database>) -> impl Future<Output = Account> + Send;
}

/// Which rows are read.
#[derive(Clone, Copy, Debug)]
pub enum Rows {
    /// All.
    All,
    /// Those with this name.
    Named(&'static str),
    /// Those of this category.
    Of(&'static str),
}

/// What one database calls otherwise than the other.
pub trait Dialect: Database {
    /// The table of events.
    const TABLE: &'static str;
    /// How `recorded_at` is stored.
    type Time;
}

impl Dialect for Sqlite {
    const TABLE: &'static str =
        "CREATE TABLE IF NOT EXISTS raw (position INTEGER PRIMARY KEY AUTOINCREMENT, stream BLOB NOT NULL,
         version INTEGER NOT NULL, name TEXT NOT NULL, payload BLOB NOT NULL, UNIQUE (stream, version))";
    type Time = i64;
}

impl Dialect for Postgres {
    const TABLE: &'static str =
        "CREATE TABLE IF NOT EXISTS raw (position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, stream uuid NOT NULL,
         version bigint NOT NULL, name text NOT NULL, payload bytea NOT NULL, UNIQUE (stream, version))";
    type Time = DateTime<Utc>;
}

/// The least SQL, on the tables behind a pool.
pub struct Raw<DB: Database> {
    pool: Pool<DB>,
    payload: Vec<u8>,
}

impl<DB: Database> Raw<DB>
where
    Self: LeastSql<Database = DB>,
{
    /// Makes the tables.
    pub async fn new(pool: Pool<DB>) -> Self {
        let mut tx = pool.begin().await.expect("a transaction");
        Self::make_tables(&mut tx).await;
        tx.commit().await.expect("committed");
        Self { pool, payload: serde_json::to_vec(&Deposited::sample()).expect("it can be encoded") }
    }
}

const INSERT: &str = "INSERT INTO raw (stream, version, name, payload) VALUES ($1, $2, $3, $4)";
const ORDER: &str = "INSERT INTO bench_orders (total) VALUES ($1)";
const ORDERS: &str = "CREATE TABLE IF NOT EXISTS bench_orders (total bigint NOT NULL)";
const LOAD: &str = "SELECT version, payload FROM raw WHERE stream = $1 ORDER BY version";

macro_rules! read {
    ($which:literal) => {
        concat!(
            "SELECT position, event_id, category, stream, version, name, schema_version, codec, payload, metadata, ",
            "recorded_at FROM factum_events ",
            $which,
            " ORDER BY position"
        )
    };
}
const READ_ALL: &str = read!("");
const READ_NAMED: &str = read!("WHERE name = $1");
const READ_CATEGORY: &str = read!("WHERE category = $1");

type FeedRow<T> = (i64, Uuid, String, String, i64, String, i32, String, Vec<u8>, String, T);

impl<DB> LeastSql for Raw<DB>
where
    DB: Dialect,
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> Uuid: Encode<'q, DB> + Type<DB>,
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
    for<'q> &'q [u8]: Encode<'q, DB> + Type<DB>,
    for<'r> (i64, Vec<u8>): FromRow<'r, DB::Row>,
    for<'r> FeedRow<DB::Time>: FromRow<'r, DB::Row>,
    DB::Time: Send + Unpin,
{
    type Database = DB;

    async fn make_tables(connection: &mut DB::Connection) {
        for table in [DB::TABLE, ORDERS] {
            sqlx::query(table).execute(&mut *connection).await.expect("a table");
        }
    }

    async fn create(&self) {
        self.insert(Uuid::now_v7(), 1, &self.pool).await;
    }

    async fn order_in(connection: &mut DB::Connection) {
        sqlx::query(ORDER).bind(1177_i64).execute(connection).await.expect("it can be written");
    }

    async fn order_and_create(&self) {
        let mut tx = self.pool.begin().await.expect("a transaction");
        Self::order_in(&mut tx).await;
        self.insert(Uuid::now_v7(), 1, &mut *tx).await;
        tx.commit().await.expect("committed");
    }

    async fn fill(&self, stream: Uuid, events: u32) {
        let mut tx = self.pool.begin().await.expect("a transaction");
        for version in 1..=events {
            self.insert(stream, version, &mut *tx).await;
        }
        tx.commit().await.expect("committed");
    }

    async fn load(&self, stream: Uuid) -> Account {
        let rows: Vec<(i64, Vec<u8>)> =
            sqlx::query_as(LOAD).bind(stream).fetch_all(&self.pool).await.expect("it can be read");
        let mut account = Account::default();
        for (_, payload) in rows {
            let event: Deposited = serde_json::from_slice(&payload).expect("it was encoded");
            account.balance += event.amount;
            account.deposits += 1;
        }
        account
    }

    async fn read(pool: &Pool<DB>, rows: Rows) -> u32 {
        let query = match rows {
            Rows::All => sqlx::query_as(READ_ALL),
            Rows::Named(name) => sqlx::query_as(READ_NAMED).bind(name),
            Rows::Of(category) => sqlx::query_as(READ_CATEGORY).bind(category),
        };
        let mut rows = query.fetch(pool);
        let mut read = 0;
        while let Some::<FeedRow<DB::Time>>(row) = rows.try_next().await.expect("it can be read") {
            std::hint::black_box(row);
            read += 1;
        }
        read
    }

    async fn read_and_decode(pool: &Pool<DB>) -> Account {
        let mut rows = sqlx::query_as(READ_ALL).fetch(pool);
        let mut account = Account::default();
        while let Some::<FeedRow<DB::Time>>(row) = rows.try_next().await.expect("it can be read") {
            let event: Deposited = serde_json::from_slice(&row.8).expect("it was encoded");
            account.balance += std::hint::black_box(event).amount;
            account.deposits += 1;
            std::hint::black_box(row);
        }
        account
    }
}

impl<DB: Database> Raw<DB>
where
    DB::Arguments: IntoArguments<DB>,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> Uuid: Encode<'q, DB> + Type<DB>,
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
    for<'q> &'q [u8]: Encode<'q, DB> + Type<DB>,
{
    async fn insert<'c>(&self, stream: Uuid, version: u32, to: impl Executor<'c, Database = DB>) {
        sqlx::query(INSERT)
            .bind(stream)
            .bind(i64::from(version))
            .bind("account.deposited")
            .bind(&self.payload[..])
            .execute(to)
            .await
            .expect("it can be written");
    }
}

/// A clone is the same pool.
impl<DB: Database> Clone for Raw<DB> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), payload: self.payload.clone() }
    }
}

impl<DB: Database> fmt::Debug for Raw<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raw").field("database", &DB::NAME).finish_non_exhaustive()
    }
}
