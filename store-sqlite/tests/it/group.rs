//! Appends that share a transaction: each has an outcome of its own, and text is taken exactly.

use factum_core::store::{Append, Filter, ReadAll, ReadStream};
use factum_core::{
    AppendError, Conflict, EventName, EventStore, Expected, Position, StreamId, Transactional, Version,
};
use factum_sqlite::SqliteStore;

use crate::support::{event, event_of, everything, one, ready, stream};

/// The outcomes of appends that wait while a transaction has the writer, and so are committed as one group.
async fn burst(
    store: &SqliteStore,
    appends: Vec<Append>,
) -> Vec<Result<factum_core::store::Appended, AppendError>> {
    let tx = store.begin().await.expect("begins");
    let mut tasks = Vec::new();
    for append in appends {
        let store = store.clone();
        tasks.push(tokio::spawn(async move { store.append(append).await }));
        // The queue keeps the order in which they come.
        tokio::task::yield_now().await;
    }
    tx.rollback().await.expect("rolls back");
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.expect("no panic"));
    }
    outcomes
}

#[tokio::test]
async fn each_append_of_a_burst_has_its_own_outcome() {
    let (store, _dir) = ready().await;
    let before = one("before");
    let recorded = store.append(before.clone()).await.expect("appends");

    let twin = Append::to(stream("twin"), Expected::NoStream, vec![event(), event()]);
    let first = Append::to(stream("raced"), Expected::NoStream, vec![event()]);
    let second = Append::to(stream("raced"), Expected::NoStream, vec![event()]);
    let third = Append::to(stream("raced"), Expected::Exactly(Version(1)), vec![event()]);
    let stale = Append::to(stream("before"), Expected::Exactly(Version(7)), vec![event()]);
    let stolen_id = before.events().next().expect("one").clone();
    let stolen = Append::to(stream("thief"), Expected::Any, vec![stolen_id]);
    let several = Append::to(stream("before"), Expected::Exactly(Version(1)), vec![event()])
        .and(stream("new"), Expected::NoStream, vec![event(), event()])
        .and(stream("raced"), Expected::Exactly(Version(2)), vec![event()]);
    let all = [before, twin.clone(), first, second, twin, third, stale, stolen, several, one("last")];
    let outcomes = burst(&store, all.to_vec()).await;

    let conflict = |id: &str, expected, actual| Conflict { stream: stream(id), expected, actual };
    assert_eq!(outcomes[0].as_ref().expect("a repeat"), &recorded);
    let twin = outcomes[1].as_ref().expect("appends");
    assert_eq!(outcomes[4].as_ref().expect("a repeat within the group"), twin);
    assert_eq!(outcomes[2].as_ref().expect("wins").version(), Version(1));
    let lost = conflict("raced", Expected::NoStream, Some(Version(1)));
    assert!(matches!(&outcomes[3], Err(AppendError::Conflict(conflict)) if *conflict == lost));
    assert_eq!(outcomes[5].as_ref().expect("follows the winner").version(), Version(2));
    let stale = conflict("before", Expected::Exactly(Version(7)), Some(Version(1)));
    assert!(matches!(&outcomes[6], Err(AppendError::Conflict(conflict)) if *conflict == stale));
    assert!(matches!(&outcomes[7], Err(AppendError::IdReused(_))), "{:?}", outcomes[7]);
    let several = outcomes[8].as_ref().expect("appends");
    assert_eq!(several.versions, [Version(2), Version(2), Version(3)]);
    assert!(outcomes[9].as_ref().expect("appends").position > several.position);

    // One event before; then 2 twins, 2 raced, 4 in several streams, 1 last, without holes.
    let all = everything(&store).await;
    let positions: Vec<_> = all.iter().map(|event| event.position.0).collect();
    assert_eq!(positions, (1..=10).collect::<Vec<_>>());
    // The first append waits for the writer alone, and was a repeat; the others are one group, of one moment.
    assert!(all[1..].iter().all(|event| event.recorded_at == all[1].recorded_at), "{all:#?}");
}

