//! What of an event is personal: noted when it is encoded, and never stored without being sealed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::codec::Codec;
use crate::error::BoxError;

/// A field of an event that is about a person, and is sealed with the key of that person. Declared by `personal` on the event.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Personal {
    /// As the payload has it.
    pub(crate) field: String,
    /// Whose key.
    pub(crate) subject: String,
    /// What is read in its place when the person is forgotten, by the codec of the payload. It stays in the event, so that a shape of
    /// long ago has a value of its own time and no upcast has to know of it.
    pub(crate) fallback: Vec<u8>,
    /// Whether a payload may have no such field. In any other case one without it has the value somewhere else, where nobody seals it.
    pub(crate) may_be_left_out: bool,
}

impl Personal {
    /// That `field` is about `subject`, and what is read in its place when that is forgotten.
    ///
    /// # Errors
    ///
    /// What serde says of a fallback that cannot be written.
    pub fn new<T: Serialize>(
        field: &str,
        subject: &impl fmt::Display,
        fallback: &T,
        codec: Codec,
    ) -> Result<Self, BoxError> {
        let fallback = codec.encode(fallback)?;
        Ok(Self { field: field.to_owned(), subject: subject.to_string(), fallback, may_be_left_out: false })
    }

    /// And a payload may be without it: serde's `skip_serializing_if`.
    pub fn may_be_left_out(mut self) -> Self {
        self.may_be_left_out = true;
        self
    }
}

/// Without the fallback, which says nothing to anybody.
impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Personal")
            .field("field", &self.field)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

/// A content with what of it is personal: the payload of a new event until it is sealed. No store takes it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Marked {
    pub(crate) personal: Vec<Personal>,
    /// From which size on it is compressed when it is sealed.
    pub(crate) compressed_from: Option<usize>,
}

/// How many bytes the length of the notes has, which stand before the content.
const LENGTH: usize = size_of::<u32>();

impl Marked {
    /// The notes, and then the content.
    pub(crate) fn frame(&self, content: &[u8]) -> Result<Vec<u8>, BoxError> {
        let notes = serde_json::to_vec(self)?;
        let length = u32::try_from(notes.len())?;
        Ok([&length.to_be_bytes()[..], &notes, content].concat())
    }

    /// The notes and the content of a frame.
    pub(crate) fn parse(frame: &[u8]) -> Result<(Self, &[u8]), BoxError> {
        let (length, rest) = frame.split_at_checked(LENGTH).ok_or(BROKEN)?;
        let length = u32::from_be_bytes(length.try_into()?);
        let (notes, content) = rest.split_at_checked(usize::try_from(length)?).ok_or(BROKEN)?;
        Ok((serde_json::from_slice(notes)?, content))
    }
}

const BROKEN: &str = "the notes of what is personal are incomplete";
