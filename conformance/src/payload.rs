//! Law 10: what is given back is what was given: payload bytes, metadata, names and numbers.

use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};
use factum_core::store::{Append, Filter, ReadAll};
use factum_core::{
    EventId, EventStore, Expected, Metadata, NAME_BYTES_MAX, NewEvent, Position, StreamId, Tag, Version,
};
use uuid::Uuid;

use crate::Fixture;
use crate::given::{event, event_named, events, ids_of, stream, stream_of};
use crate::seen::{append, assert_kept, everything, ids, versions, walk, whole};

/// Texts that stores, drivers and encodings have been known to change.
const TEXTS: &[&str] = &[
    "",
    " ",
    "a",
    " a ",
    "a\tb",
    "a\r\nb\n",
    "\0",
    "a\0b",
    "\u{1}\u{7f}\u{85}",
    "'",
    "''",
    "\"",
    "\\",
    "\\\\",
    "\\u0000",
    "%s%d{}",
    "$1 ?1 :a @a",
    "'; DROP TABLE events; --",
    "null",
    "NaN",
    "é",
    "e\u{301}",
    "ß ẞ ss",
    "İıIi",
    "中文",
    "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
    "\u{10ffff}",
    "\u{feff}bom",
    "\u{202e}rtl",
    "\u{fffd}",
    "a\u{a0}",
];

/// Payloads come back byte for byte: they may be empty, no text, or all bytes there are.
pub async fn payloads_come_back_byte_for_byte<F: Fixture>(fixture: F) {
    let all: Vec<u8> = (0..=u8::MAX).collect();
    let payloads: [&[u8]; 14] = [
        b"",
        b"\0",
        b"\0\0\0",
        b"a\0b",
        b" ",
        b"\n",
        b"\r\n",
        b"\\x00",
        b"'\"\\%_$1",
        b"\xff",
        b"\xc3\x28",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbfbom",
        &all,
    ];
    let given = payloads.map(|payload| NewEvent { payload: Bytes::copy_from_slice(payload), ..event() });
    come_back(&fixture, &given).await;
    // The same, where the codec promises text.
    let texts = TEXTS.iter().map(|text| NewEvent { payload: Bytes::from_static(text.as_bytes()), ..event() });
    come_back(&fixture, &texts.collect::<Vec<_>>()).await;
}

/// JSON comes back as it was written: blanks, the order of keys, keys that are there twice, and numbers in their form.
pub async fn json_is_not_rewritten<F: Fixture>(fixture: F) {
    let payloads = [
        r#"{"b":1,"a":2}"#,
        r#"{ "b" : 1 , "a" : [ 1,2 , 3 ] }"#,
        "\n{\n\t\"a\": 1\r\n}\n",
        r#"{"a":1,"a":2,"a":3}"#,
        r#"{"n":1.0,"m":1.00,"e":1e2,"E":1E+2,"z":-0,"zz":0.0}"#,
        r#"{"n":123456789012345678901234567890,"f":0.1234567890123456789012345678901234567890}"#,
        r#"{"s":"\u0041\/\u00e9\ud83e\udd80\u0000"}"#,
        r#"{"é":"é","":"","\u0061":1}"#,
        "{}",
        "[]",
        "null",
        " null ",
        "true",
        "\"text\"",
        "1e400",
    ];
    let given =
        payloads.map(|payload| NewEvent { payload: Bytes::from_static(payload.as_bytes()), ..event() });
    come_back(&fixture, &given).await;
}

/// A payload as large as the store's limit comes back, and so do some smaller ones around the sizes at which stores
/// change how they keep them.
pub async fn large_payloads_come_back<F: Fixture>(fixture: F) {
    let most = fixture.limits().payload_bytes_max;
    let sizes = [255, 256, 2000, 4095, 4096, 8192, 65_535, 65_536, 100_000, most.saturating_sub(1), most];
    let given: Vec<_> = sizes
        .into_iter()
        .filter(|size| *size <= most)
        .map(|size| {
            // Bytes that do not compress, so that what is cut off or doubled shows.
            let mut state = 0x9e37_79b9_u32;
            let random = std::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                state.to_le_bytes()[1]
            });
            NewEvent { payload: random.take(size).collect(), ..event() }
        })
        .collect();
    assert!(given.iter().any(|event| event.payload.len() == most), "the limit itself was tried");
    come_back(&fixture, &given).await;
}

