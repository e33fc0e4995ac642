//! All that a store does, for one tenant.

use async_trait::async_trait;

use super::names::unknown;
use super::{Tenant, TenantId};
use crate::checkpoint::{Advance, Checkpoint, Checkpoints, Transactional};
use crate::dead_letter::{DeadLetter, DeadLetters, Parked, ReadDeadLetters};
use crate::envelope::RecordedEvent;
use crate::error::{AppendError, Invalid, StoreError};
use crate::lease::{Heartbeat, Leases, NodeId, Share};
use crate::metadata::EventId;
use crate::partition::Partition;
use crate::retention::Retention;
use crate::snapshot::{Found, PageFrom, ReadFrom, Snapshot, Snapshots, Turns};
use crate::store::{
    Append, Appended, CategoryPage, EventStore, Matches, Page, ReadAll, ReadCategory, ReadMatching,
    ReadStream, StreamPage, Uncommitted,
};
use crate::stream::{Expected, Position, StreamId, Version};
use crate::timer::{DueTimers, Timer, Timers};

impl<S> Tenant<S> {
    fn outer_append(&self, append: Append) -> Result<Append, AppendError> {
        self.id.outer_append(append).map_err(|error| Invalid::Name(error).into())
    }

    fn outer_stream(&self, stream: &StreamId) -> Result<StreamId, AppendError> {
        self.id.stream(stream).map_err(|error| Invalid::Name(error).into())
    }

    fn outer_read(&self, mut read: ReadStream) -> Result<ReadStream, StoreError> {
        read.stream = self.id.stream(&read.stream).map_err(unknown)?;
        Ok(read)
    }

    fn outer_read_from(&self, mut read: ReadFrom) -> Result<ReadFrom, StoreError> {
        read.stream = self.id.stream(&read.stream).map_err(unknown)?;
        Ok(read)
    }

    fn outer_step(&self, step: Advance) -> Result<Advance, StoreError> {
        self.id.outer_step(step).map_err(unknown)
    }

    fn inner_stream_page(&self, mut page: StreamPage) -> Result<StreamPage, StoreError> {
        self.id.inner_events(&mut page.events)?;
        Ok(page)
    }

    fn inner_page_from(&self, mut answer: PageFrom) -> Result<PageFrom, StoreError> {
        self.id.inner_events(&mut answer.page.events)?;
        if let Found::Snapshot(snapshot) = &mut answer.found {
            snapshot.stream = self.id.inner_stream(&snapshot.stream)?;
        }
        Ok(answer)
    }

