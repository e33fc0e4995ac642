//! The storage edge: what a store is asked, and what it answers. Bytes in, bytes out.

pub mod bookkeeping;
mod claims;
mod condition;
pub mod group;
mod recent;
pub mod retry;
pub mod tail;
pub mod verdict;
mod wake;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

pub use self::claims::Claims;
pub use self::condition::{Condition, Matches, ReadMatching};
pub use self::recent::Recent;
pub use self::wake::Wake;
use crate::aggregate::Loaded;
use crate::checkpoint::Checkpoint;
use crate::codec::Sealing;
use crate::envelope::{NewEvent, RecordedEvent};
use crate::error::{AppendError, Invalid, StoreError};
use crate::event::EventName;
use crate::metadata::EventId;
use crate::name;
use crate::retention::is_reserved;
use crate::snapshot::Snapshots;
use crate::stream::{Expected, Position, StreamId, Version};
use crate::tenant::TenantId;

/// Where events are kept.
///
/// The laws a store keeps are the named tests of `factum-conformance`; in short: an append happens whole or not at
/// all, of racing appends that expect one version exactly one wins, an append repeated with the same event ids
/// answers as the first did, positions grow in the order of cause, and a reader that has passed a position has seen
/// everything at or below it that there is or ever will be.
///
/// Stores are handles: cloning one is cheap, and every clone is the same store.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// Records the events of `append`, all or none.
    ///
    /// # Errors
    ///
    /// [`AppendError`]: a conflict, ids that another append has used, invalid input, or an ill store. Only
    /// [`OutcomeUnknown`](crate::StoreErrorKind::OutcomeUnknown) leaves open whether the append happened.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown: the append happens whole or not at all, and repeating it with
    /// the same ids tells.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>;

    /// The events of one stream, from a version on and in either direction, up to a limit.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill. A stream that does not exist is an empty page.
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError>;

    /// The events of all streams after a position, in order, up to a limit, that pass a filter.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; of kind [`ForeignCheckpoint`](crate::StoreErrorKind::ForeignCheckpoint) if the reader comes with a
    /// [`Checkpoint`] that was made from another log.
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    async fn read_all(&self, read: ReadAll) -> Result<Page, StoreError>;

    /// The events that match a query, over all streams, in the order of their positions, up to a limit.
    ///
    /// It has what is recorded when it is asked, and says up to where that is all there will ever be. Events of archived
    /// streams are among them, deleted ones are not.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill.
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    async fn read_matching(&self, read: ReadMatching) -> Result<Matches, StoreError>;

    /// The event with this id, whichever stream it is in.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill.
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    async fn find_event(&self, id: EventId) -> Result<Option<RecordedEvent>, StoreError>;

    /// The streams of one category, in the order of their ids, up to a limit.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill. A category without streams is an empty page.
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    async fn read_category(&self, read: ReadCategory) -> Result<CategoryPage, StoreError>;

    /// The position of the last event that is recorded; [`Position::START`] if there is none. The feed may lag behind it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill.
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    async fn head(&self) -> Result<Position, StoreError>;

    /// Returns when there may be an event after `position`, at once if there is one now.
    ///
    /// It may return early and in vain: it is a hint, and reading decides.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill.
    ///
    /// # Cancel safety
    ///
    /// Waiting changes nothing.
    async fn wait(&self, after: Position) -> Result<(), StoreError>;

    /// Where the store keeps snapshots; `None` if it keeps none. Then aggregates are loaded by all of their events.
    fn snapshots(&self) -> Option<&dyn Snapshots>;

    /// Whose events the store has, if it is that of one [tenant](crate::tenant); where tenants have tenants, after the names of those
    /// that it is one of, and a tilde after each.
    fn tenant(&self) -> Option<&TenantId> {
        None
    }
}

/// A shared store is a store.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: EventStore + ?Sized> EventStore for Arc<S> {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        (**self).append(append).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        (**self).read_stream(read).await
    }

    async fn read_all(&self, read: ReadAll) -> Result<Page, StoreError> {
        (**self).read_all(read).await
    }

    async fn read_matching(&self, read: ReadMatching) -> Result<Matches, StoreError> {
        (**self).read_matching(read).await
    }

    async fn find_event(&self, id: EventId) -> Result<Option<RecordedEvent>, StoreError> {
        (**self).find_event(id).await
    }

    async fn read_category(&self, read: ReadCategory) -> Result<CategoryPage, StoreError> {
        (**self).read_category(read).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        (**self).head().await
    }

    async fn wait(&self, after: Position) -> Result<(), StoreError> {
        (**self).wait(after).await
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        (**self).snapshots()
    }

    fn tenant(&self) -> Option<&TenantId> {
        (**self).tenant()
    }
}

