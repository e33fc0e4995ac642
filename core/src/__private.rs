//! What generated code may call. Not part of the interface: it changes without notice.

pub use crate::event::{distinct, dropped, sole};
pub use crate::handler::{apart, apart_as_recorded};
pub use crate::upcast::{Answer, FallibleValue, PlainValue};

use std::collections::BTreeSet;
use std::fmt::Display;
use std::future::Future;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aggregate::{Aggregate, Loaded};
use crate::checkpoint::Transactional;
use crate::codec::{Codec, Encoding};
use crate::decoded::Decoded;
use crate::envelope::{Envelope, RecordedEvent};
use crate::error::{BoxError, DecodeError, DecodeFault};
use crate::event::{Event, EventType};
use crate::handler::{Context, HandleError, On};
use crate::name::InvalidName;
use crate::process::{self, Choice, Deadline, Issue, ProcessError, ProcessManager, React, Reaction};
use crate::snapshot::SnapshotPolicy;
use crate::store::EventStore;
use crate::tag::Tag;
use crate::upcast::{IntoParts, LeadsTo, OldShape, OnType, OnValue, Shape, Today};

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

/// What a tag can be made of.
#[diagnostic::on_unimplemented(
    message = "`{Self}` makes no tag",
    label = "not `Display`",
    note = "a tag is the text of a field: implement `Display`, or write `#[event(tags)]` if it has any number of values"
)]
pub trait TagValue: Display {}

#[diagnostic::do_not_recommend]
impl<T: Display + ?Sized> TagValue for T {}

/// Adds the tag that a field makes.
///
/// # Errors
///
/// [`InvalidName`], if its text makes none.
pub fn tag<T: TagValue>(tags: &mut BTreeSet<Tag>, key: &str, value: &T) -> Result<(), InvalidName> {
    tags.insert(Tag::of(key, value)?);
    Ok(())
}

/// Adds the tags that the values of a field make.
///
/// # Errors
///
/// [`InvalidName`], if the text of one makes none.
pub fn tag_each<'v, T>(tags: &mut BTreeSet<Tag>, key: &str, values: &'v T) -> Result<(), InvalidName>
where
    &'v T: IntoIterator<Item: TagValue>,
{
    values.into_iter().try_for_each(|value| tag(tags, key, &value))
}

/// Reads the content of an event struct.
///
/// # Errors
///
/// [`DecodeError`], see [`Event::decode_all`].
pub fn decode<T: Payload>(
    recorded: &RecordedEvent,
    event_type: &EventType,
    old_shapes: &[&dyn OldShape<T>],
) -> Result<Decoded<T>, DecodeError> {
    crate::upcast::decode(recorded, event_type, old_shapes).map(Decoded::Whole)
}

/// Reads an old event, and splits it. What kind of function that is, is said by this signature.
///
/// # Errors
///
/// [`DecodeError`], see [`Event::decode_all`].
pub fn split<O: Event, E: Event, P: IntoParts<E>>(
    with: impl Fn(O) -> P,
    recorded: &RecordedEvent,
) -> Result<Decoded<E>, DecodeError> {
    crate::upcast::split(recorded, with)
}

/// The shape that is written today.
pub const fn today<T: Payload>() -> Today<T> {
    Today::new()
}

/// A version with a step on a JSON value, which leads to `next`.
pub const fn on_value<N>(
    from: u32,
    next: &N,
    step: fn(serde_json::Value) -> Result<serde_json::Value, BoxError>,
) -> OnValue<'_, N> {
    OnValue { from, next, step }
}

/// What an aggregate has to be, for snapshots of its state to be kept.
#[diagnostic::on_unimplemented(
    message = "`{Self}` declares snapshots, and its state cannot be stored",
    label = "not `Serialize` and `Deserialize`",
    note = "write `#[derive(Aggregate, Default, Serialize, Deserialize)]`"
)]
pub trait Remembered: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Remembered for T {}

/// Snapshots after every so many events.
pub const fn snapshot_every<A: Remembered>(events: u64, shape: u32) -> SnapshotPolicy<A> {
    SnapshotPolicy::every(events, shape)
}

/// Snapshots when a function says so. What kind of function that is, is said by this signature.
pub const fn snapshot_when<A: Remembered>(due: fn(&Loaded<A>, u64) -> bool, shape: u32) -> SnapshotPolicy<A> {
    SnapshotPolicy::when(due, shape)
}