/// The codec's name and the version of the payload's shape come back, up to the largest.
pub async fn codec_and_schema_version_come_back<F: Fixture>(fixture: F) {
    let longest = "c".repeat(NAME_BYTES_MAX);
    let codecs =
        ["json", "JSON", "json ", "cbor", "application/vnd.x+json; v=1", "é", "e\u{301}", "'", &longest];
    let versions = [1, 2, 255, 256, 32_767, 32_768, 65_536, 2_147_483_646, 2_147_483_647];
    let given: Vec<_> = codecs
        .into_iter()
        .zip(versions)
        .map(|(codec, schema_version)| NewEvent { codec: codec.to_owned().into(), schema_version, ..event() })
        .collect();
    come_back(&fixture, &given).await;
}

/// Metadata comes back equal, whichever parts of it there are.
pub async fn metadata_comes_back_equal<F: Fixture>(fixture: F) {
    let whole = Metadata {
        correlation_id: Some(Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0)),
        causation_id: Some(EventId::new()),
        actor: Some("user:42".into()),
        occurred_at: Some(time("2026-02-28T23:59:59.123456789Z")),
        tags: [Tag::new("order:42").expect("a tag"), Tag::new("a \"b\" \\ ü").expect("a tag")].into(),
        fields: [("tenant".to_owned(), "acme".to_owned()), ("trace".to_owned(), "00-4bf9-01".to_owned())]
            .into(),
    };
    let none = Metadata::default();
    let given = [
        none.clone(),
        whole.clone(),
        Metadata { correlation_id: whole.correlation_id, ..none.clone() },
        Metadata { correlation_id: Some(Uuid::nil()), ..none.clone() },
        Metadata { correlation_id: Some(Uuid::max()), ..none.clone() },
        Metadata { causation_id: whole.causation_id, ..none.clone() },
        Metadata { causation_id: Some(EventId(Uuid::nil())), ..none.clone() },
        Metadata { actor: whole.actor.clone(), ..none.clone() },
        Metadata { occurred_at: whole.occurred_at, ..none.clone() },
        Metadata { tags: whole.tags.clone(), ..none.clone() },
        Metadata { fields: whole.fields.clone(), ..none.clone() },
        Metadata { correlation_id: None, ..whole.clone() },
        Metadata { causation_id: None, ..whole.clone() },
        Metadata { actor: None, ..whole.clone() },
        Metadata { occurred_at: None, ..whole.clone() },
        Metadata { tags: none.tags.clone(), ..whole.clone() },
        Metadata { fields: none.fields.clone(), ..whole },
    ]
    .map(|metadata| NewEvent { metadata, ..event() });
    come_back(&fixture, &given).await;
}

/// The text of metadata comes back: any field's name and value, also with NUL, quotes, and the names that metadata has
/// itself.
pub async fn metadata_text_comes_back<F: Fixture>(fixture: F) {
    let mut given = Vec::new();
    for &text in TEXTS {
        let field = |name: &str, value: &str| Metadata {
            fields: [(name.to_owned(), value.to_owned())].into(),
            ..Metadata::default()
        };
        given.push(field("value", text));
        given.push(field(text, "name"));
    }
    given.extend(names().map(|name| Metadata { actor: Some(name.to_owned()), ..Metadata::default() }));
    let all = TEXTS.iter().map(|text| ((*text).to_owned(), (*text).to_owned()));
    given.push(Metadata { fields: all.collect(), ..Metadata::default() });
    let own = ["correlation_id", "causation_id", "actor", "occurred_at", "fields", "id", "type", "$type"];
    let own = own.map(|name| (name.to_owned(), format!("not the {name}")));
    given.push(Metadata { actor: Some("somebody".into()), fields: own.into(), ..Metadata::default() });
    given.push(Metadata { actor: Some("é".repeat(NAME_BYTES_MAX / 2)), ..Metadata::default() });
    let given: Vec<_> = given.into_iter().map(|metadata| NewEvent { metadata, ..event() }).collect();
    come_back(&fixture, &given).await;
}

/// Metadata as large as the store's limit comes back.
pub async fn large_metadata_comes_back<F: Fixture>(fixture: F) {
    let most = fixture.limits().metadata_bytes_max;
    let filled = |bytes: usize| Metadata {
        fields: [("filling".to_owned(), "x".repeat(bytes))].into(),
        ..Metadata::default()
    };
    let metadata = filled(most - filled(0).to_json().len());
    assert_eq!(metadata.to_json().len(), most);
    come_back(&fixture, &[NewEvent { metadata, ..event() }]).await;
}

