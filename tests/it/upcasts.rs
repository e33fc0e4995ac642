//! Old shapes of events: steps on JSON values and on types, in any order, under old names too.

#![expect(
    clippy::needless_pass_by_value,
    reason = "a typed step takes the old version, whatever it needs of it"
)]

use std::sync::atomic::{AtomicUsize, Ordering};

use factum::{DecodeFault, Event, EventId, EventName, Metadata, Position, RecordedEvent, StreamId, Version};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

/// At version 5: value, type, value, type.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(
    name = "parcel.sent",
    version = 5,
    upcast(from = 1, with = v1),
    upcast(from = 2, typed = v2),
    upcast(from = 3, with = v3),
    upcast(from = 4, typed = v4),
    alias = "parcel.posted",
    alias("parcel.dispatched", "parcel.handed_over")
)]
struct ParcelSent {
    grams: u64,
    steps: String,
}

#[derive(Deserialize)]
struct SentV2 {
    kilos: u64,
    steps: String,
}

#[derive(Serialize)]
struct SentV3 {
    grams: String,
    steps: String,
}

#[derive(Deserialize)]
struct SentV4 {
    grams: u64,
    steps: String,
}

fn trace(payload: &mut Value, step: &str) {
    payload["steps"] = json!(format!("{}{step}", payload["steps"].as_str().unwrap_or_default()));
}

fn v1(mut payload: Value) -> Result<Value, &'static str> {
    let kilos = payload["pounds"].as_u64().ok_or("no pounds")? / 2;
    payload["kilos"] = kilos.into();
    trace(&mut payload, "1");
    Ok(payload)
}

/// Before a step on a value, as a `Result`, whose error serde could write as well.
fn v2(old: SentV2) -> Result<SentV3, String> {
    let grams = old.kilos.checked_mul(1_000).ok_or_else(|| "too heavy".to_owned())?;
    Ok(SentV3 { grams: grams.to_string(), steps: old.steps + "2" })
}

fn v3(mut payload: Value) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
    payload["grams"] = payload["grams"].as_str().ok_or("no text")?.parse::<u64>()?.into();
    trace(&mut payload, "3");
    Ok(payload)
}

fn v4(old: SentV4) -> ParcelSent {
    ParcelSent { grams: old.grams, steps: old.steps + "4" }
}

/// At version 4: types only, of which the last fails.
#[derive(Event, Serialize, Deserialize, Debug, PartialEq)]
#[event(
    name = "parcel.weighed",
    version = 4,
    upcast(from = 3, typed = weighed_v3),
    upcast(from = 2, typed = weighed_v2),
    upcast(from = 1, typed = weighed_v1)
)]
struct ParcelWeighed {
    grams: u64,
}

struct WeighedV1(u64);

static READ_FROM_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Says whether it was read from bytes: a value has no borrowed text.
impl<'de> Deserialize<'de> for WeighedV1 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Shape<'a> {
            unit: &'a str,
            weight: u64,
        }
        let shape = Shape::deserialize(deserializer)?;
        READ_FROM_BYTES.fetch_add(1, Ordering::SeqCst);
        Ok(Self(if shape.unit == "kg" { shape.weight * 1_000 } else { shape.weight }))
    }
}

/// Neither can be written, so that no value can stand between the steps.
#[derive(Deserialize)]
struct WeighedV2 {
    grams: u64,
}

#[derive(Deserialize)]
struct WeighedV3 {
    grams: u64,
}

fn weighed_v1(old: WeighedV1) -> WeighedV2 {
    WeighedV2 { grams: old.0 }
}

fn weighed_v2(old: WeighedV2) -> Result<WeighedV3, std::num::TryFromIntError> {
    Ok(WeighedV3 { grams: u32::try_from(old.grams)?.into() })
}

fn weighed_v3(old: WeighedV3) -> Result<ParcelWeighed, &'static str> {
    if old.grams == 0 { Err("nothing weighs nothing") } else { Ok(ParcelWeighed { grams: old.grams }) }
}

