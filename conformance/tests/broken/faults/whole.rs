//! Faults of other ways to read, of appends in a transaction, and of what is done to streams as a whole.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::SubsecRound as _;
use factum_core::retention::{Closing, Retention, TRUNCATED};
use factum_core::store::{
    Append, Appended, CategoryPage, Cursor, Page, ReadAll, ReadCategory, ReadStream, StreamPage, Uncommitted,
};
use factum_core::transfer::{Import, Record, Transfer, TransferError};
use factum_core::{
    AppendError, EventId, EventName, EventStore, Expected, Invalid, Position, RecordedEvent, StoreError,
    StreamId, Transactional, Version,
};
use factum_core::{NewEvent, StreamClosed};
use factum_memory::{MemoryStore, MemoryTx};
use futures_util::FutureExt as _;

use crate::store::{Fault, all};

/// Reads forward whatever is asked.
#[derive(Default)]
pub(crate) struct ReadsForwardOnly;
#[async_trait]
impl Fault for ReadsForwardOnly {
    async fn read_stream(&self, store: &MemoryStore, read: ReadStream) -> Result<StreamPage, StoreError> {
        let read = match read.cursor {
            Cursor::After(_) => read,
            Cursor::Before(_) => read.after(Version::NONE),
        };
        store.read_stream(read).await
    }
}

/// Gives the event of the version before which it should read.
#[derive(Default)]
pub(crate) struct IncludesTheVersionBackward;
#[async_trait]
impl Fault for IncludesTheVersionBackward {
    async fn read_stream(&self, store: &MemoryStore, read: ReadStream) -> Result<StreamPage, StoreError> {
        let read = match read.cursor {
            Cursor::After(_) => read,
            Cursor::Before(version) => read.before(Version(version.0.saturating_add(1))),
        };
        store.read_stream(read).await
    }
}

/// Finds the event after the one that was asked for.
#[derive(Default)]
pub(crate) struct FindsTheNext;
#[async_trait]
impl Fault for FindsTheNext {
    async fn find_event(
        &self,
        store: &MemoryStore,
        id: EventId,
    ) -> Result<Option<RecordedEvent>, StoreError> {
        let all = all(store).await;
        let at = all.iter().position(|event| event.id == id);
        Ok(at.and_then(|at| all.get(at + 1).or(all.get(at)).cloned()))
    }
}

/// Takes a category for all that begin with it.
#[derive(Default)]
pub(crate) struct MatchesCategoriesByPrefix;
#[async_trait]
impl Fault for MatchesCategoriesByPrefix {
    async fn read_category(
        &self,
        store: &MemoryStore,
        read: ReadCategory,
    ) -> Result<CategoryPage, StoreError> {
        let mut page = store.read_category(read.clone()).await?;
        for event in all(store).await {
            let stream = event.stream;
            if stream.category().starts_with(&read.category) && stream.category() != read.category {
                page.streams.push((stream, event.version));
            }
        }
        Ok(page)
    }
}

/// Gives as many events as were asked for, however large they are.
#[derive(Default)]
pub(crate) struct CountsNoBytes;
#[async_trait]
impl Fault for CountsNoBytes {
    async fn read_stream(&self, store: &MemoryStore, read: ReadStream) -> Result<StreamPage, StoreError> {
        store.read_stream(read.bytes(usize::MAX)).await
    }

    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        store.read_all(read.bytes(usize::MAX)).await
    }
}

/// Filters by everything but fields.
#[derive(Default)]
pub(crate) struct FiltersNoFields;
#[async_trait]
impl Fault for FiltersNoFields {
    async fn read_all(&self, store: &MemoryStore, mut read: ReadAll) -> Result<Page, StoreError> {
        read.filter.fields.clear();
        store.read_all(read).await
    }
}

/// Appends at once what should wait for the commit.
#[derive(Default)]
pub(crate) struct AppendsAtOnce;
#[async_trait]
impl Fault for AppendsAtOnce {
    async fn append_in(
        &self,
        store: &MemoryStore,
        _: &mut MemoryTx,
        append: Append,
    ) -> Result<Uncommitted, AppendError> {
        store.append(append).await.map(Uncommitted::new)
    }
}

