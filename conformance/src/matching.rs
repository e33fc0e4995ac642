//! Reading what matches a query: events of any stream, by their names and by what they are about.

use factum_core::retention::Retention;
use factum_core::store::{Append, Matches, ReadMatching};
use factum_core::transfer::{export, import};
use factum_core::{
    Checkpoint, EventName, EventQuery, EventStore, Expected, NewEvent, Position, QueryItem, RecordedEvent,
    Tag, Transactional, Version,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::Fixture;
use crate::given::{event_named, some, stream};
use crate::others::{Others, begin};
use crate::seen::{PAGES_MAX, append, everything, ids, soon};

/// A tag.
pub(crate) fn tag(text: &str) -> Tag {
    Tag::new(text).expect("promises use valid tags")
}

/// An event of this name, about these things.
pub(crate) fn event_about(name: &str, tags: &[&str]) -> NewEvent {
    let mut event = event_named(name);
    event.metadata.tags = tags.iter().map(|text| tag(text)).collect();
    event
}

/// An append of such an event, to whatever stream.
pub(crate) fn about(id: &str, name: &str, tags: &[&str]) -> Append {
    Append::to(stream(id), Expected::Any, vec![event_about(name, tags)])
}

/// An item with these names and tags.
pub(crate) fn item(names: &[&str], tags: &[&str]) -> QueryItem {
    QueryItem {
        names: names
            .iter()
            .map(|name| EventName::new((*name).to_owned()).expect("promises use valid names"))
            .collect(),
        tags: tags.iter().map(|text| tag(text)).collect(),
    }
}

/// Everything that matches now, in pages of so many.
pub(crate) async fn matching(store: &impl EventStore, query: &EventQuery, limit: usize) -> Matches {
    let mut read = ReadMatching::new(query.clone()).limit(limit);
    let mut all: Option<Matches> = None;
    for _ in 0..PAGES_MAX {
        let page = store.read_matching(read.clone()).await.expect("a query can be asked");
        let got = page.events.len();
        assert!(got <= limit.max(1), "at most {limit} events were asked for, the page has {got}");
        let after =
            all.iter().flat_map(|all| &all.events).last().map_or(Position::START, |last| last.position);
        let ordered: Vec<_> =
            [after].into_iter().chain(page.events.iter().map(|event| event.position)).collect();
        assert!(ordered.is_sorted_by(|one, next| one < next), "positions grow: {ordered:?}");
        let is_end = page.end;
        assert!(is_end || got > 0, "an empty page that is not the end");
        read.after = page.events.last().map_or(read.after, |last| last.position);
        match &mut all {
            None => all = Some(page),
            Some(all) => all.events.extend(page.events),
        }
        if is_end {
            return all.expect("there was a page");
        }
    }
    panic!("what matches {query:?} does not come to an end within {PAGES_MAX} pages");
}

/// Events with names and tags that have much in common, over several streams.
async fn fill(store: &impl EventStore) -> Vec<RecordedEvent> {
    for turn in 0..40 {
        for (id, name, tags) in [
            ("1", "x", &["a"][..]),
            ("2", "y", &["a", "b"]),
            ("1", "y", &["b"]),
            ("3", "z", &[]),
            ("2", "x", &["a", "b", "c"]),
            ("3", "x", &["a:1", "a "]),
        ] {
            if turn % 3 == 0 || !tags.contains(&"c") {
                append(store, about(id, name, tags)).await;
            }
        }
    }
    everything(store).await
}

fn expected(all: &[RecordedEvent], query: &EventQuery) -> Vec<RecordedEvent> {
    all.iter().filter(|event| query.matches(&event.name, &event.metadata.tags)).cloned().collect()
}

/// An event matches if it has one of the names and all of the tags of one of the items, whichever stream it is in; it is found
/// as it is in the feed, once, and in the same order.
pub async fn a_query_finds_what_matches_it<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let all = fill(store).await;
    let queries = [
        EventQuery::of(item(&[], &["a"])),
        EventQuery::of(item(&[], &["a", "b"])),
        EventQuery::of(item(&[], &["b", "a", "c"])),
        EventQuery::of(item(&["x"], &["a"])),
        EventQuery::of(item(&["x", "y"], &["a", "b"])),
        EventQuery::of(item(&["y"], &[])),
        EventQuery::of(item(&["x", "z"], &[])),
        EventQuery::of(item(&["x"], &["b"])).or(item(&["y"], &["b"])),
        EventQuery::of(item(&[], &["a"])).or(item(&["x"], &["a", "c"])).or(item(&["z"], &[])),
        EventQuery::of(item(&["unknown"], &["a"])).or(item(&[], &["unknown"])),
        EventQuery::of(item(&["x"], &["a", "unknown"])),
        EventQuery::of(item(&[], &["A"])).or(item(&["X"], &[])),
        EventQuery::of(item(&[], &["a "])),
        EventQuery::of(item(&[], &["a", "a"])).or(item(&[], &["a"])),
        EventQuery::none(),
    ];
    for query in queries {
        for limit in [1000, 7, 1, 0] {
            let found = matching(store, &query, limit).await.events;
            assert_eq!(found, expected(&all, &query), "for {query:?}");
        }
    }
    // The markers by which a promise finds the end of the feed match it, too.
    let found = matching(store, &EventQuery::all(), 100).await.events;
    let found: Vec<_> = found.into_iter().filter(|event| all.contains(event)).collect();
    assert_eq!(found, all);
}

