//! Every store can be copied to every other, and is the same there: bytes, ids, numbers, times, and what was archived and
//! erased.

use factum_conformance::{Fixture, copy_from_to};
use factum_memory::MemoryStore;
use factum_postgres::PostgresStore;
use factum_sqlite::SqliteStore;
use factum_testkit::{Database, Postgres};
use tempfile::TempDir;

struct OnMemory(MemoryStore);

impl Fixture for OnMemory {
    type Store = MemoryStore;

    async fn empty() -> Self {
        Self(MemoryStore::new())
    }

    fn store(&self) -> &MemoryStore {
        &self.0
    }
}

struct OnSqlite(SqliteStore, #[expect(dead_code, reason = "it is kept for as long as the store")] TempDir);

impl Fixture for OnSqlite {
    type Store = SqliteStore;

    async fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the file");
        let store = SqliteStore::connect(folder.path().join("events.db")).await.expect("opens");
        store.migrate().await.expect("migrates");
        Self(store, folder)
    }

    fn store(&self) -> &SqliteStore {
        &self.0
    }
}

struct OnPostgres(
    PostgresStore,
    #[expect(dead_code, reason = "it is kept for as long as the store")] Database,
);

impl Fixture for OnPostgres {
    type Store = PostgresStore;

    async fn empty() -> Self {
        let server = Postgres::shared().unwrap_or_else(|error| panic!("{error}"));
        let database = server.database().await.unwrap_or_else(|error| panic!("{error}"));
        let store = PostgresStore::connect(database.url()).await.expect("connects");
        store.migrate().await.expect("migrates");
        Self(store, database)
    }

    fn store(&self) -> &PostgresStore {
        &self.0
    }
}

#[test]
fn memory_is_copied_to_sqlite() {
    copy_from_to::<OnMemory, OnSqlite>();
}

#[test]
fn memory_is_copied_to_postgres() {
    copy_from_to::<OnMemory, OnPostgres>();
}

#[test]
fn sqlite_is_copied_to_memory() {
    copy_from_to::<OnSqlite, OnMemory>();
}

#[test]
fn sqlite_is_copied_to_postgres() {
    copy_from_to::<OnSqlite, OnPostgres>();
}

#[test]
fn postgres_is_copied_to_memory() {
    copy_from_to::<OnPostgres, OnMemory>();
}

#[test]
fn postgres_is_copied_to_sqlite() {
    copy_from_to::<OnPostgres, OnSqlite>();
}