/// Answers for appends in a transaction, and forgets them.
#[derive(Default)]
pub(crate) struct ForgetsAppends;
#[async_trait]
impl Fault for ForgetsAppends {
    async fn append_in(
        &self,
        store: &MemoryStore,
        _: &mut MemoryTx,
        append: Append,
    ) -> Result<Uncommitted, AppendError> {
        let mut other = store.begin().await.unwrap();
        store.append_in(&mut other, append).await
    }
}

/// After a refusal, nothing of the transaction is left.
#[derive(Default)]
pub(crate) struct RollsBackOnRefusal;
#[async_trait]
impl Fault for RollsBackOnRefusal {
    async fn append_in(
        &self,
        store: &MemoryStore,
        tx: &mut MemoryTx,
        append: Append,
    ) -> Result<Uncommitted, AppendError> {
        let outcome = store.append_in(tx, append).await;
        if outcome.is_err() {
            *tx = store.begin().await.unwrap();
        }
        outcome
    }
}

/// Gives the events of a transaction their positions from its end: later appends of the same stream come first.
#[derive(Default)]
pub(crate) struct ShowsTransactionsBackward;
#[async_trait]
impl Fault for ShowsTransactionsBackward {
    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        let mirrored = 1_000_000 - event.position.0;
        RecordedEvent { position: Position(mirrored), ..event }
    }
}

/// Closes a stream, and forgets nothing.
#[derive(Default)]
pub(crate) struct DeletesByArchiving;
#[async_trait]
impl Fault for DeletesByArchiving {
    async fn delete_stream(
        &self,
        store: &MemoryStore,
        stream: &StreamId,
        expected: Expected,
    ) -> Result<Appended, AppendError> {
        store.archive_stream(stream, expected).await
    }
}

/// Forgets what should be kept apart.
#[derive(Default)]
pub(crate) struct ArchivesByDeleting;
#[async_trait]
impl Fault for ArchivesByDeleting {
    async fn archive_stream(
        &self,
        store: &MemoryStore,
        stream: &StreamId,
        expected: Expected,
    ) -> Result<Appended, AppendError> {
        store.delete_stream(stream, expected).await
    }
}

/// Lets anybody append to a closed stream, by opening it.
#[derive(Default)]
pub(crate) struct OpensOnAppend;
#[async_trait]
impl Fault for OpensOnAppend {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        for part in append.streams() {
            let _ = store.restore_stream(&part.stream).await;
        }
        store.append(append).await
    }
}

/// Sets apart whatever is expected.
#[derive(Default)]
pub(crate) struct ClosesWhateverIsExpected;
#[async_trait]
impl Fault for ClosesWhateverIsExpected {
    async fn delete_stream(
        &self,
        store: &MemoryStore,
        stream: &StreamId,
        _: Expected,
    ) -> Result<Appended, AppendError> {
        store.delete_stream(stream, Expected::Any).await
    }
}

/// Says that it has restored a stream, and does not.
#[derive(Default)]
pub(crate) struct RestoresNothing;
#[async_trait]
impl Fault for RestoresNothing {
    async fn restore_stream(&self, store: &MemoryStore, stream: &StreamId) -> Result<Appended, AppendError> {
        let last = store.read_stream(ReadStream::last(stream.clone())).await?;
        match last.events.first() {
            Some(last) => Ok(Appended::from(last)),
            None => store.restore_stream(stream).await,
        }
    }
}

/// Truncates one event more than was asked.
#[derive(Default)]
pub(crate) struct TruncatesOneMore;
#[async_trait]
impl Fault for TruncatesOneMore {
    async fn truncate_stream(
        &self,
        store: &MemoryStore,
        stream: &StreamId,
        before: Version,
    ) -> Result<(), AppendError> {
        store.truncate_stream(stream, Version(before.0 + 1)).await
    }
}

/// Truncates without a word.
#[derive(Default)]
pub(crate) struct TruncatesInSilence;
#[async_trait]
impl Fault for TruncatesInSilence {
    async fn read_stream(&self, store: &MemoryStore, read: ReadStream) -> Result<StreamPage, StoreError> {
        let mut page = store.read_stream(read).await?;
        page.events.retain(|event| event.name.as_str() != TRUNCATED);
        Ok(page)
    }
}

