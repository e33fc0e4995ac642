//! Aggregates by id: load, decide, append.

use std::convert::Infallible;
use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use tokio::runtime::Handle as Runtime;
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::aggregate::{Aggregate, Events, Handle, Loaded};
use crate::cause::Cause;
use crate::checkpoint::Transactional;
use crate::codec::Encoding;
use crate::command::CommandId;
use crate::envelope::{Envelope, NewEvent, RecordedEvent};
use crate::error::{
    AppendError, Conflict, DecodeError, ExecuteError, Invalid, LoadError, StoreError, StoreErrorKind,
    StreamClosed,
};
use crate::metadata::{EventId, Metadata, metadata_methods};
use crate::name::InvalidName;
use crate::process::Choice;
use crate::retention::{Closing, TRUNCATED, is_reserved};
use crate::snapshot::{self, Found, PageFrom, ReadFrom, SnapshotPolicy};
use crate::store::{Append, Appended, EventStore, ReadStream, StreamPage, Uncommitted};
use crate::stream::{Expected, StreamId, Version};
use crate::tag::Tag;

/// How often a decision is tried when others append to the same stream meanwhile, unless told otherwise.
const ATTEMPTS: u32 = 3;

/// How often an append whose outcome is unknown is repeated to learn it.
const OUTCOME_QUESTIONS: u32 = 3;

/// The aggregates of one type, in a store.
///
/// ```
/// # use factum::{memory::MemoryStore, Aggregate, Apply, Event, Events, Handle, Repository, Version};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize, Clone, Debug)]
/// # #[event(name = "counter.raised")]
/// # struct Raised { by: u64 }
/// # #[derive(Aggregate, Default, Debug)]
/// # #[aggregate(category = "counter", id = String, event = Raised)]
/// # struct Counter { total: u64 }
/// # impl Apply<Raised> for Counter { fn apply(&mut self, event: Raised) { self.total += event.by; } }
/// # struct Raise { by: u64 }
/// # impl Handle<Raise> for Counter {
/// #     type Error = std::convert::Infallible;
/// #     fn handle(&self, command: &Raise) -> Result<Events<Raised>, Self::Error> {
/// #         Ok(Events::one(Raised { by: command.by }))
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counters = Repository::<Counter>::new(MemoryStore::new());
/// let id = "clicks".to_owned();
///
/// counters.execute(&id, Raise { by: 2 }).await?;
/// let counter = counters.execute(&id, Raise { by: 3 }).await?;
/// assert_eq!((counter.total, counter.version()), (5, Version(2)));
///
/// let before = counters.load_at(&id, Version(1)).await?;
/// assert_eq!(before.total, 2);
/// # Ok(())
/// # }
/// ```
pub struct Repository<A> {
    store: Arc<dyn EventStore>,
    page_events: usize,
    /// The states of hot aggregates, which its clones share.
    hot: Option<Arc<dyn Hot<A>>>,
    encoding: Encoding,
    aggregate: PhantomData<fn() -> A>,
}

/// Where the states of hot aggregates are kept.
pub(crate) trait Hot<A>: Send + Sync {
    /// What is kept of the stream. The first look of a command, or of a load, is counted.
    fn get(&self, stream: &StreamId, is_first_look: bool) -> Option<Loaded<A>>;

    /// Whether a command may be decided on it without looking at the log.
    fn is_trusted(&self, loaded: &Loaded<A>) -> bool;

    /// Keeps a state, unless there is a newer one.
    fn put(&self, stream: &StreamId, loaded: &Loaded<A>);

    /// Removes what has turned out wrong.
    fn remove(&self, stream: &StreamId);

    /// Removes what is to be forgotten, also what is about to be put.
    #[cfg(feature = "cache")]
    fn forget(&self, stream: &StreamId);

    /// Counts a state that was not that of the log any more.
    fn found_stale(&self);
}

impl<A: Aggregate> Repository<A> {
    /// The aggregates that `store` holds.
    ///
    /// If the aggregate declares [snapshots](crate::snapshot), they are kept in the same store. Where that keeps none, a
    /// line in the log of the program says so, and all events are folded.
    pub fn new(store: impl EventStore) -> Self {
        if A::SNAPSHOT.is_some() && store.snapshots().is_none() {
            snapshot::warn_of_none(A::CATEGORY);
        }
        Self {
            store: Arc::new(store),
            page_events: 2000,
            hot: None,
            encoding: Encoding::default(),
            aggregate: PhantomData,
        }
    }

