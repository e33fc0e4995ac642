//! How a store is made, where the defaults are not right.

use std::time::Duration;

use factum_core::StoreError;
use factum_core::store::Limits;
use factum_core::store::group::GroupLimits;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgPool};
use tokio::time::timeout;

use crate::PostgresStore;
use crate::append::CLAIMS_MAX;
use crate::database::{Database, Settings};
use crate::error::store_error;
use crate::spare::Spare;

/// A connection that was used within this time is taken for alive. One that was not is asked first.
const FRESH: Duration = Duration::from_secs(1);

/// How long the server may take to say that a connection is alive; then it is replaced by a new one. Without this limit a
/// connection that fell silent would use up all the time that there is for having one.
const ALIVE: Duration = Duration::from_secs(1);

/// A [`PostgresStore`] that is about to be made.
///
/// ```no_run
/// use std::time::Duration;
///
/// use factum_postgres::PostgresStore;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let store = PostgresStore::builder()
///     .max_connections(20)
///     .answer_timeout(Duration::from_secs(5))
///     .connect("postgres://app@localhost/shop")
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is connected before `connect` or `with_pool`"]
pub struct Builder {
    max_connections: u32,
    acquire_timeout: Duration,
    append_lanes: usize,
    load_lanes: usize,
    settings: Settings,
    limits: Limits,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            max_connections: 10,
            acquire_timeout: Duration::from_secs(10),
            append_lanes: 2,
            load_lanes: 4,
            settings: Settings {
                answer_timeout: Duration::from_secs(30),
                patience: Duration::from_secs(10),
                poll: Duration::from_millis(500),
                notifies: true,
                is_pooled: false,
            },
            limits: Limits::default(),
        }
    }
}

