//! Notices between processes: that there is something new, so that an idle subscriber hears of it at once.
//!
//! They are hints and carry nothing: reading decides, and who misses a notice finds the event by looking, after the poll
//! interval at the latest. They are sent after the commit and never inside the append's transaction, where `NOTIFY` takes a
//! lock on the whole server at the commit, and makes all commits wait for each other. Under load many appends share one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use factum_core::store::retry::backoff;
use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::database::{Lease, Settings};
use crate::feed::Tracker;

/// The channel. The same for all logs of a database: a notice in vain costs a look.
const CHANNEL: &str = "factum_events";
const NOTICE: &str = "NOTIFY factum_events";

/// How long a notice stands for what comes after it.
const GAP: Duration = Duration::from_millis(5);

/// Sends notices, and hears those of others.
pub(crate) struct Notices {
    pool: PgPool,
    tracker: Arc<Tracker>,
    settings: Settings,
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
        Self { pool, tracker, settings, due: Arc::default(), tasks: Mutex::default() }
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
                let limit = self.settings.answer_timeout;
                tokio::spawn(tell(self.pool.clone(), Arc::clone(&self.due), limit)).abort_handle()
            },
        );
    }

    /// Hears of what other processes append, from now on.
    pub(crate) fn listen(&self) {
        if !self.settings.notifies {
            return;
        }
        let start = || tokio::spawn(listen(self.pool.clone(), Arc::clone(&self.tracker))).abort_handle();
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

async fn tell(pool: PgPool, due: Arc<Notify>, limit: Duration) {
    loop {
        due.notified().await;
        // Nothing is lost with it: those who wait look by themselves.
        if let Err(error) = notify(&pool, limit).await {
            tracing::debug!(%error, "other processes were not told of an append");
            if matches!(error, sqlx::Error::PoolClosed) {
                return;
            }
        }
        tokio::time::sleep(GAP).await;
    }
}

async fn notify(pool: &PgPool, limit: Duration) -> Result<(), sqlx::Error> {
    let mut lease = Lease::from_pool(pool, limit).await?;
    let told = tokio::time::timeout(limit, sqlx::raw_sql(NOTICE).execute(&mut *lease)).await;
    told.map_err(|elapsed| sqlx::Error::Io(elapsed.into()))??;
    lease.put_back();
    Ok(())
}

async fn listen(pool: PgPool, tracker: Arc<Tracker>) {
    // A connection of its own, so that waiting takes none from those who read.
    let own = PgPoolOptions::new().max_connections(1).connect_lazy_with((*pool.connect_options()).clone());
    let mut waits = backoff(Duration::MAX);
    while !pool.is_closed() {
        if let Err(error) = hear(&own, &tracker).await {
            tracing::debug!(%error, "appends of other processes are found by looking for them");
        }
        let Some(wait) = waits.next() else { return };
        tokio::time::sleep(wait).await;
    }
}

/// Hears of others until the connection breaks.
async fn hear(own: &PgPool, tracker: &Tracker) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(own).await?;
    listener.listen(CHANNEL).await?;
    // For what came before it listened.
    tracker.hint();
    // `None` when the connection broke, after which it connects anew.
    while listener.try_recv().await?.is_some() {
        tracker.hint();
    }
    tracker.hint();
    Ok(())
}
