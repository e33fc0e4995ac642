//! What is done with bytes that a store or a file may hold. None of it panics, and what can be read can be written and read again.
//!
//! Each says whether the bytes could be read. The fuzz targets call this, and so does a test that needs neither fuzzer nor nightly.

use chrono::DateTime;
use factum::memory::{MemoryKeys, MemoryStore};
use factum::privacy::{MasterKey, Open, Vault};
use factum::transfer::{export, import};
use factum::{Codec, Event, EventId, EventName, Metadata, Position, RecordedEvent, StreamId, Version};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The names under which a store keeps codecs.
const CODECS: [&str; 5] = ["json", "msgpack", "json+zstd", "msgpack+zstd", "xml"];

/// An event with a past of values and types.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(
    name = "parcel.sent",
    version = 3,
    alias = "parcel.posted",
    upcast(from = 1, with = sent_v1),
    upcast(from = 2, typed = sent_v2)
)]
struct Sent {
    grams: i64,
    notes: Vec<Option<String>>,
}

fn sent_v1(mut payload: Value) -> Result<Value, &'static str> {
    let mass = payload.get_mut("mass").ok_or("no mass")?.take();
    payload["kilos"] = mass;
    Ok(payload)
}

#[derive(Deserialize)]
struct SentV2 {
    kilos: i32,
}

#[expect(clippy::needless_pass_by_value, reason = "a typed step takes the old version")]
fn sent_v2(old: SentV2) -> Sent {
    Sent { grams: i64::from(old.kilos) * 1_000, notes: Vec::new() }
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "parcel.handled")]
struct Handled {
    by: String,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "parcel.weighed", split(from = Handled, with = weighed))]
struct Weighed {
    by: char,
}

#[expect(clippy::needless_pass_by_value, reason = "a split takes the old event")]
fn weighed(old: Handled) -> Vec<Weighed> {
    old.by.chars().map(|by| Weighed { by }).collect()
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(dropped("parcel.viewed"))]
enum ParcelEvent {
    Sent(Sent),
    Weighed(Weighed),
}

/// Reads the bytes by each codec.
pub(crate) fn codecs(bytes: &[u8]) -> bool {
    let mut is_read = false;
    for codec in [Codec::Json, Codec::MessagePack] {
        if let Ok(value) = codec.decode_value(bytes) {
            // What is nested nearly too deep may be so once more.
            let again = codec.decode_value(&codec.encode(&value).expect("a value can be written"));
            assert_eq!(again.expect("what was written can be read"), value);
            is_read = true;
        }
        let _ = codec.decode::<Sent>(bytes);
        let _ = codec.decode::<(f64, char, Option<Option<u128>>)>(bytes);
    }
    is_read
}

/// Reads an event: the first byte says which codec, name and version it has.
pub(crate) fn events(bytes: &[u8]) -> bool {
    let Some((choice, payload)) = bytes.split_first() else { return false };
    let names = ["parcel.sent", "parcel.posted", "parcel.handled", "parcel.weighed", "parcel.viewed"];
    let choice = usize::from(*choice);
    let recorded = RecordedEvent {
        id: EventId(Uuid::nil()),
        stream: StreamId::new("parcel", "1").expect("a good name"),
        version: Version(1),
        position: Position(1),
        name: EventName::new(names[choice / 5 % 5]).expect("a good name"),
        schema_version: u32::try_from(choice / 25 % 5).expect("it is small"),
        codec: CODECS[choice % 5].into(),
        payload: payload.to_vec().into(),
        metadata: Metadata::default(),
        recorded_at: DateTime::UNIX_EPOCH,
    };
    let Ok(read) = ParcelEvent::decode_all(&recorded) else { return false };
    for event in read {
        let payload = event.encode(Codec::MessagePack).expect("what was read can be written");
        let event_type = event.event_type();
        let again = ParcelEvent::decode(&RecordedEvent {
            name: event_type.into(),
            schema_version: event_type.schema_version(),
            codec: "msgpack".into(),
            payload: payload.into(),
            ..recorded.clone()
        });
        assert_eq!(again.expect("what was written can be read"), event);
    }
    true
}

/// Opens an event that says that something in it is sealed, with keys that know nobody. The first byte says by which codec.
pub(crate) fn vault(bytes: &[u8]) -> bool {
    let Some((choice, payload)) = bytes.split_first() else { return false };
    let codecs =
        ["json+sealed", "msgpack+sealed", "json+sealed+zstd", "msgpack+sealed+zstd", "json+personal"];
    let mut event = [RecordedEvent {
        id: EventId(Uuid::nil()),
        stream: StreamId::new("parcel", "1").expect("a good name"),
        version: Version(1),
        position: Position(1),
        name: EventName::new("parcel.sent").expect("a good name"),
        schema_version: 3,
        codec: codecs[usize::from(*choice) % codecs.len()].into(),
        payload: payload.to_vec().into(),
        metadata: Metadata::default(),
        recorded_at: DateTime::UNIX_EPOCH,
    }];
    let vault = Vault::new(MemoryStore::new(), MemoryKeys::default(), MasterKey::new("fuzz", [7; 32]));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without I/O");
    runtime.block_on(vault.open(&mut event)).expect("the keys are there, and know nobody");
    // Without a key, what is read had nothing sealed in it.
    ParcelEvent::decode_all(&event[0]).is_ok()
}

/// Reads the metadata of an event.
pub(crate) fn metadata(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(metadata) = Metadata::from_json(text) else { return false };
    let again = Metadata::from_json(&metadata.to_json());
    assert_eq!(again.expect("what was written can be read"), metadata);
    true
}

/// Reads an export.
pub(crate) fn export_file(bytes: &[u8]) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without I/O");
    runtime.block_on(async {
        let (store, copy) = (MemoryStore::new(), MemoryStore::new());
        if import(&store, bytes).await.is_err() {
            return false;
        }
        let (mut first, mut second) = (Vec::new(), Vec::new());
        export(&store, &mut first).await.expect("a store can be exported");
        import(&copy, &first[..]).await.expect("an export can be imported");
        export(&copy, &mut second).await.expect("a store can be exported");
        assert_eq!(first, second);
        true
    })
}

/// Reads the file of frozen shapes.
pub(crate) fn lock(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(written) = factum::__private::lock_as_written(text) else { return false };
    let again = factum::__private::lock_as_written(&written);
    assert_eq!(again.expect("what was written can be read"), written);
    true
}
