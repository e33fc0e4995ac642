//! Faults of queries and conditions.

use std::time::Duration;

use async_trait::async_trait;
use factum_core::retention::Retention as _;
use factum_core::store::{Append, Appended, Condition, Matches, ReadMatching, Uncommitted};
use factum_core::transfer::{Import, Record, Transfer, TransferError};
use factum_core::{
    AppendError, Checkpoint, EventQuery, EventStore, Expected, Metadata, Overtaken, Position, QueryItem,
    RecordedEvent, StoreError, StreamId, Tag, Transactional, Version,
};
use factum_memory::{MemoryStore, MemoryTx};

use crate::store::{Fault, all, join, known, parts};

/// The append with another condition, or none.
fn on(append: Append, change: impl FnOnce(Condition) -> Option<Condition>) -> Append {
    let condition = append.condition().cloned();
    let append = join(parts(append)).unwrap();
    match condition.and_then(change) {
        Some(condition) => append.only_if(condition),
        None => append,
    }
}

/// The query with each of its items changed.
fn each_item(query: &EventQuery, change: impl Fn(QueryItem) -> QueryItem) -> EventQuery {
    query.items().iter().cloned().map(change).fold(EventQuery::none(), EventQuery::or)
}

/// Makes a store that asks another query than it was asked.
macro_rules! asks {
    ($($(#[$doc:meta])* $fault:ident: $change:expr;)+) => {
        $($(#[$doc])*
        #[derive(Default)]
        pub(crate) struct $fault;
        #[async_trait]
        impl Fault for $fault {
            async fn read_matching(
                &self,
                store: &MemoryStore,
                read: ReadMatching,
            ) -> Result<Matches, StoreError> {
                let change: fn(&EventQuery) -> EventQuery = $change;
                store.read_matching(ReadMatching { query: change(&read.query), ..read }).await
            }

            async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
                let change: fn(&EventQuery) -> EventQuery = $change;
                let other = |condition: Condition| Condition { query: change(&condition.query), ..condition };
                store.append(on(append, |condition| Some(other(condition)))).await
            }
        })+
    };
}

asks! {
    /// Asks for one of the tags only.
    AsksForOneTag: |query| each_item(query, |mut item| { item.tags.truncate(1); item });
    /// Asks for the tags and forgets the names.
    ForgetsNames: |query| each_item(query, |item| QueryItem {
        names: if item.tags.is_empty() { item.names } else { Vec::new() },
        ..item
    });
    /// Asks for its first item only.
    AsksForOneItem: |query| query.items().first().cloned().map_or_else(EventQuery::none, EventQuery::of);
    /// Asks for events of any of the items' names.
    TakesTagsForNoCondition: |query| each_item(query, |item| QueryItem { tags: Vec::new(), ..item });
    /// Asks what everybody has.
    ForgetsTheTenant: |query| each_item(query, |item| item);
    /// Takes the backslash for the beginning of something else.
    UnescapesTags: |query| each_item(query, |mut item| {
        for tag in &mut item.tags {
            *tag = Tag::new(format!("{}.", tag.as_str().replace('\\', ""))).map_or(tag.clone(), |other| {
                Tag::new(other.as_str().trim_end_matches('.')).unwrap_or(tag.clone())
            });
        }
        item
    });
}

/// Shows no more than a page of what matches, ever.
#[derive(Default)]
pub(crate) struct EndsAfterAPage;
#[async_trait]
impl Fault for EndsAfterAPage {
    async fn read_matching(&self, store: &MemoryStore, read: ReadMatching) -> Result<Matches, StoreError> {
        Ok(Matches { end: true, ..store.read_matching(read).await? })
    }
}

/// Finds what was recorded a little ago.
#[derive(Default)]
pub(crate) struct FindsLate;
#[async_trait]
impl Fault for FindsLate {
    async fn read_matching(&self, store: &MemoryStore, read: ReadMatching) -> Result<Matches, StoreError> {
        let mut found = store.read_matching(read).await?;
        let last = all(store).await.last().map(|event| event.position);
        found.events.retain(|event| Some(event.position) != last);
        Ok(found)
    }
}

/// Trusts a position that somebody who writes now is going to get.
#[derive(Default)]
pub(crate) struct SettlesWhatIsOpen;
#[async_trait]
impl Fault for SettlesWhatIsOpen {
    async fn read_matching(&self, store: &MemoryStore, read: ReadMatching) -> Result<Matches, StoreError> {
        let found = store.read_matching(read).await?;
        Ok(Matches { settled: Checkpoint::from(Position(found.settled.position.0 + 2)), ..found })
    }
}

/// Does not say which event is the last that is settled.
#[derive(Default)]
pub(crate) struct NamesNothing;
#[async_trait]
impl Fault for NamesNothing {
    async fn read_matching(&self, store: &MemoryStore, read: ReadMatching) -> Result<Matches, StoreError> {
        let found = store.read_matching(read).await?;
        Ok(Matches { settled: found.settled.position.into(), ..found })
    }
}

/// Keeps an index of what was deleted.
#[derive(Default)]
pub(crate) struct FindsWhatIsDeleted(std::sync::Mutex<Vec<RecordedEvent>>);
#[async_trait]
impl Fault for FindsWhatIsDeleted {
    async fn delete_stream(
        &self,
        store: &MemoryStore,
        stream: &StreamId,
        expected: Expected,
    ) -> Result<Appended, AppendError> {
        let of_stream = all(store).await.into_iter().filter(|event| event.stream == *stream);
        self.0.lock().unwrap().extend(of_stream);
        store.delete_stream(stream, expected).await
    }

    async fn read_matching(&self, store: &MemoryStore, read: ReadMatching) -> Result<Matches, StoreError> {
        let mut found = store.read_matching(read.clone()).await?;
        let deleted = self.0.lock().unwrap().clone();
        found.events.extend(deleted.into_iter().filter(|event| {
            event.position > read.after && read.query.matches(&event.name, &event.metadata.tags)
        }));
        found.events.sort_by_key(|event| event.position);
        Ok(found)
    }

    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let deleted = self.0.lock().unwrap().clone();
        let broken = append.condition().and_then(|condition| {
            let by = deleted.into_iter().find(|event| condition.is_broken_by(event))?;
            Some(Overtaken { name: by.name, position: by.position })
        });
        match broken {
            Some(overtaken) => Err(overtaken.into()),
            None => store.append(append).await,
        }
    }
}

/// Leaves what was archived out of queries and conditions.
#[derive(Default)]
pub(crate) struct ForgetsWhatIsArchived(std::sync::Mutex<Vec<Position>>);
#[async_trait]
impl Fault for ForgetsWhatIsArchived {
    async fn archive_stream(
        &self,
        store: &MemoryStore,
        stream: &StreamId,
        expected: Expected,
    ) -> Result<Appended, AppendError> {
        let of_stream = all(store).await.into_iter().filter(|event| event.stream == *stream);
        self.0.lock().unwrap().extend(of_stream.map(|event| event.position));
        store.archive_stream(stream, expected).await
    }

    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let archived = self.0.lock().unwrap().clone();
        store
            .append(on(append, |mut condition| {
                condition.seen.extend(archived);
                Some(condition)
            }))
            .await
    }
}

