//! Following what this process appends, which is told from memory: nothing else, nothing less, and in one order.

use std::time::Duration;

use factum_core::retention::Retention;
use factum_core::store::{Append, Page, ReadAll};
use factum_core::{
    Checkpoint, EventStore, Expected, Metadata, NewEvent, Position, Tag, Transactional, Version,
};
use factum_postgres::PostgresStore;
use factum_testkit::Proxy;
use uuid::Uuid;

use crate::given::{database, event, one, store, stream};

async fn follow(store: &PostgresStore, after: Checkpoint) -> Page {
    store.read_all(ReadAll::after(after).following()).await.expect("reads")
}

async fn read(store: &PostgresStore, after: Checkpoint) -> Page {
    store.read_all(ReadAll::after(after)).await.expect("reads")
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
