//! Following from memory what this process appends, and what others have: nothing else, nothing less, and in one order.

use std::time::Duration;

use factum_core::retention::Retention;
use factum_core::store::{Append, Filter, Page, ReadAll};
use factum_core::{
    Checkpoint, EventStore, Expected, Metadata, NewEvent, Position, Tag, Transactional, Version,
};
use factum_postgres::PostgresStore;
use factum_testkit::{Database, Proxy};
use uuid::Uuid;

use crate::given::{PATIENCE, database, event, one, run, store, stranger, stream};

async fn follow(store: &PostgresStore, after: Checkpoint) -> Page {
    store.read_all(ReadAll::after(after).following()).await.expect("reads")
}

async fn read(store: &PostgresStore, after: Checkpoint) -> Page {
    store.read_all(ReadAll::after(after)).await.expect("reads")
}

/// A store of another process than those that append, which hears of them by being told and never by looking; and where a
/// follower of it is.
async fn listener(database: &Database) -> (PostgresStore, Proxy, Checkpoint) {
    let proxy = Proxy::in_front_of(database.url()).expect("a port is free");
    let builder = PostgresStore::builder().poll_interval(Duration::from_mins(10));
    let listener = builder.connect(proxy.url()).await.expect("connects");
    let after = reached(&listener).await;
    // Until it listens, and has looked for what it missed.
    let settled = tokio::time::timeout(Duration::from_millis(300), listener.wait(after.position)).await;
    assert!(settled.is_err(), "there is nothing to wait for");
    (listener, proxy, after)
}

/// Waits for what comes, and follows.
async fn hear(store: PostgresStore, after: Checkpoint) -> Page {
    let heard = tokio::time::timeout(PATIENCE, store.wait(after.position)).await;
    heard.expect("it is told").expect("waits");
    follow(&store, after).await
}