pub(crate) fn recorded(name: &str, schema_version: u32, payload: &Value) -> RecordedEvent {
    RecordedEvent {
        id: EventId::new(),
        stream: StreamId::new("parcel", "1").unwrap(),
        version: Version(3),
        position: Position(8),
        name: EventName::new(name.to_owned()).unwrap(),
        schema_version,
        codec: "json".into(),
        payload: payload.to_string().into(),
        metadata: Metadata::default(),
        recorded_at: chrono::DateTime::UNIX_EPOCH,
    }
}

fn sent(version: u32, name: &str) -> ParcelSent {
    let payload = match version {
        1 => json!({ "pounds": 6, "steps": "" }),
        2 => json!({ "kilos": 3, "steps": "" }),
        3 => json!({ "grams": "3000", "steps": "" }),
        _ => json!({ "grams": 3000, "steps": "" }),
    };
    ParcelSent::decode(&recorded(name, version, &payload)).unwrap()
}

#[test]
fn steps_on_values_and_on_types_follow_each_other() {
    for (version, steps) in [(1, "1234"), (2, "234"), (3, "34"), (4, "4"), (5, "")] {
        let expected = ParcelSent { grams: 3000, steps: steps.to_owned() };
        assert_eq!(sent(version, "parcel.sent"), expected, "from version {version}");
    }
}

#[test]
fn an_event_is_read_under_each_old_name_in_each_old_version() {
    assert_eq!(ParcelSent::TYPES[0].aliases(), ["parcel.posted", "parcel.dispatched", "parcel.handed_over"]);
    for name in ParcelSent::TYPES[0].names() {
        for version in 1..=5 {
            assert_eq!(sent(version, name), sent(version, "parcel.sent"), "{name} in version {version}");
        }
    }
}

#[test]
fn a_chain_of_types_is_read_straight_from_the_bytes() {
    let weighed =
        |version, payload: &Value| ParcelWeighed::decode(&recorded("parcel.weighed", version, payload));
    let before = READ_FROM_BYTES.load(Ordering::SeqCst);
    assert_eq!(weighed(1, &json!({ "unit": "kg", "weight": 2 })).unwrap(), ParcelWeighed { grams: 2_000 });
    assert_eq!(READ_FROM_BYTES.load(Ordering::SeqCst), before + 1);
    for version in [2, 3, 4] {
        assert_eq!(weighed(version, &json!({ "grams": 7 })).unwrap(), ParcelWeighed { grams: 7 });
    }
}

#[test]
fn a_typed_step_that_fails_says_which_it_is_and_why() {
    let fault = |name, version, payload: &Value| match name {
        "parcel.sent" => ParcelSent::decode(&recorded(name, version, payload)).unwrap_err().fault,
        _ => ParcelWeighed::decode(&recorded(name, version, payload)).unwrap_err().fault,
    };
    let failed = |fault| match fault {
        DecodeFault::Upcast { from, source } => (from, source.to_string()),
        other => panic!("another fault: {other:?}"),
    };
    let too_heavy = json!({ "kilos": u64::MAX, "steps": "" });
    assert_eq!(failed(fault("parcel.sent", 2, &too_heavy)), (2, "too heavy".to_owned()));
    let nothing = json!({ "unit": "g", "weight": 0 });
    assert_eq!(failed(fault("parcel.weighed", 1, &nothing)), (3, "nothing weighs nothing".to_owned()));
    let too_many = json!({ "grams": u64::MAX });
    assert_eq!(failed(fault("parcel.weighed", 2, &too_many)).0, 2);
    assert_eq!(failed(fault("parcel.weighed", 0, &nothing)).0, 0);
}

#[test]
fn a_payload_that_is_not_of_its_old_type_is_told() {
    for (version, payload) in
        [(2, json!({ "pounds": 1, "steps": "" })), (4, json!({ "grams": "3", "steps": "" }))]
    {
        let error = ParcelSent::decode(&recorded("parcel.sent", version, &payload)).unwrap_err();
        assert!(matches!(error.fault, DecodeFault::Payload(_)), "{error:?}");
    }
}