    /// Keeps the states of its aggregates in memory, for this repository and its clones, as far as the cache allows.
    ///
    /// A command on an aggregate that is there is one round trip: the append proves that the stream has the version of the
    /// state; if it has moved on, only what came since is read. A rejection, or that there is nothing to do, is said by no
    /// state that was only remembered: it is asked of the log. Loading asks the log always, for what came since, and is as
    /// up to date as without a cache. What a transaction does is neither read from the cache nor kept in it.
    ///
    /// Counted by the crate `metrics`, by category: `factum_cache_hits_total` and `factum_cache_misses_total`, the commands
    /// and loads that found their aggregate there and that did not; `factum_cache_stale_total`, the states that were not
    /// those of the log any more when it was asked.
    ///
    /// What it costs: a copy of the state to take it out, and one to put it in. A store that keeps no snapshots, such as a vault,
    /// cannot say whether a state still stands, or must keep none in the clear; then there is no cache, and a line in the log of the
    /// program says so.
    ///
    /// ```
    /// # use factum::{memory::MemoryStore, Aggregate, Apply, Cache, Event, Repository};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Event, Serialize, Deserialize)]
    /// # #[event(name = "counter.raised")]
    /// # struct Raised;
    /// # #[derive(Aggregate, Default, Clone)]
    /// # #[aggregate(category = "counter", id = String, event = Raised)]
    /// # struct Counter { total: u64 }
    /// # impl Apply<Raised> for Counter { fn apply(&mut self, _: Raised) { self.total += 1; } }
    /// // At most ten thousand counters, and 16 MiB.
    /// let counters = Repository::<Counter>::new(MemoryStore::new()).cached(Cache::new(10_000, 16 << 20));
    /// ```
    #[cfg(feature = "cache")]
    pub fn cached(mut self, cache: crate::cache::Cache<A>) -> Self
    where
        A: Clone,
    {
        if self.store.snapshots().is_some() {
            self.hot = Some(Arc::new(crate::cache::States::new(cache)));
        } else {
            let category = A::CATEGORY;
            tracing::warn!(
                category,
                "there is no cache: the store keeps no states, as none does that is read through a vault"
            );
        }
        self
    }

    /// Removes an aggregate from the cache, and from those of the clones, for instance because what is known of a person is to
    /// be forgotten. What commands and loads have read that are under way is not kept either. It is read again when
    /// somebody wants it.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] if the id is not one a stream can have.
    #[cfg(feature = "cache")]
    pub fn forget(&self, id: &A::Id) -> Result<(), InvalidName> {
        let stream = Self::stream(id)?;
        if let Some(hot) = &self.hot {
            hot.forget(&stream);
        }
        Ok(())
    }

    /// The same aggregates, always from the store.
    pub(crate) fn uncached(&self) -> Self {
        Self { hot: None, ..self.clone() }
    }

    /// How many events are read at once while loading; at least 1, and 2,000 unless told otherwise.
    ///
    /// The next page is read while one is folded, so two of them are in memory at a time. In a transaction, which has one connection,
    /// they are read one after the other.
    pub fn page_events(mut self, events: usize) -> Self {
        self.page_events = events.max(1);
        self
    }

    /// How new events are written: as JSON unless told otherwise. Those that were written in another way are read all the same.
    pub fn codec(mut self, codec: impl Into<Encoding>) -> Self {
        self.encoding = codec.into();
        self
    }

    /// The aggregate as it is now.
    ///
    /// # Errors
    ///
    /// [`LoadError::NotFound`] if nothing ever happened to it; the others if it cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Loading changes nothing.
    pub async fn load(&self, id: &A::Id) -> Result<Loaded<A>, LoadError> {
        let stream = Self::stream(id)?;
        match self.load_stream(&stream).await? {
            loaded if loaded.version() == Version::NONE => Err(LoadError::NotFound { stream }),
            loaded => Ok(loaded),
        }
    }

