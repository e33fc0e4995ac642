//! Law 4: an append repeated with the same event ids answers as the first did and writes nothing, so that a lost answer
//! is safe to ask for again; ids that another append has used are refused.

use bytes::Bytes;
use factum_core::store::{Append, Appended};
use factum_core::{
    EventId, EventName, EventStore, Expected, IdReused, Metadata, NewEvent, StreamId, Version,
};
use uuid::Uuid;

use crate::Fixture;
use crate::given::{event, events, ids_of, some, stream};
use crate::seen::{append, conflict, everything, id_reused, ids, whole};

/// The answer to a repeat is that of the first time: versions, position and time.
pub async fn a_repeat_answers_as_the_first_did<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 2)).await;
    for count in [1, 2, 5] {
        let given = some(&stream("1"), count);
        let first = append(store, given.clone()).await;
        assert_repeats(store, &given, &first).await;
    }
}

/// A repeat writes nothing: neither to the stream nor to the feed.
pub async fn a_repeat_writes_nothing<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let given = some(&stream("1"), 3);
    append(store, given.clone()).await;
    let before = everything(store).await;
    append(store, given.clone()).await;
    append(store, given.clone()).await;
    assert_eq!(everything(store).await, before);
    assert_eq!(whole(store, &stream("1")).await, before);
    assert_eq!(ids(&before), ids_of(&given));
}

/// A repeat answers as the first time after its stream has moved on, although the expectation no longer holds.
pub async fn a_repeat_answers_after_the_stream_has_moved_on<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 1)).await;
    let given = Append::to(stream("1"), Expected::Exactly(Version(1)), events(2));
    let first = append(store, given.clone()).await;
    append(store, Append::to(stream("1"), Expected::Exactly(Version(3)), events(4))).await;
    append(store, some(&stream("2"), 1)).await;
    assert_repeats(store, &given, &first).await;
}

/// So it does whatever the append demanded: nothing, no stream, a stream, or a version.
pub async fn a_repeat_answers_under_every_expectation<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let old = [Expected::Any, Expected::Exists, Expected::Exactly(Version(2))];
    let new = [Expected::Any, Expected::NoStream, Expected::Exactly(Version::NONE)];
    let cases = old.map(|expected| (2, expected)).into_iter().chain(new.map(|expected| (0, expected)));
    for (at, (length, expected)) in cases.enumerate() {
        let stream = stream(&at.to_string());
        if length > 0 {
            append(store, some(&stream, length)).await;
        }
        let given = Append::to(stream.clone(), expected, events(2));
        let first = append(store, given.clone()).await;
        assert_repeats(store, &given, &first).await;
        append(store, some(&stream, 1)).await;
        assert_repeats(store, &given, &first).await;
    }
}

/// The ids are what makes it a repeat: another expectation, met or not, makes no difference.
pub async fn a_repeat_answers_under_another_expectation<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let given = Append::to(stream("1"), Expected::NoStream, events(2));
    let first = append(store, given.clone()).await;
    for expected in [
        Expected::Any,
        Expected::Exists,
        Expected::Exactly(Version(1)),
        Expected::Exactly(Version(2)),
        Expected::Exactly(Version(9)),
    ] {
        let events = given.events().cloned().collect();
        assert_repeats(store, &Append::to(stream("1"), expected, events), &first).await;
    }
}

/// An append to several streams answers as the first time too, after some of the streams, or all, have moved on.
pub async fn a_repeat_for_several_streams_answers_as_the_first_did<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let (a, b, c) = (stream("a"), stream("b"), stream("c"));
    append(store, some(&b, 4)).await;
    let given = Append::to(c.clone(), Expected::NoStream, events(2))
        .and(a.clone(), Expected::Any, events(1))
        .and(b.clone(), Expected::Exactly(Version(4)), events(3));
    let first = append(store, given.clone()).await;
    assert_eq!(first.versions, [Version(2), Version(1), Version(7)]);
    assert_repeats(store, &given, &first).await;
    for moved in [b, c, a] {
        append(store, some(&moved, 2)).await;
        assert_repeats(store, &given, &first).await;
    }
}

/// A repeat is known as one however much was appended since.
pub async fn a_repeat_is_known_however_late<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let given = some(&stream("1"), 2);
    let first = append(store, given.clone()).await;
    for _ in 0..10 {
        append(store, some(&stream("1"), 100).and(stream("2"), Expected::Any, events(200))).await;
    }
    assert_repeats(store, &given, &first).await;
}

/// What was recorded first stays: a repeat that brings another content under the same ids changes nothing.
pub async fn a_repeat_changes_nothing_of_what_is_recorded<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let given = some(&stream("1"), 2);
    let first = append(store, given.clone()).await;
    let before = everything(store).await;
    let changed = given
        .events()
        .map(|event| NewEvent {
            id: event.id,
            name: EventName::new("another").expect("a valid name"),
            schema_version: 7,
            codec: "another".into(),
            payload: Bytes::from_static(b"another"),
            metadata: Metadata { actor: Some("another".into()), ..Metadata::default() },
        })
        .collect();
    assert_repeats(store, &Append::to(stream("1"), Expected::Any, changed), &first).await;
    assert_eq!(everything(store).await, before);
}

