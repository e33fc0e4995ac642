//! An event on its way: new, then recorded as bytes, then read back as a value with all that is known about it.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::codec::Encoding;
use crate::decoded::Decoded;
use crate::error::{DecodeError, DecodeFault, Invalid};
use crate::event::{Event, EventName};
use crate::metadata::{EventId, Metadata};
use crate::stream::{Position, StreamId, Version};
use crate::upcast::fault_of;

/// An event that a store is asked to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Its identity. An append that is repeated with the same ids is the same append.
    pub id: EventId,
    /// The stored name.
    pub name: EventName,
    /// The version of the payload's shape, from 1 on.
    pub schema_version: u32,
    /// The name of the codec that made the payload, see [`Codec::name`](crate::Codec::name).
    pub codec: Cow<'static, str>,
    /// The content, which a store gives back exactly as it got it.
    pub payload: Bytes,
    /// What else is known.
    pub metadata: Metadata,
}

impl NewEvent {
    /// `event` as bytes, in an [`Encoding`] or by a [`Codec`](crate::Codec), with a fresh id.
    ///
    /// # Errors
    ///
    /// [`Invalid::Encode`] if serde cannot write the content, [`Invalid::Name`] if a tag of it is none.
    pub fn encode<E: Event>(
        event: &E,
        encoding: impl Into<Encoding>,
        mut metadata: Metadata,
    ) -> Result<Self, Invalid> {
        let encoding = encoding.into();
        let event_type = event.event_type();
        event.tag(&mut metadata.tags)?;
        let fault = |source| Invalid::Encode { name: EventName::from(event_type), source };
        let payload = event.encode(encoding.codec()).map_err(fault)?;
        let personal = event.personal(encoding.codec()).map_err(fault)?;
        let (codec, payload) = if personal.is_empty() {
            encoding.pack(payload)
        } else {
            encoding.pack_personal(&payload, personal).map_err(fault)?
        };
        Ok(Self {
            id: EventId::new(),
            name: event_type.into(),
            schema_version: event_type.schema_version(),
            codec,
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
        let decoded = Self::decode_all(recorded)?;
        decoded.one().map_err(|found| fault_of(recorded, DecodeFault::NotOne { found }))
    }

    /// All that was recorded, brought to today's shape.
    ///
    /// The parts of an event that was split have its version, position, times and metadata. Each has an id of its own, which is
    /// the same whenever and by whomever it is read (a UUID of version 5 of the event's id, the name of the part's type, and its
    /// number among those of that type), so whoever knows events again by their ids knows the parts apart. Only the event as a
    /// whole can be found in the store; the conversation of its parts is the one that it belongs to.
    ///
    /// # Errors
    ///
    /// [`DecodeError`], see [`Event::decode_all`].
    pub fn decode_all(recorded: &RecordedEvent) -> Result<Decoded<Self>, DecodeError> {
        let parts = match E::decode_all(recorded)? {
            Decoded::Whole(event) => {
                return Ok(Decoded::Whole(Self::new(
                    recorded.id,
                    recorded,
                    recorded.metadata.clone(),
                    event,
                )));
            }
            Decoded::Parts(parts) => parts,
        };
        let correlation_id = Some(recorded.correlation_id());
        let mut numbers = HashMap::new();
        let envelope = |event: E| {
            let name = event.event_type().name();
            let number = numbers.entry(name).or_insert(0_usize);
            let id = part_id(recorded.id, name, *number);
            *number += 1;
            Self::new(id, recorded, Metadata { correlation_id, ..recorded.metadata.clone() }, event)
        };
        Ok(Decoded::Parts(parts.into_iter().map(envelope).collect()))
    }

    fn new(id: EventId, recorded: &RecordedEvent, metadata: Metadata, event: E) -> Self {
        Self {
            id,
            stream: recorded.stream.clone(),
            version: recorded.version,
            position: recorded.position,
            recorded_at: recorded.recorded_at,
            metadata,
            event,
        }
    }
}

/// The id of a part of an event. Never changes.
fn part_id(id: EventId, name: &str, number: usize) -> EventId {
    EventId(Uuid::new_v5(&id.0, format!("{number} {name}").as_bytes()))
}
