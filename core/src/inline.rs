//! Inline projections: rows that are written in the transaction of the append itself.

use std::fmt;
use std::ops::{Deref, DerefMut};

use async_trait::async_trait;

use crate::checkpoint::{Advance, Checkpoint, Checkpoints, Transactional};
use crate::dead_letter::{DeadLetter, DeadLetters, Parked, ReadDeadLetters};
use crate::dispatcher::{Dispatcher, HandlerError};
use crate::envelope::RecordedEvent;
use crate::error::{AppendError, StoreError, StoreErrorKind};
use crate::handler::{Context, EventHandler};
use crate::lease::{Heartbeat, Leases, NodeId, Share};
use crate::metadata::EventId;
use crate::partition::Partition;
use crate::snapshot::{PageFrom, ReadFrom, Snapshots};
use crate::store::{
    Append, Appended, CategoryPage, EventStore, Matches, Page, ReadAll, ReadCategory, ReadMatching,
    ReadStream, StreamPage, Uncommitted,
};
use crate::stream::{Position, StreamId, Version};
use crate::tenant::TenantId;
use crate::timer::{DueTimers, Timer, Timers};

const APPEND: &str = "append";

/// A store with projections that are never behind: their rows are written in the transaction of each append, and are there
/// when it is acknowledged.
///
/// It is a store like any other. Give it to repositories, to processes, and to whoever else appends: all events that are
/// appended through it come to its [handlers](Inline::handler), once, in their order. If a handler fails, nothing was
/// appended, and the error is of kind [`ProjectionFailed`](StoreErrorKind::ProjectionFailed).
///
/// ```
/// # use factum::memory::{MemoryStore, MemoryTx};
/// # use factum::{Context, Envelope, Event, EventHandler, EventStore, Inline, On};
/// # use serde::{Deserialize, Serialize};
/// # use std::sync::{Arc, Mutex};
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug)]
/// # #[event(name = "user.registered")]
/// # struct Registered { email: String }
/// /// Who has which address.
/// #[derive(EventHandler, Clone, Default)]
/// #[handler(name = "addresses", error = std::convert::Infallible, cx = MemoryTx, on(Registered))]
/// struct Addresses { rows: Arc<Mutex<Vec<String>>> }
///
/// impl On<Registered, MemoryTx> for Addresses {
///     async fn on(
///         &self,
///         event: &Envelope<Registered>,
///         cx: &mut Context<MemoryTx>,
///     ) -> Result<(), std::convert::Infallible> {
///         let (rows, email) = (self.rows.clone(), event.event.email.clone());
///         cx.tx().on_commit(move || rows.lock().expect("no panic").push(email));
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let addresses = Addresses::default();
/// let store = Inline::new(MemoryStore::new()).handler(addresses.clone());
/// # let event = factum::NewEvent::encode(&Registered { email: "ada@example.org".into() }, factum::Codec::Json, Default::default())?;
/// # let append = factum::store::Append::to("user/1".parse()?, factum::Expected::NoStream, vec![event]);
/// store.append(append).await?;
/// assert_eq!(*addresses.rows.lock().expect("no panic"), ["ada@example.org"]);
/// # Ok(())
/// # }
/// ```
///
/// # What it costs, and what it does not do
///
/// An append whose events a handler wants is a transaction of its own: it has some more round trips, shares its commit with
/// nobody, and holds up the feed until the handlers are done. Whoever writes to the same row waits for it, so handlers that write
/// several had better do so in one order, or a database may end one of two appends that wait for each other. Where a read
/// model may be some milliseconds behind, a [`Subscription`](crate::Subscription) is the better choice, and
/// [`reached`](crate::Subscription::reached) waits for it.
///
/// What is appended through the bare store, by an import, or was there before, does not come to the handlers: there is no
/// checkpoint that could tell. Rows for what was there before are made by a subscription that has the same handlers, which is
/// run once while nobody appends.
pub struct Inline<S: Transactional> {
    store: S,
    dispatcher: Dispatcher<S::Tx>,
}

impl<S: EventStore + Transactional> Inline<S> {
    /// `store`, without projections.
    pub fn new(store: S) -> Self {
        Self { store, dispatcher: Dispatcher::new() }
    }

    /// And this projection.
    pub fn handler(mut self, handler: impl EventHandler<S::Tx>) -> Self {
        self.dispatcher.add(handler);
        self
    }

    /// The store itself. What is appended through it does not come to the projections.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Whether a handler wants one of the events.
    fn wants(&self, append: &Append) -> bool {
        append.events().any(|event| self.dispatcher.wants(&event.name))
    }

