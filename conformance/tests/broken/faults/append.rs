//! Faults of appending.

use std::collections::HashSet;

use async_trait::async_trait;
use chrono::TimeDelta;
use factum_core::store::{Append, Appended, Page, ReadAll, ReadStream, StreamPage};
use factum_core::{
    AppendError, EventName, Expected, Invalid, NewEvent, Position, RecordedEvent, StoreError, StreamId,
    Version,
};
use factum_memory::MemoryStore;

use crate::store::{Fault, Parts, each_expected, join, parts, version_of};

/// None.
#[derive(Default)]
pub(crate) struct Nothing;
impl Fault for Nothing {}

/// Takes every append, whatever it was decided on.
#[derive(Default)]
pub(crate) struct ForgetsTheVersionCheck;
impl Fault for ForgetsTheVersionCheck {
    fn given(&self, append: Append) -> Append {
        each_expected(append, |_| Expected::Any)
    }
}

/// Takes `Any` to need a stream.
#[derive(Default)]
pub(crate) struct NeedsAStreamForAny;
impl Fault for NeedsAStreamForAny {
    fn given(&self, append: Append) -> Append {
        each_expected(append, |expected| if expected == Expected::Any { Expected::Exists } else { expected })
    }
}

/// Takes `NoStream` for `Any`.
#[derive(Default)]
pub(crate) struct TakesNoStreamForAny;
impl Fault for TakesNoStreamForAny {
    fn given(&self, append: Append) -> Append {
        each_expected(
            append,
            |expected| if expected == Expected::NoStream { Expected::Any } else { expected },
        )
    }
}

/// Takes `Exists` for `Any`.
#[derive(Default)]
pub(crate) struct TakesExistsForAny;
impl Fault for TakesExistsForAny {
    fn given(&self, append: Append) -> Append {
        each_expected(append, |expected| if expected == Expected::Exists { Expected::Any } else { expected })
    }
}

/// Takes `Exactly(0)` for `Any`.
#[derive(Default)]
pub(crate) struct TakesZeroForAny;
impl Fault for TakesZeroForAny {
    fn given(&self, append: Append) -> Append {
        let zero = Expected::Exactly(Version::NONE);
        each_expected(append, |expected| if expected == zero { Expected::Any } else { expected })
    }
}

/// Takes streams that are longer than expected.
#[derive(Default)]
pub(crate) struct TakesLaterVersions;
#[async_trait]
impl Fault for TakesLaterVersions {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        store.append_if(append, |expected, actual| expected < actual).await
    }
}

/// Takes streams that are shorter than expected.
#[derive(Default)]
pub(crate) struct TakesEarlierVersions;
#[async_trait]
impl Fault for TakesEarlierVersions {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        store.append_if(append, |expected, actual| expected > actual).await
    }
}

trait AppendIf {
    /// Appends without the check where `waived` says so of the expected and the actual version.
    async fn append_if(
        &self,
        append: Append,
        waived: impl Fn(Version, Version) -> bool,
    ) -> Result<Appended, AppendError>;
}

impl AppendIf for MemoryStore {
    async fn append_if(
        &self,
        append: Append,
        waived: impl Fn(Version, Version) -> bool,
    ) -> Result<Appended, AppendError> {
        use factum_core::EventStore;
        let mut parts = parts(append);
        for (stream, expected, _) in &mut parts {
            let actual = version_of(self, stream).await.unwrap_or_default();
            if matches!(*expected, Expected::Exactly(version) if waived(version, actual)) {
                *expected = Expected::Any;
            }
        }
        self.append(join(parts).unwrap()).await
    }
}

/// Demands of every stream what is demanded of the first.
#[derive(Default)]
pub(crate) struct UsesTheFirstExpectation;
impl Fault for UsesTheFirstExpectation {
    fn given(&self, append: Append) -> Append {
        let first = append.streams()[0].expected;
        each_expected(append, |_| first)
    }
}

/// Says that it found one event less than it did.
#[derive(Default)]
pub(crate) struct IsOffByOneInConflicts;
#[async_trait]
impl Fault for IsOffByOneInConflicts {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let mut outcome = inner(store, append).await;
        if let Err(AppendError::Conflict(conflict)) = &mut outcome {
            conflict.actual = conflict.actual.map(|actual| Version(actual.0 - 1));
        }
        outcome
    }
}

/// Says that a stream that is not there has version 0.
#[derive(Default)]
pub(crate) struct FindsVersionZero;
#[async_trait]
impl Fault for FindsVersionZero {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let mut outcome = inner(store, append).await;
        if let Err(AppendError::Conflict(conflict)) = &mut outcome {
            conflict.actual = Some(conflict.actual.unwrap_or_default());
        }
        outcome
    }
}

