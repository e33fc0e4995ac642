//! Upcasts: how a payload in an old shape is brought to today's, one version at a time, when it is read.
//!
//! A version is a [`Shape`] that knows the next one. Each has a content into which a stored payload of that version is read: a
//! JSON value or an old type of the user's, or today's type at the end. So a payload is read into the type that its own step
//! asks for, straight from its bytes, and becomes a JSON value on the way only where a step wants one.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::codec::{Codec, Content};
use crate::decoded::Decoded;
use crate::envelope::RecordedEvent;
use crate::error::{BoxError, DecodeError, DecodeFault};
use crate::event::{Event, EventType};

/// A version of the shape of the event `T`, and the way from there to today's.
pub trait Shape<T> {
    /// What a payload of this version is read into.
    type Content;

    /// Goes all the way to today.
    ///
    /// # Errors
    ///
    /// [`DecodeFault`], from the first step that failed.
    fn advance(&self, content: Self::Content) -> Result<T, DecodeFault>;

    /// Goes all the way from a stored payload.
    ///
    /// # Errors
    ///
    /// [`DecodeFault`], also if the bytes do not fit.
    fn advance_bytes(&self, codec: Codec, payload: &[u8]) -> Result<T, DecodeFault>;

    /// Goes all the way from where a step before this one has left a JSON value.
    ///
    /// # Errors
    ///
    /// [`DecodeFault`], also if the value does not fit.
    fn advance_value(&self, value: Value) -> Result<T, DecodeFault>;
}

/// A [`Shape`] of any kind that is no longer written.
pub trait OldShape<T> {
    /// Reads a stored payload, and brings it to today's shape.
    ///
    /// # Errors
    ///
    /// [`DecodeFault`].
    fn read(&self, codec: Codec, payload: &[u8]) -> Result<T, DecodeFault>;
}

impl<T, S: Shape<T>> OldShape<T> for S {
    fn read(&self, codec: Codec, payload: &[u8]) -> Result<T, DecodeFault> {
        self.advance_bytes(codec, payload)
    }
}

/// How a type is read. It stands here and is no bound, so that rustc says once that a type cannot be read, where it is used.
#[derive(Debug)]
struct Read<A> {
    bytes: fn(Codec, &[u8]) -> Result<A, BoxError>,
    value: fn(Value) -> Result<A, BoxError>,
}

impl<A: DeserializeOwned> Read<A> {
    const fn new() -> Self {
        Self {
            bytes: |codec, payload| codec.decode(payload),
            value: |value| Ok(serde_json::from_value(value)?),
        }
    }
}

/// The shape of today.
#[derive(Debug)]
pub struct Today<T>(Read<T>);

impl<T: DeserializeOwned> Today<T> {
    pub(crate) const fn new() -> Self {
        Self(Read::new())
    }
}

impl<T> Shape<T> for Today<T> {
    type Content = T;

    fn advance(&self, content: T) -> Result<T, DecodeFault> {
        Ok(content)
    }

    fn advance_bytes(&self, codec: Codec, payload: &[u8]) -> Result<T, DecodeFault> {
        (self.0.bytes)(codec, payload).map_err(DecodeFault::Payload)
    }

    fn advance_value(&self, value: Value) -> Result<T, DecodeFault> {
        (self.0.value)(value).map_err(DecodeFault::Payload)
    }
}

/// A version whose step works on a JSON value.
#[derive(Debug)]
pub struct OnValue<'a, N> {
    pub(crate) from: u32,
    pub(crate) next: &'a N,
    pub(crate) step: fn(Value) -> Result<Value, BoxError>,
}

impl<T, N: Shape<T>> Shape<T> for OnValue<'_, N> {
    type Content = Value;

    fn advance(&self, content: Value) -> Result<T, DecodeFault> {
        self.next.advance_value((self.step)(content).map_err(failed(self.from))?)
    }

    fn advance_bytes(&self, codec: Codec, payload: &[u8]) -> Result<T, DecodeFault> {
        self.advance(codec.decode_value(payload).map_err(DecodeFault::Payload)?)
    }

    fn advance_value(&self, value: Value) -> Result<T, DecodeFault> {
        self.advance(value)
    }
}

/// A version `A` whose step takes a type of the user's, and leads by an answer `O` to `B`.
#[derive(Debug)]
pub struct OnType<'a, N, A, O, B> {
    from: u32,
    next: &'a N,
    step: fn(A) -> Answer<O>,
    outcome: fn(O) -> Result<B, BoxError>,
    read: Read<A>,
}

impl<'a, N, A: DeserializeOwned, O: LeadsTo<B>, B> OnType<'a, N, A, O, B> {
    pub(crate) const fn new(from: u32, next: &'a N, step: fn(A) -> Answer<O>) -> Self {
        Self { from, next, step, outcome: O::outcome, read: Read::new() }
    }
}

impl<T, N: Shape<T, Content = B>, A, O, B> Shape<T> for OnType<'_, N, A, O, B> {
    type Content = A;

    fn advance(&self, content: A) -> Result<T, DecodeFault> {
        let Answer(answer) = (self.step)(content);
        self.next.advance((self.outcome)(answer).map_err(failed(self.from))?)
    }

    fn advance_bytes(&self, codec: Codec, payload: &[u8]) -> Result<T, DecodeFault> {
        self.advance((self.read.bytes)(codec, payload).map_err(DecodeFault::Payload)?)
    }

    fn advance_value(&self, value: Value) -> Result<T, DecodeFault> {
        self.advance((self.read.value)(value).map_err(DecodeFault::Payload)?)
    }
}

