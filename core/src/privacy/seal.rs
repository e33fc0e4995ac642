//! Sealing what of an event is personal, and opening it again.
//!
//! A sealed value stands in the place of the field's own, as a text that begins with [`PREFIX`]. It has in it whose key opens it and
//! what is read if that is gone. The key opens it only in the field of the event for which it was sealed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

use super::key::SubjectKey;
use super::members::{members, replace};
use super::personal::{Marked, Personal};
use super::scope::Scope;
use crate::codec::{Codec, Sealing, Stored};
use crate::envelope::{NewEvent, RecordedEvent};
use crate::error::{BoxError, Invalid};
use crate::event::EventName;
use crate::metadata::EventId;
use crate::tag::Tag;

/// What a sealed value begins with. The number is the version of its form.
const PREFIX: &str = "factum.sealed:1:";

/// What is known of a subject's key.
pub(super) enum KeyState {
    /// It is there, and of this generation.
    There(u32, SubjectKey),
    /// The subject was forgotten, with all keys up to this generation.
    Forgotten(u32),
}

/// By the names of their rows.
pub(super) type Keys = HashMap<String, KeyState>;

/// The tag by which events about a subject are found.
pub(super) fn tag_of(subject: &str) -> Result<Tag, crate::name::InvalidName> {
    Tag::of("personal", &subject)
}

/// Who is meant by what is personal in a new event; nobody, if nothing is.
pub(super) fn subjects_of(event: &NewEvent) -> Result<Vec<String>, Invalid> {
    if !Sealing::is_personal(&event.codec) {
        return Ok(Vec::new());
    }
    let (marked, _) = Marked::parse(&event.payload).map_err(|source| not_encoded(&event.name, source))?;
    Ok(marked.personal.into_iter().map(|personal| personal.subject).collect())
}

/// Seals what is personal in a new event. Whose key is not there is an error, or gets the fallback if `blank` says so.
pub(super) fn seal(event: &mut NewEvent, scope: &Scope, keys: &Keys, blank: bool) -> Result<(), Invalid> {
    if !Sealing::is_personal(&event.codec) {
        return Ok(());
    }
    let fault = |source| not_encoded(&event.name, source);
    let (marked, content) = Marked::parse(&event.payload).map_err(fault)?;
    let stored = Stored::of(&event.codec).map_err(|error| fault(error.into()))?;
    let codec = stored.codec;
    let mut tags = Vec::new();
    let mut places = Vec::new();
    let members = members(codec, content).map_err(fault)?;
    let is_there = |personal: &Personal| members.iter().any(|member| member.key == personal.field);
    if let Some(lost) =
        marked.personal.iter().find(|personal| !personal.may_be_left_out && !is_there(personal))
    {
        // Its value may be in the payload under another name.
        return Err(fault(format!("the payload has no field `{}`, which is personal", lost.field).into()));
    }
    for member in members {
        let value = &content[member.value.clone()];
        let Some(personal) = marked.personal.iter().find(|personal| personal.field == member.key) else {
            if sealed_text(codec, value).is_some() {
                let text = format!("the field `{}` begins as only a sealed one does", member.key);
                return Err(fault(text.into()));
            }
            continue;
        };
        let new = match keys.get(&scope.row(&personal.subject)) {
            Some(KeyState::There(generation, key)) => {
                tags.push(scope.tag(&personal.subject)?);
                let bound_to =
                    bound_to(event.id, &event.name, codec, personal, *generation).map_err(fault)?;
                let text = text_of(personal, *generation, &key.seal(value, &bound_to)).map_err(fault)?;
                codec.encode(&text).map_err(fault)?
            }
            _ if blank => personal.fallback.clone(),
            _ => {
                return Err(Invalid::Forgotten {
                    name: event.name.clone(),
                    subject: personal.subject.clone(),
                });
            }
        };
        places.push((member.value, new));
    }
    let (codec, payload) = stored.sealed(marked.compressed_from, replace(content, &places), !tags.is_empty());
    event.metadata.tags.extend(tags);
    (event.codec, event.payload) = (codec, payload.into());
    Ok(())
}

fn not_encoded(name: &EventName, source: BoxError) -> Invalid {
    Invalid::Encode { name: name.clone(), source }
}

/// An event that has sealed values.
pub(super) struct Sealed {
    codec: Codec,
    content: Vec<u8>,
    values: Vec<(Range<usize>, Value)>,
}

/// A sealed value.
struct Value {
    personal: Personal,
    generation: u32,
    sealed: Vec<u8>,
}