/// The feed has no archived events.
#[derive(Default)]
pub(crate) struct HidesTheArchive;
#[async_trait]
impl Fault for HidesTheArchive {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let mut page = store.read_all(read).await?;
        let mut hidden = Vec::new();
        for event in &page.events {
            let archived = store.read_archived(ReadStream::new(event.stream.clone())).await?;
            hidden.extend(archived.events.iter().map(|event| event.id));
        }
        page.events.retain(|event| !hidden.contains(&event.id));
        Ok(page)
    }
}

/// Deletes a stream as if no append were open, and loses the one that is.
#[derive(Default)]
pub(crate) struct LosesAnOpenAppendToAChange {
    /// Whether an append in a transaction is open, and whether a stream was deleted meanwhile.
    is_open: AtomicBool,
    is_lost: AtomicBool,
}
#[async_trait]
impl Fault for LosesAnOpenAppendToAChange {
    async fn append_in(
        &self,
        store: &MemoryStore,
        tx: &mut MemoryTx,
        append: Append,
    ) -> Result<Uncommitted, AppendError> {
        self.is_open.store(true, Ordering::SeqCst);
        store.append_in(tx, append).await
    }

    async fn delete_stream(
        &self,
        store: &MemoryStore,
        stream: &StreamId,
        expected: Expected,
    ) -> Result<Appended, AppendError> {
        if self.is_open.load(Ordering::SeqCst) {
            self.is_lost.store(true, Ordering::SeqCst);
        }
        store.delete_stream(stream, expected).await
    }

    async fn commit_alone(&self, store: &MemoryStore, tx: MemoryTx) -> Result<(), StoreError> {
        self.is_open.store(false, Ordering::SeqCst);
        if self.is_lost.swap(false, Ordering::SeqCst) {
            store.rollback(tx).await
        } else {
            store.commit(tx).await
        }
    }
}

/// Lets an application write the framework's own events.
#[derive(Default)]
pub(crate) struct TakesReservedNames;
#[async_trait]
impl Fault for TakesReservedNames {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        match store.append(append.clone()).await {
            Err(AppendError::Invalid(Invalid::Reserved { .. })) => {
                let stream = append.streams()[0].stream.clone();
                let new =
                    crate::store::each_event(append, |event| event.name = EventName::new("taken").unwrap());
                store.append(Append::to(stream, Expected::Any, new.into_streams().remove(0).events)).await
            }
            outcome => outcome,
        }
    }
}

/// Refuses appends to closed streams, also those that happened before.
#[derive(Default)]
pub(crate) struct LooksAtTheClosingFirst;
#[async_trait]
impl Fault for LooksAtTheClosingFirst {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        for part in append.streams() {
            let last = store.read_stream(ReadStream::last(part.stream.clone())).await?;
            if let Some(closing) =
                last.events.first().and_then(|event| Closing::of_event(event.name.as_str()))
            {
                return Err(StreamClosed { stream: part.stream.clone(), closing }.into());
            }
        }
        store.append(append).await
    }
}

/// The feed has archived events, but not through a filter.
#[derive(Default)]
pub(crate) struct FiltersTheArchiveOut;
#[async_trait]
impl Fault for FiltersTheArchiveOut {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        if read.filter.is_all() {
            store.read_all(read).await
        } else {
            HidesTheArchive.read_all(store, read).await
        }
    }
}

/// The feed has archived events for those who begin, and not for those who go on.
#[derive(Default)]
pub(crate) struct HidesTheArchiveLater;
#[async_trait]
impl Fault for HidesTheArchiveLater {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        if read.after.position == Position::START {
            store.read_all(read).await
        } else {
            HidesTheArchive.read_all(store, read).await
        }
    }
}

/// Exports what is in use.
#[derive(Default)]
pub(crate) struct ExportsTheLiving;
#[async_trait]
impl Fault for ExportsTheLiving {
    async fn read_records(
        &self,
        store: &MemoryStore,
        after: Position,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let mut records = store.read_records(after, limit, bytes).await?;
        records.retain(|record| matches!(record, Record::Live(_)));
        Ok(records)
    }
}

