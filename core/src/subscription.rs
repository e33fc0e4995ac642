//! Subscriptions: read what happened, handle it, remember how far that went.

mod health;
mod machine;
mod nodes;
mod pages;
mod policy;
mod rebuild;
mod runner;
mod work;

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use self::health::Board;
pub use self::health::{Health, PartitionHealth};
use self::machine::Until;
use self::pages::Pages;
pub use self::policy::{OnFailure, Retry};
pub use self::rebuild::{Rebuild, RebuildError, Swap};
use self::runner::Runner;
use self::work::{AtLeastOnce, ExactlyOnce, InMemory, Work};
use crate::checkpoint::{Progress, Transactional};
use crate::dispatcher::{Dispatcher, HandlerError};
use crate::error::StoreError;
use crate::handler::EventHandler;
use crate::partition::Partition;
use crate::store::{EventStore, Filter, ReadAll};
use crate::stream::Position;

/// Handlers that follow a store from its first event on, through what has happened and then as it happens, and a
/// checkpoint that says how far they have come.
///
/// All handlers of a subscription share its checkpoint and see an event one after the other, by priority. Handlers
/// that shall not wait for each other belong into subscriptions of different names.
///
/// Made by [`new`](Subscription::new) it calls its handlers **at least once**: after a crash, events since the last
/// checkpoint come again. Made by [`transactional`](Subscription::transactional), the rows that its handlers write
/// in the store's transaction are committed together with the checkpoint: **exactly once**. Made by
/// [`in_memory`](Subscription::in_memory) it begins with the first event whenever it is run, for states that live in the
/// program.
///
/// What happens when a handler fails is always chosen: see [`OnFailure`]. Nothing is skipped in silence. A store that
/// cannot be reached is no failure of a handler: a subscription that runs waits for it, however long that takes.
///
/// A subscription runs in one process at a time, and a second one is told so by an error, unless its work is
/// [shared](Subscription::shared) by nodes. Cloning one is cheap, and the clones tell each other's [`health`](Subscription::health).
pub struct Subscription<Cx: Send + 'static = ()> {
    name: Arc<str>,
    store: Arc<dyn EventStore>,
    work: Arc<dyn Work<Cx>>,
    dispatcher: Dispatcher<Cx>,
    on_failure: OnFailure,
    categories: Vec<String>,
    batch_events: usize,
    sharing: Option<Sharing>,
    /// Whether handlers are told that nothing shall go out into the world.
    is_rebuilding: bool,
    board: Arc<Board>,
}

/// How many events share a checkpoint at most, unless told otherwise: where they may come again after a crash, and where they
/// share a transaction.
const BATCH_EVENTS: usize = 5000;
const TRANSACTION_EVENTS: usize = 2000;

/// How many events are read at once at least: a page has a price that does not depend on what is in it.
const PAGE_EVENTS: usize = 5000;

/// How nodes share the work.
#[derive(Clone, Copy, Debug)]
struct Sharing {
    partitions: u32,
    lease_for: Duration,
}

impl Subscription<()> {
    /// A subscription that calls its handlers at least once. `name` is the key of its checkpoint and never changes.
    pub fn new<S>(name: impl Into<String>, store: S, on_failure: OnFailure) -> Self
    where
        S: EventStore + Progress + Clone,
    {
        Self::begin(name.into(), Arc::new(store.clone()), Arc::new(AtLeastOnce(store)), on_failure)
    }

    /// A subscription that begins with the first event whenever the program does: for a read model that lives in the
    /// program's memory. Nothing is kept in the store, so dead letters are gone with it, too.
    pub fn in_memory<S: EventStore>(name: impl Into<String>, store: S, on_failure: OnFailure) -> Self {
        Self::begin(name.into(), Arc::new(store), Arc::new(InMemory::default()), on_failure)
    }
}

