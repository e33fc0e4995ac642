//! Faults of keeping what was given, and of refusing what is invalid.

use std::marker::PhantomData;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::SubsecRound;
use factum_core::store::{Append, Appended, Limits, Page, ReadAll, ReadStream, StreamPage};
use factum_core::{
    AppendError, EventName, EventStore, Expected, Metadata, RecordedEvent, StoreError, StoreErrorKind,
    StreamId, Version,
};
use factum_memory::MemoryStore;

use crate::faults::idempotence::ConflictsOnARepeat;
use crate::store::{Fault, each_event, each_stream, join, parts};

/// Keeps JSON in a column that is made for it.
#[derive(Default)]
pub(crate) struct RewritesJson;
impl Fault for RewritesJson {
    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        match serde_json::from_slice::<serde_json::Value>(&event.payload) {
            Ok(value) => RecordedEvent { payload: value.to_string().into(), ..event },
            Err(_) => event,
        }
    }
}

/// Keeps payloads as text.
#[derive(Default)]
pub(crate) struct KeepsText;
impl Fault for KeepsText {
    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        let payload = Bytes::from(String::from_utf8_lossy(&event.payload).into_owned());
        RecordedEvent { payload, ..event }
    }
}

/// Takes empty bytes for none, and none for `null`.
#[derive(Default)]
pub(crate) struct TakesEmptyForNull;
impl Fault for TakesEmptyForNull {
    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        if event.payload.is_empty() { RecordedEvent { payload: "null".into(), ..event } } else { event }
    }
}

/// Cuts payloads where a column ends.
#[derive(Default)]
pub(crate) struct CutsPayloads;
impl Fault for CutsPayloads {
    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        let end = event.payload.len().min(65_535);
        RecordedEvent { payload: event.payload.slice(..end), ..event }
    }
}

/// Keeps times as databases do.
#[derive(Default)]
pub(crate) struct CutsTimes;
impl Fault for CutsTimes {
    fn seen(&self, mut event: RecordedEvent) -> RecordedEvent {
        event.metadata.occurred_at = event.metadata.occurred_at.map(|at| at.trunc_subsecs(6));
        event
    }
}

/// Has no column for who did it.
#[derive(Default)]
pub(crate) struct LosesTheActor;
impl Fault for LosesTheActor {
    fn seen(&self, mut event: RecordedEvent) -> RecordedEvent {
        event.metadata.actor = None;
        event
    }
}

/// Has no column for why it happened.
#[derive(Default)]
pub(crate) struct LosesTheCause;
impl Fault for LosesTheCause {
    fn seen(&self, mut event: RecordedEvent) -> RecordedEvent {
        event.metadata.causation_id = None;
        event
    }
}

/// Writes what a conversation is called by default.
#[derive(Default)]
pub(crate) struct FillsInTheConversation;
impl Fault for FillsInTheConversation {
    fn seen(&self, mut event: RecordedEvent) -> RecordedEvent {
        event.metadata.correlation_id = Some(event.correlation_id());
        event
    }
}

/// Keeps only fields whose names look like names.
#[derive(Default)]
pub(crate) struct LosesOddFields;
impl Fault for LosesOddFields {
    fn seen(&self, mut event: RecordedEvent) -> RecordedEvent {
        event.metadata.fields.retain(|name, _| !name.is_empty() && name.chars().all(char::is_alphanumeric));
        event
    }
}

/// Ends text where C does.
#[derive(Default)]
pub(crate) struct EndsTextAtNul;
impl Fault for EndsTextAtNul {
    fn seen(&self, mut event: RecordedEvent) -> RecordedEvent {
        for value in event.metadata.fields.values_mut() {
            value.truncate(value.find('\0').unwrap_or(value.len()));
        }
        event
    }
}

/// Cuts metadata where a column ends.
#[derive(Default)]
pub(crate) struct CutsMetadata;
impl Fault for CutsMetadata {
    fn seen(&self, mut event: RecordedEvent) -> RecordedEvent {
        event.metadata.fields.values_mut().for_each(|value| value.truncate(8000));
        event
    }
}

