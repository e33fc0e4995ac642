//! What a store shows: its streams, its feed, and the facts of its errors.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use factum_core::store::{Append, Appended, Cursor, Page, ReadAll, ReadStream};
use factum_core::{
    AppendError, Conflict, EventId, EventStore, Expected, IdReused, Invalid, NewEvent, Position,
    RecordedEvent, StoreError, StoreErrorKind, StreamId,
};

use crate::given::{events, stream_of};

/// How long a promise waits for what must happen, before it says that it does not.
pub(crate) fn patience() -> Duration {
    PATIENCE.get().copied().unwrap_or(Duration::from_secs(20))
}

/// Another patience, for tests of promises that are broken.
pub(crate) static PATIENCE: OnceLock<Duration> = OnceLock::new();

/// The category of the events that [`everything`] appends.
const MARKER: &str = "conformance-marker";

/// More pages than a promise ever needs: a reader that has read as many is led in a circle.
pub(crate) const PAGES_MAX: usize = 10_000;

/// What `future` comes to, if it comes to it in time.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(patience(), future).await;
    outcome.unwrap_or_else(|_| panic!("{what} did not happen within {:?}", patience()))
}

/// All events of a stream.
pub(crate) async fn whole(store: &impl EventStore, stream: &StreamId) -> Vec<RecordedEvent> {
    in_pages(store, ReadStream::new(stream.clone()).limit(1000)).await
}

/// All events of a stream from `read` on, in pages as large as it says.
pub(crate) async fn in_pages(store: &impl EventStore, mut read: ReadStream) -> Vec<RecordedEvent> {
    let mut events = Vec::new();
    loop {
        let page = store.read_stream(read.clone()).await.expect("a stream can be read");
        let (asked, got) = (read.limit.max(1), page.events.len());
        assert!(got <= asked, "at most {asked} events were asked for, the page has {got}");
        let on = page.events.last().map(|event| match read.cursor {
            Cursor::After(_) => Cursor::After(event.version),
            Cursor::Before(_) => Cursor::Before(event.version),
        });
        assert!(page.end || on.is_some(), "{read:?} gives an empty page that is not the end");
        assert!(on != Some(read.cursor), "{read:?} gives an event that it did not ask for");
        events.extend(page.events);
        if page.end {
            return events;
        }
        read.cursor = on.expect("a page that is not the end has events");
    }
}

/// The feed from `read` on, in pages as large as it says, to the end and at least up to `until`.
///
/// What is at or before `until` was acknowledged. It is in the feed at once or soon: a feed may lag.
pub(crate) async fn walk(store: &impl EventStore, mut read: ReadAll, until: Position) -> Vec<RecordedEvent> {
    let mut events: Vec<RecordedEvent> = Vec::new();
    let deadline = Instant::now() + patience();
    for _ in 0..PAGES_MAX {
        let page = page(store, &read).await;
        events.extend(page.events);
        read.after = page.checkpoint;
        if page.end && page.checkpoint.position >= until {
            return events;
        }
        if page.end {
            assert!(
                Instant::now() < deadline,
                "the feed stands still at {} and does not reach {until}",
                page.checkpoint.position
            );
            // Whether there is more is for the next read to say.
            let _ =
                tokio::time::timeout(Duration::from_millis(50), store.wait(page.checkpoint.position)).await;
        }
    }
    panic!("the feed does not come to an end within {PAGES_MAX} pages, it is at {}", read.after.position);
}

/// A page of the feed that keeps what every page promises: its events are in order, after where it was asked from and up
/// to where it says it looked; and it moves on or is the end.
pub(crate) async fn page(store: &impl EventStore, read: &ReadAll) -> Page {
    let page = store.read_all(read.clone()).await.expect("the feed can be read");
    let (asked, got) = (read.limit.max(1), page.events.len());
    assert!(got <= asked, "at most {asked} events were asked for, the page has {got}");
    let mut last = read.after.position;
    for event in &page.events {
        assert!(event.position > last, "{} comes after {last} in the feed", event.position);
        last = event.position;
    }
    assert!(
        page.checkpoint.position >= last,
        "the page says it has looked up to {} and not to {last}",
        page.checkpoint.position
    );
    assert!(
        page.end || page.checkpoint.position > read.after.position,
        "the page after {} neither moves on nor is the end",
        read.after.position
    );
    page
}

