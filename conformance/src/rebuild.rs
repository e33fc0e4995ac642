//! Rebuilds: a new version has every event once, and takes the place of the old one at a definite moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use factum_core::{
    DecodeError, OnFailure, Position, Rebuild, RebuildError, RecordedEvent, Retry, Subscription, Swap,
};

use crate::Fixture;
use crate::fixture::Tx;
use crate::given::{some, stream};
use crate::projection::{Noting, notes};
use crate::seen::{append, everything, soon};

/// A new version has all events once when it is swapped in, and goes on from there, while others append and the old version
/// goes on. No effect is left out that the old version has not had.
pub async fn a_new_version_takes_the_place_of_the_old<F: Fixture>(fixture: F) {
    let fixture = Arc::new(fixture);
    let store = fixture.store();
    fill(store, 300).await;
    let old = version(&fixture, "v1");
    old.catch_up().await.expect("nothing is wrong");

    let (stop, stopped) = tokio::sync::watch::channel(false);
    let is_stopped = |mut stopped: tokio::sync::watch::Receiver<bool>| async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let running = tokio::spawn({
        let (old, stopped) = (old.clone(), is_stopped(stopped.clone()));
        async move { old.run_until(stopped).await }
    });
    let writing = tokio::spawn({
        let (store, stopped) = (store.clone(), stopped.clone());
        async move {
            let mut written = 0;
            while !*stopped.borrow() {
                append(&store, some(&stream(&(written % 7).to_string()), 1)).await;
                written += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let new = version(&fixture, "v2");
    let rebuild = Rebuild::new(store.clone(), &new).replacing(&old).in_parallel(3, by_stream);
    let swapped = soon("the rebuild", rebuild.run(&To(&fixture, "v2"))).await.expect("nothing is wrong");
    tokio::time::sleep(Duration::from_millis(20)).await;
    stop.send_replace(true);
    writing.await.expect("no panic");
    running.await.expect("no panic").expect("nothing is wrong");
    new.catch_up().await.expect("nothing is wrong");

    let log = everything(store).await;
    let noted = counted(&*fixture).await;
    for event in &log {
        let note = |version, end| format!("{version}: {}@{}{end}", event.stream, event.version);
        let times = |note: String| noted.get(&note).copied().unwrap_or_default();
        let (rebuilt, live) = (times(note("v2", ", rebuilding")), times(note("v2", "")));
        assert_eq!(rebuilt + live, 1, "{event:?} comes to the new version once");
        assert_eq!(rebuilt == 1, event.position <= swapped, "{event:?}, swapped at {swapped}");
        assert!(live == 1 || times(note("v1", "")) == 1, "{event:?} has had its effect");
    }
    assert_eq!(noted["in use: v2"], 1);
    // It is done, and stays so.
    assert_eq!(rebuild.run(&To(&fixture, "v2")).await.expect("it is done"), swapped);
    assert_eq!(counted(&*fixture).await, noted);
}

/// A rebuild that is given up anywhere goes on where it was.
pub async fn a_rebuild_that_is_given_up_goes_on<F: Fixture>(fixture: F) {
    let fixture = Arc::new(fixture);
    let store = fixture.store();
    fill(store, 400).await;
    let new = version(&fixture, "v2");
    for round in 0..12 {
        let rebuild =
            Rebuild::new(store.clone(), &new).in_parallel(2, by_stream).lease_for(Duration::from_millis(30));
        let given_up =
            tokio::time::timeout(Duration::from_millis(3 * round), rebuild.run(&To(&fixture, "v2"))).await;
        drop(given_up);
    }
    let rebuild = Rebuild::new(store.clone(), &new).in_parallel(2, by_stream);
    soon("the rebuild", rebuild.run(&To(&fixture, "v2"))).await.expect("nothing is wrong");
    new.catch_up().await.expect("nothing is wrong");
    let noted = counted(&*fixture).await;
    assert_eq!(noted.get("in use: v2"), Some(&1));
    assert_eq!(noted.len(), 401);
    assert!(noted.values().all(|times| *times == 1), "{noted:?}");
}

/// Where several nodes rebuild, it is done once, and all of them are told.
pub async fn several_nodes_rebuild_once<F: Fixture>(fixture: F) {
    let fixture = Arc::new(fixture);
    let store = fixture.store();
    fill(store, 200).await;
    let new = version(&fixture, "v2");
    let mut nodes = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (store, new, fixture) = (store.clone(), new.clone(), Arc::clone(&fixture));
        nodes.spawn(async move {
            let rebuild =
                Rebuild::new(store, &new).in_parallel(2, by_stream).lease_for(Duration::from_millis(300));
            rebuild.run(&To(&fixture, "v2")).await
        });
    }
    while let Some(told) = soon("a node", nodes.join_next()).await {
        told.expect("no panic").expect("nothing is wrong");
    }
    let noted = counted(&*fixture).await;
    assert_eq!((noted["in use: v2"], noted.len()), (1, 201));
    assert!(noted.values().all(|times| *times == 1), "{noted:?}");
}

/// An event that cannot be handled stops the rebuild and loses nothing. It goes on as it has begun, and not otherwise.
pub async fn a_rebuild_goes_on_as_it_has_begun<F: Fixture>(fixture: F) {
    let fixture = Arc::new(fixture);
    let store = fixture.store();
    fill(store, 100).await;
    let position = everything(store).await[80].position;
    for (name, workers) in [("v2", 2), ("v3", 1)] {
        let projection = Noting::new(&fixture, name);
        let fails_on = Arc::clone(&projection.fails_on);
        fails_on.store(position.0, Ordering::SeqCst);
        let new = Subscription::transactional(name, store.clone(), OnFailure::stop())
            .category("order")
            .handler(projection);
        let rebuild = || Rebuild::new(store.clone(), &new);

        let failed = rebuild().in_parallel(workers, by_stream).run(&To(&fixture, name)).await;
        let Err(RebuildError::Handler(error)) = failed else { panic!("{failed:?}") };
        assert_eq!(error.event.map(|event| event.position), Some(position));
        // With nobody in parallel, and with another number of workers, some events would come twice.
        for otherwise in [rebuild(), rebuild().in_parallel(workers + 1, by_stream)] {
            let refused = otherwise.run(&To(&fixture, name)).await;
            assert!(matches!(refused, Err(RebuildError::Store(_))), "{refused:?}");
        }
        assert_eq!(counted(&*fixture).await.get(&format!("in use: {name}")), None);

        fails_on.store(0, Ordering::SeqCst);
        let mended = rebuild().in_parallel(workers, by_stream);
        soon("the rebuild", mended.run(&To(&fixture, name))).await.expect("it was mended");
    }
    let noted = counted(&*fixture).await;
    assert_eq!((noted["in use: v2"], noted["in use: v3"], noted.len()), (1, 1, 202));
    assert!(noted.values().all(|times| *times == 1), "{noted:?}");
}

/// Where readers cannot be led to the new rows, nothing is swapped; and the next attempt does it.
pub async fn a_swap_that_fails_can_be_done_again<F: Fixture>(fixture: F) {
    let fixture = Arc::new(fixture);
    let store = fixture.store();
    fill(store, 20).await;
    let new = version(&fixture, "v2");
    let rebuild = Rebuild::new(store.clone(), &new);
    let failed = rebuild.run(&Fails).await;
    assert!(matches!(failed, Err(RebuildError::Swap(_))), "{failed:?}");
    soon("the rebuild", rebuild.run(&To(&fixture, "v2"))).await.expect("nothing is wrong");
    let noted = counted(&*fixture).await;
    assert_eq!((noted["in use: v2"], noted.len()), (1, 21));
    assert!(noted.values().all(|times| *times == 1), "{noted:?}");
}

/// The old version comes back when it is rebuilt in the place of the new one, with what it has missed, and so does the new.
pub async fn the_old_version_comes_back<F: Fixture>(fixture: F) {
    let fixture = Arc::new(fixture);
    let store = fixture.store();
    fill(store, 30).await;
    let (old, new) = (version(&fixture, "v1"), version(&fixture, "v2"));
    old.catch_up().await.expect("nothing is wrong");
    let there = Rebuild::new(store.clone(), &new).replacing(&old);
    soon("the rebuild", there.run(&To(&fixture, "v2"))).await.expect("nothing is wrong");
    fill(store, 30).await;
    new.catch_up().await.expect("nothing is wrong");
    let back = Rebuild::new(store.clone(), &old).replacing(&new);
    soon("the way back", back.run(&To(&fixture, "v1"))).await.expect("nothing is wrong");
    fill(store, 5).await;
    old.catch_up().await.expect("nothing is wrong");
    soon("the way there", there.run(&To(&fixture, "v2"))).await.expect("nothing is wrong");

    let noted = counted(&*fixture).await;
    assert_eq!((noted["in use: v1"], noted["in use: v2"]), (1, 2));
    let of = |name: &str| -> Vec<_> { noted.iter().filter(|(note, _)| note.starts_with(name)).collect() };
    for name in ["v1: ", "v2: "] {
        assert_eq!(of(name).len(), 65, "{name}");
        assert!(of(name).iter().all(|(_, times)| **times == 1), "{noted:?}");
    }
    // What came to both had its effect with the one that was in use.
    let rebuilding = |name: &str| of(name).iter().filter(|(note, _)| note.ends_with("rebuilding")).count();
    assert_eq!((rebuilding("v1: "), rebuilding("v2: ")), (30, 35));
}

/// A partition that the old version has not begun is begun by the nodes that run the new one.
pub async fn a_partition_that_was_not_begun_is_begun_later<F: Fixture>(fixture: F) {
    let fixture = Arc::new(fixture);
    let store = fixture.store();
    fill(store, 40).await;
    let stuck = Noting::new(&fixture, "v1");
    // One stops at its first event, and the others come to the end meanwhile.
    stuck.fails_on.store(everything(store).await[0].position.0, Ordering::SeqCst);
    let wait = Duration::from_millis(300);
    let old = Subscription::transactional("v1", store.clone(), Retry::times(3).waits(wait, wait).then_stop())
        .category("order")
        .handler(stuck)
        .shared(3);
    soon("the old version", old.catch_up()).await.expect_err("it is stuck");
    for (name, is_parallel) in [("v2", false), ("v3", true)] {
        let new = version(&fixture, name).shared(3);
        let rebuild = Rebuild::new(store.clone(), &new).replacing(&old);
        let rebuild = if is_parallel { rebuild.in_parallel(2, by_stream) } else { rebuild };
        soon("the rebuild", rebuild.run(&To(&fixture, name))).await.expect("nothing is wrong");
        soon("the new version", new.catch_up()).await.expect("nothing is wrong");
        let noted = counted(&*fixture).await;
        let own: Vec<_> = noted.iter().filter(|(note, _)| note.starts_with(&format!("{name}: "))).collect();
        assert_eq!(own.len(), 40, "{own:?}");
        assert!(own.iter().all(|(_, times)| **times == 1), "{own:?}");
    }
}

/// Where nothing has happened yet a version is swapped in once, and has the effects of all that comes.
pub async fn an_empty_log_is_rebuilt_once<F: Fixture>(fixture: F) {
    let fixture = Arc::new(fixture);
    let store = fixture.store();
    let new = version(&fixture, "v1");
    let rebuild = Rebuild::new(store.clone(), &new).in_parallel(2, by_stream);
    soon("the rebuild", rebuild.run(&To(&fixture, "v1"))).await.expect("nothing is wrong");
    fill(store, 10).await;
    soon("the next start", rebuild.run(&To(&fixture, "v1"))).await.expect("it is done");
    new.catch_up().await.expect("nothing is wrong");
    let noted = counted(&*fixture).await;
    assert_eq!((noted["in use: v1"], noted.len()), (1, 11));
    assert!(noted.keys().all(|note| !note.ends_with("rebuilding")), "{noted:?}");
}

/// Versions whose work is split otherwise follow each other, too.
pub async fn the_number_of_partitions_may_change<F: Fixture>(fixture: F) {
    let fixture = Arc::new(fixture);
    let store = fixture.store();
    fill(store, 60).await;
    let versions =
        [version(&fixture, "v1"), version(&fixture, "v2").shared(3), version(&fixture, "v3").shared(2)];
    versions[0].catch_up().await.expect("nothing is wrong");
    for (pair, name) in versions.windows(2).zip(["v2", "v3"]) {
        let rebuild = Rebuild::new(store.clone(), &pair[1]).replacing(&pair[0]).in_parallel(2, by_stream);
        soon("the rebuild", rebuild.run(&To(&fixture, name))).await.expect("nothing is wrong");
        fill(store, 10).await;
        soon("the new version", pair[1].catch_up()).await.expect("nothing is wrong");
    }
    let noted = counted(&*fixture).await;
    for (name, events) in [("v1: ", 60), ("v2: ", 70), ("v3: ", 80)] {
        let own: Vec<_> = noted.iter().filter(|(note, _)| note.starts_with(name)).collect();
        assert_eq!(own.len(), events, "{name}");
        assert!(own.iter().all(|(_, times)| **times == 1), "{own:?}");
    }
}

fn version<F: Fixture>(fixture: &Arc<F>, name: &'static str) -> Subscription<Tx<F>> {
    Subscription::transactional(name, fixture.store().clone(), OnFailure::stop())
        .category("order")
        .handler(Noting::new(fixture, name))
}

#[expect(clippy::unnecessary_wraps, reason = "some events have no key, or cannot be read")]
fn by_stream(event: &RecordedEvent) -> Result<Option<String>, DecodeError> {
    Ok(Some(event.stream.id().to_owned()))
}

async fn fill(store: &impl factum_core::EventStore, events: usize) -> Position {
    let mut last = Position::START;
    for event in 0..events {
        last = append(store, some(&stream(&(event % 20).to_string()), 1)).await.position;
    }
    last
}

/// How often each note was made.
async fn counted<F: Fixture>(fixture: &F) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for note in notes(fixture).await {
        *counted.entry(note).or_default() += 1;
    }
    counted
}

/// Notes which version is in use.
struct To<'f, F>(&'f Arc<F>, &'static str);

impl<F: Fixture> Swap<Tx<F>> for To<'_, F> {
    type Error = std::io::Error;

    async fn swap(&self, tx: &mut Tx<F>) -> Result<(), std::io::Error> {
        self.0.work(tx, &format!("in use: {}", self.1)).await;
        Ok(())
    }
}

struct Fails;

impl<Tx: Send> Swap<Tx> for Fails {
    type Error = std::io::Error;

    async fn swap(&self, _: &mut Tx) -> Result<(), std::io::Error> {
        Err(std::io::Error::other("it was told to fail"))
    }
}
