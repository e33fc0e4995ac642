//! The feed: everything once, in the store's one order, in pages, and through filters.

use factum_core::store::{Append, Filter, Page, ReadAll, ReadStream};
use factum_core::{
    Checkpoint, EventId, EventName, EventStore, Expected, NewEvent, Position, RecordedEvent, StoreErrorKind,
    StreamId,
};
use proptest::collection::vec;
use proptest::sample::select;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::Fixture;
use crate::given::{event, event_named, events, ids_of, some, stream, stream_of};
use crate::seen::{PAGES_MAX, append, everything, ids, in_pages, page, positions, versions, walk, whole};

/// Every event of every stream is in the feed, as its stream has it.
pub async fn gives_every_event_of_every_stream<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let streams: Vec<_> = (0..10).map(|n| stream_of(&format!("kind-{}", n % 3), &n.to_string())).collect();
    for turn in 0..4 {
        for (at, stream) in streams.iter().enumerate() {
            append(store, some(stream, 1 + (at + turn) % 3)).await;
        }
    }
    let feed = everything(store).await;
    let mut count = 0;
    for stream in &streams {
        let of_feed: Vec<_> = feed.iter().filter(|event| event.stream == *stream).cloned().collect();
        assert_eq!(of_feed, whole(store, stream).await);
        count += of_feed.len();
    }
    assert_eq!(feed.len(), count, "and nothing else");
}

/// Law 6: positions grow with every append, and within it with every event.
pub async fn positions_grow<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let mut last = Position::START;
    let mut given = Vec::new();
    for turn in 0..20 {
        // To streams that are old and new, whose names sort before and after those of the others.
        let id = if turn % 4 == 3 { "m".to_owned() } else { format!("{}", 50 - turn) };
        let next = some(&stream(&id), 1 + turn % 3);
        given.extend(ids_of(&next));
        let answer = append(store, next).await;
        assert!(answer.position > last, "{} is after {last}", answer.position);
        last = answer.position;
    }
    let feed = everything(store).await;
    assert_eq!(ids(&feed), given, "the order of the feed is that of the appends");
    assert!(positions(&feed).windows(2).all(|pair| pair[0] < pair[1]));
}

/// Law 6: an append gets a greater position than every append that was acknowledged before, through whichever clone and
/// from whichever task.
pub async fn positions_respect_cause<F: Fixture>(fixture: F) {
    let mut last = Position::START;
    for turn in 0..50_u32 {
        let store = fixture.store().clone();
        let next = some(&stream(&(turn % 7).to_string()), 1);
        let answer = tokio::spawn(async move { append(&store, next).await }).await.expect("does not panic");
        assert!(answer.position > last, "{} was appended after {last}", answer.position);
        last = answer.position;
    }
}

/// Law 6: within a stream, the order of positions is that of versions, whichever streams an append names first.
pub async fn position_order_is_version_order<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let (a, b) = (stream("a"), stream("b"));
    for turn in 0..10 {
        let (first, second) = if turn % 2 == 0 { (&a, &b) } else { (&b, &a) };
        append(store, some(first, 2).and(second.clone(), Expected::Any, events(2))).await;
    }
    let feed = everything(store).await;
    for stream in [a, b] {
        let of_stream: Vec<_> = feed.iter().filter(|event| event.stream == stream).cloned().collect();
        assert_eq!(versions(&of_stream), (1..=20).collect::<Vec<_>>());
    }
}

/// Law 6: a conflict or a refused append moves no event, and positions go on growing after it.
pub async fn positions_stay_when_an_append_fails<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 3)).await;
    let before = everything(store).await;
    for _ in 0..3 {
        let stale = Append::to(stream("1"), Expected::NoStream, events(2));
        store.append(stale).await.expect_err("the stream exists");
    }
    let answer = append(store, some(&stream("1"), 1)).await;
    let after = everything(store).await;
    assert_eq!(after[..3], before);
    assert!(answer.position > after[2].position);
    assert_eq!(after[3].position, answer.position);
}

