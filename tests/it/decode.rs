//! Stored events that are old, foreign, or unreadable.

use factum::memory::MemoryStore;
use factum::store::Append;
use factum::{
    Codec, DecodeFault, EventId, EventName, EventStore, ExecuteError, Expected, LoadError, Metadata,
    NewEvent, Repository, StreamId, Version,
};

use crate::domain::{Order, place, ship};

/// A placed order with one further event, as some program has stored it.
async fn placed_then(
    name: &str,
    schema_version: u32,
    codec: &'static str,
    payload: &str,
) -> Repository<Order> {
    let store = MemoryStore::new();
    let orders = Repository::<Order>::new(store.clone());
    orders.execute(&1, place()).await.unwrap();
    let event = NewEvent {
        id: EventId::new(),
        name: EventName::new(name.to_owned()).unwrap(),
        schema_version,
        codec: codec.into(),
        payload: payload.as_bytes().to_vec().into(),
        metadata: Metadata::default(),
    };
    let stream = StreamId::new("order", "1").unwrap();
    store.append(Append::to(stream, Expected::Any, vec![event])).await.unwrap();
    orders
}

/// Why the order cannot be loaded; neither loading nor executing passes over the event.
async fn fault(orders: &Repository<Order>) -> DecodeFault {
    let executed = orders.execute(&1, ship("a")).await.unwrap_err();
    assert!(matches!(executed, ExecuteError::Decode(_)), "{executed:?}");
    let LoadError::Decode(error) = orders.load(&1).await.unwrap_err() else { panic!("not a decode error") };
    assert_eq!((error.stream.to_string().as_str(), error.version), ("order/1", Version(2)));
    error.fault
}

#[tokio::test]
async fn an_alias_and_an_old_version_are_read_as_today() {
    let orders = placed_then("order.sent", 1, "json", r#"{"packet":"P1"}"#).await;
    assert_eq!(orders.load(&1).await.unwrap().parcels, ["P1"]);
    let orders = placed_then("order.shipped", 2, "json", r#"{"parcel":"P2"}"#).await;
    assert_eq!(orders.load(&1).await.unwrap().parcels, ["P2"]);
}

#[tokio::test]
async fn an_unknown_event_is_never_passed_over() {
    let orders = placed_then("order.gift-wrapped", 1, "json", "{}").await;
    assert!(matches!(fault(&orders).await, DecodeFault::UnknownName));
}

#[tokio::test]
async fn a_version_of_the_future_is_told() {
    let orders = placed_then("order.shipped", 3, "json", "{}").await;
    assert!(matches!(fault(&orders).await, DecodeFault::NewerThanProgram { found: 3, known: 2 }));
}

#[tokio::test]
async fn a_payload_that_does_not_decode_is_told() {
    let orders = placed_then("order.shipped", 2, "json", r#"{"parcel":7}"#).await;
    assert!(matches!(fault(&orders).await, DecodeFault::Payload(_)));
}

#[tokio::test]
async fn an_upcast_that_fails_is_told() {
    let orders = placed_then("order.shipped", 1, "json", r#"{"parcel":"P"}"#).await;
    assert!(matches!(fault(&orders).await, DecodeFault::Upcast { from: 1, .. }));
}

#[test]
fn a_float_is_read_as_it_was_written() {
    for float in [2.286_029_518_063_590_5e-306, f64::MAX, f64::MIN_POSITIVE, 0.1 + 0.2, -0.0] {
        let bytes = Codec::Json.encode(&float).unwrap();
        assert_eq!(Codec::Json.decode::<f64>(&bytes).unwrap().to_bits(), float.to_bits(), "{float:e}");
    }
}

#[tokio::test]
async fn an_unknown_codec_is_told() {
    let orders = placed_then("order.shipped", 2, "xml", "<a/>").await;
    assert!(matches!(fault(&orders).await, DecodeFault::UnknownCodec { .. }));
}
