//! What derived code does, without a store: routing, names, old shapes, priorities.
// And that clippy has nothing to say about it.
#![deny(missing_docs, unused, clippy::all, clippy::pedantic)]

use std::convert::Infallible;
use std::io;
use std::sync::Mutex;

use factum::testing::block_on;
use factum::{
    Aggregate, Apply, Codec, Context, DecodeError, DecodeFault, Dispatcher, Envelope, Event, EventHandler,
    EventId, EventName, EventType, Events, Flush, HandleError, Metadata, On, Position, RecordedEvent, Route,
    StreamId, Version,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "order.placed")]
#[serde(rename_all = "camelCase")]
struct OrderPlaced {
    placed_by: String,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(
    name = "order.shipped",
    version = 3,
    upcast(from = 2, with = shipped_v2),
    upcast(from = 1, with = shipped_v1),
    alias = "order.sent",
    alias = "order.posted"
)]
struct OrderShipped {
    steps: Vec<u32>,
}

fn shipped_v1(payload: Value) -> Result<Value, io::Error> {
    step(1, payload)
}

fn shipped_v2(payload: Value) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
    Ok(step(2, payload)?)
}

/// Leaves a trace, so that a test can see which steps were taken, and in which order.
fn step(from: u32, mut payload: Value) -> Result<Value, io::Error> {
    let steps = payload["steps"].as_array_mut().ok_or_else(|| io::Error::other("no steps"))?;
    steps.push(from.into());
    Ok(payload)
}

#[derive(Event, Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[event(name = "order.cancelled")]
struct OrderCancelled;

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "order.noted")]
struct Noted<T> {
    note: T,
}

#[derive(Event, Clone, Debug, PartialEq)]
enum OrderEvent {
    Placed(OrderPlaced),
    Shipped(OrderShipped),
    Cancelled(OrderCancelled),
}

#[derive(Event, Clone, Debug, PartialEq)]
enum NoteEvent<T> {
    Noted(Noted<T>),
    Cancelled(OrderCancelled),
}

#[derive(Aggregate, Default, Debug, PartialEq)]
#[aggregate(category = "order", id = u64, event = OrderEvent)]
struct Order {
    applied: Vec<&'static str>,
}

impl Apply<OrderPlaced> for Order {
    fn apply(&mut self, _: OrderPlaced) {
        self.applied.push("placed");
    }
}

impl Apply<OrderShipped> for Order {
    fn apply(&mut self, _: OrderShipped) {
        self.applied.push("shipped");
    }
}

impl Apply<OrderCancelled> for Order {
    fn apply(&mut self, _: OrderCancelled) {
        self.applied.push("cancelled");
    }
}

/// An aggregate of which only one thing can happen needs no enum.
#[derive(Aggregate, Default)]
#[aggregate(category = "cancelled", id = u64, event = OrderCancelled)]
struct Cancelled(bool);

impl Apply<OrderCancelled> for Cancelled {
    fn apply(&mut self, _: OrderCancelled) {
        self.0 = true;
    }
}

#[derive(EventHandler, Default)]
#[handler(
    name = "journal",
    error = io::Error,
    on(OrderShipped, priority = -10),
    on(OrderPlaced),
    on(OrderEvent, priority = 20),
    flush
)]
struct Journal {
    lines: Mutex<Vec<String>>,
}

impl Journal {
    fn write(&self, line: impl Into<String>) {
        self.lines.lock().expect("no test panics in here").push(line.into());
    }

    fn lines(self) -> Vec<String> {
        self.lines.into_inner().expect("no test panics in here")
    }
}

impl On<OrderPlaced> for Journal {
    async fn on(&self, event: &Envelope<OrderPlaced>, _: &mut Context) -> Result<(), io::Error> {
        if event.event.placed_by.is_empty() {
            return Err(io::Error::other("placed by nobody"));
        }
        self.write("placed");
        Ok(())
    }
}

impl On<OrderShipped> for Journal {
    async fn on(&self, _: &Envelope<OrderShipped>, _: &mut Context) -> Result<(), io::Error> {
        self.write("shipped");
        Ok(())
    }
}

