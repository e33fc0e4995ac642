//! Old events that are several today, or none: wherever events are read.

use std::sync::{Arc, Mutex};

use factum::memory::MemoryStore;
use factum::store::Append;
use factum::testing::{HandlerScenario, ProcessScenario, Scenario};
use factum::{
    Aggregate, Apply, Context, DeadLetters, Deadline, DecodeFault, Decoded, Envelope, Event, EventHandler,
    EventId, EventName, EventStore, Events, Expected, Handle, Issue, LoadError, Metadata, NewEvent, On,
    OnFailure, Process, ProcessManager, React, ReadDeadLetters, Repository, Retry, StreamId, Subscription,
    SubscriptionError, Version,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::upcasts::recorded;

// ---- What is told today ----------------------------------------------------------------------------------------

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "customer.registered")]
struct Registered {
    name: String,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "customer.renamed", split(from = Changed, with = renamed))]
struct Renamed {
    to: String,
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "customer.moved", version = 2, upcast(from = 1, typed = moved_v1), split(from = Changed, with = moved))]
struct Moved {
    to: String,
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(dropped("customer.viewed"), dropped = "customer.exported")]
enum CustomerEvent {
    Registered(Registered),
    Moved(Moved),
    Renamed(Renamed),
}

// ---- What was told long ago ------------------------------------------------------------------------------------

#[derive(Deserialize)]
struct MovedV1 {
    street: String,
}

fn moved_v1(old: MovedV1) -> Moved {
    Moved { to: old.street }
}

/// Everything that had changed at once, which had a history of its own.
#[derive(Event, Serialize, Deserialize)]
#[event(name = "customer.changed", version = 2, upcast(from = 1, with = changed_v1), alias = "customer.touched")]
struct Changed {
    name: Option<String>,
    streets: Vec<String>,
}

fn changed_v1(mut payload: Value) -> Result<Value, &'static str> {
    let street = payload.get_mut("street").ok_or("no street")?.take();
    payload["streets"] = json!([street]);
    Ok(payload)
}

fn renamed(old: Changed) -> Option<Renamed> {
    old.name.map(|to| Renamed { to })
}

fn moved(old: Changed) -> Result<Vec<Moved>, &'static str> {
    if old.streets.iter().any(String::is_empty) {
        return Err("a street without a name");
    }
    Ok(old.streets.into_iter().map(|to| Moved { to }).collect())
}

// ---- Those who read it -----------------------------------------------------------------------------------------

#[derive(Aggregate, Default, Debug, PartialEq)]
#[aggregate(category = "customer", id = u64, event = CustomerEvent)]
struct Customer {
    told: Vec<String>,
}

impl Apply<Registered> for Customer {
    fn apply(&mut self, event: Registered) {
        self.told.push(event.name);
    }
}

impl Apply<Moved> for Customer {
    fn apply(&mut self, event: Moved) {
        self.told.push(format!("to {}", event.to));
    }
}

impl Apply<Renamed> for Customer {
    fn apply(&mut self, event: Renamed) {
        self.told.push(format!("is {}", event.to));
    }
}

struct Register;

impl Handle<Register> for Customer {
    type Error = String;

    fn handle(&self, _: &Register) -> Result<Events<CustomerEvent>, String> {
        if self.told.is_empty() {
            Ok(Events::one(Registered { name: "Ada".into() }))
        } else {
            Err(self.told.join(", "))
        }
    }
}

/// Writes down what it sees, each with its id; fails once where it is told to.
#[derive(EventHandler, Clone, Default)]
#[handler(
    name = "notes",
    error = std::io::Error,
    on(Renamed, priority = 1),
    on(Moved, when = |event| event.event.to != "nowhere"),
    on(CustomerEvent, priority = 2)
)]
struct Notes {
    notes: Arc<Mutex<Vec<(String, EventId)>>>,
    fails_on: Arc<Mutex<Option<String>>>,
}

impl Notes {
    fn note(&self, text: String, id: EventId) -> Result<(), std::io::Error> {
        let mut fails_on = self.fails_on.lock().unwrap();
        if fails_on.as_ref() == Some(&text) {
            *fails_on = None;
            return Err(std::io::Error::other("no ink"));
        }
        self.notes.lock().unwrap().push((text, id));
        Ok(())
    }