    /// The aggregate as it is now, or `None` if nothing ever happened to it.
    ///
    /// # Errors
    ///
    /// [`LoadError`] if it cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Loading changes nothing.
    pub async fn find(&self, id: &A::Id) -> Result<Option<Loaded<A>>, LoadError> {
        match self.load(id).await {
            Ok(loaded) => Ok(Some(loaded)),
            Err(LoadError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The aggregate as it was right after the event with `version`.
    ///
    /// # Errors
    ///
    /// [`LoadError::NotFound`] if nothing ever happened to it, [`LoadError::NoSuchVersion`] if it has not come that
    /// far or the version is 0; the others if it cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Loading changes nothing.
    pub async fn load_at(&self, id: &A::Id, version: Version) -> Result<Loaded<A>, LoadError> {
        let stream = Self::stream(id)?;
        let then = Beginning::up_to(version);
        let loaded = self.fold(&mut self.in_store(), &stream, then, |next| next.version <= version).await?;
        match loaded.version() {
            reached if reached == version && version != Version::NONE => Ok(loaded),
            Version::NONE if version != Version::NONE => Err(LoadError::NotFound { stream }),
            _ => {
                match self.fold(&mut self.in_store(), &stream, Beginning::now(), |_| true).await?.version() {
                    Version::NONE => Err(LoadError::NotFound { stream }),
                    last => Err(LoadError::NoSuchVersion { stream, asked: version, last }),
                }
            }
        }
    }

    /// What has happened to the aggregate after `version`, up to `limit` events; fewer only at the end.
    ///
    /// An old event that was [split](Envelope::decode_all) into several comes as its parts, all of the same version, and one that
    /// was dropped does not come. The parts of the last one come all together, also where they are more than `limit` then.
    ///
    /// # Errors
    ///
    /// [`LoadError`] if it cannot be read. One to which nothing has happened has no events.
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    pub async fn events(
        &self,
        id: &A::Id,
        after: Version,
        limit: usize,
    ) -> Result<Vec<Envelope<A::Event>>, LoadError> {
        let stream = Self::stream(id)?;
        let mut events = Vec::new();
        let mut after = after;
        while events.len() < limit {
            let read = ReadStream::new(stream.clone()).after(after).limit(limit - events.len());
            let page = self.store.read_stream(read).await?;
            for recorded in &page.events {
                if events.len() >= limit {
                    return Ok(events);
                }
                after = recorded.version;
                if !is_reserved(recorded.name.as_str()) {
                    events.extend(Envelope::decode_all(recorded)?);
                }
            }
            if page.end || page.events.is_empty() {
                break;
            }
        }
        Ok(events)
    }

    /// Decides `command` on the aggregate with this `id`, and records what it leads to.
    ///
    /// The answer is to be awaited; before that it can be told more: see [`Execute`].
    pub fn execute<C>(&self, id: &A::Id, command: C) -> Execute<'_, A, C>
    where
        A: Handle<C>,
    {
        self.on_stream(Self::stream(id), command)
    }

    /// Whatever the aggregate can be given on its stream.
    pub(crate) fn on_stream<C>(
        &self,
        stream: Result<StreamId, InvalidName>,
        command: C,
    ) -> Execute<'_, A, C> {
        Execute {
            repository: self,
            stream,
            command,
            command_id: None,
            metadata: Metadata::default(),
            attempts: ATTEMPTS,
            start: Start::Load,
        }
    }

    /// The stream of the aggregate with this id.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] if the id is not one a stream can have.
    pub fn stream(id: &A::Id) -> Result<StreamId, InvalidName> {
        StreamId::new(A::CATEGORY, &id.to_string())
    }

    fn in_store(&self) -> InStore {
        InStore::new(&self.store)
    }

    /// The state of a stream as it is now.
    pub(crate) async fn load_stream(&self, stream: &StreamId) -> Result<Loaded<A>, LoadError> {
        let known = self.hot.as_ref().and_then(|hot| hot.get(stream, true));
        let from = Beginning { known, ..Beginning::now() };
        let loaded = self.fold(&mut self.in_store(), stream, from, |_| true).await?;
        if let Some(hot) = &self.hot {
            hot.put(stream, &loaded);
        }
        Ok(loaded)
    }

    pub(crate) fn store(&self) -> &Arc<dyn EventStore> {
        &self.store
    }

    /// Whether states can be kept anywhere, and are.
    fn snapshots(&self) -> Option<&'static SnapshotPolicy<A>> {
        let policy = A::SNAPSHOT?;
        self.store.snapshots().map(|_| policy)
    }

    /// Has a snapshot taken of the aggregate that was just appended to, if it is time.
    fn remember(&self, log: &impl Log, stream: &StreamId, loaded: &mut Loaded<A>) {
        let is_due = self.snapshots().is_some_and(|policy| policy.is_due(loaded));
        if is_due && snapshot::take(self, stream, log.is_committed()) {
            loaded.origin_mut().snapshot = loaded.version();
        }
    }

    /// Folds the events of the stream for as long as `goes_on` says so of the next one.
    async fn fold(
        &self,
        log: &mut impl Log,
        stream: &StreamId,
        from: Beginning<A>,
        mut goes_on: impl FnMut(&RecordedEvent) -> bool + Send,
    ) -> Result<Loaded<A>, Unreadable> {
        let (asked_at, up_to) = (Instant::now(), from.up_to);
        let page_after = |version| ReadStream::new(stream.clone()).after(version).limit(self.page_events);
        let (mut loaded, mut first_page) = self.begin(log, stream, from).await?;
        loaded.origin_mut().asked_at = Some(asked_at);
        let mut closing = None;
        loop {
            let page = if let Some(page) = first_page.take() {
                page
            } else {
                log.read_stream(page_after(loaded.version())).await?
            };
            if let Some(last) = page.events.last()
                && !page.end
                && last.version < up_to
            {
                log.read_ahead(page_after(last.version));
            }
            if page.events.is_empty() && !page.end {
                return Err(Unreadable::hole(stream, loaded.version()));
            }
            for recorded in &page.events {
                if !goes_on(recorded) {
                    return Ok(loaded);
                }
                let name = recorded.name.as_str();
                // Where a stream was truncated, or closed, nothing before is left.
                let begins = name == TRUNCATED || Closing::of_event(name).is_some();
                if loaded.version().next() != Some(recorded.version)
                    && !(begins && loaded.version() == Version::NONE)
                {
                    return Err(Unreadable::hole(stream, loaded.version()));
                }
                closing = Closing::of_event(name);
                let origin = loaded.origin_mut();
                origin.event_id = Some(recorded.id);
                origin.bytes += recorded.payload.len();
                if name == TRUNCATED {
                    origin.begins = recorded.version;
                }
                if is_reserved(name) {
                    loaded.pass(recorded.version, recorded.position);
                    continue;
                }
                loaded.take(recorded)?;
            }
            if page.end {
                return match closing {
                    Some(closing) => {
                        Err(Unreadable::Closed(StreamClosed { stream: stream.clone(), closing }))
                    }
                    None => Ok(loaded),
                };
            }
        }
    }
}

impl<A: Aggregate> Repository<A> {
    /// The state from which folding begins, and the page that comes after it, if that was read already.
    async fn begin(
        &self,
        log: &mut impl Log,
        stream: &StreamId,
        from: Beginning<A>,
    ) -> Result<(Loaded<A>, Option<StreamPage>), StoreError> {
        let footing = from.known.as_ref().and_then(Loaded::footing);
        let start = match (footing, self.snapshots()) {
            (Some(footing), _) => snapshot::Start::Footing(footing),
            (None, Some(policy)) => snapshot::Start::Snapshot { shape: policy.shape(), up_to: from.up_to },
            (None, None) => return Ok((Loaded::new(), None)),
        };
        let read = ReadFrom::new(stream.clone(), start).unless(from.unless).limit(self.page_events);
        let PageFrom { found, page } = log.read_from(read).await?;
        match (found, from.known) {
            (Found::Footing, Some(known)) => {
                if !page.events.is_empty() {
                    self.found_stale();
                }
                Ok((known, Some(page)))
            }
            (Found::Fallen(version), Some(_)) => {
                tracing::warn!(%stream, %version, "a cached state is passed over: the log does not have what it stands on");
                self.found_stale();
                if let Some(hot) = &self.hot {
                    hot.remove(stream);
                }
                Ok((Loaded::new(), Some(page)))
            }
            (Found::Fallen(version), None) => {
                tracing::warn!(%stream, %version, "a snapshot is passed over: the log does not have what it stands on");
                Ok((Loaded::new(), Some(page)))
            }
            (Found::Snapshot(snapshot), None) => {
                match self.snapshots().map(|policy| policy.state_of(&snapshot)) {
                    Some(Ok(state)) => Ok((Loaded::of_snapshot(state, &snapshot), Some(page))),
                    Some(Err(error)) => {
                        let version = snapshot.footing.version;
                        tracing::warn!(error, %stream, %version, "a snapshot is passed over: it cannot be read");
                        Ok((Loaded::new(), None))
                    }
                    None => Ok((Loaded::new(), None)),
                }
            }
            (Found::Nothing, _) => Ok((Loaded::new(), Some(page))),
            // An answer to another question.
            (Found::Footing, None) | (Found::Snapshot(_), Some(_)) => Ok((Loaded::new(), None)),
        }
    }

