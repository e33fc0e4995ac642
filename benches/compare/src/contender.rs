//! What the program asks of each contender, in the words of no contender.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::rounds::Turn;

/// What a contender says when it could not do what it was asked for.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// What a contender answers.
pub(crate) type Answer<T> = Result<T, Failure>;

/// A contender, in a database of its own.
///
/// Each is asked to do what its users do, by the door that its documentation shows.
#[async_trait]
pub(crate) trait Contender: Send + Sync + 'static {
    /// The table that an event is inserted into, where a pause before the commit can be put: of those on Postgres.
    fn table(&self) -> Option<&'static str>;

    /// One command on a new account: these deposits come in.
    async fn create(&self, account: Uuid, deposits: Vec<Deposit>) -> Answer<()>;

    /// Whether it is a client that brings callers of its own. Such a one is asked for nothing but `create_at_once`.
    fn brings_callers(&self) -> bool {
        false
    }

    /// `create` by so many callers for so long, if it brings them.
    async fn create_at_once(&self, _callers: u32, _time: Duration) -> Answer<Turn> {
        Err("it has no callers of its own".into())
    }

    /// One command on an account that is there: load it, decide, and append these deposits.
    async fn deposit(&self, account: Uuid, deposits: Vec<Deposit>) -> Answer<()>;

    /// The number of deposits of an account, folded from all of its events.
    async fn rehydrate(&self, account: Uuid) -> Answer<u64>;

    /// Hands every event of the log to a handler that counts them and does nothing else, under a name that is new each time.
    ///
    /// It may be dropped in the middle. `None` says that the contender has no such thing.
    async fn catch_up(&self, _handled: Handled) -> Answer<Option<()>> {
        Ok(None)
    }

    /// As `catch_up`, with a handler that keeps a number in the database, and the checkpoint beside it.
    async fn project(&self, _handled: Handled) -> Answer<Option<()>> {
        Ok(None)
    }

    /// Begins to hand every event to a handler that tells of it, those that are there first, until it is stopped.
    ///
    /// The next time it goes on where it was. `None` says that the contender has no such thing.
    async fn follow(&self, _heard: UnboundedSender<Heard>) -> Answer<Option<Follower>> {
        Ok(None)
    }

    /// As `follow`, in another process than the one that appends: by connections of its own, and what is heard through them. It is the same
    /// for those who are told by the server in any case.
    async fn follow_from_afar(&self, heard: UnboundedSender<Heard>) -> Answer<Option<Follower>> {
        self.follow(heard).await
    }

    /// As `create`, where somebody follows: what does not tell of its appends by itself tells here.
    async fn create_followed(&self, account: Uuid, deposit: Deposit) -> Answer<()> {
        self.create(account, vec![deposit]).await
    }
}

/// Money comes in: what each contender makes an event of, which is about 185 bytes as JSON.
#[derive(Clone, Debug)]
pub(crate) struct Deposit {
    /// In cents.
    pub(crate) amount: i64,
    /// Of the payment, by which it is known again.
    pub(crate) reference: Uuid,
    /// What the payer wrote.
    pub(crate) memo: String,
}

impl Deposit {
    /// A deposit like any other, with a reference of its own.
    pub(crate) fn new() -> Self {
        Self { amount: 1177, reference: Uuid::new_v4(), memo: "m".repeat(97) }
    }

    /// So many of them.
    pub(crate) fn many(deposits: u32) -> Vec<Self> {
        std::iter::repeat_with(Self::new).take(deposits as usize).collect()
    }
}

/// The events that a handler was handed, counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handled(Arc<AtomicU64>);

impl Handled {
    /// One more was.
    pub(crate) fn one(&self) {
        self.many(1);
    }

    /// These were.
    pub(crate) fn many(&self, events: u64) {
        self.0.fetch_add(events, Ordering::Relaxed);
    }

    /// How many were.
    pub(crate) fn events(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A handler was called with this event, at this moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    /// Of the deposit.
    pub(crate) reference: Uuid,
    /// When the handler was called.
    pub(crate) at: Instant,
}

impl Heard {
    /// Now.
    pub(crate) fn now(reference: Uuid) -> Self {
        Self { reference, at: Instant::now() }
    }
}

/// What follows the log, until it is stopped.
#[derive(Debug)]
pub(crate) struct Follower {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Answer<()>>,
}

impl Follower {
    /// Runs `follow` in a task of its own, which ends when the given future does.
    pub(crate) fn new<F>(follow: impl FnOnce(oneshot::Receiver<()>) -> F) -> Self
    where
        F: Future<Output = Answer<()>> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        Self { stop, task: tokio::spawn(follow(stopped)) }
    }

    /// Runs `follow` in a task of its own, which is dropped when it is stopped, for those that have no other end.
    pub(crate) fn dropped<F>(follow: F) -> Self
    where
        F: Future<Output = Answer<()>> + Send + 'static,
    {
        Self::new(move |stopped| async move {
            tokio::select! {
                result = follow => result,
                _ = stopped => Ok(()),
            }
        })
    }

    /// Stops, and says why it had stopped before, if it had.
    pub(crate) async fn stop(mut self) -> Answer<()> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let _ = self.stop.send(());
        if let Ok(ended) = tokio::time::timeout(PATIENCE, &mut self.task).await {
            ended?
        } else {
            self.task.abort();
            Err("the follower did not stop when it was asked to".into())
        }
    }
}
