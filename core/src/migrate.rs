//! Moving a stream: what an old stream tells is told again, in other words, in a new one, which takes its place.
//!
//! Most changes of events need none of this: an upcast, a `split` or a dropped name (see `#[derive(Event)]`) reads an old log as it
//! is. A stream is moved where its history itself is to be another one: streams that were cut wrongly, content that has to
//! go, or a translation that nobody wants to take along any longer.
//!
//! ```
//! use factum::memory::MemoryStore;
//! use factum::migrate::Migration;
//! # use factum::{Codec, Event, EventStore, Expected, Metadata, NewEvent, store::Append};
//! # use serde::{Deserialize, Serialize};
//!
//! # #[derive(Event, Serialize, Deserialize)]
//! # #[event(name = "customer.changed")]
//! # struct CustomerChanged { name: String, street: String }
//! # #[derive(Event, Serialize, Deserialize)]
//! # #[event(name = "customer.moved")]
//! # struct CustomerMoved { street: String }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let store = MemoryStore::new();
//! # let changed = CustomerChanged { name: "Ada".into(), street: "Main Street".into() };
//! # let changed = NewEvent::encode(&changed, Codec::default(), Metadata::default())?;
//! # store.append(Append::to("customer/1".parse()?, Expected::Any, vec![changed])).await?;
//! let moved = Migration::new(&store, "customer/1".parse()?, "address/1".parse()?)
//!     .run_typed(|old: factum::Envelope<CustomerChanged>| [CustomerMoved { street: old.event.street }])
//!     .await?;
//! assert_eq!((moved.read, moved.written), (1, 1));
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - It can be repeated, after a crash at any point, and does nothing twice: the ids of the new events are derived from those of
//!   the old ones (UUID version 5), so what was written is known again. Two that run at once are one.
//! - The old stream is closed at the version that was read. If somebody has appended to it meanwhile, that is moved too.
//! - It is not one transaction. Readers of the new stream see it grow, and until the old one is closed both can be read.
//!
//! # What it means for subscriptions
//!
//! The new events are new: they have new positions, and come to every handler that wants events of their names, also where it
//! has handled the old ones. A handler with an effect in the world can tell by a field of the metadata that the function sets, or by
//! [`occurred_at`](Metadata::occurred_at); rows are best built anew. An archived stream stays in the feed, a deleted one does not.

use std::fmt;

use uuid::Uuid;

use crate::codec::{Content, Encoding};
use crate::dispatcher::EventFacts;
use crate::envelope::{Envelope, NewEvent, RecordedEvent};
use crate::error::{AppendError, BoxError, Conflict, DecodeError, StoreError, StoreErrorKind, StreamClosed};
use crate::event::Event;
use crate::metadata::{EventId, Metadata};
use crate::retention::{Closing, Retention, TRUNCATED, is_reserved};
use crate::store::{Append, Appended, ReadStream};
use crate::stream::{Expected, StreamId, Version};

/// How many events are written at once, unless told otherwise.
const BATCH_EVENTS: usize = 500;
/// How often it begins again because somebody else has written to the new stream.
const ATTEMPTS: u32 = 20;
/// How often a step whose outcome is unknown is repeated to learn it.
const OUTCOME_QUESTIONS: u32 = 3;

/// A stream that is about to be moved to another. See [the module](self).
#[must_use = "a stream is moved when `run` is awaited"]
pub struct Migration<'a, S: ?Sized> {
    store: &'a S,
    from: StreamId,
    to: StreamId,
    closing: Closing,
    batch_events: usize,
    encoding: Encoding,
}

/// What a migration has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// How many events of the old stream were looked at.
    pub read: u64,
    /// How many new ones were written.
    pub written: u64,
    /// How many new ones were there already, from an attempt before or from another process.
    pub found: u64,
}

