//! A memory store that takes its time, and may have a fault.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use factum_core::store::{
    Append, Appended, CategoryPage, Matches, Page, ReadAll, ReadCategory, ReadMatching, ReadStream,
    StreamAppend, StreamPage,
};
use factum_core::{
    AppendError, EventId, EventStore, Expected, Position, RecordedEvent, Snapshots, StoreError,
    StoreErrorKind, StreamId, Version,
};
use factum_memory::MemoryStore;

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Some appends are acknowledged and not written.
    LosesAnAppend,
    /// Some conflicts are acknowledged and written.
    WritesOnConflict,
    /// Some reads are answered from what was read before.
    ReadsTheStale,
    /// Some repeats are written a second time, under the same ids.
    WritesARepeatTwice,
    /// Some appends to several streams are written to the first only.
    WritesAHalf,
    /// Some conflicts tell of the version before.
    ConflictsWithThePast,
}

/// The memory store: every append takes a moment before it happens and one after, and goes on if nobody waits for it.
#[derive(Clone)]
pub(crate) struct SlowStore {
    store: MemoryStore,
    fault: Fault,
    /// Whether some answers get lost on their way.
    loses_answers: bool,
    turns: Arc<AtomicUsize>,
    /// The appends that go on.
    going_on: Arc<AtomicUsize>,
    /// The events that are there a second time, under ids that the memory store has not seen.
    twins: Arc<Mutex<HashMap<EventId, EventId>>>,
    /// What was read last of each stream.
    pages: Arc<Mutex<HashMap<StreamId, StreamPage>>>,
}

impl SlowStore {
    pub(crate) fn new(fault: Fault) -> Self {
        Self {
            store: MemoryStore::new(),
            fault,
            loses_answers: true,
            turns: Arc::default(),
            going_on: Arc::default(),
            twins: Arc::default(),
            pages: Arc::default(),
        }
    }

    /// The same store, without further faults.
    pub(crate) fn mended(&self) -> Self {
        Self { fault: Fault::None, loses_answers: false, ..self.clone() }
    }

    /// Waits for the appends that nobody waits for.
    pub(crate) async fn settle(&self) {
        while self.going_on.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Whether it is the turn of the fault, every so many times.
    fn is_turn(&self, fault: Fault, every: usize) -> bool {
        self.fault == fault && self.turns.fetch_add(1, Ordering::SeqCst) % every == every - 1
    }

    async fn append_now(&self, append: Append) -> Result<Appended, AppendError> {
        if self.is_turn(Fault::LosesAnAppend, 50) {
            return self.pretend(append).await;
        }
        let is_long = append.streams().len() > 1;
        if is_long && self.is_turn(Fault::WritesAHalf, 10) {
            let mut first = append.clone().into_streams().swap_remove(0);
            first.expected = Expected::Any;
            let answer = self.store.append(Append::to(first.stream, first.expected, first.events)).await?;
            let versions = append.streams().iter().map(|_| answer.version()).collect();
            return Ok(Appended { versions, ..answer });
        }
        let is_repeat = {
            let mut seen = HashSet::new();
            for event in append.events() {
                seen.extend(self.store.find_event(event.id).await?.map(|event| event.id));
            }
            !seen.is_empty()
        };
        if is_repeat && self.is_turn(Fault::WritesARepeatTwice, 5) {
            let mut parts = append.into_streams();
            for part in &mut parts {
                part.expected = Expected::Any;
                for event in &mut part.events {
                    let twin = EventId::new();
                    self.twins.lock().unwrap().insert(twin, event.id);
                    event.id = twin;
                }
            }
            return self.store.append(joined(parts)).await;
        }
        match self.store.append(append.clone()).await {
            Err(AppendError::Conflict(_)) if self.is_turn(Fault::WritesOnConflict, 20) => {
                let mut parts = append.into_streams();
                for part in &mut parts {
                    part.expected = Expected::Any;
                }
                self.store.append(joined(parts)).await
            }
            Err(AppendError::Conflict(mut conflict)) if self.is_turn(Fault::ConflictsWithThePast, 20) => {
                conflict.actual =
                    conflict.actual.map(|version| Version(version.0 - 1)).filter(|version| version.0 > 0);
                Err(conflict.into())
            }
            outcome => outcome,
        }
    }

    /// Answers as if the append had happened.
    async fn pretend(&self, append: Append) -> Result<Appended, AppendError> {
        let mut versions = Vec::new();
        for part in append.streams() {
            let last = self.version_of(&part.stream).await?;
            versions.push(last.forward(part.events.len()).unwrap());
        }
        let all = self.store.read_all(ReadAll::after(Position::START).limit(usize::MAX)).await?;
        let last = all.events.last().map_or(Position::START, |event| event.position);
        let recorded_at = all.events.last().map(|event| event.recorded_at).unwrap_or_default();
        Ok(Appended { position: Position(last.0 + 1), recorded_at, versions })
    }

    async fn version_of(&self, stream: &StreamId) -> Result<Version, StoreError> {
        let page = self.store.read_stream(ReadStream::last(stream.clone())).await?;
        Ok(page.events.last().map(|event| event.version).unwrap_or_default())
    }

    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        let id = self.twins.lock().unwrap().get(&event.id).copied().unwrap_or(event.id);
        RecordedEvent { id, ..event }
    }
}

