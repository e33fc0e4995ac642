//! The Postgres store: events, checkpoints and projections in one database, for any number of processes.
//!
//! ```no_run
//! use factum_postgres::PostgresStore;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let store = PostgresStore::connect("postgres://app@localhost/shop").await?;
//! store.migrate().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Connecting never changes the database. [`migrate`](PostgresStore::migrate) does, and so does `sqlx migrate run` with
//! the same files; a store that finds its tables missing, old or newer than itself says so and touches nothing.
//!
//! Runs on Postgres 13 and later, on a primary, in a database whose encoding is UTF-8. Behind a pooler in
//! transaction mode, such as `PgBouncer`, see [`Builder::transaction_pooler`].

mod append;
mod builder;
mod checkpoint;
mod database;
mod dead_letter;
mod error;
mod feed;
mod holders;
mod keys;
mod lease;
mod loads;
mod migrate;
mod notices;
mod page;
mod read;
mod retention;
mod row;
mod snapshot;
mod spare;
mod timer;
mod transaction;
mod transfer;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use factum_core::snapshot::Turns;
use factum_core::store::group::{GroupCommit, GroupLimits};
use factum_core::store::{
    Append, Appended, CategoryPage, Limits, Matches, Page, ReadAll, ReadCategory, ReadMatching, ReadStream,
    StreamPage,
};
use factum_core::{AppendError, EventId, EventStore, Position, RecordedEvent, Snapshots, StoreError};
use sqlx::PgPool;

pub use crate::builder::Builder;
pub use crate::holders::FeedHolder;
pub use crate::transaction::PostgresTx;

use crate::append::Committer;
use crate::database::Database;

/// A store in a Postgres database. Clones are the same store.
#[derive(Clone)]
pub struct PostgresStore {
    shared: Arc<Shared>,
}

struct Shared {
    database: Arc<Database>,
    limits: Limits,
    queue: GroupCommit<Committer>,
    turns: Turns,
}

impl PostgresStore {
    /// The store in the database that `url` leads to, with the settings of [`Builder`].
    ///
    /// The URL is that of [`PgConnectOptions`](sqlx::postgres::PgConnectOptions). The tables are those of its search path, which may be a part of it:
    /// `postgres://app@localhost/shop?options=-csearch_path=events`.
    ///
    /// # Errors
    ///
    /// See [`Builder::connect`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime. The store works as long as that runtime does.
    ///
    /// # Cancel safety
    ///
    /// Connecting changes nothing.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::builder().connect(url).await
    }

    /// The store in the database that `pool` leads to. The store uses the pool as it is.
    ///
    /// The pool must lead to one primary server: a position that was read from one server says nothing about another.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime. The store works as long as that runtime does.
    pub fn from_pool(pool: PgPool) -> Self {
        Self::builder().with_pool(pool)
    }

    /// A store about to be made, with settings of its own.
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn over(database: Database, limits: Limits, groups: GroupLimits) -> Self {
        let database = Arc::new(database);
        let queue = GroupCommit::new(Committer { database: Arc::clone(&database) }, groups);
        Self { shared: Arc::new(Shared { database, limits, queue, turns: Turns::default() }) }
    }

    /// Brings the tables of the database to the shape that this program needs. Where they have it, nothing happens.
    ///
    /// Any number of processes may call it at the same time. It takes as long as it takes: no time-out applies. It
    /// does what `sqlx migrate run` does in the folder `store-postgres`, whose migrations it has inside, and like it
    /// needs a connection past a pooler in transaction mode.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; of kind [`NewerThanProgram`](factum_core::StoreErrorKind::NewerThanProgram) if a newer program
    /// has migrated the database. The migrations before the one that failed are done.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves each migration done or not done; calling it again does the rest.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        migrate::migrate(self.database()).await
    }

    /// The connections of the store, for queries of the application.
    pub fn pool(&self) -> &PgPool {
        self.database().pool()
    }

    /// Finishes the appends that are queued, and closes all connections. Everything that comes later, through any clone
    /// and for everybody else who uses the pool, fails as [`Closed`](factum_core::StoreErrorKind::Closed).
    ///
    /// It waits for calls that have begun and for transactions that are open: their futures must go on being polled, or
    /// be dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the store closed to new appends; closing it again goes on.
    pub async fn close(&self) {
        self.shared.queue.close().await;
        self.database().notices.close();
        self.pool().close().await;
    }

    /// Says that there may be something new: after a transaction with an append in it was committed otherwise than by
    /// [`commit`](factum_core::Transactional::commit). Without it the append is found when somebody looks, after the
    /// [poll interval](Builder::poll_interval) at the latest.
    pub fn wake(&self) {
        self.database().tracker.hint();
        self.database().notices.tell();
    }

    /// The transactions that the feed does not pass before they are over, the oldest first, as the server knows them now.
    ///
    /// Mostly they are appends, which take milliseconds. One that stays in the list holds up every subscription at its position:
    /// a transaction of the application that appended too early or was forgotten, or one that was prepared. A store whose feed
    /// has waited at a hole for a second logs a warning with the same facts.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill.
    ///
    /// # Cancel safety
    ///
    /// Asking changes nothing.
    pub async fn feed_holders(&self) -> Result<Vec<FeedHolder>, StoreError> {
        holders::list(self.database()).await
    }

    fn limits(&self) -> Limits {
        self.shared.limits
    }

    fn database(&self) -> &Database {
        &self.shared.database
    }
}

impl fmt::Debug for PostgresStore {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("connections", &self.pool().size())
            .field("idle_connections", &self.pool().num_idle())
            .field("closed", &self.pool().is_closed())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl EventStore for PostgresStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.check(&self.limits())?;
        self.shared.queue.append(append).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        read::read_stream(self.database(), read).await
    }

    async fn read_all(&self, read: ReadAll) -> Result<Page, StoreError> {
        read::read_all(self.database(), read).await
    }

    async fn read_matching(&self, read: ReadMatching) -> Result<Matches, StoreError> {
        read::read_matching(self.database(), read).await
    }

    async fn find_event(&self, id: EventId) -> Result<Option<RecordedEvent>, StoreError> {
        read::find_event(self.database(), id).await
    }

    async fn read_category(&self, read: ReadCategory) -> Result<CategoryPage, StoreError> {
        read::read_category(self.database(), read).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        read::head(self.database()).await
    }

    /// Hears of other processes within milliseconds, where they tell (see [`Builder::notifications`]), and looks for itself
    /// after the [poll interval](Builder::poll_interval).
    async fn wait(&self, after: Position) -> Result<(), StoreError> {
        read::wait(self.database(), after).await
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        Some(self)
    }
}