/// Why a stream was not moved to its end. What was written stays, and is known again by the next attempt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The old stream and the new one are the same.
    #[error("{0} cannot be moved to itself")]
    SameStream(StreamId),
    /// The function has answered with an error.
    #[error("event {} (version {} of {}) could not be told anew", .at.name, .at.version, .at.stream)]
    Function {
        /// On which event.
        at: Box<EventFacts>,
        /// What it said.
        source: BoxError,
    },
    /// An event of the old stream cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A new event is in the store already, and is not what the function answers now: it is another function than in the attempt
    /// before, or not a pure one.
    #[error("event {} (version {} of {}) was told before, in other words than now", .at.name, .at.version, .at.stream)]
    ToldOtherwise {
        /// The event in the new stream.
        at: Box<EventFacts>,
    },
    /// Nothing can be appended, or the old stream cannot be closed.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The store is ill.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<'a, S: Retention + ?Sized> Migration<'a, S> {
    /// Tells what `from` tells anew in `to`, and archives `from`.
    pub fn new(store: &'a S, from: StreamId, to: StreamId) -> Self {
        Self {
            store,
            from,
            to,
            closing: Closing::Archived,
            batch_events: BATCH_EVENTS,
            encoding: Encoding::default(),
        }
    }

    /// Deletes the old stream in the end, instead of archiving it: its content is gone then.
    pub fn and_delete(mut self) -> Self {
        self.closing = Closing::Deleted;
        self
    }

    /// How many events are written at once; at least 1, and 500 unless told otherwise.
    pub fn batch_events(mut self, events: usize) -> Self {
        self.batch_events = events.max(1);
        self
    }

    /// How the events that [`run_typed`](Migration::run_typed) tells are written: as JSON unless told otherwise. It stays as it is
    /// from attempt to attempt.
    pub fn codec(mut self, codec: impl Into<Encoding>) -> Self {
        self.encoding = codec.into();
        self
    }

    /// Moves it: `tell` says, for each event of the old stream in order, which new ones stand for it.
    ///
    /// The new events keep what is known of the old one where they say nothing themselves: the conversation and the cause, who did
    /// it, the fields of its metadata, and its tags if it has none of its own; and when it was true, which is when the old one was recorded if nothing else was said.
    /// Their ids are given to them. `tell` has to be pure: it is asked again in each attempt. The framework's own events are
    /// not shown to it.
    ///
    /// If the old stream is archived already, it is moved from the archive. If it is deleted and the new one exists, it was
    /// moved before, and nothing is done.
    ///
    /// # Errors
    ///
    /// [`MigrateError`]. Of those, a conflict says that there is no old stream, or that others wrote to the new one again and
    /// again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the new stream as far as it was written, and the old one closed or not. Running it again goes
    /// on where that was.
    pub async fn run(
        self,
        mut tell: impl FnMut(&RecordedEvent) -> Result<Vec<NewEvent>, BoxError> + Send,
    ) -> Result<Migrated, MigrateError> {
        let function =
            |at: &RecordedEvent, source| MigrateError::Function { at: Box::new(at.into()), source };
        self.attempts(&mut |old: &RecordedEvent| tell(old).map_err(|source| function(old, source))).await
    }

    /// As [`run`](Migration::run), with events that are read in today's shape, and are told as events.
    ///
    /// An old event that was split comes as its parts, one after the other.
    ///
    /// # Errors
    ///
    /// As [`run`](Migration::run); also if an old event cannot be read.
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Migration::run).
    pub async fn run_typed<Old: Event, New: Event, I: IntoIterator<Item = New>>(
        self,
        mut tell: impl FnMut(Envelope<Old>) -> I + Send,
    ) -> Result<Migrated, MigrateError> {
        let encoding = self.encoding;
        let mut encoded = |old: &RecordedEvent| {
            let mut new = Vec::new();
            for part in Envelope::<Old>::decode_all(old)? {
                for event in tell(part) {
                    let event = NewEvent::encode(&event, encoding, Metadata::default());
                    new.push(event.map_err(AppendError::from)?);
                }
            }
            Ok(new)
        };
        self.attempts(&mut encoded).await
    }

    async fn attempts(
        &self,
        tell: &mut (impl FnMut(&RecordedEvent) -> Result<Vec<NewEvent>, MigrateError> + Send),
    ) -> Result<Migrated, MigrateError> {
        if self.from == self.to {
            return Err(MigrateError::SameStream(self.from.clone()));
        }
        let mut written = 0;
        for _ in 1..ATTEMPTS {
            match self.attempt(&mut written, tell).await {
                // Another process moves it as well, or writes to the new stream for other reasons. What is there is read anew.
                Err(MigrateError::Append(AppendError::Conflict(Conflict { stream, .. })))
                    if stream == self.to => {}
                Err(MigrateError::Append(AppendError::IdReused(error))) => {
                    tracing::debug!(%error, "a stream is moved by another process, too");
                }
                outcome => return outcome,
            }
        }
        self.attempt(&mut written, tell).await
    }

    async fn attempt(
        &self,
        written: &mut u64,
        tell: &mut (impl FnMut(&RecordedEvent) -> Result<Vec<NewEvent>, MigrateError> + Send),
    ) -> Result<Migrated, MigrateError> {
        let mut old = OldStream::new(self.store, &self.from);
        let mut new = NewStream::new(self.store, &self.to);
        let (mut read, mut found, before) = (0, 0_u64, *written);
        let mut batch = Vec::new();
        loop {
            while let Some(page) = old.next_page().await? {
                for event in page {
                    read += 1;
                    for (index, mut told) in tell(&event)?.into_iter().enumerate() {
                        complete(&mut told, &event, &self.to, index);
                        if new.has(&told).await? {
                            found += 1;
                            continue;
                        }
                        batch.push(told);
                        if batch.len() >= self.batch_events {
                            *written += new.append(std::mem::take(&mut batch)).await?;
                        }
                    }
                }
            }
            if !batch.is_empty() {
                *written += new.append(std::mem::take(&mut batch)).await?;
            }
            if self.close(&mut old, &mut new).await? {
                // What an attempt before has written is found by the next one.
                return Ok(Migrated { read, written: *written, found: found.saturating_sub(before) });
            }
        }
    }

    /// Closes the old stream at the version that was read, and says whether it is; if it is not, there is more to read.
    async fn close(
        &self,
        old: &mut OldStream<'_, S>,
        new: &mut NewStream<'_, S>,
    ) -> Result<bool, MigrateError> {
        match old.closed {
            Some(Closing::Deleted) if self.closing == Closing::Deleted && old.seen == Version::NONE => {
                // It was deleted only after everything was told. Nothing is known of it but that.
                if new.exists().await? {
                    return Ok(true);
                }
                return Err(old.deleted().into());
            }
            Some(Closing::Deleted) => return Err(old.deleted().into()),
            _ => {}
        }
        // An archived stream may have been restored before its archive was read: it is archived once more, which changes nothing
        // where it still is.
        let is_archived = old.closed == Some(Closing::Archived) && self.closing == Closing::Archived;
        let to_be = if is_archived { Some(old.last) } else { old.last.next() };
        let expected = match old.last {
            // There is no such stream, which the store says best.
            Version::NONE => Expected::Exists,
            last => Expected::Exactly(last),
        };
        let mut asked = 0;
        let outcome = loop {
            let outcome = match self.closing {
                Closing::Archived => self.store.archive_stream(&self.from, expected).await,
                Closing::Deleted => self.store.delete_stream(&self.from, expected).await,
            };
            asked += 1;
            if !is_unknown(&outcome) || asked > OUTCOME_QUESTIONS {
                break outcome;
            }
        };
        match outcome {
            Ok(Appended { versions, .. }) => {
                // Another process may have closed it, at a later version than the one that was read here.
                let closed = versions.first().copied();
                if closed == to_be {
                    return Ok(true);
                }
                old.go_on();
                Ok(false)
            }
            Err(AppendError::Conflict(Conflict { actual: Some(_), .. })) => {
                old.go_on();
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl<S: ?Sized> fmt::Debug for Migration<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Migration")
            .field("from", &self.from)
            .field("to", &self.to)
            .field("closing", &self.closing)
            .finish_non_exhaustive()
    }
}

/// Gives a new event its id, and what is known of the old one.
fn complete(new: &mut NewEvent, old: &RecordedEvent, to: &StreamId, index: usize) {
    new.id = EventId(Uuid::new_v5(&old.id.0, format!("{index} {to}").as_bytes()));
    let known = &old.metadata;
    new.metadata.correlation_id.get_or_insert(old.correlation_id());
    new.metadata.causation_id = new.metadata.causation_id.or(known.causation_id);
    new.metadata.occurred_at.get_or_insert(known.occurred_at.unwrap_or(old.recorded_at));
    if new.metadata.tags.is_empty() {
        new.metadata.tags.clone_from(&known.tags);
    }
    if new.metadata.actor.is_none() {
        new.metadata.actor.clone_from(&known.actor);
    }
    for (name, value) in &known.fields {
        new.metadata.fields.entry(name.clone()).or_insert_with(|| value.clone());
    }
}

fn is_unknown<T>(outcome: &Result<T, AppendError>) -> bool {
    matches!(outcome, Err(AppendError::Store(error)) if *error.kind() == StoreErrorKind::OutcomeUnknown)
}

/// The old stream, read from its beginning to its end, wherever it is kept.
struct OldStream<'a, S: ?Sized> {
    store: &'a S,
    stream: &'a StreamId,
    /// The version of the last event that was read, without the one that has closed the stream.
    seen: Version,
    /// The version of the last event of the stream.
    last: Version,
    /// How it was closed, as far as it was read.
    closed: Option<Closing>,
    is_at_end: bool,
}

