//! What a subscription reads: pages with the next one read ahead, shared by the partitions of one process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use crate::checkpoint::Checkpoint;
use crate::envelope::RecordedEvent;
use crate::error::{DecodeError, StoreError, StoreErrorKind};
use crate::partition::Partition;
use crate::store::{EventStore, Page, ReadAll};

/// How many pages are kept for the partitions that come to them later. They begin together, and those that are ahead
/// rarely are so by more.
const KEPT: usize = 4;

/// By what events are dealt to partitions, where that is not their stream.
pub(super) type Key = Arc<dyn Fn(&RecordedEvent) -> Result<Option<String>, DecodeError> + Send + Sync>;

pub(super) struct Pages {
    store: Arc<dyn EventStore>,
    read: ReadAll,
    partitions: u32,
    key: Option<Key>,
    kept: Mutex<VecDeque<(Checkpoint, Arc<OnceCell<Dealt>>)>>,
}

/// A page, and the index of the partition to which each of its events belongs.
struct Dealt {
    page: Page,
    owners: Vec<u32>,
}

impl Pages {
    pub(super) fn new(store: Arc<dyn EventStore>, read: ReadAll, partitions: u32) -> Self {
        Self { store, read, partitions, key: None, kept: Mutex::default() }
    }

    /// Events belong together that have the same key. Those without one belong together with those of their stream.
    pub(super) fn keyed(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// The page after `after`, as far as it belongs to `partition`.
    async fn page(&self, after: Checkpoint, partition: &Partition) -> Result<Page, StoreError> {
        let read = ReadAll { after, ..self.read.clone() };
        if self.partitions <= 1 {
            return self.store.read_all(read).await;
        }
        let cell = self.cell(after);
        let dealt = cell.get_or_try_init(|| async { self.deal(self.store.read_all(read).await?) });
        let Dealt { page, owners } = dealt.await?;
        if page.end {
            // There will be more where it ends.
            self.forget(after);
        }
        let own = owners.iter().zip(&page.events).filter(|(owner, _)| **owner == partition.index());
        let events = own.map(|(_, event)| event.clone()).collect();
        Ok(Page { events, checkpoint: page.checkpoint, end: page.end })
    }

    fn deal(&self, page: Page) -> Result<Dealt, StoreError> {
        let owner = |event: &RecordedEvent| {
            let key = self.key.as_ref().map_or(Ok(None), |key| key(event));
            let key = key.map_err(|error| StoreError::because(StoreErrorKind::Other, "read key", error))?;
            Ok(Partition::index_for(key.as_deref().unwrap_or(event.stream.as_str()), self.partitions))
        };
        let owners = page.events.iter().map(owner).collect::<Result<_, StoreError>>()?;
        Ok(Dealt { page, owners })
    }

    fn cell(&self, after: Checkpoint) -> Arc<OnceCell<Dealt>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, cell)) = kept.iter().find(|(at, _)| *at == after) {
            return Arc::clone(cell);
        }
        let cell = Arc::<OnceCell<Dealt>>::default();
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
    /// Where it ends, if not with the log.
    until: Option<Checkpoint>,
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
        Self { pages, partition, until: None, ahead: None }
    }

    /// As if the log ended there.
    pub(super) fn not_past(mut self, until: Checkpoint) -> Self {
        self.until = Some(until);
        self
    }

    /// The page after `after`.
    pub(super) async fn read(&mut self, after: Checkpoint) -> Result<Page, StoreError> {
        if self.until.is_some_and(|until| until.position <= after.position) {
            return Ok(Page { events: Vec::new(), checkpoint: after, end: true });
        }
        let page = match self.ahead.take() {
            Some((at, mut ahead)) if at == after => match (&mut ahead.0).await {
                Ok(page) => page?,
                Err(error) => return Err(StoreError::because(StoreErrorKind::Other, "read", error)),
            },
            _ => self.pages.page(after, &self.partition).await?,
        };
        let page = self.cut(page);
        // What comes at the end is not there yet.
        if !page.end && page.checkpoint.position > after.position {
            let (pages, partition, next) = (Arc::clone(&self.pages), self.partition.clone(), page.checkpoint);
            let ahead = tokio::spawn(async move { pages.page(next, &partition).await });
            self.ahead = Some((next, Ahead(ahead)));
        }
        Ok(page)
    }

    /// Without what is past the end.
    fn cut(&self, page: Page) -> Page {
        match self.until {
            Some(until) if until.position <= page.checkpoint.position => {
                let Page { mut events, .. } = page;
                events.retain(|event| event.position <= until.position);
                Page { events, checkpoint: until, end: true }
            }
            _ => page,
        }
    }
}
