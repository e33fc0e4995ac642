//! Notices between processes: that there is something new, so that an idle subscriber hears of it at once.
//!
//! They are hints and carry nothing: reading decides, and who misses a notice finds the event by looking, after the poll
//! interval at the latest. They are sent after the commit and never inside the append's transaction, where `NOTIFY` takes a
//! lock on the whole server at the commit, and makes all commits wait for each other. Under load many appends share one.
//!
//! A notice carries whose it is: a store passes over its own, because it knows of its appends by itself.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use factum_core::store::retry::backoff;
use futures_util::TryFutureExt as _;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Acquire as _, AssertSqlSafe, ConnectOptions as _, PgPool};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::database::{Lease, Settings};
use crate::feed::Tracker;

/// The channel. The same for all logs of a database: a notice in vain costs a look.
const CHANNEL: &str = "factum_events";
const LISTEN: &str = "LISTEN factum_events";

/// After how long a silence a listener asks whether anybody is there. A network can lose a connection without telling.
const QUIET: Duration = Duration::from_secs(10);

/// How long a notice stands for what comes after it: so many times as long as it took to send, within these limits. Where the
/// server has little to do others hear of an append in a millisecond or two, and where it is busy it is not asked more often.
const GAP_FACTOR: u32 = 5;
const GAP_MIN: Duration = Duration::from_millis(1);
const GAP_MAX: Duration = Duration::from_millis(5);

/// Sends notices, and hears those of others.
pub(crate) struct Notices {
    pool: PgPool,
    tracker: Arc<Tracker>,
    settings: Settings,
    /// What the notices of this store carry.
    name: Arc<str>,
    /// Told when there is something to tell.
    due: Arc<Notify>,
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    teller: Option<AbortHandle>,
    listener: Option<AbortHandle>,
    closed: bool,
}

impl Notices {
    pub(crate) fn new(pool: PgPool, tracker: Arc<Tracker>, settings: Settings) -> Self {
        let name = Uuid::now_v7().to_string().into();
        Self { pool, tracker, settings, name, due: Arc::default(), tasks: Mutex::default() }
    }

    /// Tells other processes, soon, that there is something new.
    pub(crate) fn tell(&self) {
        if !self.settings.notifies {
            return;
        }
        self.due.notify_one();
        self.start(
            |tasks| &mut tasks.teller,
            || {
                let notice = format!("NOTIFY {CHANNEL}, '{}'", self.name);
                let limit = self.settings.answer_timeout;
                tokio::spawn(tell(self.pool.clone(), Arc::clone(&self.due), notice, limit)).abort_handle()
            },
        );
    }

    /// Hears of what other processes append, from now on.
    pub(crate) fn listen(&self) {
        if !self.settings.notifies {
            return;
        }
        let start = || {
            let (tracker, name) = (Arc::clone(&self.tracker), Arc::clone(&self.name));
            let limit = self.settings.answer_timeout;
            tokio::spawn(listen(self.pool.clone(), tracker, name, limit)).abort_handle()
        };
        self.start(|tasks| &mut tasks.listener, start);
    }

    /// Tells and hears no more.
    pub(crate) fn close(&self) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.closed = true;
        for task in [tasks.teller.take(), tasks.listener.take()].into_iter().flatten() {
            task.abort();
        }
    }

    fn start(
        &self,
        which: impl Fn(&mut Tasks) -> &mut Option<AbortHandle>,
        start: impl FnOnce() -> AbortHandle,
    ) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if !tasks.closed && which(&mut tasks).as_ref().is_none_or(AbortHandle::is_finished) {
            *which(&mut tasks) = Some(start());
        }
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        self.close();
    }
}

async fn tell(pool: PgPool, due: Arc<Notify>, notice: String, limit: Duration) {
    loop {
        due.notified().await;
        let begun = Instant::now();
        // Nothing is lost with it: those who wait look by themselves.
        if let Err(error) = notify(&pool, &notice, limit).await {
            tracing::debug!(%error, "other processes were not told of an append");
            if matches!(error, sqlx::Error::PoolClosed) {
                return;
            }
        }
        tokio::time::sleep((begun.elapsed() * GAP_FACTOR).clamp(GAP_MIN, GAP_MAX)).await;
    }
}

async fn notify(pool: &PgPool, notice: &str, limit: Duration) -> Result<(), sqlx::Error> {
    let mut lease = Lease::from_pool(pool, limit).await?;
    let told = timeout(limit, sqlx::raw_sql(AssertSqlSafe(notice)).execute(&mut *lease)).await;
    told.map_err(|elapsed| sqlx::Error::Io(elapsed.into()))??;
    lease.put_back();
    Ok(())
}

async fn listen(pool: PgPool, tracker: Arc<Tracker>, name: Arc<str>, limit: Duration) {
    let mut waits = backoff(Duration::MAX);
    while !pool.is_closed() {
        let options = PgConnectOptions::clone(&pool.connect_options());
        if let Err(error) = hear(options, &tracker, &name, limit).await {
            tracing::debug!(%error, "appends of other processes are found by looking for them");
        }
        // For what came when it did not listen.
        tracker.hint();
        let Some(wait) = waits.next() else { return };
        tokio::time::sleep(wait).await;
    }
}

/// Hears of others until the connection breaks or falls silent.
async fn hear(
    options: PgConnectOptions,
    tracker: &Tracker,
    own_name: &str,
    limit: Duration,
) -> Result<(), sqlx::Error> {
    // A connection of its own, so that waiting takes none from those who read.
    let own = PgPoolOptions::new().max_connections(1).acquire_timeout(limit);
    let mut listener = PgListener::connect_with(&own.connect_lazy_with(options.clone())).await?;
    listener.eager_reconnect(false);
    let mut subscribed = timeout(limit, listener.listen(CHANNEL)).await;
    // For what came before it listened.
    tracker.hint();
    while let Ok(Ok(())) = subscribed {
        match timeout(limit.min(QUIET), listener.try_recv()).await {
            Ok(Ok(Some(notice))) if notice.payload() == own_name => {}
            Ok(Ok(Some(_))) => tracker.hint(),
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            // Nothing is to be heard, or nothing gets through any more. The answer to this tells.
            Err(_) => {
                let asking = sqlx::raw_sql(LISTEN).execute(&mut listener).map_ok(drop);
                subscribed = timeout(limit, asking).await;
            }
        }
    }
    match subscribed {
        Ok(answer) => answer,
        Err(_) => hang_up(listener, &options, limit).await,
    }
}

/// Closes the connection of a listener to whom nobody answers, when there is another one. Where it is dropped, sqlx asks the
/// server to unlisten, and waits for an answer that does not come; so it gets the other connection for that.
async fn hang_up(
    mut listener: PgListener,
    options: &PgConnectOptions,
    limit: Duration,
) -> Result<(), sqlx::Error> {
    for wait in backoff(Duration::MAX) {
        if let Ok(Ok(other)) = timeout(limit, options.connect()).await {
            drop(mem::replace(listener.acquire().await?, other));
            break;
        }
        tokio::time::sleep(wait).await;
    }
    Ok(())
}
