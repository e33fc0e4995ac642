//! How often a connection's thread is asked, which costs more than most statements: counted by what the store says of it to
//! whoever traces it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use factum_core::retention::Retention;
use factum_core::snapshot::{Footing, ReadFrom, Snapshot, Start};
use factum_core::store::{Append, ReadAll, ReadCategory, ReadStream};
use factum_core::{
    Checkpoint, Checkpoints, EventId, EventStore, Expected, Position, RecordedEvent, Snapshots,
    Transactional, Version,
};
use factum_sqlite::SqliteStore;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Metadata, Subscriber};

use crate::support::{event, event_of, one, ready, stream};

/// Counts what this thread says of scripts. A test of one thread has all of the store on it but the connections.
#[derive(Clone, Default)]
struct Asked(Arc<AtomicUsize>);

impl Asked {
    fn count(&self) -> DefaultGuard {
        tracing::subscriber::set_default(self.clone())
    }

    /// Since this was last asked.
    fn times(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl Subscriber for Asked {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "factum_sqlite::script"
    }

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// To look up, and to write.
const APPEND: usize = 2;
/// What is an append alone, and nothing speaks against it.
const ONE: usize = 1;

#[tokio::test]
async fn an_event_asks_once_and_an_append_twice_however_large_it_is() {
    let (store, _dir) = ready().await;
    store.append(one("1")).await.expect("appends");
    let asked = Asked::default();
    let _counting = asked.count();
    store.append(one("1")).await.expect("appends");
    assert_eq!(asked.times(), ONE, "an event");
    store.append(Append::to(stream("new"), Expected::NoStream, vec![event()])).await.expect("appends");
    assert_eq!(asked.times(), ONE, "the first event of a stream");
    let two = one("1").and(stream("2"), Expected::Any, vec![event()]);
    store.append(two.clone()).await.expect("appends");
    assert_eq!(asked.times(), APPEND, "an append to two streams");
    let many = std::iter::repeat_with(event).take(1_000).collect();
    store.append(Append::to(stream("2"), Expected::Any, many)).await.expect("appends");
    assert_eq!(asked.times(), APPEND, "a thousand events");
    // What is refused, or was there before, ends the transaction it was looked up in.
    store.append(two).await.expect("is known");
    assert_eq!(asked.times(), APPEND, "a repetition");
    store
        .append(Append::to(stream("1"), Expected::NoStream, vec![event()]))
        .await
        .expect_err("is there already");
    assert_eq!(asked.times(), ONE + APPEND, "a conflict");
    // What does not fit into one statement takes more.
    let large = std::iter::repeat_with(|| event_of(1 << 20)).take(17).collect();
    store.append(Append::to(stream("3"), Expected::Any, large)).await.expect("appends");
    assert_eq!(asked.times(), APPEND + 2, "17 MiB, of which 8 go at a time");
}

#[tokio::test]
async fn appends_that_wait_together_ask_as_one_does() {
    let (store, _dir) = ready().await;
    store.append(one("1")).await.expect("appends");
    let asked = Asked::default();
    let _counting = asked.count();
    // On the only thread, so that all wait before the first is committed.
    let appends = (0..32).map(|number| {
        let store = store.clone();
        async move { store.append(one(&number.to_string())).await.expect("appends") }
    });
    futures_util::future::join_all(appends).await;
    let times = asked.times();
    assert!(times <= 2 * APPEND, "{times} for one that goes ahead, and the others");
}

#[tokio::test]
async fn each_read_asks_once() {
    let (store, _dir) = ready().await;
    let many = std::iter::repeat_with(event).take(1_000).collect();
    store.append(Append::to(stream("1"), Expected::Any, many)).await.expect("appends");
    store.append(one("archived")).await.expect("appends");
    store.archive_stream(&stream("archived"), Expected::Any).await.expect("is there");
    let asked = Asked::default();
    let _counting = asked.count();
    let page = store.read_stream(ReadStream::new(stream("1")).limit(1_000)).await.expect("reads");
    assert_eq!((page.events.len(), page.end), (1_000, true));
    assert_eq!(asked.times(), 1, "a stream, with whether it ends");
    store.read_stream(ReadStream::last(stream("1"))).await.expect("reads");
    assert_eq!(asked.times(), 1, "the last event");
    let RecordedEvent { version, position, id, .. } = page.events[499];
    let footing = Footing { version, position, event_id: id, begins: Version::NONE };
    assert!(store.save_snapshot(Snapshot::new(stream("1"), 1, footing, "json", "{}")).await.expect("keeps"));
    assert_eq!(asked.times(), 1, "a snapshot");
    let start = Start::Snapshot { shape: 1, up_to: Version::END };
    let from = store.read_from(ReadFrom::new(stream("1"), start)).await.expect("reads");
    assert_eq!((from.page.events.len(), from.page.end), (500, true));
    assert_eq!(asked.times(), 1, "a stream from a snapshot on, with whether that stands");
    let page = store.read_all(ReadAll::after(Position::START)).await.expect("reads");
    assert_eq!(asked.times(), 1, "a page of the feed, with whether it ends");
    store.find_event(EventId::new()).await.expect("reads");
    assert_eq!(asked.times(), 1, "an event");
    store.read_category(ReadCategory::new("test")).await.expect("reads");
    assert_eq!(asked.times(), 1, "a category");
    store.read_archived(ReadStream::new(stream("archived"))).await.expect("reads");
    assert_eq!(asked.times(), 1, "an archived stream");
    store.checkpoint("s").await.expect("reads");
    assert_eq!(asked.times(), 1, "a checkpoint");
    store.move_checkpoint("s", Checkpoint::START, page.checkpoint).await.expect("moves");
    assert_eq!(asked.times(), 1, "moving a checkpoint");
}

#[tokio::test]
async fn what_is_appended_here_is_waited_for_without_asking() {
    let (store, _dir) = ready().await;
    let last = store.append(one("1")).await.expect("appends").position;
    let asked = Asked::default();
    let _counting = asked.count();
    store.wait(Position(last.0 - 1)).await.expect("waits");
    assert_eq!(asked.times(), 0);
    follow_one(&store, last).await;
    assert!(asked.times() <= APPEND + 1, "one look for what other processes have written");
}

/// Waits for an append that comes meanwhile.
async fn follow_one(store: &SqliteStore, last: Position) {
    let (waited, appended) = tokio::join!(store.wait(last), store.append(one("1")));
    waited.expect("waits");
    appended.expect("appends");
}

#[tokio::test]
async fn a_transaction_asks_for_its_append_and_its_checkpoint() {
    let (store, _dir) = ready().await;
    store.append(one("1")).await.expect("appends");
    let mut tx = store.begin().await.expect("begins");
    let asked = Asked::default();
    let _counting = asked.count();
    store.append_in(&mut tx, one("1")).await.expect("appends");
    assert_eq!(asked.times(), 2, "to look up, and to write");
    store.read_stream_in(&mut tx, ReadStream::last(stream("1"))).await.expect("reads");
    assert_eq!(asked.times(), 1, "a stream");
    store.commit_with_checkpoint(tx, "s", Checkpoint::START, Position(1).into()).await.expect("commits");
    assert_eq!(
        asked.times(),
        2,
        "the checkpoint, and a look at who is to be told; the commit itself is sqlx's"
    );
}