/// Any query over any events finds what filtering everything by its own rule finds.
pub async fn random_queries_find_what_matches_them<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let name = prop::sample::select(vec!["n1", "n2", "n3"]);
    let tags = prop::collection::btree_set(prop::sample::select(vec!["t1", "t2", "t3", "t4"]), 0..4);
    let items = prop::collection::vec((prop::collection::btree_set(name.clone(), 0..3), tags.clone()), 1..4);
    let strategy = (prop::collection::vec((name, tags), 60..80), prop::collection::vec(items, 60));
    let drawn = strategy.new_tree(&mut TestRunner::default()).expect("it can be drawn");
    let (events, queries) = drawn.current();
    for (at, (name, tags)) in events.into_iter().enumerate() {
        append(store, about(&(at % 3).to_string(), name, &Vec::from_iter(tags))).await;
    }
    let all = everything(store).await;
    for items in queries {
        let mut query = EventQuery::none();
        // One without names and tags would match the markers of a promise, too.
        for (names, tags) in items.into_iter().filter(|(names, tags)| !(names.is_empty() && tags.is_empty()))
        {
            query = query.or(item(&Vec::from_iter(names), &Vec::from_iter(tags)));
        }
        assert_eq!(matching(store, &query, 9).await.events, expected(&all, &query), "for {query:?}");
    }
}

/// What was acknowledged is found at once.
pub async fn finds_what_was_just_acknowledged<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let query = EventQuery::of(item(&[], &["a"]));
    let mut found = Vec::new();
    for turn in 0..50 {
        let given = about(&turn.to_string(), "x", &["a"]);
        append(store, given.clone()).await;
        found.extend(given.events().map(|event| event.id));
        assert_eq!(ids(&matching(store, &query, 1000).await.events), found);
    }
}

/// Up to where it says that all is settled nothing appears later: an append that is open then is above it, and is found once it
/// is committed.
pub async fn what_is_settled_stays_as_it_is<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let query = EventQuery::of(item(&[], &["a"]));
    append(store, about("1", "x", &["a"])).await;
    for turn in 0..10 {
        let (open, behind) = (about("open", "x", &["a"]), about("behind", "x", &["a"]));
        let mut tx = begin(store).await;
        store.append_in(&mut tx, open.clone()).await.expect("nothing is expected");
        let others = Others::append(store, behind.clone()).await;
        let before = soon("a query", matching(store, &query, 1000)).await;
        if others.are_done() {
            // It is found before what is below it.
            assert_eq!(ids(&before.events).last(), behind.events().next().map(|event| &event.id));
        }
        store.commit(tx).await.expect("it commits");
        others.done().await;
        let after = matching(store, &query, 1000).await;
        let settled = before.settled.position;
        let up_to = |found: &Matches| -> Vec<RecordedEvent> {
            found.events.iter().filter(|event| event.position <= settled).cloned().collect()
        };
        assert_eq!(up_to(&after), up_to(&before), "something appeared up to {settled} in turn {turn}");
        assert_eq!(after.events.len(), 3 + 2 * turn);
    }
}

/// Where all is settled is named by the last event up to there, so that another log is told from this one.
pub async fn what_is_settled_names_its_event<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let query = EventQuery::of(item(&[], &["a"]));
    let empty = matching(store, &query, 10).await;
    assert_eq!((empty.settled, empty.events.len()), (Checkpoint::START, 0));
    for turn in 0..5 {
        append(store, about(&turn.to_string(), "x", if turn % 2 == 0 { &["a"] } else { &["b"] })).await;
        let settled = matching(store, &query, 10).await.settled;
        let all = everything(store).await;
        let last = all.iter().rev().find(|event| event.position <= settled.position);
        // The markers of a promise are events, too.
        if last.is_some_and(|last| last.position == settled.position) || settled.position == Position::START {
            assert_eq!(settled.event_id, last.map(|last| last.id));
        }
    }
}

