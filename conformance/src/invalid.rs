//! Law 10: input that no store accepts is refused with its fault, before anything is written.

use bytes::Bytes;
use factum_core::store::Append;
use factum_core::{
    AppendError, Conflict, EventStore, Expected, Invalid, Metadata, NAME_BYTES_MAX, NameFault, NewEvent,
    Version,
};

use crate::Fixture;
use crate::given::{event, event_named, events, ids_of, some, stream};
use crate::seen::{append, conflict, everything, ids, invalid, whole};

/// A payload that is one byte larger than the store's limit.
pub async fn refuses_a_payload_that_is_too_large<F: Fixture>(fixture: F) {
    let most = fixture.limits().payload_bytes_max;
    for bytes in [most + 1, most * 2] {
        let large = NewEvent { payload: Bytes::from(vec![b'x'; bytes]), ..event_named("large") };
        refuses(&fixture, large, |invalid| {
            matches!(invalid, Invalid::PayloadTooLarge { name, bytes: found, bytes_max }
                if name.as_str() == "large" && *found == bytes && *bytes_max == most)
        })
        .await;
    }
}

/// Metadata that is one byte larger than the store's limit.
pub async fn refuses_metadata_that_is_too_large<F: Fixture>(fixture: F) {
    let most = fixture.limits().metadata_bytes_max;
    let filled = |bytes: usize| Metadata {
        fields: [("filling".to_owned(), "x".repeat(bytes))].into(),
        ..Metadata::default()
    };
    let metadata = filled(most + 1 - filled(0).to_json().len());
    assert_eq!(metadata.to_json().len(), most + 1);
    refuses(&fixture, NewEvent { metadata, ..event_named("large") }, |invalid| {
        matches!(invalid, Invalid::MetadataTooLarge { name, bytes, bytes_max }
            if name.as_str() == "large" && *bytes == most + 1 && *bytes_max == most)
    })
    .await;
}

/// An append with one event more than the store's limit, in one stream or over several.
pub async fn refuses_too_many_events<F: Fixture>(fixture: F) {
    let most = fixture.limits().append_events_max;
    let too_many = |invalid: &Invalid| {
        matches!(invalid, Invalid::TooManyEvents { events, events_max }
            if *events == most + 1 && *events_max == most)
    };
    refuses_append(&fixture, &some(&stream("1"), most + 1), too_many).await;
    let two = some(&stream("1"), most).and(stream("2"), Expected::Any, events(1));
    refuses_append(&fixture, &two, too_many).await;
}

/// An append without events, or with a stream that has none.
pub async fn refuses_an_append_without_events<F: Fixture>(fixture: F) {
    let none = |invalid: &Invalid| matches!(invalid, Invalid::NoEvents);
    for expected in [Expected::Any, Expected::NoStream, Expected::Exists, Expected::Exactly(Version(1))] {
        refuses_append(&fixture, &Append::to(stream("1"), expected, Vec::new()), none).await;
        refuses_append(&fixture, &some(&stream("1"), 1).and(stream("2"), expected, Vec::new()), none).await;
        let first = Append::to(stream("2"), expected, Vec::new()).and(stream("1"), Expected::Any, events(1));
        refuses_append(&fixture, &first, none).await;
    }
}

/// An append that names a stream twice.
pub async fn refuses_a_stream_twice<F: Fixture>(fixture: F) {
    let is_twice = |invalid: &Invalid| matches!(invalid, Invalid::StreamTwice { stream: found } if *found == stream("1"));
    let only = some(&stream("1"), 1).and(stream("1"), Expected::Any, events(1));
    let around = some(&stream("1"), 1).and(stream("2"), Expected::Any, events(1));
    let around = around.and(stream("1"), Expected::Any, events(1));
    for twice in [only, around] {
        refuses_append(&fixture, &twice, is_twice).await;
    }
}

/// An append that has an event id twice, in one stream or in two.
pub async fn refuses_an_id_twice<F: Fixture>(fixture: F) {
    let same = event();
    let is_twice = |invalid: &Invalid| matches!(invalid, Invalid::IdTwice { id } if *id == same.id);
    let only = Append::to(stream("1"), Expected::Any, vec![same.clone(), same.clone()]);
    refuses_append(&fixture, &only, is_twice).await;
    let in_one = Append::to(stream("1"), Expected::Any, vec![same.clone(), event(), same.clone()]);
    refuses_append(&fixture, &in_one, is_twice).await;
    let in_two = Append::to(stream("1"), Expected::Any, vec![same.clone()]).and(
        stream("2"),
        Expected::Any,
        vec![event(), same.clone()],
    );
    refuses_append(&fixture, &in_two, is_twice).await;
}

/// A shape of version 0, or past the last one there can be.
pub async fn refuses_schema_versions_out_of_range<F: Fixture>(fixture: F) {
    for wrong in [0, 1 << 31, u32::MAX] {
        let shaped = NewEvent { schema_version: wrong, ..event_named("shaped") };
        refuses(&fixture, shaped, |invalid| {
            matches!(invalid, Invalid::SchemaVersion { name, schema_version }
                if name.as_str() == "shaped" && *schema_version == wrong)
        })
        .await;
    }
}