/// Reading the same again gives the same again.
pub async fn gives_the_same_again<F: Fixture>(fixture: F) {
    let store = fixture.store();
    for n in 0..5 {
        append(store, some(&stream(&n.to_string()), 2)).await;
    }
    let first = everything(store).await;
    assert_eq!(first.len(), 10);
    for _ in 0..3 {
        append(store, some(&stream("later"), 1)).await;
        assert_eq!(everything(store).await[..10], first);
    }
}

/// Only events after the position that is asked for are in the answer: every position is a place to go on from.
pub async fn gives_what_comes_after_a_position<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let feed = given_feed(store).await;
    for (at, event) in feed.iter().enumerate() {
        let rest = rest_of(store, &feed, event.position, Filter::all(), 4).await;
        assert_eq!(rest, feed[at + 1..]);
    }
}

/// A page has no more events than were asked for, and pages of any size join to the whole.
pub async fn pages_join_to_the_whole<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let feed = given_feed(store).await;
    for limit in (1..=feed.len() + 1).chain([usize::MAX]) {
        let joined = rest_of(store, &feed, Position::START, Filter::all(), limit).await;
        assert_eq!(joined, feed, "in pages of {limit}");
    }
    for limit in 1..feed.len() {
        let page = read(store, Position::START, Filter::all(), limit).await;
        assert!(page.events.len() <= limit);
    }
}

/// `end` is true exactly if there is nothing after the page's position, also where a full page is the last.
pub async fn says_whether_it_is_the_end<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let feed = given_feed(store).await;
    let last = feed.last().expect("it has events").position;
    let mut ends = 0;
    for after in std::iter::once(Position::START).chain(positions(&feed)) {
        for limit in 1..=feed.len() + 1 {
            let page = page(store, &ReadAll::after(after).limit(limit)).await;
            assert_eq!(
                page.end,
                page.checkpoint.position >= last,
                "at {}, where {last} is the last",
                page.checkpoint.position
            );
            ends += usize::from(page.end);
        }
    }
    let pages = (feed.len() + 1) * (feed.len() + 1);
    assert!((feed.len()..pages).contains(&ends), "some pages are the end and some are not");
}

/// An event that comes after the end is read from there, also where a filter let nothing pass before.
pub async fn goes_on_after_the_end<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let mut feed = given_feed(store).await;
    for filter in [named("late"), Filter { streams: vec![stream("late")], ..Filter::all() }, Filter::all()] {
        assert_filters(store, &feed, filter.clone(), 3).await;
        let end = end_of(store, &feed, filter.clone(), 5).await;
        let late = Append::to(stream("late"), Expected::Any, vec![event_named("late"), event_named("late")]);
        let answer = append(store, late.clone()).await;
        let after_end = walk(store, ReadAll::after(end).filter(filter).limit(100), answer.position).await;
        assert_eq!(ids(&after_end), ids_of(&late));
        feed.extend(after_end);
    }
    assert_eq!(everything(store).await, feed);
}

/// A store that holds nothing is an empty page, and its end, whatever the filter.
pub async fn an_empty_store_is_an_empty_page<F: Fixture>(fixture: F) {
    let store = fixture.store();
    for filter in [Filter::all(), named("tested"), Filter { streams: vec![stream("1")], ..Filter::all() }] {
        for limit in [0, 1, 100] {
            let page = read(store, Position::START, filter.clone(), limit).await;
            assert!(page.events.is_empty() && page.end, "nothing is there: {page:?}");
        }
    }
    // Wherever a reader stands then, the first event comes after it.
    let stands = read(store, Position::START, Filter::all(), 10).await.checkpoint.position;
    let answer = append(store, some(&stream("1"), 1)).await;
    assert!(answer.position > stands, "{} was appended when a reader was at {stands}", answer.position);
}