    fn texts(&self) -> Vec<String> {
        self.notes.lock().unwrap().iter().map(|(text, _)| text.clone()).collect()
    }
}

impl On<Renamed> for Notes {
    async fn on(&self, event: &Envelope<Renamed>, _: &mut Context) -> Result<(), std::io::Error> {
        self.note(format!("is {}", event.event.to), event.id)
    }
}

impl On<Moved> for Notes {
    async fn on(&self, event: &Envelope<Moved>, _: &mut Context) -> Result<(), std::io::Error> {
        self.note(format!("to {}", event.event.to), event.id)
    }
}

impl On<CustomerEvent> for Notes {
    async fn on(&self, event: &Envelope<CustomerEvent>, _: &mut Context) -> Result<(), std::io::Error> {
        self.note(format!("any {}", event.event.event_type().name()), event.id)
    }
}

fn new_event(name: &str, schema_version: u32, payload: &Value) -> NewEvent {
    NewEvent {
        id: EventId::new(),
        name: EventName::new(name.to_owned()).unwrap(),
        schema_version,
        codec: "json".into(),
        payload: payload.to_string().into(),
        metadata: Metadata::default(),
    }
}

async fn append(store: &MemoryStore, stream: &str, events: Vec<NewEvent>) {
    store.append(Append::to(stream.parse().unwrap(), Expected::Any, events)).await.unwrap();
}

/// A customer who was registered, viewed, changed in the old way, and moved in the first.
async fn old_customer() -> MemoryStore {
    let store = MemoryStore::new();
    let events = vec![
        new_event("customer.registered", 1, &json!({ "name": "Ada" })),
        new_event("customer.viewed", 9, &json!("whatever")),
        new_event("customer.touched", 1, &json!({ "name": "Lady Ada", "street": "Main Street" })),
        new_event("customer.changed", 2, &json!({ "name": null, "streets": ["A", "B"] })),
        new_event("customer.changed", 2, &json!({ "name": null, "streets": [] })),
        new_event("customer.moved", 1, &json!({ "street": "C" })),
        new_event("customer.exported", 1, &json!({})),
    ];
    append(&store, "customer/1", events).await;
    store
}

const TOLD: [&str; 6] = ["Ada", "to Main Street", "is Lady Ada", "to A", "to B", "to C"];

// ---- What is promised ------------------------------------------------------------------------------------------

#[test]
fn an_old_event_is_read_as_its_parts_in_the_order_of_the_variants() {
    let changed = recorded("customer.changed", 2, &json!({ "name": "Ada", "streets": ["A", "B"] }));
    let to = |to: &str| CustomerEvent::Moved(Moved { to: to.into() });
    let is_ada = CustomerEvent::Renamed(Renamed { to: "Ada".into() });
    let parts = vec![to("A"), to("B"), is_ada];
    assert_eq!(CustomerEvent::decode_all(&changed).unwrap(), Decoded::Parts(parts));
    assert_eq!(Renamed::decode(&changed).unwrap(), Renamed { to: "Ada".into() });
    assert!(matches!(Moved::decode(&changed).unwrap_err().fault, DecodeFault::NotOne { found: 2 }));
    let viewed = recorded("customer.viewed", 1, &json!(null));
    assert_eq!(CustomerEvent::decode_all(&viewed).unwrap(), Decoded::Parts(vec![]));
    assert!(matches!(CustomerEvent::decode(&viewed).unwrap_err().fault, DecodeFault::NotOne { found: 0 }));
    assert!(matches!(Moved::decode_all(&viewed).unwrap_err().fault, DecodeFault::UnknownName));
}

#[test]
fn an_old_event_that_is_neither_split_nor_dropped_is_still_an_error() {
    let deleted = recorded("customer.deleted", 1, &json!(null));
    assert!(matches!(CustomerEvent::decode_all(&deleted).unwrap_err().fault, DecodeFault::UnknownName));
}

#[test]
fn a_split_that_fails_reads_no_part() {
    let changed = recorded("customer.changed", 2, &json!({ "name": "Ada", "streets": [""] }));
    let fault = CustomerEvent::decode_all(&changed).unwrap_err().fault;
    assert!(
        matches!(fault, DecodeFault::Split { source } if source.to_string() == "a street without a name")
    );
    let unreadable = recorded("customer.changed", 2, &json!({ "name": 1 }));
    assert!(matches!(CustomerEvent::decode_all(&unreadable).unwrap_err().fault, DecodeFault::Payload(_)));
}