/// Says of every conflict that it was on the first stream.
#[derive(Default)]
pub(crate) struct BlamesTheFirstStream;
#[async_trait]
impl Fault for BlamesTheFirstStream {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let first = append.streams().first().map(|part| part.stream.clone());
        let mut outcome = inner(store, append).await;
        if let (Err(AppendError::Conflict(conflict)), Some(first)) = (&mut outcome, first) {
            conflict.stream = first;
        }
        outcome
    }
}

/// Writes to the streams before the one that conflicts.
#[derive(Default)]
pub(crate) struct HalfWritesBeforeAConflict;
#[async_trait]
impl Fault for HalfWritesBeforeAConflict {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        write_on_conflict(store, append, Parts::truncate).await
    }
}

/// Writes to the streams after the one that conflicts.
#[derive(Default)]
pub(crate) struct HalfWritesAfterAConflict;
#[async_trait]
impl Fault for HalfWritesAfterAConflict {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        write_on_conflict(store, append, |parts, at| drop(parts.drain(..=at))).await
    }
}

/// Writes the first event to a stream that conflicts.
#[derive(Default)]
pub(crate) struct WritesOneOnConflict;
#[async_trait]
impl Fault for WritesOneOnConflict {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        write_on_conflict(store, append, |parts, at| {
            parts.swap(0, at);
            parts.truncate(1);
            parts[0].2.truncate(1);
        })
        .await
    }
}

/// Tells of a conflict, but writes what `keep` leaves of the parts, of which the one at an index conflicts.
async fn write_on_conflict(
    store: &MemoryStore,
    append: Append,
    keep: impl Fn(&mut Parts, usize),
) -> Result<Appended, AppendError> {
    let outcome = inner(store, append.clone()).await;
    if let Err(AppendError::Conflict(conflict)) = &outcome {
        let mut parts = parts(each_expected(append, |_| Expected::Any));
        let at = parts.iter().position(|(stream, ..)| *stream == conflict.stream).unwrap();
        keep(&mut parts, at);
        if let Some(rest) = join(parts) {
            inner(store, rest).await.unwrap();
        }
    }
    outcome
}

/// Uses up a version for an append that conflicts.
#[derive(Default)]
pub(crate) struct BurnsVersionsOnConflict;
#[async_trait]
impl Fault for BurnsVersionsOnConflict {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let like = append.events().next().cloned();
        let outcome = inner(store, append).await;
        if let (Err(AppendError::Conflict(conflict)), Some(like)) = (&outcome, like) {
            let hole =
                NewEvent { id: factum_core::EventId::new(), name: EventName::new("hole").unwrap(), ..like };
            inner(store, Append::to(conflict.stream.clone(), Expected::Any, vec![hole])).await.unwrap();
        }
        outcome
    }

    async fn read_stream(&self, store: &MemoryStore, read: ReadStream) -> Result<StreamPage, StoreError> {
        let mut page = factum_core::EventStore::read_stream(store, read).await?;
        page.events.retain(|event| event.name.as_str() != "hole");
        Ok(page)
    }

    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let mut page = factum_core::EventStore::read_all(store, read).await?;
        page.events.retain(|event| event.name.as_str() != "hole");
        Ok(page)
    }
}

/// Loses the last event where there are several, and answers as if it had not.
#[derive(Default)]
pub(crate) struct DropsTheLastEvent;
#[async_trait]
impl Fault for DropsTheLastEvent {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let mut parts = parts(append);
        let several: Vec<_> = parts.iter().map(|(.., events)| events.len() > 1).collect();
        for (.., events) in parts.iter_mut().filter(|(.., events)| events.len() > 1) {
            events.pop();
        }
        let mut answer = inner(store, join(parts).unwrap()).await?;
        for (version, several) in answer.versions.iter_mut().zip(several) {
            version.0 += u64::from(several);
        }
        Ok(answer)
    }
}

/// Records events with a payload that it has seen in the same append only once.
#[derive(Default)]
pub(crate) struct DropsTwins;
impl Fault for DropsTwins {
    fn given(&self, append: Append) -> Append {
        let mut parts = parts(append);
        let mut payloads = HashSet::new();
        for (.., events) in &mut parts {
            events.retain(|event| payloads.insert(event.payload.clone()));
        }
        join(parts).unwrap()
    }
}

/// Writes events in the order of their ids.
#[derive(Default)]
pub(crate) struct SortsEventsById;
impl Fault for SortsEventsById {
    fn given(&self, append: Append) -> Append {
        let mut parts = parts(append);
        for (.., events) in &mut parts {
            events.sort_by_key(|event| event.id);
        }
        join(parts).unwrap()
    }
}

/// Writes to streams in the order of their names, and answers in the order of the append.
#[derive(Default)]
pub(crate) struct SortsStreamsByName;
#[async_trait]
impl Fault for SortsStreamsByName {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let given: Vec<StreamId> = append.streams().iter().map(|part| part.stream.clone()).collect();
        let mut parts = parts(append);
        parts.sort_by(|one, other| one.0.cmp(&other.0));
        let sorted: Vec<_> = parts.iter().map(|(stream, ..)| stream.clone()).collect();
        let mut answer = inner(store, join(parts).unwrap()).await?;
        let at = |stream| sorted.iter().position(|other| other == stream).unwrap();
        answer.versions = given.iter().map(|stream| answer.versions[at(stream)]).collect();
        Ok(answer)
    }
}

