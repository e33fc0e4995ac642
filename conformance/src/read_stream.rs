//! Reading a stream: in order, in pages, to its end, and at once.

use factum_core::store::{Append, ReadStream, StreamPage};
use factum_core::{EventStore, Expected, StreamId, Version};

use crate::Fixture;
use crate::given::{events, ids_of, some, stream, stream_of};
use crate::seen::{append, assert_kept, everything, ids, in_pages, versions, whole};

/// Only events after the version that is asked for are in the answer.
pub async fn gives_what_comes_after_a_version<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let given = some(&stream("1"), 5);
    append(store, given.clone()).await;
    for after in 0..=5 {
        let page = read(store, &stream("1"), Version(after), 100).await;
        assert_eq!(versions(&page.events), (after + 1..=5).collect::<Vec<_>>());
        assert!(page.end);
    }
    let page = read(store, &stream("1"), Version::NONE, 100).await;
    assert_eq!(ids(&page.events), ids_of(&given));
}

/// A page has no more events than were asked for, and pages of any size join to the whole.
pub async fn pages_join_to_the_whole<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let given = some(&stream("1"), 10);
    append(store, some(&stream("2"), 3)).await;
    append(store, given.clone()).await;
    append(store, some(&stream("2"), 3)).await;
    for limit in (1..=11).chain([usize::MAX]) {
        let read = ReadStream::new(stream("1")).limit(limit);
        assert_eq!(ids(&in_pages(store, read).await), ids_of(&given), "in pages of {limit}");
    }
    for limit in 1..10 {
        assert!(read(store, &stream("1"), Version::NONE, limit).await.events.len() <= limit);
    }
}

/// `end` is true exactly if the stream has nothing further, also where a full page is the last.
pub async fn says_whether_it_is_the_end<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 4)).await;
    append(store, some(&stream("2"), 1)).await;
    let mut ends = 0;
    for after in 0..=4 {
        for limit in 1..=6 {
            let page = read(store, &stream("1"), Version(after), limit).await;
            let last = page.events.last().map_or(after, |event| event.version.0);
            assert_eq!(page.end, last == 4, "after {after}, at most {limit}, up to {last} of 4");
            ends += usize::from(page.end);
        }
    }
    assert!((5..30).contains(&ends), "some pages are the end and some are not");
}

/// An event that comes after the end is read from there.
pub async fn goes_on_after_the_end<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 2)).await;
    assert!(read(store, &stream("1"), Version::NONE, 2).await.end);
    append(store, some(&stream("1"), 1)).await;
    let page = read(store, &stream("1"), Version(2), 2).await;
    assert_eq!((versions(&page.events), page.end), (vec![3], true));
    assert!(!read(store, &stream("1"), Version::NONE, 2).await.end);
}

/// Law 5: what was acknowledged is in every later read of its stream, through whichever clone.
pub async fn reads_what_was_just_acknowledged<F: Fixture>(fixture: F) {
    let (writer, reader) = (fixture.store().clone(), fixture.store().clone());
    for version in 1..=50 {
        let given = some(&stream("1"), 1).and(stream("2"), Expected::Any, events(1));
        append(&writer, given.clone()).await;
        let mut seen = Vec::new();
        for id in ["1", "2"] {
            let page = read(&reader, &stream(id), Version(version - 1), 10).await;
            seen.extend(ids(&page.events));
        }
        assert_eq!(seen, ids_of(&given));
    }
}

/// A stream that nobody appended to is an empty page, and its end.
pub async fn an_unknown_stream_is_an_empty_page<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let empty = StreamPage { events: Vec::new(), end: true };
    for after in [0, 1, 7] {
        assert_eq!(read(store, &stream("1"), Version(after), 10).await, empty);
    }
    append(store, some(&stream("1"), 1)).await;
    for unknown in [stream("2"), stream_of("orders", "1"), stream_of("orde", "1"), stream("1/1")] {
        assert_eq!(read(store, &unknown, Version::NONE, 10).await, empty, "of {unknown}");
    }
    assert_eq!(everything(store).await.len(), 1, "reading makes no stream");
}

/// A limit of 0 is a limit of 1: a reader that moves by pages always moves.
pub async fn a_limit_of_zero_gives_one_event<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 2)).await;
    let page = read(store, &stream("1"), Version::NONE, 0).await;
    assert_eq!((versions(&page.events), page.end), (vec![1], false));
    let page = read(store, &stream("1"), Version(1), 0).await;
    assert_eq!((versions(&page.events), page.end), (vec![2], true));
}

/// After the last event there is nothing, however far after it, also where numbers end.
pub async fn nothing_comes_after_the_last_version<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 3)).await;
    let past = [
        3,
        4,
        1 << 31,
        1 << 32,
        Version::MAX.0 - 1,
        Version::MAX.0,
        Version::MAX.0 + 1,
        u64::MAX - 1,
        u64::MAX,
    ];
    for after in past {
        for limit in [0, 1, 100, usize::MAX] {
            let page = read(store, &stream("1"), Version(after), limit).await;
            assert_eq!(page, StreamPage { events: Vec::new(), end: true }, "after {after}, at most {limit}");
        }
    }
}

/// A stream has its own events and no others, however streams were interleaved.
pub async fn gives_no_events_of_other_streams<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let mut given = [Vec::new(), Vec::new(), Vec::new()];
    for turn in 0..12 {
        let append_to = some(&stream(&(turn % 3).to_string()), 1 + turn % 2);
        given[turn % 3].extend(ids_of(&append_to));
        append(store, append_to).await;
    }
    for (at, given) in given.iter().enumerate() {
        let written = whole(store, &stream(&at.to_string())).await;
        assert_eq!(ids(&written), *given);
        assert_eq!(versions(&written), (1..).take(given.len()).collect::<Vec<_>>());
    }
}

/// What a stream gives is what was appended, and what the feed gives.
pub async fn gives_what_the_feed_gives<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let given = events(7);
    append(store, Append::to(stream("1"), Expected::Any, given.clone())).await;
    let written = whole(store, &stream("1")).await;
    assert_eq!(written.len(), 7);
    for (kept, given) in written.iter().zip(&given) {
        assert_kept(kept, given);
    }
    assert_eq!(everything(store).await, written);
}

/// A stream of thousands of events is read whole.
pub async fn reads_long_streams<F: Fixture>(fixture: F) {
    let store = fixture.store();
    for _ in 0..3 {
        append(store, some(&stream("1"), 1000)).await;
    }
    for limit in [999, 1000, 1001, 5000] {
        let read = ReadStream::new(stream("1")).limit(limit);
        assert_eq!(versions(&in_pages(store, read).await), (1..=3000).collect::<Vec<_>>());
    }
}

async fn read(store: &impl EventStore, stream: &StreamId, after: Version, limit: usize) -> StreamPage {
    let read = ReadStream::new(stream.clone()).after(after).limit(limit);
    store.read_stream(read).await.expect("a stream can be read")
}
