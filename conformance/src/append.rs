//! Appending: all or nothing, dense versions, and expectations that hold.

use std::collections::HashSet;
use std::pin::{Pin, pin};
use std::task::Poll;

use chrono::{Duration, SubsecRound, Utc};
use factum_core::store::Append;
use factum_core::{Conflict, EventStore, Expected, NewEvent, Position, StreamId, Version};

use crate::Fixture;
use crate::given::{event, events, ids_of, some, stream, stream_of};
use crate::seen::{append, conflict, everything, ids, positions, versions, whole};

/// The answer names the last version and the last position of what was written, and when that was.
pub async fn answers_with_what_it_wrote<F: Fixture>(fixture: F) {
    let store = fixture.store();
    for count in [1, 3] {
        let answer = append(store, some(&stream("1"), count)).await;
        let written = whole(store, &stream("1")).await;
        let last = written.last().expect("it was written");
        assert_eq!(answer.versions, [last.version]);
        assert_eq!(answer.position, last.position);
        assert_eq!(answer.recorded_at, last.recorded_at);
    }
}

/// For several streams, the answer has a version for each in the order of the append, and the position of the last
/// event of all.
pub async fn answers_for_every_stream_in_order<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("m"), 4)).await;
    let (z, m, a) = (stream("z"), stream("m"), stream("a"));
    let several =
        some(&z, 2).and(m.clone(), Expected::Exists, events(3)).and(a.clone(), Expected::NoStream, events(1));
    let answer = append(store, several).await;
    assert_eq!(answer.versions, [Version(2), Version(7), Version(1)]);
    let last = everything(store).await.pop().expect("it was written");
    assert_eq!((answer.position, last.stream), (last.position, a));
}

/// Law 2: versions are 1, 2, 3 … in every stream, whoever else was appended to in between.
pub async fn numbers_versions_from_one_without_holes<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let (a, b) = (stream("a"), stream("b"));
    for count in [1, 3, 2] {
        append(store, some(&a, count)).await;
        append(store, some(&b, 1).and(a.clone(), Expected::Any, events(1))).await;
    }
    assert_eq!(versions(&whole(store, &a).await), (1..=9).collect::<Vec<_>>());
    assert_eq!(versions(&whole(store, &b).await), [1, 2, 3]);
}

/// Law 2: an append that failed uses up no version.
pub async fn leaves_no_hole_in_the_versions_when_it_fails<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 2)).await;
    for _ in 0..3 {
        conflict(store.append(Append::to(stream("1"), Expected::NoStream, events(2))).await);
        append(store, some(&stream("1"), 1)).await;
    }
    assert_eq!(versions(&whole(store, &stream("1")).await), [1, 2, 3, 4, 5]);
}

/// The events of an append are recorded in its order, none is missing and none is there twice.
pub async fn keeps_the_order_of_its_events<F: Fixture>(fixture: F) {
    let store = fixture.store();
    // Ids that sort against the order in which they are appended.
    let mut given = events(20);
    given.reverse();
    let given = Append::to(stream("1"), Expected::Any, given);
    append(store, given.clone()).await;
    assert_eq!(ids(&whole(store, &stream("1")).await), ids_of(&given));
    assert_eq!(ids(&everything(store).await), ids_of(&given));
}

/// The events of an append get positions in the order of its streams, whatever they are called and whichever of them is
/// older.
pub async fn positions_follow_the_order_of_the_append<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("m"), 2)).await;
    let before = everything(store).await.len();
    for names in [["z", "m", "a"], ["a", "m", "z"], ["m", "z", "a"]] {
        let [first, second, third] = names.map(stream);
        let given =
            some(&first, 2).and(second, Expected::Any, events(3)).and(third, Expected::Any, events(2));
        append(store, given.clone()).await;
        let feed = everything(store).await;
        let written: Vec<_> = feed[feed.len() - 7..].to_vec();
        assert_eq!(ids(&written), ids_of(&given));
    }
    assert_eq!(everything(store).await.len(), before + 21);
}

