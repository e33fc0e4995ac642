//! What generated code may call. Not part of the interface: it changes without notice.

pub use crate::event::{distinct, sole};
pub use crate::handler::apart;
pub use crate::upcast::Upcast;

use std::future::Future;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aggregate::Aggregate;
use crate::checkpoint::Transactional;
use crate::codec::Codec;
use crate::envelope::{Envelope, RecordedEvent};
use crate::error::{BoxError, DecodeError, DecodeFault};
use crate::event::{Event, EventType};
use crate::handler::{Context, HandleError, On};
use crate::process::{self, Deadline, Decision, Issue, ProcessError, ProcessManager, React};
use crate::store::EventStore;

/// Generated code cannot name a crate that only this one depends on.
pub type Time = DateTime<Utc>;

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

/// Reads `recorded`, and forgets it if `when` says no. What kind of function that is, is said by this signature. It is
/// no part of [`call_when`], of whose future it would be a part, too, and rustc would say twice what is wrong with it.
///
/// # Errors
///
/// [`DecodeError`], if it cannot be read.
pub fn read_when<E: Event>(
    recorded: &RecordedEvent,
    when: impl FnOnce(&Envelope<E>) -> bool,
) -> Result<Option<Envelope<E>>, DecodeError> {
    Ok(Some(Envelope::decode(recorded)?).filter(when))
}

/// Hands what was read to the handler for `E`.
///
/// # Errors
///
/// [`HandleError`], if it could not be read or the handler fails.
pub async fn call_when<H, E, Cx>(
    handler: &H,
    read: Result<Option<Envelope<E>>, DecodeError>,
    cx: &mut Context<Cx>,
) -> Result<(), HandleError<H::Error>>
where
    H: On<E, Cx>,
    E: Event,
    Cx: Send,
{
    let Some(envelope) = read.map_err(HandleError::Decode)? else { return Ok(()) };
    handler.on(&envelope, cx).await.map_err(HandleError::Handler)
}

/// A process that knows `E` as an event of its own.
#[diagnostic::on_unimplemented(
    message = "`{E}` is not an event of `{Self}`",
    label = "not an event of its own",
    note = "a process issues commands and sets deadlines by events of its own: `{E}` is none of the variants of its \
            event enum"
)]
pub trait Records<E> {}

#[diagnostic::do_not_recommend]
impl<P: Aggregate, E> Records<E> for P where P::Event: From<E> {}

/// Which process an event concerns and what that decides, see [`React`].
///
/// # Errors
///
/// [`DecodeError`], if it cannot be read.
pub fn react<P: React<E>, E: Event>(
    recorded: &RecordedEvent,
) -> Result<(Option<P::Id>, Decision<P>), DecodeError> {
    process::react(recorded)
}

/// Executes the command that an event issues, see [`Issue`], and records what follows from a rejection.
///
/// # Errors
///
/// [`ProcessError`].
pub fn issue<P, E, S>(
    recorded: &RecordedEvent,
    store: &S,
    tx: &mut S::Tx,
) -> impl Future<Output = Result<(), ProcessError>> + Send
where
    P: ProcessManager + Issue<E> + Records<E>,
    E: Event,
    S: EventStore + Transactional + Clone,
{
    process::issue::<P, E, S>(recorded, store, tx)
}

/// When the time comes that an event sets and what the process decides then, see [`Deadline`].
///
/// # Errors
///
/// [`DecodeError`], if it cannot be read.
pub fn wait<P: Deadline<E> + Records<E>, E: Event>(
    recorded: &RecordedEvent,
) -> Result<(Option<DateTime<Utc>>, Decision<P>), DecodeError> {
    process::wait(recorded)
}