impl<'a, S: Retention + ?Sized> OldStream<'a, S> {
    fn new(store: &'a S, stream: &'a StreamId) -> Self {
        Self { store, stream, seen: Version::NONE, last: Version::NONE, closed: None, is_at_end: false }
    }

    /// There is more after what was the end, and it may be kept elsewhere by now.
    fn go_on(&mut self) {
        self.is_at_end = false;
        self.closed = None;
    }

    fn deleted(&self) -> AppendError {
        StreamClosed { stream: self.stream.clone(), closing: Closing::Deleted }.into()
    }

    /// The next events, without the framework's own; `None` at the end.
    async fn next_page(&mut self) -> Result<Option<Vec<RecordedEvent>>, MigrateError> {
        if self.is_at_end {
            return Ok(None);
        }
        let read = ReadStream::new(self.stream.clone()).after(self.seen);
        let page = if self.closed == Some(Closing::Archived) {
            self.store.read_archived(read).await?
        } else {
            self.store.read_stream(read).await?
        };
        if page.events.is_empty() && !page.end {
            return Err(self.hole().into());
        }
        let mut events = Vec::new();
        let count = page.events.len();
        for (index, event) in page.events.into_iter().enumerate() {
            let name = event.name.as_str();
            let is_last = page.end && index + 1 == count && self.closed.is_none();
            self.last = self.last.max(event.version);
            if let Some(closing) = Closing::of_event(name).filter(|_| is_last) {
                // It is all that is left to read where the stream was. The rest is in the archive, if anywhere.
                self.closed = Some(closing);
                self.is_at_end = closing == Closing::Deleted;
                return Ok(Some(events));
            }
            let begins = self.seen == Version::NONE || name == TRUNCATED;
            if !begins && self.seen.next() != Some(event.version) {
                return Err(self.hole().into());
            }
            self.seen = event.version;
            if !is_reserved(name) {
                events.push(event);
            }
        }
        self.is_at_end = page.end;
        Ok(Some(events))
    }