/// All events have the time of their append, by the store's clock, in whole microseconds.
pub async fn records_when_it_happened<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let answer = append(store, some(&stream("1"), 3).and(stream("2"), Expected::Any, events(1))).await;
    let recorded = everything(store).await;
    assert_eq!(recorded.len(), 4);
    for event in recorded {
        assert_eq!(event.recorded_at, answer.recorded_at);
        assert_eq!(event.recorded_at, event.recorded_at.trunc_subsecs(6), "in whole microseconds");
        // The store's clock may be wrong, but it is a clock.
        assert!((Utc::now() - event.recorded_at).abs() < Duration::days(1), "recorded about now");
    }
}

/// Law 1: where one stream is not as expected, none of its events is written.
pub async fn writes_nothing_on_conflict<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 2)).await;
    let before = everything(store).await;
    conflict(store.append(Append::to(stream("1"), Expected::NoStream, events(3))).await);
    assert_eq!(everything(store).await, before);
    assert_eq!(whole(store, &stream("1")).await, before);
}

/// Law 1: where the second stream is not as expected, nothing is written to the first.
pub async fn writes_nothing_when_the_second_stream_conflicts<F: Fixture>(fixture: F) {
    conflicts_on_one_of(&fixture, 1).await;
}

/// Law 1: where the first stream is not as expected, nothing is written to those after it.
pub async fn writes_nothing_when_the_first_stream_conflicts<F: Fixture>(fixture: F) {
    conflicts_on_one_of(&fixture, 0).await;
}

/// Law 1: where the last of many streams is not as expected, nothing is written to any.
pub async fn writes_nothing_when_the_last_of_many_streams_conflicts<F: Fixture>(fixture: F) {
    conflicts_on_one_of(&fixture, 9).await;
}

/// Appends to many streams, of which one is not as expected: one that exists, and then one that does not.
async fn conflicts_on_one_of<F: Fixture>(fixture: &F, odd: usize) {
    let store = fixture.store();
    let streams: Vec<_> = (0..(odd + 1).max(2)).map(|n| stream(&n.to_string())).collect();
    append(store, some(&streams[odd], 2)).await;
    let stale = [(Expected::NoStream, Some(Version(2))), (Expected::Exactly(Version(1)), Some(Version(2)))];
    for (expected, actual) in stale {
        let before = everything(store).await;
        let expect = |at: usize| if at == odd { expected } else { Expected::NoStream };
        let mut given = Append::to(streams[0].clone(), expect(0), events(2));
        for (at, stream) in streams.iter().enumerate().skip(1) {
            given = given.and(stream.clone(), expect(at), events(2));
        }
        let found = conflict(store.append(given).await);
        assert_eq!(found, Conflict { stream: streams[odd].clone(), expected, actual });
        assert_eq!(everything(store).await, before);
        for (at, stream) in streams.iter().enumerate() {
            assert_eq!(whole(store, stream).await.len(), if at == odd { 2 } else { 0 }, "of {stream}");
        }
    }
}

/// Law 3: `Any` demands nothing.
pub async fn any_takes_every_stream<F: Fixture>(fixture: F) {
    expects(&fixture, Expected::Any, &[(0, true), (1, true), (2, true)]).await;
}

/// Law 3: `NoStream` is met by a stream without events, and by no other.
pub async fn no_stream_takes_only_a_new_stream<F: Fixture>(fixture: F) {
    expects(&fixture, Expected::NoStream, &[(0, true), (1, false), (2, false)]).await;
}

/// Law 3: `Exists` is met by a stream with events, and by no other.
pub async fn exists_takes_only_a_stream_with_events<F: Fixture>(fixture: F) {
    expects(&fixture, Expected::Exists, &[(0, false), (1, true), (2, true)]).await;
}

/// Law 3: `Exactly` is met by a stream whose last event has that version, and by no other.
pub async fn exactly_takes_only_that_version<F: Fixture>(fixture: F) {
    expects(&fixture, Expected::Exactly(Version(2)), &[(0, false), (1, false), (2, true), (3, false)]).await;
}

/// Law 3: `Exactly(0)` means the same as `NoStream`.
pub async fn exactly_zero_takes_only_a_new_stream<F: Fixture>(fixture: F) {
    expects(&fixture, Expected::Exactly(Version::NONE), &[(0, true), (1, false), (2, false)]).await;
}

