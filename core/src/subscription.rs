//! Subscriptions: read what happened, handle it, remember how far that went.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{Either, Fuse};

use crate::checkpoint::{Checkpoint, Checkpoints, Transactional};
use crate::dispatcher::{Dispatcher, HandlerError};
use crate::error::{StoreError, StoreErrorKind};
use crate::handler::{Context, EventHandler};
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
/// in the store's transaction are committed together with the checkpoint: **exactly once**.
///
/// If a handler fails, the subscription stops with the error and its checkpoint stays before the event: nothing is
/// skipped. A process that starts it again tries the event again.
pub struct Subscription<Cx: Send + 'static = ()> {
    name: String,
    store: Arc<dyn EventStore>,
    progress: Arc<dyn Progress<Cx>>,
    dispatcher: Dispatcher<Cx>,
    categories: Vec<String>,
    batch_events: usize,
}

impl Subscription<()> {
    /// A subscription that calls its handlers at least once. `name` is the key of its checkpoint and never changes.
    pub fn new<S: EventStore + Checkpoints + Clone>(name: impl Into<String>, store: S) -> Self {
        Self::begin(name.into(), Arc::new(store.clone()), Arc::new(AtLeastOnce(store)))
    }
}

impl<Cx: Send + 'static> Subscription<Cx> {
    /// A subscription whose handlers work in the store's transaction, exactly once. `name` is the key of its
    /// checkpoint and never changes.
    pub fn transactional<S>(name: impl Into<String>, store: S) -> Self
    where
        S: EventStore + Transactional<Tx = Cx> + Clone,
    {
        Self::begin(name.into(), Arc::new(store.clone()), Arc::new(ExactlyOnce(store)))
    }

    fn begin(name: String, store: Arc<dyn EventStore>, progress: Arc<dyn Progress<Cx>>) -> Self {
        Self {
            name,
            store,
            progress,
            dispatcher: Dispatcher::new(),
            categories: Vec::new(),
            batch_events: 1000,
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

    /// How many events share one checkpoint at most; at least 1, and 1,000 unless told otherwise. This many events
    /// are in memory at once.
    pub fn batch_events(mut self, events: usize) -> Self {
        self.batch_events = events.max(1);
        self
    }

    /// Handles what has happened so far, and returns how far that is.
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
    /// [`SubscriptionError`]: a handler failed, or the store is ill. Nothing was skipped.
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
        let mut stop = pin!(stop.fuse());
        let filter = Filter { categories: self.categories.clone(), ..self.dispatcher.filter() };
        let mut checkpoint = self.progress.checkpoint(&self.name).await?;
        // Where nothing passed the filter the checkpoint lags behind what was looked at, by a batch at most: moving
        // it is a write, and not worth one for every foreign event.
        let mut looked = checkpoint;
        while !is_ready(stop.as_mut()) {
            let read = ReadAll::after(looked).filter(filter.clone()).limit(self.batch_events);
            let page = self.store.read_all(read).await?;
            if page.events.is_empty() && !page.end && page.checkpoint.position <= looked.position {
                let text = format!("nothing after position {}, and not the end", looked.position);
                return Err(StoreError::because(StoreErrorKind::Corrupt, "read all", text).into());
            }
            looked = page.checkpoint;
            let is_idle = page.events.is_empty() && page.end;
            if !page.events.is_empty() || self.is_far_behind(checkpoint.position, looked.position) {
                checkpoint = self.handle(page.events, checkpoint, looked, stop.as_mut()).await?;
                looked = checkpoint;
            }
            if is_idle {
                match until {
                    Until::CaughtUp => break,
                    Until::Stopped => {
                        futures_util::future::select(stop.as_mut(), self.store.wait(looked.position))
                            .map(|first| match first {
                                Either::Left(_) => Ok(()),
                                Either::Right((waited, _)) => waited,
                            })
                            .await?;
                    }
                }
            }
        }
        if looked.position > checkpoint.position {
            checkpoint = self.handle(Vec::new(), checkpoint, looked, stop).await?;
        }
        Ok(checkpoint.position)
    }

    fn is_far_behind(&self, position: Position, looked: Position) -> bool {
        usize::try_from(looked.0.saturating_sub(position.0)).is_ok_and(|lag| lag >= self.batch_events)
    }

    /// Handles a batch, or as much of it as comes before a stop, and returns where the checkpoint was moved to.
    async fn handle<F: Future<Output = ()>>(
        &self,
        events: Vec<crate::RecordedEvent>,
        from: Checkpoint,
        mut to: Checkpoint,
        mut stop: Pin<&mut Fuse<F>>,
    ) -> Result<Checkpoint, SubscriptionError> {
        let mut cx = Context::new(self.progress.begin().await?);
        for (index, event) in events.iter().enumerate() {
            if index > 0 && is_ready(stop.as_mut()) {
                to = Checkpoint::from(&events[index - 1]);
                break;
            }
            if let Err(error) = self.dispatcher.dispatch(event, &mut cx).await {
                if let Some(last) = index.checked_sub(1).map(|last| &events[last]) {
                    self.keep_what_was_done(cx, from, Checkpoint::from(last)).await;
                }
                return Err(error.into());
            }
        }
        self.dispatcher.flush(&mut cx).await?;
        self.progress.commit(&self.name, cx.into_tx(), from, to).await?;
        Ok(to)
    }
}