/// An expected version past the last one there can be, or one after which the new events would be. It is told before it
/// is compared with the stream.
pub async fn refuses_versions_past_the_last<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let max = Version::MAX.0;
    for (version, count) in
        [(max, 1), (max - 1, 2), (max - 4, 5), (max + 1, 1), (u64::MAX - 1, 1), (u64::MAX, 3)]
    {
        let past = |invalid: &Invalid| matches!(invalid, Invalid::VersionOverflow { stream: found } if *found == stream("past"));
        let expected = Expected::Exactly(Version(version));
        let alone = Append::to(stream("past"), expected, events(count));
        refuses_append(&fixture, &alone, past).await;
        let second = some(&stream("1"), 1).and(stream("past"), expected, events(count));
        refuses_append(&fixture, &second, past).await;
    }
    // The last versions there can be are a conflict like any other.
    for (version, count) in [(max - 1, 1), (max - 4, 4)] {
        let expected = Expected::Exactly(Version(version));
        let said = conflict(store.append(Append::to(stream("past"), expected, events(count))).await);
        assert_eq!(said, Conflict { stream: stream("past"), expected, actual: None });
    }
}

/// An actor that is no name: empty, too long, or with a control character.
pub async fn refuses_an_actor_that_is_no_name<F: Fixture>(fixture: F) {
    for (actor, fault) in no_names() {
        let metadata = Metadata { actor: Some(actor), ..Metadata::default() };
        refuses(
            &fixture,
            NewEvent { metadata, ..event() },
            |invalid| matches!(invalid, Invalid::Name(name) if name.what == "actor" && name.fault == fault),
        )
        .await;
    }
}

/// A codec that is no name: empty, too long, or with a control character.
pub async fn refuses_a_codec_that_is_no_name<F: Fixture>(fixture: F) {
    for (codec, fault) in no_names() {
        refuses(
            &fixture,
            NewEvent { codec: codec.into(), ..event() },
            |invalid| matches!(invalid, Invalid::Name(name) if name.what == "codec" && name.fault == fault),
        )
        .await;
    }
}

/// What is invalid is told as such, whatever the stream is like: no newer decision would help.
pub async fn invalid_input_is_told_before_a_conflict<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 1)).await;
    let wrong = NewEvent { schema_version: 0, ..event() };
    for expected in [Expected::NoStream, Expected::Exactly(Version(7))] {
        let given = Append::to(stream("1"), expected, vec![wrong.clone()]);
        assert!(matches!(invalid(store.append(given).await), Invalid::SchemaVersion { .. }));
    }
}

/// Input that was refused uses up nothing: once its fault is mended it is taken, with the same ids.
pub async fn mended_input_is_taken<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let wrong = NewEvent { schema_version: 0, ..event() };
    let mended = NewEvent { schema_version: 1, ..wrong.clone() };
    let others = events(2);
    let with = |odd: NewEvent| {
        let first = Append::to(stream("1"), Expected::NoStream, vec![others[0].clone(), odd]);
        first.and(stream("2"), Expected::NoStream, vec![others[1].clone()])
    };
    invalid(store.append(with(wrong)).await);
    append(store, with(mended.clone())).await;
    assert_eq!(ids(&everything(store).await), ids_of(&with(mended)));
}

/// Texts that are no names, and why.
fn no_names() -> [(String, NameFault); 5] {
    [
        (String::new(), NameFault::Empty),
        ("a\0b".to_owned(), NameFault::ControlCharacter { at: 1 }),
        ("line\nfeed".to_owned(), NameFault::ControlCharacter { at: 4 }),
        ("x".repeat(NAME_BYTES_MAX + 1), NameFault::TooLong { bytes: NAME_BYTES_MAX + 1 }),
        ("é".repeat(NAME_BYTES_MAX / 2 + 1), NameFault::TooLong { bytes: NAME_BYTES_MAX + 1 }),
    ]
}

/// Asserts that an append with this event is refused for the fault, wherever in the append it is.
async fn refuses<F: Fixture>(fixture: &F, odd: NewEvent, is_the_fault: impl Fn(&Invalid) -> bool) {
    let alone = Append::to(stream("1"), Expected::Any, vec![odd.clone()]);
    let last = Append::to(stream("1"), Expected::Any, vec![event(), event(), odd.clone()]);
    let second = some(&stream("1"), 2).and(stream("2"), Expected::Any, vec![event(), odd]);
    for given in [alone, last, second] {
        refuses_append(fixture, &given, &is_the_fault).await;
    }
}

/// Asserts that the append is refused for the fault, and that nothing of it is written.
async fn refuses_append<F: Fixture>(fixture: &F, given: &Append, is_the_fault: impl Fn(&Invalid) -> bool) {
    let store = fixture.store();
    let before = everything(store).await;
    match store.append(given.clone()).await {
        Err(AppendError::Invalid(invalid)) => assert!(is_the_fault(&invalid), "another fault: {invalid:?}"),
        Err(error) => panic!("expected the input to be invalid, got {error:?}"),
        Ok(answer) => panic!("expected the input to be invalid, got {answer:?}"),
    }
    assert_eq!(everything(store).await, before, "nothing is written");
    for part in given.streams() {
        let known: Vec<_> = before.iter().filter(|event| event.stream == part.stream).cloned().collect();
        assert_eq!(whole(store, &part.stream).await, known, "nothing is written to {}", part.stream);
    }
}