/// Where a follower is who has come to the end, and from where on the store keeps what it appends.
async fn reached(store: &PostgresStore) -> Checkpoint {
    store.append(one("first", Expected::Any)).await.expect("appends");
    let page = follow(store, Checkpoint::START).await;
    assert!(page.end);
    page.checkpoint
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_from_memory_is_what_the_log_has() {
    let database = database().await;
    let proxy = Proxy::in_front_of(database.url()).expect("a port is free");
    let store = PostgresStore::builder().notifications(false).connect(proxy.url()).await.expect("connects");
    let after = reached(&store).await;
    let tags = [Tag::new("order:1").expect("a tag")].into_iter().collect();
    let mut metadata = Metadata { correlation_id: Some(Uuid::now_v7()), tags, ..Metadata::default() };
    metadata.fields.insert("user".into(), "Ada \u{1f980}".into());
    let whole = NewEvent { metadata, schema_version: 3, codec: "msgpack".into(), ..event() };
    let append = Append::to(stream("1"), Expected::NoStream, vec![event(), whole])
        .and(stream("2"), Expected::NoStream, vec![event(), event()])
        .and(stream("first"), Expected::Exactly(Version(1)), vec![event()]);
    store.append(append).await.expect("appends");

    proxy.reset_counts();
    let followed = follow(&store, after).await;
    assert_eq!(proxy.counts().executes, 0, "nobody was asked");
    let log = read(&store, after).await;
    assert_eq!(proxy.counts().executes, 1);
    assert_eq!(followed, log);
    assert_eq!((log.events.len(), log.end), (5, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_of_this_process_asks_for_nothing_but_the_append() {
    let database = database().await;
    let proxy = Proxy::in_front_of(database.url()).expect("a port is free");
    // So that nobody looks by himself.
    let builder = PostgresStore::builder().poll_interval(Duration::from_mins(10));
    let store = builder.connect(proxy.url()).await.expect("connects");
    let mut after = reached(&store).await;
    // Until it listens, and has looked for what it missed.
    let settled = tokio::time::timeout(Duration::from_millis(300), store.wait(after.position)).await;
    assert!(settled.is_err(), "there is nothing to wait for");
    for _ in 0..20 {
        let (waiting, position) = (store.clone(), after.position);
        let waiting = tokio::spawn(async move { waiting.wait(position).await });
        tokio::time::sleep(Duration::from_millis(5)).await;
        store.append(one("1", Expected::Any)).await.expect("appends");
        waiting.await.expect("no panic").expect("waits");
        let page = follow(&store, after).await;
        assert_eq!((page.events.len(), page.end), (1, true));
        after = page.checkpoint;
    }
    proxy.reset_counts();
    for _ in 0..5 {
        let (waiting, position) = (store.clone(), after.position);
        let waiting = tokio::spawn(async move { waiting.wait(position).await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        store.append(one("1", Expected::Any)).await.expect("appends");
        waiting.await.expect("no panic").expect("waits");
        after = follow(&store, after).await.checkpoint;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(proxy.counts().executes, 5, "an append each; its own notices are no news");
    assert!(proxy.counts().queries >= 1, "others are told");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_append_is_asked_for_once_by_all_who_follow() {
    let database = database().await;
    let (own, proxy, mut after) = listener(&database).await;
    let other = store(&database).await;
    let mut pages = Vec::new();
    for round in 0..12 {
        if round == 4 {
            // What is used was prepared, and every connection was taken once.
            proxy.reset_counts();
        }
        let waiting: Vec<_> = (0..3).map(|_| tokio::spawn(hear(own.clone(), after))).collect();
        // A notice stands for what comes just after it.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let three = one("1", Expected::Any).and(stream("2"), Expected::Any, vec![event(), event()]);
        other.append(three).await.expect("appends");
        for waiting in waiting {
            pages.push((after, waiting.await.expect("no panic")));
        }
        after = pages.last().expect("three").1.checkpoint;
    }
    assert_eq!(proxy.counts().executes, 8, "one question for each append, whoever follows it");
    for (after, page) in pages {
        assert_eq!((page.events.len(), page.end), (3, true));
        let log = own.read_all(ReadAll::after(after).limit(3)).await.expect("reads");
        assert_eq!((log.events, log.checkpoint), (page.events, page.checkpoint));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_that_others_may_fill_is_not_passed() {
    let database = database().await;
    let (own, _proxy, mut after) = listener(&database).await;
    let other = store(&database).await;
    for round in 0..3 {
        let mut tx = other.begin().await.expect("begins");
        other.append_in(&mut tx, one("first", Expected::Any)).await.expect("appends");
        other.append(one("behind", Expected::Any)).await.expect("appends");
        let waited = tokio::time::timeout(Duration::from_millis(100), own.wait(after.position)).await;
        assert!(waited.is_err(), "in round {round} it passes a hole");
        assert_eq!(follow(&own, after).await.checkpoint, after, "in round {round}");
        other.commit(tx).await.expect("commits");
        let (begun, mut seen) = (after, Vec::new());
        while seen.len() < 2 {
            let page = hear(own.clone(), after).await;
            seen.extend(page.events);
            after = page.checkpoint;
        }
        assert_eq!(seen, read(&own, begun).await.events, "in round {round}");
        assert_eq!([seen[0].stream.id(), seen[1].stream.id()], ["first", "behind"]);
        // Without a hole: from now on only a little is expected again.
        other.append(one("behind", Expected::Any)).await.expect("appends");
        after = hear(own.clone(), after).await.checkpoint;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_behind_a_position_that_nobody_has_is_heard_of() {
    let database = database().await;
    let (own, _proxy, mut after) = listener(&database).await;
    let other = store(&database).await;
    for round in 0..5 {
        let mut tx = other.begin().await.expect("begins");
        other.append_in(&mut tx, one("gone", Expected::Any)).await.expect("appends");
        other.rollback(tx).await.expect("rolls back");
        for _ in 0..2 {
            other.append(one("behind", Expected::Any)).await.expect("appends");
            let page = hear(own.clone(), after).await;
            assert_eq!(page.events, read(&own, after).await.events, "in round {round}");
            assert_eq!(page.events.len(), 1);
            after = page.checkpoint;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_few_come_as_well() {
    let database = database().await;
    let (own, _proxy, mut after) = listener(&database).await;
    let other = store(&database).await;
    for count in [1, 62, 63, 64, 65, 1, 200, 1, 1] {
        let events = (0..count).map(|_| event()).collect();
        other.append(Append::to(stream("1"), Expected::Any, events)).await.expect("appends");
        let (begun, mut seen) = (after, Vec::new());
        while seen.len() < count {
            let page = hear(own.clone(), after).await;
            seen.extend(page.events);
            after = page.checkpoint;
        }
        assert_eq!(seen, read(&own, begun).await.events);
    }
}

/// A page asks for about as many events as fit, for what does not fit is thrown away with its connection.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_fetched_does_not_hide_how_large_events_are() {
    let database = database().await;
    let proxy = Proxy::in_front_of(database.url()).expect("a port is free");
    let builder = PostgresStore::builder().max_connections(1).poll_interval(Duration::from_mins(10));
    let own = builder.connect(proxy.url()).await.expect("connects");
    let other = store(&database).await;
    let first = reached(&own).await;
    let large = |count| {
        let event = || NewEvent { payload: vec![b'1'; 100 << 10].into(), ..event() };
        Append::to(stream("large"), Expected::Any, (0..count).map(|_| event()).collect())
    };
    other.append(large(30)).await.expect("appends");
    let mut after = first;
    for round in 0..6 {
        if round == 3 {
            proxy.reset_counts();
        }
        after = hear(own.clone(), after).await.checkpoint;
        let page = own.read_all(ReadAll::after(first).bytes(1 << 20)).await.expect("reads");
        assert_eq!(page.events.len(), 10);
        other.append(large(1)).await.expect("appends");
    }
    assert_eq!(proxy.counts().parses, 0, "no connection was new");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_read_disturbs_nobody_who_does_not_read_it() {
    let database = database().await;
    let (own, _proxy, after) = listener(&database).await;
    let other = store(&database).await;
    let bad = "INSERT INTO factum_events (position, event_id, category, stream, version, name, schema_version, codec,
                                          payload, metadata, recorded_at)
               VALUES (nextval('factum_position'), gen_random_uuid(), 'order', 'bad', 1, 'tested', 1, 'json', '{}', 'none', now())";
    run(&mut stranger(&database).await, bad).await;
    other.append(one("good", Expected::Any)).await.expect("appends");
    let heard = tokio::time::timeout(PATIENCE, own.wait(after.position)).await;
    heard.expect("it is told").expect("waits");
    let good = Filter { streams: vec![stream("good")], ..Filter::all() };
    let page = own.read_all(ReadAll::after(after).filter(good).following()).await.expect("reads");
    assert_eq!(page.events.len(), 1);
    own.read_all(ReadAll::after(after).following())
        .await
        .expect_err("it is told of an event that cannot be read");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_append_in_between_is_not_passed_over() {
    let database = database().await;
    let (own, other) = (store(&database).await, store(&database).await);
    let mut after = reached(&own).await;
    let mut seen = Vec::new();
    for round in 0..30 {
        own.append(one("own", Expected::Any)).await.expect("appends");
        if round % 3 == 0 {
            other.append(one("other", Expected::Any)).await.expect("appends");
        }
        if round % 5 == 0 {
            let mut tx = own.begin().await.expect("begins");
            own.append_in(&mut tx, one("within", Expected::Any)).await.expect("appends");
            own.commit(tx).await.expect("commits");
        }
        own.append(one("own", Expected::Any)).await.expect("appends");
        let page = follow(&own, after).await;
        assert!(page.checkpoint.position > after.position);
        seen.extend(page.events);
        after = page.checkpoint;
    }
    let head = own.head().await.expect("is there");
    while after.position < head {
        own.wait(after.position).await.expect("waits");
        let page = follow(&own, after).await;
        seen.extend(page.events);
        after = page.checkpoint;
    }
    let log = read(&own, Checkpoint::START).await;
    assert_eq!(log.events[1..], seen[..]);
    assert_eq!(seen.len(), 60 + 10 + 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_or_cut_off_is_not_in_memory() {
    let database = database().await;
    let store = store(&database).await;
    let after = reached(&store).await;
    store.append(one("deleted", Expected::NoStream)).await.expect("appends");
    assert_eq!(follow(&store, after).await.events.len(), 1);
    store.delete_stream(&stream("deleted"), Expected::Any).await.expect("deletes");
    let page = follow(&store, after).await;
    assert_eq!(page, read(&store, after).await);
    assert!(page.events.iter().all(|event| event.name.as_str() == "factum.deleted"), "{page:?}");

    let after = page.checkpoint;
    store
        .append(Append::to(stream("cut"), Expected::NoStream, vec![event(), event()]))
        .await
        .expect("appends");
    assert_eq!(follow(&store, after).await.events.len(), 2);
    store.truncate_stream(&stream("cut"), Version(2)).await.expect("truncates");
    assert_eq!(follow(&store, after).await, read(&store, after).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_another_log_is_told_so() {
    let database = database().await;
    let store = store(&database).await;
    let Checkpoint { position, .. } = reached(&store).await;
    store.append(one("1", Expected::Any)).await.expect("appends");
    let of_another_log = Checkpoint { position, event_id: Some(factum_core::EventId::new()) };
    store
        .read_all(ReadAll::after(of_another_log).following())
        .await
        .expect_err("the log has another event there");
    let nameless = follow(&store, Checkpoint::from(Position(position.0))).await;
    assert_eq!(nameless.events.len(), 1);
}