/// A limit of 0 is a limit of 1: a reader that moves by pages always moves.
pub async fn a_limit_of_zero_gives_one_event<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let feed = given_feed(store).await;
    let page = read(store, Position::START, Filter::all(), 0).await;
    assert!(page.events.len() <= 1 && page.checkpoint.position > Position::START && !page.end);
    assert_eq!(rest_of(store, &feed, Position::START, Filter::all(), 0).await, feed);
    let passed: Vec<_> = feed.iter().filter(|event| named("b").passes(event)).cloned().collect();
    assert!(passed.len() > 1);
    assert_eq!(rest_of(store, &feed, Position::START, named("b"), 0).await, passed);
}

/// After the head there is nothing, however far after it: a reader from there stays where it is, and is at the end.
pub async fn stays_where_it_is_past_the_head<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let feed = given_feed(store).await;
    let head = end_of(store, &feed, Filter::all(), 5).await.0;
    let largest = u64::try_from(i64::MAX).expect("not negative");
    let past = [head, head + 1, head + (1 << 32), largest - 1, largest, largest + 1, u64::MAX - 1, u64::MAX];
    for after in past.map(Position) {
        for filter in [Filter::all(), named("a"), named("none")] {
            let page = read(store, after, filter, 10).await;
            assert_eq!((page.events, page.checkpoint.position, page.end), (Vec::new(), after, true));
        }
    }
}

/// A page names the last event up to where it looked, whether it passed or not and whether anything came.
pub async fn pages_name_the_last_event_up_to_where_they_looked<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let feed = given_feed(store).await;
    for filter in [Filter::all(), named("a"), named("none")] {
        let mut read_on = ReadAll::after(Position::START).filter(filter.clone()).limit(3);
        loop {
            let page = page(store, &read_on).await;
            let last = feed.iter().rfind(|event| event.position <= page.checkpoint.position);
            assert_eq!(page.checkpoint.event_id, last.map(|event| event.id), "through {filter:?}");
            if page.end && page.checkpoint == read_on.after {
                break;
            }
            read_on.after = page.checkpoint;
        }
        assert_eq!(read_on.after.event_id, feed.last().map(|event| event.id), "through {filter:?}");
    }
}

/// A reader who comes with an event that the log does not have there reads nothing, wherever it is and whatever it wants:
/// in another log it would pass over what the first one did not have.
pub async fn refuses_to_go_on_in_another_log<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let feed = given_feed(store).await;
    let (first, head) = (&feed[0], feed.last().expect("it has events"));
    let foreign = |position| Checkpoint { position, event_id: Some(EventId::new()) };
    let elsewhere = Checkpoint { position: head.position, event_id: Some(first.id) };
    let past = Position(head.position.0 + 1000);
    for filter in [Filter::all(), named("a"), named("none")] {
        for after in [
            foreign(Position::START),
            foreign(first.position),
            foreign(head.position),
            foreign(past),
            elsewhere,
        ] {
            let refused = store.read_all(ReadAll::after(after).filter(filter.clone())).await;
            let refused = refused.expect_err("it is another log");
            let expected = feed.iter().rfind(|event| event.position <= after.position).map(|event| event.id);
            let StoreErrorKind::ForeignCheckpoint { checkpoint, found } = *refused.kind() else {
                panic!("{refused:?}");
            };
            assert_eq!((checkpoint, found), (after, expected));
        }
        // Where nothing followed the last event, that is the event at any later position.
        let same = Checkpoint { position: past, event_id: Some(head.id) };
        store.read_all(ReadAll::after(same).filter(filter)).await.expect("it is this log");
    }
}

/// Law 9: through every combination of categories, streams and names, known and unknown, a reader sees what filtering
/// the whole feed would give it.
pub async fn a_filter_equals_filtering_the_whole<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let feed = given_feed(store).await;
    let categories = ["order", "cart", "none"];
    let streams = [stream_of("order", "1"), stream_of("order", "2"), stream_of("cart", "1"), stream("none")];
    let names = ["a", "b", "none"];
    let (mut some_passed, mut none_passed) = (0, 0);
    for bits in 0..1 << 10_u32 {
        let filter = Filter {
            categories: chosen(&categories, bits).map(|&category| category.to_owned()).collect(),
            streams: chosen(&streams, bits >> 3).cloned().collect(),
            names: chosen(&names, bits >> 7).map(|name| event_name(name)).collect(),
            ..Filter::all()
        };
        let limit = [1, 2, 3, 5, 1000][bits as usize % 5];
        let passed = assert_filters(store, &feed, filter, limit).await;
        some_passed += usize::from(0 < passed && passed < feed.len());
        none_passed += usize::from(passed == 0);
    }
    assert!(some_passed > 100 && none_passed > 100, "filters passed something and nothing");
}