#[test]
fn a_part_has_an_id_of_its_own_that_is_the_same_for_all_who_read_it() {
    let changed = recorded("customer.changed", 2, &json!({ "name": "Ada", "streets": ["A", "B"] }));
    let ids = |decoded: Decoded<Envelope<CustomerEvent>>| {
        decoded.into_iter().map(|part| part.id).collect::<Vec<_>>()
    };
    let all = ids(Envelope::decode_all(&changed).unwrap());
    assert_eq!(all, ids(Envelope::decode_all(&changed).unwrap()));
    let moved: Vec<_> = Envelope::<Moved>::decode_all(&changed).unwrap().into_iter().collect();
    let renamed = Envelope::<Renamed>::decode(&changed).unwrap();
    assert_eq!(all, [moved[0].id, moved[1].id, renamed.id]);
    assert!(all[0] != all[1] && all.iter().all(|id| *id != changed.id));
    for part in &moved {
        assert_eq!((part.version, part.position), (changed.version, changed.position));
        assert_eq!(part.correlation_id(), changed.correlation_id(), "the conversation is that of the whole");
    }
}

#[test]
fn an_event_that_is_not_split_keeps_its_id() {
    let moved = recorded("customer.moved", 2, &json!({ "to": "A" }));
    assert_eq!(Envelope::<CustomerEvent>::decode(&moved).unwrap().id, moved.id);
}

#[tokio::test]
async fn an_aggregate_sees_the_parts() {
    let customers = Repository::<Customer>::new(old_customer().await);
    let customer = customers.load(&1).await.unwrap();
    assert_eq!((customer.told.clone(), customer.version()), (TOLD.map(String::from).to_vec(), Version(7)));
    let rejected = customers.execute(&1, Register).await.unwrap_err();
    assert_eq!(rejected.to_string(), format!("rejected: {}", TOLD.join(", ")));
}

#[tokio::test]
async fn every_version_can_be_travelled_to() {
    let customers = Repository::<Customer>::new(old_customer().await).page_events(1);
    for (version, told) in [(1, 1), (2, 1), (3, 3), (4, 5), (5, 5), (6, 6), (7, 6)] {
        let then = customers.load_at(&1, Version(version)).await.unwrap();
        assert_eq!((then.told.len(), then.version()), (told, Version(version)));
    }
}

#[tokio::test]
async fn the_events_of_an_aggregate_are_its_parts_and_none_is_lost_between_pages() {
    let customers = Repository::<Customer>::new(old_customer().await);
    let all = customers.events(&1, Version::NONE, usize::MAX).await.unwrap();
    let versions: Vec<_> = all.iter().map(|event| event.version.0).collect();
    assert_eq!(versions, [1, 3, 3, 4, 4, 6]);
    for limit in 1..=7 {
        let (mut paged, mut after) = (Vec::new(), Version::NONE);
        loop {
            let page = customers.events(&1, after, limit).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= limit + 1, "only the parts of the last event are more");
            after = last.version;
            paged.extend(page);
        }
        assert_eq!(paged, all, "in pages of {limit}");
    }
}

#[tokio::test]
async fn more_events_than_asked_for_are_only_the_parts_of_the_last_one() {
    let store = MemoryStore::new();
    let changed = || new_event("customer.changed", 2, &json!({ "name": "Ada", "streets": ["A"] }));
    append(&store, "customer/1", vec![changed(), changed(), changed()]).await;
    let customers = Repository::<Customer>::new(store);
    for (limit, expected) in [(0, 0), (1, 2), (2, 2), (3, 4), (4, 4), (5, 6), (9, 6)] {
        assert_eq!(customers.events(&1, Version::NONE, limit).await.unwrap().len(), expected);
    }
}

#[tokio::test]
async fn a_handler_is_called_for_each_part() {
    let notes = Notes::default();
    let subscription =
        Subscription::new("notes", old_customer().await, OnFailure::stop()).handler(notes.clone());
    let head = subscription.catch_up().await.unwrap();
    assert_eq!(head.0, 7);
    let expected = [
        "any customer.registered",
        "to Main Street",
        "is Lady Ada",
        "any customer.moved",
        "any customer.renamed",
        "to A",
        "to B",
        "any customer.moved",
        "any customer.moved",
        "to C",
        "any customer.moved",
    ];
    assert_eq!(notes.texts(), expected);
}

