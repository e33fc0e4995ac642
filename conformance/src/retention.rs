//! Law 12: streams as a whole are deleted, archived, restored and truncated; positions and other streams stay as they were,
//! and the log says so.

use factum_core::retention::{Closing, RESTORED, Retention, TRUNCATED};
use factum_core::store::{Append, Filter, ReadAll, ReadCategory, ReadStream};
use factum_core::{
    AppendError, EventName, EventStore, Expected, Invalid, NewEvent, Position, RecordedEvent, StreamId,
    Transactional, Version,
};

use crate::Fixture;
use crate::given::{event, events, ids_of, some, stream};
use crate::others::{Others, begin};
use crate::race::race;
use crate::seen::{append, conflict, everything, id_reused, ids, in_pages, invalid, versions, walk, whole};
use crate::upheaval::{Followers, Journal, assert_accounted_for, disturb};

/// Three streams, of which the first is the one that something is done to.
async fn given(store: &impl EventStore) -> [Append; 2] {
    let (first, second) = (some(&stream("1"), 3), some(&stream("1"), 2));
    append(store, some(&stream("2"), 1)).await;
    append(store, first.clone()).await;
    append(store, some(&stream("3"), 2)).await;
    append(store, second.clone()).await;
    append(store, some(&stream("2"), 1)).await;
    [first, second]
}

/// What closes a stream is its next event, which is all that is left to read in it.
async fn assert_closed(store: &impl EventStore, version: u64, closing: Closing) -> RecordedEvent {
    let left = whole(store, &stream("1")).await;
    assert_eq!(versions(&left), [version]);
    assert_eq!(left[0].name.as_str(), closing.event_name());
    let last = store.read_stream(ReadStream::last(stream("1"))).await.expect("a stream can be read");
    assert_eq!(last.events, left);
    // Nothing can be appended, whatever is expected.
    let every = [Expected::Any, Expected::Exists, Expected::NoStream, Expected::Exactly(Version(version))];
    for expected in every {
        match store.append(Append::to(stream("1"), expected, events(1))).await {
            Err(AppendError::Closed(closed)) => {
                assert_eq!((closed.stream, closed.closing), (stream("1"), closing));
            }
            other => panic!("expected the stream to be closed, got {other:?}"),
        }
    }
    // Nor as part of more.
    let both = Append::to(stream("4"), Expected::Any, events(1)).and(stream("1"), Expected::Any, events(1));
    assert!(matches!(store.append(both).await, Err(AppendError::Closed(_))));
    assert!(whole(store, &stream("4")).await.is_empty());
    left.into_iter().next().expect("it has one")
}

fn of(feed: &[RecordedEvent], stream: &StreamId) -> Vec<RecordedEvent> {
    feed.iter().filter(|event| event.stream == *stream).cloned().collect()
}

fn others(feed: &[RecordedEvent]) -> Vec<RecordedEvent> {
    feed.iter().filter(|event| event.stream != stream("1")).cloned().collect()
}

/// A deleted stream has lost its content everywhere, and nothing else has changed.
pub async fn a_deleted_stream_is_gone_and_says_so<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let _ = given(store).await;
    let before = everything(store).await;
    let answer = store.delete_stream(&stream("1"), Expected::Exactly(Version(5))).await.expect("it is there");
    let tombstone = assert_closed(store, 6, Closing::Deleted).await;
    assert_eq!((answer.position, answer.version()), (tombstone.position, tombstone.version));
    assert!(tombstone.position > before.last().expect("it has events").position);
    let after = everything(store).await;
    assert_eq!(others(&after), others(&before));
    assert_eq!(of(&after, &stream("1")), [tombstone]);
    for event in of(&before, &stream("1")) {
        assert_eq!(store.find_event(event.id).await.expect("it can be looked for"), None);
    }
    let archived = store.read_archived(ReadStream::new(stream("1"))).await.expect("it can be read");
    assert!(archived.events.is_empty() && archived.end);
    // It is still a stream.
    let streams = store.read_category(ReadCategory::new("order")).await.expect("it can be read").streams;
    assert!(streams.contains(&(stream("1"), Version(6))));
}

