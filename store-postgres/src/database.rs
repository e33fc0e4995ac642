//! The database: connections that are fit to use, and nothing that waits for ever.

use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

use factum_core::store::retry::backoff;
use factum_core::store::tail::Tail;
use factum_core::{StoreError, StoreErrorKind};
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgArguments;
use sqlx::postgres::PgTransactionManager;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres};
use sqlx_core::transaction::TransactionManager as _;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use crate::error::{commit_error, store_error};
use crate::feed::{Head, Learned, Ticket, Tracker};
use crate::loads::Loads;
use crate::migrate;
use crate::notices::Notices;
use crate::read::Pace;
use crate::spare::Spare;

/// How a store behaves, where users may choose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// How long the server may take for one answer.
    pub(crate) answer_timeout: Duration,
    /// For how long something is tried again that failed for the moment.
    pub(crate) patience: Duration,
    /// How long something of another process may go unnoticed where nobody tells of it.
    pub(crate) poll: Duration,
    /// Whether other processes are told of appends, and heard of.
    pub(crate) notifies: bool,
    /// Whether a pooler stands in between, which gives each transaction whatever connection is free.
    pub(crate) is_pooled: bool,
}

impl Settings {
    /// After how long the server gives up a statement, in milliseconds: for nobody waits for it any longer, and it would go on
    /// working, and holding locks. Later than the client, whose error is the one to be read.
    pub(crate) fn statement_ms(&self) -> i32 {
        milliseconds(self.answer_timeout.saturating_add(self.answer_timeout / 2))
    }

    /// How a transaction begins: at READ COMMITTED.
    ///
    /// Behind a pooler in transaction mode, only a transaction keeps its connection, on which others have prepared statements
    /// under the names that sqlx gives to ours, and which begins with no settings of ours.
    pub(crate) fn begin(&self) -> String {
        const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
        if self.is_pooled {
            format!("{BEGIN}; SET LOCAL statement_timeout = {}; DEALLOCATE ALL", self.statement_ms())
        } else {
            BEGIN.to_owned()
        }
    }
}

/// As a setting of Postgres, where 0 would mean "no limit".
pub(crate) fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX).max(1)
}

/// The connections, and what every use of them has to mind.
pub(crate) struct Database {
    pool: PgPool,
    /// What was used a moment ago; nothing, of a pool that has settings of its own.
    spare: Option<Arc<Spare>>,
    settings: Settings,
    /// Set when the tables were seen to be those of this program.
    migrated: OnceCell<()>,
    /// How far the feed may be read.
    pub(crate) tracker: Arc<Tracker>,
    /// What this process has appended a moment ago.
    pub(crate) tail: Tail,
    /// Whose turn it is to look how far the log goes, and what is to be expected there.
    pub(crate) looking: tokio::sync::Mutex<Pace>,
    /// Whether the log is known to be long.
    pub(crate) is_long: AtomicBool,
    /// Who loads an aggregate now.
    pub(crate) loads: Loads,
    /// How large payloads are, about.
    pub(crate) payload_bytes: AtomicUsize,
    /// Tells other processes of appends, and hears of theirs.
    pub(crate) notices: Notices,
}

impl Database {
    pub(crate) fn new(pool: PgPool, spare: Option<Spare>, settings: Settings, load_lanes: usize) -> Self {
        let tracker = Arc::new(Tracker::new());
        let notices = Notices::new(pool.clone(), Arc::clone(&tracker), settings);
        Self {
            pool,
            spare: spare.map(Arc::new),
            settings,
            migrated: OnceCell::new(),
            tracker,
            tail: Tail::default(),
            looking: tokio::sync::Mutex::default(),
            is_long: AtomicBool::new(false),
            loads: Loads::new(load_lanes),
            payload_bytes: AtomicUsize::new(0),
            notices,
        }
    }

    /// How long something of another process may go unnoticed where nobody tells of it.
    pub(crate) fn poll(&self) -> Duration {
        self.settings.poll
    }

    /// What comes of `work`, which changes nothing that it must not do twice: tried again while it fails for the moment.
    pub(crate) async fn retrying<T, W: Future<Output = Result<T, StoreError>>>(
        &self,
        operation: &'static str,
        work: impl Fn() -> W,
    ) -> Result<T, StoreError> {
        let (begun, patience) = (Instant::now(), self.settings.patience);
        let mut waits = backoff(patience);
        let mut doubt = None;
        loop {
            let error = match work().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if *error.kind() == StoreErrorKind::OutcomeUnknown {
                doubt = Some(error.clone());
            }
            let is_in_time = |wait: &Duration| begun.elapsed().saturating_add(*wait) < patience;
            let Some(wait) = waits.next().filter(is_in_time).filter(|_| error.is_transient()) else {
                // Whatever the last attempt came to, an earlier one may have been committed.
                return Err(match doubt {
                    Some(doubt) => {
                        tracing::warn!(%error, operation, "an attempt of unknown outcome cannot be asked about");
                        doubt
                    }
                    None => error,
                });
            };
            tracing::warn!(%error, operation, ?wait, "tried again");
            tokio::time::sleep(wait).await;
        }
    }