/// Law 9: so it is for random filters over many streams, with parts that are long, unknown or there twice, from anywhere
/// and in pages of any size.
pub async fn random_filters_equal_filtering_the_whole<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let mut runner = TestRunner::deterministic();
    let categories: Vec<String> = (0..6).map(|n| format!("kind-{n}")).collect();
    let streams: Vec<StreamId> =
        (0..24).map(|n| stream_of(&categories[n % 5], &format!("{}", n / 2))).collect();
    let names: Vec<EventName> = (0..8).map(|n| event_name(&format!("name-{n}"))).collect();
    let appends = vec((select(streams[..20].to_vec()), vec(select(names[..7].to_vec()), 1..4)), 100);
    for (stream, names) in draw(&appends, &mut runner) {
        let given = names.into_iter().map(|name| NewEvent { name, ..event() }).collect();
        append(store, Append::to(stream, Expected::Any, given)).await;
    }
    let feed = everything(store).await;
    let filters = (vec(select(categories), 0..4), vec(select(streams), 0..8), vec(select(names), 0..4));
    let reads = vec((filters, 0..feed.len(), 1..40_usize), 200);
    let mut some_passed = 0;
    for ((categories, streams, names), at, limit) in draw(&reads, &mut runner) {
        let filter = Filter { categories, streams, names, ..Filter::all() };
        let passed: Vec<_> = feed[at..].iter().filter(|event| filter.passes(event)).cloned().collect();
        some_passed += usize::from(!passed.is_empty());
        let after = if at == 0 { Position::START } else { feed[at - 1].position };
        let seen = rest_of(store, &feed, after, filter.clone(), limit).await;
        assert_eq!(ids(&seen), ids(&passed), "through {filter:?} after {after}, in pages of {limit}");
    }
    assert!(some_passed > 50, "many filters passed something");
}

/// Law 9: where nothing passes, the position moves on to the end, so that a reader that remembers it does not look at
/// the same events for ever.
pub async fn the_position_moves_on_where_nothing_passes<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let feed = given_feed(store).await;
    let head = feed.last().expect("it has events").position;
    let nothing = [
        named("none"),
        Filter { categories: vec!["none".into()], ..Filter::all() },
        Filter { streams: vec![stream("none")], ..Filter::all() },
        // Each part passes something, and nothing passes both.
        Filter {
            categories: vec!["cart".into()],
            streams: vec![stream_of("order", "1")],
            names: Vec::new(),
            ..Filter::all()
        },
    ];
    for filter in nothing {
        for limit in [1, 3, 1000] {
            assert_eq!(
                assert_filters(store, &feed, filter.clone(), limit).await,
                0,
                "nothing passes {filter:?}"
            );
            let end = end_of(store, &feed, filter.clone(), limit).await;
            assert!(end >= head, "everything up to {head} was looked at, not up to {end}");
        }
    }
}

/// Law 9: where the last event that passes is followed by others, the position moves on past those too.
pub async fn the_position_moves_on_after_the_last_that_passes<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, Append::to(stream("1"), Expected::Any, vec![event_named("wanted")])).await;
    append(store, some(&stream("2"), 50)).await;
    let feed = everything(store).await;
    let last = feed.last().expect("it has events").position;
    for limit in [1, 2, 1000] {
        assert_eq!(assert_filters(store, &feed, named("wanted"), limit).await, 1);
        let end = end_of(store, &feed, named("wanted"), limit).await;
        assert!(end >= last, "everything up to {last} was looked at, not up to {end}");
    }
}

