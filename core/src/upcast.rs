//! Upcasts: how a payload in an old shape is brought to today's, one version at a time, when it is read.

use serde::de::DeserializeOwned;

use crate::codec::Codec;
use crate::envelope::RecordedEvent;
use crate::error::{BoxError, DecodeError, DecodeFault};
use crate::event::EventType;

/// The step from one version of an event's shape to the next, on the payload as a JSON value.
///
/// Written by `#[event(version = 2, upcast(from = 1, with = function))]`, where the function is
/// `fn(serde_json::Value) -> Result<serde_json::Value, E>` for any error that becomes a [`BoxError`].
#[derive(Clone, Copy, Debug)]
pub struct Upcast {
    from: u32,
    with: fn(serde_json::Value) -> Result<serde_json::Value, BoxError>,
}

impl Upcast {
    /// The step that takes a payload of version `from` to version `from + 1`.
    pub const fn new(from: u32, with: fn(serde_json::Value) -> Result<serde_json::Value, BoxError>) -> Self {
        Self { from, with }
    }
}

/// Reads the content of a recorded event that is of `event_type`, through as many `upcasts` as its age asks for.
pub(crate) fn decode<T: DeserializeOwned>(
    recorded: &RecordedEvent,
    event_type: &EventType,
    upcasts: &[Upcast],
) -> Result<T, DecodeError> {
    content(recorded, event_type, upcasts).map_err(|fault| fault_of(recorded, fault))
}

/// `fault`, with the place of the event that has it.
pub(crate) fn fault_of(recorded: &RecordedEvent, fault: DecodeFault) -> DecodeError {
    DecodeError {
        name: recorded.name.clone(),
        stream: recorded.stream.clone(),
        version: recorded.version,
        position: recorded.position,
        fault,
    }
}

fn content<T: DeserializeOwned>(
    recorded: &RecordedEvent,
    event_type: &EventType,
    upcasts: &[Upcast],
) -> Result<T, DecodeFault> {
    let (found, known) = (recorded.schema_version, event_type.schema_version());
    if !event_type.is_named(recorded.name.as_str()) {
        return Err(DecodeFault::UnknownName);
    }
    if found > known {
        return Err(DecodeFault::NewerThanProgram { found, known });
    }
    let codec = Codec::named(&recorded.codec)
        .ok_or_else(|| DecodeFault::UnknownCodec { codec: recorded.codec.to_string() })?;
    if found == known {
        return codec.decode(&recorded.payload).map_err(DecodeFault::Payload);
    }
    let mut value: serde_json::Value = codec.decode(&recorded.payload).map_err(DecodeFault::Payload)?;
    for from in found..known {
        let step = upcasts.iter().find(|upcast| upcast.from == from).ok_or_else(|| DecodeFault::Upcast {
            from,
            source: "there is no step from this version".into(),
        })?;
        value = (step.with)(value).map_err(|source| DecodeFault::Upcast { from, source })?;
    }
    serde_json::from_value(value).map_err(|error| DecodeFault::Payload(error.into()))
}