    /// Brings what was appended in `tx` to the handlers, and lets them write what they gather.
    async fn project(&self, tx: &mut InlineTx<S::Tx>, events: &[RecordedEvent]) -> Result<(), HandlerError> {
        for event in events {
            self.dispatcher.dispatch(event, &mut tx.cx).await?;
        }
        self.dispatcher.flush(&mut tx.cx).await?;
        // The next append in the transaction is another batch.
        tx.cx.forget_gathered();
        Ok(())
    }

    /// What was appended in `tx`, as `tx` reads it. Positions are in the order of the append.
    async fn read_appended(
        &self,
        tx: &mut InlineTx<S::Tx>,
        counts: &[(StreamId, usize)],
        versions: &[Version],
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let mut events = Vec::new();
        for ((stream, count), last) in counts.iter().zip(versions) {
            let mut after = Version(last.0 - *count as u64);
            while after < *last {
                let read = ReadStream::new(stream.clone()).after(after);
                let page = self.store.read_stream_in(tx.cx.tx(), read).await?;
                let Some(read) = page.events.last() else {
                    let text = format!("{stream} has no event after {after}, which was appended just now");
                    return Err(StoreError::because(StoreErrorKind::Corrupt, APPEND, text));
                };
                after = read.version;
                events.extend(page.events);
            }
        }
        Ok(events)
    }
}

impl<S: Transactional + Clone> Clone for Inline<S> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), dispatcher: self.dispatcher.clone() }
    }
}

impl<S: Transactional + fmt::Debug> fmt::Debug for Inline<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inline").field("store", &self.store).field("dispatcher", &self.dispatcher).finish()
    }
}

/// The transaction of an [`Inline`] store. It is that of the store below, and what its projections work in.
pub struct InlineTx<Tx> {
    cx: Context<Tx>,
    /// Whether a projection has failed in it: its rows may be half written.
    is_spoilt: bool,
}

impl<Tx: Send> Deref for InlineTx<Tx> {
    type Target = Tx;

    fn deref(&self) -> &Tx {
        self.cx.tx_ref()
    }
}

impl<Tx: Send> DerefMut for InlineTx<Tx> {
    fn deref_mut(&mut self) -> &mut Tx {
        self.cx.tx()
    }
}

impl<Tx> fmt::Debug for InlineTx<Tx> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InlineTx").field("is_spoilt", &self.is_spoilt).finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: EventStore + Transactional> EventStore for Inline<S> {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        if !self.wants(&append) {
            return self.store.append(append).await;
        }
        let mut tx = self.begin().await?;
        match self.append_in(&mut tx, append).await {
            Ok(appended) => {
                self.commit(tx).await?;
                Ok(appended.committed())
            }
            Err(error) => match self.rollback(tx).await {
                // The connection was broken, which was no projection's fault.
                Err(broken) if broken.is_transient() => {
                    tracing::warn!(%error, "an append was rolled back without an answer");
                    Err(broken.into())
                }
                _ => Err(error),
            },
        }
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        self.store.read_stream(read).await
    }

    async fn read_all(&self, read: ReadAll) -> Result<Page, StoreError> {
        self.store.read_all(read).await
    }

    async fn read_matching(&self, read: ReadMatching) -> Result<Matches, StoreError> {
        self.store.read_matching(read).await
    }

    async fn find_event(&self, id: EventId) -> Result<Option<RecordedEvent>, StoreError> {
        self.store.find_event(id).await
    }

    async fn read_category(&self, read: ReadCategory) -> Result<CategoryPage, StoreError> {
        self.store.read_category(read).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        self.store.head().await
    }

    async fn wait(&self, after: Position) -> Result<(), StoreError> {
        self.store.wait(after).await
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        self.store.snapshots()
    }

    fn tenant(&self) -> Option<&TenantId> {
        self.store.tenant()
    }
}

impl<S: EventStore + Transactional> Transactional for Inline<S> {
    type Tx = InlineTx<S::Tx>;

    async fn begin(&self) -> Result<Self::Tx, StoreError> {
        Ok(InlineTx { cx: Context::new(self.store.begin().await?), is_spoilt: false })
    }

