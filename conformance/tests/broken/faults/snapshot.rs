//! Faults of snapshots: states that are believed where they should not be, and events that are applied twice or never.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use factum_core::snapshot::{Found, PageFrom, ReadFrom, Snapshot, Start};
use factum_core::store::{Append, ReadStream};
use factum_core::{EventStore, Expected, Snapshots, StoreError, StreamId, Version};
use factum_memory::{MemoryStore, MemoryTx};

use crate::store::Fault;

/// The page of a stream after a version.
async fn page_after(
    store: &MemoryStore,
    read: &ReadFrom,
    after: Version,
    found: Found,
) -> Result<PageFrom, StoreError> {
    let read = read.clone().from_the_beginning().after(after);
    Ok(PageFrom { found, page: store.read_stream(read).await? })
}

/// Gives the last event of the state once more.
#[derive(Default)]
pub(crate) struct RepeatsTheLastOfTheState;
#[async_trait]
impl Fault for RepeatsTheLastOfTheState {
    async fn read_from(&self, store: &MemoryStore, read: ReadFrom) -> Result<PageFrom, StoreError> {
        let found = store.read_from(read.clone()).await?.found;
        let after = found.version(&read.start).0.saturating_sub(1);
        page_after(store, &read, Version(after), found).await
    }
}

/// Passes over the first event after the state.
#[derive(Default)]
pub(crate) struct SkipsTheFirstAfterTheState;
#[async_trait]
impl Fault for SkipsTheFirstAfterTheState {
    async fn read_from(&self, store: &MemoryStore, read: ReadFrom) -> Result<PageFrom, StoreError> {
        let found = store.read_from(read.clone()).await?.found;
        let after = found.version(&read.start).0;
        page_after(store, &read, Version(if after > 0 { after + 1 } else { 0 }), found).await
    }
}

/// Says that a page after a snapshot is the end.
#[derive(Default)]
pub(crate) struct EndsAfterOnePage;
#[async_trait]
impl Fault for EndsAfterOnePage {
    async fn read_from(&self, store: &MemoryStore, read: ReadFrom) -> Result<PageFrom, StoreError> {
        let mut answer = store.read_from(read).await?;
        answer.page.end = true;
        Ok(answer)
    }
}

/// Gives a snapshot of another shape where there is none of the one that is asked for.
#[derive(Default)]
pub(crate) struct MixesShapes;
#[async_trait]
impl Fault for MixesShapes {
    async fn read_from(&self, store: &MemoryStore, read: ReadFrom) -> Result<PageFrom, StoreError> {
        let answer = store.read_from(read.clone()).await?;
        let (Found::Nothing, Start::Snapshot { shape, up_to }) = (&answer.found, read.start) else {
            return Ok(answer);
        };
        for other in (1..4).filter(|other| *other != shape) {
            let start = Start::Snapshot { shape: other, up_to };
            let answer = store.read_from(ReadFrom { start, ..read.clone() }).await?;
            if answer.found != Found::Nothing {
                return Ok(answer);
            }
        }
        Ok(answer)
    }
}

/// Believes whoever says that he has a state.
#[derive(Default)]
pub(crate) struct BelievesTheCaller;
#[async_trait]
impl Fault for BelievesTheCaller {
    async fn read_from(&self, store: &MemoryStore, read: ReadFrom) -> Result<PageFrom, StoreError> {
        match read.start {
            Start::Footing(footing) => page_after(store, &read, footing.version, Found::Footing).await,
            Start::Snapshot { .. } => store.read_from(read).await,
        }
    }
}

/// Gives the last snapshot to whoever wants an earlier state.
#[derive(Default)]
pub(crate) struct GivesLaterStates;
#[async_trait]
impl Fault for GivesLaterStates {
    async fn read_from(&self, store: &MemoryStore, read: ReadFrom) -> Result<PageFrom, StoreError> {
        let start = match read.start {
            Start::Snapshot { shape, .. } => Start::Snapshot { shape, up_to: Version::END },
            start @ Start::Footing(_) => start,
        };
        store.read_from(ReadFrom { start, ..read }).await
    }
}

/// Begins after the state, whoever looks for an event in it.
#[derive(Default)]
pub(crate) struct HidesEventsInStates;
#[async_trait]
impl Fault for HidesEventsInStates {
    async fn read_from(&self, store: &MemoryStore, read: ReadFrom) -> Result<PageFrom, StoreError> {
        store.read_from(read.unless(None)).await
    }
}

