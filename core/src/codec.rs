//! How the content of an event becomes bytes, and comes back.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::BoxError;

/// How the content of an event becomes bytes. The store keeps the codec's name beside every event, so that one
/// store may hold several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// JSON by `serde_json`: readable by people and by every database.
    #[default]
    Json,
}

impl Codec {
    /// The name under which the store keeps it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
        }
    }

    /// The codec a store has kept as `name`, if this program knows it.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// The bytes of `content`.
    ///
    /// # Errors
    ///
    /// What serde says, for instance that a map has keys which are not strings.
    pub fn encode<T: Serialize>(self, content: &T) -> Result<Vec<u8>, BoxError> {
        match self {
            Self::Json => Ok(serde_json::to_vec(content)?),
        }
    }

    /// The content that `bytes` were made from.
    ///
    /// # Errors
    ///
    /// What serde says, with line and column.
    pub fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, BoxError> {
        match self {
            Self::Json => Ok(serde_json::from_slice(bytes)?),
        }
    }
}