impl<Cx: Send + 'static> Subscription<Cx> {
    /// A subscription whose handlers work in the store's transaction, exactly once. `name` is the key of its
    /// checkpoint and never changes.
    pub fn transactional<S>(name: impl Into<String>, store: S, on_failure: OnFailure) -> Self
    where
        S: EventStore + Transactional<Tx = Cx> + Clone,
    {
        Self::begin(name.into(), Arc::new(store.clone()), Arc::new(ExactlyOnce(store)), on_failure)
            .batch_events(TRANSACTION_EVENTS)
    }

    fn begin(
        name: String,
        store: Arc<dyn EventStore>,
        work: Arc<dyn Work<Cx>>,
        on_failure: OnFailure,
    ) -> Self {
        Self {
            name: name.into(),
            store,
            work,
            dispatcher: Dispatcher::new(),
            on_failure,
            categories: Vec::new(),
            batch_events: BATCH_EVENTS,
            sharing: None,
            is_rebuilding: false,
            board: Arc::default(),
        }
    }

    /// And this handler.
    pub fn handler(mut self, handler: impl EventHandler<Cx>) -> Self {
        self.dispatcher.add(handler);
        self
    }

    /// Only events of aggregates of this category, or of the other categories named like this.
    pub fn category(mut self, category: impl Into<String>) -> Self {
        self.categories.push(category.into());
        self
    }

    /// How many events share one checkpoint at most; at least 1. Unless told otherwise it is 2,000 where they share a transaction,
    /// and 5,000 where as many may come again after a crash. There, it is also moved when 100 ms have passed since the first of them
    /// was taken up, so that slow handlers have little to do again.
    ///
    /// They are read in pages of 5,000, or of so many if that is more, and of 16 MiB of payload at most. Two pages are in memory
    /// at once: the one that is handled, and the next one, which is read meanwhile; a few more where
    /// [partitions](Subscription::shared) share them.
    pub fn batch_events(mut self, events: usize) -> Self {
        self.batch_events = events.max(1);
        self
    }

    /// Any number of processes may run it, and share its work: the streams are split into so many partitions, at least one,
    /// and each partition is one node's at a time. With one partition one node works and the others stand by.
    ///
    /// The number stays what it was when the subscription began: see [`OtherPartitions`](crate::StoreErrorKind::OtherPartitions).
    /// Events of one stream keep their order. Which node does what is decided by leases in the store, and every step checks
    /// that the node still has its lease, so a node that was paused beyond it cannot write. Effects in the world cannot be
    /// checked so: let them carry the [token](crate::Context::token) of the lease where order matters.
    pub fn shared(mut self, partitions: u32) -> Self {
        let lease_for = self.sharing.map_or(Duration::from_secs(6), |sharing| sharing.lease_for);
        self.sharing = Some(Sharing { partitions: partitions.max(1), lease_for });
        self
    }

    /// How long a node of a [shared](Subscription::shared) subscription may be silent before others take over its work; 6
    /// seconds unless told otherwise. It tells that it is there three times as often.
    pub fn lease_for(mut self, time: Duration) -> Self {
        let partitions = self.sharing.map_or(1, |sharing| sharing.partitions);
        self.sharing = Some(Sharing { partitions, lease_for: time.max(Duration::from_millis(30)) });
        self
    }

    /// Its name, the key of its checkpoint.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Handles what has happened so far, and returns how far that is.
    ///
    /// A [shared](Subscription::shared) one does its share, and waits until others have done theirs.
    ///
    /// # Errors
    ///
    /// [`SubscriptionError`]: a handler failed, or the store is ill. Nothing was skipped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future rolls back the batch, or leaves it to be handled again.
    pub async fn catch_up(&self) -> Result<Position, SubscriptionError> {
        self.run(Until::CaughtUp, std::future::pending()).await
    }

    /// Handles what has happened and then what happens, until `stop` is ready. Then it finishes the event it is at,
    /// commits, and returns how far it has come.
    ///
    /// # Errors
    ///
    /// [`SubscriptionError`]: a handler failed, or the store failed in a way that time does not heal. Nothing was skipped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future rolls back the batch, or leaves it to be handled again; `stop` is the graceful way.
    pub async fn run_until(
        &self,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<Position, SubscriptionError> {
        self.run(Until::Stopped, stop).await
    }

    async fn run(
        &self,
        until: Until,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<Position, SubscriptionError> {
        let mut stop = pin!(stop);
        let outcome = if let Some(sharing) = self.sharing {
            nodes::run(self, sharing, until, stop).await
        } else {
            let (tell, told) = watch::channel(false);
            let runner = Runner::new(self, Partition::whole(&self.name), None, &Arc::new(self.pages(until)));
            let mut running = pin!(runner.run(until, told));
            tokio::select! {
                biased;
                () = &mut stop => {
                    tell.send_replace(true);
                    running.await
                }
                outcome = &mut running => outcome,
            }
        };
        if let Err(error) = &outcome {
            self.board.note_end(error);
        }
        outcome
    }

    /// What is read, for all partitions that this process works on.
    fn pages(&self, until: Until) -> Pages {
        let page_events = self.batch_events.max(PAGE_EVENTS);
        let read = ReadAll::after(Position::START).filter(self.filter()).limit(page_events);
        let read = if until == Until::Stopped { read.following() } else { read };
        Pages::new(Arc::clone(&self.store), read, self.partition_count())
    }

    fn filter(&self) -> Filter {
        Filter { categories: self.categories.clone(), ..self.dispatcher.filter() }
    }

    fn partitions(&self) -> impl Iterator<Item = Partition> {
        Partition::all(&self.name, self.partition_count())
    }

    fn partition_count(&self) -> u32 {
        self.sharing.map_or(1, |sharing| sharing.partitions)
    }

    /// Returns when everything up to `position` was handled or set aside, wherever the subscription runs: what a caller
    /// waits for that wants to read its own writes.
    ///
    /// A command's answer has its [position](crate::Loaded::position).
    ///
    /// # Errors
    ///
    /// [`NotReached`], if it takes longer than `within`, or if the store is ill all that time.
    ///
    /// # Cancel safety
    ///
    /// Waiting changes nothing.
    pub async fn reached(&self, position: Position, within: Duration) -> Result<(), NotReached> {
        const LOOK: Duration = Duration::from_millis(20);
        let deadline = Instant::now() + within;
        let mut told = self.board.subscribe();
        let mut source = None;
        loop {
            let mut at = Position(u64::MAX);
            for partition in self.partitions() {
                let here = self.board.reached(partition.index());
                let reached = match here.filter(|here| *here >= position) {
                    Some(here) => here,
                    None => match self.work.books().checkpoint_of(&partition).await {
                        Ok(checkpoint) => checkpoint.position.max(here.unwrap_or_default()),
                        Err(error) => {
                            source = Some(error);
                            here.unwrap_or_default()
                        }
                    },
                };
                at = at.min(reached);
            }
            if at >= position {
                return Ok(());
            }
            let now = Instant::now();
            if now >= deadline {
                return Err(NotReached { position, at, source });
            }
            // Whoever runs here tells; of others the checkpoint has to be asked.
            let _ = tokio::time::timeout_at(deadline.min(now + LOOK), told.changed()).await;
        }
    }

    /// How the subscription is, as far as this process works for it, and how far it is behind.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked how far it goes.
    ///
    /// # Cancel safety
    ///
    /// Asking changes nothing.
    pub async fn health(&self) -> Result<Health, StoreError> {
        let head = self.store.head().await?;
        let mut position = Position(u64::MAX);
        for partition in self.partitions() {
            let reached = match self.board.reached(partition.index()) {
                Some(here) => here,
                None => self.work.books().checkpoint_of(&partition).await?.position,
            };
            position = position.min(reached);
        }
        let mut health = self.board.health(&self.name, position, head);
        let read = ReadAll::after(health.position).filter(self.filter()).limit(1);
        let page = self.store.read_all(read).await?;
        health.note_oldest(page.events.first());
        Ok(health)
    }
}

impl<Cx: Send + 'static> Clone for Subscription<Cx> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            store: Arc::clone(&self.store),
            work: Arc::clone(&self.work),
            dispatcher: self.dispatcher.clone(),
            on_failure: self.on_failure,
            categories: self.categories.clone(),
            batch_events: self.batch_events,
            sharing: self.sharing,
            is_rebuilding: self.is_rebuilding,
            board: Arc::clone(&self.board),
        }
    }
}

impl<Cx: Send + 'static> fmt::Debug for Subscription<Cx> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("name", &self.name)
            .field("dispatcher", &self.dispatcher)
            .field("on_failure", &self.on_failure)
            .field("sharing", &self.sharing)
            .finish_non_exhaustive()
    }
}

/// Why a subscription stopped by itself. Its checkpoint is before the event that could not be handled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// A handler failed.
    #[error(transparent)]
    Handler(Box<HandlerError>),
    /// The store is ill.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<HandlerError> for SubscriptionError {
    fn from(error: HandlerError) -> Self {
        Self::Handler(Box::new(error))
    }
}

/// A subscription did not come to a position in time.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the subscription is at position {at} and not at {position}")]
pub struct NotReached {
    /// Where it was to come.
    pub position: Position,
    /// How far it has come.
    pub at: Position,
    /// Why it is not known better.
    pub source: Option<StoreError>,
}