    /// What is known was said of another log.
    pub(crate) fn doubt(&self) {
        self.tracker.doubt();
        self.tail.forget();
    }

    /// Tells the tracker what was seen.
    pub(crate) fn learn(
        &self,
        ticket: Ticket,
        head: &Head,
        operation: &'static str,
    ) -> Result<Learned, StoreError> {
        let learned = self.tracker.learn(ticket, head, operation);
        if !matches!(learned, Ok(Learned::Settled(_))) {
            self.tail.forget();
        }
        learned
    }

    /// Whether a pooler stands in between.
    pub(crate) fn is_pooled(&self) -> bool {
        self.settings.is_pooled
    }

    /// How a transaction begins.
    pub(crate) fn begin(&self) -> AssertSqlSafe<String> {
        AssertSqlSafe(self.settings.begin())
    }

    /// How a transaction begins in which others do as they like. If they stand still, somebody else may be waiting for their rows,
    /// and a statement is given up only later than this.
    pub(crate) fn begin_for_others(&self) -> AssertSqlSafe<String> {
        let silent_ms = milliseconds(self.settings.answer_timeout);
        let begin = self.settings.begin();
        AssertSqlSafe(format!("{begin}; SET LOCAL idle_in_transaction_session_timeout = {silent_ms}"))
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// How long the server may take for one answer.
    pub(crate) fn answer_timeout(&self) -> Duration {
        self.settings.answer_timeout
    }

    /// A connection to a database whose tables are those of this program.
    pub(crate) async fn lease(&self, operation: &'static str) -> Result<Lease, StoreError> {
        let mut lease = self.lease_unchecked(operation).await?;
        self.migrated
            .get_or_try_init(|| async {
                let found = migrate::last_applied(self, &mut lease, operation).await?;
                migrate::check(found).map_err(|kind| StoreError::new(kind, operation))
            })
            .await?;
        Ok(lease)
    }

    /// Looks once whether the tables are those of this program.
    pub(crate) async fn check_migrated(&self, operation: &'static str) -> Result<(), StoreError> {
        if !self.migrated.initialized() {
            self.lease(operation).await?.put_back();
        }
        Ok(())
    }

    /// A connection to a database that may have no tables yet.
    pub(crate) async fn lease_unchecked(&self, operation: &'static str) -> Result<Lease, StoreError> {
        let mut lease = self.lease_idle(operation).await?;
        if self.settings.is_pooled {
            lease.is_in_transaction = true;
            self.within(operation, sqlx::raw_sql(self.begin()).execute(&mut *lease)).await?;
        }
        Ok(lease)
    }

    /// A connection on which nothing has begun.
    pub(crate) async fn lease_idle(&self, operation: &'static str) -> Result<Lease, StoreError> {
        let spare = self.spare.as_ref().filter(|_| !self.pool.is_closed());
        let mut lease = if let Some(lease) = spare.and_then(|spare| spare.take()) {
            lease
        } else {
            let _waiting = spare.map(|spare| spare.wait());
            let lease = Lease::from_pool(&self.pool, self.settings.answer_timeout).await;
            lease.map_err(|error| store_error(operation, error))?
        };
        lease.spare = spare.cloned();
        Ok(lease)
    }

    /// How many rows a statement has changed that commits itself and may be repeated.
    pub(crate) async fn changing(
        &self,
        operation: &'static str,
        statement: Query<'_, Postgres, PgArguments>,
    ) -> Result<u64, StoreError> {
        let mut lease = self.lease(operation).await?;
        let done = self.within_commit(operation, statement.execute(&mut *lease)).await?;
        lease.commit(self, operation).await?;
        lease.put_back();
        Ok(done.rows_affected())
    }

    /// What comes of `work`, unless it takes too long. For everything that a commit does not depend on.
    pub(crate) async fn within<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(self.settings.answer_timeout, work).await {
            Ok(outcome) => outcome.map_err(|error| store_error(operation, error)),
            Err(elapsed) => Err(StoreError::because(StoreErrorKind::Busy, operation, elapsed)),
        }
    }

