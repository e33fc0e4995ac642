//! What every codec gives back, and what it does with bytes that it has not made.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::*;
use crate::error::DecodeFault;

const CODECS: [Codec; 2] = [Codec::Json, Codec::MessagePack];

/// What both codecs hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Anything {
    large: u64,
    small: i64,
    float: f64,
    text: String,
    list: Vec<Option<bool>>,
    by_number: BTreeMap<i32, String>,
    inner: Option<Box<Anything>>,
    choice: Choice,
    id: uuid::Uuid,
    at: chrono::DateTime<chrono::Utc>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Choice {
    Unit,
    New(u8),
    Tuple(i8, char),
    Struct { bytes: Vec<u8> },
}

fn choices() -> impl Strategy<Value = Choice> {
    prop_oneof![
        Just(Choice::Unit),
        any::<u8>().prop_map(Choice::New),
        any::<(i8, char)>().prop_map(|(number, letter)| Choice::Tuple(number, letter)),
        vec(any::<u8>(), 0..9).prop_map(|bytes| Choice::Struct { bytes }),
    ]
}

fn anything() -> impl Strategy<Value = Anything> {
    let float = prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL;
    let numbers =
        (prop_oneof![Just(u64::MAX), any::<u64>()], prop_oneof![Just(i64::MIN), any::<i64>()], float);
    let texts =
        (any::<String>(), vec(any::<Option<bool>>(), 0..4), btree_map(any::<i32>(), any::<String>(), 0..4));
    let times = (any::<u128>(), 0..4_000_000_000_i64);
    let one =
        (numbers, texts, choices(), times).prop_map(|(numbers, texts, choice, (id, seconds))| Anything {
            large: numbers.0,
            small: numbers.1,
            float: numbers.2,
            text: texts.0,
            list: texts.1,
            by_number: texts.2,
            inner: None,
            choice,
            id: uuid::Uuid::from_u128(id),
            at: chrono::DateTime::from_timestamp(seconds, 1_000).expect("a time of the calendar"),
        });
    vec(one, 1..4).prop_map(|all| {
        let nested = all.into_iter().reduce(|inner, outer| Anything { inner: Some(inner.into()), ..outer });
        nested.expect("there is at least one")
    })
}

/// Bytes and not a list of numbers, as `serde_bytes` has it.
#[derive(Debug, PartialEq)]
struct Raw(Vec<u8>);

