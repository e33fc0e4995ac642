//! The limit, by sqlx: the least SQL that does what a store does, on the sqlx that factum has.
//!
//! A version that is taken is refused by the table's key, and nothing else is looked at. Who follows is told by `NOTIFY`, and
//! reads what is above the last id that it saw, as everybody writes it the first time. That loses events, and W6 shows it.

use async_trait::async_trait;
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use sqlx_limit::postgres::{PgListener, PgPoolOptions};
use sqlx_limit::{PgPool, Row};
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use crate::contender::{Answer, Contender, Deposit, Follower, Handled, Heard};

/// The table of both limits.
pub(crate) const TABLE: &str = "CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     account uuid NOT NULL, version bigint NOT NULL, name text NOT NULL, payload bytea NOT NULL,
     UNIQUE (account, version));
     CREATE TABLE progress (name text PRIMARY KEY, id bigint NOT NULL, total bigint NOT NULL)";
pub(crate) const INSERT: &str =
    "INSERT INTO events (account, version, name, payload) VALUES ($1, $2, $3, $4)";
pub(crate) const INSERT_MANY: &str = "INSERT INTO events (account, version, name, payload)
     SELECT $1, version, $2, payload FROM unnest($3::bigint[], $4::bytea[]) AS given (version, payload)";
pub(crate) const LOAD: &str = "SELECT version, payload FROM events WHERE account = $1 ORDER BY version";
pub(crate) const READ: &str = "SELECT id, account, version, name, payload FROM events ORDER BY id";
const PAGE: &str =
    "SELECT id, account, version, name, payload FROM events WHERE id > $1 ORDER BY id LIMIT 1000";
const TELL: &str =
    "WITH appended AS (INSERT INTO events (account, version, name, payload) VALUES ($1, $2, $3, $4))
     SELECT pg_notify('appended', '')";
pub(crate) const NAME: &str = "account.deposited";

/// As many as the benches of factum give to what it is compared with; no connection is asked whether it lives before its use.
pub(crate) const CONNECTIONS: u32 = 32;

/// The least SQL, by sqlx.
#[derive(Clone, Debug)]
pub(crate) struct RawSqlx {
    pool: PgPool,
}

impl RawSqlx {
    /// Makes the table.
    pub(crate) async fn open(url: &str) -> Answer<Self> {
        let options = PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
        let pool = options.connect(url).await?;
        sqlx_limit::raw_sql(TABLE).execute(&pool).await?;
        Ok(Self { pool })
    }

    async fn insert(&self, account: Uuid, after: i64, deposits: Vec<Deposit>) -> Answer<()> {
        if let [deposit] = &deposits[..] {
            let insert = sqlx_limit::query(INSERT).bind(account).bind(after + 1).bind(NAME);
            insert.bind(payload(deposit)?).execute(&self.pool).await?;
            return Ok(());
        }
        let (versions, payloads) = versions_and_payloads(after, &deposits)?;
        let insert = sqlx_limit::query(INSERT_MANY).bind(account).bind(NAME);
        insert.bind(versions).bind(payloads).execute(&self.pool).await?;
        Ok(())
    }

    async fn load(&self, account: Uuid) -> Answer<Account> {
        let rows: Vec<(i64, Vec<u8>)> =
            sqlx_limit::query_as(LOAD).bind(account).fetch_all(&self.pool).await?;
        Account::of(rows.iter().map(|(version, payload)| (*version, &payload[..])))
    }
}