/// Exports a store as if it were the same all the while.
#[derive(Default)]
pub(crate) struct CountsNoChanges;
#[async_trait]
impl Fault for CountsNoChanges {
    async fn changes(&self, _: &MemoryStore) -> Result<u64, StoreError> {
        Ok(0)
    }
}

/// Exports a store as if what is done to what nobody reads any more were no change.
#[derive(Default)]
pub(crate) struct CountsWhatClosesStreams;
#[async_trait]
impl Fault for CountsWhatClosesStreams {
    async fn changes(&self, store: &MemoryStore) -> Result<u64, StoreError> {
        let closings = |event: &RecordedEvent| Closing::of_event(event.name.as_str()).is_some();
        Ok(all(store).await.iter().filter(|event| closings(event)).count() as u64)
    }
}

/// Imports events as new ones, behind what is there.
#[derive(Default)]
pub(crate) struct ImportsByAppending;
#[async_trait]
impl Fault for ImportsByAppending {
    async fn begin_import(&self, store: &MemoryStore) -> Result<Box<dyn Import>, TransferError> {
        Ok(Box::new(Appends(store.clone())))
    }
}

struct Appends(MemoryStore);
#[async_trait]
impl Import for Appends {
    async fn write(&mut self, records: Vec<Record>) -> Result<(), TransferError> {
        for record in records {
            let (Record::Live(event) | Record::Archived(event)) = record else { continue };
            let new = NewEvent {
                id: event.id,
                name: event.name,
                schema_version: event.schema_version,
                codec: event.codec,
                payload: event.payload,
                metadata: event.metadata,
            };
            let _ = self.0.append(Append::to(event.stream, Expected::Any, vec![new])).await;
        }
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), TransferError> {
        Ok(())
    }
}

/// Keeps what was written of an import that does not come to its end.
#[derive(Default)]
pub(crate) struct KeepsHalfAnImport;
#[async_trait]
impl Fault for KeepsHalfAnImport {
    async fn begin_import(&self, store: &MemoryStore) -> Result<Box<dyn Import>, TransferError> {
        Ok(Box::new(Half(Some(store.begin_import().await?))))
    }
}

struct Half(Option<Box<dyn Import>>);
#[async_trait]
impl Import for Half {
    async fn write(&mut self, records: Vec<Record>) -> Result<(), TransferError> {
        self.0.as_mut().unwrap().write(records).await
    }

    async fn finish(mut self: Box<Self>) -> Result<(), TransferError> {
        self.0.take().unwrap().finish().await
    }
}
impl Drop for Half {
    fn drop(&mut self) {
        if let Some(import) = self.0.take() {
            // The memory store waits for nobody here.
            let _ = import.finish().now_or_never();
        }
    }
}

/// Takes what it is given for a log: makes one of it where it is none.
#[derive(Default)]
pub(crate) struct ImportsWhatIsNoLog;
#[async_trait]
impl Fault for ImportsWhatIsNoLog {
    async fn begin_import(&self, store: &MemoryStore) -> Result<Box<dyn Import>, TransferError> {
        Ok(Box::new(Whatever {
            import: store.begin_import().await?,
            store: store.clone(),
            events: Vec::new(),
        }))
    }
}

struct Whatever {
    import: Box<dyn Import>,
    store: MemoryStore,
    events: Vec<Record>,
}
#[async_trait]
impl Import for Whatever {
    async fn write(&mut self, records: Vec<Record>) -> Result<(), TransferError> {
        self.events.extend(records);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), TransferError> {
        let Self { mut import, store, events } = *self;
        match import.write(events.clone()).await {
            Ok(()) => import.finish().await,
            // What is lawful by itself, at least.
            Err(TransferError::Unordered { at }) => {
                drop(import);
                let rest = events.into_iter().take_while(|record| record.position() < at).collect();
                let mut import = store.begin_import().await?;
                import.write(rest).await?;
                import.finish().await
            }
            Err(error) => Err(error),
        }
    }
}

