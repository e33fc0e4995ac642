//! How the content of an event becomes bytes, and comes back.

mod encoding;
#[cfg(feature = "msgpack")]
mod msgpack;
#[cfg(all(test, feature = "msgpack", feature = "zstd"))]
mod tests;
#[cfg(feature = "zstd")]
mod zstd;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use self::encoding::{Content, Sealing};
pub use self::encoding::{DECOMPRESSED_BYTES_MAX, Encoding, stored_name};
#[cfg(feature = "privacy")]
pub(crate) use self::encoding::{ENCRYPTED, Stored};
use crate::error::BoxError;

/// How the content of an event becomes bytes. The store keeps the codec's name beside every event, so that one
/// store may hold several, and a program reads all that it knows, whichever it writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// JSON by `serde_json`: readable by people and by every database.
    #[default]
    Json,
    /// MessagePack by `rmp-serde`, with the names of fields: smaller than JSON and read faster, and not by people. It also holds
    /// what JSON does not: numbers that are not finite, and bytes as bytes. Types that look different to people and to machines
    /// (an id, an address) are written as for people, so that an upcast sees in both codecs the same.
    #[cfg(feature = "msgpack")]
    MessagePack,
}

impl Codec {
    /// The name under which the store keeps it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            #[cfg(feature = "msgpack")]
            Self::MessagePack => "msgpack",
        }
    }

    /// The codec a store has kept as `name`, if this program knows it.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            #[cfg(feature = "msgpack")]
            "msgpack" => Some(Self::MessagePack),
            _ => None,
        }
    }

    /// And contents of at least so many bytes are compressed, see [`Encoding::compressed_from`].
    #[cfg(feature = "zstd")]
    pub const fn compressed_from(self, bytes: usize) -> Encoding {
        Encoding::new(self).compressed_from(bytes)
    }

    /// The bytes of `content`.
    ///
    /// # Errors
    ///
    /// What serde says, for instance that a map has keys which are not strings.
    pub fn encode<T: Serialize>(self, content: &T) -> Result<Vec<u8>, BoxError> {
        match self {
            Self::Json => Ok(serde_json::to_vec(content)?),
            #[cfg(feature = "msgpack")]
            Self::MessagePack => msgpack::encode(content),
        }
    }

    /// The content that `bytes` were made from.
    ///
    /// # Errors
    ///
    /// What serde says, in JSON with line and column.
    pub fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, BoxError> {
        match self {
            Self::Json => Ok(serde_json::from_slice(bytes)?),
            #[cfg(feature = "msgpack")]
            Self::MessagePack => msgpack::decode(bytes),
        }
    }

    /// The content that `bytes` were made from, as upcasts on JSON values see it, whatever the codec is.
    ///
    /// What JSON does not have comes as `serde_json` would have written it: bytes as numbers, keys as texts, a number that is not
    /// finite as `null`.
    ///
    /// # Errors
    ///
    /// As [`decode`](Codec::decode).
    pub fn decode_value(self, bytes: &[u8]) -> Result<Value, BoxError> {
        match self {
            Self::Json => self.decode(bytes),
            #[cfg(feature = "msgpack")]
            Self::MessagePack => msgpack::decode_value(bytes),
        }
    }
}
