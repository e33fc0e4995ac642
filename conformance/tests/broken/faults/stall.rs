//! Faults of a feed that knows of open transactions, and lets the wrong ones hold it up, or none.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use factum_core::store::{Append, Page, ReadAll, Uncommitted};
use factum_core::{AppendError, EventStore, Position, StoreError, Transactional};
use factum_memory::{MemoryStore, MemoryTx};

use crate::store::{Fault, all, page_of};

/// The positions at which the feed is held, each by somebody.
#[derive(Clone, Default)]
struct Holds(Arc<Mutex<Vec<Position>>>);

/// Lets go of the feed when it is dropped.
struct Hold(Holds, Position);

impl Holds {
    fn take(&self, at: Position) -> Hold {
        self.0.lock().unwrap().push(at);
        Hold(self.clone(), at)
    }

    /// The page of a feed that ends where it is held first.
    async fn page(&self, store: &MemoryStore, read: &ReadAll) -> Page {
        let end = self.0.lock().unwrap().iter().min().copied();
        let mut events = all(store).await;
        events.retain(|event| end.is_none_or(|end| event.position <= end));
        page_of(events, read)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut holds = self.0.0.lock().unwrap();
        let at = holds.iter().position(|hold| *hold == self.1).unwrap();
        holds.swap_remove(at);
    }
}

/// Keeps something as long as the transaction is open, whatever ends it.
fn keep<T: Send + 'static>(tx: &mut MemoryTx, kept: T) {
    tx.on_commit(move || drop(kept));
}

async fn head(store: &MemoryStore) -> Position {
    all(store).await.last().map_or(Position::START, |event| event.position)
}

/// Lets go of the feed when an append is committed, and never where it is not.
#[derive(Default)]
pub(crate) struct WaitsForTheDead(Holds);
#[async_trait]
impl Fault for WaitsForTheDead {
    async fn append_in(
        &self,
        store: &MemoryStore,
        tx: &mut MemoryTx,
        append: Append,
    ) -> Result<Uncommitted, AppendError> {
        let outcome = store.append_in(tx, append).await;
        let hold = self.0.take(head(store).await);
        let (sender, committed) = std::sync::mpsc::channel();
        tx.on_commit(move || sender.send(()).unwrap());
        std::thread::spawn(
            move || if committed.recv().is_ok() { drop(hold) } else { std::mem::forget(hold) },
        );
        outcome
    }

    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        Ok(self.0.page(store, &read).await)
    }
}

/// Takes hold of the feed for an append, and lets go of it with the transaction, of which it knows only afterwards.
#[derive(Default)]
pub(crate) struct ForgetsWhoGaveUp(Holds);
#[async_trait]
impl Fault for ForgetsWhoGaveUp {
    async fn append_in(
        &self,
        store: &MemoryStore,
        tx: &mut MemoryTx,
        append: Append,
    ) -> Result<Uncommitted, AppendError> {
        let hold = std::mem::ManuallyDrop::new(self.0.take(head(store).await));
        tokio::task::yield_now().await;
        let outcome = store.append_in(tx, append).await;
        keep(tx, std::mem::ManuallyDrop::into_inner(hold));
        outcome
    }

    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        Ok(self.0.page(store, &read).await)
    }
}

/// Lets every transaction hold the feed from its beginning on, whatever it does.
#[derive(Default)]
pub(crate) struct WaitsForEverybody(Holds);
#[async_trait]
impl Fault for WaitsForEverybody {
    async fn begin(&self, store: &MemoryStore) -> Result<MemoryTx, StoreError> {
        let mut tx = store.begin().await?;
        keep(&mut tx, self.0.take(head(store).await));
        Ok(tx)
    }

    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        Ok(self.0.page(store, &read).await)
    }
}

/// Lets a transaction that appends hold the feed from its beginning on.
#[derive(Default)]
pub(crate) struct HoldsFromTheBeginning {
    holds: Holds,
    begun: Mutex<Position>,
}
#[async_trait]
impl Fault for HoldsFromTheBeginning {
    async fn begin(&self, store: &MemoryStore) -> Result<MemoryTx, StoreError> {
        let head = head(store).await;
        *self.begun.lock().unwrap() = head;
        store.begin().await
    }

    async fn append_in(
        &self,
        store: &MemoryStore,
        tx: &mut MemoryTx,
        append: Append,
    ) -> Result<Uncommitted, AppendError> {
        let begun = *self.begun.lock().unwrap();
        keep(tx, self.holds.take(begun));
        store.append_in(tx, append).await
    }

    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        Ok(self.holds.page(store, &read).await)
    }
}

/// Goes on when there is no open append any more, and not before.
#[derive(Default)]
pub(crate) struct WaitsForAPause {
    holds: Holds,
    first: Mutex<Position>,
}
#[async_trait]
impl Fault for WaitsForAPause {
    async fn append_in(
        &self,
        store: &MemoryStore,
        tx: &mut MemoryTx,
        append: Append,
    ) -> Result<Uncommitted, AppendError> {
        let head = head(store).await;
        let first = {
            let mut first = self.first.lock().unwrap();
            if self.holds.0.lock().unwrap().is_empty() {
                *first = head;
            }
            *first
        };
        // From when it waits for its turn on.
        let hold = self.holds.take(first);
        let outcome = store.append_in(tx, append).await;
        keep(tx, hold);
        outcome
    }

    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        Ok(self.holds.page(store, &read).await)
    }
}

/// Looks up to the last position that was drawn, whether it is visible already or not.
#[derive(Default)]
pub(crate) struct PassesOpenAppends(Holds);
#[async_trait]
impl Fault for PassesOpenAppends {
    async fn append_in(
        &self,
        store: &MemoryStore,
        tx: &mut MemoryTx,
        append: Append,
    ) -> Result<Uncommitted, AppendError> {
        let uncommitted = store.append_in(tx, append).await?;
        keep(tx, self.0.take(uncommitted.clone().committed().position));
        Ok(uncommitted)
    }

    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let mut page = store.read_all(read).await?;
        let drawn = self.0.0.lock().unwrap().iter().max().copied();
        if page.end {
            page.checkpoint = drawn.unwrap_or_default().max(page.checkpoint.position).into();
        }
        Ok(page)
    }
}

/// Lets others overtake an open append, and writes it behind them when it is committed.
#[derive(Default)]
pub(crate) struct DrawsAtTheCommit(Arc<Mutex<Vec<Append>>>);
#[async_trait]
impl Fault for DrawsAtTheCommit {
    async fn append_in(
        &self,
        store: &MemoryStore,
        tx: &mut MemoryTx,
        append: Append,
    ) -> Result<Uncommitted, AppendError> {
        let mut other = store.begin().await.unwrap();
        let answer = store.append_in(&mut other, append.clone()).await?;
        let appends = Arc::clone(&self.0);
        tx.on_commit(move || appends.lock().unwrap().push(append));
        Ok(answer)
    }

    async fn commit_alone(&self, store: &MemoryStore, tx: MemoryTx) -> Result<(), StoreError> {
        store.commit(tx).await?;
        let appends = std::mem::take(&mut *self.0.lock().unwrap());
        for append in appends {
            store.append(append).await.unwrap();
        }
        Ok(())
    }
}
