//! A store that counts what it is asked, that can become another one, and whose snapshots can fail.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use factum::memory::MemoryStore;
use factum::snapshot::{Found, PageFrom, ReadFrom, Snapshot, Start, Turns};
use factum::store::{
    Append, Appended, CategoryPage, Matches, Page, ReadAll, ReadCategory, ReadMatching, ReadStream,
    StreamPage,
};
use factum::{
    AppendError, EventId, EventStore, Position, RecordedEvent, Snapshots, StoreError, StoreErrorKind,
    StreamId, Version,
};

/// What becomes of snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Saving {
    #[default]
    Works,
    Fails,
    /// It never answers.
    Hangs,
}

/// The in-memory store, and what it was asked since somebody last wanted to know.
#[derive(Clone, Default)]
pub(crate) struct Watched {
    now: Arc<Mutex<MemoryStore>>,
    saving: Arc<Mutex<Saving>>,
    asked: Arc<[AtomicUsize; 3]>,
    turns: Turns,
}

/// How often it was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// For pages, of whichever kind.
    pub(crate) reads: usize,
    /// How many events they had.
    pub(crate) events: usize,
    pub(crate) appends: usize,
}

impl Watched {
    pub(crate) fn new(saving: Saving) -> Self {
        Self { saving: Arc::new(Mutex::new(saving)), ..Self::default() }
    }

    pub(crate) fn now(&self) -> MemoryStore {
        self.now.lock().unwrap().clone()
    }

    /// From now on it is another log.
    pub(crate) fn become_another(&self, other: MemoryStore) {
        *self.now.lock().unwrap() = other;
    }

    pub(crate) fn asked(&self) -> Asked {
        let [reads, events, appends] = [0, 1, 2].map(|at| self.asked[at].swap(0, Ordering::SeqCst));
        Asked { reads, events, appends }
    }

    fn count_page(&self, page: &StreamPage) {
        self.asked[0].fetch_add(1, Ordering::SeqCst);
        self.asked[1].fetch_add(page.events.len(), Ordering::SeqCst);
    }

    /// The snapshot of a stream.
    pub(crate) async fn snapshot(&self, stream: &StreamId, shape: u32) -> Option<Snapshot> {
        let start = Start::Snapshot { shape, up_to: Version::END };
        match self.now().read_from(ReadFrom::new(stream.clone(), start)).await.unwrap().found {
            Found::Snapshot(snapshot) => Some(snapshot),
            _ => None,
        }
    }

    /// The snapshot at this version, when it is there.
    pub(crate) async fn snapshot_at(&self, stream: &StreamId, shape: u32, version: u64) -> Snapshot {
        for _ in 0..2_000 {
            match self.snapshot(stream, shape).await {
                Some(snapshot) if snapshot.footing.version >= Version(version) => return snapshot,
                _ => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            }
        }
        panic!("there is no snapshot of {stream} at {version}")
    }
}

#[async_trait]
impl EventStore for Watched {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.asked[2].fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let appended = self.now().append(append).await;
        tokio::task::yield_now().await;
        appended
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        tokio::task::yield_now().await;
        let page = self.now().read_stream(read).await?;
        self.count_page(&page);
        Ok(page)
    }

    async fn read_all(&self, read: ReadAll) -> Result<Page, StoreError> {
        self.now().read_all(read).await
    }

    async fn read_matching(&self, read: ReadMatching) -> Result<Matches, StoreError> {
        self.now().read_matching(read).await
    }

    async fn find_event(&self, id: EventId) -> Result<Option<RecordedEvent>, StoreError> {
        self.now().find_event(id).await
    }

    async fn read_category(&self, read: ReadCategory) -> Result<CategoryPage, StoreError> {
        self.now().read_category(read).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        self.now().head().await
    }

    async fn wait(&self, after: Position) -> Result<(), StoreError> {
        self.now().wait(after).await
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        Some(self)
    }
}

#[async_trait]
impl Snapshots for Watched {
    async fn read_from(&self, read: ReadFrom) -> Result<PageFrom, StoreError> {
        tokio::task::yield_now().await;
        let answer = self.now().read_from(read).await?;
        self.count_page(&answer.page);
        Ok(answer)
    }

    async fn save_snapshot(&self, snapshot: Snapshot) -> Result<bool, StoreError> {
        let saving = *self.saving.lock().unwrap();
        match saving {
            Saving::Works => self.now().save_snapshot(snapshot).await,
            Saving::Fails => Err(StoreError::new(StoreErrorKind::Full, "save snapshot")),
            Saving::Hangs => std::future::pending().await,
        }
    }

    async fn delete_snapshots(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.now().delete_snapshots(stream).await
    }

    fn turns(&self) -> &Turns {
        &self.turns
    }
}