    fn found_stale(&self) {
        if let Some(hot) = &self.hot {
            hot.found_stale();
        }
    }

    /// The cache, where what is done is committed at once.
    fn hot_in(&self, log: &impl Log) -> Option<&dyn Hot<A>> {
        self.hot.as_deref().filter(|_| log.is_committed())
    }
}

/// From where on a stream is folded: from a state that is known, or from a snapshot, if there is one that will do.
struct Beginning<A> {
    known: Option<Loaded<A>>,
    /// A snapshot is no newer than this.
    up_to: Version,
    /// Neither has this event.
    unless: Option<EventId>,
}

impl<A> Beginning<A> {
    /// The last snapshot.
    const fn now() -> Self {
        Self::up_to(Version::END)
    }

    const fn up_to(version: Version) -> Self {
        Self { known: None, up_to: version, unless: None }
    }
}

impl<A> Clone for Repository<A> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            page_events: self.page_events,
            hot: self.hot.clone(),
            encoding: self.encoding,
            aggregate: PhantomData,
        }
    }
}

impl<A: Aggregate> fmt::Debug for Repository<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository").field("category", &A::CATEGORY).finish_non_exhaustive()
    }
}

/// Why a stream could not be folded.
enum Unreadable {
    Closed(StreamClosed),
    Decode(DecodeError),
    Store(StoreError),
}