/// Takes a step on a JSON value. What kind of function that is, is said by this signature.
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

/// What an old version is, for a stored payload to be read into it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is an old version that cannot be read",
    label = "takes `{Self}`, which is not `Deserialize`",
    note = "a typed upcast takes a type with the fields of the old version: write `#[derive(Deserialize)]` on it"
)]
pub trait OldPayload: DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> OldPayload for T {}

/// A version with a typed step, which leads to `next`.
pub const fn on_type<T, N, A, O, B>(from: u32, next: &N, step: fn(A) -> Answer<O>) -> OnType<'_, N, A, O, B>
where
    N: Shape<T, Content = B>,
    O: LeadsTo<B>,
    A: OldPayload,
{
    OnType::new(from, next, step)
}

/// Takes a typed step. What kind of function that is, is said by this signature.
pub fn typed<A, O>(step: impl FnOnce(A) -> O, old: A) -> Answer<O> {
    Answer(step(old))
}

/// What an enum reads where no variant has the name of `recorded`: the parts of it that its variants have found, or nothing
/// if it passes over the name.
///
/// # Errors
///
/// That the name is unknown.
pub fn parts<E: Event>(recorded: &RecordedEvent, found: Option<Vec<E>>) -> Result<Decoded<E>, DecodeError> {
    match found {
        Some(parts) => Ok(Decoded::Parts(parts)),
        None if E::DROPPED.contains(&recorded.name.as_str()) => Ok(Decoded::Parts(Vec::new())),
        None => Err(crate::upcast::fault_of(recorded, DecodeFault::UnknownName)),
    }
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
    for envelope in Envelope::<E>::decode_all(recorded).map_err(HandleError::Decode)? {
        handler.on(&envelope, cx).await.map_err(HandleError::Handler)?;
    }
    Ok(())
}

/// Reads `recorded`, and forgets it if `when` says no. What kind of function that is, is said by this signature. It is
/// no part of [`call_when`], of whose future it would be a part, too, and rustc would say twice what is wrong with it.
///
/// # Errors
///
/// [`DecodeError`], if it cannot be read.
pub fn read_when<E: Event>(
    recorded: &RecordedEvent,
    when: impl FnMut(&Envelope<E>) -> bool,
) -> Result<Decoded<Envelope<E>>, DecodeError> {
    Ok(Envelope::decode_all(recorded)?.filter(when))
}

/// Hands what was read to the handler for `E`.
///
/// # Errors
///
/// [`HandleError`], if it could not be read or the handler fails.
pub async fn call_when<H, E, Cx>(
    handler: &H,
    read: Result<Decoded<Envelope<E>>, DecodeError>,
    cx: &mut Context<Cx>,
) -> Result<(), HandleError<H::Error>>
where
    H: On<E, Cx>,
    E: Event,
    Cx: Send,
{
    for envelope in read.map_err(HandleError::Decode)? {
        handler.on(&envelope, cx).await.map_err(HandleError::Handler)?;
    }
    Ok(())
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

/// Which processes an event concerns and what that decides, see [`React`].
///
/// # Errors
///
/// [`DecodeError`], if it cannot be read.
pub fn react<P: React<E>, E: Event>(recorded: &RecordedEvent) -> Result<Vec<Reaction<P>>, DecodeError> {
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
    encoding: Encoding,
    tx: &mut S::Tx,
) -> impl Future<Output = Result<(), ProcessError>> + Send
where
    P: ProcessManager + Issue<E> + Records<E>,
    E: Event,
    S: EventStore + Transactional + Clone,
{
    process::issue::<P, E, S>(recorded, store, encoding, tx)
}

/// When the time comes that an event sets and what the process decides then, see [`Deadline`].
///
/// # Errors
///
/// [`DecodeError`], if it cannot be read.
pub fn wait<P: Deadline<E> + Records<E>, E: Event>(
    recorded: &RecordedEvent,
) -> Result<(Option<DateTime<Utc>>, Choice<P>), DecodeError> {
    process::wait(recorded)
}

/// What a file of frozen shapes says, as it would be written; for fuzzing.
///
/// # Errors
///
/// What serde says of a text that is no such file.
#[cfg(feature = "testing")]
pub fn lock_as_written(text: &str) -> Result<String, serde_json::Error> {
    crate::testing::lock_as_written(text)
}
