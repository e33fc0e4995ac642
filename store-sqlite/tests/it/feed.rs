//! The order of everything: complete, followed while it grows, and bounded in what a page costs.

use std::time::{Duration, Instant};

use factum_core::store::{Append, Filter, ReadAll};
use factum_core::{EventName, EventStore, Expected, NewEvent, Position, Version};
use factum_sqlite::SqliteStore;

use crate::support::{assert_lawful, event, everything, execute, file, one, ready, stream};

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_each_event_once_while_others_write() {
    const WRITERS: usize = 8;
    const EACH: usize = 200;
    let (store, _dir) = ready().await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..EACH {
                    store.append(one(&writer.to_string())).await.expect("appends");
                }
            })
        })
        .collect();

    let (mut seen, mut after) = (Vec::new(), Position::START);
    while seen.len() < WRITERS * EACH {
        store.wait(after).await.expect("waits");
        let page = store.read_all(ReadAll::after(after).limit(7)).await.expect("reads");
        seen.extend(page.events);
        after = page.checkpoint.position;
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
    assert_lawful(&seen);
    assert_eq!(seen, everything(&store).await);
}

#[tokio::test]
async fn a_page_looks_at_a_bounded_window_and_moves_on() {
    let (store, _dir) = ready().await;
    let rare = || NewEvent { name: EventName::new("rare").expect("a name"), ..event() };
    for _ in 0..45 {
        let events = (0..1000).map(|_| event()).collect();
        store.append(Append::to(stream("common"), Expected::Any, events)).await.expect("appends");
    }
    let last =
        store.append(Append::to(stream("rare"), Expected::Any, vec![rare(), rare()])).await.expect("appends");

    let filter = Filter { names: vec![EventName::new("rare").expect("a name")], ..Filter::all() };
    let mut pages = Vec::new();
    let mut after = Position::START;
    loop {
        let page =
            store.read_all(ReadAll::after(after).filter(filter.clone()).limit(1)).await.expect("reads");
        after = page.checkpoint.position;
        pages.push((page.events.len(), page.checkpoint.position.0, page.end));
        if page.end {
            break;
        }
    }
    assert_eq!(last.position, Position(45_002));
    assert_eq!(pages, [(0, 20_000, false), (0, 40_000, false), (1, 45_001, false), (1, 45_002, true)]);
}

#[tokio::test]
async fn waiting_ends_when_another_handle_has_written() {
    let (store, dir) = ready().await;
    let other = SqliteStore::connect(file(&dir)).await.expect("opens");

    let waiting = tokio::spawn({
        let store = store.clone();
        async move {
            store.wait(Position::START).await.expect("waits");
            Instant::now()
        }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished(), "there is nothing yet");
    other.append(one("a")).await.expect("appends");
    let appended = Instant::now();
    let woken = waiting.await.expect("no panic");
    assert!(woken.duration_since(appended) < Duration::from_secs(1), "it looks often");

    let started = Instant::now();
    for _ in 0..20 {
        store.wait(Position::START).await.expect("waits");
    }
    assert!(started.elapsed() < Duration::from_secs(1), "20 times at once: there is an event");
}

#[tokio::test]
async fn a_position_is_not_used_again_though_its_event_is_gone() {
    let (store, _dir) = ready().await;
    for _ in 0..3 {
        store.append(one("a")).await.expect("appends");
    }
    execute(&store, "DELETE FROM factum_events WHERE position >= 2").await;
    let appended = store.append(one("b")).await.expect("appends");
    assert_eq!((appended.position, appended.version()), (Position(4), Version(1)));
}

#[tokio::test]
async fn reading_after_the_end_stays_there() {
    let (store, _dir) = ready().await;
    store.append(one("a")).await.expect("appends");
    for after in [Position(1), Position(99), Position(u64::MAX)] {
        let names = vec![EventName::new("tested").expect("a name")];
        for filter in [Filter::all(), Filter { names, ..Filter::all() }] {
            let page =
                store.read_all(ReadAll::after(after).filter(filter).limit(usize::MAX)).await.expect("reads");
            assert_eq!((page.events.len(), page.checkpoint.position, page.end), (0, after, true));
        }
    }
}