/// Law 9: no event that passes is lost or doubled where a page ends, wherever that is.
pub async fn filtered_pages_lose_nothing_at_their_ends<F: Fixture>(fixture: F) {
    let store = fixture.store();
    // Runs of events that pass and of events that do not, of all lengths up to 5.
    for run in 1..=5 {
        let wanted = (0..run).map(|_| event_named("wanted")).collect();
        append(store, Append::to(stream("1"), Expected::Any, wanted)).await;
        append(store, some(&stream("1"), run)).await;
    }
    let feed = everything(store).await;
    assert_eq!(feed.len(), 30);
    for limit in 1..=16 {
        assert_eq!(assert_filters(store, &feed, named("wanted"), limit).await, 15);
    }
}

/// Law 9: names in filters are compared byte by byte: nothing in them is a pattern, and neither case nor blanks nor
/// unicode forms make two names one.
pub async fn a_filter_takes_names_literally<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let names = [
        "a",
        "A",
        "a ",
        " a",
        "ab",
        "a%",
        "a_",
        "%",
        "_",
        "*",
        "a*",
        "a?",
        "[a]",
        "^a$",
        ".*",
        "a'",
        "a''",
        "a\"",
        "a\\",
        "a\\%",
        "a,b",
        "{a}",
        "{}",
        "NULL",
        "null",
        "é",
        "e\u{301}",
        "É",
        "ß",
        "ss",
        "\u{1f980}",
        "a;--",
        "$1",
        "?1",
        ":a",
        "@a",
        "a\u{feff}",
        "\u{a0}",
    ];
    for name in names {
        // As a category, as an id and as an event's name.
        append(store, Append::to(stream_of(name, name), Expected::NoStream, vec![event_named(name)])).await;
    }
    let feed = everything(store).await;
    assert_eq!(feed.len(), names.len());
    for name in names {
        let filters = [
            Filter { categories: vec![name.to_owned()], ..Filter::all() },
            Filter { streams: vec![stream_of(name, name)], ..Filter::all() },
            named(name),
            Filter {
                categories: vec![name.to_owned()],
                streams: vec![stream_of(name, name)],
                names: vec![event_name(name)],
                ..Filter::all()
            },
        ];
        for filter in filters {
            assert_eq!(assert_filters(store, &feed, filter, 10).await, 1, "{name:?}");
        }
    }
}

/// Law 9: a filter may be long.
pub async fn a_filter_may_name_thousands<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let feed = given_feed(store).await;
    let many = |n: usize| (0..n).map(|n| format!("many-{n}"));
    let mut filter = Filter {
        categories: many(2000).collect(),
        streams: many(2000).map(|id| stream_of("order", &id)).collect(),
        names: many(2000).map(|name| event_name(&name)).collect(),
        ..Filter::all()
    };
    assert_eq!(assert_filters(store, &feed, filter.clone(), 2).await, 0);
    filter.categories.push("order".into());
    filter.streams.push(stream_of("order", "1"));
    filter.names.push(event_name("a"));
    assert!(assert_filters(store, &feed, filter, 2).await > 0);
}

/// A filter sees the events of appends to several streams singly.
pub async fn a_filter_divides_an_append<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let (order, cart) = (stream_of("order", "1"), stream_of("cart", "1"));
    for _ in 0..5 {
        let both = Append::to(order.clone(), Expected::Any, vec![event_named("a"), event_named("b")]).and(
            cart.clone(),
            Expected::Any,
            vec![event_named("b")],
        );
        append(store, both).await;
    }
    let feed = everything(store).await;
    let of_cart = Filter { categories: vec!["cart".into()], ..Filter::all() };
    assert_eq!(assert_filters(store, &feed, of_cart, 2).await, 5);
    assert_eq!(assert_filters(store, &feed, named("b"), 3).await, 10);
    let in_stream = ReadStream::new(cart).limit(2);
    assert_eq!(in_pages(store, in_stream).await.len(), 5);
}

