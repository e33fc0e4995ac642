//! Faults that show when many do things at once.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use factum_core::store::{Append, Appended, Page, ReadAll};
use factum_core::{
    AppendError, Conflict, EventId, EventStore, Expected, Position, RecordedEvent, StoreError, StreamId,
};
use factum_memory::MemoryStore;

use crate::store::{Fault, all, each_expected, join, page_of, parts, version_of};

/// Long enough for others to come in between.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(2)).await;
}

/// Looks at the versions, and then writes.
#[derive(Default)]
pub(crate) struct ChecksThenActs;
#[async_trait]
impl Fault for ChecksThenActs {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        for part in append.streams() {
            let (stream, expected) = (part.stream.clone(), part.expected);
            let actual = version_of(store, &stream).await;
            if !expected.is_met_by(actual) {
                return Err(Conflict { stream, expected, actual }.into());
            }
        }
        a_moment().await;
        store.append(each_expected(append, |_| Expected::Any)).await
    }
}

/// Conflicts although nothing is demanded.
#[derive(Default)]
pub(crate) struct TakesAnyForAVersion;
#[async_trait]
impl Fault for TakesAnyForAVersion {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let mut parts = parts(append);
        for (stream, expected, _) in &mut parts {
            if *expected == Expected::Any {
                *expected = Expected::Exactly(version_of(store, stream).await.unwrap_or_default());
            }
        }
        a_moment().await;
        store.append(join(parts).unwrap()).await
    }
}

/// Conflicts if anybody appended to any stream meanwhile.
#[derive(Default)]
pub(crate) struct ConflictsWithEverybody;
#[async_trait]
impl Fault for ConflictsWithEverybody {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let before = all(store).await.len();
        a_moment().await;
        if all(store).await.len() != before {
            let part = &append.streams()[0];
            let actual = version_of(store, &part.stream).await;
            return Err(Conflict { stream: part.stream.clone(), expected: part.expected, actual }.into());
        }
        store.append(append).await
    }
}

/// Conflicts with an append that has the same ids and is not done yet.
#[derive(Default)]
pub(crate) struct ConflictsWithItsOwnRepeat(Mutex<HashSet<EventId>>);
#[async_trait]
impl Fault for ConflictsWithItsOwnRepeat {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let ids: Vec<_> = append.events().map(|event| event.id).collect();
        let is_new = {
            let mut going_on = self.0.lock().unwrap();
            let is_new = ids.iter().all(|id| !going_on.contains(id));
            if is_new {
                going_on.extend(&ids);
            }
            is_new
        };
        if !is_new {
            let part = &append.streams()[0];
            let actual = version_of(store, &part.stream).await;
            return Err(Conflict { stream: part.stream.clone(), expected: part.expected, actual }.into());
        }
        a_moment().await;
        let outcome = store.append(append).await;
        self.0.lock().unwrap().retain(|id| !ids.contains(id));
        outcome
    }
}

/// Locks streams in the order of the append.
#[derive(Default)]
pub(crate) struct LocksInTheOrderOfTheAppend(Mutex<HashMap<StreamId, Arc<tokio::sync::Mutex<()>>>>);
#[async_trait]
impl Fault for LocksInTheOrderOfTheAppend {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let mut held = Vec::new();
        for part in append.streams() {
            let lock = Arc::clone(self.0.lock().unwrap().entry(part.stream.clone()).or_default());
            held.push(lock.lock_owned().await);
            a_moment().await;
        }
        store.append(append).await
    }
}

/// Gives every stream a block of positions, so that no two writers wait for one sequence.
#[derive(Default)]
pub(crate) struct NumbersStreamsInBlocks(Mutex<Vec<StreamId>>);

impl NumbersStreamsInBlocks {
    fn place(&self, event: RecordedEvent) -> RecordedEvent {
        let mut streams = self.0.lock().unwrap();
        let block = streams.iter().position(|stream| *stream == event.stream).unwrap_or_else(|| {
            streams.push(event.stream.clone());
            streams.len() - 1
        });
        let position = Position(u64::try_from(block).unwrap() * 1_000_000 + event.version.0);
        RecordedEvent { position, ..event }
    }
}

#[async_trait]
impl Fault for NumbersStreamsInBlocks {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let answer = store.append(append).await?;
        let all = all(store).await;
        let last = all.into_iter().find(|event| event.position == answer.position).unwrap();
        Ok(Appended { position: self.place(last).position, ..answer })
    }

    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        self.place(event)
    }

    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let mut events: Vec<_> = all(store).await.into_iter().map(|event| self.place(event)).collect();
        events.sort_by_key(|event| event.position);
        Ok(page_of(events, &read))
    }
}

/// Shows what was written while others wrote only when they are done, and lets readers pass it meanwhile.
#[derive(Default)]
pub(crate) struct HidesWhatIsWrittenMeanwhile {
    writing: AtomicUsize,
    hidden: Mutex<HashSet<Position>>,
}
#[async_trait]
impl Fault for HidesWhatIsWrittenMeanwhile {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        self.writing.fetch_add(1, Ordering::SeqCst);
        a_moment().await;
        let outcome = store.append(append).await;
        if self.writing.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.hidden.lock().unwrap().clear();
        } else if let Ok(answer) = &outcome {
            self.hidden.lock().unwrap().insert(answer.position);
        }
        outcome
    }

    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let mut page = store.read_all(read).await?;
        page.events.retain(|event| !self.hidden.lock().unwrap().contains(&event.position));
        Ok(page)
    }
}

/// Never shows the feed some of what was written while others wrote.
#[derive(Default)]
pub(crate) struct LosesWhatIsWrittenMeanwhile(HidesWhatIsWrittenMeanwhile, Mutex<HashSet<Position>>);
#[async_trait]
impl Fault for LosesWhatIsWrittenMeanwhile {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let outcome = self.0.append(store, append).await;
        self.1.lock().unwrap().extend(self.0.hidden.lock().unwrap().iter());
        outcome
    }

    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let mut page = store.read_all(read).await?;
        page.events.retain(|event| !self.1.lock().unwrap().contains(&event.position));
        Ok(page)
    }
}