/// What a typed step answers: the next version, or why there is none.
#[diagnostic::on_unimplemented(
    message = "this upcast does not lead to `{N}`",
    label = "leads to `{Self}`",
    note = "a typed upcast answers with the next version, or a `Result` of it: with what the next typed upcast takes, or with \
            the event itself after the last one"
)]
pub trait LeadsTo<N> {
    /// The next version.
    ///
    /// # Errors
    ///
    /// What the step says.
    fn outcome(self) -> Result<N, BoxError>;
}

impl<N> LeadsTo<N> for N {
    fn outcome(self) -> Result<N, BoxError> {
        Ok(self)
    }
}

impl<N, E: Into<BoxError>> LeadsTo<N> for Result<N, E> {
    fn outcome(self) -> Result<N, BoxError> {
        self.map_err(Into::into)
    }
}

/// A typed step's answer. Where the next step wants a JSON value, whether it is a `Result` is found out by the order in which
/// rustc looks for methods: serde can write both forms, so that traits alone cannot tell them apart.
#[derive(Debug)]
pub struct Answer<O>(pub O);

/// The answer is a `Result`: found first.
pub trait FallibleValue {
    /// The next version as a value.
    ///
    /// # Errors
    ///
    /// What the step says, or serde of a content that has no JSON form.
    fn value(self) -> Result<Value, BoxError>;
}

impl<N: Serialize, E: Into<BoxError>> FallibleValue for Answer<Result<N, E>> {
    fn value(self) -> Result<Value, BoxError> {
        Ok(serde_json::to_value(self.0.map_err(Into::into)?)?)
    }
}

/// The answer is the next version itself: found where the other is not.
pub trait PlainValue {
    /// The next version as a value.
    ///
    /// # Errors
    ///
    /// What serde says of a content that has no JSON form.
    fn value(&self) -> Result<Value, BoxError>;
}

impl<N: Serialize> PlainValue for Answer<N> {
    fn value(&self) -> Result<Value, BoxError> {
        Ok(serde_json::to_value(&self.0)?)
    }
}

/// The parts that an old event was split into.
#[diagnostic::on_unimplemented(
    message = "this does not split an event into `{E}`",
    label = "leads to `{Self}`",
    note = "a split answers with the event, an `Option`, a `Vec` or an array of it, or a `Result` of one of these: of `{E}`"
)]
pub trait IntoParts<E> {
    /// The parts, in order.
    ///
    /// # Errors
    ///
    /// Why the old event has none.
    fn into_parts(self) -> Result<Vec<E>, BoxError>;
}

impl<E: Event> IntoParts<E> for E {
    fn into_parts(self) -> Result<Vec<E>, BoxError> {
        Ok(vec![self])
    }
}

impl<E: Event> IntoParts<E> for Option<E> {
    fn into_parts(self) -> Result<Vec<E>, BoxError> {
        Ok(self.into_iter().collect())
    }
}

impl<E: Event> IntoParts<E> for Vec<E> {
    fn into_parts(self) -> Result<Vec<E>, BoxError> {
        Ok(self)
    }
}

impl<E: Event, const N: usize> IntoParts<E> for [E; N] {
    fn into_parts(self) -> Result<Vec<E>, BoxError> {
        Ok(self.into())
    }
}

/// An iterator over a `Result` would pass over the error.
impl<E: Event, P: IntoParts<E>, X: Into<BoxError>> IntoParts<E> for Result<P, X> {
    fn into_parts(self) -> Result<Vec<E>, BoxError> {
        self.map_err(Into::into)?.into_parts()
    }
}

/// Reads the content of a recorded event that is of `event_type`, from one of `old_shapes`, in the order of their versions,
/// if it is not in today's.
pub(crate) fn decode<T: DeserializeOwned>(
    recorded: &RecordedEvent,
    event_type: &EventType,
    old_shapes: &[&dyn OldShape<T>],
) -> Result<T, DecodeError> {
    content(recorded, event_type, old_shapes).map_err(|fault| fault_of(recorded, fault))
}

/// Reads an old event, and splits it.
pub(crate) fn split<O: Event, E: Event, P: IntoParts<E>>(
    recorded: &RecordedEvent,
    with: impl Fn(O) -> P,
) -> Result<Decoded<E>, DecodeError> {
    let mut parts = Vec::new();
    // The old event may itself be a part of one that is older.
    for old in O::decode_all(recorded)? {
        let more = with(old).into_parts();
        parts.extend(more.map_err(|source| fault_of(recorded, DecodeFault::Split { source }))?);
    }
    Ok(Decoded::Parts(parts))
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

fn failed(from: u32) -> impl FnOnce(BoxError) -> DecodeFault {
    move |source| DecodeFault::Upcast { from, source }
}

fn content<T: DeserializeOwned>(
    recorded: &RecordedEvent,
    event_type: &EventType,
    old_shapes: &[&dyn OldShape<T>],
) -> Result<T, DecodeFault> {
    let (found, known) = (recorded.schema_version, event_type.schema_version());
    if !event_type.is_named(recorded.name.as_str()) {
        return Err(DecodeFault::UnknownName);
    }
    if found > known {
        return Err(DecodeFault::NewerThanProgram { found, known });
    }
    let Content { codec, bytes } = Content::unpack(&recorded.codec, &recorded.payload)?;
    if found == known {
        return codec.decode(&bytes).map_err(DecodeFault::Payload);
    }
    // A store may hold a version 0 that no program has written.
    let shape = usize::try_from(found).ok().and_then(|found| old_shapes.get(found.checked_sub(1)?));
    let shape = shape.ok_or_else(|| DecodeFault::Upcast {
        from: found,
        source: "there is no step from this version".into(),
    })?;
    shape.read(codec, &bytes)
}
