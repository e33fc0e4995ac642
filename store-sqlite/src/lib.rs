//! The embedded store: one SQLite file, durable, for as many processes of one machine as like to share it.
//!
//! ```
//! use factum_core::store::{Append, Filter, ReadAll};
//! use factum_core::{EventId, EventName, EventStore, Expected, Metadata, NewEvent, Position, StreamId};
//! use factum_sqlite::SqliteStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("events.db");
//! let store = SqliteStore::connect(path).await?;
//! store.migrate().await?;
//!
//! let placed = NewEvent {
//!     id: EventId::new(),
//!     name: EventName::new("order.placed")?,
//!     schema_version: 1,
//!     codec: "json".into(),
//!     payload: br#"{"customer":"7"}"#.to_vec().into(),
//!     metadata: Metadata::default(),
//! };
//! let stream = StreamId::new("order", "42")?;
//! let appended = store.append(Append::to(stream, Expected::NoStream, vec![placed])).await?;
//!
//! let all = ReadAll { after: Position::START, filter: Filter::all(), limit: 100 };
//! assert_eq!(store.read_all(all).await?.position, appended.position);
//! store.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Invariants
//!
//! - Positions are drawn in the transaction that commits them, and SQLite has one writer at a time: so a reader that
//!   sees a position sees everything below it. There are no gaps to ask about, no trigger, no clock.
//! - One connection writes, taken in turns by groups of appends and by transactions ([`SqliteTx`]). A transaction
//!   that stays open keeps appends waiting, and in the end makes them [`Busy`](factum_core::StoreErrorKind::Busy):
//!   one that awaits an append waits for itself. Reading goes on all the while.
//! - The statements that read are prepared once: lists, however long, are one argument.
//! - Other processes may use the same file at the same time, with this store or with any other program that leaves
//!   the `factum_` tables alone. What they append is noticed by those who [`wait`](factum_core::EventStore::wait)
//!   within 100 ms. (A file on a network file system has no such safety: SQLite's locks need a local one.)
//! - Connecting makes no tables. The schema is looked at once, before the first use.
//!
//! # Cancel safety
//!
//! Every future may be dropped at any point: what was begun is rolled back or finished, and the store stays usable.

mod append;
mod builder;
mod checkpoint;
mod database;
mod error;
mod migrate;
mod read;
mod row;
mod script;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use factum_core::store::group::{GroupCommit, GroupLimits};
use factum_core::store::{Append, Appended, Page, ReadAll, ReadStream, StreamPage};
use factum_core::{
    AppendError, Checkpoints, EventStore, Position, StoreError, StoreErrorKind, Transactional,
};
use sqlx::SqlitePool;
use tokio::sync::oneshot;

use self::append::Committer;
pub use self::builder::{Builder, Durability};
pub use self::checkpoint::SqliteTx;
use self::database::Database;

/// A store in a SQLite file. Clones are the same store.
///
/// When the last clone is dropped, what was queued is still committed, as long as the runtime lives;
/// [`close`](SqliteStore::close) waits for that.
#[derive(Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

struct Shared {
    database: Arc<Database>,
    queue: Mutex<Queue>,
}

/// The queue in front of the writer connection.
struct Queue {
    /// `None` once the store was closed.
    open: Option<GroupCommit>,
    /// Comes when the last append in the queue was answered. Taken by the first who closes.
    ended: Option<oneshot::Receiver<()>>,
}

