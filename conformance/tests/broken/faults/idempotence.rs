//! Faults of repeating.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use async_trait::async_trait;
use chrono::{SubsecRound, Utc};
use factum_core::store::{Append, Appended};
use factum_core::{
    AppendError, Conflict, EventId, EventStore, Expected, IdReused, NewEvent, Position, RecordedEvent,
    Version,
};
use factum_memory::MemoryStore;
use uuid::Uuid;

use crate::store::{Fault, all, each_event, each_expected, join, known, parts, version_of};

/// Ids that stand for others, which the memory store knows already.
#[derive(Default)]
struct Aliases(Mutex<HashMap<EventId, EventId>>);

impl Aliases {
    fn fresh(&self, id: EventId) -> EventId {
        let fresh = EventId::new();
        self.0.lock().unwrap().insert(fresh, id);
        fresh
    }

    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        let id = self.0.lock().unwrap().get(&event.id).copied().unwrap_or(event.id);
        RecordedEvent { id, ..event }
    }
}

/// Looks at no ids: a repeat is a new append.
#[derive(Default)]
pub(crate) struct WritesARepeatAgain(Aliases);
impl Fault for WritesARepeatAgain {
    fn given(&self, append: Append) -> Append {
        each_event(append, |event| event.id = self.0.fresh(event.id))
    }

    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        self.0.seen(event)
    }
}

/// Writes a repeat again, but has a cache of answers.
#[derive(Default)]
pub(crate) struct WritesARepeatBehindItsAnswer(Aliases, Mutex<HashMap<Vec<EventId>, Appended>>);
#[async_trait]
impl Fault for WritesARepeatBehindItsAnswer {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let ids: Vec<_> = append.events().map(|event| event.id).collect();
        let first = self.1.lock().unwrap().get(&ids).cloned();
        let append = if first.is_some() { each_expected(append, |_| Expected::Any) } else { append };
        let answer = store.append(each_event(append, |event| event.id = self.0.fresh(event.id))).await?;
        Ok(self.1.lock().unwrap().entry(ids).or_insert(answer).clone())
    }

    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        self.0.seen(event)
    }
}

/// Looks at the version first, which a repeat has changed itself.
#[derive(Default)]
pub(crate) struct ConflictsOnARepeat;
#[async_trait]
impl Fault for ConflictsOnARepeat {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        for part in append.streams() {
            let (stream, expected) = (part.stream.clone(), part.expected);
            let actual = version_of(store, &stream).await;
            if !expected.is_met_by(actual) {
                return Err(Conflict { stream, expected, actual }.into());
            }
        }
        store.append(append).await
    }
}

/// Takes an append under other expectations for another one.
#[derive(Default)]
pub(crate) struct ComparesExpectations(Mutex<HashMap<Vec<EventId>, Vec<Expected>>>);
#[async_trait]
impl Fault for ComparesExpectations {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let ids = append.events().map(|event| event.id).collect();
        let expected: Vec<_> = append.streams().iter().map(|part| part.expected).collect();
        if *self.0.lock().unwrap().entry(ids).or_insert_with(|| expected.clone()) == expected {
            store.append(append).await
        } else {
            ConflictsOnARepeat.append(store, append).await
        }
    }
}

/// Answers a repeat with the time of the repeat.
#[derive(Default)]
pub(crate) struct AnswersARepeatWithNow;
#[async_trait]
impl Fault for AnswersARepeatWithNow {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let repeats = !known(store, &append).await.is_empty();
        let answer = store.append(append).await?;
        let recorded_at = if repeats { Utc::now().trunc_subsecs(6) } else { answer.recorded_at };
        Ok(Appended { recorded_at, ..answer })
    }
}

/// Answers a repeat with the position where the store is by now.
#[derive(Default)]
pub(crate) struct AnswersARepeatWithTheHead;
#[async_trait]
impl Fault for AnswersARepeatWithTheHead {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let answer = store.append(append).await?;
        Ok(Appended { position: all(store).await.last().unwrap().position, ..answer })
    }
}

/// Answers a repeat with the versions where the streams are by now.
#[derive(Default)]
pub(crate) struct AnswersARepeatWithTheLastVersions;
#[async_trait]
impl Fault for AnswersARepeatWithTheLastVersions {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let mut answer = store.append(append.clone()).await?;
        for (version, part) in answer.versions.iter_mut().zip(append.streams()) {
            *version = version_of(store, &part.stream).await.unwrap();
        }
        Ok(answer)
    }
}

/// Answers a repeat for the first of its streams only.
#[derive(Default)]
pub(crate) struct AnswersARepeatForOneStream;
#[async_trait]
impl Fault for AnswersARepeatForOneStream {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let repeats = !known(store, &append).await.is_empty();
        let mut answer = store.append(append).await?;
        if repeats {
            answer.versions.truncate(1);
        }
        Ok(answer)
    }
}

/// Knows the ids of the last thousand events.
#[derive(Default)]
pub(crate) struct ForgetsOldIds(Aliases);
#[async_trait]
impl Fault for ForgetsOldIds {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let all = all(store).await;
        let old: HashSet<_> = all[..all.len().saturating_sub(1000)].iter().map(|event| event.id).collect();
        let forget = |event: &mut NewEvent| {
            if old.contains(&event.id) {
                event.id = self.0.fresh(event.id);
            }
        };
        store.append(each_event(append, forget)).await
    }

    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        self.0.seen(event)
    }
}