impl Builder {
    /// How many connections there are at most; 10 unless told otherwise.
    ///
    /// Appends use as many as there are [lanes](Builder::append_lanes), and as many again where somebody else holds up their
    /// streams; a read uses one while it waits for its answer, and a transactional subscription has one for each batch. No
    /// call has more than one. The connection that hears of other processes is not among them. Up to half of them are kept at
    /// hand for some milliseconds after their use, so the pool may have fewer idle ones than there are.
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections;
        self
    }

    /// How long a call waits for a connection; 10 seconds unless told otherwise. Then it fails as
    /// [`Unavailable`](factum_core::StoreErrorKind::Unavailable).
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// How long a call waits for each answer of the server; 30 seconds unless told otherwise. Then it fails as
    /// [`Busy`](factum_core::StoreErrorKind::Busy), or as
    /// [`OutcomeUnknown`](factum_core::StoreErrorKind::OutcomeUnknown) if it waited for a commit.
    ///
    /// An append waits half as long for somebody else who is writing to the same stream. A transaction that is silent for as
    /// long is ended by the server, so this bounds how long a process that stands still can hold up the feed with an append, or
    /// hold rows for which whoever has taken over its work is waiting. `SET LOCAL idle_in_transaction_session_timeout` gives a
    /// transaction another limit.
    ///
    /// The server gives up a statement after one and a half times as long (`statement_timeout`), since nobody waits for it then.
    /// That goes for the application's own statements on connections of the store, too, and not for
    /// [`PostgresStore::migrate`]. Where it is too little, `options=-cstatement_timeout=…` in the URL says another limit, or
    /// `SET LOCAL` in a transaction. A [pool of the application's own](Builder::with_pool) has whatever limit it sets.
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.settings.answer_timeout = timeout;
        self
    }

    /// How long a call tries again, with growing pauses, while the server cannot be reached or is too busy; 10 seconds
    /// unless told otherwise, not at all for zero. An append is repeated with its own ids, so it is recorded once.
    ///
    /// After this time no attempt begins. One that has begun takes as long as a [connection](Builder::acquire_timeout) and an
    /// [answer](Builder::answer_timeout) may take.
    pub fn retry_for(mut self, time: Duration) -> Self {
        self.settings.patience = time;
        self
    }

    /// How long an append of another process can go unnoticed by those who wait, if its notice is lost or if there are none;
    /// half a second unless told otherwise.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.settings.poll = interval.max(Duration::from_millis(1));
        self
    }

    /// Whether appends are told to other processes by `NOTIFY`, and theirs are heard of by `LISTEN`; so unless told
    /// otherwise. `LISTEN` needs a connection that is not shared by a pooler in transaction mode.
    pub fn notifications(mut self, on: bool) -> Self {
        self.settings.notifies = on;
        self
    }

    /// Whether the connections lead through a pooler in transaction mode, such as `PgBouncer`, which gives each transaction
    /// whatever connection of its own is free; not so unless told otherwise.
    ///
    /// Each call is then a transaction of its own, of four round trips instead of one, and notices are off (the poll interval
    /// is 50 ms): `LISTEN` needs a connection that stays. [`PostgresStore::migrate`] needs a direct one. A pool of your own must
    /// have a statement cache of capacity 0.
    pub fn transaction_pooler(mut self, on: bool) -> Self {
        self.settings.is_pooled = on;
        self.settings.notifies = !on;
        self.settings.poll = Duration::from_millis(if on { 50 } else { 500 });
        self
    }

    /// How many groups of appends are committed at the same time; at least 1, and 2 unless told otherwise.
    pub fn append_lanes(mut self, lanes: usize) -> Self {
        self.append_lanes = lanes.max(1);
        self
    }

    /// How many loads of aggregates are read at the same time, each by a statement of its own, before those that come go
    /// together, up to 16 in one statement; at least 1, and 4 unless told otherwise.
    ///
    /// Together they take less of the processors' time. Where streams have to be fetched from a disk that is slow to find one
    /// and finds many at once, more lanes are better.
    pub fn load_lanes(mut self, lanes: usize) -> Self {
        self.load_lanes = lanes.max(1);
        self
    }

    /// How much the store takes at once.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Connects, see [`PostgresStore::connect`].
    ///
    /// The connections begin their transactions at READ COMMITTED, whatever the default of the database is. They say so by the
    /// start-up parameter `options`, which a pooler in session mode has to let pass; behind a
    /// [pooler in transaction mode](Builder::transaction_pooler) each transaction says it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the URL is none, or if the database cannot be reached within the time for a connection. Whether
    /// its tables are there shows when the store is first used.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime. The store works as long as that runtime does.
    ///
    /// # Cancel safety
    ///
    /// Connecting changes nothing.
    pub async fn connect(self, url: &str) -> Result<PostgresStore, StoreError> {
        const CONNECT: &str = "connect";
        const TIMEOUT: &str = "statement_timeout";
        let mut options: PgConnectOptions = url.parse().map_err(|error| store_error(CONNECT, error))?;
        if options.get_application_name().is_none() {
            options = options.application_name("factum");
        }
        if self.settings.is_pooled {
            options = options.statement_cache_capacity(0);
        } else {
            // Of the defaults of a database and its users, this one makes every append be refused.
            options = options.options([("default_transaction_isolation", "read committed")]);
            if !options.get_options().is_some_and(|own| own.contains(TIMEOUT)) {
                options = options.options([(TIMEOUT, self.settings.statement_ms())]);
            }
        }
        let pool = PgPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(self.acquire_timeout)
            // Asking before each use costs a lone caller a third of its speed.
            .test_before_acquire(false)
            .before_acquire(|connection, usage| {
                Box::pin(async move {
                    let is_fresh = usage.idle_for < FRESH;
                    Ok(is_fresh || matches!(timeout(ALIVE, connection.ping()).await, Ok(Ok(()))))
                })
            })
            .connect_with(options)
            .await
            .map_err(|error| store_error(CONNECT, error))?;
        let spare = (!self.settings.is_pooled).then(|| Spare::of(self.max_connections));
        Ok(self.over(pool, spare))
    }

    /// Uses `pool`, see [`PostgresStore::from_pool`]. How many connections there are and how long a call waits for one
    /// are the pool's own affair; and so is what they begin with. Where their `default_transaction_isolation` is not READ
    /// COMMITTED, appends are refused, as [`Other`](factum_core::StoreErrorKind::Other).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime. The store works as long as that runtime does.
    pub fn with_pool(self, pool: PgPool) -> PostgresStore {
        self.over(pool, None)
    }

    fn over(self, pool: PgPool, spare: Option<Spare>) -> PostgresStore {
        let groups = GroupLimits {
            lanes: self.append_lanes,
            alone_max: self.append_lanes,
            streams_are_shared: false,
            claims_max: CLAIMS_MAX,
            patience: self.settings.patience,
            ..GroupLimits::default()
        };
        PostgresStore::over(Database::new(pool, spare, self.settings, self.load_lanes), self.limits, groups)
    }
}