/// Whether streams of each length meet the expectation, and what is said if not.
async fn expects<F: Fixture>(fixture: &F, expected: Expected, lengths: &[(usize, bool)]) {
    let store = fixture.store();
    for &(length, meets) in lengths {
        let stream = stream(&length.to_string());
        if length > 0 {
            append(store, some(&stream, length)).await;
        }
        let given = Append::to(stream.clone(), expected, events(1));
        let outcome = store.append(given.clone()).await;
        let after = whole(store, &stream).await;
        if meets {
            let answer = outcome.expect("the expectation is met");
            assert_eq!(answer.versions, [Version::NONE.forward(length + 1).expect("a small number")]);
            assert_eq!(ids(&after[length..]), ids_of(&given));
        } else {
            let actual = (length > 0).then(|| Version::NONE.forward(length).expect("a small number"));
            assert_eq!(conflict(outcome), Conflict { stream, expected, actual });
            assert_eq!(after.len(), length);
        }
    }
}

/// Law 3: an append that was decided on an older version is refused.
pub async fn refuses_a_stale_version<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 1)).await;
    append(store, Append::to(stream("1"), Expected::Exactly(Version(1)), events(1))).await;
    let stale = Append::to(stream("1"), Expected::Exactly(Version(1)), events(1));
    conflict(store.append(stale).await);
    assert_eq!(whole(store, &stream("1")).await.len(), 2);
}

/// Law 3: an append that was decided on a version that is not there yet is refused.
pub async fn refuses_a_version_from_the_future<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 1)).await;
    for ahead in [2, 3, 1000, Version::MAX.0 - 1] {
        let early = Append::to(stream("1"), Expected::Exactly(Version(ahead)), events(1));
        conflict(store.append(early).await);
    }
    assert_eq!(whole(store, &stream("1")).await.len(), 1);
}

/// Law 3: a conflict says on which stream, what was expected and what was found, so that nobody has to read a text.
pub async fn a_conflict_has_the_facts<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("long"), 3)).await;
    let long = Some(Version(3));
    let stale = [
        ("none", Expected::Exists, None),
        ("none", Expected::Exactly(Version(7)), None),
        ("none", Expected::Exactly(Version(Version::MAX.0 - 1)), None),
        ("long", Expected::NoStream, long),
        ("long", Expected::Exactly(Version::NONE), long),
        ("long", Expected::Exactly(Version(2)), long),
        ("long", Expected::Exactly(Version(4)), long),
    ];
    for (id, expected, actual) in stale {
        let said = conflict(store.append(Append::to(stream(id), expected, events(1))).await);
        assert_eq!(said, Conflict { stream: stream(id), expected, actual });
        // The same, where another stream of the append is as expected.
        let several = some(&stream("other"), 1).and(stream(id), expected, events(1));
        let said = conflict(store.append(several).await);
        assert_eq!(said, Conflict { stream: stream(id), expected, actual });
    }
}

/// Law 3: every stream of an append has an expectation of its own.
pub async fn each_stream_has_its_own_expectation<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("two"), 2)).await;
    append(store, some(&stream("one"), 1)).await;
    let given = Append::to(stream("two"), Expected::Exactly(Version(2)), events(1))
        .and(stream("none"), Expected::NoStream, events(1))
        .and(stream("one"), Expected::Exists, events(1))
        .and(stream("any"), Expected::Any, events(1));
    let answer = append(store, given).await;
    assert_eq!(answer.versions, [Version(3), Version(1), Version(2), Version(1)]);
}

/// Law 3: a stream is told from others of its category, and from those of the same id in other categories.
pub async fn a_stream_is_category_and_id<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let streams = [stream_of("a", "1"), stream_of("a", "2"), stream_of("b", "1"), stream_of("b", "2")];
    for (at, stream) in streams.iter().enumerate() {
        append(store, Append::to(stream.clone(), Expected::NoStream, events(at + 1))).await;
    }
    for (at, stream) in streams.iter().enumerate() {
        let written = whole(store, stream).await;
        assert_eq!(written.len(), at + 1);
        assert!(written.iter().all(|event| event.stream == *stream));
    }
}

