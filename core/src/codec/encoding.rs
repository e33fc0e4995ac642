//! A codec, and whether its bytes are compressed: what is written, and how what was written is found again.

use std::borrow::Cow;

use super::Codec;
use crate::error::DecodeFault;

/// How many bytes a payload may have when it is decompressed. A few kilobytes can unfold to any size: whoever could write to the
/// database would otherwise choose how much memory its readers need. What has more is not compressed when it is written.
pub const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// What follows the name of a codec whose bytes are compressed.
const ZSTD: &str = "+zstd";

/// How new events are written: by a [`Codec`], and from which size on they are compressed. What was written in another way
/// stays readable.
///
/// ```
/// # #[cfg(all(feature = "msgpack", feature = "zstd"))] {
/// use factum::{Codec, Repository, memory::MemoryStore};
/// # use factum::{Aggregate, Apply, Event};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize)]
/// # #[event(name = "order.placed")]
/// # struct Placed;
/// # #[derive(Aggregate, Default)]
/// # #[aggregate(category = "order", id = u64, event = Placed)]
/// # struct Order;
/// # impl Apply<Placed> for Order { fn apply(&mut self, _: Placed) {} }
///
/// let orders = Repository::<Order>::new(MemoryStore::new()).codec(Codec::MessagePack.compressed_from(4096));
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Encoding {
    codec: Codec,
    compressed_from: Option<usize>,
}

impl From<Codec> for Encoding {
    fn from(codec: Codec) -> Self {
        Self::new(codec)
    }
}

impl Encoding {
    /// By `codec`, and never compressed.
    pub const fn new(codec: Codec) -> Self {
        Self { codec, compressed_from: None }
    }

    /// And contents of at least so many bytes are compressed by zstd, if that makes them smaller. Those of less are rarely worth
    /// it: a payload is compressed by itself, and knows nothing of those that look like it.
    #[cfg(feature = "zstd")]
    pub const fn compressed_from(self, bytes: usize) -> Self {
        Self { compressed_from: Some(bytes), ..self }
    }

    /// The codec.
    pub const fn codec(self) -> Codec {
        self.codec
    }

    /// The form in which a store gets the bytes that the codec made, and its name.
    pub(crate) fn pack(self, bytes: Vec<u8>) -> (Cow<'static, str>, Vec<u8>) {
        #[cfg(feature = "zstd")]
        if let Some(least) = self.compressed_from
            && (least..=DECOMPRESSED_BYTES_MAX).contains(&bytes.len())
            && let Some(packed) = super::zstd::compress(&bytes)
        {
            return (stored_name(&format!("{}{ZSTD}", self.codec.name())), packed);
        }
        (self.codec.name().into(), bytes)
    }

    /// The encoding of what a store has under this name: what was compressed is to be so again.
    pub(crate) fn of_stored(name: &str) -> Result<Self, DecodeFault> {
        let (codec, is_compressed) = split(name)?;
        Ok(Self { codec, compressed_from: is_compressed.then_some(0) })
    }
}

/// The bytes that a codec has made, and which one that was.
pub(crate) struct Content<'a> {
    pub(crate) codec: Codec,
    pub(crate) bytes: Cow<'a, [u8]>,
}

impl<'a> Content<'a> {
    /// The content of a payload that a store has under the codec's `name`.
    pub(crate) fn unpack(name: &str, payload: &'a [u8]) -> Result<Self, DecodeFault> {
        let (codec, is_compressed) = split(name)?;
        let bytes = if is_compressed { decompress(payload)?.into() } else { payload.into() };
        Ok(Self { codec, bytes })
    }
}

#[cfg(feature = "zstd")]
fn decompress(payload: &[u8]) -> Result<Vec<u8>, DecodeFault> {
    super::zstd::decompress(payload, DECOMPRESSED_BYTES_MAX)
}

#[cfg(not(feature = "zstd"))]
fn decompress(_: &[u8]) -> Result<Vec<u8>, DecodeFault> {
    unreachable!("without the feature, no name is one of something compressed")
}

/// The codec of this name, and whether its bytes are compressed.
fn split(name: &str) -> Result<(Codec, bool), DecodeFault> {
    let (codec, is_compressed) = match name.strip_suffix(ZSTD) {
        Some(codec) => (codec, true),
        None => (name, false),
    };
    let missing = |feature| DecodeFault::CodecNotBuilt { codec: name.to_owned(), feature };
    match Codec::named(codec) {
        Some(_) if is_compressed && cfg!(not(feature = "zstd")) => Err(missing("zstd")),
        Some(codec) => Ok((codec, is_compressed)),
        None if codec == "msgpack" => Err(missing("msgpack")),
        None => Err(DecodeFault::UnknownCodec { codec: name.to_owned() }),
    }
}

/// For stores: the name of a codec as an event keeps it, without a copy where factum itself has given it.
pub fn stored_name(name: &str) -> Cow<'static, str> {
    const KNOWN: [&str; 4] = ["json", "json+zstd", "msgpack", "msgpack+zstd"];
    KNOWN.into_iter().find(|known| *known == name).map_or_else(|| name.to_owned().into(), Cow::Borrowed)
}
