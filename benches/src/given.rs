//! Stores made for the run, durable and otherwise as users get them.

use std::path::PathBuf;

use factum::postgres::PostgresStore;
use factum::sqlite::SqliteStore;
use factum_testkit::Database;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, PgPool, SqliteConnection, SqlitePool};
use tempfile::TempDir;

/// A SQLite file with `synchronous = FULL`, which vanishes when this is dropped.
#[derive(Debug)]
pub struct Sqlite {
    /// The store in the file.
    pub store: SqliteStore,
    folder: TempDir,
}

impl Sqlite {
    /// An empty store.
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::connect(folder.path().join("events.db")).await.expect("a store");
        store.migrate().await.expect("migrated");
        Self { store, folder }
    }

    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("events.db")
    }

    /// The same file, opened once more: what another process sees.
    pub async fn opened_again(&self) -> SqliteStore {
        SqliteStore::connect(self.folder.path().join("events.db")).await.expect("a store")
    }

    /// Readers of the store's own file, as sqlx makes them.
    pub async fn readers(&self) -> SqlitePool {
        let options =
            SqliteConnectOptions::new().filename(self.folder.path().join("events.db")).read_only(true);
        SqlitePool::connect_with(options).await.expect("a file")
    }

    /// A connection that can write to the file, and reads another one as `source`.
    pub async fn attached_to(&self, source: &Self) -> SqliteConnection {
        let options = SqliteConnectOptions::new()
            .filename(self.folder.path().join("events.db"))
            .synchronous(SqliteSynchronous::Full);
        let mut connection = options.connect().await.expect("a file");
        let path = source.folder.path().join("events.db");
        let attach = sqlx::query("ATTACH $1 AS source").bind(path.to_str().expect("a path in UTF-8"));
        attach.execute(&mut connection).await.expect("a file");
        connection
    }

    /// Another file with the same durability, for one writer at a time.
    pub async fn beside(&self) -> SqlitePool {
        let options = SqliteConnectOptions::new()
            .filename(self.folder.path().join("raw.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        SqlitePoolOptions::new().max_connections(1).connect_with(options).await.expect("a file")
    }
}

/// A database on a server with `fsync`, `synchronous_commit` and `full_page_writes` on, deleted when this is dropped.
#[derive(Debug)]
pub struct Postgres {
    /// The store in the database.
    pub store: PostgresStore,
    database: Database,
}

impl Postgres {
    /// An empty store.
    pub async fn new() -> Self {
        let server = factum_testkit::Postgres::durable().unwrap_or_else(|error| panic!("{error}"));
        let database = server.database().await.unwrap_or_else(|error| panic!("{error}"));
        let store = PostgresStore::connect(database.url()).await.expect("a store");
        store.migrate().await.expect("migrated");
        Self { store, database }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        self.database.url()
    }

    /// The same database, connected to once more: what another process sees.
    pub async fn connected_again(&self) -> PostgresStore {
        PostgresStore::connect(self.url()).await.expect("a store")
    }

    /// Does what the server would do by itself, some time in the middle of the bench.
    pub async fn settle(&self) {
        sqlx::raw_sql("VACUUM ANALYZE").execute(self.store.pool()).await.expect("it can be vacuumed");
        sqlx::raw_sql("CHECKPOINT").execute(self.store.pool()).await.expect("it is the superuser");
    }

    /// Other connections to the same database, with no question before each use, as the store's are.
    pub async fn beside(&self) -> PgPool {
        let options = PgPoolOptions::new().max_connections(32).test_before_acquire(false);
        options.connect(self.url()).await.expect("a database")
    }
}