impl Unreadable {
    fn hole(stream: &StreamId, after: Version) -> Self {
        let text = format!("{stream} does not go on with the version that follows {after}");
        Self::Store(StoreError::because(StoreErrorKind::Corrupt, "read stream", text))
    }
}

impl From<DecodeError> for Unreadable {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<StoreError> for Unreadable {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Unreadable> for LoadError {
    fn from(error: Unreadable) -> Self {
        match error {
            Unreadable::Closed(error) => Self::Closed(error),
            Unreadable::Decode(error) => Self::Decode(error),
            Unreadable::Store(error) => Self::Store(error),
        }
    }
}

impl<E> From<Unreadable> for ExecuteError<E> {
    fn from(error: Unreadable) -> Self {
        match error {
            Unreadable::Closed(error) => Self::Closed(error),
            Unreadable::Decode(error) => Self::Decode(error),
            Unreadable::Store(error) => Self::Store(error),
        }
    }
}

impl<E> From<AppendError> for ExecuteError<E> {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict(error) => Self::Conflict(error),
            AppendError::Overtaken(error) => Self::Overtaken(error),
            AppendError::IdReused(error) => Self::IdReused(error),
            AppendError::Closed(error) => Self::Closed(error),
            AppendError::Invalid(error) => Self::Invalid(error),
            AppendError::Store(error) => Self::Store(error),
        }
    }
}

/// A command about to be executed: await it, or first say more about it.
///
/// Awaiting it loads the aggregate, lets it decide, and appends the events on the condition that nobody else has
/// appended meanwhile. If somebody has, the aggregate is loaded and decides again. The answer is the aggregate
/// after the events; where there were none, nothing was written.
///
/// # Errors
///
/// [`ExecuteError`]. Whether the domain said no is told by the aggregate as it is in the store: a rejection by a
/// state that was only assumed ([`assume_new`](Execute::assume_new), [`starting_from`](Execute::starting_from)) is
/// decided again after loading.
///
/// # Cancel safety
///
/// Dropping the future means *outcome unknown*, never *not done*. With a [`command_id`](Execute::command_id) the
/// command can be executed again and takes effect once.
#[must_use = "a command is executed when it is awaited"]
pub struct Execute<'a, A: Aggregate, C> {
    repository: &'a Repository<A>,
    stream: Result<StreamId, InvalidName>,
    command: C,
    command_id: Option<CommandId>,
    metadata: Metadata,
    attempts: u32,
    start: Start<A>,
}

/// What the first decision is made on.
enum Start<A> {
    /// The state in the store.
    Load,
    /// The state in the store, if it still has this version.
    Expect(Version),
    /// This state, without looking; the append will tell whether it is the one in the store.
    Assume(Loaded<A>),
}

impl<A: Aggregate, C> Execute<'_, A, C> {
    /// Only if the aggregate is at the version the caller saw (HTTP's `If-Match`); 0 means it does not exist. It is
    /// decided once: somebody else's append in between is a [`Conflict`].
    pub fn expecting(mut self, version: Version) -> Self {
        self.start = Start::Expect(version);
        self
    }

    /// Assumes that the aggregate does not exist yet, which saves loading it. If it does, it is loaded after all:
    /// the outcome is the same, only the cost differs.
    pub fn assume_new(self) -> Self {
        self.starting_from(Loaded::new())
    }

    /// Assumes that the aggregate is still as `loaded`, which saves loading it. If it is not, it is loaded after
    /// all: the outcome is the same, only the cost differs.
    pub fn starting_from(mut self, loaded: Loaded<A>) -> Self {
        self.start = Start::Assume(loaded);
        self
    }

    /// Names the command, so that executing it again has no further effect and answers with the aggregate as it was
    /// right after the command; if its events were truncated since, with the aggregate as it is.
    pub fn command_id(mut self, id: CommandId) -> Self {
        self.command_id = Some(id.of(self.repository.store.tenant()));
        self
    }

    /// How often it is decided at most when others append meanwhile; at least once, and 3 times unless told
    /// otherwise.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    metadata_methods!();
}

