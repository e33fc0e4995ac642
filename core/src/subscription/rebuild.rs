//! Rebuilding a projection: a new version is built beside the one that is in use, and takes its place in one transaction.

mod turn;

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use self::turn::Turn;
use super::machine::Until;
use super::pages::Key;
use super::runner::Runner;
use super::{Board, Health, Sharing, Subscription, SubscriptionError};
use crate::checkpoint::{Advance, Checkpoint, Transactional};
use crate::dead_letter::NewDeadLetter;
use crate::dispatcher::{EventFacts, HandlerError};
use crate::envelope::RecordedEvent;
use crate::error::{BoxError, DecodeError, StoreError, StoreErrorKind};
use crate::handler::Context;
use crate::lease::Token;
use crate::partition::Partition;
use crate::store::{EventStore, Filter, Page, ReadAll};
use crate::stream::Position;

const REBUILD: &str = "rebuild";

/// How many events share a checkpoint while a projection is built, unless the subscription was told otherwise: nobody waits for
/// one of them.
const BATCH_EVENTS: usize = 10_000;

/// Up to this position nothing is done in bulk. It is not the beginning, from which a decision can be told.
const NO_BULK: Position = Position(1);

/// How long to wait before trying again what a store could not do.
const PAUSE: Duration = Duration::from_millis(500);

/// How long to wait for an append that holds up the log, or for an old version that has just gone on.
const LOOK: Duration = Duration::from_millis(10);

/// How often in a row somebody else may move a checkpoint that is this rebuild's.
const DISTURBANCES_MAX: u32 = 20;

/// How often it is tried to lead readers to the new rows, which may have to wait for others who lock the same tables.
const SWAPS_MAX: u32 = 3;

/// Builds a new version of a projection beside the one that is in use, and puts it in its place.
///
/// A projection changes by getting a new version: a [subscription](Subscription::transactional) of another name, whose handlers
/// write to other tables. A rebuild handles the whole log for it, comes as far as the old one is, and then
/// [swaps](Swap) the two in one transaction. Until then readers have the old rows, and from then on the new ones; nobody sees
/// half of it. The old version stays, and [going back](Rebuild#going-back) is a rebuild in the other direction, which has
/// little to do.
///
/// ```no_run
/// # use factum::memory::{MemoryStore, MemoryTx};
/// # use factum::{OnFailure, Rebuild, Subscription, Swap};
/// # struct View;
/// # impl Swap<MemoryTx> for View {
/// #     type Error = std::convert::Infallible;
/// #     async fn swap(&self, tx: &mut MemoryTx) -> Result<(), Self::Error> { Ok(()) }
/// # }
/// # async fn example(store: MemoryStore, shop_is_closed: impl Future<Output = ()> + Send) -> Result<(), Box<dyn std::error::Error>> {
/// # let v1 = Subscription::transactional("spend", store.clone(), OnFailure::stop());
/// let v2 = Subscription::transactional("spend@2", store.clone(), OnFailure::stop());
/// Rebuild::new(store, &v2)
///     .replacing(&v1)
///     .in_parallel(2, |event| Ok(Some(event.stream.id().to_owned())))
///     .run(&View)
///     .await?;
/// v2.run_until(shop_is_closed).await?;
/// # Ok(())
/// # }
/// ```
///
/// It is meant to be run by every node whenever the program starts: one of them builds, the others wait, and where it is done
/// already, it is done. If the node that builds is lost, another goes on within seconds where it was.
///
/// # Effects
///
/// A handler that also does something in the world asks [`Context::is_rebuilding`], and leaves it out then. No event is
/// handled in a rebuild before the old version has handled it, and what the old version has not handled by the swap comes to
/// the new one after it, with its effects. So none is left out, and none is had twice if the old version is stopped by then;
/// except where the two have different numbers of partitions: then the new one begins with the first event that is missing in
/// any partition of the old one, and some effects come from both.
///
/// Dead letters are not known to the other version. What the old one has set aside has had no effect, and comes to the new one
/// in the rebuild: have it retried or dropped before. What the new one sets aside in the rebuild had its effect with the old
/// one, and has it again when it is retried.
///
/// # Going back
///
/// The old version may go on after the swap, as long as the program that runs it does, or be stopped. To go back,
/// rebuild the old version, [replacing](Rebuild::replacing) the new one: it catches up, with its effects left out, and is
/// swapped in. Where programs of both kinds are started, each puts its own version in use.
pub struct Rebuild<S: Transactional> {
    store: S,
    new: Subscription<S::Tx>,
    old: Option<Subscription<S::Tx>>,
    bulk: Option<Bulk<S::Tx>>,
    lease_for: Duration,
    is_in_bulk: AtomicBool,
}