#[tokio::test]
async fn a_part_that_fails_is_the_whole_event_that_failed() {
    let notes = Notes::default();
    *notes.fails_on.lock().unwrap() = Some("to B".into());
    let store = MemoryStore::new();
    append(&store, "customer/1", vec![new_event("customer.changed", 2, &json!({ "streets": ["A", "B"] }))])
        .await;
    let none = std::time::Duration::ZERO;
    let again = Retry::times(3).waits(none, none).then_stop();
    Subscription::new("notes", store, again).handler(notes.clone()).catch_up().await.unwrap();
    assert_eq!(notes.texts(), ["to A", "to A", "to B", "any customer.moved", "any customer.moved"]);
    let ids: Vec<_> = notes.notes.lock().unwrap().iter().map(|(_, id)| *id).collect();
    assert_eq!(ids[0], ids[1], "it is known again by its id");
    assert_eq!([ids[1], ids[2]], [ids[3], ids[4]], "whoever reads it");
}

#[tokio::test]
async fn a_condition_is_asked_of_each_part() {
    let notes = Notes::default();
    let scenario = HandlerScenario::new(notes.clone());
    let stream = || "customer/1".parse::<StreamId>().unwrap();
    let streets = json!({ "streets": ["A", "nowhere", "B"] });
    scenario.when_stored(stream(), "customer.changed", 2, streets).then(|_| ());
    assert_eq!(notes.texts()[..2], ["to A", "to B"]);
    assert_eq!(notes.texts().len(), 5);
}

#[test]
fn a_scenario_is_given_what_was_stored_long_ago() {
    Scenario::<Customer>::new()
        .given(Registered { name: "Ada".into() })
        .given_stored("customer.viewed", 1, json!(null))
        .given_stored("customer.changed", 1, json!({ "name": "Eve", "street": "A" }))
        .when(Register)
        .then_rejected(&"Ada, to A, is Eve".to_owned());
}

// ---- Processes -------------------------------------------------------------------------------------------------

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "desk.noted", split(from = NotedAll, with = noted))]
struct Noted {
    text: String,
}

/// The process itself has an old event of two, each of which issues a command.
#[derive(Event, Serialize, Deserialize)]
#[event(name = "desk.noted_all")]
struct NotedAll {
    texts: Vec<String>,
    wait_for: Option<usize>,
}

fn noted(old: NotedAll) -> Vec<Noted> {
    old.texts.into_iter().map(|text| Noted { text }).collect()
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "desk.waited", split(from = NotedAll, with = waited))]
struct Waited {
    text: String,
}

fn waited(old: NotedAll) -> Vec<Waited> {
    let until = old.wait_for.unwrap_or_default();
    old.texts.into_iter().take(until).map(|text| Waited { text }).collect()
}

#[derive(Event, Clone, Debug, PartialEq)]
enum DeskEvent {
    Noted(Noted),
    Waited(Waited),
}

#[derive(Aggregate, ProcessManager, Default, Debug)]
#[aggregate(category = "desk", id = String, event = DeskEvent)]
#[process(name = "desk", on(Moved), on(Renamed), issues(Noted), deadline(Waited))]
struct Desk {
    texts: Vec<String>,
}

impl Apply<Noted> for Desk {
    fn apply(&mut self, event: Noted) {
        self.texts.push(event.text);
    }
}

impl Apply<Waited> for Desk {
    fn apply(&mut self, _: Waited) {}
}

impl React<Moved> for Desk {
    fn process(event: &Envelope<Moved>) -> Option<String> {
        Some(event.stream.id().to_owned())
    }

    fn react(&self, event: &Envelope<Moved>) -> Events<DeskEvent> {
        Events::one(Noted { text: format!("to {}", event.event.to) })
    }
}

impl React<Renamed> for Desk {
    fn process(event: &Envelope<Renamed>) -> Option<String> {
        Some(event.stream.id().to_owned())
    }

    fn react(&self, event: &Envelope<Renamed>) -> Events<DeskEvent> {
        Events::one(Noted { text: format!("is {}", event.event.to) })
    }
}

impl Issue<Noted> for Desk {
    type Target = Letters;
    type Command = Write;

    fn issue(event: &Envelope<Noted>) -> (u64, Write) {
        (1, Write(event.event.text.clone()))
    }