/// A feed of sixteen events of two names in five streams of two categories.
async fn given_feed(store: &impl EventStore) -> Vec<RecordedEvent> {
    let mut last = Position::START;
    for turn in 0..2 {
        for id in ["1", "2", "3"] {
            let both = vec![event_named("a"), event_named("b")];
            last = append(store, Append::to(stream_of("order", id), Expected::Any, both)).await.position;
            if id != "3" {
                let one = vec![event_named(if turn == 0 { "a" } else { "b" })];
                last = append(store, Append::to(stream_of("cart", id), Expected::Any, one)).await.position;
            }
        }
    }
    let feed = walk(store, ReadAll::after(Position::START).limit(1000), last).await;
    assert_eq!(feed.len(), 16);
    feed
}

async fn read(store: &impl EventStore, after: Position, filter: Filter, limit: usize) -> Page {
    store.read_all(ReadAll::after(after).filter(filter).limit(limit)).await.expect("the feed can be read")
}

/// What comes after a position and through a filter, in pages of a size.
///
/// `feed` is what the feed has shown before, so nothing has to be waited for: a feed may lag behind what was acknowledged,
/// but not behind itself. What was appended after `feed` was read is left out.
async fn rest_of(
    store: &impl EventStore,
    feed: &[RecordedEvent],
    after: Position,
    filter: Filter,
    limit: usize,
) -> Vec<RecordedEvent> {
    let (mut events, _) = walk_known(store, feed, ReadAll::after(after).filter(filter).limit(limit)).await;
    let last = feed.last().map_or(after, |event| event.position);
    events.retain(|event| event.position <= last);
    events
}

/// Where a reader with this filter stands, who has come to the end.
async fn end_of(store: &impl EventStore, feed: &[RecordedEvent], filter: Filter, limit: usize) -> Position {
    walk_known(store, feed, ReadAll::after(Position::START).filter(filter).limit(limit)).await.1
}

/// Reads on until a page says that it is the end and has nothing. What it passes over must not pass the filter.
async fn walk_known(
    store: &impl EventStore,
    feed: &[RecordedEvent],
    mut read: ReadAll,
) -> (Vec<RecordedEvent>, Position) {
    let mut events = Vec::new();
    for _ in 0..PAGES_MAX {
        let page = page(store, &read).await;
        let is_empty = page.events.is_empty();
        events.extend(page.events);
        read.after = page.checkpoint;
        if page.end {
            let denied = feed
                .iter()
                .find(|event| event.position > page.checkpoint.position && read.filter.passes(event));
            assert_eq!(denied, None, "a page says that there is nothing after {}", page.checkpoint.position);
            // Where the end is said at an event that passes, others that do not may follow.
            if is_empty {
                return (events, page.checkpoint.position);
            }
        }
    }
    panic!("the feed does not come to an end within {PAGES_MAX} pages, it is at {}", read.after.position);
}

/// Asserts that the filter gives what filtering `feed` gives, and says how many events passed it.
async fn assert_filters(
    store: &impl EventStore,
    feed: &[RecordedEvent],
    filter: Filter,
    limit: usize,
) -> usize {
    let passed: Vec<_> = feed.iter().filter(|event| filter.passes(event)).cloned().collect();
    let seen = rest_of(store, feed, Position::START, filter.clone(), limit).await;
    assert_eq!(ids(&seen), ids(&passed), "through {filter:?} in pages of {limit}");
    assert_eq!(seen, passed);
    passed.len()
}

fn named(name: &str) -> Filter {
    Filter { names: vec![event_name(name)], ..Filter::all() }
}

fn event_name(name: &str) -> EventName {
    EventName::new(name.to_owned()).expect("promises use valid names")
}

/// Those of `all` whose bit is set.
fn chosen<T>(all: &[T], bits: u32) -> impl Iterator<Item = &T> {
    all.iter().enumerate().filter(move |(at, _)| bits & (1 << at) != 0).map(|(_, item)| item)
}

/// A value of the strategy.
fn draw<S: Strategy>(strategy: &S, runner: &mut TestRunner) -> S::Value {
    strategy.new_tree(runner).expect("the strategy rejects nothing").current()
}
