//! Other ways to read: backward, by id, by category, and in pages of so many bytes.

use factum_core::store::{Append, Filter, ReadAll, ReadCategory, ReadStream};
use factum_core::{EventId, EventStore, Expected, NewEvent, Position, StreamId, Version};

use crate::Fixture;
use crate::given::{event, ids_of, some, stream, stream_of};
use crate::seen::{append, everything, ids, in_pages, versions, walk};

/// Backward, a stream gives what came before a version, the latest first; pages of any size join to the whole.
pub async fn reads_a_stream_backward<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("2"), 3)).await;
    append(store, some(&stream("1"), 7)).await;
    for before in [0, 1, 2, 5, 7, 8, 9, u64::MAX] {
        let wanted: Vec<u64> = (1..=7).rev().filter(|version| *version < before).collect();
        for limit in [1, 2, 3, 7, 100] {
            let read = ReadStream::new(stream("1")).before(Version(before)).limit(limit);
            let page = store.read_stream(read.clone()).await.expect("a stream can be read");
            assert!(page.events.len() <= limit && wanted.starts_with(&versions(&page.events)), "{page:?}");
            assert_eq!(page.end, page.events.len() == wanted.len(), "before {before}, at most {limit}");
            assert_eq!(versions(&in_pages(store, read).await), wanted);
        }
    }
}

/// The last event of a stream is one read away; a stream that does not exist has none.
pub async fn gives_the_last_event<F: Fixture>(fixture: F) {
    let store = fixture.store();
    for count in 1..5 {
        let given = some(&stream("1"), count);
        append(store, given.clone()).await;
        let page = store.read_stream(ReadStream::last(stream("1"))).await.expect("a stream can be read");
        assert_eq!(ids(&page.events).last(), ids_of(&given).last());
        assert_eq!(page.events.len(), 1);
    }
    let page = store.read_stream(ReadStream::last(stream("none"))).await.expect("a stream can be read");
    assert!(page.events.is_empty() && page.end);
}

/// An event is found by its id, whichever stream it is in, as the feed has it; an id that nobody used finds none.
pub async fn finds_an_event_by_its_id<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 3)).await;
    append(store, some(&stream_of("cart", "1"), 2)).await;
    for event in everything(store).await {
        let found = store.find_event(event.id).await.expect("it can be looked for");
        assert_eq!(found.as_ref(), Some(&event));
    }
    assert_eq!(store.find_event(EventId::new()).await.expect("it can be looked for"), None);
}

/// The streams of a category come in the order of their ids, byte by byte, each once and with its version; pages of any
/// size join to the whole.
pub async fn gives_the_streams_of_a_category<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let mut ids = ["b", "a", "B", "aa", "a/b", "ä", "z", "10", "9", "%", "_"];
    for (index, id) in ids.iter().enumerate() {
        append(store, some(&stream_of("order", id), index % 3 + 1)).await;
        append(store, some(&stream_of("orders", id), 1)).await;
    }
    append(store, some(&stream_of("ordeq", "x"), 1)).await;
    append(store, some(&stream_of("order", "a"), 4)).await;
    ids.sort_unstable();
    for limit in [0, 1, 2, 5, 11, 12, 1000] {
        let mut found: Vec<(StreamId, Version)> = Vec::new();
        let mut read = ReadCategory::new("order").limit(limit);
        loop {
            let page = store.read_category(read.clone()).await.expect("a category can be read");
            assert!(page.streams.len() <= limit.max(1));
            found.extend(page.streams);
            if page.end {
                break;
            }
            let last = found.last().expect("a page that is not the end has streams");
            read = ReadCategory::new("order").limit(limit).after(last.0.id());
        }
        assert_eq!(
            found.iter().map(|(stream, _)| stream.id()).collect::<Vec<_>>(),
            ids,
            "in pages of {limit}"
        );
        for (stream, version) in found {
            let last = store.read_stream(ReadStream::last(stream.clone())).await.expect("it can be read");
            assert_eq!(last.events[0].version, version, "{stream}");
        }
    }
    for category in ["none", "", "orde", "order%", "ORDER"] {
        let page = store.read_category(ReadCategory::new(category)).await.expect("a category can be read");
        assert!(page.streams.is_empty() && page.end, "{category:?}");
    }
}

