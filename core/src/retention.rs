//! What happens to streams as a whole: they are deleted, archived, restored and truncated, and the log says so.
//!
//! It says so by events of the framework's own, whose names begin with `factum.` and which no application can append. They
//! are events like others: they have versions and positions, and subscriptions can ask for them by name. Aggregates pass
//! over them.

use std::fmt;

use async_trait::async_trait;

use crate::envelope::{NewEvent, RecordedEvent};
use crate::error::{AppendError, Conflict, Invalid, StoreError, StreamClosed};
use crate::event::EventName;
use crate::metadata::{EventId, Metadata};
use crate::store::{Appended, EventStore, ReadStream, StreamPage};
use crate::stream::{Expected, StreamId, Version};

/// The beginning of the names of the framework's own events.
pub const RESERVED_PREFIX: &str = "factum.";

/// How a stream was closed. The last event of the stream says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Closing {
    /// Its content is gone; its ids and numbers stay.
    Deleted,
    /// Its events are kept apart, until they are restored.
    Archived,
}

impl Closing {
    /// The name of the event that closes a stream.
    pub const fn event_name(self) -> &'static str {
        match self {
            Self::Deleted => "factum.deleted",
            Self::Archived => "factum.archived",
        }
    }

    /// The closing that an event of this name stands for.
    pub fn of_event(name: &str) -> Option<Self> {
        [Self::Deleted, Self::Archived].into_iter().find(|closing| closing.event_name() == name)
    }
}

impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deleted => "deleted",
            Self::Archived => "archived",
        })
    }
}

/// The name of the event that says that a stream was restored.
pub const RESTORED: &str = "factum.restored";

/// The name of the event that stands where a truncated stream begins, in the place of the last event that was erased.
pub const TRUNCATED: &str = "factum.truncated";

/// Whether only the framework may append events of this name.
pub fn is_reserved(name: &str) -> bool {
    name.starts_with(RESERVED_PREFIX)
}

/// An event of the framework's own, without content.
pub fn marker(name: &'static str) -> NewEvent {
    NewEvent {
        id: EventId::new(),
        name: EventName::reserved(name),
        schema_version: 1,
        codec: "json".into(),
        payload: "{}".into(),
        metadata: Metadata::default(),
    }
}

/// A store that can set streams apart, and forget what is in them.
///
/// None of this moves a position or touches another stream. Numbers and ids stay for ever: a version or a position is
/// never used again, and an append repeated with the ids of an event that is gone is still known as a repetition.
#[async_trait]
pub trait Retention: EventStore {
    /// Erases the content of all events of a stream, and closes it with an event named `factum.deleted`: the one event that
    /// is left to read. Readers of the feed who have not come to the erased events do not see them any more. Nothing brings
    /// them back.
    ///
    /// An archived stream can be deleted. One that is deleted already answers as it did then.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; a conflict also if there is no such stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown: all of it, or nothing; repeating it tells.
    async fn delete_stream(&self, stream: &StreamId, expected: Expected) -> Result<Appended, AppendError>;

    /// Sets the events of a stream apart, where they do not slow down those in use, and closes it with an event named
    /// `factum.archived`, the one event that is left to read in the stream. The feed goes on having all of them.
    ///
    /// A stream that is archived already answers as it did then.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; a conflict also if there is no such stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown: all of it, or nothing; repeating it tells.
    async fn archive_stream(&self, stream: &StreamId, expected: Expected) -> Result<Appended, AppendError>;

    /// Brings an archived stream back, and says so in it with an event named `factum.restored`.
    ///
    /// A stream that is not archived answers with its last event, whatever that is. So one that was restored before answers as
    /// it did then only until something is appended to it, and later with that.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; that the stream is closed, if it was deleted; a conflict, if there is no such stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown: all of it, or nothing; repeating it tells.
    async fn restore_stream(&self, stream: &StreamId) -> Result<Appended, AppendError>;

    /// Erases the content of all events of a stream before a version: closes the books. In the place of the last of them
    /// stands an event named `factum.truncated`, where the stream begins from then on.
    ///
    /// The event of that version must say all that is to be known of what came before: it is the first one that an
    /// aggregate sees. Truncating again before an earlier version changes nothing.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; that the stream is closed; a conflict, if it has no such version.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown: all of it, or nothing; repeating it tells.
    async fn truncate_stream(&self, stream: &StreamId, before: Version) -> Result<(), AppendError>;

    /// Reads an archived stream where it is, without the event that has closed it. A stream that is not archived is an
    /// empty page.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill.
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    async fn read_archived(&self, read: ReadStream) -> Result<StreamPage, StoreError>;
}

/// What a change of a stream as a whole comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was done before, and this was the answer.
    Done(Appended),
    /// It is to be done, and the event that says so gets this version.
    Mark(Version),
}

/// Judges the deletion or archiving of `stream`, whose last event is `last`.
///
/// # Errors
///
/// [`AppendError`]: a conflict, or the stream is closed already.
pub fn judge_closing(
    stream: &StreamId,
    last: Option<&RecordedEvent>,
    expected: Expected,
    closing: Closing,
) -> Result<Step, AppendError> {
    let last = last.ok_or_else(|| no_such_stream(stream, expected))?;
    match Closing::of_event(last.name.as_str()) {
        Some(closed) if closed == closing => Ok(Step::Done(Appended::from(last))),
        Some(Closing::Deleted) => {
            Err(StreamClosed { stream: stream.clone(), closing: Closing::Deleted }.into())
        }
        _ if expected.is_met_by(Some(last.version)) => mark_after(stream, last),
        _ => Err(Conflict { stream: stream.clone(), expected, actual: Some(last.version) }.into()),
    }
}

/// Judges the restoring of `stream`, whose last event is `last`.
///
/// # Errors
///
/// [`AppendError`]: there is no such stream, or it was deleted.
pub fn judge_restoring(stream: &StreamId, last: Option<&RecordedEvent>) -> Result<Step, AppendError> {
    let last = last.ok_or_else(|| no_such_stream(stream, Expected::Exists))?;
    match Closing::of_event(last.name.as_str()) {
        Some(Closing::Archived) => mark_after(stream, last),
        Some(closing) => Err(StreamClosed { stream: stream.clone(), closing }.into()),
        None => Ok(Step::Done(Appended::from(last))),
    }
}

/// Judges the truncation before a version of `stream`, whose last event is `last`.
///
/// # Errors
///
/// [`AppendError`]: there is no such version, or the stream is closed.
pub fn judge_truncation(
    stream: &StreamId,
    last: Option<&RecordedEvent>,
    before: Version,
) -> Result<(), AppendError> {
    let expected = Expected::Exactly(before);
    let last = last.ok_or_else(|| no_such_stream(stream, expected))?;
    if let Some(closing) = Closing::of_event(last.name.as_str()) {
        return Err(StreamClosed { stream: stream.clone(), closing }.into());
    }
    if last.version < before {
        return Err(Conflict { stream: stream.clone(), expected, actual: Some(last.version) }.into());
    }
    Ok(())
}

/// The conflict of a change of a stream that does not exist: it is not as expected, whatever that was.
pub fn no_such_stream(stream: &StreamId, expected: Expected) -> AppendError {
    let expected = if let Expected::Exactly(_) = expected { expected } else { Expected::Exists };
    Conflict { stream: stream.clone(), expected, actual: None }.into()
}

fn mark_after(stream: &StreamId, last: &RecordedEvent) -> Result<Step, AppendError> {
    let next = last.version.next().ok_or_else(|| Invalid::VersionOverflow { stream: stream.clone() })?;
    Ok(Step::Mark(next))
}