/// Events to be recorded together: for one stream, or atomically for several.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an append happens when a store is given it"]
pub struct Append {
    streams: Vec<StreamAppend>,
    condition: Option<Condition>,
}

/// The part of an append that goes to one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamAppend {
    /// Which stream.
    pub stream: StreamId,
    /// What it must be like.
    pub expected: Expected,
    /// What is to be recorded, in order; at least one event.
    pub events: Vec<NewEvent>,
}

impl Append {
    /// `events` for `stream`, if it is as `expected`.
    pub fn to(stream: StreamId, expected: Expected, events: Vec<NewEvent>) -> Self {
        Self { streams: vec![StreamAppend { stream, expected, events }], condition: None }
    }

    /// No events, which no store takes.
    pub(crate) const fn nothing() -> Self {
        Self { streams: Vec::new(), condition: None }
    }

    /// And, in the same append, `events` for another `stream`.
    pub fn and(mut self, stream: StreamId, expected: Expected, events: Vec<NewEvent>) -> Self {
        self.streams.push(StreamAppend { stream, expected, events });
        self
    }

    /// Only if `condition` holds, too.
    pub fn only_if(mut self, mut condition: Condition) -> Self {
        condition.seen.sort_unstable();
        self.condition = Some(condition);
        self
    }

    /// The same with other events, or the first error.
    #[cfg(feature = "privacy")]
    pub(crate) fn try_map(
        mut self,
        mut change: impl FnMut(&StreamId, &mut NewEvent) -> Result<(), Invalid>,
    ) -> Result<Self, Invalid> {
        for StreamAppend { stream, events, .. } in &mut self.streams {
            events.iter_mut().try_for_each(|event| change(stream, event))?;
        }
        Ok(self)
    }

    /// What it demands of the whole log.
    pub const fn condition(&self) -> Option<&Condition> {
        self.condition.as_ref()
    }

    /// Its parts, in the order in which their events get positions.
    pub fn streams(&self) -> &[StreamAppend] {
        &self.streams
    }

    /// Its parts, by value.
    pub fn into_streams(self) -> Vec<StreamAppend> {
        self.streams
    }

    /// All its events, in the order in which they get positions.
    pub fn events(&self) -> impl Iterator<Item = &NewEvent> {
        self.streams.iter().flat_map(|part| &part.events)
    }

    /// Refuses input that no store accepts. Stores call it before they write anything.
    ///
    /// # Errors
    ///
    /// [`Invalid`], for the first fault found.
    pub fn check(&self, limits: &Limits) -> Result<(), Invalid> {
        if self.streams.is_empty() || self.streams.iter().any(|part| part.events.is_empty()) {
            return Err(Invalid::NoEvents);
        }
        let events = self.events().count();
        if events > limits.append_events_max {
            return Err(Invalid::TooManyEvents { events, events_max: limits.append_events_max });
        }
        // Most appends are of one event, to one stream then.
        if events > 1 {
            self.check_uniqueness(events)?;
        }
        for part in &self.streams {
            part.check_versions()?;
        }
        self.condition.iter().try_for_each(Condition::check)?;
        self.events().try_for_each(|event| event.check(limits))
    }

    fn check_uniqueness(&self, events: usize) -> Result<(), Invalid> {
        use std::collections::HashSet;
        let mut streams = HashSet::with_capacity(self.streams.len());
        if let Some(part) = self.streams.iter().find(|part| !streams.insert(&part.stream)) {
            return Err(Invalid::StreamTwice { stream: part.stream.clone() });
        }
        let mut ids = HashSet::with_capacity(events);
        if let Some(event) = self.events().find(|event| !ids.insert(event.id)) {
            return Err(Invalid::IdTwice { id: event.id });
        }
        Ok(())
    }
}

impl StreamAppend {
    fn check_versions(&self) -> Result<(), Invalid> {
        match self.expected {
            Expected::Exactly(version) if version.forward(self.events.len()).is_none() => {
                Err(Invalid::VersionOverflow { stream: self.stream.clone() })
            }
            _ => Ok(()),
        }
    }
}

impl NewEvent {
    fn check(&self, limits: &Limits) -> Result<(), Invalid> {
        if self.payload.len() > limits.payload_bytes_max {
            let (bytes, bytes_max) = (self.payload.len(), limits.payload_bytes_max);
            return Err(Invalid::PayloadTooLarge { name: self.name.clone(), bytes, bytes_max });
        }
        if self.schema_version == 0 || i32::try_from(self.schema_version).is_err() {
            let schema_version = self.schema_version;
            return Err(Invalid::SchemaVersion { name: self.name.clone(), schema_version });
        }
        if is_reserved(self.name.as_str()) {
            return Err(Invalid::Reserved { name: self.name.clone() });
        }
        name::check("codec", &self.codec)?;
        if !Sealing::is_storable(&self.codec) {
            return Err(Invalid::NotSealed { name: self.name.clone() });
        }
        if let Some(actor) = &self.metadata.actor {
            name::check("actor", actor)?;
        }
        if self.metadata != crate::Metadata::default() {
            let (bytes, bytes_max) = (self.metadata.to_json().len(), limits.metadata_bytes_max);
            if bytes > bytes_max {
                return Err(Invalid::MetadataTooLarge { name: self.name.clone(), bytes, bytes_max });
            }
        }
        Ok(())
    }
}