impl SqliteStore {
    /// Opens the store in the file at `path`, as [`builder`](SqliteStore::builder) does by default.
    ///
    /// # Errors
    ///
    /// See [`Builder::connect`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn connect(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder(path).connect().await
    }

    /// A store in the file at `path`, about to be opened.
    pub fn builder(path: impl AsRef<Path>) -> Builder {
        Builder::new(path.as_ref().to_owned())
    }

    async fn open(builder: &Builder) -> Result<Self, StoreError> {
        let database = Arc::new(Database::open(builder).await?);
        let (answered, ended) = oneshot::channel();
        let committer = Committer { database: database.clone(), _ended: answered };
        let open = GroupCommit::start(committer, GroupLimits::default());
        let queue = Mutex::new(Queue { open: Some(open), ended: Some(ended) });
        Ok(Self { shared: Arc::new(Shared { database, queue }) })
    }

    /// Makes the tables of the store, or brings them to where this program needs them: all of it or nothing.
    ///
    /// May be called at every start, by any number of processes at once. It does what `sqlx migrate run` does in the
    /// folder of this crate; its notes are in the table `_factum_migrations`, apart from the application's own.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; of kind [`NewerThanProgram`](StoreErrorKind::NewerThanProgram) if a newer program has been
    /// here.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the database as it was, or migrated.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let mut tx = checkpoint::begin(&self.shared.database, "migrate").await?;
        migrate::migrate(&mut tx).await?;
        tx.commit().await.map_err(|error| error::commit_error("migrate", error))
    }

    /// Connections to read the application's own tables with. Writing through them is refused.
    ///
    /// They are those the store reads events with: whoever keeps all of them keeps it from reading. And a query that
    /// does not end keeps the log beside the file from ending: it grows. Tables are made, and written to, in a
    /// transaction: see [`begin`](Transactional::begin).
    pub fn pool(&self) -> &SqlitePool {
        &self.shared.database.readers
    }

    /// Finishes the appends that are queued, writes the log back into the file, and closes the file. Everything that
    /// comes later, through any clone, fails as [`Closed`](StoreErrorKind::Closed).
    ///
    /// It waits for calls that have begun and for transactions that are open: their futures must go on being polled,
    /// or be dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the store closed to new appends; closing it again goes on.
    pub async fn close(&self) {
        let ended = {
            let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.open = None;
            queue.ended.take()
        };
        if let Some(ended) = ended {
            // An error says the same: the task that answers appends is gone.
            let _ = ended.await;
        }
        self.shared.database.close().await;
    }

    /// The queue, if the store is open.
    fn queue(&self) -> Result<GroupCommit, StoreError> {
        let queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.open.clone().ok_or_else(|| StoreError::new(StoreErrorKind::Closed, "append"))
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.shared.database.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl EventStore for SqliteStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.check(&self.shared.database.limits)?;
        let queue = self.queue()?;
        self.shared.database.check_schema("append").await?;
        queue.append(append).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        self.shared.database.check_schema("read").await?;
        read::read_stream(&self.shared.database, read).await
    }

    async fn read_all(&self, read: ReadAll) -> Result<Page, StoreError> {
        self.shared.database.check_schema("read").await?;
        read::read_all(&self.shared.database, read).await
    }

    /// Returns after at most 100 ms, so that the read which follows notices what other processes have written.
    async fn wait(&self, after: Position) -> Result<(), StoreError> {
        self.shared.database.check_schema("wait").await?;
        read::wait(&self.shared.database, after).await
    }
}

#[async_trait]
impl Checkpoints for SqliteStore {
    async fn checkpoint(&self, subscription: &str) -> Result<Position, StoreError> {
        self.shared.database.check_schema("read checkpoint").await?;
        checkpoint::read(&self.shared.database, subscription).await
    }

    async fn move_checkpoint(
        &self,
        subscription: &str,
        from: Position,
        to: Position,
    ) -> Result<(), StoreError> {
        self.shared.database.check_schema("move checkpoint").await?;
        checkpoint::advance(&self.shared.database, subscription, from, to).await
    }
}

impl Transactional for SqliteStore {
    type Tx = SqliteTx;

    /// Begins a transaction: of a projection, or of the application's own, to make tables for instance. It commits by
    /// [`commit_with_checkpoint`](Transactional::commit_with_checkpoint), or by its own `commit`.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; of kind [`Busy`](StoreErrorKind::Busy) if another writer went on for too long.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future begins nothing.
    async fn begin(&self) -> Result<SqliteTx, StoreError> {
        checkpoint::begin(&self.shared.database, "begin").await
    }

    async fn commit_with_checkpoint(
        &self,
        tx: SqliteTx,
        subscription: &str,
        from: Position,
        to: Position,
    ) -> Result<(), StoreError> {
        self.shared.database.check_schema("move checkpoint").await?;
        checkpoint::commit_with(&self.shared.database, tx, subscription, from, to).await
    }
}
