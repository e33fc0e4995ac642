//! The promises every store keeps, kept by this one.

use std::path::Path;

use factum_conformance::{Fixture, Tx, conformance};
use factum_sqlite::SqliteStore;
use tempfile::TempDir;

struct Sqlite {
    store: SqliteStore,
    dir: TempDir,
}

async fn open(dir: &Path) -> SqliteStore {
    SqliteStore::connect(dir.join("events.db")).await.expect("opens")
}

impl Fixture for Sqlite {
    type Store = SqliteStore;

    async fn empty() -> Self {
        let dir = tempfile::tempdir().expect("a folder for the file");
        let store = open(dir.path()).await;
        store.migrate().await.expect("migrates");
        let mut tx = factum_core::Transactional::begin(&store).await.expect("begins");
        sqlx::query("CREATE TABLE notes (note TEXT NOT NULL)")
            .execute(&mut *tx)
            .await
            .expect("makes a table");
        tx.commit().await.expect("commits");
        Self { store, dir }
    }

    fn store(&self) -> &SqliteStore {
        &self.store
    }

    async fn reopen(self) -> Self {
        let Self { store, dir } = self;
        store.close().await;
        let store = open(dir.path()).await;
        Self { store, dir }
    }

    async fn work(&self, tx: &mut Tx<Self>, note: &str) {
        sqlx::query("INSERT INTO notes VALUES (?1)").bind(note).execute(&mut **tx).await.expect("writes");
    }

    async fn work_done(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT note FROM notes").fetch_all(self.store.pool()).await.expect("reads")
    }
}

conformance!(Sqlite);

mod of_a_tenant {
    use factum_conformance::OfTenant;

    use super::*;

    conformance!(OfTenant<Sqlite>);
}