/// How much a store takes at once. What is larger is refused as [`Invalid`], before anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes a payload may have; 1 MiB unless told otherwise.
    pub payload_bytes_max: usize,
    /// The most bytes the metadata of an event may have as JSON; 64 KiB unless told otherwise.
    pub metadata_bytes_max: usize,
    /// The most events an append may have, over all its streams; 10,000 unless told otherwise.
    pub append_events_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { payload_bytes_max: 1 << 20, metadata_bytes_max: 1 << 16, append_events_max: 10_000 }
    }
}

/// The answer to an append: the same however often it is repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The position of its last event. A subscription that has passed it has seen all of the append.
    pub position: Position,
    /// When the store recorded it, by the store's clock.
    pub recorded_at: DateTime<Utc>,
    /// The version of the last event for each stream, in the order of the append.
    pub versions: Vec<Version>,
}

impl Appended {
    /// The version of the last event for the first, and mostly only, stream of the append.
    pub fn version(&self) -> Version {
        self.versions.first().copied().unwrap_or_default()
    }
}

/// What the append of this one event has answered.
impl From<&RecordedEvent> for Appended {
    fn from(event: &RecordedEvent) -> Self {
        Self { position: event.position, recorded_at: event.recorded_at, versions: vec![event.version] }
    }
}

/// What came of something that was done in a transaction which is still open: an append, or a command.
///
/// It is kept apart from the answer itself, because nobody can wait for its position: the transaction may be rolled back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncommitted<T = Appended> {
    answer: T,
    is_repeated: bool,
}

impl<T> Uncommitted<T> {
    /// For stores: what it will have come to.
    pub const fn new(answer: T) -> Self {
        Self { answer, is_repeated: false }
    }

    /// What it has come to, now that the transaction was committed. Only the caller knows that it was.
    pub fn committed(self) -> T {
        self.answer
    }
}

impl Uncommitted {
    /// For stores: what an append has answered that had happened before.
    pub const fn repeated(answer: Appended) -> Self {
        Self { answer, is_repeated: true }
    }

    /// Whether the append had happened before, by the ids of its events: then nothing was written now.
    pub const fn is_repeated(&self) -> bool {
        self.is_repeated
    }

    /// The version of the last event for each stream, in the order of the append.
    pub fn versions(&self) -> &[Version] {
        &self.answer.versions
    }
}

impl<A> Uncommitted<Loaded<A>> {
    /// The state as the transaction sees it.
    pub fn state(&self) -> &A {
        self.answer.state()
    }

    /// The version of the state.
    pub fn version(&self) -> Version {
        self.answer.version()
    }
}

/// Which events of a stream are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a read happens when a store is given it"]
pub struct ReadStream {
    /// Of which stream.
    pub stream: StreamId,
    /// From where on, and in which direction.
    pub cursor: Cursor,
    /// The most events in the answer; at least one is always allowed.
    pub limit: usize,
    /// The most bytes of payload in the answer, unless its first event alone has more.
    pub bytes: usize,
}

/// From where on, and in which direction, a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// The events after this version, in the order in which they happened.
    After(Version),
    /// The events before this version, the latest first.
    Before(Version),
}

impl ReadStream {
    /// All of `stream`, in pages of at most 1,000 events and 16 MiB.
    pub const fn new(stream: StreamId) -> Self {
        Self { stream, cursor: Cursor::After(Version::NONE), limit: PAGE_EVENTS, bytes: PAGE_BYTES }
    }

    /// The last event of `stream`.
    pub const fn last(stream: StreamId) -> Self {
        Self::new(stream).before(Version::END).limit(1)
    }

    /// Only what came after `version`.
    pub const fn after(mut self, version: Version) -> Self {
        self.cursor = Cursor::After(version);
        self
    }

    /// Only what came before `version`, the latest first. Before [`Version::END`] is everything.
    pub const fn before(mut self, version: Version) -> Self {
        self.cursor = Cursor::Before(version);
        self
    }

    /// At most so many events; at least one is always allowed.
    pub const fn limit(mut self, events: usize) -> Self {
        self.limit = events;
        self
    }

    /// At most so many bytes of payload, unless the first event alone has more.
    pub const fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }
}

const PAGE_EVENTS: usize = 1000;
const PAGE_BYTES: usize = 16 << 20;