/// When something was true in the world comes back to the nanosecond, also long ago, far ahead, and in a leap second.
pub async fn times_come_back_to_the_nanosecond<F: Fixture>(fixture: F) {
    let texts = [
        "2026-02-28T12:34:56.123456789Z",
        "2026-02-28T12:34:56.000000001Z",
        "2026-02-28T12:34:56.999999999Z",
        "2026-02-28T12:34:56.100Z",
        "2026-02-28T12:34:56Z",
        "1970-01-01T00:00:00Z",
        "1969-12-31T23:59:59.999999999Z",
        "1900-01-01T00:00:00.000000001Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999999Z",
        "2038-01-19T03:14:08Z",
        "2016-12-31T23:59:60.5Z",
    ];
    let ancient = NaiveDate::from_ymd_opt(-4712, 1, 1).and_then(|day| day.and_hms_opt(12, 0, 0));
    let more = [
        ancient.expect("a day that chrono knows").and_utc(),
        DateTime::<Utc>::MIN_UTC,
        DateTime::<Utc>::MAX_UTC,
    ];
    let given: Vec<_> = texts
        .into_iter()
        .map(time)
        .chain(more)
        .map(|at| NewEvent { metadata: Metadata { occurred_at: Some(at), ..Metadata::default() }, ..event() })
        .collect();
    come_back(&fixture, &given).await;
}

/// Event names come back, and find their events: they are neither patterns nor code, and as long as a name may be.
pub async fn event_names_come_back<F: Fixture>(fixture: F) {
    let long = ["n".repeat(NAME_BYTES_MAX), format!("{}xyz", "\u{1f980}".repeat(63))];
    let given: Vec<_> = names().chain(long.iter().map(String::as_str)).map(event_named).collect();
    come_back(&fixture, &given).await;
    let store = fixture.store();
    let feed = everything(store).await;
    let last = feed.last().expect("it was written").position;
    for event in &given {
        let filter = Filter { names: vec![event.name.clone()], ..Filter::all() };
        let passed: Vec<_> = feed.iter().filter(|event| filter.passes(event)).cloned().collect();
        assert_eq!(passed.len(), 2, "once together with the others and once alone");
        let found = walk(store, ReadAll::after(Position::START).filter(filter).limit(10), last).await;
        assert_eq!(found, passed, "{:?} finds its events", event.name);
    }
}

/// Names of streams come back: they are neither patterns nor code.
pub async fn stream_names_come_back<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let streams: Vec<_> = names().flat_map(|name| [stream_of(name, "1"), stream_of("order", name)]).collect();
    each_is_a_stream_of_its_own(store, &streams).await;
}

/// Category and id may each be as long as a name may be, in bytes and not in characters, and differ in the last of them.
pub async fn names_as_long_as_allowed_come_back<F: Fixture>(fixture: F) {
    let long = |last: &str| format!("{}{last}", "x".repeat(NAME_BYTES_MAX - last.len()));
    let crabs = |last: &str| format!("{}{last}", "\u{1f980}".repeat((NAME_BYTES_MAX - last.len()) / 4));
    let mut streams = Vec::new();
    for category in [long("a"), long("b"), crabs("abc"), crabs("abd")] {
        assert_eq!(category.len(), NAME_BYTES_MAX);
        for id in [long("a"), long("b"), long("/"), crabs("abc")] {
            streams.push(stream_of(&category, &id));
        }
    }
    each_is_a_stream_of_its_own(fixture.store(), &streams).await;
}

/// Streams that look alike are different streams: they differ in case, in blanks at an end, or in the unicode form.
pub async fn streams_that_look_alike_are_different<F: Fixture>(fixture: F) {
    let alike: [&[&str]; 11] = [
        &["order", "Order", "ORDER"],
        &["a", "a ", " a", "a  ", "a\u{a0}", "a\u{200b}", "a."],
        &["é", "e\u{301}", "É", "e"],
        &["Å", "\u{212b}", "A\u{30a}"],
        &["ß", "ẞ", "ss", "SS"],
        &["i", "I", "İ", "ı"],
        &["ﬁ", "fi"],
        &["１", "1", "01", "1.0", "+1", "1e0"],
        &["null", "NULL", "Null"],
        &["\u{feff}a", "a\u{feff}", "аb", "ab"],
        &["x%", "x_", "xy", "x\\_", "x\\%"],
    ];
    let mut streams = Vec::new();
    for names in alike {
        for name in names {
            streams.push(stream_of("same", name));
            streams.push(stream_of(name, "same"));
        }
    }
    each_is_a_stream_of_its_own(fixture.store(), &streams).await;
}