/// An append that met a conflict has used up no ids: it may be decided again, with the same ones.
pub async fn a_conflict_uses_up_no_ids<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 1)).await;
    let events = events(2);
    let stale = Append::to(stream("2"), Expected::Any, vec![event()]).and(
        stream("1"),
        Expected::NoStream,
        events.clone(),
    );
    let said = conflict(store.append(stale.clone()).await);
    // It is still a conflict when it is tried again, because it never happened.
    assert_eq!(conflict(store.append(stale).await), said);
    let again = Append::to(stream("1"), Expected::Exactly(Version(1)), events.clone());
    assert_eq!(append(store, again).await.versions, [Version(3)]);
    assert_eq!(ids(&whole(store, &stream("1")).await)[1..], [events[0].id, events[1].id]);
}

/// An append of which some ids are recorded and some are not is refused, whichever they are.
pub async fn partly_recorded_ids_are_refused<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let known = event();
    append(store, some(&stream("1"), 1)).await;
    append(store, Append::to(stream("1"), Expected::Any, vec![known.clone()])).await;
    for at in 0..3 {
        let mut mixed = events(2);
        mixed.insert(at, known.clone());
        for expected in [Expected::Any, Expected::Exactly(Version(1)), Expected::Exactly(Version(2))] {
            let fact = IdReused {
                id: known.id,
                stream: stream("1"),
                recorded_stream: stream("1"),
                recorded_version: Version(2),
            };
            assert_refused(store, &Append::to(stream("1"), expected, mixed.clone()), &fact).await;
        }
    }
}

/// An append that has a new event after all those of an earlier append is no repeat of it.
pub async fn a_longer_append_is_no_repeat<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let mut given = events(2);
    append(store, Append::to(stream("1"), Expected::NoStream, given.clone())).await;
    given.push(event());
    let before = everything(store).await;
    let said = id_reused(store.append(Append::to(stream("1"), Expected::Any, given.clone())).await);
    assert_true(store, &said, &Append::to(stream("1"), Expected::Any, given)).await;
    assert_eq!(everything(store).await, before);
}

/// Ids that are recorded in another stream are refused, and the facts say where they are.
pub async fn ids_of_another_stream_are_refused<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 3)).await;
    let known = event();
    append(store, Append::to(stream("1"), Expected::Any, vec![known.clone()])).await;
    append(store, some(&stream("old"), 4)).await;
    for id in ["new", "old"] {
        let fact = IdReused {
            id: known.id,
            stream: stream(id),
            recorded_stream: stream("1"),
            recorded_version: Version(4),
        };
        assert_refused(store, &Append::to(stream(id), Expected::Any, vec![known.clone()]), &fact).await;
    }
}

/// The ids of an append, in another order within their stream, are refused.
pub async fn ids_in_another_order_are_refused<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let given = events(3);
    append(store, Append::to(stream("1"), Expected::NoStream, given.clone())).await;
    for order in [[1, 0, 2], [0, 2, 1], [2, 1, 0], [1, 2, 0]] {
        let shuffled = Append::to(stream("1"), Expected::Any, order.map(|at| given[at].clone()).to_vec());
        let before = everything(store).await;
        let said = id_reused(store.append(shuffled.clone()).await);
        assert_true(store, &said, &shuffled).await;
        assert_eq!(everything(store).await, before);
    }
}

/// The ids of an append to one stream, spread over two, are refused; and so are those of an append to two, gathered in
/// one.
pub async fn ids_spread_over_other_streams_are_refused<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let (of_one, of_two) = (events(2), events(2));
    append(store, Append::to(stream("1"), Expected::NoStream, of_one.clone())).await;
    let two = Append::to(stream("2"), Expected::NoStream, vec![of_two[0].clone()]);
    append(store, two.and(stream("3"), Expected::NoStream, vec![of_two[1].clone()])).await;

    let spread = Append::to(stream("1"), Expected::Any, vec![of_one[0].clone()]).and(
        stream("4"),
        Expected::Any,
        vec![of_one[1].clone()],
    );
    let fact = IdReused {
        id: of_one[1].id,
        stream: stream("4"),
        recorded_stream: stream("1"),
        recorded_version: Version(2),
    };
    assert_refused(store, &spread, &fact).await;

    let gathered = Append::to(stream("2"), Expected::Any, of_two.clone());
    let fact = IdReused {
        id: of_two[1].id,
        stream: stream("2"),
        recorded_stream: stream("3"),
        recorded_version: Version(1),
    };
    assert_refused(store, &gathered, &fact).await;
}