    fn rejected(&self, _: &Envelope<Noted>, _: &String) -> Events<DeskEvent> {
        Events::none()
    }
}

impl Deadline<Waited> for Desk {
    fn due(event: &Envelope<Waited>) -> Option<chrono::DateTime<chrono::Utc>> {
        (event.event.text != "never").then_some(event.recorded_at)
    }

    fn elapsed(&self, event: &Envelope<Waited>) -> Events<DeskEvent> {
        Events::one(Noted { text: format!("waited for {}", event.event.text) })
    }
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "letter.written")]
struct Written(String);

#[derive(Aggregate, Default, Debug)]
#[aggregate(category = "letters", id = u64, event = Written)]
struct Letters(Vec<String>);

impl Apply<Written> for Letters {
    fn apply(&mut self, event: Written) {
        self.0.push(event.0);
    }
}

#[derive(Debug, PartialEq)]
struct Write(String);

impl Handle<Write> for Letters {
    type Error = String;

    fn handle(&self, command: &Write) -> Result<Events<Written>, String> {
        Ok(Events::one(Written(command.0.clone())))
    }
}

#[tokio::test]
async fn a_process_reacts_to_each_part_once_however_often_it_comes() {
    let store = MemoryStore::new();
    let changed = json!({ "name": "Ada", "streets": ["A", "B"] });
    append(&store, "customer/1", vec![new_event("customer.changed", 2, &changed)]).await;
    // A part that fails has the whole event come again: the same ids are the same reactions and commands.
    let process = Process::<Desk, _>::new(store.clone(), OnFailure::stop());
    process.catch_up().await.unwrap();
    let letters = || async { Repository::<Letters>::new(store.clone()).load(&1).await.unwrap().0.clone() };
    assert_eq!(letters().await, ["to A", "to B", "is Ada"]);
    set_back(&store, "desk").await;
    set_back(&store, "desk/commands").await;
    process.catch_up().await.unwrap();
    assert_eq!(letters().await, ["to A", "to B", "is Ada"]);
    let desk = Repository::<Desk>::new(store.clone()).load(&"1".to_owned()).await.unwrap();
    assert_eq!(desk.texts, ["to A", "to B", "is Ada"]);
}

async fn set_back(store: &MemoryStore, subscription: &str) {
    use factum::{Checkpoint, Checkpoints};
    let at = store.checkpoint(subscription).await.unwrap();
    store.move_checkpoint(subscription, at, Checkpoint::START).await.unwrap();
}

#[tokio::test]
async fn an_old_event_of_a_process_issues_a_command_for_each_part_and_sets_one_deadline() {
    let store = MemoryStore::new();
    let all = json!({ "texts": ["x", "never"], "wait_for": 2 });
    append(&store, "desk/1", vec![new_event("desk.noted_all", 1, &all)]).await;
    let process = Process::<Desk, _>::new(store.clone(), OnFailure::stop());
    process.catch_up().await.unwrap();
    let letters = Repository::<Letters>::new(store.clone()).load(&1).await.unwrap();
    assert_eq!(letters.0, ["x", "never", "waited for x"]);
}

#[tokio::test]
async fn an_old_event_of_which_two_parts_set_a_deadline_is_not_passed_over() {
    let store = MemoryStore::new();
    let all = json!({ "texts": ["x", "y"], "wait_for": 2 });
    append(&store, "desk/1", vec![new_event("desk.noted_all", 1, &all)]).await;
    let error = Process::<Desk, _>::new(store, OnFailure::stop()).catch_up().await.unwrap_err();
    assert!(format!("{error:?}").contains("NotOne { found: 2 }"), "{error:?}");
}

#[test]
fn a_process_is_tested_with_what_was_stored_long_ago() {
    let stream = || "customer/7".parse::<StreamId>().unwrap();
    let noted = |text: &str| Noted { text: text.into() };
    let _ = ProcessScenario::<Desk>::new()
        .when_stored(stream(), "customer.changed", 1, json!({ "name": "Ada", "street": "A" }))
        .of(&"7".to_owned())
        .then_all(factum::events![noted("to A"), noted("is Ada")]);
}

// ---- What a newer program has written --------------------------------------------------------------------------

/// By its own name, by an alias of what it was split from, and by that itself.
const NEWER: [(&str, u32, u32); 3] =
    [("customer.moved", 3, 2), ("customer.changed", 3, 2), ("customer.touched", 8, 2)];