/// Archived events match as before, and deleted and truncated ones do not: what they were about is gone with them.
pub async fn what_is_deleted_matches_no_more<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let query = EventQuery::of(item(&[], &["a"])).or(item(&["y"], &[]));
    for id in ["kept", "deleted", "archived", "truncated", "both"] {
        append(store, about(id, "x", &["a", "b"])).await;
        append(store, about(id, "y", &[])).await;
        append(store, about(id, "x", &["a"])).await;
    }
    let before = matching(store, &query, 100).await.events;
    store.truncate_stream(&stream("truncated"), Version(3)).await.expect("it has the version");
    store.delete_stream(&stream("deleted"), Expected::Any).await.expect("it is there");
    store.archive_stream(&stream("archived"), Expected::Any).await.expect("it is there");
    store.archive_stream(&stream("both"), Expected::Any).await.expect("it is there");
    store.delete_stream(&stream("both"), Expected::Any).await.expect("it is there");
    let is_left = |event: &RecordedEvent| match event.stream.id() {
        "truncated" => event.version == Version(3),
        id => !["deleted", "both"].contains(&id),
    };
    let left: Vec<_> = before.into_iter().filter(is_left).collect();
    assert_eq!(left.len(), 7);
    assert_eq!(matching(store, &query, 2).await.events, left);
    store.restore_stream(&stream("archived")).await.expect("it is archived");
    assert_eq!(matching(store, &query, 100).await.events, left);
}

/// A query takes names and tags as they are: with quotes, wildcards and brackets, and as long as allowed.
pub async fn a_query_takes_tags_literally<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let longest = "t".repeat(255);
    let texts = [
        "a%",
        "a_",
        "a\\",
        "a\"b",
        "a'b",
        "{a,b}",
        "[\"a\"]",
        "$.a",
        "null",
        "é",
        "e\u{301}",
        "\u{1f600}",
        "\\u0000",
        " ",
        &longest,
    ];
    for text in texts {
        let mut event = event_about(text, &[text]);
        // What else is known of it is nobody's concern.
        event.metadata.fields.insert("nul\0".into(), "\0\\\0".into());
        append(store, Append::to(stream("1"), Expected::Any, vec![event])).await;
    }
    for text in texts {
        for query in [item(&[], &[text]), item(&[text], &[]), item(&[text], &[text])] {
            let found = matching(store, &EventQuery::of(query.clone()), 100).await.events;
            let names: Vec<_> = found.iter().map(|event| event.name.as_str()).collect();
            assert_eq!(names, [text], "for {query:?}");
        }
    }
    // And they are found again to be forgotten.
    store.delete_stream(&stream("1"), Expected::Any).await.expect("it is there");
    for text in texts {
        let query = EventQuery::of(item(&[], &[text]));
        assert_eq!(matching(store, &query, 100).await.events, []);
    }
}

/// What is imported is found as what was appended is.
pub async fn a_copy_finds_the_same<F: Fixture>(fixture: F) {
    let store = fixture.store();
    fill(store).await;
    append(store, about("archived", "x", &["a"])).await;
    store.archive_stream(&stream("archived"), Expected::Any).await.expect("it is there");
    append(store, some(&stream("4"), 1)).await;
    let mut file = Vec::new();
    export(store, &mut file).await.expect("it can be exported");
    let copy = F::empty().await;
    import(copy.store(), &file[..]).await.expect("it is an export");
    for query in
        [EventQuery::of(item(&[], &["a"])), EventQuery::of(item(&["y"], &["a", "b"])), EventQuery::all()]
    {
        let (found, wanted) =
            (matching(copy.store(), &query, 50).await.events, matching(store, &query, 50).await.events);
        assert_eq!(found, wanted, "for {query:?}");
        assert!(!found.is_empty());
    }
}

/// An append in a transaction is found after its commit, and not before.
pub async fn what_is_not_committed_is_not_found<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let query = EventQuery::of(item(&[], &["a"]));
    let mut tx = begin(store).await;
    store.append_in(&mut tx, about("1", "x", &["a"])).await.expect("nothing is expected");
    assert_eq!(soon("a query", matching(store, &query, 10)).await.events, []);
    drop(tx);
    let given = about("2", "x", &["a"]);
    let mut tx = begin(store).await;
    store.append_in(&mut tx, given.clone()).await.expect("nothing is expected");
    store.commit(tx).await.expect("it commits");
    assert_eq!(
        ids(&matching(store, &query, 10).await.events),
        [given.events().next().expect("it has one").id]
    );
}
