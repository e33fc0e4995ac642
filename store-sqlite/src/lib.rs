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
//! let all = ReadAll::after(Position::START).limit(100);
//! assert_eq!(store.read_all(all).await?.checkpoint.position, appended.position);
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
//! - The statements that read are prepared once: lists, however long, are one argument. A page of events comes as one value,
//!   but row by row, which takes three times as long, where another program has made the file with texts in UTF-16.
//! - Other processes may use the same file at the same time, with this store or with any other program that leaves
//!   the `factum_` tables alone. What they append is noticed by those who [`wait`](factum_core::EventStore::wait)
//!   within 100 ms. (A file on a network file system has no such safety: SQLite's locks need a local one.)
//! - Connecting makes no tables. The schema is looked at once, before the first use.
//!
//! # Cancel safety
//!
//! Every future may be dropped at any point: what was begun is rolled back or finished, and the store stays usable. Each method
//! says what is known of its outcome then; reading changes nothing.

mod append;
mod builder;
mod checkpoint;
mod database;
mod dead_letter;
mod error;
mod keys;
mod lease;
mod migrate;
mod pack;
mod read;
mod retention;
mod row;
mod script;
mod snapshot;
mod timer;
mod transfer;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use factum_core::snapshot::{PageFrom, ReadFrom, Turns};
use factum_core::store::group::{GroupCommit, GroupLimits};
use factum_core::store::{
    Append, Appended, CategoryPage, Matches, Page, ReadAll, ReadCategory, ReadMatching, ReadStream,
    StreamPage, Uncommitted,
};
use factum_core::{
    Advance, AppendError, Checkpoint, Checkpoints, EventId, EventStore, Partition, Position, RecordedEvent,
    Snapshots, StoreError, Transactional,
};
use sqlx::SqlitePool;

use self::append::Committer;
pub use self::builder::{Builder, Durability};
pub use self::checkpoint::SqliteTx;
use self::database::Database;
use self::pack::Reader;

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
    /// In front of the connection that writes.
    queue: GroupCommit<Committer>,
    turns: Turns,
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
    ///
    /// # Cancel safety
    ///
    /// As [`Builder::connect`].
    pub async fn connect(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder(path).connect().await
    }

    /// A store in the file at `path`, about to be opened.
    pub fn builder(path: impl AsRef<Path>) -> Builder {
        Builder::new(path.as_ref().to_owned())
    }

    async fn open(builder: &Builder) -> Result<Self, StoreError> {
        let database = Arc::new(Database::open(builder).await?);
        let committer = Committer { database: Arc::clone(&database) };
        let queue = GroupCommit::new(committer, GroupLimits::default());
        Ok(Self { shared: Arc::new(Shared { database, queue, turns: Turns::default() }) })
    }

    /// Makes the tables of the store, or brings them to where this program needs them: all of it or nothing.
    ///
    /// May be called at every start, by any number of processes at once. It does what `sqlx migrate run` does in the
    /// folder of this crate; its notes are in the table `_factum_migrations`, apart from the application's own.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; of kind [`NewerThanProgram`](factum_core::StoreErrorKind::NewerThanProgram) if a newer program has been
    /// here.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the database as it was, or migrated.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let mut tx = checkpoint::begin(self.database(), "migrate").await?;
        migrate::migrate(&mut tx).await?;
        tx.commit().await.map_err(|error| error::commit_error("migrate", error))
    }

    /// Connections to read the application's own tables with. Writing through them is refused.
    ///
    /// They are those the store reads events with: whoever keeps all of them keeps it from reading. And a query that
    /// does not end keeps the log beside the file from ending: it grows. Tables are made, and written to, in a
    /// transaction: see [`begin`](Transactional::begin).
    pub fn pool(&self) -> &SqlitePool {
        &self.database().readers
    }

    /// Writes a copy of the whole database, as it is at one moment, to a new file at `path`, while the store is in use.
    /// Readers and writers go on meanwhile; the copy has no log beside it, and can be opened as a store.
    ///
    /// Copying the file itself is no backup: a part of what is recorded is in the log beside it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if there is a file at `path` that has something in it, or if it cannot be written.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves a file that is no database, or a copy.
    pub async fn backup(&self, path: impl AsRef<Path>) -> Result<(), StoreError> {
        self.database().copy_to(path.as_ref()).await
    }

    /// Finishes the appends that are queued, writes the log back into the file, and closes the file. Everything that
    /// comes later, through any clone, fails as [`Closed`](factum_core::StoreErrorKind::Closed).
    ///
    /// It waits for calls that have begun and for transactions that are open: their futures must go on being polled,
    /// or be dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the store closed to new appends; closing it again goes on.
    pub async fn close(&self) {
        self.shared.queue.close().await;
        self.database().close().await;
    }

    fn database(&self) -> &Database {
        &self.shared.database
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.database().path).finish_non_exhaustive()
    }
}

