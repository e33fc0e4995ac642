//! Encrypting the whole payload of an event, with a key of the store.

use std::borrow::Cow;

use super::key::SubjectKey;
use crate::codec::{ENCRYPTED, Sealing, stored_name};
use crate::envelope::{NewEvent, RecordedEvent};
use crate::metadata::EventId;

/// The name under which the key of a store stands among those of persons. Nobody is called that.
pub(super) const STORE: &str = "factum:store";

/// How many bytes the number of the key's generation has, which stands before what is encrypted.
const GENERATION: usize = size_of::<u32>();

/// The key of a store, with its generation.
pub(super) type StoreKey = (u32, SubjectKey);

/// Whether a codec of this name says so.
pub(super) fn is_encrypted(codec: &str) -> bool {
    codec.ends_with(ENCRYPTED)
}

/// Encrypts the payload, as a store would have it.
pub(super) fn encrypt(event: &mut NewEvent, (generation, key): &StoreKey) {
    let bound_to = bound_to(event.id, event.name.as_str(), &event.codec, *generation);
    let encrypted = key.seal(&event.payload, &bound_to);
    event.payload = [&generation.to_be_bytes()[..], &encrypted].concat().into();
    event.codec = Cow::Owned(format!("{}{ENCRYPTED}", event.codec));
}

/// Puts the payload in the place of what was encrypted. If that cannot be done, the event says why, to whoever decodes it.
pub(super) fn decrypt(event: &mut RecordedEvent, key: Option<&StoreKey>) {
    let Some(codec) = event.codec.strip_suffix(ENCRYPTED) else { return };
    let codec = stored_name(codec);
    let Some((generation, key)) = key else {
        event.codec = Sealing::NoKey.mark(&codec);
        return;
    };
    let opened = event.payload.split_at_checked(GENERATION).and_then(|(by, encrypted)| {
        let is_ours = by == generation.to_be_bytes();
        is_ours
            .then(|| bound_to(event.id, event.name.as_str(), &codec, *generation))
            .and_then(|bound_to| key.open(encrypted, &bound_to))
    });
    match opened {
        Some(payload) => (event.codec, event.payload) = (codec, payload.to_vec().into()),
        None => event.codec = Sealing::Broken.mark(&codec),
    }
}

/// What a payload is bound to, besides its key: it opens in no other event, and as nothing else.
fn bound_to(id: EventId, name: &str, codec: &str, generation: u32) -> Vec<u8> {
    // Names have no control characters, so that two parts are never taken for two others.
    [id.0.as_bytes(), &generation.to_be_bytes()[..], name.as_bytes(), b"\0", codec.as_bytes()].concat()
}
