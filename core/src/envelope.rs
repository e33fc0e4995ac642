//! An event on its way: new, then recorded as bytes, then read back as a value with all that is known about it.

use std::borrow::Cow;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::codec::Codec;
use crate::error::{DecodeError, Invalid};
use crate::event::{Event, EventName};
use crate::metadata::{EventId, Metadata};
use crate::stream::{Position, StreamId, Version};

/// An event that a store is asked to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Its identity. An append that is repeated with the same ids is the same append.
    pub id: EventId,
    /// The stored name.
    pub name: EventName,
    /// The version of the payload's shape, from 1 on.
    pub schema_version: u32,
    /// The name of the codec that made the payload, see [`Codec::name`].
    pub codec: Cow<'static, str>,
    /// The content, which a store gives back exactly as it got it.
    pub payload: Bytes,
    /// What else is known.
    pub metadata: Metadata,
}

impl NewEvent {
    /// `event` as bytes, with a fresh id.
    ///
    /// # Errors
    ///
    /// [`Invalid::Encode`] if serde cannot write the content, [`Invalid::Name`] if a tag of it is none.
    pub fn encode<E: Event>(event: &E, codec: Codec, mut metadata: Metadata) -> Result<Self, Invalid> {
        let event_type = event.event_type();
        event.tag(&mut metadata.tags)?;
        let payload = event
            .encode(codec)
            .map_err(|source| Invalid::Encode { name: EventName::from(event_type), source })?;
        Ok(Self {
            id: EventId::new(),
            name: event_type.into(),
            schema_version: event_type.schema_version(),
            codec: Cow::Borrowed(codec.name()),
            payload: payload.into(),
            metadata,
        })
    }
}

/// An event as a store has it: a named payload with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// Its identity.
    pub id: EventId,
    /// The stream it belongs to.
    pub stream: StreamId,
    /// Its place in the stream.
    pub version: Version,
    /// Its place in the store.
    pub position: Position,
    /// The stored name.
    pub name: EventName,
    /// The version of the payload's shape.
    pub schema_version: u32,
    /// The name of the codec that made the payload.
    pub codec: Cow<'static, str>,
    /// The content.
    pub payload: Bytes,
    /// What else is known.
    pub metadata: Metadata,
    /// When the store recorded it, by the store's clock, in whole microseconds.
    pub recorded_at: DateTime<Utc>,
}

impl RecordedEvent {
    /// The conversation this event belongs to: the one it was given, else the one that begins with it.
    pub fn correlation_id(&self) -> Uuid {
        self.metadata.correlation_id.unwrap_or(self.id.0)
    }
}

/// An event with all that is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<E> {
    /// Its identity.
    pub id: EventId,
    /// The stream it belongs to.
    pub stream: StreamId,
    /// Its place in the stream.
    pub version: Version,
    /// Its place in the store.
    pub position: Position,
    /// When the store recorded it, by the store's clock, in whole microseconds.
    pub recorded_at: DateTime<Utc>,
    /// What else is known.
    pub metadata: Metadata,
    /// The event.
    pub event: E,
}

impl<E> Envelope<E> {
    /// When it was true in the world: [`Metadata::occurred_at`], else when it was recorded.
    pub fn occurred_at(&self) -> DateTime<Utc> {
        self.metadata.occurred_at.unwrap_or(self.recorded_at)
    }

    /// The conversation this event belongs to: the one it was given, else the one that begins with it.
    pub fn correlation_id(&self) -> Uuid {
        self.metadata.correlation_id.unwrap_or(self.id.0)
    }
}

impl<E: Event> Envelope<E> {
    /// The event that was recorded, brought to today's shape.
    ///
    /// # Errors
    ///
    /// [`DecodeError`], see [`Event::decode`].
    pub fn decode(recorded: &RecordedEvent) -> Result<Self, DecodeError> {
        Ok(Self {
            id: recorded.id,
            stream: recorded.stream.clone(),
            version: recorded.version,
            position: recorded.position,
            recorded_at: recorded.recorded_at,
            metadata: recorded.metadata.clone(),
            event: E::decode(recorded)?,
        })
    }
}