/// The new version, as several workers build it.
struct Bulk<Tx: Send + 'static> {
    subscription: Subscription<Tx>,
    key: Key,
}

/// How readers are led to the rows of a new version: by a view that is replaced, by tables that are renamed, or by a row that
/// says which version is in use.
pub trait Swap<Tx: Send>: Send + Sync {
    /// Why it fails.
    type Error: Error + Send + Sync + 'static;

    /// Leads readers to the new rows when `tx` is committed. It is called again if that fails.
    ///
    /// `tx` holds the checkpoint of the old version. Where it locks the old version's tables, which that may be writing to, one
    /// of the two waits for the other, and a database may end either: a view, or a row that names the version, is better.
    ///
    /// # Errors
    ///
    /// Nothing was swapped. It is tried some times, because of such locks.
    fn swap(&self, tx: &mut Tx) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

impl<S: EventStore + Transactional> Rebuild<S> {
    /// A rebuild of `new`, whose tables are empty and which nobody runs before it is done.
    pub fn new(store: S, new: &Subscription<S::Tx>) -> Self {
        let new = Subscription {
            is_rebuilding: true,
            batch_events: if new.batch_events == super::TRANSACTION_EVENTS {
                BATCH_EVENTS
            } else {
                new.batch_events
            },
            ..new.clone()
        };
        let lease_for = Duration::from_secs(6);
        Self { store, new, old: None, bulk: None, lease_for, is_in_bulk: AtomicBool::new(false) }
    }

    /// In the place of `old`, which may be running.
    pub fn replacing(mut self, old: &Subscription<S::Tx>) -> Self {
        self.old = Some(old.clone());
        self
    }

    /// What there is at the beginning is handled by so many workers of this process at once, at least one: what has the same
    /// `key` by the same one, in order, and events without a key by stream. For projections whose rows belong to one key
    /// each; then no two workers write the same row. Each worker has a transaction of its own open, and SQLite lets them write in
    /// turns.
    ///
    /// It stays so until all of it is handled. A rebuild that goes on with another number of workers is an
    /// [error](StoreErrorKind::OtherPartitions), and the key of an event must be the same as before: an event that cannot be
    /// read stops the rebuild, with the error that `key` returns. So does one on which a handler fails as often as the policy of
    /// the subscription says, also where the policy would set it aside. Once that is mended, it goes on.
    pub fn in_parallel(
        mut self,
        workers: u32,
        key: impl Fn(&RecordedEvent) -> Result<Option<String>, DecodeError> + Send + Sync + 'static,
    ) -> Self {
        let sharing = Sharing { partitions: workers.max(1), lease_for: self.lease_for };
        let subscription = Subscription {
            name: format!("{}/bulk", self.new.name).into(),
            on_failure: self.new.on_failure.or_stop(),
            sharing: Some(sharing),
            board: Arc::new(Board::default()),
            ..self.new.clone()
        };
        self.bulk = Some(Bulk { subscription, key: Arc::new(key) });
        self
    }

    /// How long the node that builds may be silent before another goes on; 6 seconds unless told otherwise.
    pub fn lease_for(mut self, time: Duration) -> Self {
        self.lease_for = time.max(Duration::from_millis(30));
        self
    }

    /// Builds the new version and swaps it in, or waits until another node has done so, and returns how far it had come when it
    /// was swapped in; where that is asked later, no less than the first position. A store that cannot be reached is waited
    /// for.
    ///
    /// # Errors
    ///
    /// [`RebuildError`]. What was built is kept, and the next call goes on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future rolls back what is at hand. The next call goes on where it was.
    pub async fn run(&self, swap: &impl Swap<S::Tx>) -> Result<Position, RebuildError> {
        let mut turn = Turn::new(&self.store, Self::marker(&self.new), self.lease_for);
        let (mut disturbances, mut swaps) = (0, 0);
        let outcome = loop {
            let error = match self.take_turn(&mut turn, swap).await {
                Ok(Some(position)) => break Ok(position),
                Ok(None) => {
                    tracing::warn!(subscription = %self.new.name, "another node goes on with the rebuild");
                    continue;
                }
                Err(error) => error,
            };
            let may_go_on = match &error {
                RebuildError::Store(ill) if is_disturbed(ill) => {
                    disturbances += 1;
                    disturbances <= DISTURBANCES_MAX
                }
                RebuildError::Store(ill) => {
                    disturbances = 0;
                    ill.is_transient()
                }
                RebuildError::Swap(_) => {
                    swaps += 1;
                    swaps < SWAPS_MAX
                }
                RebuildError::Handler(_) => false,
            };
            if !may_go_on {
                break Err(error);
            }
            tracing::warn!(%error, subscription = %self.new.name, "the rebuild goes on after a pause");
            tokio::time::sleep(PAUSE).await;
        };
        self.is_in_bulk.store(false, Ordering::Relaxed);
        turn.end().await;
        outcome
    }

