//! What generated code may call. Not part of the interface: it changes without notice.

pub use crate::event::{distinct, sole};
pub use crate::upcast::Upcast;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::Codec;
use crate::envelope::{Envelope, RecordedEvent};
use crate::error::{BoxError, DecodeError, DecodeFault};
use crate::event::{Event, EventType};
use crate::handler::{Context, HandleError, On};

/// What an event struct has to be, for its content to be stored.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is an event that cannot be stored",
    label = "not `Serialize` and `Deserialize`",
    note = "write `#[derive(Event, Serialize, Deserialize)]`"
)]
pub trait Payload: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Payload for T {}

/// Writes the content of an event struct.
///
/// # Errors
///
/// What serde says.
pub fn encode<T: Payload>(event: &T, codec: Codec) -> Result<Vec<u8>, BoxError> {
    codec.encode(event)
}

/// Reads the content of an event struct.
///
/// # Errors
///
/// [`DecodeError`], see [`Event::decode`].
pub fn decode<T: Payload>(
    recorded: &RecordedEvent,
    event_type: &EventType,
    upcasts: &[Upcast],
) -> Result<T, DecodeError> {
    crate::upcast::decode(recorded, event_type, upcasts)
}

/// Takes an upcast's step. What kind of function that is, is said by this signature.
///
/// # Errors
///
/// What the step says.
pub fn step<E: Into<BoxError>>(
    step: impl FnOnce(serde_json::Value) -> Result<serde_json::Value, E>,
    payload: serde_json::Value,
) -> Result<serde_json::Value, BoxError> {
    step(payload).map_err(Into::into)
}

/// That no variant of an enum has the name of `recorded`.
pub fn unknown_name(recorded: &RecordedEvent) -> DecodeError {
    crate::upcast::fault_of(recorded, DecodeFault::UnknownName)
}

/// Hands `recorded` to the handler for `E`.
///
/// # Errors
///
/// [`HandleError`], if it cannot be read or the handler fails.
pub async fn call<H, E, Cx>(
    handler: &H,
    recorded: &RecordedEvent,
    cx: &mut Context<Cx>,
) -> Result<(), HandleError<H::Error>>
where
    H: On<E, Cx>,
    E: Event,
    Cx: Send,
{
    let envelope = Envelope::<E>::decode(recorded).map_err(HandleError::Decode)?;
    handler.on(&envelope, cx).await.map_err(HandleError::Handler)
}