/// The append of these parts.
fn joined(parts: Vec<StreamAppend>) -> Append {
    let mut parts = parts.into_iter();
    let first = parts.next().unwrap();
    let first = Append::to(first.stream, first.expected, first.events);
    parts.fold(first, |append, part| append.and(part.stream, part.expected, part.events))
}

#[async_trait]
impl EventStore for SlowStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        // In a task of its own, so that it happens also if this future is dropped.
        let store = self.clone();
        store.going_on.fetch_add(1, Ordering::SeqCst);
        let doing = tokio::spawn(async move {
            a_moment(&store.turns).await;
            let outcome = store.append_now(append).await;
            a_moment(&store.turns).await;
            store.going_on.fetch_sub(1, Ordering::SeqCst);
            outcome
        });
        let outcome = doing.await.expect("a store does not panic");
        if self.loses_answers && self.turns.fetch_add(1, Ordering::SeqCst).is_multiple_of(40) {
            return Err(StoreError::new(StoreErrorKind::OutcomeUnknown, "append").into());
        }
        outcome
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        a_moment(&self.turns).await;
        if self.is_turn(Fault::ReadsTheStale, 10) {
            let before = self.pages.lock().unwrap().get(&read.stream).cloned();
            if let Some(page) = before {
                return Ok(page);
            }
        }
        let stream = read.stream.clone();
        let StreamPage { events, end } = self.store.read_stream(read).await?;
        let page = StreamPage { events: events.into_iter().map(|event| self.seen(event)).collect(), end };
        self.pages.lock().unwrap().insert(stream, page.clone());
        a_moment(&self.turns).await;
        Ok(page)
    }

    async fn read_all(&self, read: ReadAll) -> Result<Page, StoreError> {
        let page = self.store.read_all(read).await?;
        Ok(Page { events: page.events.into_iter().map(|event| self.seen(event)).collect(), ..page })
    }

    async fn read_matching(&self, read: ReadMatching) -> Result<Matches, StoreError> {
        self.store.read_matching(read).await
    }

    async fn find_event(&self, id: EventId) -> Result<Option<RecordedEvent>, StoreError> {
        self.store.find_event(id).await
    }

    async fn read_category(&self, read: ReadCategory) -> Result<CategoryPage, StoreError> {
        self.store.read_category(read).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        self.store.head().await
    }

    async fn wait(&self, after: Position) -> Result<(), StoreError> {
        self.store.wait(after).await
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        None
    }
}

/// A moment, long enough for others to come in between, and now and then longer than clients wait.
async fn a_moment(turns: &AtomicUsize) {
    match turns.fetch_add(1, Ordering::SeqCst) % 23 {
        0 => tokio::time::sleep(Duration::from_millis(8)).await,
        1..8 => tokio::time::sleep(Duration::from_millis(1)).await,
        _ => tokio::task::yield_now().await,
    }
}