/// Imports events without what they are about.
#[derive(Default)]
pub(crate) struct ImportsWithoutTags;
#[async_trait]
impl Fault for ImportsWithoutTags {
    async fn begin_import(&self, store: &MemoryStore) -> Result<Box<dyn Import>, TransferError> {
        Ok(Box::new(Untagging(store.begin_import().await?)))
    }
}

struct Untagging(Box<dyn Import>);

#[async_trait]
impl Import for Untagging {
    async fn write(&mut self, mut records: Vec<Record>) -> Result<(), TransferError> {
        for record in &mut records {
            if let Record::Live(event) | Record::Archived(event) = record {
                event.metadata = Metadata { tags: [].into(), ..event.metadata.clone() };
            }
        }
        self.0.write(records).await
    }

    async fn finish(self: Box<Self>) -> Result<(), TransferError> {
        self.0.finish().await
    }
}

/// Records at once what is appended in a transaction.
#[derive(Default)]
pub(crate) struct AppendsInNoTransaction;
#[async_trait]
impl Fault for AppendsInNoTransaction {
    async fn append_in(
        &self,
        store: &MemoryStore,
        _: &mut MemoryTx,
        append: Append,
    ) -> Result<Uncommitted, AppendError> {
        store.append(append).await.map(Uncommitted::new)
    }
}

/// Takes every condition as met.
#[derive(Default)]
pub(crate) struct ForgetsConditions;
#[async_trait]
impl Fault for ForgetsConditions {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        store.append(on(append, |_| None)).await
    }

    async fn append_in(
        &self,
        store: &MemoryStore,
        tx: &mut MemoryTx,
        append: Append,
    ) -> Result<Uncommitted, AppendError> {
        store.append_in(tx, on(append, |_| None)).await
    }
}

/// What breaks the condition of an append, if it is looked at now.
async fn breach(store: &MemoryStore, append: &Append) -> Option<Overtaken> {
    let condition = append.condition()?;
    let by = all(store).await.into_iter().find(|event| condition.is_broken_by(event))?;
    Some(Overtaken { name: by.name, position: by.position })
}

/// Looks whether the condition holds, and then writes.
#[derive(Default)]
pub(crate) struct LooksThenWrites;
#[async_trait]
impl Fault for LooksThenWrites {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        if let Some(overtaken) = breach(store, &append).await {
            return Err(overtaken.into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        store.append(on(append, |_| None)).await
    }