impl Sealed {
    /// The sealed values of an event; `None` if it has none. One whose values cannot be told from each other is marked as broken.
    pub(super) fn of(event: &mut RecordedEvent) -> Option<Self> {
        if !Sealing::is_sealed(&event.codec) {
            return None;
        }
        let parsed = Self::parse(event);
        if parsed.is_none() {
            mark(event, Sealing::Broken);
        }
        parsed
    }

    fn parse(event: &RecordedEvent) -> Option<Self> {
        let stored = Stored::of(&event.codec).ok()?;
        let content = stored.unpacked(&event.payload).ok()?.into_owned();
        let mut values = Vec::new();
        for member in members(stored.codec, &content).ok()? {
            let value = &content[member.value.clone()];
            let Some(text) = sealed_text(stored.codec, value) else { continue };
            values.push((member.value, value_of(member.key, &text)?));
        }
        Some(Self { codec: stored.codec, content, values })
    }

    /// Whose keys are needed.
    pub(super) fn subjects(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|(_, value)| &*value.personal.subject)
    }

    /// Puts the values in the clear in `event`, and the fallback where the subject was forgotten. If that cannot be done, the event says
    /// why, to whoever decodes it.
    pub(super) fn open(self, event: &mut RecordedEvent, scope: &Scope, keys: &Keys) {
        let mut places = Vec::new();
        for (place, Value { personal, generation, sealed }) in self.values {
            let new = match keys.get(&scope.row(&personal.subject)) {
                // A key of before, which is gone.
                Some(KeyState::Forgotten(last)) if generation <= *last => personal.fallback,
                Some(KeyState::There(current, _)) if generation < *current => personal.fallback,
                Some(KeyState::There(current, key)) if generation == *current => {
                    let opened = bound_to(event.id, &event.name, self.codec, &personal, generation)
                        .ok()
                        .and_then(|bound_to| key.open(&sealed, &bound_to));
                    match opened {
                        Some(text) => text.to_vec(),
                        None => return mark(event, Sealing::Broken),
                    }
                }
                _ => return mark(event, Sealing::NoKey),
            };
            places.push((place, new));
        }
        event.payload = replace(&self.content, &places).into();
        event.codec = Cow::Borrowed(self.codec.name());
    }
}

fn mark(event: &mut RecordedEvent, sealing: Sealing) {
    event.codec = sealing.mark(&event.codec);
}

/// What a value is bound to, besides its key: it opens nowhere else.
fn bound_to(
    id: EventId,
    name: &EventName,
    codec: Codec,
    personal: &Personal,
    generation: u32,
) -> Result<Vec<u8>, BoxError> {
    let mut bytes = id.0.as_bytes().to_vec();
    bytes.extend(generation.to_be_bytes());
    for part in [
        name.as_str().as_bytes(),
        codec.name().as_bytes(),
        personal.field.as_bytes(),
        personal.subject.as_bytes(),
    ] {
        push(&mut bytes, part)?;
    }
    push(&mut bytes, &personal.fallback)?;
    Ok(bytes)
}

/// The text that stands in the place of a value.
fn text_of(personal: &Personal, generation: u32, sealed: &[u8]) -> Result<String, BoxError> {
    let mut bytes = generation.to_be_bytes().to_vec();
    push(&mut bytes, personal.subject.as_bytes())?;
    push(&mut bytes, &personal.fallback)?;
    bytes.extend_from_slice(sealed);
    Ok(format!("{PREFIX}{}", BASE64.encode(bytes)))
}

/// The text of a member, if it is a sealed one.
fn sealed_text(codec: Codec, value: &[u8]) -> Option<String> {
    // What is no text fails at its first byte.
    let text: String = codec.decode(value).ok()?;
    text.starts_with(PREFIX).then_some(text)
}

fn value_of(field: String, text: &str) -> Option<Value> {
    let bytes = BASE64.decode(text.strip_prefix(PREFIX)?).ok()?;
    let (generation, rest) = bytes.split_at_checked(size_of::<u32>())?;
    let generation = u32::from_be_bytes(generation.try_into().ok()?);
    let (subject, rest) = take(rest)?;
    let (fallback, sealed) = take(rest)?;
    let subject = String::from_utf8(subject.to_vec()).ok()?;
    let personal = Personal { field, subject, fallback: fallback.to_vec(), may_be_left_out: true };
    Some(Value { personal, generation, sealed: sealed.to_vec() })
}

/// Adds a part with its length, so that two parts are never taken for two others.
fn push(bytes: &mut Vec<u8>, part: &[u8]) -> Result<(), BoxError> {
    bytes.extend(u32::try_from(part.len())?.to_be_bytes());
    bytes.extend_from_slice(part);
    Ok(())
}

/// What [`push`] has added, and what follows.
fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(size_of::<u32>())?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    rest.split_at_checked(usize::try_from(length).ok()?)
}
