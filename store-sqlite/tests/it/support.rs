//! Stores to try things on, and what must hold of everything that is in one.

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::Poll;

use factum_core::store::{Append, ReadAll};
use factum_core::{
    EventId, EventName, EventStore, Expected, Metadata, NewEvent, Position, RecordedEvent, StreamId,
    Transactional, Version,
};
use factum_sqlite::SqliteStore;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};
use tempfile::TempDir;

/// The file of a store, in a folder of its own.
pub(crate) fn file(dir: &TempDir) -> PathBuf {
    dir.path().join("events.db")
}

/// A store that is ready, and the folder it lives in.
pub(crate) async fn ready() -> (SqliteStore, TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::connect(file(&dir)).await.expect("opens");
    store.migrate().await.expect("migrates");
    (store, dir)
}

/// A connection of some other program.
pub(crate) async fn stranger(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.expect("opens")
}

/// Runs `sql` in a transaction of the store.
pub(crate) async fn execute(store: &SqliteStore, sql: &str) {
    let mut tx = store.begin().await.expect("begins");
    tx.execute(AssertSqlSafe(sql.to_owned())).await.expect("executes");
    tx.commit().await.expect("commits");
}

pub(crate) fn event() -> NewEvent {
    event_of(16)
}

/// An event with so many bytes.
pub(crate) fn event_of(bytes: usize) -> NewEvent {
    NewEvent {
        id: EventId::new(),
        name: EventName::new("tested").expect("a name"),
        schema_version: 1,
        codec: "json".into(),
        payload: vec![b'x'; bytes].into(),
        metadata: Metadata::default(),
    }
}

pub(crate) fn stream(id: &str) -> StreamId {
    StreamId::new("test", id).expect("a name")
}

/// One event for the stream, whatever it is like.
pub(crate) fn one(id: &str) -> Append {
    Append::to(stream(id), Expected::Any, vec![event()])
}

/// Everything in the store, in order, read in small pages; and that it keeps the laws.
pub(crate) async fn everything(store: &SqliteStore) -> Vec<RecordedEvent> {
    let mut all = Vec::new();
    let mut after = Position::START;
    loop {
        let page = store.read_all(ReadAll::after(after).limit(500)).await.expect("reads");
        all.extend(page.events);
        after = page.checkpoint.position;
        if page.end {
            break;
        }
    }
    assert_lawful(&all);
    all
}

/// Positions grow, versions have no holes and grow with them, ids are used once.
pub(crate) fn assert_lawful(events: &[RecordedEvent]) {
    let (mut last, mut versions, mut ids) = (Position::START, HashMap::new(), HashSet::new());
    for event in events {
        assert!(event.position > last, "position {} after {last}", event.position);
        last = event.position;
        let version = versions.entry(event.stream.clone()).or_insert(Version::NONE);
        assert_eq!(Some(event.version), version.next(), "in {}", event.stream);
        *version = event.version;
        assert!(ids.insert(event.id), "{} twice", event.id);
    }
}

/// When a future is dropped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DropWhen {
    /// As soon as it has to wait after this many polls.
    Waiting,
    /// When what it waited for has come, before it can act on it.
    Answered,
}

/// Polls `future` so often, and drops it if it is not done by then.
pub(crate) async fn drop_after<F: Future>(polls: usize, when: DropWhen, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 && matches!(when, DropWhen::Waiting) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