/// Cuts what is out of range to what fits.
#[derive(Default)]
pub(crate) struct CutsToWhatFits;
#[async_trait]
impl Fault for CutsToWhatFits {
    async fn begin_import(&self, store: &MemoryStore) -> Result<Box<dyn Import>, TransferError> {
        Ok(Box::new(Cut(store.begin_import().await?)))
    }
}

struct Cut(Box<dyn Import>);
#[async_trait]
impl Import for Cut {
    async fn write(&mut self, mut records: Vec<Record>) -> Result<(), TransferError> {
        let most = u64::try_from(i64::MAX).unwrap();
        for record in &mut records {
            let Record::Live(event) = record else { continue };
            event.position.0 = event.position.0.min(most);
            event.version.0 = event.version.0.min(most);
            event.schema_version = event.schema_version.clamp(1, i32::MAX.unsigned_abs());
            event.recorded_at = event.recorded_at.trunc_subsecs(6);
        }
        self.0.write(records).await
    }

    async fn finish(self: Box<Self>) -> Result<(), TransferError> {
        self.0.finish().await
    }
}

/// Notes in the log that an import has begun.
#[derive(Default)]
pub(crate) struct NotesItsImports;
#[async_trait]
impl Fault for NotesItsImports {
    async fn begin_import(&self, store: &MemoryStore) -> Result<Box<dyn Import>, TransferError> {
        let note = NewEvent {
            id: EventId::new(),
            name: EventName::new("imported").unwrap(),
            schema_version: 1,
            codec: "json".into(),
            payload: "{}".into(),
            metadata: factum_core::Metadata::default(),
        };
        let stream = StreamId::new("store", "imports").unwrap();
        store.append(Append::to(stream, Expected::Any, vec![note])).await.unwrap();
        MemoryStore::new().begin_import().await
    }
}

/// Sees only at the end of an import that a store was not empty, and writes over it.
#[derive(Default)]
pub(crate) struct ImportsOverWhatIsThere;
#[async_trait]
impl Fault for ImportsOverWhatIsThere {
    async fn begin_import(&self, store: &MemoryStore) -> Result<Box<dyn Import>, TransferError> {
        match store.begin_import().await {
            Err(TransferError::NotEmpty { .. }) => MemoryStore::new().begin_import().await,
            begun => begun,
        }
    }
}

/// Truncates before the last event that it finds, when it comes to it.
#[derive(Default)]
pub(crate) struct TruncatesWhatItFinds;
#[async_trait]
impl Fault for TruncatesWhatItFinds {
    async fn truncate_stream(
        &self,
        store: &MemoryStore,
        stream: &StreamId,
        before: Version,
    ) -> Result<(), AppendError> {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let last = store.read_stream(ReadStream::last(stream.clone())).await?.events;
        store.truncate_stream(stream, last.first().map_or(before, |last| last.version.max(before))).await
    }
}

/// Reads a stream in two steps.
#[derive(Default)]
pub(crate) struct ReadsInTwoSteps;
#[async_trait]
impl Fault for ReadsInTwoSteps {
    async fn read_stream(&self, store: &MemoryStore, read: ReadStream) -> Result<StreamPage, StoreError> {
        let mut page = store.read_stream(read.clone()).await?;
        if let (Cursor::After(_), true, count @ 3..) = (read.cursor, page.end, page.events.len()) {
            page.events.truncate(count / 2);
            let after = page.events.last().unwrap().version;
            tokio::time::sleep(Duration::from_millis(2)).await;
            let rest = store.read_stream(read.after(after)).await?;
            page.events.extend(rest.events);
        }
        Ok(page)
    }
}

/// Looks once more whether the stream is closed, when it has appended to it.
#[derive(Default)]
pub(crate) struct RefusesWhatItHasWritten;
#[async_trait]
impl Fault for RefusesWhatItHasWritten {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let part = append.streams()[0].clone();
        let outcome = store.append(append).await?;
        tokio::time::sleep(Duration::from_millis(2)).await;
        let last = store.read_stream(ReadStream::last(part.stream.clone())).await?.events;
        let closing = last.first().and_then(|event| Closing::of_event(event.name.as_str()));
        match closing {
            Some(closing) => Err(StreamClosed { stream: part.stream, closing }.into()),
            None => Ok(outcome),
        }
    }
}
