//! What is known about an event beside its content: why it happened, who did it, when it was true.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::tag::Tag;

/// The identity of one event, the same wherever it goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

impl EventId {
    /// A fresh id that nobody else has: a UUID of version 7, so ids made later sort later.
    #[expect(clippy::new_without_default, reason = "a default is a value; this is a new one each time")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({})", self.0)
    }
}

/// What is known about an event beside its content. Everything may be absent.
///
/// The event's id and `recorded_at` are facts of the record itself: see [`Envelope`](crate::Envelope).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The conversation this event belongs to. An event without one begins a conversation of its own name: see
    /// [`Envelope::correlation_id`](crate::Envelope::correlation_id).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<Uuid>,
    /// The event that was the reason for this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<EventId>,
    /// Who did it: a name of at most 255 bytes without control characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// When it was true in the world, if that is not when it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<DateTime<Utc>>,
    /// What it is about: those that its type declares, see [`Tag`], and others that the application gives it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<Tag>,
    /// Whatever else the application wants to keep.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}

impl Metadata {
    /// The form in which stores keep it: JSON, `{}` where nothing is known.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings, ids and times always have a JSON form")
    }

    /// The metadata that [`to_json`](Metadata::to_json) wrote.
    ///
    /// # Errors
    ///
    /// What serde says of a text that is not such a form.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        if text == "{}" { Ok(Self::default()) } else { serde_json::from_str(text) }
    }
}

/// The methods by which whoever is about to record events says what is known of them. They are those of [`Execute`] and
/// [`Decide`], which both have `metadata`.
///
/// [`Execute`]: crate::Execute
/// [`Decide`]: crate::Decide
macro_rules! metadata_methods {
    () => {
        /// Who gives the command: a name of at most 255 bytes without control characters.
        pub fn actor(mut self, actor: impl Into<String>) -> Self {
            self.metadata.actor = Some(actor.into());
            self
        }

        /// When what the command tells was true in the world, if that is not now.
        pub fn occurred_at(mut self, time: DateTime<Utc>) -> Self {
            self.metadata.occurred_at = Some(time);
            self
        }

        /// Something else that the events are about, beside the tags of their types.
        pub fn tag(mut self, tag: Tag) -> Self {
            self.metadata.tags.insert(tag);
            self
        }

        /// A field of the events' metadata.
        pub fn field(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
            self.metadata.fields.insert(name.into(), value.into());
            self
        }

        /// The event that is the reason for the command. Not needed in a handler: there it is the event being handled.
        pub fn caused_by(mut self, cause: impl Into<Cause>) -> Self {
            let cause = cause.into();
            self.metadata.correlation_id = Some(cause.correlation_id);
            self.metadata.causation_id = Some(cause.causation_id);
            self
        }

        /// All metadata of the events at once; replaces what was said before.
        pub fn metadata(mut self, metadata: Metadata) -> Self {
            self.metadata = metadata;
            self
        }
    };
}
pub(crate) use metadata_methods;