    /// Appends as part of `tx`, and lets the projections write to it. After an error of kind
    /// [`ProjectionFailed`](StoreErrorKind::ProjectionFailed) it can only be rolled back.
    async fn append_in(&self, tx: &mut Self::Tx, append: Append) -> Result<Uncommitted, AppendError> {
        tx.check()?;
        if !self.wants(&append) {
            return self.store.append_in(tx.cx.tx(), append).await;
        }
        let counts: Vec<_> =
            append.streams().iter().map(|part| (part.stream.clone(), part.events.len())).collect();
        let appended = self.store.append_in(tx.cx.tx(), append).await?;
        // The projections have seen it when it happened.
        if appended.is_repeated() {
            return Ok(appended);
        }
        tx.is_spoilt = true;
        let events = self.read_appended(tx, &counts, appended.versions()).await?;
        self.project(tx, &events)
            .await
            .map_err(|error| StoreError::because(StoreErrorKind::ProjectionFailed, APPEND, error))?;
        tx.is_spoilt = false;
        Ok(appended)
    }

    async fn read_stream_in(&self, tx: &mut Self::Tx, read: ReadStream) -> Result<StreamPage, StoreError> {
        self.store.read_stream_in(tx.cx.tx(), read).await
    }

    async fn read_from_in(&self, tx: &mut Self::Tx, read: ReadFrom) -> Result<PageFrom, StoreError> {
        self.store.read_from_in(tx.cx.tx(), read).await
    }

    async fn commit(&self, tx: Self::Tx) -> Result<(), StoreError> {
        tx.check()?;
        self.store.commit(tx.cx.into_tx()).await
    }

    async fn rollback(&self, tx: Self::Tx) -> Result<(), StoreError> {
        self.store.rollback(tx.cx.into_tx()).await
    }

    async fn hold_checkpoint(
        &self,
        tx: &mut Self::Tx,
        partition: &Partition,
    ) -> Result<Checkpoint, StoreError> {
        self.store.hold_checkpoint(tx.cx.tx(), partition).await
    }

    async fn advance_in(&self, tx: &mut Self::Tx, step: Advance) -> Result<(), StoreError> {
        self.store.advance_in(tx.cx.tx(), step).await
    }

    async fn commit_with(&self, tx: Self::Tx, step: Advance) -> Result<(), StoreError> {
        tx.check()?;
        self.store.commit_with(tx.cx.into_tx(), step).await
    }
}

impl<Tx> InlineTx<Tx> {
    /// Refuses to go on after a projection has failed.
    fn check(&self) -> Result<(), StoreError> {
        if self.is_spoilt {
            return Err(StoreError::because(StoreErrorKind::ProjectionFailed, "go on", SPOILT));
        }
        Ok(())
    }
}

const SPOILT: &str =
    "a projection has failed in this transaction before, or was given up: it can only be rolled back";

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: EventStore + Transactional> Checkpoints for Inline<S> {
    async fn checkpoint_of(&self, partition: &Partition) -> Result<Checkpoint, StoreError> {
        self.store.checkpoint_of(partition).await
    }

    async fn advance(&self, step: Advance) -> Result<(), StoreError> {
        self.store.advance(step).await
    }

    async fn checkpoint(&self, subscription: &str) -> Result<Checkpoint, StoreError> {
        self.store.checkpoint(subscription).await
    }

    async fn move_checkpoint(
        &self,
        subscription: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        self.store.move_checkpoint(subscription, from, to).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: EventStore + Transactional> DeadLetters for Inline<S> {
    async fn dead_letters(&self, read: ReadDeadLetters) -> Result<Vec<DeadLetter>, StoreError> {
        self.store.dead_letters(read).await
    }

    async fn parked(&self, subscription: &str, due_max: usize) -> Result<Parked, StoreError> {
        self.store.parked(subscription, due_max).await
    }

    async fn retry_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError> {
        self.store.retry_dead_letter(subscription, position).await
    }

    async fn drop_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError> {
        self.store.drop_dead_letter(subscription, position).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: EventStore + Transactional> Leases for Inline<S> {
    async fn beat(&self, heartbeat: Heartbeat) -> Result<Share, StoreError> {
        self.store.beat(heartbeat).await
    }

    async fn leave(&self, subscription: &str, node: NodeId) -> Result<(), StoreError> {
        self.store.leave(subscription, node).await
    }
}

#[deny(clippy::missing_trait_methods)]
impl<S: EventStore + Timers> Timers for Inline<S> {
    async fn set_timer(&self, tx: &mut Self::Tx, timer: Timer) -> Result<(), StoreError> {
        self.store.set_timer(tx.cx.tx(), timer).await
    }

    async fn take_timer(&self, tx: &mut Self::Tx, timer: &Timer) -> Result<bool, StoreError> {
        self.store.take_timer(tx.cx.tx(), timer).await
    }

    async fn due_timers(&self, process: &str, limit: usize) -> Result<DueTimers, StoreError> {
        self.store.due_timers(process, limit).await
    }
}