#[tokio::test]
async fn an_append_of_many_statements_is_still_one() {
    let (store, _dir) = ready().await;
    let many: Vec<_> = (0..5000).map(|_| event()).collect();
    let large: Vec<_> = (0..20).map(|_| event_of(1 << 20)).collect();
    let ids: Vec<_> = many.iter().chain(&large).map(|event| event.id).collect();

    let append =
        Append::to(stream("many"), Expected::NoStream, many).and(stream("large"), Expected::NoStream, large);
    let appended = store.append(append).await.expect("appends");

    assert_eq!(appended.versions, [Version(5000), Version(20)]);
    assert_eq!(everything(&store).await.iter().map(|event| event.id).collect::<Vec<_>>(), ids);
}

#[tokio::test]
async fn names_that_look_alike_are_different_streams() {
    let (store, _dir) = ready().await;
    let ids = [
        "a",
        "A",
        "a ",
        " a",
        "a/b",
        "a//b",
        "/",
        "ä",
        "a\u{308}",
        "\"",
        "'",
        "\\",
        "\\u0061",
        "\u{1F980}",
        "%",
        "_",
        "1",
        "01",
        "1.0",
        "null",
        "[]",
        "\u{2028}",
        "ß",
        "ss",
    ];
    let appends = ids.iter().map(|id| Append::to(stream(id), Expected::NoStream, vec![event()])).collect();
    for (id, outcome) in ids.iter().zip(burst(&store, appends).await) {
        assert!(outcome.is_ok(), "{id:?}: {outcome:?}");
    }
    for id in ids {
        let second = Append::to(stream(id), Expected::Exactly(Version(1)), vec![event()]);
        assert_eq!(store.append(second).await.expect(id).version(), Version(2));
        let read = ReadStream::new(stream(id)).limit(10);
        assert_eq!(store.read_stream(read).await.expect("reads").events.len(), 2, "{id:?}");
        let filter = Filter { streams: vec![stream(id)], ..Filter::all() };
        let page =
            store.read_all(ReadAll::after(Position::START).filter(filter).limit(10)).await.expect("reads");
        assert_eq!(page.events.len(), 2, "{id:?}");
    }
}

#[tokio::test]
async fn a_filter_for_what_cannot_be_named_lets_nothing_pass() {
    let (store, _dir) = ready().await;
    store.append(one("a")).await.expect("appends");
    let seen = async |categories: &[&str]| {
        let categories = categories.iter().map(|&category| category.to_owned()).collect();
        let filter = Filter { categories, ..Filter::all() };
        store
            .read_all(ReadAll::after(Position::START).filter(filter).limit(10))
            .await
            .expect("reads")
            .events
            .len()
    };
    assert_eq!(seen(&["test\0x"]).await, 0);
    assert_eq!(seen(&["test\0"]).await, 0);
    assert_eq!(seen(&["test\n"]).await, 0);
    assert_eq!(seen(&["Test"]).await, 0);
    assert_eq!(seen(&["test/a"]).await, 0);
    assert_eq!(seen(&["test\0x", "test"]).await, 1);

    let filter = Filter { names: vec![EventName::new("TESTED").expect("a name")], ..Filter::all() };
    let page = store.read_all(ReadAll::after(Position::START).filter(filter).limit(10)).await.expect("reads");
    assert_eq!((page.events.len(), page.checkpoint.position, page.end), (0, Position(1), true));
    let streams = vec![StreamId::new("other", "a").expect("a name"), stream("b")];
    let filter = Filter { streams, ..Filter::all() };
    let page = store.read_all(ReadAll::after(Position::START).filter(filter).limit(10)).await.expect("reads");
    assert_eq!(page.events.len(), 0, "category and id pass as a pair");
}
