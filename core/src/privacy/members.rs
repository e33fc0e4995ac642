//! Where the members of a payload are, so that one can be replaced and all others stay byte for byte.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::codec::Codec;
use crate::error::BoxError;

/// A member of the outermost object.
pub(super) struct Member {
    pub(super) key: String,
    /// Where its value is.
    pub(super) value: Range<usize>,
}

/// The members of a payload that is an object. One that is none has none.
pub(super) fn members(codec: Codec, payload: &[u8]) -> Result<Vec<Member>, BoxError> {
    match codec {
        Codec::Json => json(payload),
        #[cfg(feature = "msgpack")]
        Codec::MessagePack => msgpack::members(payload),
    }
}

/// `payload` with other bytes in these places, which are in order and do not overlap.
pub(super) fn replace(payload: &[u8], places: &[(Range<usize>, Vec<u8>)]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(payload.len());
    let mut from = 0;
    for (place, value) in places {
        replaced.extend_from_slice(&payload[from..place.start]);
        replaced.extend_from_slice(value);
        from = place.end;
    }
    replaced.extend_from_slice(&payload[from..]);
    replaced
}

fn json(payload: &[u8]) -> Result<Vec<Member>, BoxError> {
    if payload.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Ok(Vec::new());
    }
    let Members(members) = serde_json::from_slice(payload)?;
    let begin = payload.as_ptr().addr();
    let place = |(key, value): (String, &RawValue)| {
        // The value is a part of the payload.
        let at = value.get().as_ptr().addr() - begin;
        Member { key, value: at..at + value.get().len() }
    };
    Ok(members.into_iter().map(place).collect())
}

/// In the order in which they are written.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(InOrder).map(Self)
    }
}

#[cfg(feature = "msgpack")]
mod msgpack {
    //! By the markers of the format, because `rmp-serde` does not say where a value ends.

    use super::Member;
    use crate::error::BoxError;

    pub(super) fn members(payload: &[u8]) -> Result<Vec<Member>, BoxError> {
        let mut reader = Reader { payload, at: 0 };
        let count = match reader.byte()? {
            marker @ 0x80..=0x8f => usize::from(marker & 0x0f),
            0xde => reader.number(2)?,
            0xdf => reader.number(4)?,
            _ => return Ok(Vec::new()),
        };
        let mut members = Vec::new();
        for _ in 0..count {
            let from = reader.at;
            reader.skip()?;
            let key = super::Codec::MessagePack.decode(&payload[from..reader.at])?;
            let from = reader.at;
            reader.skip()?;
            members.push(Member { key, value: from..reader.at });
        }
        Ok(members)
    }

    struct Reader<'a> {
        payload: &'a [u8],
        at: usize,
    }

    impl Reader<'_> {
        fn bytes(&mut self, count: usize) -> Result<&[u8], BoxError> {
            let end = self.at.checked_add(count).ok_or(CUT_OFF)?;
            let bytes = self.payload.get(self.at..end).ok_or(CUT_OFF)?;
            self.at = end;
            Ok(bytes)
        }

        fn byte(&mut self) -> Result<u8, BoxError> {
            Ok(self.bytes(1)?[0])
        }

        /// A length in so many bytes.
        fn number(&mut self, bytes: usize) -> Result<usize, BoxError> {
            let number = self.bytes(bytes)?.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            Ok(usize::try_from(number)?)
        }

        /// Passes over a value, however deep, without a stack: what counts is how many values are still to come.
        fn skip(&mut self) -> Result<(), BoxError> {
            let mut left = 1_usize;
            while left > 0 {
                let marker = self.byte()?;
                let (bytes, values) = match marker {
                    0x80..=0x8f => (0, 2 * usize::from(marker & 0x0f)),
                    0x90..=0x9f => (0, usize::from(marker & 0x0f)),
                    0xa0..=0xbf => (usize::from(marker & 0x1f), 0),
                    0xc4 | 0xd9 => (self.number(1)?, 0),
                    0xc5 | 0xda => (self.number(2)?, 0),
                    0xc6 | 0xdb => (self.number(4)?, 0),
                    // Of an extension there is its type, too.
                    0xc7 => (self.number(1)? + 1, 0),
                    0xc8 => (self.number(2)? + 1, 0),
                    0xc9 => (self.number(4)? + 1, 0),
                    0xcc | 0xd0 => (1, 0),
                    0xcd | 0xd1 | 0xd4 => (2, 0),
                    0xd5 => (3, 0),
                    0xca | 0xce | 0xd2 => (4, 0),
                    0xd6 => (5, 0),
                    0xcb | 0xcf | 0xd3 => (8, 0),
                    0xd7 => (9, 0),
                    0xd8 => (17, 0),
                    0xdc => (0, self.number(2)?),
                    0xdd => (0, self.number(4)?),
                    0xde => (0, 2 * self.number(2)?),
                    0xdf => (0, self.number(4)?.checked_mul(2).ok_or(CUT_OFF)?),
                    _ => (0, 0),
                };
                self.bytes(bytes)?;
                left = (left - 1).checked_add(values).ok_or(CUT_OFF)?;
            }
            Ok(())
        }
    }

    const CUT_OFF: &str = "the payload is cut off";
}
