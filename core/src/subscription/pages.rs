//! What a subscription reads: pages with the next one read ahead, shared by the partitions of one process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use crate::checkpoint::Checkpoint;
use crate::error::{StoreError, StoreErrorKind};
use crate::partition::Partition;
use crate::store::{EventStore, Page, ReadAll};

/// How many pages are kept for the partitions that come to them later. They begin together, and those that are ahead
/// rarely are so by more.
const KEPT: usize = 4;

pub(super) struct Pages {
    store: Arc<dyn EventStore>,
    read: ReadAll,
    is_shared: bool,
    kept: Mutex<VecDeque<(Checkpoint, Arc<OnceCell<Page>>)>>,
}

impl Pages {
    pub(super) fn new(store: Arc<dyn EventStore>, read: ReadAll, partitions: u32) -> Self {
        Self { store, read, is_shared: partitions > 1, kept: Mutex::default() }
    }

    /// The page after `after`, as far as it belongs to `partition`.
    async fn page(&self, after: Checkpoint, partition: &Partition) -> Result<Page, StoreError> {
        let read = ReadAll { after, ..self.read.clone() };
        if !self.is_shared {
            return self.store.read_all(read).await;
        }
        let cell = self.cell(after);
        let page = cell.get_or_try_init(|| self.store.read_all(read)).await?;
        if page.end {
            // There will be more where it ends.
            self.forget(after);
        }
        let events = page.events.iter().filter(|event| partition.has(&event.stream)).cloned().collect();
        Ok(Page { events, checkpoint: page.checkpoint, end: page.end })
    }

    fn cell(&self, after: Checkpoint) -> Arc<OnceCell<Page>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, cell)) = kept.iter().find(|(at, _)| *at == after) {
            return Arc::clone(cell);
        }
        let cell = Arc::<OnceCell<Page>>::default();
        kept.push_back((after, Arc::clone(&cell)));
        if kept.len() > KEPT {
            kept.pop_front();
        }
        cell
    }

    fn forget(&self, after: Checkpoint) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).retain(|(at, _)| *at != after);
    }
}

/// The pages of one partition, one after the other.
pub(super) struct Reader {
    pages: Arc<Pages>,
    partition: Partition,
    /// The next page, which is read while this one is handled. Dropped, it is read no further.
    ahead: Option<(Checkpoint, Ahead)>,
}

struct Ahead(JoinHandle<Result<Page, StoreError>>);

impl Drop for Ahead {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Reader {
    pub(super) fn new(pages: Arc<Pages>, partition: Partition) -> Self {
        Self { pages, partition, ahead: None }
    }

    /// The page after `after`.
    pub(super) async fn read(&mut self, after: Checkpoint) -> Result<Page, StoreError> {
        let page = match self.ahead.take() {
            Some((at, mut ahead)) if at == after => match (&mut ahead.0).await {
                Ok(page) => page?,
                Err(error) => return Err(StoreError::because(StoreErrorKind::Other, "read", error)),
            },
            _ => self.pages.page(after, &self.partition).await?,
        };
        // What comes at the end is not there yet.
        if !page.end && page.checkpoint.position > after.position {
            let (pages, partition, next) = (Arc::clone(&self.pages), self.partition.clone(), page.checkpoint);
            let ahead = tokio::spawn(async move { pages.page(next, &partition).await });
            self.ahead = Some((next, Ahead(ahead)));
        }
        Ok(page)
    }
}