/// Events of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPage {
    /// The events, in the order of the [`Cursor`].
    pub events: Vec<RecordedEvent>,
    /// Whether the stream had no further events in that direction when it was read.
    pub end: bool,
}

/// Which events of the store are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a read happens when a store is given it"]
pub struct ReadAll {
    /// Only those after this; [`Checkpoint::START`] for all. If it names its event, the log must have it: a reader who
    /// goes on from page to page learns before it handles anything that it is reading another log now.
    pub after: Checkpoint,
    /// Only those that pass this.
    pub filter: Filter,
    /// The most events in the answer; at least one is always allowed.
    pub limit: usize,
    /// The most bytes of payload in the answer, unless its first event alone has more.
    pub bytes: usize,
    /// Whether the reader waits where the page ends, see [`following`](ReadAll::following).
    pub follows: bool,
}

impl ReadAll {
    /// Everything after a checkpoint, or after a position of whichever log it is, in pages of at most 1,000 events and
    /// 16 MiB.
    pub fn after(checkpoint: impl Into<Checkpoint>) -> Self {
        let (filter, limit, bytes) = (Filter::all(), PAGE_EVENTS, PAGE_BYTES);
        Self { after: checkpoint.into(), filter, limit, bytes, follows: false }
    }

    /// Only what passes `filter`.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// At most so many events; at least one is always allowed.
    pub const fn limit(mut self, events: usize) -> Self {
        self.limit = events;
        self
    }

    /// At most so many bytes of payload, unless the first event alone has more.
    pub const fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// For somebody who [waits](EventStore::wait) where the page ends, and reads on.
    ///
    /// A store may answer from memory, with what it appended itself, or read, a moment ago. Nothing is passed over; but what others have
    /// appended may be missing at the end of the page, because the wait tells of it, and what another process has deleted in the
    /// last tenth of a second may still be there.
    pub const fn following(mut self) -> Self {
        self.follows = true;
        self
    }
}

/// Events of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The events that passed the filter, in the order of their positions.
    pub events: Vec<RecordedEvent>,
    /// Everything up to here was looked at: read on after this. It moves on where nothing passed, and names the last event
    /// up to there, if there is one.
    pub checkpoint: Checkpoint,
    /// Whether there was nothing to be had after the checkpoint when the page was read.
    pub end: bool,
}

/// Which streams of a category are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a read happens when a store is given it"]
pub struct ReadCategory {
    /// Of which category.
    pub category: String,
    /// Only those whose id comes after this one, byte by byte; an empty one for all.
    pub after: String,
    /// The most streams in the answer; at least one is always allowed.
    pub limit: usize,
}

impl ReadCategory {
    /// All streams of `category`, in pages of at most 1,000.
    pub fn new(category: impl Into<String>) -> Self {
        Self { category: category.into(), after: String::new(), limit: PAGE_EVENTS }
    }

    /// Only those whose id comes after `id`, byte by byte.
    pub fn after(mut self, id: impl Into<String>) -> Self {
        self.after = id.into();
        self
    }

    /// At most so many streams; at least one is always allowed.
    pub const fn limit(mut self, streams: usize) -> Self {
        self.limit = streams;
        self
    }
}

/// Streams of one category.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CategoryPage {
    /// The streams, in the order of their ids, each with the version of its last event.
    pub streams: Vec<(StreamId, Version)>,
    /// Whether the category had no further streams when it was read.
    pub end: bool,
}

/// Which events pass: those that pass each of its parts, where an empty part lets everything pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In streams of this tenant. Stores find them by an index, however many tenants there are.
    pub tenant: Option<TenantId>,
    /// Of one of these categories.
    pub categories: Vec<String>,
    /// Of one of these streams.
    pub streams: Vec<StreamId>,
    /// Stored under one of these names.
    pub names: Vec<EventName>,
    /// With these values among the [`fields`](crate::Metadata::fields) of their metadata.
    pub fields: BTreeMap<String, String>,
}

impl Filter {
    /// Everything passes.
    pub const fn all() -> Self {
        Self {
            tenant: None,
            categories: Vec::new(),
            streams: Vec::new(),
            names: Vec::new(),
            fields: BTreeMap::new(),
        }
    }

    /// Whether everything passes.
    pub fn is_all(&self) -> bool {
        *self == Self::all()
    }

    /// Whether `event` passes.
    pub fn passes(&self, event: &RecordedEvent) -> bool {
        self.tenant.as_ref().is_none_or(|tenant| tenant.has(&event.stream))
            && (self.categories.is_empty() || self.categories.iter().any(|c| c == event.stream.category()))
            && (self.streams.is_empty() || self.streams.contains(&event.stream))
            && (self.names.is_empty() || self.names.contains(&event.name))
            && self.fields.iter().all(|(name, value)| event.metadata.fields.get(name) == Some(value))
    }
}