/// The ids of what was deleted are still known: a repetition answers as the first did, and no other append may have them.
pub async fn deleted_events_keep_their_ids_and_numbers<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("2"), 1)).await;
    let given = some(&stream("1"), 3);
    let answer = append(store, given.clone()).await;
    store.delete_stream(&stream("1"), Expected::Any).await.expect("it is there");
    assert_eq!(append(store, given.clone()).await, answer);
    let known = given.into_streams().remove(0).events;
    let elsewhere = Append::to(stream("2"), Expected::Any, known.clone());
    let as_expected = Append::to(stream("2"), Expected::Exactly(Version(1)), known);
    for elsewhere in [
        as_expected.clone(),
        as_expected.and(stream("3"), Expected::NoStream, events(1)),
        elsewhere.clone(),
        elsewhere.and(stream("3"), Expected::NoStream, events(1)),
    ] {
        let reused = id_reused(store.append(elsewhere).await);
        assert_eq!((reused.recorded_stream, reused.recorded_version), (stream("1"), Version(1)));
    }
    assert_eq!(whole(store, &stream("2")).await.len(), 1);
}

/// An archived stream takes no more events; the feed has all of it, and so have those who ask for the archive.
pub async fn an_archived_stream_is_set_apart_and_says_so<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let appends = given(store).await;
    let before = everything(store).await;
    let answer =
        store.archive_stream(&stream("1"), Expected::Exactly(Version(5))).await.expect("it is there");
    let marker = assert_closed(store, 6, Closing::Archived).await;
    assert_eq!((answer.position, answer.version()), (marker.position, marker.version));
    let after = everything(store).await;
    assert_eq!(after[..after.len() - 1], before[..]);
    assert_eq!(after.last(), Some(&marker));
    let wanted: Vec<_> = appends.iter().flat_map(ids_of).collect();
    for limit in [1, 2, 100] {
        let mut found = Vec::new();
        let mut read = ReadStream::new(stream("1")).limit(limit);
        loop {
            let page = store.read_archived(read.clone()).await.expect("it can be read");
            found.extend(ids(&page.events));
            let Some(last) = page.events.last().filter(|_| !page.end) else { break };
            read = read.after(last.version);
        }
        assert_eq!(found, wanted);
    }
    let back = store.read_archived(ReadStream::new(stream("1")).before(Version(3)).limit(9)).await;
    assert_eq!(versions(&back.expect("it can be read").events), [2, 1]);
    for event in of(&before, &stream("1")) {
        assert_eq!(store.find_event(event.id).await.expect("it can be looked for"), Some(event));
    }
    let [first, _] = appends;
    assert_eq!(append(store, first).await.version(), Version(3));
    let other = store.read_archived(ReadStream::new(stream("2"))).await.expect("it can be read");
    assert!(other.events.is_empty() && other.end, "a stream that is not archived has nothing there");
}

/// Law 9, for archived events: a filter divides them as it did before.
pub async fn archived_events_pass_filters<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let _ = given(store).await;
    store.archive_stream(&stream("1"), Expected::Any).await.expect("it is there");
    let feed = everything(store).await;
    let last = feed.last().expect("it has events").position;
    for id in ["1", "2", "3"] {
        let filter = Filter { streams: vec![stream(id)], ..Filter::all() };
        for limit in [1, 2, 3, 100] {
            let read = ReadAll::after(Position::START).filter(filter.clone()).limit(limit);
            assert_eq!(walk(store, read, last).await, of(&feed, &stream(id)), "in pages of {limit}");
        }
    }
}

/// A restored stream is as it was, with what happened to it among its events, and goes on.
pub async fn a_restored_stream_goes_on<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let _ = given(store).await;
    let before = everything(store).await;
    for turn in 0..2 {
        let last = 5 + 3 * turn;
        store.archive_stream(&stream("1"), Expected::Exactly(Version(last))).await.expect("it is there");
        let answer = store.restore_stream(&stream("1")).await.expect("it is archived");
        assert_eq!(answer.version(), Version(last + 2));
        let whole = whole(store, &stream("1")).await;
        assert_eq!(versions(&whole), (1..=last + 2).collect::<Vec<_>>());
        assert_eq!(whole.last().map(|event| event.name.as_str()), Some(RESTORED));
        assert_eq!(whole.last().map(|event| event.position), Some(answer.position));
        let archived = store.read_archived(ReadStream::new(stream("1"))).await.expect("it can be read");
        assert!(archived.events.is_empty() && archived.end);
        // Once more changes nothing.
        assert_eq!(store.restore_stream(&stream("1")).await.expect("it is there"), answer);
        let on = Append::to(stream("1"), Expected::Exactly(Version(last + 2)), events(1));
        assert_eq!(append(store, on).await.version(), Version(last + 3));
    }
    let after = everything(store).await;
    assert_eq!(after[..before.len()], before[..]);
    assert_eq!(ids(&of(&after, &stream("1"))), ids(&whole(store, &stream("1")).await));
}