    fn hole(&self) -> StoreError {
        let text = format!("{} does not go on with the version that follows {}", self.stream, self.seen);
        StoreError::because(StoreErrorKind::Corrupt, "read stream", text)
    }
}

/// Whether two payloads, with the names of their codecs, have the same content: what is personal is sealed in another way each time.
fn is_same_content(left: (&str, &[u8]), right: (&str, &[u8])) -> bool {
    let content = |(name, payload)| Content::unpack(name, payload).ok();
    left == right
        || content(left)
            .zip(content(right))
            .is_some_and(|(left, right)| (left.codec, left.bytes) == (right.codec, right.bytes))
}

/// The new stream: what was told in it before, and what is told now.
struct NewStream<'a, S: ?Sized> {
    store: &'a S,
    stream: &'a StreamId,
    /// Read and not looked at yet, the last one first.
    ahead: Vec<RecordedEvent>,
    last: Version,
    is_at_end: bool,
}

impl<'a, S: Retention + ?Sized> NewStream<'a, S> {
    fn new(store: &'a S, stream: &'a StreamId) -> Self {
        Self { store, stream, ahead: Vec::new(), last: Version::NONE, is_at_end: false }
    }

    /// Whether the event was told before. What others have written between is passed over.
    async fn has(&mut self, told: &NewEvent) -> Result<bool, MigrateError> {
        while let Some(event) = self.next().await? {
            if event.id != told.id {
                continue;
            }
            let is_the_same = (&event.name, event.schema_version) == (&told.name, told.schema_version)
                && is_same_content((&event.codec, &event.payload), (&told.codec, &told.payload));
            if !is_the_same {
                return Err(MigrateError::ToldOtherwise { at: Box::new((&event).into()) });
            }
            return Ok(true);
        }
        Ok(false)
    }

    async fn exists(&mut self) -> Result<bool, MigrateError> {
        while self.next().await?.is_some() {}
        Ok(self.last != Version::NONE)
    }

    async fn next(&mut self) -> Result<Option<RecordedEvent>, MigrateError> {
        while self.ahead.is_empty() && !self.is_at_end {
            let page = self.store.read_stream(ReadStream::new(self.stream.clone()).after(self.last)).await?;
            self.last = page.events.last().map_or(self.last, |event| event.version);
            self.is_at_end = page.end;
            self.ahead = page.events;
            self.ahead.reverse();
        }
        Ok(self.ahead.pop())
    }

    /// Writes what was not told before, and says how much that was.
    async fn append(&mut self, events: Vec<NewEvent>) -> Result<u64, MigrateError> {
        let expected = match self.last {
            Version::NONE => Expected::NoStream,
            last => Expected::Exactly(last),
        };
        let count = events.len() as u64;
        let append = Append::to(self.stream.clone(), expected, events);
        let mut asked = 0;
        let outcome = loop {
            let outcome = self.store.append(append.clone()).await;
            asked += 1;
            if !is_unknown(&outcome) || asked > OUTCOME_QUESTIONS {
                break outcome;
            }
        };
        self.last = outcome?.version();
        Ok(count)
    }
}
