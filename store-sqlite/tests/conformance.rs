//! The promises every store keeps, kept by this one.

use std::path::{Path, PathBuf};

use factum_conformance::{Fixture, Tx, conformance};
use factum_sqlite::SqliteStore;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tempfile::TempDir;

/// A store in a file whose texts are UTF-8, or, if somebody else has made it and wanted that, UTF-16.
struct Sqlite<const IS_UTF_16: bool = false> {
    store: SqliteStore,
    dir: TempDir,
}

fn file(dir: &Path) -> PathBuf {
    dir.join("events.db")
}

async fn open(dir: &Path) -> SqliteStore {
    SqliteStore::connect(file(dir)).await.expect("opens")
}

impl<const IS_UTF_16: bool> Fixture for Sqlite<IS_UTF_16> {
    type Store = SqliteStore;

    async fn empty() -> Self {
        let dir = tempfile::tempdir().expect("a folder for the file");
        let options = SqliteConnectOptions::new().filename(file(dir.path())).create_if_missing(true);
        let mut stranger = options.connect().await.expect("makes a file");
        if IS_UTF_16 {
            stranger.execute("PRAGMA encoding = 'UTF-16'").await.expect("it is empty");
        }
        stranger.execute("CREATE TABLE notes (note TEXT NOT NULL)").await.expect("makes a table");
        stranger.close().await.expect("closes");
        let store = open(dir.path()).await;
        store.migrate().await.expect("migrates");
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

mod in_utf_16 {
    use super::*;

    conformance!(Sqlite<true>);
}

mod of_a_tenant {
    use factum_conformance::OfTenant;

    use super::*;

    conformance!(OfTenant<Sqlite>);
}