/// Keeps whatever comes, and gives it whatever the log has.
#[derive(Default)]
pub(crate) struct NeverLooksAtTheLog(Mutex<HashMap<(StreamId, u32), Snapshot>>);
#[async_trait]
impl Fault for NeverLooksAtTheLog {
    async fn read_from(&self, store: &MemoryStore, read: ReadFrom) -> Result<PageFrom, StoreError> {
        let Start::Snapshot { shape, .. } = read.start else { return store.read_from(read).await };
        let kept = self.0.lock().unwrap().get(&(read.stream.clone(), shape)).cloned();
        let Some(kept) = kept else { return store.read_from(read).await };
        page_after(store, &read, kept.footing.version, Found::Snapshot(kept)).await
    }

    async fn save_snapshot(&self, _: &MemoryStore, snapshot: Snapshot) -> Result<bool, StoreError> {
        self.0.lock().unwrap().insert((snapshot.stream.clone(), snapshot.shape), snapshot);
        Ok(true)
    }
}

/// Keeps the one that came last.
#[derive(Default)]
pub(crate) struct KeepsTheLatecomer;
#[async_trait]
impl Fault for KeepsTheLatecomer {
    async fn save_snapshot(&self, store: &MemoryStore, snapshot: Snapshot) -> Result<bool, StoreError> {
        store.delete_snapshots(&snapshot.stream).await?;
        store.save_snapshot(snapshot).await
    }
}

/// Looks whether there is a newer one, and keeps it a moment later.
#[derive(Default)]
pub(crate) struct LooksThenKeeps;
#[async_trait]
impl Fault for LooksThenKeeps {
    async fn save_snapshot(&self, store: &MemoryStore, snapshot: Snapshot) -> Result<bool, StoreError> {
        let start = Start::Snapshot { shape: snapshot.shape, up_to: Version::END };
        let found = store.read_from(ReadFrom::new(snapshot.stream.clone(), start)).await?.found;
        if found.version(&start) >= snapshot.footing.version {
            return Ok(false);
        }
        // The older, the longer it takes.
        for _ in 0..1000 / snapshot.footing.version.0 {
            tokio::task::yield_now().await;
        }
        store.delete_snapshots(&snapshot.stream).await?;
        store.save_snapshot(snapshot).await
    }
}

/// Keeps those of every shape there ever was.
#[derive(Default)]
pub(crate) struct KeepsEveryShape(Mutex<HashMap<(StreamId, u32), Snapshot>>);
#[async_trait]
impl Fault for KeepsEveryShape {
    async fn read_from(&self, store: &MemoryStore, read: ReadFrom) -> Result<PageFrom, StoreError> {
        let answer = store.read_from(read.clone()).await?;
        let Start::Snapshot { shape, .. } = read.start else { return Ok(answer) };
        let kept = self.0.lock().unwrap().get(&(read.stream.clone(), shape)).cloned();
        match (&answer.found, kept) {
            (Found::Nothing, Some(kept)) => {
                page_after(store, &read, kept.footing.version, Found::Snapshot(kept)).await
            }
            _ => Ok(answer),
        }
    }

    async fn save_snapshot(&self, store: &MemoryStore, snapshot: Snapshot) -> Result<bool, StoreError> {
        self.0.lock().unwrap().insert((snapshot.stream.clone(), snapshot.shape), snapshot.clone());
        store.save_snapshot(snapshot).await
    }
}

/// Forgets nothing.
#[derive(Default)]
pub(crate) struct ForgetsNoSnapshot;
#[async_trait]
impl Fault for ForgetsNoSnapshot {
    async fn delete_snapshots(&self, _: &MemoryStore, _: &StreamId) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Reads beside the transaction.
#[derive(Default)]
pub(crate) struct ReadsBesideTheTransaction;
#[async_trait]
impl Fault for ReadsBesideTheTransaction {
    async fn read_from_in(
        &self,
        store: &MemoryStore,
        _: &mut MemoryTx,
        read: ReadFrom,
    ) -> Result<PageFrom, StoreError> {
        store.read_from(read).await
    }
}

/// Keeps snapshots as events of a stream of their own.
#[derive(Default)]
pub(crate) struct RecordsSnapshots;
#[async_trait]
impl Fault for RecordsSnapshots {
    async fn save_snapshot(&self, store: &MemoryStore, snapshot: Snapshot) -> Result<bool, StoreError> {
        let events = store.read_stream(ReadStream::new(snapshot.stream.clone()).limit(1)).await?.events;
        let event = factum_core::NewEvent {
            id: factum_core::EventId::new(),
            name: events[0].name.clone(),
            schema_version: 1,
            codec: snapshot.codec.clone(),
            payload: snapshot.state.clone(),
            metadata: factum_core::Metadata::default(),
        };
        let beside = StreamId::new("snapshot", snapshot.stream.id()).unwrap();
        store.append(Append::to(beside, Expected::Any, vec![event])).await.unwrap();
        store.save_snapshot(snapshot).await
    }
}