#[async_trait]
impl Contender for RawSqlx {
    fn table(&self) -> Option<&'static str> {
        Some("events")
    }

    async fn create(&self, account: Uuid, deposits: Vec<Deposit>) -> Answer<()> {
        self.insert(account, 0, deposits).await
    }

    async fn deposit(&self, account: Uuid, deposits: Vec<Deposit>) -> Answer<()> {
        let loaded = self.load(account).await?;
        self.insert(account, loaded.version, deposits).await
    }

    async fn rehydrate(&self, account: Uuid) -> Answer<u64> {
        Ok(self.load(account).await?.deposits)
    }

    async fn catch_up(&self, handled: Handled) -> Answer<Option<()>> {
        let mut rows = sqlx_limit::query(READ).fetch(&self.pool);
        while let Some(row) = rows.try_next().await? {
            std::hint::black_box(decoded(row.try_get("payload")?)?);
            handled.one();
        }
        Ok(Some(()))
    }

    async fn project(&self, handled: Handled) -> Answer<Option<()>> {
        const KEEP: &str = "INSERT INTO progress AS kept VALUES ($1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET id = excluded.id, total = kept.total + excluded.total";
        let name = Uuid::new_v4().to_string();
        let mut after = 0_i64;
        loop {
            let mut tx = self.pool.begin().await?;
            let rows = sqlx_limit::query(PAGE).bind(after).fetch_all(&mut *tx).await?;
            let (mut total, mut events) = (0, 0);
            for row in &rows {
                total += decoded(row.try_get("payload")?)?.amount;
                after = row.try_get("id")?;
                events += 1;
            }
            if events == 0 {
                return Ok(Some(()));
            }
            sqlx_limit::query(KEEP).bind(&name).bind(after).bind(total).execute(&mut *tx).await?;
            tx.commit().await?;
            handled.many(events);
        }
    }

    async fn follow(&self, heard: UnboundedSender<Heard>) -> Answer<Option<Follower>> {
        const BEGIN: &str = "INSERT INTO progress VALUES ('follower', 0, 0) ON CONFLICT DO NOTHING";
        const KEEP: &str = "UPDATE progress SET id = $1 WHERE name = 'follower'";
        let pool = self.pool.clone();
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen("appended").await?;
        sqlx_limit::query(BEGIN).execute(&pool).await?;
        let begun = "SELECT id FROM progress WHERE name = 'follower'";
        let mut after: i64 = sqlx_limit::query_scalar(begun).fetch_one(&pool).await?;
        Ok(Some(Follower::dropped(async move {
            loop {
                let rows = sqlx_limit::query(PAGE).bind(after).fetch_all(&pool).await?;
                for row in &rows {
                    let _ = heard.send(Heard::now(decoded(row.try_get("payload")?)?.reference));
                    after = row.try_get("id")?;
                }
                if rows.is_empty() {
                    listener.recv().await?;
                } else {
                    sqlx_limit::query(KEEP).bind(after).execute(&pool).await?;
                }
            }
        })))
    }

    async fn create_followed(&self, account: Uuid, deposit: Deposit) -> Answer<()> {
        let insert = sqlx_limit::query(TELL).bind(account).bind(1_i64).bind(NAME);
        insert.bind(payload(&deposit)?).execute(&self.pool).await?;
        Ok(())
    }
}

/// Money came in.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Deposited {
    pub(crate) amount: i64,
    pub(crate) reference: Uuid,
    pub(crate) memo: String,
}

/// What the events of an account come to.
#[derive(Default, Debug)]
pub(crate) struct Account {
    pub(crate) version: i64,
    pub(crate) balance: i64,
    pub(crate) deposits: u64,
}

impl Account {
    /// Folds them.
    pub(crate) fn of<'a>(events: impl Iterator<Item = (i64, &'a [u8])>) -> Answer<Self> {
        let mut account = Self::default();
        for (version, payload) in events {
            account.version = version;
            account.balance += decoded(payload)?.amount;
            account.deposits += 1;
        }
        std::hint::black_box(account.balance);
        Ok(account)
    }
}

pub(crate) fn payload(deposit: &Deposit) -> Answer<Vec<u8>> {
    let Deposit { amount, reference, memo } = deposit.clone();
    Ok(serde_json::to_vec(&Deposited { amount, reference, memo })?)
}

pub(crate) fn versions_and_payloads(after: i64, deposits: &[Deposit]) -> Answer<(Vec<i64>, Vec<Vec<u8>>)> {
    let payloads = deposits.iter().map(payload).collect::<Answer<Vec<_>>>()?;
    let versions = (after + 1..).take(payloads.len()).collect();
    Ok((versions, payloads))
}

pub(crate) fn decoded(payload: &[u8]) -> Answer<Deposited> {
    Ok(serde_json::from_slice(payload)?)
}