/// Answers with the position of the first event.
#[derive(Default)]
pub(crate) struct AnswersWithTheFirstPosition;
#[async_trait]
impl Fault for AnswersWithTheFirstPosition {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let events = u64::try_from(append.events().count()).unwrap();
        let answer = inner(store, append).await?;
        Ok(Appended { position: Position(answer.position.0 + 1 - events), ..answer })
    }
}

/// Answers with the versions in another order.
#[derive(Default)]
pub(crate) struct AnswersInReverse;
#[async_trait]
impl Fault for AnswersInReverse {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let mut answer = inner(store, append).await?;
        answer.versions.reverse();
        Ok(answer)
    }
}

/// Records times that no column of a database has.
#[derive(Default)]
pub(crate) struct RecordsNanoseconds;
#[async_trait]
impl Fault for RecordsNanoseconds {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let answer = inner(store, append).await?;
        Ok(Appended { recorded_at: answer.recorded_at + TimeDelta::nanoseconds(1), ..answer })
    }

    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        RecordedEvent { recorded_at: event.recorded_at + TimeDelta::nanoseconds(1), ..event }
    }
}

/// Records a time for each event, and not for the append.
#[derive(Default)]
pub(crate) struct StampsEventsSingly;
impl Fault for StampsEventsSingly {
    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        let later = TimeDelta::microseconds(i64::try_from(event.version.0).unwrap());
        RecordedEvent { recorded_at: event.recorded_at + later, ..event }
    }
}

/// Counts versions from 0.
#[derive(Default)]
pub(crate) struct NumbersVersionsFromZero;
impl Fault for NumbersVersionsFromZero {
    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        RecordedEvent { version: Version(event.version.0 - 1), ..event }
    }
}

/// Has one sequence for versions and positions.
#[derive(Default)]
pub(crate) struct NumbersVersionsByPosition;
impl Fault for NumbersVersionsByPosition {
    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        RecordedEvent { version: Version(event.position.0), ..event }
    }
}

/// Counts positions from 0.
#[derive(Default)]
pub(crate) struct NumbersPositionsFromZero;
#[async_trait]
impl Fault for NumbersPositionsFromZero {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let answer = inner(store, append).await?;
        Ok(Appended { position: Position(answer.position.0 - 1), ..answer })
    }

    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        RecordedEvent { position: Position(event.position.0 - 1), ..event }
    }
}

/// Gives every second event the position of the one before it.
#[derive(Default)]
pub(crate) struct ReusesPositions;
impl Fault for ReusesPositions {
    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        RecordedEvent { position: Position(event.position.0.div_ceil(2)), ..event }
    }
}

/// Has a lower limit than it says.
#[derive(Default)]
pub(crate) struct RefusesThousands;
#[async_trait]
impl Fault for RefusesThousands {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let events = append.events().count();
        if events > 1000 {
            return Err(Invalid::TooManyEvents { events, events_max: 1000 }.into());
        }
        inner(store, append).await
    }
}

/// Has a batch size, and forgets the second batch.
#[derive(Default)]
pub(crate) struct WritesOnlyThousands;
impl Fault for WritesOnlyThousands {
    fn given(&self, append: Append) -> Append {
        let mut parts = parts(append);
        parts.truncate(1000);
        for (.., events) in &mut parts {
            events.truncate(1000);
        }
        join(parts).unwrap()
    }
}

/// Is another store for each clone.
#[derive(Default)]
pub(crate) struct ClonesAreOtherStores;
impl Fault for ClonesAreOtherStores {
    fn clone_of(&self, _: &MemoryStore) -> MemoryStore {
        MemoryStore::new()
    }
}

/// Writes one event after the other, each visible at once.
#[derive(Default)]
pub(crate) struct WritesEventByEvent;
#[async_trait]
impl Fault for WritesEventByEvent {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        append.check(&factum_core::store::Limits::default())?;
        let mut whole: Option<Appended> = None;
        for (stream, mut expected, events) in parts(append) {
            let mut last = Version::NONE;
            for event in events {
                let answer = inner(store, Append::to(stream.clone(), expected, vec![event])).await?;
                (expected, last) = (Expected::Any, answer.version());
                whole.get_or_insert_with(|| Appended { versions: Vec::new(), ..answer.clone() }).position =
                    answer.position;
                tokio::task::yield_now().await;
            }
            whole.as_mut().unwrap().versions.push(last);
        }
        Ok(whole.unwrap())
    }
}

pub(crate) async fn inner(store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
    factum_core::EventStore::append(store, append).await
}