    async fn append_in(
        &self,
        store: &MemoryStore,
        tx: &mut MemoryTx,
        append: Append,
    ) -> Result<Uncommitted, AppendError> {
        if let Some(overtaken) = breach(store, &append).await {
            return Err(overtaken.into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        store.append_in(tx, on(append, |_| None)).await
    }
}

/// Looks at the first tags of what is written, and no further.
#[derive(Default)]
pub(crate) struct IndexesFewTags;
#[async_trait]
impl Fault for IndexesFewTags {
    fn given(&self, append: Append) -> Append {
        let condition = append.condition().cloned();
        let mut parts = parts(append);
        for event in parts.iter_mut().flat_map(|(.., events)| events) {
            event.metadata.tags = event.metadata.tags.iter().take(100).cloned().collect();
        }
        let append = join(parts).unwrap();
        match condition {
            Some(condition) => append.only_if(condition),
            None => append,
        }
    }
}

/// Looks at the condition before it looks whether it has the append already.
#[derive(Default)]
pub(crate) struct LooksBeforeItRemembers;
#[async_trait]
impl Fault for LooksBeforeItRemembers {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        match breach(store, &append).await {
            Some(overtaken) if !known(store, &append).await.is_empty() => Err(overtaken.into()),
            _ => store.append(append).await,
        }
    }
}

/// Looks at the condition instead of the streams.
#[derive(Default)]
pub(crate) struct ExpectsNothingOnACondition;
#[async_trait]
impl Fault for ExpectsNothingOnACondition {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let Some(condition) = append.condition().cloned() else { return store.append(append).await };
        let mut parts = parts(append);
        for (_, expected, _) in &mut parts {
            *expected = Expected::Any;
        }
        store.append(join(parts).unwrap().only_if(condition)).await
    }
}

/// Takes whatever came in between for a breach.
#[derive(Default)]
pub(crate) struct IsOvertakenByAnything;
#[async_trait]
impl Fault for IsOvertakenByAnything {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        store.append(on(append, |condition| Some(Condition { query: EventQuery::all(), ..condition }))).await
    }
}

/// Writes what a condition forbids, and then says that it is forbidden.
#[derive(Default)]
pub(crate) struct WritesWhatIsOvertaken;
#[async_trait]
impl Fault for WritesWhatIsOvertaken {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let overtaken = breach(store, &append).await;
        let appended = store.append(on(append, |_| None)).await?;
        overtaken.map_or(Ok(appended), |overtaken| Err(overtaken.into()))
    }
}

/// Looks only at what comes after the last event that the decision has seen.
#[derive(Default)]
pub(crate) struct LooksAboveTheLast;
#[async_trait]
impl Fault for LooksAboveTheLast {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let last = all(store).await.iter().rev().nth(1).map_or(Position::START, |event| event.position);
        store
            .append(on(append, |condition| {
                Some(Condition {
                    after: condition.after.position.max(last).into(),
                    seen: Vec::new(),
                    ..condition
                })
            }))
            .await
    }
}

/// Does not know its own log from another.
#[derive(Default)]
pub(crate) struct TakesAnyLog;
#[async_trait]
impl Fault for TakesAnyLog {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        store
            .append(on(append, |condition| {
                Some(Condition { after: condition.after.position.into(), ..condition })
            }))
            .await
    }
}

/// Cuts a long query off.
#[derive(Default)]
pub(crate) struct CutsQueriesOff;
#[async_trait]
impl Fault for CutsQueriesOff {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let cut = |condition: Condition| {
            let first = condition.query.items().iter().take(100).cloned();
            Condition { query: first.fold(EventQuery::none(), EventQuery::or), ..condition }
        };
        store.append(on(append, |condition| Some(cut(condition)))).await
    }
}

/// Loses the last event of an append that has a condition.
#[derive(Default)]
pub(crate) struct HalfWritesOnACondition;
#[async_trait]
impl Fault for HalfWritesOnACondition {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let Some(condition) = append.condition().cloned() else { return store.append(append).await };
        let mut parts = parts(append);
        if let Some((.., events)) = parts.first_mut().filter(|(.., events)| events.len() > 1) {
            events.pop();
        }
        store.append(join(parts).unwrap().only_if(condition)).await
    }
}

/// Truncates a stream and still finds what was in it.
#[derive(Default)]
pub(crate) struct FindsWhatIsTruncated(std::sync::Mutex<Vec<RecordedEvent>>);
#[async_trait]
impl Fault for FindsWhatIsTruncated {
    async fn truncate_stream(
        &self,
        store: &MemoryStore,
        stream: &StreamId,
        before: Version,
    ) -> Result<(), AppendError> {
        let gone = all(store).await.into_iter();
        let gone = gone.filter(|event| event.stream == *stream && event.version < before);
        self.0.lock().unwrap().extend(gone);
        store.truncate_stream(stream, before).await
    }

    async fn read_matching(&self, store: &MemoryStore, read: ReadMatching) -> Result<Matches, StoreError> {
        let mut found = store.read_matching(read.clone()).await?;
        let gone = self.0.lock().unwrap().clone();
        found.events.extend(gone.into_iter().filter(|event| {
            event.position > read.after && read.query.matches(&event.name, &event.metadata.tags)
        }));
        found.events.sort_by_key(|event| event.position);
        Ok(found)
    }
}