impl<A, C> Execute<'_, A, C>
where
    A: Handle<C>,
{
    /// Executes the command as part of `tx`, a transaction of the same store: what it leads to is recorded together with
    /// everything else in the transaction, when that commits, or not at all.
    ///
    /// The state is loaded as the transaction sees it. After a rejection or a conflict the transaction is as it was before,
    /// and can go on; after an error of the store it can only be rolled back.
    ///
    /// # Errors
    ///
    /// [`ExecuteError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the events are part of `tx`: roll it back.
    pub async fn within<S>(
        self,
        store: &S,
        tx: &mut S::Tx,
    ) -> Result<Uncommitted<Loaded<A>>, ExecuteError<A::Error>>
    where
        S: EventStore + Transactional,
    {
        self.run(&mut InTransaction { store, tx }, A::handle).await.map(Uncommitted::new)
    }
}

impl<A: Aggregate> Execute<'_, A, Choice<A>> {
    /// As [`within`](Execute::within), where the aggregate is a process and decides by itself. It is no command, or every
    /// aggregate would be offered it as one.
    pub(crate) async fn decided_within<S>(
        self,
        store: &S,
        tx: &mut S::Tx,
    ) -> Result<(), ExecuteError<Infallible>>
    where
        S: EventStore + Transactional,
    {
        let decide = |state: &A, choice: &Choice<A>| Ok(choice.on(state));
        self.run(&mut InTransaction { store, tx }, decide).await.map(drop)
    }
}