impl<Cx: Send + 'static> Subscription<Cx> {
    /// Moves the checkpoint up to the event that failed, where what was done before it cannot be rolled back anyway.
    async fn keep_what_was_done(&self, mut cx: Context<Cx>, from: Checkpoint, to: Checkpoint) {
        if !self.progress.outlives_a_failure() {
            return;
        }
        // The failure of the handler is what the caller learns; this one costs no more than doing it again.
        if let Err(error) = self.dispatcher.flush(&mut cx).await {
            tracing::warn!(%error, subscription = self.name, "events before a failure will be handled again");
        } else if let Err(error) = self.progress.commit(&self.name, cx.into_tx(), from, to).await {
            tracing::warn!(%error, subscription = self.name, "events before a failure will be handled again");
        }
    }
}

impl<Cx: Send + 'static> fmt::Debug for Subscription<Cx> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("name", &self.name)
            .field("dispatcher", &self.dispatcher)
            .finish_non_exhaustive()
    }
}

/// Why a subscription stopped by itself. Its checkpoint is before the event that could not be handled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// A handler failed.
    #[error(transparent)]
    Handler(#[from] HandlerError),
    /// The store is ill.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How long a subscription runs.
#[derive(Clone, Copy)]
enum Until {
    CaughtUp,
    Stopped,
}

/// Whether `stop` is ready, without waiting for it.
fn is_ready<F: Future<Output = ()>>(stop: Pin<&mut Fuse<F>>) -> bool {
    use futures_util::future::FusedFuture;
    stop.is_terminated() || stop.now_or_never().is_some()
}

/// How a subscription keeps its checkpoint.
#[async_trait]
trait Progress<Cx>: Send + Sync {
    /// Whether what handlers did stays done when a later event fails.
    fn outlives_a_failure(&self) -> bool;
    async fn checkpoint(&self, subscription: &str) -> Result<Checkpoint, StoreError>;
    async fn begin(&self) -> Result<Cx, StoreError>;
    async fn commit(
        &self,
        subscription: &str,
        tx: Cx,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError>;
}

/// After the work.
struct AtLeastOnce<S>(S);

#[async_trait]
impl<S: Checkpoints> Progress<()> for AtLeastOnce<S> {
    fn outlives_a_failure(&self) -> bool {
        true
    }

    async fn checkpoint(&self, subscription: &str) -> Result<Checkpoint, StoreError> {
        self.0.checkpoint(subscription).await
    }

    async fn begin(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn commit(
        &self,
        subscription: &str,
        (): (),
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        self.0.move_checkpoint(subscription, from, to).await
    }
}

/// Together with the work.
struct ExactlyOnce<S>(S);

#[async_trait]
impl<S: Transactional> Progress<S::Tx> for ExactlyOnce<S> {
    fn outlives_a_failure(&self) -> bool {
        false
    }

    async fn checkpoint(&self, subscription: &str) -> Result<Checkpoint, StoreError> {
        self.0.checkpoint(subscription).await
    }

    async fn begin(&self) -> Result<S::Tx, StoreError> {
        self.0.begin().await
    }

    async fn commit(
        &self,
        subscription: &str,
        tx: S::Tx,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        self.0.commit_with_checkpoint(tx, subscription, from, to).await
    }
}
