//! The limit, by tokio-postgres: the same SQL as by sqlx, without a pool in between.
//!
//! Callers take the connections in turn and do not wait until one is free, because a client sends what it is given while
//! answers are still under way. It has no follower: that of sqlx says what there is to say.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::TryStreamExt;
use tokio_postgres::{Client, NoTls, Statement};
use uuid::Uuid;

use super::raw_sqlx::{
    Account, CONNECTIONS, INSERT, INSERT_MANY, LOAD, NAME, READ, TABLE, decoded, payload,
    versions_and_payloads,
};
use crate::contender::{Answer, Contender, Deposit, Handled};

/// The least SQL, by tokio-postgres.
pub(crate) struct RawTokioPostgres {
    connections: Arc<[Connection]>,
    next: AtomicUsize,
}

/// A connection with its statements, prepared once.
struct Connection {
    client: Client,
    insert: Statement,
    insert_many: Statement,
    load: Statement,
    read: Statement,
}

impl RawTokioPostgres {
    /// Makes the table.
    pub(crate) async fn open(url: &str) -> Answer<Self> {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
            // It ends with the client, and whatever goes wrong is told to whoever asks next.
            tokio::spawn(connection);
            if connections.is_empty() {
                client.batch_execute(TABLE).await?;
            }
            connections.push(Connection {
                insert: client.prepare(INSERT).await?,
                insert_many: client.prepare(INSERT_MANY).await?,
                load: client.prepare(LOAD).await?,
                read: client.prepare(READ).await?,
                client,
            });
        }
        Ok(Self { connections: connections.into(), next: AtomicUsize::new(0) })
    }

    fn next(&self) -> &Connection {
        &self.connections[self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len()]
    }

    async fn insert(&self, account: Uuid, after: i64, deposits: Vec<Deposit>) -> Answer<()> {
        let Connection { client, insert, insert_many, .. } = self.next();
        if let [deposit] = &deposits[..] {
            client.execute(insert, &[&account, &(after + 1), &NAME, &payload(deposit)?]).await?;
            return Ok(());
        }
        let (versions, payloads) = versions_and_payloads(after, &deposits)?;
        client.execute(insert_many, &[&account, &NAME, &versions, &payloads]).await?;
        Ok(())
    }

    async fn load(&self, account: Uuid) -> Answer<Account> {
        let Connection { client, load, .. } = self.next();
        let rows = client.query(load, &[&account]).await?;
        Account::of(rows.iter().map(|row| (row.get(0), row.get(1))))
    }
}

#[async_trait]
impl Contender for RawTokioPostgres {
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
        let Connection { client, read, .. } = self.next();
        let mut rows = pin!(client.query_raw(read, Vec::<i64>::new()).await?);
        while let Some(row) = rows.try_next().await? {
            std::hint::black_box(decoded(row.try_get("payload")?)?);
            handled.one();
        }
        Ok(Some(()))
    }
}
