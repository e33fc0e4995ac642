//! The promises of every store once more, on tables that an older program has made and used, and that were migrated.
//!
//! What it proves: what the migrations make of old tables behaves as what they make of nothing. The statements find the columns,
//! constraints and indexes that they rely on, however these came about. That old events are read as they were recorded, and
//! followed by new ones, is another matter, and in `migration`: promises need an empty log, so the old rows are erased before the
//! migration.

use factum_conformance::{Fixture, Tx, conformance};
use factum_sqlite::SqliteStore;
use sqlx::Connection as _;
use tempfile::TempDir;

use crate::support::{file, stranger};

const ERASE: &str = "DELETE FROM factum_events; DELETE FROM factum_checkpoints; DELETE FROM sqlite_sequence;
                     CREATE TABLE notes (note TEXT NOT NULL)";

struct Migrated {
    store: SqliteStore,
    dir: TempDir,
}

impl Fixture for Migrated {
    type Store = SqliteStore;

    async fn empty() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mut connection = stranger(&file(&dir)).await;
        for sql in [include_str!("../schemas/0002.sql"), ERASE] {
            sqlx::raw_sql(sql).execute(&mut connection).await.expect("loads");
        }
        connection.close().await.expect("closes");
        let store = SqliteStore::connect(file(&dir)).await.expect("opens");
        store.migrate().await.expect("migrates");
        Self { store, dir }
    }

    fn store(&self) -> &SqliteStore {
        &self.store
    }

    async fn reopen(self) -> Self {
        let Self { store, dir } = self;
        store.close().await;
        let store = SqliteStore::connect(file(&dir)).await.expect("opens");
        Self { store, dir }
    }

    async fn work(&self, tx: &mut Tx<Self>, note: &str) {
        sqlx::query("INSERT INTO notes VALUES (?1)").bind(note).execute(&mut **tx).await.expect("writes");
    }

    async fn work_done(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT note FROM notes").fetch_all(self.store.pool()).await.expect("reads")
    }
}

conformance!(Migrated);