/// Where a category ends and an id begins is kept, although ids may have slashes, and whatever a store might join them
/// with.
pub async fn category_and_id_are_kept_apart<F: Fixture>(fixture: F) {
    let mut streams: Vec<_> = ["b", "b/c", "b/c/d", "/b", "b/", "//", "/", "b//c", "..", "../a"]
        .map(|id| stream_of("a", id))
        .into();
    for join in ["-", ":", "_", ".", "$", "|", "::", " ", "\\", "\u{2215}"] {
        streams.push(stream_of("p", &format!("q{join}r")));
        streams.push(stream_of(&format!("p{join}q"), "r"));
    }
    streams.extend([stream_of("pq", "r"), stream_of("p", "qr"), stream_of("b", "a"), stream_of("ab", "c")]);
    each_is_a_stream_of_its_own(fixture.store(), &streams).await;
}

/// Names that are harmless in Rust and were not always so elsewhere.
fn names<'a>() -> impl Iterator<Item = &'a str> {
    TEXTS.iter().copied().filter(|text| !text.is_empty() && !text.contains(char::is_control))
}

/// Asserts that what is appended together, and then singly, comes back from its stream and from the feed.
async fn come_back<F: Fixture>(fixture: &F, given: &[NewEvent]) {
    let store = fixture.store();
    let together = stream(&EventId::new().to_string());
    append(store, Append::to(together.clone(), Expected::NoStream, given.to_vec())).await;
    let singly = stream(&EventId::new().to_string());
    let copies: Vec<_> = given.iter().map(|event| NewEvent { id: EventId::new(), ..event.clone() }).collect();
    for copy in &copies {
        append(store, Append::to(singly.clone(), Expected::Any, vec![copy.clone()])).await;
    }
    let feed = everything(store).await;
    for (stream, given) in [(together, given), (singly, &copies)] {
        let of_feed: Vec<_> = feed.iter().filter(|event| event.stream == stream).cloned().collect();
        let of_stream = whole(store, &stream).await;
        assert_eq!((of_feed.len(), of_stream.len()), (given.len(), given.len()), "all are there");
        for (kept, given) in of_stream.iter().zip(given) {
            assert_kept(kept, given);
        }
        for (kept, given) in of_feed.iter().zip(given) {
            assert_kept(kept, given);
        }
    }
}

/// Asserts that none of the streams is taken for another, when they are appended to, read, and asked for in a filter.
async fn each_is_a_stream_of_its_own(store: &impl EventStore, streams: &[StreamId]) {
    let mut given = Vec::new();
    for stream in streams {
        let first = Append::to(stream.clone(), Expected::NoStream, vec![event()]);
        append(store, first.clone()).await;
        given.push(ids_of(&first));
    }
    for (stream, given) in streams.iter().zip(&mut given) {
        let second = Append::to(stream.clone(), Expected::Exactly(Version(1)), events(1));
        append(store, second.clone()).await;
        given.extend(ids_of(&second));
    }
    let feed = everything(store).await;
    assert_eq!(feed.len(), 2 * streams.len());
    for (stream, given) in streams.iter().zip(&given) {
        let of_stream = whole(store, stream).await;
        assert_eq!((ids(&of_stream), versions(&of_stream)), (given.clone(), vec![1, 2]), "of {stream:?}");
        assert!(of_stream.iter().all(|event| event.stream == *stream), "{stream:?} is named as it was");
        assert!(of_stream.iter().all(|event| event.stream.category() == stream.category()));
        let of_feed: Vec<_> = feed.iter().filter(|event| event.stream == *stream).cloned().collect();
        assert_eq!(of_feed, of_stream);
        let filters = [
            Filter { streams: vec![stream.clone()], ..Filter::all() },
            Filter { categories: vec![stream.category().to_owned()], ..Filter::all() },
        ];
        for filter in filters {
            let passed: Vec<_> = feed.iter().filter(|event| filter.passes(event)).cloned().collect();
            let last = feed.last().expect("it has events").position;
            let seen = walk(store, ReadAll::after(Position::START).filter(filter).limit(100), last).await;
            let seen: Vec<_> = seen.into_iter().filter(|event| event.position <= last).collect();
            assert_eq!(seen, passed, "through a filter for {stream:?}");
        }
    }
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap_or_else(|error| panic!("{text} is a time: {error}"))
}