impl Serialize for Raw {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> serde::de::Visitor<'de> for Bytes {
            type Value = Raw;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Raw, E> {
                Ok(Raw(bytes.to_vec()))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(Raw(bytes))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(content in anything()) {
        for codec in CODECS {
            for encoding in [Encoding::from(codec), codec.compressed_from(0)] {
                let (name, payload) = encoding.pack(codec.encode(&content).unwrap());
                let found = Content::unpack(&name, &payload).unwrap();
                prop_assert_eq!(found.codec, codec);
                prop_assert_eq!(&codec.decode::<Anything>(&found.bytes).unwrap(), &content);
                // And in the way of an upcast.
                let value = codec.decode_value(&found.bytes).unwrap();
                prop_assert_eq!(&serde_json::from_value::<Anything>(value).unwrap(), &content);
            }
        }
    }

    #[test]
    fn an_upcast_sees_the_same_value_in_every_codec(content in anything()) {
        let [json, msgpack] = CODECS.map(|codec| codec.decode_value(&codec.encode(&content).unwrap()).unwrap());
        prop_assert_eq!(&json, &msgpack);
        prop_assert_eq!(&json, &serde_json::to_value(&content).unwrap());
    }

    #[test]
    fn what_was_garbled_or_cut_off_is_an_error_or_a_content_and_no_panic(
        content in anything(),
        cut in any::<prop::sample::Index>(),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        for encoding in [Codec::Json.into(), Codec::MessagePack.into(), Codec::Json.compressed_from(0), Codec::MessagePack.compressed_from(0)] {
            let encoding: Encoding = encoding;
            let (name, mut payload) = encoding.pack(encoding.codec().encode(&content).unwrap());
            let whole = payload.clone();
            payload.truncate(cut.index(payload.len()));
            if let Ok(found) = Content::unpack(&name, &payload) {
                prop_assert!(found.codec.decode::<Anything>(&found.bytes).is_err(), "a part is never taken for the whole");
            }
            let mut payload = whole;
            for (at, byte) in &flips {
                let at = at.index(payload.len());
                payload[at] = *byte;
            }
            if let Ok(found) = Content::unpack(&name, &payload) {
                let _ = found.codec.decode::<Anything>(&found.bytes);
                let _ = found.codec.decode_value(&found.bytes);
            }
        }
    }

    #[test]
    fn bytes_from_nowhere_are_no_panic(bytes in vec(any::<u8>(), 0..200)) {
        for name in ["json", "json+zstd", "msgpack", "msgpack+zstd"] {
            if let Ok(found) = Content::unpack(name, &bytes) {
                let _ = found.codec.decode::<Anything>(&found.bytes);
                let _ = found.codec.decode_value(&found.bytes);
            }
        }
    }
}

#[test]
fn what_json_cannot_hold_messagepack_can() {
    let codec = Codec::MessagePack;
    let bytes = codec.encode(&(f64::INFINITY, f64::NAN)).unwrap();
    let (infinite, none) = codec.decode::<(f64, f64)>(&bytes).unwrap();
    assert!(infinite.is_infinite() && none.is_nan());
    assert_eq!(codec.decode_value(&bytes).unwrap(), json!([null, null]), "as JSON writes it");

    let raw = Raw((0..=255).collect());
    let bytes = codec.encode(&raw).unwrap();
    assert_eq!(bytes.len(), 256 + 3, "bytes are bytes");
    assert_eq!(codec.decode::<Raw>(&bytes).unwrap(), raw);
    assert_eq!(serde_json::from_value::<Raw>(codec.decode_value(&bytes).unwrap()).unwrap(), raw);

    let by_pair = BTreeMap::from([((1, 2), 'a')]);
    assert!(Codec::Json.encode(&by_pair).is_err());
    let bytes = codec.encode(&by_pair).unwrap();
    assert_eq!(codec.decode::<BTreeMap<(u8, u8), char>>(&bytes).unwrap(), by_pair);
    assert!(codec.decode_value(&bytes).is_err(), "such a key has no form in JSON");
}

#[test]
fn what_follows_the_content_is_an_error() {
    for codec in CODECS {
        let mut bytes = codec.encode(&json!({ "a": 1 })).unwrap();
        bytes.extend(codec.encode(&7).unwrap());
        assert!(codec.decode::<Value>(&bytes).is_err(), "{codec:?}");
    }
}

#[test]
fn a_content_nested_too_deeply_is_an_error_and_no_full_stack() {
    let nested = |depth: usize| [vec![0x91; depth], vec![0xc0]].concat();
    assert!(Codec::MessagePack.decode_value(&nested(100)).is_ok());
    assert!(Codec::MessagePack.decode_value(&nested(1_000_000)).is_err());
}

#[test]
fn only_what_gets_smaller_is_compressed() {
    let name_of = |encoding: Encoding, bytes: &[u8]| encoding.pack(bytes.to_vec()).0.into_owned();
    let long = vec![b' '; 5000];
    assert_eq!(name_of(Codec::Json.compressed_from(5000), &long), "json+zstd");
    assert_eq!(name_of(Codec::Json.compressed_from(5001), &long), "json");
    assert_eq!(name_of(Codec::MessagePack.compressed_from(0), b"ab"), "msgpack", "there is nothing to win");
    assert_eq!(name_of(Codec::MessagePack.into(), &long), "msgpack");
    assert_eq!(Encoding::of_stored("json+zstd").unwrap(), Codec::Json.compressed_from(0));
    let too_large = vec![b' '; DECOMPRESSED_BYTES_MAX + 1];
    assert_eq!(name_of(Codec::Json.compressed_from(0), &too_large), "json", "nobody would unpack it again");
}

#[test]
fn a_payload_that_unfolds_without_end_is_an_error() {
    let fits = zstd::compress(&vec![b' '; 10_000]).unwrap();
    assert_eq!(zstd::decompress(&fits, 10_000).unwrap().len(), 10_000);
    assert!(matches!(zstd::decompress(&fits, 9_999), Err(DecodeFault::TooLarge { bytes_max: 9_999 })));
    let bomb = zstd::compress(&vec![b' '; DECOMPRESSED_BYTES_MAX + 1]).unwrap();
    assert!(bomb.len() < 10_000, "a few bytes are enough");
    let fault = Content::unpack("json+zstd", &bomb).err().unwrap();
    assert!(matches!(fault, DecodeFault::TooLarge { bytes_max: DECOMPRESSED_BYTES_MAX }), "{fault:?}");
}

#[test]
fn a_codec_that_nobody_knows_is_told_by_its_name() {
    for name in ["cbor", "cbor+zstd", "json+lz4", "+zstd", "", "json+zstd+zstd", "JSON"] {
        let fault = Content::unpack(name, b"1").err().unwrap();
        assert!(matches!(fault, DecodeFault::UnknownCodec { codec } if codec == name));
    }
}