/// A page has no more bytes of payload than were asked for, unless its first event alone has more; pages join to the
/// whole, of a stream in both directions and of the feed.
pub async fn pages_are_bounded_in_bytes<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let sizes = [10, 500, 20, 1000, 30, 30, 30, 5000, 1, 1];
    let sized = |size: &usize| NewEvent { payload: vec![b'1'; *size].into(), ..event() };
    append(store, Append::to(stream("1"), Expected::Any, sizes.iter().map(sized).collect())).await;
    let last = everything(store).await[sizes.len() - 1].position;
    // The same twice, because a store may have learned how large payloads are.
    for bytes in [0, 1, 40, 600, 1500, 10_000, 0, 10_000] {
        let fits = |payloads: &[usize]| payloads.len() <= 1 || payloads.iter().sum::<usize>() <= bytes;
        for read in [ReadStream::new(stream("1")), ReadStream::new(stream("1")).before(Version::END)] {
            let mut read = read.bytes(bytes);
            let mut found = Vec::new();
            loop {
                let page = store.read_stream(read.clone()).await.expect("a stream can be read");
                let payloads: Vec<_> = page.events.iter().map(|event| event.payload.len()).collect();
                assert!(fits(&payloads), "{payloads:?} are more than {bytes} bytes");
                found.extend(payloads);
                if page.end {
                    break;
                }
                let last = page.events.last().expect("a page that is not the end has events").version;
                read = match read.cursor {
                    factum_core::store::Cursor::After(_) => read.after(last),
                    factum_core::store::Cursor::Before(_) => read.before(last),
                };
            }
            found.sort_unstable();
            let mut all = sizes;
            all.sort_unstable();
            assert_eq!(found, all, "in pages of {bytes} bytes");
        }
        let page =
            store.read_all(ReadAll::after(Position::START).bytes(bytes)).await.expect("it can be read");
        let payloads: Vec<_> = page.events.iter().map(|event| event.payload.len()).collect();
        assert!(fits(&payloads), "{payloads:?} are more than {bytes} bytes");
        let feed = walk(store, ReadAll::after(Position::START).bytes(bytes), last).await;
        let payloads: Vec<_> = feed.iter().map(|event| event.payload.len()).take(sizes.len()).collect();
        assert_eq!(payloads, sizes, "in pages of {bytes} bytes");
    }
}

/// Law 9: a filter for fields of the metadata passes exactly the events that have all of them.
pub async fn a_filter_for_fields_passes_what_has_them<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let with = |fields: &[(&str, &str)]| {
        let mut new = event();
        for (name, value) in fields {
            new.metadata.fields.insert((*name).to_owned(), (*value).to_owned());
        }
        new
    };
    let odd = [("a\"b\\c", "1"), ("ü", "\u{1}"), ("nul", "\0"), ("", "")];
    let mut given = vec![
        with(&[]),
        with(&[("tenant", "1")]),
        with(&[("tenant", "1"), ("kind", "a")]),
        with(&[("tenant", "2"), ("kind", "a")]),
        with(&[("tenant", "10")]),
        with(&[("kind", "tenant")]),
    ];
    given.extend(odd.map(|field| with(&[field])));
    append(store, Append::to(stream("1"), Expected::Any, given)).await;
    let feed = everything(store).await;
    let last = feed.last().expect("it has events").position;
    let asked: Vec<Vec<(&str, &str)>> = [
        vec![("tenant", "1")],
        vec![("tenant", "1"), ("kind", "a")],
        vec![("kind", "a")],
        vec![("tenant", "3")],
        vec![("fields", "1")],
    ]
    .into_iter()
    .chain(odd.map(|field| vec![field]))
    .collect();
    for fields in asked {
        let owned = fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
        let filter = Filter { fields: owned.collect(), ..Filter::all() };
        let wanted: Vec<_> = feed.iter().filter(|event| filter.passes(event)).cloned().collect();
        for limit in [1, 2, 100] {
            let read = ReadAll::after(Position::START).filter(filter.clone()).limit(limit);
            assert_eq!(ids(&walk(store, read, last).await), ids(&wanted), "{fields:?}");
        }
    }
    // And together with the other parts of a filter.
    let none = Filter {
        fields: [("tenant".into(), "1".into())].into(),
        categories: vec!["none".into()],
        ..Filter::all()
    };
    assert!(walk(store, ReadAll::after(Position::START).filter(none), last).await.is_empty());
}
