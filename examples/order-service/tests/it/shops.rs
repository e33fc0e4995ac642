//! Empty shops on each store.

use factum::memory::MemoryStore;
use factum::postgres::PostgresStore;
use factum::sqlite::SqliteStore;
use factum_testkit::{Database, Postgres};
use order_service::read::{MemoryRead, PostgresRead, SqliteRead};
use order_service::shop::Shop;
use tempfile::TempDir;

pub(crate) fn memory() -> Shop<MemoryStore, MemoryRead> {
    Shop::in_memory()
}

pub(crate) async fn sqlite() -> (Shop<SqliteStore, SqliteRead>, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let shop = Shop::in_file(&folder.path().join("orders.db")).await.expect("a file");
    (shop, folder)
}

pub(crate) async fn postgres() -> (Shop<PostgresStore, PostgresRead>, Database) {
    let database = database().await;
    let shop = Shop::in_database(database.url()).await.expect("a database");
    (shop, database)
}

pub(crate) async fn database() -> Database {
    let server = Postgres::shared().unwrap_or_else(|error| panic!("{error}"));
    server.database().await.unwrap_or_else(|error| panic!("{error}"))
}