/// Where an append to several streams has new ids for one and recorded ids for another, the facts are those of the
/// recorded id: its stream is the one that it was to be appended to.
pub async fn reuse_in_one_of_several_streams_has_the_facts<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let known = event();
    append(store, some(&stream("old"), 1)).await;
    append(store, Append::to(stream("old"), Expected::Any, vec![known.clone()])).await;
    let fact = IdReused {
        id: known.id,
        stream: stream("old"),
        recorded_stream: stream("old"),
        recorded_version: Version(2),
    };
    let known = vec![known];
    let last = some(&stream("new"), 1).and(stream("old"), Expected::Any, known.clone());
    assert_refused(store, &last, &fact).await;
    let first = Append::to(stream("old"), Expected::Any, known).and(stream("new"), Expected::Any, events(1));
    assert_refused(store, &first, &fact).await;
}

/// The ids are looked up first: where they are reused and the expectation does not hold either, the reuse is told,
/// because no newer decision would help.
pub async fn reuse_is_told_before_a_conflict<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let known = event();
    append(store, Append::to(stream("1"), Expected::NoStream, vec![known.clone()])).await;
    let fact = IdReused {
        id: known.id,
        stream: stream("2"),
        recorded_stream: stream("1"),
        recorded_version: Version(1),
    };
    for expected in [Expected::Exists, Expected::Exactly(Version(3))] {
        let given = Append::to(stream("2"), expected, vec![known.clone(), event()]);
        assert_refused(store, &given, &fact).await;
    }
}

/// After a reuse was refused, the new ids among them are free.
pub async fn a_refused_reuse_uses_up_no_ids<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let (known, new) = (event(), event());
    append(store, Append::to(stream("1"), Expected::NoStream, vec![known.clone()])).await;
    for both in [[&known, &new], [&new, &known]] {
        let given = Append::to(stream("2"), Expected::Any, both.map(Clone::clone).to_vec());
        id_reused(store.append(given).await);
    }
    let answer = append(store, Append::to(stream("2"), Expected::NoStream, vec![new.clone()])).await;
    assert_eq!(answer.versions, [Version(1)]);
    assert_eq!(ids(&everything(store).await), [known.id, new.id]);
}

/// Whatever is a UUID is an id: also those that are all zeros or ones, or of another version than fresh ones.
pub async fn every_uuid_is_an_id<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let uuids = [
        Uuid::nil(),
        Uuid::max(),
        Uuid::from_u128(1),
        Uuid::from_u128(0x8000_0000_0000_0000_0000_0000_0000_0000),
        Uuid::from_bytes(*b"0123456789abcdef"),
        Uuid::from_bytes([
            0x00, 0x27, 0x22, 0x5c, 0x25, 0x0a, 0x0d, 0x1a, 0xff, 0xfe, 0x80, 0xc3, 0x28, 0, 0, 0,
        ]),
    ];
    let given = uuids.map(|uuid| NewEvent { id: EventId(uuid), ..event() });
    for event in &given {
        let alone = Append::to(stream("1"), Expected::Any, vec![event.clone()]);
        let first = append(store, alone.clone()).await;
        assert_repeats(store, &alone, &first).await;
    }
    assert_eq!(ids(&whole(store, &stream("1")).await), given.map(|event| event.id));
}

/// Asserts that `given`, appended again, answers as `first` and writes nothing to its streams.
async fn assert_repeats(store: &impl EventStore, given: &Append, first: &Appended) {
    let mut before = Vec::new();
    for part in given.streams() {
        before.push(whole(store, &part.stream).await);
    }
    match store.append(given.clone()).await {
        Ok(repeated) => assert_eq!(repeated, *first, "a repeat answers as the first did"),
        Err(error) => panic!("a repeat answers as the first did, and not {error:?}"),
    }
    for (part, before) in given.streams().iter().zip(before) {
        assert_eq!(whole(store, &part.stream).await, before, "a repeat writes nothing");
    }
}

/// Asserts that `given` is refused because of `fact`, and that nothing is written.
async fn assert_refused(store: &impl EventStore, given: &Append, fact: &IdReused) {
    let before = everything(store).await;
    assert_eq!(id_reused(store.append(given.clone()).await), *fact);
    assert_true(store, fact, given).await;
    assert_eq!(everything(store).await, before, "what is refused writes nothing");
}

/// Asserts that the facts are true: the append has the id, for that stream, and it is recorded where they say.
async fn assert_true(store: &impl EventStore, fact: &IdReused, given: &Append) {
    let IdReused { id, stream, recorded_stream, recorded_version } = fact;
    let target = given.streams().iter().find(|part| part.events.iter().any(|event| event.id == *id));
    assert_eq!(target.map(|part| &part.stream), Some(stream), "the append has {id} for {stream}");
    let recorded = place(store, recorded_stream, *id).await;
    assert_eq!(recorded, Some(*recorded_version), "{id} is recorded in {recorded_stream}");
}

/// The version that the event with this id has in a stream.
async fn place(store: &impl EventStore, stream: &StreamId, id: EventId) -> Option<Version> {
    whole(store, stream).await.into_iter().find(|event| event.id == id).map(|event| event.version)
}
