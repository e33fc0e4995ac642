//! Exports in which events have today's shape.

use factum::memory::MemoryStore;
use factum::retention::Retention;
use factum::store::{Append, ReadStream};
use factum::transfer::{Export, TransferError, export, import};
use factum::{
    DecodeFault, Event, EventId, EventName, EventStore, Expected, Metadata, NewEvent, RecordedEvent, StreamId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Event, Serialize, Deserialize)]
#[event(
    name = "parcel.sent",
    version = 3,
    upcast(from = 1, with = sent_v1),
    upcast(from = 2, typed = sent_v2),
    alias = "parcel.posted"
)]
struct ParcelSent {
    grams: u64,
}

fn sent_v1(mut payload: Value) -> Result<Value, &'static str> {
    payload["kilos"] = payload.get_mut("mass").ok_or("no mass")?.take();
    Ok(payload)
}

#[derive(Deserialize)]
struct SentV2 {
    kilos: u64,
}

#[expect(clippy::needless_pass_by_value, reason = "a typed step takes the old version")]
fn sent_v2(old: SentV2) -> ParcelSent {
    ParcelSent { grams: old.kilos * 1_000 }
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "parcel.handled")]
struct ParcelHandled {
    grams: u64,
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "parcel.weighed", split(from = ParcelHandled, with = weighed))]
struct ParcelWeighed {
    grams: u64,
}

#[expect(clippy::needless_pass_by_value, reason = "a split takes the old event")]
fn weighed(old: ParcelHandled) -> ParcelWeighed {
    ParcelWeighed { grams: old.grams }
}

#[derive(Event)]
#[event(dropped("parcel.viewed"))]
enum ParcelEvent {
    Sent(ParcelSent),
    Weighed(ParcelWeighed),
}

fn event(name: &str, schema_version: u32, payload: &str) -> NewEvent {
    NewEvent {
        id: EventId::new(),
        name: EventName::new(name.to_owned()).unwrap(),
        schema_version,
        codec: "json".into(),
        payload: payload.to_owned().into(),
        metadata: Metadata { actor: Some("Ada".into()), ..Metadata::default() },
    }
}

fn stream(id: &str) -> StreamId {
    StreamId::new("parcel", id).unwrap()
}

async fn store() -> MemoryStore {
    let store = MemoryStore::new();
    let events = vec![
        event("parcel.posted", 1, r#"{"mass":2}"#),
        event("parcel.sent", 2, r#"{"kilos":3}"#),
        event("parcel.sent", 3, r#"{ "grams" : 4 }"#),
        event("parcel.posted", 3, r#"{ "grams" : 5 }"#),
        event("parcel.handled", 1, r#"{"grams":6}"#),
        event("parcel.viewed", 1, "null"),
        event("invoice.sent", 1, r#"{"of":"somebody else"}"#),
    ];
    store.append(Append::to(stream("1"), Expected::NoStream, events.clone())).await.unwrap();
    let archived = vec![event("parcel.sent", 1, r#"{"mass":7}"#)];
    store.append(Append::to(stream("2"), Expected::NoStream, archived)).await.unwrap();
    store.archive_stream(&stream("2"), Expected::Any).await.unwrap();
    store
}

async fn copy_of(file: &[u8]) -> (Vec<RecordedEvent>, Vec<RecordedEvent>) {
    let copy = MemoryStore::new();
    import(&copy, file).await.unwrap();
    let live = copy.read_stream(ReadStream::new(stream("1"))).await.unwrap().events;
    (live, copy.read_archived(ReadStream::new(stream("2"))).await.unwrap().events)
}

#[tokio::test]
async fn an_export_has_todays_shape_where_that_is_asked_for() {
    let store = store().await;
    let mut file = Vec::new();
    assert_eq!(Export::of(&store).today::<ParcelEvent>().write(&mut file).await.unwrap(), 9);
    let (live, archived) = copy_of(&file).await;
    let read: Vec<_> = live
        .iter()
        .chain(&archived)
        .map(|event| {
            (event.name.as_str(), event.schema_version, std::str::from_utf8(&event.payload).unwrap())
        })
        .collect();
    let expected = [
        ("parcel.sent", 3, r#"{"grams":2000}"#),
        ("parcel.sent", 3, r#"{"grams":3000}"#),
        // Byte for byte what it was.
        ("parcel.sent", 3, r#"{ "grams" : 4 }"#),
        ("parcel.sent", 3, r#"{"grams":5}"#),
        // Several events today, or none, and somebody else's.
        ("parcel.handled", 1, r#"{"grams":6}"#),
        ("parcel.viewed", 1, "null"),
        ("invoice.sent", 1, r#"{"of":"somebody else"}"#),
        ("parcel.sent", 3, r#"{"grams":7000}"#),
    ];
    assert_eq!(read, expected);
}

#[tokio::test]
async fn only_the_content_is_brought_to_today() {
    let store = store().await;
    let (mut plain, mut today) = (Vec::new(), Vec::new());
    export(&store, &mut plain).await.unwrap();
    Export::of(&store).today::<ParcelSent>().write(&mut today).await.unwrap();
    let without_content = |event: RecordedEvent| RecordedEvent {
        name: EventName::new("any").unwrap(),
        schema_version: 1,
        payload: "null".into(),
        ..event
    };
    let (was, _) = copy_of(&plain).await;
    let (is, _) = copy_of(&today).await;
    assert!(was.iter().zip(&is).any(|(was, is)| was.payload != is.payload));
    let places = |events: Vec<RecordedEvent>| events.into_iter().map(without_content).collect::<Vec<_>>();
    assert_eq!(places(is), places(was));
}

#[tokio::test]
async fn an_export_is_as_stored_where_nothing_else_is_asked_for() {
    let mut file = Vec::new();
    export(&store().await, &mut file).await.unwrap();
    let (live, _) = copy_of(&file).await;
    assert_eq!((live[0].name.as_str(), live[0].schema_version), ("parcel.posted", 1));
}

#[tokio::test]
async fn an_event_that_cannot_be_brought_to_today_ends_the_export() {
    for (version, payload) in [(4, r#"{"grams":1}"#), (1, r#"{"kilos":1}"#)] {
        let store = store().await;
        let unreadable = vec![event("parcel.sent", version, payload)];
        store.append(Append::to(stream("3"), Expected::NoStream, unreadable)).await.unwrap();
        let error = Export::of(&store).today::<ParcelEvent>().write(Vec::new()).await.unwrap_err();
        let TransferError::Decode(error) = error else { panic!("another error: {error:?}") };
        assert!(matches!(
            error.fault,
            DecodeFault::NewerThanProgram { .. } | DecodeFault::Upcast { from: 1, .. }
        ));
        export(&store, Vec::new()).await.unwrap();
    }
}