fn is_newer(fault: &DecodeFault, found: u32, known: u32) -> bool {
    matches!(fault, DecodeFault::NewerThanProgram { found: f, known: k } if (*f, *k) == (found, known))
}

async fn from_tomorrow(name: &str, version: u32) -> MemoryStore {
    let store = MemoryStore::new();
    let registered = new_event("customer.registered", 1, &json!({ "name": "Ada" }));
    append(&store, "customer/1", vec![registered, new_event(name, version, &json!({}))]).await;
    store
}

#[tokio::test]
async fn an_aggregate_with_an_event_of_tomorrow_is_not_loaded() {
    for (name, found, known) in NEWER {
        let customers = Repository::<Customer>::new(from_tomorrow(name, found).await);
        let LoadError::Decode(error) = customers.load(&1).await.unwrap_err() else { panic!("another error") };
        assert!(is_newer(&error.fault, found, known) && error.name.as_str() == name, "{error}");
        let LoadError::Decode(error) = customers.load_at(&1, Version(2)).await.unwrap_err() else { panic!() };
        assert!(is_newer(&error.fault, found, known), "{error}");
        let LoadError::Decode(error) = customers.events(&1, Version::NONE, 9).await.unwrap_err() else {
            panic!()
        };
        assert!(is_newer(&error.fault, found, known), "{error}");
        assert_eq!(customers.load_at(&1, Version(1)).await.unwrap().told, ["Ada"]);
        assert!(matches!(
            customers.execute(&1, Register).await.unwrap_err(),
            factum::ExecuteError::Decode(error) if is_newer(&error.fault, found, known)
        ));
    }
}

#[tokio::test]
async fn a_subscription_stops_at_an_event_of_tomorrow() {
    for (name, found, known) in NEWER {
        let notes = Notes::default();
        let store = from_tomorrow(name, found).await;
        let subscription = Subscription::new("notes", store, OnFailure::stop()).handler(notes.clone());
        let error = subscription.catch_up().await.unwrap_err();
        let SubscriptionError::Handler(error) = &error else { panic!("another error: {error:?}") };
        let factum::HandlerFault::Decode(decode) = &error.fault else { panic!("another fault: {error:?}") };
        assert!(is_newer(&decode.fault, found, known), "{decode}");
        assert_eq!(notes.texts(), ["any customer.registered"]);
    }
}

#[tokio::test]
async fn a_subscription_tries_an_event_of_tomorrow_again_and_sets_it_aside_saying_why() {
    let none = std::time::Duration::ZERO;
    let retry = || Retry::times(2).waits(none, none);
    for (name, found, _) in NEWER {
        let stubborn = Subscription::new("notes", from_tomorrow(name, found).await, retry().then_stop());
        let error = stubborn.handler(Notes::default()).catch_up().await.unwrap_err();
        assert!(matches!(error, SubscriptionError::Handler(_)), "{error}");
        for policy in [retry().then_park_event(), retry().then_park_stream()] {
            let store = from_tomorrow(name, found).await;
            let subscription = Subscription::new("notes", store.clone(), policy).handler(Notes::default());
            subscription.catch_up().await.unwrap();
            let letters = store.dead_letters(ReadDeadLetters::of("notes")).await.unwrap();
            let [letter] = &letters[..] else { panic!("one letter, not {letters:?}") };
            assert_eq!(letter.letter.event.position.0, 2);
            let why = format!("{:?}", letter.letter.failure);
            assert!(why.contains("update the program"), "{why}");
        }
    }
}

#[test]
fn a_scenario_says_that_an_event_is_of_tomorrow() {
    for (name, found, _) in NEWER {
        let given = || drop(Scenario::<Customer>::new().given_stored(name, found, json!({})));
        let panic = *std::panic::catch_unwind(given).unwrap_err().downcast::<String>().unwrap();
        assert!(panic.contains("update the program"), "{panic}");
        let stream = || "customer/1".parse::<StreamId>().unwrap();
        let comes = || {
            drop(HandlerScenario::new(Notes::default()).when_stored(stream(), name, found, json!({})));
        };
        let panic = *std::panic::catch_unwind(comes).unwrap_err().downcast::<String>().unwrap();
        assert!(panic.contains("update the program"), "{panic}");
    }
}
