//! A server that crashes and comes back, or is replaced by its standby: the same store goes on, and the feed is right.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use factum_core::store::ReadAll;
use factum_core::{
    Checkpoint, Checkpoints, EventId, EventStore, Expected, Position, RecordedEvent, StoreErrorKind,
    Transactional, Version,
};
use factum_postgres::PostgresStore;
use factum_testkit::OwnServer;
use sqlx::postgres::PgConnectOptions;
use tokio::net::{TcpListener, TcpStream};

use crate::given::{PATIENCE, all_events, ask, events_of, follow, migrated_server, one, positions, run};

fn kill_and_start_again(server: &OwnServer) {
    tokio::task::block_in_place(|| {
        server.kill().expect("dies");
        server.start_again().expect("comes back");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_append_survives_a_crash_whatever_the_default_is() {
    let (server, store) = migrated_server().await;
    let asynchronous = "DO 'BEGIN
        EXECUTE format(''ALTER DATABASE %I SET synchronous_commit = off'', current_database());
    END'";
    run(&mut store.pool().acquire().await.expect("connects"), asynchronous).await;
    store.close().await;
    let store = PostgresStore::connect(server.url()).await.expect("connects");
    for version in 1..=3 {
        let append = one("1", Expected::Exactly(Version(version - 1)));
        let appended = store.append(append).await.expect("appends");
        kill_and_start_again(&server);
        let events = events_of(&store, "1").await;
        assert_eq!(events.len() as u64, version, "the server had forgotten it");
        assert_eq!(events.last().map(|event| event.position), Some(appended.position));

        let mut tx = store.begin().await.expect("begins");
        let append = one("2", Expected::Exactly(Version(version - 1)));
        let appended = store.append_in(&mut tx, append).await.expect("appends").committed();
        store.commit(tx).await.expect("commits");
        kill_and_start_again(&server);
        assert_eq!(events_of(&store, "2").await.last().map(|event| event.position), Some(appended.position));
    }
    let all = all_events(&store).await;
    assert_eq!(all.len(), 6);
    assert!(all.is_sorted_by(|one, next| one.position < next.position));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_goes_on_over_a_crash() {
    let (server, store) = migrated_server().await;
    store.append(one("1", Expected::Any)).await.expect("appends");
    assert_eq!(all_events(&store).await.len(), 1);
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { follow(store, 4).await }
    });
    let mut lost = store.begin().await.expect("begins");
    store.append_in(&mut lost, one("lost", Expected::Any)).await.expect("appends");
    store.append(one("1", Expected::Any)).await.expect("appends");
    kill_and_start_again(&server);
    drop(lost);
    assert_eq!(all_events(&store).await.len(), 2, "the lost one holds nothing any more");
    let mut open = store.begin().await.expect("connects again");
    store.append_in(&mut open, one("open", Expected::Any)).await.expect("appends");
    store.append(one("1", Expected::Any)).await.expect("appends");
    assert_eq!(all_events(&store).await.len(), 2, "the feed is held as before the crash");
    store.commit(open).await.expect("commits");
    let seen = tokio::time::timeout(PATIENCE, waiting).await.expect("in time").expect("no panic");
    assert!(seen.is_sorted_by(|one, next| one.position < next.position));
    assert_eq!(seen, all_events(&store).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_crashes_takes_the_others_with_it_and_the_feed_goes_on() {
    let (_server, store) = migrated_server().await;
    store.append(one("1", Expected::Any)).await.expect("appends");
    let mut lost = store.begin().await.expect("begins");
    store.append_in(&mut lost, one("lost", Expected::Any)).await.expect("appends");
    let backend: i32 = ask(&mut lost, "SELECT pg_backend_pid()").await;
    let after = store.append(one("1", Expected::Any)).await.expect("appends").position;
    assert_eq!(positions(&all_events(&store).await), [1]);
    // The server recovers without being started anew.
    let killed = std::process::Command::new("kill").args(["-KILL", &backend.to_string()]).status();
    assert!(killed.expect("runs").success());
    store.wait(Position(1)).await.expect("connects again");
    assert_eq!(positions(&all_events(&store).await), [1, after.0]);
    let mut open = store.begin().await.expect("begins");
    store.append_in(&mut open, one("open", Expected::Any)).await.expect("appends");
    assert!(store.append(one("1", Expected::Any)).await.expect("appends").position > after);
    assert_eq!(all_events(&store).await.len(), 2);
    store.commit(open).await.expect("commits");
    assert_eq!(all_events(&store).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_under_load_loses_nothing_and_writes_nothing_twice() {
    const WRITERS: usize = 8;
    let (server, store) = migrated_server().await;
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let other = PostgresStore::builder().retry_for(PATIENCE).connect(server.url()).await.expect("connects");
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, is_over) = (other.clone(), Arc::clone(&is_over));
            tokio::spawn(async move {
                let mut answered: HashMap<EventId, Position> = HashMap::new();
                while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
                    let append = one(if writer % 2 == 0 { "shared" } else { "own" }, Expected::Any);
                    let id = append.streams()[0].events[0].id;
                    let appended = store.append(append).await.expect("is repeated until it is answered");
                    answered.insert(id, appended.position);
                }
                answered
            })
        })
        .collect();
    let seen: Arc<Mutex<Vec<RecordedEvent>>> = Arc::default();
    let reader = tokio::spawn({
        let (store, seen) = (store.clone(), Arc::clone(&seen));
        async move {
            let mut after = Checkpoint::START;
            loop {
                store.wait(after.position).await.expect("waits");
                let read = ReadAll::after(after).limit(50).following();
                let page = store.read_all(read).await.expect("reads");
                after = page.checkpoint;
                seen.lock().expect("no panic").extend(page.events);
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    kill_and_start_again(&server);
    tokio::time::sleep(Duration::from_millis(300)).await;
    tokio::task::block_in_place(|| {
        server.stop().expect("stops");
        server.start_again().expect("comes back");
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    is_over.store(true, std::sync::atomic::Ordering::SeqCst);
    let mut answered = HashMap::new();
    for writer in writers {
        let writer = tokio::time::timeout(PATIENCE, writer).await.expect("in time");
        answered.extend(writer.expect("no panic"));
    }
    let all = all_events(&store).await;
    let recorded: HashMap<_, _> = all.iter().map(|event| (event.id, event.position)).collect();
    assert_eq!(recorded, answered, "each once, where its answer said");
    assert_eq!(recorded.len(), all.len());
    let begin = std::time::Instant::now();
    while seen.lock().expect("no panic").len() < all.len() && begin.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    reader.abort();
    assert_eq!(*seen.lock().expect("no panic"), all);
}

/// A port that leads to one server, and then to another.
async fn switch(first: &OwnServer) -> (String, Arc<Mutex<u16>>) {
    let port_of = |url: &str| url.parse::<PgConnectOptions>().expect("a URL").get_port();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let port = listener.local_addr().expect("bound").port();
    let target = Arc::new(Mutex::new(port_of(first.url())));
    let now = Arc::clone(&target);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let port = *now.lock().expect("no panic");
            tokio::spawn(async move {
                if let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    let at = |port: u16| format!(":{port}/");
    (first.url().replace(&at(port_of(first.url())), &at(port)), target)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failover_that_lost_events_nothing_new_is_skipped_and_old_checkpoints_are_refused() {
    const LOST: usize = 100;
    let (primary, direct) = migrated_server().await;
    let (url, target) = switch(&primary).await;
    let store = PostgresStore::connect(&url).await.expect("connects");
    store.append(one("kept", Expected::Any)).await.expect("appends");
    let kept = store.read_all(ReadAll::after(Position::START)).await.expect("reads").checkpoint;
    store.move_checkpoint("ok", Checkpoint::START, kept).await.expect("moves");
    store.move_checkpoint("lost", Checkpoint::START, kept).await.expect("moves");
    let standby = tokio::task::block_in_place(|| {
        let standby = primary.standby().expect("follows");
        standby.catch_up_with(&primary).expect("catches up");
        standby.stop_following().expect("stops");
        standby
    });
    for _ in 0..LOST {
        store.append(one("lost", Expected::Any)).await.expect("appends");
    }
    let page = store.read_all(ReadAll::after(kept.position)).await.expect("reads");
    assert_eq!((page.events.len(), page.end), (LOST, true));
    let lost = page.checkpoint;

    direct.close().await;
    tokio::task::block_in_place(|| {
        primary.kill().expect("dies");
        standby.promote().expect("takes over");
    });
    let port = standby.url().parse::<PgConnectOptions>().expect("a URL").get_port();
    *target.lock().expect("no panic") = port;

    // The new log draws positions below those that this store has seen settled.
    let mut open = store.begin().await.expect("begins on the new one");
    store.append_in(&mut open, one("open", Expected::Any)).await.expect("appends");
    let after = store.append(one("after", Expected::Any)).await.expect("appends").position;
    assert!(after < lost.position, "{after}");
    let page = store.read_all(ReadAll::after(kept.position)).await.expect("reads");
    assert_eq!(positions(&page.events), [0_u64; 0], "an append below is open");
    store.commit(open).await.expect("commits");
    let page = store.read_all(ReadAll::after(kept.position)).await.expect("reads");
    assert_eq!(page.events.len(), 2);

    store.move_checkpoint("ok", kept, page.checkpoint).await.expect("both logs have these");
    let foreign = store.move_checkpoint("lost", kept, lost).await.expect_err("no log has this event");
    assert!(matches!(foreign.kind(), StoreErrorKind::ForeignCheckpoint { .. }), "{foreign}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_that_lost_nothing_is_gone_over_by_writers_readers_and_checkpoints() {
    let (primary, direct) = migrated_server().await;
    let (url, target) = switch(&primary).await;
    let store = PostgresStore::connect(&url).await.expect("connects");
    for _ in 0..10 {
        store.append(one("1", Expected::Any)).await.expect("appends");
    }
    let page = store.read_all(ReadAll::after(Position::START).limit(5)).await.expect("reads");
    store.move_checkpoint("s", Checkpoint::START, page.checkpoint).await.expect("moves");
    let waiting = tokio::spawn({
        let store = store.clone();
        async move {
            // What it has seen on the first server counts on the second.
            let mut read = ReadAll::after(page.checkpoint);
            let mut seen = page.events;
            while seen.len() < 20 {
                let page = store.read_all(read.clone()).await.expect("reads, before and after");
                seen.extend(page.events);
                read.after = page.checkpoint;
                if page.end && seen.len() < 20 {
                    store.wait(read.after.position).await.expect("waits");
                }
            }
            seen
        }
    });
    let standby = tokio::task::block_in_place(|| {
        let standby = primary.standby().expect("follows");
        standby.catch_up_with(&primary).expect("catches up");
        standby
    });
    direct.close().await;
    tokio::task::block_in_place(|| {
        standby.catch_up_with(&primary).expect("has all of it");
        primary.kill().expect("dies");
        standby.promote().expect("takes over");
    });
    let port = standby.url().parse::<PgConnectOptions>().expect("a URL").get_port();
    *target.lock().expect("no panic") = port;

    for version in 10..20 {
        store.append(one("1", Expected::Exactly(Version(version)))).await.expect("appends to the new one");
    }
    let seen = tokio::time::timeout(PATIENCE, waiting).await.expect("is not stalled").expect("no panic");
    assert_eq!(seen, all_events(&store).await);
    let kept = store.checkpoint("s").await.expect("is of this log");
    store.move_checkpoint("s", kept, Checkpoint::from(&seen[19])).await.expect("goes on");
}