impl On<OrderEvent> for Journal {
    async fn on(&self, event: &Envelope<OrderEvent>, _: &mut Context) -> Result<(), io::Error> {
        self.write(format!("any: {}", event.event.event_type().name()));
        Ok(())
    }
}

impl Flush for Journal {
    async fn flush(&self, _: &mut Context) -> Result<(), io::Error> {
        self.write("flushed");
        Ok(())
    }
}

#[derive(EventHandler)]
#[handler(name = "audit", error = Infallible, on(OrderPlaced, priority = -1), on(OrderShipped, priority = -1))]
struct Audit;

impl On<OrderPlaced> for Audit {
    async fn on(&self, _: &Envelope<OrderPlaced>, _: &mut Context) -> Result<(), Infallible> {
        Ok(())
    }
}

impl On<OrderShipped> for Audit {
    async fn on(&self, _: &Envelope<OrderShipped>, _: &mut Context) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Writes down long ways, of whichever length that is.
#[derive(EventHandler)]
#[handler(
    name = "long-ways",
    error = Infallible,
    on(OrderShipped, when = |event| event.event.steps.len() >= self.at_least)
)]
struct LongWays {
    at_least: usize,
    seen: Mutex<usize>,
}

impl On<OrderShipped> for LongWays {
    async fn on(&self, _: &Envelope<OrderShipped>, _: &mut Context) -> Result<(), Infallible> {
        *self.seen.lock().expect("no test panics in here") += 1;
        Ok(())
    }
}

fn ada() -> OrderPlaced {
    OrderPlaced { placed_by: "Ada".into() }
}

fn shipped(steps: &[u32]) -> OrderShipped {
    OrderShipped { steps: steps.to_vec() }
}

/// An event as a store gives it back.
fn recorded(name: &'static str, schema_version: u32, payload: &Value) -> RecordedEvent {
    RecordedEvent {
        id: EventId::new(),
        stream: StreamId::new("order", "42").expect("a good name"),
        version: Version(7),
        position: Position(99),
        name: EventName::new(name).expect("a good name"),
        schema_version,
        codec: Codec::Json.name().into(),
        payload: payload.to_string().into(),
        metadata: Metadata::default(),
        recorded_at: chrono::DateTime::UNIX_EPOCH,
    }
}

fn fault<E: Event>(recorded: &RecordedEvent) -> DecodeFault {
    E::decode(recorded).map(drop).expect_err("it is not to be read").fault
}

#[test]
fn an_event_reaches_the_apply_of_its_type() {
    let mut order = Order::default();
    for event in
        [OrderEvent::Placed(ada()), OrderEvent::Cancelled(OrderCancelled), OrderEvent::Shipped(shipped(&[]))]
    {
        event.route(&mut order);
    }
    assert_eq!(order.applied, ["placed", "cancelled", "shipped"]);
}

#[test]
fn an_event_struct_alone_reaches_its_apply() {
    let mut cancelled = Cancelled::default();
    OrderCancelled.route(&mut cancelled);
    assert!(cancelled.0);
}

#[test]
fn an_aggregate_has_the_category_it_says() {
    assert_eq!((Order::CATEGORY, Cancelled::CATEGORY), ("order", "cancelled"));
}

#[test]
fn every_event_becomes_its_variant() {
    let all: Events<OrderEvent> = Events::one(ada()).and(shipped(&[1])).and(OrderCancelled);
    let variants = vec![
        OrderEvent::Placed(ada()),
        OrderEvent::Shipped(shipped(&[1])),
        OrderEvent::Cancelled(OrderCancelled),
    ];
    assert_eq!(all, Events::from(variants));
}

#[test]
fn an_enum_has_the_names_of_its_variants_in_their_order() {
    let names = |types: &[EventType]| types.iter().map(EventType::name).collect::<Vec<_>>();
    assert_eq!(names(OrderEvent::TYPES), ["order.placed", "order.shipped", "order.cancelled"]);
    assert_eq!(names(NoteEvent::<String>::TYPES), ["order.noted", "order.cancelled"]);
}