impl<A: Aggregate, C> Execute<'_, A, C> {
    async fn run<E>(
        mut self,
        log: &mut impl Log,
        handle: impl Fn(&A, &C) -> Result<Events<A::Event>, E> + Sync,
    ) -> Result<Loaded<A>, ExecuteError<E>> {
        Cause::complete(&mut self.metadata);
        let stream = self.stream.clone().map_err(Invalid::Name)?;
        let start = std::mem::replace(&mut self.start, Start::Load);
        let mut attempts_left = self.attempts;
        // What somebody has brought along may be of another store.
        let mut is_ours = true;
        let mut assumed = match start {
            Start::Load => {
                let hot = self.repository.hot_in(log);
                hot.and_then(|hot| hot.get(&stream, true).filter(|known| hot.is_trusted(known)))
            }
            Start::Assume(mut loaded) => {
                is_ours = loaded.version() == Version::NONE;
                loaded.origin_mut().asked_at = is_ours.then(Instant::now);
                Some(loaded)
            }
            Start::Expect(version) => return self.decide_at(log, &stream, version, &handle).await,
        };
        let mut was_executed = false;
        loop {
            let was_assumed = assumed.is_some();
            let outcome = match assumed.take() {
                Some(loaded) => self.decide(log, &stream, loaded, &handle).await,
                None => match self.load(log, &stream, false).await? {
                    Known::Executed(loaded) => return Ok(loaded),
                    // Its events were erased: what the stream has left is all there is to answer with.
                    Known::State(loaded) if was_executed => return Ok(loaded),
                    Known::State(loaded) => {
                        attempts_left -= 1;
                        is_ours = true;
                        self.decide(log, &stream, loaded, &handle).await
                    }
                },
            };
            match outcome {
                // What an assumed state says without an append to prove it has to be asked of the real one.
                Ok(Decided::Nothing(_)) | Err(ExecuteError::Rejected(_)) if was_assumed => {}
                Ok(Decided::ExecutedElsewhere) => was_executed = true,
                Err(ExecuteError::Conflict(_)) if was_assumed || attempts_left > 0 => {}
                Ok(Decided::Nothing(loaded)) => return Ok(loaded),
                Ok(Decided::Recorded(loaded)) => {
                    self.repository.hot_in(log).filter(|_| is_ours).inspect(|hot| hot.put(&stream, &loaded));
                    return Ok(loaded);
                }
                Err(error) => {
                    if matches!(error, ExecuteError::Closed(_)) {
                        self.repository.hot_in(log).inspect(|hot| hot.remove(&stream));
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Decides once, on the state the caller saw.
    async fn decide_at<E>(
        &self,
        log: &mut impl Log,
        stream: &StreamId,
        version: Version,
        handle: &(impl Fn(&A, &C) -> Result<Events<A::Event>, E> + Sync),
    ) -> Result<Loaded<A>, ExecuteError<E>> {
        match self.load(log, stream, true).await? {
            Known::Executed(loaded) => Ok(loaded),
            Known::State(loaded) if loaded.version() == version => {
                match self.decide(log, stream, loaded, handle).await? {
                    Decided::Nothing(loaded) => Ok(loaded),
                    Decided::Recorded(loaded) => {
                        self.repository.hot_in(log).inspect(|hot| hot.put(stream, &loaded));
                        Ok(loaded)
                    }
                    Decided::ExecutedElsewhere => match self.load(log, stream, false).await? {
                        Known::Executed(loaded) | Known::State(loaded) => Ok(loaded),
                    },
                }
            }
            Known::State(loaded) => {
                let actual = (loaded.version() != Version::NONE).then_some(loaded.version());
                Err(Conflict { stream: stream.clone(), expected: Expected::Exactly(version), actual }.into())
            }
        }
    }

    /// The state in the store, or the one right after this very command if it was executed before.
    async fn load(
        &self,
        log: &mut impl Log,
        stream: &StreamId,
        is_first_look: bool,
    ) -> Result<Known<A>, Unreadable> {
        let hot = self.repository.hot_in(log);
        let known = hot.and_then(|hot| hot.get(stream, is_first_look));
        let Some(command_id) = self.command_id else {
            let from = Beginning { known, ..Beginning::now() };
            let loaded = self.repository.fold(log, stream, from, |_| true).await?;
            hot.inspect(|hot| hot.put(stream, &loaded));
            return Ok(Known::State(loaded));
        };
        // A state that has the command's events would hide that it was executed.
        let unless = Some(command_id.event_id(stream, 0));
        let from = Beginning { known, unless, ..Beginning::now() };
        let mut of_command = 0;
        let loaded = self
            .repository
            .fold(log, stream, from, |next| {
                let is_of_command = next.id == command_id.event_id(stream, of_command);
                of_command += usize::from(is_of_command);
                is_of_command || of_command == 0
            })
            .await?;
        if of_command > 0 {
            return Ok(Known::Executed(loaded));
        }
        hot.inspect(|hot| hot.put(stream, &loaded));
        Ok(Known::State(loaded))
    }

    async fn decide<E>(
        &self,
        log: &mut impl Log,
        stream: &StreamId,
        mut loaded: Loaded<A>,
        handle: &(impl Fn(&A, &C) -> Result<Events<A::Event>, E> + Sync),
    ) -> Result<Decided<A>, ExecuteError<E>> {
        let events = handle(&loaded, &self.command).map_err(ExecuteError::Rejected)?;
        if events.is_empty() {
            return Ok(Decided::Nothing(loaded));
        }
        let expected = match loaded.version() {
            Version::NONE => Expected::NoStream,
            version => Expected::Exactly(version),
        };
        let new = self.encode(stream, &events)?;
        let last = new.last().map(|event| event.id);
        let bytes: usize = new.iter().map(|event| event.payload.len()).sum();
        let appended = log.append(Append::to(stream.clone(), expected, new)).await?;
        if loaded.version().forward(events.len()) != Some(appended.version()) {
            // The ids were recorded before, on another state than the one decided on here.
            return Ok(Decided::ExecutedElsewhere);
        }
        for event in events {
            loaded.apply(event, appended.version(), appended.position);
        }
        loaded.origin_mut().event_id = last;
        loaded.origin_mut().bytes += bytes;
        self.repository.remember(log, stream, &mut loaded);
        Ok(Decided::Recorded(loaded))
    }

    fn encode(&self, stream: &StreamId, events: &Events<A::Event>) -> Result<Vec<NewEvent>, Invalid> {
        let encode = |(index, event)| {
            let mut new = NewEvent::encode(event, self.repository.encoding, self.metadata.clone())?;
            if let Some(command_id) = self.command_id {
                new.id = command_id.event_id(stream, index);
            }
            Ok(new)
        };
        events.iter().enumerate().map(encode).collect()
    }
}

/// Where a command is decided: in the store, or in a transaction of it.
pub(crate) trait Log: Send {
    fn read_stream(
        &mut self,
        read: ReadStream,
    ) -> impl Future<Output = Result<StreamPage, StoreError>> + Send;

    /// Begins to read what [`read_stream`](Log::read_stream) will be asked for next, where that can be done beside other work.
    fn read_ahead(&mut self, _: ReadStream) {}

    fn read_from(&mut self, read: ReadFrom) -> impl Future<Output = Result<PageFrom, StoreError>> + Send;

    fn append(&mut self, append: Append) -> impl Future<Output = Result<Appended, AppendError>> + Send;

    /// Whether what was appended is committed.
    fn is_committed(&self) -> bool;
}

pub(crate) struct InStore {
    store: Arc<dyn EventStore>,
    /// The page that is read while the one before it is folded. Dropped, it is read to its end all the same, because a store may
    /// have to close a connection that stands in the middle of an answer.
    ahead: Option<(ReadStream, JoinHandle<Result<StreamPage, StoreError>>)>,
}

impl InStore {
    pub(crate) fn new(store: &Arc<dyn EventStore>) -> Self {
        Self { store: Arc::clone(store), ahead: None }
    }
}

impl Log for InStore {
    async fn read_stream(&mut self, read: ReadStream) -> Result<StreamPage, StoreError> {
        match self.ahead.take() {
            Some((ahead, reading)) if ahead == read => match reading.await {
                Ok(page) => page,
                Err(error) => Err(StoreError::because(StoreErrorKind::Other, "read", error)),
            },
            _ => self.store.read_stream(read).await,
        }
    }

    fn read_ahead(&mut self, read: ReadStream) {
        // Where there is no runtime to do it, it is read when its turn comes.
        let Ok(runtime) = Runtime::try_current() else { return };
        let (store, what) = (Arc::clone(&self.store), read.clone());
        let reading = async move { store.read_stream(what).await };
        self.ahead = Some((read, runtime.spawn(reading.in_current_span())));
    }

    async fn read_from(&mut self, read: ReadFrom) -> Result<PageFrom, StoreError> {
        if let Some(snapshots) = self.store.snapshots() {
            return snapshots.read_from(read).await;
        }
        let page = self.store.read_stream(read.from_the_beginning()).await?;
        Ok(PageFrom { found: Found::Nothing, page })
    }

    fn is_committed(&self) -> bool {
        true
    }

    /// Repeats the very same append as long as its outcome is unknown.
    async fn append(&mut self, append: Append) -> Result<Appended, AppendError> {
        for _ in 0..OUTCOME_QUESTIONS {
            match self.store.append(append.clone()).await {
                Err(AppendError::Store(error)) if *error.kind() == StoreErrorKind::OutcomeUnknown => {
                    tracing::warn!(%error, "asking again for the outcome of an append");
                }
                outcome => return outcome,
            }
        }
        self.store.append(append).await
    }
}

struct InTransaction<'t, S: Transactional> {
    store: &'t S,
    tx: &'t mut S::Tx,
}

impl<S: EventStore + Transactional> Log for InTransaction<'_, S> {
    async fn read_stream(&mut self, read: ReadStream) -> Result<StreamPage, StoreError> {
        self.store.read_stream_in(self.tx, read).await
    }

    async fn read_from(&mut self, read: ReadFrom) -> Result<PageFrom, StoreError> {
        self.store.read_from_in(self.tx, read).await
    }

    fn is_committed(&self) -> bool {
        false
    }

    async fn append(&mut self, append: Append) -> Result<Appended, AppendError> {
        self.store.append_in(self.tx, append).await.map(Uncommitted::committed)
    }
}

/// What loading for a command finds.
enum Known<A> {
    /// The state to decide on.
    State(Loaded<A>),
    /// The command's own events, and the state right after them.
    Executed(Loaded<A>),
}

/// What a decision came to.
enum Decided<A> {
    /// No events; the state decided on.
    Nothing(Loaded<A>),
    /// Events, which are recorded; the state after them.
    Recorded(Loaded<A>),
    /// The command was executed before, at another version than the one decided on.
    ExecutedElsewhere,
}

impl<'a, A, C> IntoFuture for Execute<'a, A, C>
where
    A: Handle<C>,
    A::Error: Send,
    C: Send + Sync + 'a,
{
    type Output = Result<Loaded<A>, ExecuteError<A::Error>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let mut store = self.repository.in_store();
            self.run(&mut store, A::handle).await
        })
    }
}

impl<A: Aggregate, C> fmt::Debug for Execute<'_, A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execute")
            .field("category", &A::CATEGORY)
            .field("command_id", &self.command_id)
            .field("metadata", &self.metadata)
            .finish_non_exhaustive()
    }
}
