//! A store that misbehaves on request.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use factum::memory::MemoryStore;
use factum::store::{
    Append, Appended, CategoryPage, Matches, Page, ReadAll, ReadCategory, ReadMatching, ReadStream,
    StreamPage,
};
use factum::{
    AppendError, EventId, EventStore, Position, RecordedEvent, Snapshots, StoreError, StoreErrorKind,
};

/// What goes wrong with the next appends.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Somebody else appends this first.
    Overtaken(Append),
    /// The append happens, and the answer is lost.
    AnswerLost,
    /// The append does not happen, and nobody can tell.
    AppendLost,
}

/// The in-memory store, with faults for its next appends, the first one first.
#[derive(Debug, Default)]
pub(crate) struct Faulty {
    pub(crate) inner: MemoryStore,
    faults: Mutex<Vec<Fault>>,
    pub(crate) loads: AtomicUsize,
    pub(crate) appends: AtomicUsize,
}

impl Faulty {
    pub(crate) fn new(inner: MemoryStore, faults: impl IntoIterator<Item = Fault>) -> Self {
        let mut faults: Vec<_> = faults.into_iter().collect();
        faults.reverse();
        Self { inner, faults: Mutex::new(faults), ..Self::default() }
    }

    pub(crate) fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    pub(crate) fn appends(&self) -> usize {
        self.appends.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl EventStore for Faulty {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.appends.fetch_add(1, Ordering::SeqCst);
        let fault = self.faults.lock().expect("no panic").pop();
        let unknown = || StoreError::new(StoreErrorKind::OutcomeUnknown, "append").into();
        match fault {
            None => self.inner.append(append).await,
            Some(Fault::Overtaken(first)) => {
                self.inner.append(first).await.expect("the other append is fine");
                self.inner.append(append).await
            }
            Some(Fault::AnswerLost) => {
                self.inner.append(append).await?;
                Err(unknown())
            }
            Some(Fault::AppendLost) => Err(unknown()),
        }
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        self.inner.read_stream(read).await
    }

    async fn read_all(&self, read: ReadAll) -> Result<Page, StoreError> {
        self.inner.read_all(read).await
    }

    async fn read_matching(&self, read: ReadMatching) -> Result<Matches, StoreError> {
        self.inner.read_matching(read).await
    }

    async fn find_event(&self, id: EventId) -> Result<Option<RecordedEvent>, StoreError> {
        self.inner.find_event(id).await
    }

    async fn read_category(&self, read: ReadCategory) -> Result<CategoryPage, StoreError> {
        self.inner.read_category(read).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        self.inner.head().await
    }

    async fn wait(&self, after: Position) -> Result<(), StoreError> {
        self.inner.wait(after).await
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        None
    }
}
