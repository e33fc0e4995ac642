//! Codecs other than JSON, through everything that writes and reads events.

use factum::memory::MemoryStore;
use factum::migrate::Migration;
use factum::store::{Append, ReadAll, ReadStream};
use factum::transfer::{Export, import};
use factum::{
    Codec, Encoding, EventId, EventName, EventStore, Expected, Metadata, NewEvent, OnFailure, Process,
    RecordedEvent, Repository, StreamId, Version,
};
use serde_json::json;

use crate::domain::{Order, OrderEvent, OrderShipped, place, ship};
use crate::fulfilment::{self, Fulfilment};

/// Every way to write that there is.
fn encodings() -> [Encoding; 4] {
    [
        Codec::Json.into(),
        Codec::MessagePack.into(),
        Codec::Json.compressed_from(0),
        Codec::MessagePack.compressed_from(0),
    ]
}

fn stream() -> StreamId {
    StreamId::new("order", "1").unwrap()
}

async fn events_of(store: &MemoryStore, stream: StreamId) -> Vec<RecordedEvent> {
    store.read_stream(ReadStream::new(stream)).await.unwrap().events
}

/// An event of long ago: `order.shipped` in its version 1, by this codec.
fn old_event(codec: Codec) -> NewEvent {
    NewEvent {
        id: EventId::new(),
        name: EventName::new("order.shipped").unwrap(),
        schema_version: 1,
        codec: codec.name().into(),
        payload: codec.encode(&json!({ "packet": "old" })).unwrap().into(),
        metadata: Metadata::default(),
    }
}

#[tokio::test]
async fn a_store_holds_several_codecs_and_all_are_read() {
    let store = MemoryStore::new();
    let orders = Repository::<Order>::new(store.clone());
    orders.execute(&1, place()).await.unwrap();
    let long = "P".repeat(100);
    for encoding in encodings() {
        orders.clone().codec(encoding).execute(&1, ship(&long)).await.unwrap();
    }
    let names: Vec<_> = events_of(&store, stream()).await.into_iter().map(|event| event.codec).collect();
    assert_eq!(names, ["json", "json", "msgpack", "json+zstd", "msgpack+zstd"]);
    assert_eq!(orders.load(&1).await.unwrap().parcels, vec![long; 4]);
}

#[tokio::test]
async fn an_upcast_on_values_reads_every_codec() {
    for codec in [Codec::Json, Codec::MessagePack] {
        let store = MemoryStore::new();
        let orders = Repository::<Order>::new(store.clone());
        orders.execute(&1, place()).await.unwrap();
        store.append(Append::to(stream(), Expected::Any, vec![old_event(codec)])).await.unwrap();
        assert_eq!(orders.load(&1).await.unwrap().parcels, ["old"], "{codec:?}");
    }
}

#[tokio::test]
async fn an_export_in_todays_shape_keeps_the_codec() {
    let store = MemoryStore::new();
    let orders = Repository::<Order>::new(store.clone()).codec(Codec::MessagePack);
    orders.execute(&1, place()).await.unwrap();
    // Under its alias it is brought to today's shape as well.
    let sent = OrderShipped { parcel: "P".repeat(500) };
    let compressed = NewEvent::encode(&sent, Codec::Json.compressed_from(0), Metadata::default()).unwrap();
    let compressed = NewEvent { name: EventName::new("order.sent").unwrap(), ..compressed };
    let old = vec![old_event(Codec::MessagePack), compressed];
    store.append(Append::to(stream(), Expected::Any, old)).await.unwrap();

    let (copy, mut file) = (MemoryStore::new(), Vec::new());
    Export::of(&store).today::<OrderEvent>().write(&mut file).await.unwrap();
    import(&copy, &file[..]).await.unwrap();
    let events = events_of(&copy, stream()).await;
    let facts: Vec<_> = events.iter().map(|event| (&*event.codec, event.schema_version)).collect();
    assert_eq!(facts, [("msgpack", 1), ("msgpack", 2), ("json+zstd", 2)]);
    let order = Repository::<Order>::new(copy).load(&1).await.unwrap();
    assert_eq!(order.parcels, ["old".to_owned(), "P".repeat(500)]);
}

#[tokio::test]
async fn a_stream_is_moved_in_the_codec_that_is_asked_for() {
    let store = MemoryStore::new();
    let orders = Repository::<Order>::new(store.clone());
    orders.execute(&1, place()).await.unwrap();
    let to = StreamId::new("order", "2").unwrap();
    for _ in 0..2 {
        let moved = Migration::new(&store, stream(), to.clone()).codec(Codec::MessagePack);
        // The second time finds what the first has written.
        moved.run_typed(|old: factum::Envelope<OrderEvent>| [old.event]).await.unwrap();
    }
    assert_eq!(events_of(&store, to).await[0].codec, "msgpack");
    let order = orders.load(&2).await.unwrap();
    assert_eq!((order.version(), order.lines.is_empty()), (Version(1), false));
}

#[tokio::test]
async fn a_process_writes_all_that_follows_in_its_codec() {
    let store = MemoryStore::new();
    let stock = Repository::<fulfilment::Stock>::new(store.clone());
    stock.execute(&"lamp".to_owned(), fulfilment::Fill(1)).await.unwrap();
    let order = fulfilment::Place { item: "lamp", pay_within: std::time::Duration::from_hours(1) };
    Repository::<fulfilment::Order>::new(store.clone()).execute(&1, order).await.unwrap();
    let before = store.head().await.unwrap();

    let process = Process::<Fulfilment, _>::with_codec(store.clone(), OnFailure::stop(), Codec::MessagePack);
    process.catch_up().await.unwrap();
    let page = store.read_all(ReadAll::after(before).limit(100)).await.unwrap();
    assert!(page.events.iter().any(|event| event.stream.category() == "stock"), "a command had its effect");
    for event in page.events {
        assert_eq!(event.codec, "msgpack", "{}", event.name);
    }
}
