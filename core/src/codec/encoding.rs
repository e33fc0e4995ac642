//! A codec, and whether its bytes are compressed: what is written, and how what was written is found again.

use std::borrow::Cow;

use super::Codec;
use crate::error::{BoxError, DecodeFault};
use crate::privacy::{Marked, Personal};

/// How many bytes a payload may have when it is decompressed. A few kilobytes can unfold to any size: whoever could write to the
/// database would otherwise choose how much memory its readers need. What has more is not compressed when it is written.
pub const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// What follows the name of a codec whose bytes are compressed.
const ZSTD: &str = "+zstd";

/// What follows the name of a codec whose bytes are encrypted as a whole.
pub(crate) const ENCRYPTED: &str = "+encrypted";

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

    /// The form in which a vault gets the bytes that the codec made, and which of them are personal. No store takes it.
    pub(crate) fn pack_personal(
        self,
        bytes: &[u8],
        personal: Vec<Personal>,
    ) -> Result<(Cow<'static, str>, Vec<u8>), BoxError> {
        let marked = Marked { personal, compressed_from: self.compressed_from };
        let name = Stored { codec: self.codec, sealing: Sealing::Personal, is_compressed: false }.name();
        Ok((name, marked.frame(bytes)?))
    }

    /// The encoding of what a store has under this name: what was compressed is to be so again.
    pub(crate) fn of_stored(name: &str) -> Result<Self, DecodeFault> {
        let stored = Stored::of(name)?;
        Ok(Self { codec: stored.codec, compressed_from: stored.is_compressed.then_some(0) })
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
        if name.ends_with(ENCRYPTED) {
            return Err(DecodeFault::Sealed);
        }
        let stored = Stored::of(name)?;
        let bytes = match stored.sealing {
            Sealing::Plain => stored.unpacked(payload)?,
            // It comes from no store, but from somebody who tests.
            Sealing::Personal => Marked::parse(payload).map_err(DecodeFault::Payload)?.1.into(),
            Sealing::Sealed => return Err(DecodeFault::Sealed),
            Sealing::NoKey => return Err(DecodeFault::NoKey),
            Sealing::Broken => return Err(DecodeFault::SealBroken),
        };
        Ok(Self { codec: stored.codec, bytes })
    }
}

/// What the stored name of a codec says.
#[derive(Clone, Copy)]
pub(crate) struct Stored {
    pub(crate) codec: Codec,
    sealing: Sealing,
    is_compressed: bool,
}

/// How it is with what of a payload is personal.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Sealing {
    /// Nothing is, or all of it was opened.
    Plain,
    /// It is in the clear, with notes of what it is: only in memory.
    Personal,
    /// It is sealed: in stores.
    Sealed,
    /// It was not opened, because there is no key, and no note that there was one: only in memory.
    NoKey,
    /// It was not opened, because it is not what was sealed here: only in memory.
    Broken,
}

impl Sealing {
    const ALL: [Self; 5] = [Self::Plain, Self::Personal, Self::Sealed, Self::NoKey, Self::Broken];

    /// What follows the name of the codec.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Personal => "+personal",
            Self::Sealed => "+sealed",
            Self::NoKey => "+no-key",
            Self::Broken => "+broken",
        }
    }

    /// Whether a codec of this name says that there is something to be sealed.
    #[cfg(feature = "privacy")]
    pub(crate) fn is_personal(name: &str) -> bool {
        name.ends_with(Self::Personal.suffix())
    }

    /// Whether a codec of this name says so.
    #[cfg(feature = "privacy")]
    pub(crate) fn is_sealed(name: &str) -> bool {
        name.strip_suffix(ZSTD).unwrap_or(name).ends_with(Self::Sealed.suffix())
    }

    /// Whether a store may have events by a codec of this name.
    pub(crate) fn is_storable(name: &str) -> bool {
        [Self::Personal, Self::NoKey, Self::Broken].iter().all(|sealing| !name.ends_with(sealing.suffix()))
    }

    /// The name that says so of what was sealed under this one.
    #[cfg(feature = "privacy")]
    pub(crate) fn mark(self, name: &str) -> Cow<'static, str> {
        let codec = name.split('+').next().unwrap_or_default();
        format!("{codec}{}", self.suffix()).into()
    }
}

impl Stored {
    /// What this name says.
    pub(crate) fn of(name: &str) -> Result<Self, DecodeFault> {
        let (rest, is_compressed) = match name.strip_suffix(ZSTD) {
            Some(rest) => (rest, true),
            None => (name, false),
        };
        let unknown = || DecodeFault::UnknownCodec { codec: name.to_owned() };
        let codec = rest.split('+').next().unwrap_or_default();
        let sealing = Sealing::ALL.into_iter().find(|sealing| rest[codec.len()..] == *sealing.suffix());
        let sealing = sealing.ok_or_else(unknown)?;
        let missing = |feature| DecodeFault::CodecNotBuilt { codec: name.to_owned(), feature };
        match Codec::named(codec) {
            Some(_) if is_compressed && cfg!(not(feature = "zstd")) => Err(missing("zstd")),
            Some(codec) => Ok(Self { codec, sealing, is_compressed }),
            None if codec == "msgpack" => Err(missing("msgpack")),
            None => Err(unknown()),
        }
    }

    fn name(self) -> Cow<'static, str> {
        let Self { codec, sealing, is_compressed } = self;
        stored_name(&format!("{}{}{}", codec.name(), sealing.suffix(), if is_compressed { ZSTD } else { "" }))
    }

    /// The bytes that the codec has made.
    pub(crate) fn unpacked(self, payload: &[u8]) -> Result<Cow<'_, [u8]>, DecodeFault> {
        if self.is_compressed { decompress(payload).map(Into::into) } else { Ok(payload.into()) }
    }

    /// The form in which a store gets bytes in which nothing personal is in the clear any more, and its name, which says whether
    /// something is sealed.
    #[cfg(feature = "privacy")]
    pub(crate) fn sealed(
        self,
        compressed_from: Option<usize>,
        bytes: Vec<u8>,
        is_sealed: bool,
    ) -> (Cow<'static, str>, Vec<u8>) {
        let (name, bytes) = Encoding { codec: self.codec, compressed_from }.pack(bytes);
        let sealing = if is_sealed { Sealing::Sealed } else { Sealing::Plain };
        (Self { sealing, is_compressed: name.ends_with(ZSTD), ..self }.name(), bytes)
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

/// For stores: the name of a codec as an event keeps it, without a copy where factum itself has given it.
pub fn stored_name(name: &str) -> Cow<'static, str> {
    const KNOWN: [&str; 8] = [
        "json",
        "json+zstd",
        "json+sealed",
        "json+sealed+zstd",
        "msgpack",
        "msgpack+zstd",
        "msgpack+sealed",
        "msgpack+sealed+zstd",
    ];
    KNOWN.into_iter().find(|known| *known == name).map_or_else(|| name.to_owned().into(), Cow::Borrowed)
}
