//! The database file: one connection that writes, some that read, and the certainty that its schema is ours.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use factum_core::store::{Limits, Wake};
use factum_core::{RecordedEvent, StoreError, StoreErrorKind};
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, SqliteConnection, SqlitePool};
use tokio::sync::OnceCell;

use crate::builder::{Builder, Durability};
use crate::error::{Fault, commit_error, is_busy, is_unspecific, store_error};
use crate::migrate;
use crate::script::Answers;
use crate::writer::Writer;

/// What the parts of a store share. It ends with the last append, so it must not own the queue of appends.
pub(crate) struct Database {
    pub(crate) path: PathBuf,
    /// One connection, first come, first served: SQLite has one writer at a time, and waiting in a queue is fairer
    /// and faster than SQLite's own waiting, which sleeps and tries again.
    pub(crate) writer: SqlitePool,
    pub(crate) readers: SqlitePool,
    busy_timeout: Duration,
    pub(crate) limits: Limits,
    pub(crate) wake: Wake,
    /// Whose turn it is to look for writes of other processes, and when somebody did last.
    pub(crate) looking: tokio::sync::Mutex<Option<Instant>>,
    /// How large payloads are, about.
    payload_bytes: AtomicUsize,
    /// Set when the schema was found to be the one this program needs.
    schema: OnceCell<()>,
}

/// How many rows a connection's thread may be ahead of their reader: with few, the two threads take turns.
const ROWS_AHEAD: usize = 1024;
/// The pages of the log after which it is written back into the file, 16 MiB of them. Pages that change often are
/// written back once, so more is faster, up to the size of what processors and kernels cache.
const CHECKPOINT_PAGES: &str = "4000";
/// The log is cut to this many bytes when it begins anew: a single large append would leave it large for ever.
const LOG_BYTES_KEPT: &str = "67108864";
/// The writer's page cache, in KiB: SQLite's own default of 2 MiB is soon too small for the index of streams.
const WRITER_CACHE: &str = "-16384";

impl Database {
    pub(crate) async fn open(builder: &Builder) -> Result<Self, StoreError> {
        let writer = connect_writer(builder).await.map_err(|error| store_error("connect", error))?;
        require_wal(&writer).await?;
        let readers = pool(builder, builder.readers)
            .connect_lazy_with(options(builder).create_if_missing(false).pragma("query_only", "ON"));
        Ok(Self {
            path: builder.path.clone(),
            writer,
            readers,
            busy_timeout: builder.busy_timeout,
            limits: builder.limits,
            wake: Wake::new(),
            looking: tokio::sync::Mutex::default(),
            payload_bytes: AtomicUsize::new(0),
            schema: OnceCell::new(),
        })
    }

    /// How many rows to ask for, so that not many more bytes come than may be given.
    pub(crate) fn wanted(&self, limit: usize, bytes: usize) -> usize {
        let likely = bytes / self.payload_bytes.load(Ordering::Relaxed).max(1);
        limit.max(1).min(likely.max(1))
    }

    /// The events, up to so many bytes of payload and at least one, and whether some were left out.
    pub(crate) fn up_to(
        &self,
        bytes_max: usize,
        events: impl Iterator<Item = Result<RecordedEvent, StoreError>>,
    ) -> Result<(Vec<RecordedEvent>, bool), StoreError> {
        let (mut found, mut bytes, mut is_cut) = (Vec::new(), 0, false);
        for event in events {
            let event = event?;
            if !found.is_empty() && bytes + event.payload.len() > bytes_max {
                is_cut = true;
                break;
            }
            bytes += event.payload.len();
            found.push(event);
        }
        if let Some(average) = bytes.checked_div(found.len()) {
            self.payload_bytes.store(average, Ordering::Relaxed);
        }
        Ok((found, is_cut))
    }

    /// Refuses, before the first use, a database whose schema is not the one this program needs.
    pub(crate) async fn check_schema(&self, operation: &'static str) -> Result<(), StoreError> {
        self.schema.get_or_try_init(|| self.look_at_schema(operation)).await.copied()
    }

    async fn look_at_schema(&self, operation: &'static str) -> Result<(), StoreError> {
        let mut reader = self.readers.acquire().await.map_err(|error| store_error(operation, error))?;
        migrate::check(&mut reader, operation).await
    }

    /// Says what a failure before a commit means. A missing table is, to SQLite, just an error: so the schema is
    /// looked at again.
    pub(crate) async fn explain(&self, operation: &'static str, error: sqlx::Error) -> StoreError {
        use StoreErrorKind::{NewerThanProgram, NotMigrated};
        if is_unspecific(&error)
            && let Err(reason) = self.look_at_schema(operation).await
            && matches!(reason.kind(), NotMigrated { .. } | NewerThanProgram { .. })
        {
            return reason;
        }
        store_error(operation, error)
    }

    /// As [`explain`](Database::explain), of statements that end with a commit.
    pub(crate) async fn explain_commit(&self, operation: &'static str, error: sqlx::Error) -> StoreError {
        if is_unspecific(&error) {
            self.explain(operation, error).await
        } else {
            commit_error(operation, error)
        }
    }