/// A truncated stream begins with the event that says so, in the place of the last that is gone; what comes after is as
/// it was.
pub async fn a_truncated_stream_begins_later_and_says_so<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let appends = given(store).await;
    let before = everything(store).await;
    let untouched = whole(store, &stream("1")).await;
    for version in [0, 1] {
        store.truncate_stream(&stream("1"), Version(version)).await.expect("there is nothing before");
        assert_eq!(whole(store, &stream("1")).await, untouched);
    }
    for (version, first) in [(2, 1), (4, 3), (3, 3), (5, 4)] {
        store.truncate_stream(&stream("1"), Version(version)).await.expect("it has the version");
        let left = whole(store, &stream("1")).await;
        assert_eq!(versions(&left), (first..=5).collect::<Vec<_>>(), "before {version}");
        let (marker, rest) = left.split_first().expect("it has events");
        let place = &untouched[usize::try_from(first).expect("small") - 1];
        assert_eq!(marker.name.as_str(), TRUNCATED);
        assert_eq!((marker.id, marker.position, marker.version), (place.id, place.position, place.version));
        assert_eq!(rest, &untouched[usize::try_from(first).expect("small")..]);
        for limit in [1, 2] {
            assert_eq!(in_pages(store, ReadStream::new(stream("1")).limit(limit)).await, left);
            let back = in_pages(store, ReadStream::new(stream("1")).before(Version::END).limit(limit)).await;
            assert!(back.iter().rev().eq(&left));
        }
        let after = everything(store).await;
        assert_eq!((others(&after), of(&after, &stream("1"))), (others(&before), left));
    }
    // The ids of what is gone are known, and the stream goes on.
    let [first, _] = appends;
    assert_eq!(append(store, first).await.version(), Version(3));
    let on = Append::to(stream("1"), Expected::Exactly(Version(5)), events(1));
    assert_eq!(append(store, on).await.version(), Version(6));
}

/// Whoever repeats a change is answered as at first; whoever asks for what cannot be is refused, and nothing changes.
pub async fn changes_are_repeated_and_refused<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let _ = given(store).await;
    let none = stream("none");
    for expected in [Expected::Any, Expected::Exists, Expected::NoStream, Expected::Exactly(Version(1))] {
        assert_eq!(conflict(store.delete_stream(&none, expected).await).actual, None);
        assert_eq!(conflict(store.archive_stream(&none, expected).await).actual, None);
    }
    assert_eq!(conflict(store.restore_stream(&none).await).actual, None);
    let before = everything(store).await;
    let stale = Expected::Exactly(Version(4));
    assert_eq!(conflict(store.delete_stream(&stream("1"), stale).await).actual, Some(Version(5)));
    assert_eq!(conflict(store.archive_stream(&stream("1"), stale).await).actual, Some(Version(5)));
    match store.truncate_stream(&stream("1"), Version(6)).await {
        Err(AppendError::Conflict(conflict)) => assert_eq!(conflict.actual, Some(Version(5))),
        other => panic!("expected a conflict, got {other:?}"),
    }
    assert_eq!(store.restore_stream(&stream("1")).await.expect("it is there").version(), Version(5));
    assert_eq!(everything(store).await, before);

    let archived = store.archive_stream(&stream("1"), Expected::Exists).await.expect("it is there");
    assert_eq!(store.archive_stream(&stream("1"), stale).await.expect("it was answered"), archived);
    assert!(matches!(store.truncate_stream(&stream("1"), Version(2)).await, Err(AppendError::Closed(_))));
    // What is archived can be deleted, and what is deleted stays so.
    let deleted =
        store.delete_stream(&stream("1"), Expected::Exactly(Version(6))).await.expect("it is there");
    assert_eq!(store.delete_stream(&stream("1"), stale).await.expect("it was answered"), deleted);
    assert!(matches!(store.archive_stream(&stream("1"), Expected::Any).await, Err(AppendError::Closed(_))));
    assert!(matches!(store.restore_stream(&stream("1")).await, Err(AppendError::Closed(_))));
    assert!(matches!(store.truncate_stream(&stream("1"), Version(2)).await, Err(AppendError::Closed(_))));
    let left = of(&everything(store).await, &stream("1"));
    assert_eq!(versions(&left), [7]);
    let archive = store.read_archived(ReadStream::new(stream("1"))).await.expect("it can be read");
    assert!(archive.events.is_empty());
}