#[test]
fn an_event_is_written_under_its_name_in_todays_shape() {
    assert_eq!(OrderPlaced::TYPES, [EventType::new("order.placed", 1, &[])]);
    assert_eq!(OrderShipped::TYPES, [EventType::new("order.shipped", 3, &["order.sent", "order.posted"])]);
    assert_eq!(OrderEvent::Shipped(shipped(&[])).event_type(), &OrderShipped::TYPES[0]);
}

#[test]
fn the_payload_is_the_structs_own_serde_form() {
    let payload = OrderEvent::Placed(ada()).encode(Codec::Json).expect("it is plain");
    assert_eq!(payload, br#"{"placedBy":"Ada"}"#);
    assert_eq!(OrderCancelled.encode(Codec::Json).expect("it is plain"), b"null");
}

#[test]
fn an_event_is_read_under_its_name() {
    let event = recorded("order.placed", 1, &json!({ "placedBy": "Ada" }));
    assert_eq!(OrderPlaced::decode(&event).expect("known"), ada());
    assert_eq!(OrderEvent::decode(&event).expect("known"), OrderEvent::Placed(ada()));
}

#[test]
fn an_event_is_read_under_every_alias() {
    for alias in ["order.sent", "order.posted"] {
        let event = recorded(alias, 3, &json!({ "steps": [] }));
        assert_eq!(OrderShipped::decode(&event).expect("known"), shipped(&[]));
        assert_eq!(OrderEvent::decode(&event).expect("known"), OrderEvent::Shipped(shipped(&[])));
    }
}

#[test]
fn a_generic_event_is_read_as_what_it_is_of() {
    let event = recorded("order.noted", 1, &json!({ "note": 5 }));
    assert_eq!(NoteEvent::<u8>::decode(&event).expect("a number"), NoteEvent::Noted(Noted { note: 5 }));
    assert!(matches!(fault::<NoteEvent<String>>(&event), DecodeFault::Payload(_)));
}

#[test]
fn an_old_shape_goes_through_every_step_to_todays() {
    let of_version = |version| recorded("order.shipped", version, &json!({ "steps": [] }));
    let read = |version| OrderEvent::decode(&of_version(version)).expect("the steps lead to today");
    assert_eq!(read(1), OrderEvent::Shipped(shipped(&[1, 2])));
    assert_eq!(read(2), OrderEvent::Shipped(shipped(&[2])));
    assert_eq!(read(3), OrderEvent::Shipped(shipped(&[])));
}

#[test]
fn a_step_that_fails_says_which_it_is() {
    let event = recorded("order.shipped", 2, &json!({ "parcel": 1 }));
    let DecodeFault::Upcast { from: 2, source } = fault::<OrderEvent>(&event) else {
        panic!("another fault")
    };
    assert_eq!(source.to_string(), "no steps");
}

#[test]
fn a_newer_shape_is_refused() {
    let event = recorded("order.shipped", 4, &json!({ "steps": [] }));
    assert!(matches!(fault::<OrderShipped>(&event), DecodeFault::NewerThanProgram { found: 4, known: 3 }));
    assert!(matches!(fault::<OrderEvent>(&event), DecodeFault::NewerThanProgram { found: 4, known: 3 }));
}

#[test]
fn a_name_that_is_not_its_own_is_refused() {
    let event = recorded("order.paid", 1, &json!(null));
    assert!(matches!(fault::<OrderCancelled>(&event), DecodeFault::UnknownName));
    assert!(matches!(fault::<OrderEvent>(&event), DecodeFault::UnknownName));
}

#[test]
fn a_codec_it_does_not_know_is_refused() {
    let event = RecordedEvent { codec: "cbor".into(), ..recorded("order.cancelled", 1, &json!(null)) };
    assert!(matches!(fault::<OrderEvent>(&event), DecodeFault::UnknownCodec { codec } if codec == "cbor"));
}

#[test]
fn an_event_that_cannot_be_read_says_where_it_is() {
    for name in ["order.placed", "order.paid", "order.sent"] {
        let DecodeError { name: found, stream, version, position, .. } =
            OrderEvent::decode(&recorded(name, 1, &json!({}))).expect_err("it is not to be read");
        assert_eq!(found.as_str(), name);
        assert_eq!((stream.to_string().as_str(), version, position), ("order/42", Version(7), Position(99)));
    }
}

#[test]
fn a_handler_has_its_interests_in_the_order_listed() {
    let wanted: Vec<_> =
        Journal::INTERESTS.iter().map(|it| (it.types.len(), it.types[0].name(), it.priority)).collect();
    assert_eq!(wanted, [(1, "order.shipped", -10), (1, "order.placed", 0), (3, "order.placed", 20)]);
    assert_eq!((Journal::NAME, Audit::NAME), ("journal", "audit"));
}

#[test]
fn each_event_has_its_own_priority() {
    let handlers = Dispatcher::new().handler(Journal::default()).handler(Audit);
    let order = |name| handlers.order(&EventName::new(name).expect("a good name"));
    assert_eq!(order("order.placed"), ["audit", "journal", "journal"]);
    assert_eq!(order("order.shipped"), ["journal", "audit", "journal"]);
    assert_eq!(order("order.posted"), ["journal", "audit", "journal"], "under an alias too");
    assert_eq!(order("order.cancelled"), ["journal"]);
}

#[test]
fn an_interest_is_brought_to_its_on() {
    let (journal, mut cx) = (Journal::default(), Context::new(()));
    let placed = recorded("order.placed", 1, &json!({ "placedBy": "Ada" }));
    let shipped = recorded("order.posted", 1, &json!({ "steps": [] }));
    for (interest, event) in [(1, &placed), (0, &shipped), (2, &shipped)] {
        block_on(journal.handle(interest, event, &mut cx)).expect("nothing is wrong");
    }
    block_on(EventHandler::flush(&journal, &mut cx)).expect("nothing is wrong");
    assert_eq!(journal.lines(), ["placed", "shipped", "any: order.shipped", "flushed"]);
}

#[test]
fn a_handler_without_flush_ends_a_batch_with_nothing() {
    assert_eq!(block_on(EventHandler::flush(&Audit, &mut Context::new(()))), Ok(()));
}

#[test]
fn a_handler_is_not_called_with_what_cannot_be_read() {
    let (journal, mut cx) = (Journal::default(), Context::new(()));
    let event = recorded("order.placed", 1, &json!({}));
    let error = block_on(journal.handle(1, &event, &mut cx)).expect_err("there is no name in it");
    assert!(matches!(error, HandleError::Decode(DecodeError { fault: DecodeFault::Payload(_), .. })));
    assert!(journal.lines().is_empty());
}

#[test]
fn the_error_of_a_handler_comes_back() {
    let event = recorded("order.placed", 1, &json!({ "placedBy": "" }));
    let error =
        block_on(Journal::default().handle(1, &event, &mut Context::new(()))).expect_err("it has no name");
    assert!(matches!(error, HandleError::Handler(error) if error.to_string() == "placed by nobody"));
}

#[test]
fn a_condition_is_asked_of_the_event_in_todays_shape_and_knows_the_handler() {
    let (ways, mut cx) = (LongWays { at_least: 2, seen: Mutex::default() }, Context::new(()));
    // Version 1 becomes longer by two steps on its way to today.
    for (version, seen) in [(3, 0), (2, 0), (1, 1)] {
        let event = recorded("order.shipped", version, &json!({ "steps": [] }));
        block_on(ways.handle(0, &event, &mut cx)).expect("nothing is wrong");
        assert_eq!(*ways.seen.lock().expect("no test panics in here"), seen);
    }
}

#[test]
fn an_event_that_cannot_be_read_is_no_event_that_is_not_wanted() {
    let (ways, mut cx) = (LongWays { at_least: 2, seen: Mutex::default() }, Context::new(()));
    let event = recorded("order.shipped", 3, &json!({ "parcel": 1 }));
    let error = block_on(ways.handle(0, &event, &mut cx)).expect_err("there are no steps in it");
    assert!(matches!(error, HandleError::Decode(DecodeError { fault: DecodeFault::Payload(_), .. })));
}
