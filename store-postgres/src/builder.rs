//! How a store is made, where the defaults are not right.

use std::time::Duration;

use factum_core::StoreError;
use factum_core::store::Limits;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgPool};

use crate::PostgresStore;
use crate::database::Database;
use crate::error::store_error;

/// A connection that was used within this time is taken for alive. One that was not is asked first.
const FRESH: Duration = Duration::from_secs(1);

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
    answer_timeout: Duration,
    limits: Limits,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            max_connections: 10,
            acquire_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(30),
            limits: Limits::default(),
        }
    }
}

impl Builder {
    /// How many connections there are at most; 10 unless told otherwise.
    ///
    /// Appends use one at a time, a read uses one while it waits for its answer, and a transactional subscription has
    /// one for each batch.
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
    /// An append waits half as long for its turn. A process that is silent for as long while it has the turn (it
    /// freezes, or its network breaks) loses it, so this bounds how long one process can hold up the others.
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.answer_timeout = timeout;
        self
    }

    /// How much the store takes at once.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Connects, see [`PostgresStore::connect`].
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
        let mut options: PgConnectOptions = url.parse().map_err(|error| store_error(CONNECT, error))?;
        if options.get_application_name().is_none() {
            options = options.application_name("factum");
        }
        let pool = PgPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(self.acquire_timeout)
            // Asking before each use costs a lone caller a third of its speed.
            .test_before_acquire(false)
            .before_acquire(|connection, usage| {
                Box::pin(async move { Ok(usage.idle_for < FRESH || connection.ping().await.is_ok()) })
            })
            .connect_with(options)
            .await
            .map_err(|error| store_error(CONNECT, error))?;
        Ok(self.with_pool(pool))
    }

    /// Uses `pool`, see [`PostgresStore::from_pool`]. How many connections there are and how long a call waits for one
    /// are the pool's own affair.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime. The store works as long as that runtime does.
    pub fn with_pool(self, pool: PgPool) -> PostgresStore {
        PostgresStore::over(Database::new(pool, self.answer_timeout), self.limits)
    }
}