    fn inner_answer<T>(&self, answer: Result<T, AppendError>) -> Result<T, AppendError> {
        answer.map_err(|error| self.id.inner_error(error))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: EventStore> EventStore for Tenant<S> {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.inner_answer(self.store.append(self.outer_append(append)?).await)
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        self.inner_stream_page(self.store.read_stream(self.outer_read(read)?).await?)
    }

    async fn read_all(&self, read: ReadAll) -> Result<Page, StoreError> {
        let filter = self.id.outer_filter(read.filter).map_err(unknown)?;
        let mut page = self.store.read_all(ReadAll { filter, ..read }).await?;
        self.id.inner_events(&mut page.events)?;
        Ok(page)
    }

    async fn read_matching(&self, read: ReadMatching) -> Result<Matches, StoreError> {
        let query = self.id.outer_query(&read.query).map_err(unknown)?;
        let mut page = self.store.read_matching(ReadMatching { query, ..read }).await?;
        self.id.inner_events(&mut page.events)?;
        Ok(page)
    }

    async fn find_event(&self, id: EventId) -> Result<Option<RecordedEvent>, StoreError> {
        let found = self.store.find_event(id).await?;
        let mut own = found.filter(|event| self.id.has(&event.stream));
        self.id.inner_events(own.as_mut_slice())?;
        Ok(own)
    }

    async fn read_category(&self, read: ReadCategory) -> Result<CategoryPage, StoreError> {
        let category = self.id.outer(&read.category);
        let mut page = self.store.read_category(ReadCategory { category, ..read }).await?;
        for (stream, _) in &mut page.streams {
            *stream = self.id.inner_stream(stream)?;
        }
        Ok(page)
    }

    async fn head(&self) -> Result<Position, StoreError> {
        self.store.head().await
    }

    async fn wait(&self, after: Position) -> Result<(), StoreError> {
        self.store.wait(after).await
    }

    fn snapshots(&self) -> Option<&dyn Snapshots> {
        self.store.snapshots().map(|_| self as &dyn Snapshots)
    }

    fn tenant(&self) -> Option<&TenantId> {
        Some(&self.path)
    }
}

impl<S: EventStore> Tenant<S> {
    fn outer_snapshots(&self) -> &dyn Snapshots {
        self.store.snapshots().expect("who keeps none gives nobody snapshots to ask for")
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: EventStore> Snapshots for Tenant<S> {
    async fn read_from(&self, read: ReadFrom) -> Result<PageFrom, StoreError> {
        self.inner_page_from(self.outer_snapshots().read_from(self.outer_read_from(read)?).await?)
    }

    async fn save_snapshot(&self, snapshot: Snapshot) -> Result<bool, StoreError> {
        let stream = self.id.stream(&snapshot.stream).map_err(unknown)?;
        self.outer_snapshots().save_snapshot(Snapshot { stream, ..snapshot }).await
    }

    async fn delete_snapshots(&self, stream: &StreamId) -> Result<(), StoreError> {
        let stream = self.id.stream(stream).map_err(unknown)?;
        self.outer_snapshots().delete_snapshots(&stream).await
    }

    /// Those of all tenants, who share the store's connections. Two that call a stream alike take turns.
    fn turns(&self) -> &Turns {
        self.outer_snapshots().turns()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Retention> Retention for Tenant<S> {
    async fn delete_stream(&self, stream: &StreamId, expected: Expected) -> Result<Appended, AppendError> {
        let stream = self.outer_stream(stream)?;
        self.inner_answer(self.store.delete_stream(&stream, expected).await)
    }

    async fn archive_stream(&self, stream: &StreamId, expected: Expected) -> Result<Appended, AppendError> {
        let stream = self.outer_stream(stream)?;
        self.inner_answer(self.store.archive_stream(&stream, expected).await)
    }

    async fn restore_stream(&self, stream: &StreamId) -> Result<Appended, AppendError> {
        let stream = self.outer_stream(stream)?;
        self.inner_answer(self.store.restore_stream(&stream).await)
    }

    async fn truncate_stream(&self, stream: &StreamId, before: Version) -> Result<(), AppendError> {
        let stream = self.outer_stream(stream)?;
        self.inner_answer(self.store.truncate_stream(&stream, before).await)
    }

    async fn read_archived(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        self.inner_stream_page(self.store.read_archived(self.outer_read(read)?).await?)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Checkpoints> Checkpoints for Tenant<S> {
    async fn checkpoint_of(&self, partition: &Partition) -> Result<Checkpoint, StoreError> {
        self.store.checkpoint_of(&self.id.outer_partition(partition)).await
    }

    async fn advance(&self, step: Advance) -> Result<(), StoreError> {
        self.store.advance(self.outer_step(step)?).await
    }

    async fn checkpoint(&self, subscription: &str) -> Result<Checkpoint, StoreError> {
        self.store.checkpoint(&self.id.outer(subscription)).await
    }

    async fn move_checkpoint(
        &self,
        subscription: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        self.store.move_checkpoint(&self.id.outer(subscription), from, to).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: DeadLetters> DeadLetters for Tenant<S> {
    async fn dead_letters(&self, read: ReadDeadLetters) -> Result<Vec<DeadLetter>, StoreError> {
        let subscription = self.id.outer(&read.subscription);
        let stream =
            read.stream.as_ref().map(|stream| self.id.stream(stream)).transpose().map_err(unknown)?;
        let letters = self.store.dead_letters(ReadDeadLetters { subscription, stream, ..read }).await?;
        letters.into_iter().map(|letter| self.id.inner_letter(letter)).collect()
    }

    async fn parked(&self, subscription: &str, due_max: usize) -> Result<Parked, StoreError> {
        let Parked { streams, due, count } = self.store.parked(&self.id.outer(subscription), due_max).await?;
        Ok(Parked {
            streams: streams.iter().map(|stream| self.id.inner_stream(stream)).collect::<Result<_, _>>()?,
            due: due.into_iter().map(|letter| self.id.inner_letter(letter)).collect::<Result<_, _>>()?,
            count,
        })
    }

    async fn retry_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError> {
        self.store.retry_dead_letter(&self.id.outer(subscription), position).await
    }

    async fn drop_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError> {
        self.store.drop_dead_letter(&self.id.outer(subscription), position).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Leases> Leases for Tenant<S> {
    async fn beat(&self, heartbeat: Heartbeat) -> Result<Share, StoreError> {
        let subscription = self.id.outer(&heartbeat.subscription);
        let Share { leases, surplus } = self.store.beat(Heartbeat { subscription, ..heartbeat }).await?;
        let leases = leases.into_iter().map(|lease| self.id.inner_lease(lease));
        Ok(Share { leases: leases.collect::<Result<_, _>>()?, surplus })
    }

    async fn leave(&self, subscription: &str, node: NodeId) -> Result<(), StoreError> {
        self.store.leave(&self.id.outer(subscription), node).await
    }
}

#[deny(clippy::missing_trait_methods)]
impl<S: Transactional> Transactional for Tenant<S> {
    type Tx = S::Tx;

    async fn begin(&self) -> Result<Self::Tx, StoreError> {
        self.store.begin().await
    }

    async fn append_in(&self, tx: &mut Self::Tx, append: Append) -> Result<Uncommitted, AppendError> {
        self.inner_answer(self.store.append_in(tx, self.outer_append(append)?).await)
    }

    async fn read_stream_in(&self, tx: &mut Self::Tx, read: ReadStream) -> Result<StreamPage, StoreError> {
        self.inner_stream_page(self.store.read_stream_in(tx, self.outer_read(read)?).await?)
    }

    async fn read_from_in(&self, tx: &mut Self::Tx, read: ReadFrom) -> Result<PageFrom, StoreError> {
        self.inner_page_from(self.store.read_from_in(tx, self.outer_read_from(read)?).await?)
    }

    async fn commit(&self, tx: Self::Tx) -> Result<(), StoreError> {
        self.store.commit(tx).await
    }

    async fn rollback(&self, tx: Self::Tx) -> Result<(), StoreError> {
        self.store.rollback(tx).await
    }

    async fn hold_checkpoint(
        &self,
        tx: &mut Self::Tx,
        partition: &Partition,
    ) -> Result<Checkpoint, StoreError> {
        self.store.hold_checkpoint(tx, &self.id.outer_partition(partition)).await
    }

    async fn advance_in(&self, tx: &mut Self::Tx, step: Advance) -> Result<(), StoreError> {
        self.store.advance_in(tx, self.outer_step(step)?).await
    }

    async fn commit_with(&self, tx: Self::Tx, step: Advance) -> Result<(), StoreError> {
        self.store.commit_with(tx, self.outer_step(step)?).await
    }

    async fn commit_with_checkpoint(
        &self,
        tx: Self::Tx,
        subscription: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        self.store.commit_with_checkpoint(tx, &self.id.outer(subscription), from, to).await
    }
}

#[deny(clippy::missing_trait_methods)]
impl<S: Timers> Timers for Tenant<S> {
    async fn set_timer(&self, tx: &mut Self::Tx, timer: Timer) -> Result<(), StoreError> {
        self.store.set_timer(tx, self.id.outer_timer(timer)).await
    }

    async fn take_timer(&self, tx: &mut Self::Tx, timer: &Timer) -> Result<bool, StoreError> {
        self.store.take_timer(tx, &self.id.outer_timer(timer.clone())).await
    }

    async fn due_timers(&self, process: &str, limit: usize) -> Result<DueTimers, StoreError> {
        let DueTimers { timers, next } = self.store.due_timers(&self.id.outer(process), limit).await?;
        let timers = timers.into_iter().map(|timer| self.id.inner_timer(timer));
        Ok(DueTimers { timers: timers.collect::<Result<_, _>>()?, next })
    }
}