#[async_trait]
impl EventStore for SqliteStore {
    /// Appends, together with others that wait for the connection that writes.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; of kind [`Busy`](factum_core::StoreErrorKind::Busy) if a transaction held that connection for too long.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown: it may be queued, and is then committed without its caller. All of it
    /// or nothing; repeating it with the same ids tells.
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.check(&self.database().limits)?;
        self.database().check_schema("append").await?;
        self.shared.queue.append(append).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        self.database().check_schema("read").await?;
        let database = self.database();
        read::read_stream(database, Reader::Any(&database.readers), read).await
    }

    async fn read_all(&self, read: ReadAll) -> Result<Page, StoreError> {
        self.database().check_schema("read").await?;
        read::read_all(self.database(), read).await
    }

    async fn read_matching(&self, read: ReadMatching) -> Result<Matches, StoreError> {
        self.database().check_schema("read").await?;
        read::read_matching(self.database(), read).await
    }

    async fn find_event(&self, id: EventId) -> Result<Option<RecordedEvent>, StoreError> {
        self.database().check_schema("read").await?;
        read::find_event(self.database(), id).await
    }

    async fn read_category(&self, read: ReadCategory) -> Result<CategoryPage, StoreError> {
        self.database().check_schema("read").await?;
        read::read_category(self.database(), read).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        self.database().check_schema("read").await?;
        read::head(self.database()).await
    }

    /// Looks every 10 ms for what other processes have written, once for all who wait.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill.
    ///
    /// # Cancel safety
    ///
    /// Waiting changes nothing, and may be given up and begun anew.
    async fn wait(&self, after: Position) -> Result<(), StoreError> {
        self.database().check_schema("wait").await?;
        read::wait(self.database(), after).await
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        Some(self)
    }
}

#[async_trait]
impl Checkpoints for SqliteStore {
    async fn checkpoint_of(&self, partition: &Partition) -> Result<Checkpoint, StoreError> {
        self.database().check_schema("read checkpoint").await?;
        checkpoint::read(self.database(), partition).await
    }

    /// Makes the step in one transaction of the connection that writes, for whose turn it waits as appends do.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; of kind [`CheckpointMoved`](factum_core::StoreErrorKind::CheckpointMoved) or
    /// [`ForeignCheckpoint`](factum_core::StoreErrorKind::ForeignCheckpoint) if it was not there, or not of this log.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown: it was moved, or not. Reading it tells.
    async fn advance(&self, step: Advance) -> Result<(), StoreError> {
        self.database().check_schema("move checkpoint").await?;
        checkpoint::advance(self.database(), &step).await
    }
}

impl Transactional for SqliteStore {
    type Tx = SqliteTx;

    /// Begins a transaction: of a projection, or of the application's own, to make tables for instance. It commits by
    /// [`commit_with_checkpoint`](Transactional::commit_with_checkpoint), or by its own `commit`.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; of kind [`Busy`](factum_core::StoreErrorKind::Busy) if another writer went on for too long.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future begins nothing.
    async fn begin(&self) -> Result<SqliteTx, StoreError> {
        checkpoint::begin(self.database(), "begin").await
    }

    /// Appends as part of `tx`, which is the only one that writes from its beginning on: nothing overtakes it.
    ///
    /// # Errors
    ///
    /// [`AppendError`]. A conflict leaves `tx` as it was; after an error of the store it had better be dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the append is part of `tx`: drop that, too.
    async fn append_in(&self, tx: &mut SqliteTx, append: Append) -> Result<Uncommitted, AppendError> {
        append.check(&self.database().limits)?;
        self.database().check_schema("append").await?;
        append::append_in(self.database(), tx, append).await
    }

    async fn read_stream_in(&self, tx: &mut SqliteTx, read: ReadStream) -> Result<StreamPage, StoreError> {
        read::read_stream(self.database(), Reader::In(tx), read).await
    }

    async fn read_from_in(&self, tx: &mut SqliteTx, read: ReadFrom) -> Result<PageFrom, StoreError> {
        snapshot::read_from(self.database(), Reader::In(tx), read).await
    }

    /// Commits `tx`, and wakes those of this process who wait for what was appended in it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; of kind [`OutcomeUnknown`](factum_core::StoreErrorKind::OutcomeUnknown) if the disk failed meanwhile.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown: all of it, or nothing.
    async fn commit(&self, tx: SqliteTx) -> Result<(), StoreError> {
        checkpoint::commit(tx).await?;
        read::tell(self.database()).await;
        Ok(())
    }

    async fn rollback(&self, tx: SqliteTx) -> Result<(), StoreError> {
        checkpoint::rollback(tx).await
    }

    /// Reads a checkpoint as `tx` sees it, which is the only one that writes.
    ///
    /// # Errors
    ///
    /// [`StoreError`], as of [`checkpoint_of`](Checkpoints::checkpoint_of).
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    async fn hold_checkpoint(
        &self,
        tx: &mut SqliteTx,
        partition: &Partition,
    ) -> Result<Checkpoint, StoreError> {
        checkpoint::read_in(self.database(), tx, partition).await
    }

    /// Makes a step in `tx`, which goes on.
    ///
    /// # Errors
    ///
    /// [`StoreError`], as of [`advance`](Checkpoints::advance). Then `tx` had better be dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the step is part of `tx`: drop that, too.
    async fn advance_in(&self, tx: &mut SqliteTx, step: Advance) -> Result<(), StoreError> {
        self.database().check_schema("move checkpoint").await?;
        checkpoint::advance_in(self.database(), tx, &step).await
    }

    /// Makes a step in `tx`, and commits.
    ///
    /// # Errors
    ///
    /// [`StoreError`], as of [`advance`](Checkpoints::advance) and [`commit`](Transactional::commit). Then
    /// nothing of `tx` has happened, unless the outcome is said to be unknown.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown: all of it, or nothing. Reading the checkpoint tells.
    async fn commit_with(&self, tx: SqliteTx, step: Advance) -> Result<(), StoreError> {
        self.database().check_schema("move checkpoint").await?;
        checkpoint::commit_with(self.database(), tx, &step).await?;
        read::tell(self.database()).await;
        Ok(())
    }
}
