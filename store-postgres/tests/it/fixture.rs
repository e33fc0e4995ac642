//! The promises of every store, on tables that came about in one way or another.

use std::future::Future;
use std::marker::PhantomData;

use factum_conformance::{Fixture, Tx};
use factum_postgres::PostgresStore;
use factum_testkit::Database;

/// How the tables came about.
pub(crate) trait Tables: Send + Sync + 'static {
    /// A database that has them without events, and a table `notes` beside them.
    fn database() -> impl Future<Output = Database> + Send;
}

/// A store on such tables.
pub(crate) struct On<T> {
    store: PostgresStore,
    database: Database,
    tables: PhantomData<T>,
}

impl<T: Tables> Fixture for On<T> {
    type Store = PostgresStore;

    async fn empty() -> Self {
        let database = T::database().await;
        let store = PostgresStore::connect(database.url()).await.expect("connects");
        Self { store, database, tables: PhantomData }
    }

    fn store(&self) -> &PostgresStore {
        &self.store
    }

    async fn reopen(self) -> Self {
        let Self { store, database, .. } = self;
        store.close().await;
        let store = PostgresStore::connect(database.url()).await.expect("connects again");
        Self { store, database, tables: PhantomData }
    }

    async fn work(&self, tx: &mut Tx<Self>, note: &str) {
        sqlx::query("INSERT INTO notes VALUES ($1)").bind(note).execute(&mut **tx).await.expect("writes");
    }

    async fn work_done(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT note FROM notes").fetch_all(self.store.pool()).await.expect("reads")
    }
}