    /// What comes of a COMMIT, or of a statement that commits itself: not known, if the answer does not come.
    pub(crate) async fn within_commit<T>(
        &self,
        operation: &'static str,
        commit: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(self.settings.answer_timeout, commit).await {
            Ok(outcome) => outcome.map_err(|error| commit_error(operation, error)),
            Err(elapsed) => Err(StoreError::because(StoreErrorKind::OutcomeUnknown, operation, elapsed)),
        }
    }
}

/// A connection that goes back to the pool only when somebody says that it is in order.
///
/// In all other cases (an error, a time-out, a dropped future) it is closed: then the server rolls back what is open
/// and lets go of the locks. sqlx's own way would be to give it back and to wait for the server there, which pins a
/// place in the pool for ever if the server is silent (sqlx issue 4349).
pub(crate) struct Lease {
    connection: Option<PoolConnection<Postgres>>,
    /// When it was taken from the pool.
    taken: Instant,
    /// Where it may be kept from the pool.
    spare: Option<Arc<Spare>>,
    answer_timeout: Duration,
    /// Whether a transaction is open that belongs to the lease: always, behind a pooler.
    is_in_transaction: bool,
}

impl Lease {
    /// A connection of the pool, which has a time limit of its own for that.
    pub(crate) async fn from_pool(pool: &PgPool, answer_timeout: Duration) -> Result<Self, sqlx::Error> {
        let connection = Some(pool.acquire().await?);
        Ok(Self { connection, taken: Instant::now(), spare: None, answer_timeout, is_in_transaction: false })
    }

    /// How long the server may take for one answer.
    pub(crate) fn answer_timeout(&self) -> Duration {
        self.answer_timeout
    }

    /// For how long it has not been in the pool.
    pub(crate) fn age(&self) -> Duration {
        self.taken.elapsed()
    }

    /// Gives the connection back: its last answer was read to the end, and no transaction is open.
    pub(crate) fn put_back(mut self) {
        let kept = match self.spare.take() {
            Some(spare) if !self.is_in_transaction => spare.keep(self),
            _ => Err(self),
        };
        if let Err(lease) = kept {
            lease.put_back_to_pool();
        }
    }

    fn put_back_to_pool(mut self) {
        // Where no runtime is left, or not here, the connection is closed.
        let Ok(runtime) = Handle::try_current() else { return };
        // What dropping a connection of the pool does as well, but with a time limit, because it asks the server for an
        // answer. If that does not come, what is dropped here is the lease.
        runtime.spawn(tokio::time::timeout(self.answer_timeout, async move {
            let ends_transaction = mem::take(&mut self.is_in_transaction);
            if ends_transaction && sqlx::raw_sql("ROLLBACK").execute(&mut *self).await.is_err() {
                return;
            }
            if let Some(mut connection) = self.connection.take() {
                // From here on the pool has its place back also if this is dropped.
                connection.return_to_pool().await;
            }
        }));
    }

    /// Rolls back whatever sqlx has begun on the connection, and gives it back.
    pub(crate) fn roll_back(mut self) {
        // Only noted here, and sent together with the question whether the connection is alive.
        while PgTransactionManager::get_transaction_depth(&self) > 0 {
            PgTransactionManager::start_rollback(&mut self);
        }
        self.put_back_to_pool();
    }

    /// Begins a transaction, where none is open.
    pub(crate) async fn begin(
        &mut self,
        database: &Database,
        operation: &'static str,
    ) -> Result<(), StoreError> {
        if !self.is_in_transaction {
            database.within(operation, sqlx::raw_sql(database.begin()).execute(&mut **self)).await?;
            self.is_in_transaction = true;
        }
        Ok(())
    }

    /// Commits what was written, where the statement has not done so itself.
    pub(crate) async fn commit(
        &mut self,
        database: &Database,
        operation: &'static str,
    ) -> Result<(), StoreError> {
        if mem::take(&mut self.is_in_transaction) {
            database.within_commit(operation, sqlx::raw_sql("COMMIT").execute(&mut **self)).await?;
        }
        Ok(())
    }

    /// Gives the connection back, if nothing is left to be read.
    pub(crate) fn put_back_if(self, is_drained: bool) {
        if is_drained {
            self.put_back();
        }
    }

    /// Keeps the connection from the pool for good.
    pub(crate) fn detach(mut self) -> PgConnection {
        self.connection.take().expect("a lease has its connection until it ends").detach()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

impl Deref for Lease {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect("a lease has its connection until it ends")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("a lease has its connection until it ends")
    }
}