/// An append may have as many events as the store's limit, for one stream or one for each of many, and is taken whole.
pub async fn takes_as_many_events_as_the_limit<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let most = fixture.limits().append_events_max;
    let long = some(&stream("long"), most);
    let wide_streams: Vec<StreamId> = (0..most).map(|n| stream_of("wide", &n.to_string())).collect();
    let mut wide = some(&wide_streams[0], 1);
    for stream in &wide_streams[1..] {
        wide = wide.and(stream.clone(), Expected::NoStream, events(1));
    }
    let answer = append(store, long.clone()).await;
    assert_eq!(answer.versions, [Version::NONE.forward(most).expect("a limit is no astronomical number")]);
    let answer = append(store, wide.clone()).await;
    assert_eq!(answer.versions, vec![Version(1); most]);
    assert_eq!(ids(&everything(store).await), [ids_of(&long), ids_of(&wide)].concat());
}

/// Stores are handles: what is appended through one clone is read through the others, at once.
pub async fn every_clone_is_the_same_store<F: Fixture>(fixture: F) {
    let (one, other) = (fixture.store().clone(), fixture.store().clone());
    append(&one, some(&stream("1"), 1)).await;
    append(&other, Append::to(stream("1"), Expected::Exactly(Version(1)), events(1))).await;
    assert_eq!(versions(&whole(&one, &stream("1")).await), [1, 2]);
    drop(one);
    assert_eq!(versions(&whole(&other, &stream("1")).await), [1, 2]);
    assert_eq!(everything(fixture.store()).await.len(), 2);
}

/// Laws 1 and 4: an append whose future is dropped happens whole or not at all; the same append, repeated, tells, and it
/// is there once.
pub async fn happens_whole_or_not_at_all_when_dropped<F: Fixture>(fixture: F) {
    const APPENDS: usize = 60;
    let store = fixture.store();
    let mut dropped = 0;
    for n in 0..APPENDS {
        let (first, second) = (stream(&format!("{n}/first")), stream(&format!("{n}/second")));
        let given = Append::to(first.clone(), Expected::NoStream, events(2)).and(
            second.clone(),
            Expected::NoStream,
            events(3),
        );
        let answer = poll_times(n % 6, pin!(store.append(given.clone()))).await;
        dropped += usize::from(answer.is_none());
        // Between the two reads the append may happen, and not between two events.
        let (of_first, of_second) = (whole(store, &first).await.len(), whole(store, &second).await.len());
        assert!(matches!((of_first, of_second), (0, 0) | (0 | 2, 3)), "{of_first} of 2, {of_second} of 3");
        let repeated = append(store, given.clone()).await;
        assert_eq!(repeated.versions, [Version(2), Version(3)]);
        if let Some(first_answer) = answer {
            assert_eq!(first_answer.expect("a new stream takes events"), repeated);
        }
        let both = [whole(store, &first).await, whole(store, &second).await].concat();
        assert_eq!(ids(&both), ids_of(&given));
    }
    assert!(dropped >= APPENDS / 6, "some were dropped before they answered");
    let feed = everything(store).await;
    assert_eq!(feed.len(), APPENDS * 5);
    assert_eq!(positions(&feed).into_iter().collect::<HashSet<_>>().len(), feed.len());
}

/// What a future comes to within so many polls, each given some time.
async fn poll_times<T>(times: usize, mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    for _ in 0..times {
        let polled = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        if let Poll::Ready(value) = polled {
            return Some(value);
        }
        tokio::task::yield_now().await;
    }
    None
}

/// Positions begin after the one where subscriptions begin.
pub async fn the_first_position_is_after_the_start<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let answer = append(store, Append::to(stream("1"), Expected::NoStream, vec![event()])).await;
    assert!(answer.position > Position::START);
    assert_eq!(positions(&everything(store).await), [answer.position]);
}

/// An event is not lost for being like another one: only ids tell events apart.
pub async fn records_equal_events_under_different_ids<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let like = event();
    let twins: Vec<_> = events(3).into_iter().map(|twin| NewEvent { id: twin.id, ..like.clone() }).collect();
    append(store, Append::to(stream("1"), Expected::Any, twins.clone())).await;
    let written = whole(store, &stream("1")).await;
    assert_eq!(ids(&written), twins.iter().map(|event| event.id).collect::<Vec<_>>());
    assert!(written.iter().all(|event| event.payload == like.payload));
}