/// A reader who stands anywhere in the feed goes on where streams were set apart around it.
pub async fn readers_go_on_after_a_change<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let _ = given(store).await;
    let before = everything(store).await;
    store.truncate_stream(&stream("3"), Version(2)).await.expect("it has the version");
    store.archive_stream(&stream("1"), Expected::Any).await.expect("it is there");
    store.delete_stream(&stream("2"), Expected::Any).await.expect("it is there");
    let late = append(store, some(&stream("late"), 1)).await;
    let after = everything(store).await;
    for at in before.iter().map(|event| event.position).chain([Position::START]) {
        let rest: Vec<_> = after.iter().filter(|event| event.position > at).cloned().collect();
        for limit in [1, 2, 100] {
            let read = ReadAll::after(at).limit(limit);
            let mut found = walk(store, read, late.position).await;
            found.retain(|event| event.position <= late.position && event.stream.category() == "order");
            let wanted: Vec<_> =
                rest.iter().filter(|event| event.position <= late.position).cloned().collect();
            assert_eq!(found, wanted, "after {at}, in pages of {limit}");
        }
    }
}

/// Streams are changed while an append to another is open: at once, or after it, and each has a place of its own.
pub async fn a_change_and_an_open_append_spare_each_other<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let _ = given(store).await;
    store.archive_stream(&stream("1"), Expected::Exists).await.expect("it is there");
    let open = some(&stream("2"), 2);
    let mut tx = begin(store).await;
    store.append_in(&mut tx, open.clone()).await.expect("nothing is expected");
    let (one, other) = (store.clone(), store.clone());
    let restoring = tokio::spawn(async move { one.restore_stream(&stream("1")).await });
    let deleting = tokio::spawn(async move { other.delete_stream(&stream("3"), Expected::Exists).await });
    let (restoring, deleting) = (Others::wait_for(restoring).await, Others::wait_for(deleting).await);
    store.commit(tx).await.expect("it commits");
    let restored = restoring.done().await.expect("it is archived");
    let deleted = deleting.done().await.expect("it is there");
    let feed = everything(store).await;
    let position_of = |id: &str| of(&feed, &stream(id)).last().map(|event| event.position);
    assert!(feed.is_sorted_by(|one, next| one.position < next.position), "{feed:?}");
    assert_eq!(ids(&of(&feed, &stream("2")))[2..], ids_of(&open));
    assert_eq!(position_of("1"), Some(restored.position));
    assert_eq!(position_of("3"), Some(deleted.position));
}

/// Only the framework records events whose names begin with `factum.`.
pub async fn reserved_names_are_refused<F: Fixture>(fixture: F) {
    let store = fixture.store();
    for name in
        ["factum.deleted", "factum.archived", "factum.restored", "factum.truncated", "factum.", "factum.x"]
    {
        let new = NewEvent { name: EventName::new(name).expect("it is a name"), ..event() };
        let refused = invalid(store.append(Append::to(stream("1"), Expected::Any, vec![new])).await);
        assert!(matches!(refused, Invalid::Reserved { .. }), "{refused:?}");
    }
    let new = NewEvent { name: EventName::new("factum").expect("it is a name"), ..event() };
    append(store, Append::to(stream("1"), Expected::Any, vec![new])).await;
}

/// Whatever is done to streams while others append to them, nothing is lost, nothing comes back, and everybody sees each
/// stream as it is at one moment: see [`upheaval`](crate::upheaval).
pub async fn nothing_is_lost_in_an_upheaval<F: Fixture>(fixture: F) {
    const CLIENTS: usize = 8;
    const TURNS: u64 = 80;
    let store = fixture.store();
    let journal = Journal::default();
    let followers = Followers::of(std::slice::from_ref(store));
    race((0..CLIENTS).map(|client| {
        let (store, journal) = (store.clone(), journal.clone());
        async move { disturb(store, journal, &client.to_string(), TURNS).await }
    }))
    .await;
    let seen = followers.up_to_here(store).await;
    let tally = assert_accounted_for(store, &journal, &seen).await;
    let often =
        [tally.acknowledged, tally.refused, tally.repeated, tally.deleted, tally.restored, tally.truncated];
    assert!(often.iter().all(|&times| times > 0) && tally.unknown == 0, "{tally:?}");
}