/// Everything that is recorded, as the feed has it.
///
/// It appends a marker and reads up to it, so that nothing before it can be missing because the feed lags. Markers are
/// not in the answer.
pub(crate) async fn everything(store: &impl EventStore) -> Vec<RecordedEvent> {
    let stream = stream_of(MARKER, &EventId::new().to_string());
    let marker = Append::to(stream.clone(), Expected::NoStream, events(1));
    let last = append(store, marker).await.position;
    let read = ReadAll::after(Position::START).limit(1000);
    let mut all = walk(store, read, last).await;
    let found = all.last().map(|event| &event.stream);
    assert_eq!(found, Some(&stream), "what was appended last is last in the feed");
    all.retain(|event| event.stream.category() != MARKER);
    all
}

/// The ids of events, in order.
pub(crate) fn ids(events: &[RecordedEvent]) -> Vec<EventId> {
    events.iter().map(|event| event.id).collect()
}

/// The versions of events, in order.
pub(crate) fn versions(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.version.0).collect()
}

/// The positions of events, in order.
pub(crate) fn positions(events: &[RecordedEvent]) -> Vec<Position> {
    events.iter().map(|event| event.position).collect()
}

/// Appends what must be taken.
pub(crate) async fn append(store: &impl EventStore, append: Append) -> Appended {
    store.append(append).await.expect("an append that asks for nothing wrong succeeds")
}

/// The facts of a conflict.
#[track_caller]
pub(crate) fn conflict(outcome: Result<Appended, AppendError>) -> Conflict {
    match outcome {
        Err(AppendError::Conflict(conflict)) => conflict,
        other => panic!("expected a conflict, got {other:?}"),
    }
}

/// The facts of reused ids.
#[track_caller]
pub(crate) fn id_reused(outcome: Result<Appended, AppendError>) -> IdReused {
    match outcome {
        Err(AppendError::IdReused(reused)) => reused,
        other => panic!("expected an id to be reused, got {other:?}"),
    }
}

/// The facts of invalid input.
#[track_caller]
pub(crate) fn invalid(outcome: Result<Appended, AppendError>) -> Invalid {
    match outcome {
        Err(AppendError::Invalid(invalid)) => invalid,
        other => panic!("expected the input to be invalid, got {other:?}"),
    }
}

/// Where a checkpoint that has moved was expected, and where it is.
#[track_caller]
pub(crate) fn checkpoint_moved(outcome: Result<(), StoreError>) -> (Position, Position) {
    let error = outcome.expect_err("a checkpoint that is elsewhere does not move");
    match error.kind() {
        StoreErrorKind::CheckpointMoved { expected, actual } => (*expected, *actual),
        _ => panic!("expected the checkpoint to have moved, got {error:?}"),
    }
}

/// Asserts that an event came back as it was given.
#[track_caller]
pub(crate) fn assert_kept(kept: &RecordedEvent, given: &NewEvent) {
    assert_eq!(kept.id, given.id, "the id is kept");
    assert_eq!(kept.name, given.name, "the name is kept");
    assert_eq!(kept.schema_version, given.schema_version, "the schema version is kept");
    assert_eq!(kept.codec, given.codec, "the codec is kept");
    assert_eq!(kept.metadata, given.metadata, "the metadata is kept");
    if kept.payload != given.payload {
        let shown = |payload: &[u8]| payload[..payload.len().min(200)].escape_ascii().to_string();
        panic!(
            "the payload is not kept: {} bytes b\"{}\" came back as {} bytes b\"{}\"",
            given.payload.len(),
            shown(&given.payload),
            kept.payload.len(),
            shown(&kept.payload)
        );
    }
}