/// Writes a repeat over what is there.
#[derive(Default)]
pub(crate) struct OverwritesOnARepeat(Mutex<HashMap<EventId, NewEvent>>);
#[async_trait]
impl Fault for OverwritesOnARepeat {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let answer = store.append(append.clone()).await?;
        self.0.lock().unwrap().extend(append.events().map(|event| (event.id, event.clone())));
        Ok(answer)
    }

    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        match self.0.lock().unwrap().get(&event.id).cloned() {
            Some(NewEvent { payload, metadata, .. }) => RecordedEvent { payload, metadata, ..event },
            None => event,
        }
    }
}

/// Uses up the ids of appends that failed.
#[derive(Default)]
pub(crate) struct BurnsIdsOnFailure(Mutex<HashSet<EventId>>);
#[async_trait]
impl Fault for BurnsIdsOnFailure {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let ids: Vec<_> = append.events().map(|event| event.id).collect();
        let stream = append.streams()[0].stream.clone();
        let burnt = ids.iter().copied().find(|id| self.0.lock().unwrap().contains(id));
        if let Some(id) = burnt {
            let recorded_stream = stream.clone();
            return Err(IdReused { id, stream, recorded_stream, recorded_version: Version(1) }.into());
        }
        let outcome = store.append(append).await;
        if outcome.is_err() {
            self.0.lock().unwrap().extend(ids);
        }
        outcome
    }
}

/// `ON CONFLICT DO NOTHING`: writes the events that are not there yet.
#[derive(Default)]
pub(crate) struct SkipsKnownIds;
#[async_trait]
impl Fault for SkipsKnownIds {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let known = known(store, &append).await;
        let mut parts = parts(append.clone());
        for (.., events) in &mut parts {
            events.retain(|event| !known.contains(&event.id));
        }
        parts.retain(|(.., events)| !events.is_empty());
        store.append(join(parts).unwrap_or(append)).await
    }
}

/// Takes an append for a repeat if one of its ids is recorded anywhere.
#[derive(Default)]
pub(crate) struct TakesOneKnownIdForARepeat;
#[async_trait]
impl Fault for TakesOneKnownIdForARepeat {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        if known(store, &append).await.is_empty() {
            store.append(append).await
        } else {
            repeat(store, &append).await
        }
    }
}

/// Takes an append for a repeat if all of its ids are recorded anywhere, in whatever order.
#[derive(Default)]
pub(crate) struct TakesAllKnownIdsForARepeat;
#[async_trait]
impl Fault for TakesAllKnownIdsForARepeat {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let is_known = known(store, &append).await.len() == append.events().count();
        if is_known { repeat(store, &append).await } else { store.append(append).await }
    }
}

/// The answer to a repeat, made of those events that are there.
async fn repeat(store: &MemoryStore, append: &Append) -> Result<Appended, AppendError> {
    let all = all(store).await;
    let find = |event: &NewEvent| all.iter().find(|recorded| recorded.id == event.id);
    let found: Vec<_> = append.events().filter_map(find).collect();
    let versions = append.streams().iter().filter_map(|part| part.events.iter().filter_map(find).next_back());
    Ok(Appended {
        position: found.iter().map(|event| event.position).max().unwrap_or(Position::START),
        recorded_at: found[0].recorded_at,
        versions: versions.map(|event| event.version).collect(),
    })
}

/// Keeps ids unique within a stream, and not in the store.
#[derive(Default)]
pub(crate) struct KeepsIdsByStream(Aliases);
#[async_trait]
impl Fault for KeepsIdsByStream {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let all = all(store).await;
        let mut parts = parts(append);
        for (stream, _, events) in &mut parts {
            for event in events {
                if all.iter().any(|recorded| recorded.id == event.id && recorded.stream != *stream) {
                    event.id = self.0.fresh(event.id);
                }
            }
        }
        store.append(join(parts).unwrap()).await
    }

    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        self.0.seen(event)
    }
}

/// Takes the UUID of zeros for none, and makes one.
#[derive(Default)]
pub(crate) struct TakesNilForNoId;
impl Fault for TakesNilForNoId {
    fn given(&self, append: Append) -> Append {
        each_event(append, |event| {
            if event.id.0 == Uuid::nil() {
                event.id = EventId::new();
            }
        })
    }
}

/// Takes the reuse of an id for a conflict.
#[derive(Default)]
pub(crate) struct ConflictsOnReuse;
#[async_trait]
impl Fault for ConflictsOnReuse {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        match store.append(append.clone()).await {
            Err(AppendError::IdReused(_)) => {
                let part = &append.streams()[0];
                let actual = version_of(store, &part.stream).await;
                Err(Conflict { stream: part.stream.clone(), expected: part.expected, actual }.into())
            }
            outcome => outcome,
        }
    }
}

/// Says that a reused id is in the stream that it was to be appended to.
#[derive(Default)]
pub(crate) struct MisplacesReusedIds;
#[async_trait]
impl Fault for MisplacesReusedIds {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let mut outcome = store.append(append).await;
        if let Err(AppendError::IdReused(reused)) = &mut outcome {
            reused.recorded_stream = reused.stream.clone();
        }
        outcome
    }
}

/// Says of every reused id that it was for the first stream of the append.
#[derive(Default)]
pub(crate) struct BlamesTheFirstStreamForReuse;
#[async_trait]
impl Fault for BlamesTheFirstStreamForReuse {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let first = append.streams().first().map(|part| part.stream.clone());
        let mut outcome = store.append(append).await;
        if let (Err(AppendError::IdReused(reused)), Some(first)) = (&mut outcome, first) {
            reused.stream = first;
        }
        outcome
    }
}
