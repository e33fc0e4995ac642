//! The storage edge: what a store is asked, and what it answers. Bytes in, bytes out.

pub mod group;
pub mod verdict;
mod wake;

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

pub use self::wake::Wake;
use crate::envelope::{NewEvent, RecordedEvent};
use crate::error::{AppendError, Invalid, StoreError};
use crate::event::EventName;
use crate::name;
use crate::stream::{Expected, Position, StreamId, Version};

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

    /// The events of one stream after a version, in order, up to a limit.
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
    /// [`StoreError`] if the store is ill.
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    async fn read_all(&self, read: ReadAll) -> Result<Page, StoreError>;

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

    async fn wait(&self, after: Position) -> Result<(), StoreError> {
        (**self).wait(after).await
    }
}

/// Events to be recorded together: for one stream, or atomically for several.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an append happens when a store is given it"]
pub struct Append {
    streams: Vec<StreamAppend>,
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
        Self { streams: vec![StreamAppend { stream, expected, events }] }
    }

    /// And, in the same append, `events` for another `stream`.
    pub fn and(mut self, stream: StreamId, expected: Expected, events: Vec<NewEvent>) -> Self {
        self.streams.push(StreamAppend { stream, expected, events });
        self
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
        self.check_uniqueness(events)?;
        for part in &self.streams {
            part.check_versions()?;
        }
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
        name::check("codec", &self.codec)?;
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

/// Which events of a stream are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadStream {
    /// Of which stream.
    pub stream: StreamId,
    /// Only those after this version; [`Version::NONE`] for all.
    pub after: Version,
    /// The most events in the answer; at least one is always allowed.
    pub limit: usize,
}

/// Events of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPage {
    /// The events, in the order of their versions.
    pub events: Vec<RecordedEvent>,
    /// Whether the stream had no further events when it was read.
    pub end: bool,
}

/// Which events of the store are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadAll {
    /// Only those after this position; [`Position::START`] for all.
    pub after: Position,
    /// Only those that pass this.
    pub filter: Filter,
    /// The most events in the answer; at least one is always allowed.
    pub limit: usize,
}

/// Events of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The events that passed the filter, in the order of their positions.
    pub events: Vec<RecordedEvent>,
    /// Everything up to here was looked at: read on after this position. It moves on where nothing passed.
    pub position: Position,
    /// Whether there was nothing after `position` when the page was read.
    pub end: bool,
}

/// Which events pass: those that pass each of its parts, where an empty part lets everything pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of one of these categories.
    pub categories: Vec<String>,
    /// Of one of these streams.
    pub streams: Vec<StreamId>,
    /// Stored under one of these names.
    pub names: Vec<EventName>,
}

impl Filter {
    /// Everything passes.
    pub const fn all() -> Self {
        Self { categories: Vec::new(), streams: Vec::new(), names: Vec::new() }
    }

    /// Whether everything passes.
    pub fn is_all(&self) -> bool {
        self.categories.is_empty() && self.streams.is_empty() && self.names.is_empty()
    }

    /// Whether `event` passes.
    pub fn passes(&self, event: &RecordedEvent) -> bool {
        (self.categories.is_empty() || self.categories.iter().any(|c| c == event.stream.category()))
            && (self.streams.is_empty() || self.streams.contains(&event.stream))
            && (self.names.is_empty() || self.names.contains(&event.name))
    }
}