    /// How far the rebuild has come in this process, and how fast it is, see [`Subscription::health`].
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked how far it goes.
    ///
    /// # Cancel safety
    ///
    /// Asking changes nothing.
    pub async fn health(&self) -> Result<Health, StoreError> {
        match &self.bulk {
            Some(bulk) if self.is_in_bulk.load(Ordering::Relaxed) => bulk.subscription.health().await,
            _ => self.new.health().await,
        }
    }

    /// Does the work while it is this node's turn; `None` if that is over.
    async fn take_turn(
        &self,
        turn: &mut Turn<'_, S>,
        swap: &impl Swap<S::Tx>,
    ) -> Result<Option<Position>, RebuildError> {
        loop {
            let has_turn = turn.beat().await?;
            // Its checkpoint says whether the version is in use; also if that was done just before it was this node's turn.
            let marker = self.store.checkpoint_of(turn.partition()).await?;
            if marker != Checkpoint::START {
                return Ok(Some(marker.position));
            }
            if has_turn {
                break;
            }
            tokio::time::sleep(self.lease_for / 3).await;
        }
        let token = turn.token();
        tokio::select! {
            biased;
            lost = turn.keep() => Ok(lost.map(|()| None)?),
            built = self.build_and_swap(token, swap) => built.map(Some),
        }
    }