/// Has no column for the codec.
#[derive(Default)]
pub(crate) struct LosesTheCodec;
impl Fault for LosesTheCodec {
    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        RecordedEvent { codec: "json".into(), ..event }
    }
}

/// Has a small column for the schema version.
#[derive(Default)]
pub(crate) struct CutsSchemaVersions;
impl Fault for CutsSchemaVersions {
    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        RecordedEvent { schema_version: event.schema_version & 0x7fff, ..event }
    }
}

/// Writes names in lower case.
#[derive(Default)]
pub(crate) struct LowersEventNames;
impl Fault for LowersEventNames {
    fn given(&self, append: Append) -> Append {
        each_event(append, |event| event.name = EventName::new(event.name.as_str().to_lowercase()).unwrap())
    }
}

/// Cuts names of events where an index ends.
#[derive(Default)]
pub(crate) struct CutsEventNames;
impl Fault for CutsEventNames {
    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        let name: String = event.name.as_str().chars().take(60).collect();
        RecordedEvent { name: EventName::new(name).unwrap(), ..event }
    }
}

/// Doubles the quotes in names, and forgets to undo it.
#[derive(Default)]
pub(crate) struct DoublesQuotes;
impl Fault for DoublesQuotes {
    fn seen(&self, event: RecordedEvent) -> RecordedEvent {
        let id = event.stream.id().replace('\'', "''");
        RecordedEvent { stream: StreamId::new(event.stream.category(), &id).unwrap(), ..event }
    }
}

/// Takes streams for each other.
#[derive(Default)]
pub(crate) struct Confuses<How>(PhantomData<How>);

/// Which streams are taken for each other: those that become the same.
pub(crate) trait How: Default + Send + Sync + 'static {
    fn confuse(category: &str, id: &str) -> (String, String);
}

fn confused<H: How>(stream: &StreamId) -> StreamId {
    let (category, id) = H::confuse(stream.category(), stream.id());
    StreamId::new(&category, &id).unwrap_or_else(|_| stream.clone())
}

#[async_trait]
impl<H: How> Fault for Confuses<H> {
    fn given(&self, append: Append) -> Append {
        each_stream(append, confused::<H>)
    }

    async fn read_stream(&self, store: &MemoryStore, read: ReadStream) -> Result<StreamPage, StoreError> {
        let mut page =
            store.read_stream(ReadStream { stream: confused::<H>(&read.stream), ..read.clone() }).await?;
        page.events.iter_mut().for_each(|event| event.stream = read.stream.clone());
        Ok(page)
    }

    async fn read_all(&self, store: &MemoryStore, mut read: ReadAll) -> Result<Page, StoreError> {
        read.filter.streams.iter_mut().for_each(|stream| *stream = confused::<H>(stream));
        store.read_all(read).await
    }
}

/// Those of the same id.
#[derive(Default)]
pub(crate) struct Categories;
impl How for Categories {
    fn confuse(_: &str, id: &str) -> (String, String) {
        ("any".into(), id.into())
    }
}

/// Those that differ in case.
#[derive(Default)]
pub(crate) struct Case;
impl How for Case {
    fn confuse(category: &str, id: &str) -> (String, String) {
        (category.to_lowercase(), id.to_lowercase())
    }
}

/// Those that differ in blanks at the end.
#[derive(Default)]
pub(crate) struct Blanks;
impl How for Blanks {
    fn confuse(category: &str, id: &str) -> (String, String) {
        (category.trim_end().into(), id.trim_end().into())
    }
}

/// Those that unicode calls equivalent.
#[derive(Default)]
pub(crate) struct Forms;
impl How for Forms {
    fn confuse(category: &str, id: &str) -> (String, String) {
        let compose = |text: &str| text.replace("e\u{301}", "é").replace("A\u{30a}", "Å");
        (compose(category), compose(id))
    }
}