    /// Runs a script that begins with `BEGIN IMMEDIATE` and ends with `COMMIT`.
    pub(crate) async fn write(
        &self,
        operation: &'static str,
        script: &'static str,
        values: SqliteArguments,
    ) -> Result<Answers, StoreError> {
        let mut writer = Writer::acquire(&self.writer, operation).await?;
        match writer.run(script, values).await {
            Ok(answers) => {
                writer.ended();
                Ok(answers)
            }
            Err(Fault { error, .. }) => {
                writer.abandon().await;
                Err(self.explain_commit(operation, error).await)
            }
        }
    }

    /// Writes a copy of the database, as it is at one moment, to a new file.
    pub(crate) async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        const BACKUP: &str = "backup";
        let path = path.to_str().ok_or_else(|| {
            StoreError::because(StoreErrorKind::Other, BACKUP, "the path of the copy is not valid UTF-8")
        })?;
        // A connection of its own: those of the store either write or may not.
        let options = options_of(&self.path, self.busy_timeout);
        let mut connection =
            options.create_if_missing(false).connect().await.map_err(|error| store_error(BACKUP, error))?;
        let copied = sqlx::query("VACUUM INTO ?").bind(path).execute(&mut connection).await;
        let closed = connection.close().await;
        copied.and(closed).map_err(|error| store_error(BACKUP, error))
    }

    /// Writes the log back into the file, as far as readers of other processes let it, and closes.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        if let Err(error) = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.writer).await {
            // Nothing is lost: the log is read at the next opening.
            tracing::debug!(%error, path = %self.path.display(), "the log was not written back");
        }
        self.writer.close().await;
    }
}

/// Opens the file. Two processes that turn a new file's log on at once get in each other's way, and SQLite's own
/// waiting does not cover that.
async fn connect_writer(builder: &Builder) -> Result<SqlitePool, sqlx::Error> {
    let deadline = Instant::now() + builder.busy_timeout;
    let bytes_max = builder.file_bytes_max;
    loop {
        let opened = pool(builder, 1)
            .after_connect(move |connection, _| Box::pin(limit_file(connection, bytes_max)))
            // A connection that is still in a transaction could not roll it back: sqlx tries when the transaction
            // is dropped, and fails if SQLite had done it before, as it does when the disk is full. sqlx would count
            // the transaction for ever, so the connection is not used again.
            .after_release(|connection, _| {
                Box::pin(async move {
                    if connection.is_in_transaction() {
                        // Lets a rollback that is on its way happen first.
                        connection.ping().await?;
                    }
                    Ok(!connection.is_in_transaction())
                })
            })
            .connect_with(writer_options(builder))
            .await;
        match opened {
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            opened => return opened,
        }
    }
}

fn pool(builder: &Builder, connections: u32) -> PoolOptions<sqlx::Sqlite> {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(builder.busy_timeout)
        // A file does not hang up.
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
}

fn options(builder: &Builder) -> SqliteConnectOptions {
    options_of(&builder.path, builder.busy_timeout)
}

fn options_of(path: &Path, busy_timeout: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(busy_timeout).row_buffer_size(ROWS_AHEAD)
}

fn writer_options(builder: &Builder) -> SqliteConnectOptions {
    let options = options(builder)
        .create_if_missing(builder.create_if_missing)
        .journal_mode(SqliteJournalMode::Wal)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("journal_size_limit", LOG_BYTES_KEPT)
        .pragma("cache_size", WRITER_CACHE)
        // The texts of the inserts are long, and say nothing.
        .disable_statement_logging();
    match builder.durability {
        // On macOS, to flush means less than it says unless it is asked for in full.
        Durability::Full => options.synchronous(SqliteSynchronous::Full).pragma("fullfsync", "ON"),
        Durability::Normal => options.synchronous(SqliteSynchronous::Normal),
    }
}

/// Keeps the file from growing past so many bytes, as far as this connection makes it grow.
async fn limit_file(connection: &mut SqliteConnection, bytes_max: Option<u64>) -> Result<(), sqlx::Error> {
    let Some(bytes_max) = bytes_max else { return Ok(()) };
    let page_bytes: i64 = sqlx::query_scalar("PRAGMA page_size").fetch_one(&mut *connection).await?;
    // 0 pages would mean: as before.
    let pages_max = (bytes_max / u64::try_from(page_bytes).unwrap_or(4096)).max(1);
    connection.execute(AssertSqlSafe(format!("PRAGMA max_page_count = {pages_max}"))).await?;
    Ok(())
}

/// Refuses what has no write-ahead log, such as `:memory:`, where every connection would be a database of its own.
async fn require_wal(writer: &SqlitePool) -> Result<(), StoreError> {
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(writer)
        .await
        .map_err(|error| store_error("connect", error))?;
    if mode == "wal" {
        return Ok(());
    }
    Err(StoreError::because(StoreErrorKind::Other, "connect", NoLog { mode }))
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the journal mode is {mode} and not wal: the store needs a file, on a file system with shared memory and locks"
)]
struct NoLog {
    mode: String,
}