    async fn build_and_swap(
        &self,
        token: Option<Token>,
        swap: &impl Swap<S::Tx>,
    ) -> Result<Position, RebuildError> {
        self.build_in_bulk().await?;
        self.make_all_partitions().await?;
        loop {
            let targets = self.targets().await?;
            build(&self.new, None, &targets).await?;
            if let Some(position) = self.try_to_swap(token, swap).await? {
                return Ok(position);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// How far the log is handled in bulk. It is decided once, so that whoever goes on does the same, and nobody who was overtaken
    /// does anything else.
    async fn bulk_until(&self) -> Result<Checkpoint, StoreError> {
        let plan = Partition::whole(&format!("{}/plan", self.new.name));
        let decided = self.store.checkpoint_of(&plan).await?;
        if decided != Checkpoint::START {
            return Ok(decided);
        }
        let until = match &self.bulk {
            Some(_) => hindmost(&self.targets().await?),
            None => Checkpoint::START,
        };
        let until = if until.position > NO_BULK { until } else { NO_BULK.into() };
        self.store.advance(Advance::new(plan, Checkpoint::START, until)).await?;
        Ok(until)
    }

    /// Handles what there is, by key, unless that is done.
    async fn build_in_bulk(&self) -> Result<(), RebuildError> {
        let until = self.bulk_until().await?;
        let has_begun = self.checkpoints(&self.new).await?.iter().any(|at| *at != Checkpoint::START);
        if until.position <= NO_BULK || has_begun {
            return Ok(());
        }
        let Some(Bulk { subscription, key }) = &self.bulk else {
            return Err(StoreError::because(StoreErrorKind::Other, REBUILD, BEGUN_IN_PARALLEL).into());
        };
        self.is_in_bulk.store(true, Ordering::Relaxed);
        loop {
            build(subscription, Some(key), &vec![until; subscription.partitions().count()]).await?;
            if self.checkpoints(subscription).await?.iter().all(|at| at.position == until.position) {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }

        // From here on it is one subscription, as far as all workers are.
        let mut tx = self.store.begin().await?;
        for partition in subscription.partitions() {
            let actual = self.store.hold_checkpoint(&mut tx, &partition).await?.position;
            if actual != until.position {
                let kind = StoreErrorKind::CheckpointMoved { expected: until.position, actual };
                return Err(StoreError::new(kind, REBUILD).into());
            }
        }
        for partition in self.new.partitions() {
            self.store.advance_in(&mut tx, Advance::new(partition, Checkpoint::START, until)).await?;
        }
        self.store.commit(tx).await?;
        self.is_in_bulk.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Makes the checkpoints of partitions for which nothing has happened, so that nodes that come later find all of them.
    async fn make_all_partitions(&self) -> Result<(), StoreError> {
        let checkpoints = self.checkpoints(&self.new).await?;
        if checkpoints.iter().all(|at| *at != Checkpoint::START) {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        for (partition, at) in self.new.partitions().zip(checkpoints) {
            if at == Checkpoint::START {
                self.store.advance_in(&mut tx, Advance::new(partition, at, at)).await?;
            }
        }
        self.store.commit(tx).await
    }

    /// How far each partition is to come: as far as the old version is, or else as the log goes.
    async fn targets(&self) -> Result<Vec<Checkpoint>, StoreError> {
        match &self.old {
            Some(old) => Ok(self.targets_at(&self.checkpoints(old).await?)),
            None => Ok(self.targets_at(&[self.end_of_log().await?])),
        }
    }

    /// The same for each partition, where the work is split alike, and else as far as the hindmost, so that nothing is rebuilt
    /// that was not handled.
    fn targets_at(&self, old: &[Checkpoint]) -> Vec<Checkpoint> {
        let count = self.new.partitions().count();
        if old.len() == count {
            return old.to_vec();
        }
        vec![hindmost(old); count]
    }

    async fn checkpoints(&self, subscription: &Subscription<S::Tx>) -> Result<Vec<Checkpoint>, StoreError> {
        let mut checkpoints = Vec::new();
        for partition in subscription.partitions() {
            checkpoints.push(self.store.checkpoint_of(&partition).await?);
        }
        Ok(checkpoints)
    }

    /// The last event that can be read now.
    async fn end_of_log(&self) -> Result<Checkpoint, StoreError> {
        // Nothing is looked for that is there: what is answered is how far it was looked.
        let nothing = Filter { categories: vec![NO_CATEGORY.to_owned()], ..Filter::all() };
        let mut after = Checkpoint::from(self.store.head().await?);
        after.position.0 = after.position.0.saturating_sub(1);
        let page = self.store.read_all(ReadAll::after(after).filter(nothing).limit(1)).await?;
        Ok(page.checkpoint)
    }

    /// Swaps the versions if nothing is left that the old one has handled and the new one has not. A little that is left is
    /// handled in the same transaction; `None`, if it is too much for that.
    async fn try_to_swap(
        &self,
        token: Option<Token>,
        swap: &impl Swap<S::Tx>,
    ) -> Result<Option<Position>, RebuildError> {
        // Whoever holds a connection must not wait for another, so this is read before.
        let before = self.checkpoints(&self.new).await?;
        let read = ReadAll::after(hindmost(&before)).filter(self.new.filter()).limit(self.new.batch_events);
        let page = self.store.read_all(read).await?;
        let parked = self.store.parked(&self.new.name, 0).await?.streams;

        let mut tx = self.store.begin().await?;
        let targets = match &self.old {
            Some(old) => {
                let mut held = Vec::new();
                for partition in old.partitions() {
                    held.push(self.store.hold_checkpoint(&mut tx, &partition).await?);
                }
                self.targets_at(&held)
            }
            None => before.clone(),
        };
        let mut reached = Position(u64::MAX);
        for (partition, (before, target)) in self.new.partitions().zip(before.into_iter().zip(targets)) {
            let at = self.store.hold_checkpoint(&mut tx, &partition).await?;
            let is_in_page = target.position <= page.checkpoint.position;
            if at != before || target.position > at.position && !is_in_page {
                self.store.rollback(tx).await?;
                return Ok(None);
            }
            reached = reached.min(at.position.max(target.position));
            if target.position > at.position {
                let parked = |event: &RecordedEvent| parked.contains(&event.stream);
                let step = Advance::new(partition, at, target);
                tx = match self.finish(tx, step, &page, parked).await? {
                    Ok(tx) => tx,
                    Err(error) => {
                        // Whoever handles it with the policy of the subscription says what comes of it.
                        tracing::warn!(%error, subscription = %self.new.name, "the last events before the swap failed");
                        return Ok(None);
                    }
                };
            }
        }

        if let Err(error) = swap.swap(&mut tx).await {
            self.store.rollback(tx).await?;
            return Err(RebuildError::Swap(Box::new(error)));
        }
        // Also where nothing has happened yet it is not at the beginning.
        let place = reached.max(Position(1));
        let mut mark = Advance::new(Self::marker(&self.new), Checkpoint::START, place.into());
        mark.token = token;
        self.store.advance_in(&mut tx, mark).await?;
        if let Some(old) = &self.old {
            let marker = Self::marker(old);
            let at = self.store.hold_checkpoint(&mut tx, &marker).await?;
            if at != Checkpoint::START {
                self.store.advance_in(&mut tx, Advance::new(marker, at, Checkpoint::START)).await?;
            }
        }
        self.store.commit(tx).await?;
        Ok(Some(reached))
    }

    /// Handles in `tx` what `step` passes over, and makes the step.
    async fn finish(
        &self,
        tx: S::Tx,
        mut step: Advance,
        page: &Page,
        is_parked: impl Fn(&RecordedEvent) -> bool,
    ) -> Result<Result<S::Tx, HandlerError>, StoreError> {
        let mut cx = Context::under(tx, None, true);
        let between = step.from.position..step.to.position;
        let is_left = |event: &&RecordedEvent| {
            event.position > between.start
                && event.position <= between.end
                && step.partition.has(&event.stream)
        };
        let mut parked = Vec::new();
        for event in page.events.iter().filter(is_left) {
            if is_parked(event) {
                let event = EventFacts::from(event);
                parked.push(NewDeadLetter { event, holds_stream: true, attempts: 0, failure: None });
            } else if let Err(error) = self.new.dispatcher.dispatch(event, &mut cx).await {
                self.store.rollback(cx.into_tx()).await?;
                return Ok(Err(error));
            }
        }
        if let Err(error) = self.new.dispatcher.flush(&mut cx).await {
            self.store.rollback(cx.into_tx()).await?;
            return Ok(Err(error));
        }
        let mut tx = cx.into_tx();
        step.parked = parked;
        self.store.advance_in(&mut tx, step).await?;
        Ok(Ok(tx))
    }

    /// Whose lease says who builds, and whose checkpoint that the version was swapped in.
    fn marker(version: &Subscription<S::Tx>) -> Partition {
        Partition::whole(&format!("{}/rebuild", version.name))
    }
}

fn hindmost(checkpoints: &[Checkpoint]) -> Checkpoint {
    checkpoints.iter().min_by_key(|at| at.position).copied().unwrap_or_default()
}

/// Whether another node has gone on with the same work.
fn is_disturbed(error: &StoreError) -> bool {
    matches!(error.kind(), StoreErrorKind::CheckpointMoved { .. } | StoreErrorKind::LeaseLost)
}

const BEGUN_IN_PARALLEL: &str = "it was begun in parallel, and has to go on so: see `Rebuild::in_parallel`";

/// A category that no stream has: names are not empty.
const NO_CATEGORY: &str = "";

/// Runs all partitions of a subscription, each to its target.
async fn build<Cx: Send + 'static>(
    subscription: &Subscription<Cx>,
    key: Option<&Key>,
    targets: &[Checkpoint],
) -> Result<(), RebuildError> {
    let pages = subscription.pages(Until::CaughtUp);
    let pages = Arc::new(match key {
        Some(key) => pages.keyed(Arc::clone(key)),
        None => pages,
    });
    let (stop, told) = watch::channel(false);
    let mut runners = JoinSet::new();
    for (partition, target) in subscription.partitions().zip(targets) {
        let (subscription, pages, told) = (subscription.clone(), Arc::clone(&pages), told.clone());
        let target = *target;
        runners.spawn(async move {
            let runner = Runner::new(&subscription, partition, None, &pages).not_past(target);
            runner.run(Until::CaughtUp, told).await
        });
    }
    let mut outcome = Ok(());
    while let Some(ended) = runners.join_next().await {
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => Err(StoreError::because(StoreErrorKind::Other, REBUILD, error).into()),
        };
        if let Err(error) = ended
            && outcome.is_ok()
        {
            outcome = Err(error.into());
            // The others finish the event at hand, and commit.
            stop.send_replace(true);
        }
    }
    outcome
}

/// Why a projection could not be rebuilt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// A handler failed.
    #[error(transparent)]
    Handler(Box<HandlerError>),
    /// The store is ill; or, of kind [`CheckpointMoved`](StoreErrorKind::CheckpointMoved) or
    /// [`LeaseLost`](StoreErrorKind::LeaseLost), somebody runs the new version already.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Readers could not be led to the new rows.
    #[error("the new version of the projection could not be swapped in")]
    Swap(#[source] BoxError),
}

impl From<SubscriptionError> for RebuildError {
    fn from(error: SubscriptionError) -> Self {
        match error {
            SubscriptionError::Handler(error) => Self::Handler(error),
            SubscriptionError::Store(error) => Self::Store(error),
        }
    }
}

impl<S: Transactional> fmt::Debug for Rebuild<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rebuild").field("new", &self.new).field("old", &self.old).finish_non_exhaustive()
    }
}