/// Those whose categories and ids, joined, are the same.
#[derive(Default)]
pub(crate) struct Joints;
impl How for Joints {
    fn confuse(category: &str, id: &str) -> (String, String) {
        ("any".into(), format!("{category}-{id}"))
    }
}

/// Those that begin with the same bytes.
#[derive(Default)]
pub(crate) struct Ends;
impl How for Ends {
    fn confuse(category: &str, id: &str) -> (String, String) {
        let cut = |text: &str| text.chars().take(60).collect();
        (cut(category), cut(id))
    }
}

/// Writes what is valid of an append that is not.
#[derive(Default)]
pub(crate) struct WritesWhatIsValid;
#[async_trait]
impl Fault for WritesWhatIsValid {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        let outcome = store.append(append.clone()).await;
        if let Err(AppendError::Invalid(_)) = outcome {
            for (stream, _, events) in parts(append) {
                for event in events {
                    let _ = store.append(Append::to(stream.clone(), Expected::Any, vec![event])).await;
                }
            }
        }
        outcome
    }
}

/// Says of invalid input that the store is ill.
#[derive(Default)]
pub(crate) struct SaysIllForInvalid;
#[async_trait]
impl Fault for SaysIllForInvalid {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        store.append(append).await.map_err(|error| match error {
            AppendError::Invalid(invalid) => {
                StoreError::because(StoreErrorKind::Other, "append", invalid).into()
            }
            other => other,
        })
    }
}

/// Makes invalid input valid.
#[derive(Default)]
pub(crate) struct MendsInput;
impl Fault for MendsInput {
    fn given(&self, append: Append) -> Append {
        let limits = Limits::default();
        let mut mended: Vec<(StreamId, Expected, Vec<_>)> = Vec::new();
        let mut ids = std::collections::HashSet::new();
        for (stream, expected, events) in parts(append.clone()) {
            let events =
                events.into_iter().filter(|event| ids.insert(event.id)).take(limits.append_events_max);
            let expected = match expected {
                Expected::Exactly(version) if version.forward(10).is_none() => Expected::Any,
                expected => expected,
            };
            match mended.iter_mut().find(|(other, ..)| *other == stream) {
                Some((.., known)) => known.extend(events),
                None => mended.push((stream, expected, events.collect())),
            }
        }
        mended.retain(|(.., events)| !events.is_empty());
        let events: usize = mended.iter().map(|(.., events)| events.len()).sum();
        mended.truncate(if events > limits.append_events_max { 1 } else { usize::MAX });
        let Some(append) = join(mended) else { return append };
        each_event(append, |event| {
            event.payload.truncate(limits.payload_bytes_max);
            event.schema_version = event.schema_version.clamp(1, 2_147_483_647);
            let alone = |event: &factum_core::NewEvent| {
                let stream = StreamId::new("any", "any").unwrap();
                Append::to(stream, Expected::Any, vec![event.clone()]).check(&limits).is_ok()
            };
            if !alone(event) {
                event.metadata = Metadata::default();
            }
            if !alone(event) {
                event.codec = "json".into();
            }
        })
    }
}

/// Looks at the version before it looks at the input.
#[derive(Default)]
pub(crate) struct LooksAtTheVersionFirst;
#[async_trait]
impl Fault for LooksAtTheVersionFirst {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        ConflictsOnARepeat.append(store, append).await
    }
}

/// Takes the last versions there can be for too late.
#[derive(Default)]
pub(crate) struct EndsVersionsTooEarly;
#[async_trait]
impl Fault for EndsVersionsTooEarly {
    async fn append(&self, store: &MemoryStore, append: Append) -> Result<Appended, AppendError> {
        for part in append.streams() {
            if matches!(part.expected, Expected::Exactly(version) if version.0 > Version::MAX.0 - 10) {
                return Err(factum_core::Invalid::VersionOverflow { stream: part.stream.clone() }.into());
            }
        }
        store.append(append).await
    }
}
