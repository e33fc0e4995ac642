//! Personal data: sealed in the store, opened for who has the keys, and forgotten with them.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use factum::memory::{MemoryKeys, MemoryStore, MemoryTx};
use factum::migrate::Migration;
use factum::privacy::{KeyStore, MasterKey, MasterKeys, StoredKey, SubjectKey, Vault, rewrap};
use factum::snapshot::{Found, ReadFrom, Start};
use factum::store::{Append, ReadAll, ReadStream};
use factum::testing::{HandlerScenario, Scenario};
use factum::transfer::{Export, export, import};
use factum::{
    Aggregate, Apply, Cache, Codec, Context, DecodeFault, Encoding, Envelope, Event, EventHandler, EventId,
    EventStore, Events, ExecuteError, Expected, Handle, Inline, Invalid, LoadError, Metadata, NewEvent, On,
    OnFailure, Position, RecordedEvent, Repository, Retry, StoreError, StoreErrorKind, StreamId,
    Subscription, SubscriptionError, Version,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "customer.registered")]
#[serde(rename_all = "camelCase")]
struct Registered {
    customer: u64,
    #[event(personal(subject = customer, fallback = "gone".to_owned()))]
    full_name: String,
    #[event(personal(subject = customer))]
    #[serde(rename = "mail")]
    e_mail: Option<String>,
    #[event(personal(subject = customer))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    phones: Vec<u64>,
    plan: String,
}

/// About two persons.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "customer.referred", version = 2, upcast(from = 1, with = referred_v1))]
struct Referred {
    by: String,
    customer: String,
    #[event(personal(subject = by))]
    greeting: String,
    #[event(personal(subject = customer, fallback = 0))]
    born: u16,
}

/// Version 1 called the greeting a note.
fn referred_v1(mut old: Value) -> Result<Value, &'static str> {
    old["greeting"] = old.get_mut("note").ok_or("no note")?.take();
    Ok(old)
}

/// The version of before.
#[derive(Event, Serialize, Deserialize)]
#[event(name = "customer.referred")]
struct ReferredV1 {
    by: String,
    customer: String,
    #[event(personal(subject = by, fallback = "an old note".to_owned()))]
    note: String,
    born: u16,
}

#[derive(Event, Clone, Debug, PartialEq)]
enum CustomerEvent {
    Registered(Registered),
    Referred(Referred),
}

#[derive(Aggregate, Serialize, Deserialize, Default, Clone, Debug, PartialEq)]
#[aggregate(category = "customer", id = u64, event = CustomerEvent, snapshot(every = 1, version = 1))]
struct Customer {
    names: Vec<String>,
    mail: Option<String>,
    phones: Vec<u64>,
    greetings: Vec<String>,
    born: Vec<u16>,
}

impl Apply<Registered> for Customer {
    fn apply(&mut self, event: Registered) {
        self.names.push(event.full_name);
        self.mail = event.e_mail;
        self.phones = event.phones;
    }
}

impl Apply<Referred> for Customer {
    fn apply(&mut self, event: Referred) {
        self.greetings.push(event.greeting);
        self.born.push(event.born);
    }
}

impl Handle<CustomerEvent> for Customer {
    type Error = std::convert::Infallible;

    fn handle(&self, command: &CustomerEvent) -> Result<Events<CustomerEvent>, Self::Error> {
        Ok(Events::one(command.clone()))
    }
}

const MASTER: [u8; 32] = [7; 32];

fn master() -> MasterKey {
    MasterKey::new("first", MASTER)
}

fn ada() -> CustomerEvent {
    CustomerEvent::Registered(Registered {
        customer: 7,
        full_name: "Ada Lovelace".into(),
        e_mail: Some("ada@example.org".into()),
        phones: vec![4_711],
        plan: "gold".into(),
    })
}

fn referred() -> CustomerEvent {
    CustomerEvent::Referred(Referred {
        by: "7".into(),
        customer: "8".into(),
        greeting: "Dear Charles".into(),
        born: 1791,
    })
}

fn stream() -> StreamId {
    StreamId::new("customer", "7").unwrap()
}

struct Shop {
    store: MemoryStore,
    keys: MemoryKeys,
    vault: Vault<MemoryStore>,
    customers: Repository<Customer>,
}

fn shop() -> Shop {
    let (store, keys) = (MemoryStore::new(), MemoryKeys::default());
    let vault = Vault::new(store.clone(), keys.clone(), master());
    Shop { store, keys, customers: Repository::new(vault.clone()), vault }
}

/// With Ada, who has referred somebody.
async fn shop_with_ada(encoding: impl Into<Encoding>) -> Shop {
    let mut shop = shop();
    shop.customers = shop.customers.codec(encoding);
    shop.customers.execute(&7, ada()).await.unwrap();
    shop.customers.execute(&7, referred()).await.unwrap();
    shop
}

async fn stored(store: &MemoryStore) -> Vec<RecordedEvent> {
    store.read_stream(ReadStream::new(stream())).await.unwrap().events
}

/// Why the customer of a store cannot be loaded through a vault.
async fn fault(vault: impl EventStore) -> DecodeFault {
    match Repository::<Customer>::new(vault).load(&7).await.unwrap_err() {
        LoadError::Decode(error) => error.fault,
        error => panic!("not a decode error: {error}"),
    }
}

/// The events of a store, changed, in another store that has the same keys.
async fn changed(shop: &Shop, change: impl Fn(usize, &mut NewEvent, &[RecordedEvent])) -> Vault<MemoryStore> {
    let events = stored(&shop.store).await;
    let copy = MemoryStore::new();
    let new = events.iter().enumerate().map(|(index, event)| {
        let mut new = NewEvent {
            id: event.id,
            name: event.name.clone(),
            schema_version: event.schema_version,
            codec: event.codec.clone(),
            payload: event.payload.clone(),
            metadata: event.metadata.clone(),
        };
        change(index, &mut new, &events);
        new
    });
    copy.append(Append::to(stream(), Expected::NoStream, new.collect())).await.unwrap();
    Vault::new(copy, shop.keys.clone(), master())
}

/// A member of a JSON payload.
fn member(payload: &[u8], key: &str) -> Value {
    serde_json::from_slice::<Value>(payload).unwrap()[key].clone()
}

fn with_member(event: &mut NewEvent, key: &str, value: Value) {
    let mut payload: Value = serde_json::from_slice(&event.payload).unwrap();
    payload[key] = value;
    event.payload = payload.to_string().into();
}

#[tokio::test]
async fn what_is_personal_is_sealed_in_the_store_and_opened_for_its_readers() {
    let encodings: [Encoding; 4] = [
        Codec::Json.into(),
        Codec::MessagePack.into(),
        Codec::Json.compressed_from(0),
        Codec::MessagePack.compressed_from(0),
    ];
    for encoding in encodings {
        let shop = shop_with_ada(encoding).await;
        let loaded = shop.customers.load(&7).await.unwrap().into_state();
        let expected = Customer {
            names: vec!["Ada Lovelace".into()],
            mail: Some("ada@example.org".into()),
            phones: vec![4_711],
            greetings: vec!["Dear Charles".into()],
            born: vec![1791],
        };
        assert_eq!(loaded, expected, "{encoding:?}");
        assert_eq!(shop.customers.load_at(&7, Version(1)).await.unwrap().names, ["Ada Lovelace"]);
        let events = shop.customers.events(&7, Version::NONE, 10).await.unwrap();
        assert_eq!(events.into_iter().map(|event| event.event).collect::<Vec<_>>(), [ada(), referred()]);
        for event in stored(&shop.store).await {
            let codec = event.codec.split('+').collect::<Vec<_>>();
            assert_eq!((codec[0], codec[1]), (encoding.codec().name(), "sealed"));
            for text in ["Ada", "example", "Charles"] {
                let found = event.payload.windows(text.len()).any(|window| window == text.as_bytes());
                assert!(!found, "{text} is in {:?}", event.payload);
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_personal_stays_readable_and_nothing_personal_costs_nothing() {
    let shop = shop_with_ada(Codec::Json).await;
    let payload = &stored(&shop.store).await[0].payload;
    assert_eq!((member(payload, "plan"), member(payload, "customer")), ("gold".into(), 7.into()));
    for key in ["fullName", "mail", "phones"] {
        assert!(member(payload, key).as_str().unwrap().starts_with("factum.sealed:1:"), "{key}");
    }
    // Keys that cannot be reached are not asked for what has nothing personal.
    let vault = Vault::new(MemoryStore::new(), Unreachable, master());
    let orders = Repository::<crate::domain::Order>::new(vault.clone());
    orders.execute(&1, crate::domain::place()).await.unwrap();
    orders.load(&1).await.unwrap();
    assert_eq!(
        vault.store().read_all(ReadAll::after(Position::START)).await.unwrap().events[0].codec,
        "json"
    );
}

#[tokio::test]
async fn who_is_forgotten_is_forgotten_everywhere_and_nobody_else() {
    for encoding in [Encoding::from(Codec::Json), Codec::MessagePack.compressed_from(0)] {
        let shop = shop_with_ada(encoding).await;
        assert_eq!(shop.vault.forget("7").await.unwrap(), [stream()]);
        let customer = shop.customers.load(&7).await.unwrap().into_state();
        let expected = Customer {
            names: vec!["gone".into()],
            mail: None,
            phones: Vec::new(),
            greetings: vec![String::new()],
            // It is about somebody else.
            born: vec![1791],
        };
        assert_eq!(customer, expected, "{encoding:?}");
        assert_eq!(shop.vault.forget("8").await.unwrap(), [stream()]);
        assert_eq!(shop.customers.load(&7).await.unwrap().born, [0]);
        assert_eq!(shop.vault.forget("nobody").await.unwrap(), []);
    }
}

#[tokio::test]
async fn no_state_is_kept_in_the_clear() {
    let shop = shop();
    let customers = shop.customers.clone().cached(Cache::new(100, 1 << 20));
    for command in [ada(), referred(), ada()] {
        customers.execute(&7, command).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(customers.load(&7).await.unwrap().names, ["Ada Lovelace", "Ada Lovelace"]);

    let latest = Start::Snapshot { shape: 1, up_to: Version(u64::MAX) };
    let snapshots = shop.store.snapshots().expect("the store itself keeps snapshots");
    let kept = snapshots.read_from(ReadFrom::new(stream(), latest)).await.unwrap();
    assert_eq!(kept.found, Found::Nothing, "a snapshot would outlive the key");

    shop.vault.forget("7").await.unwrap();
    assert_eq!(customers.load(&7).await.unwrap().names, ["gone", "gone"]);
}

#[tokio::test]
async fn an_old_shape_has_the_fallback_of_its_own_time() {
    let shop = shop();
    let old = ReferredV1 { by: "7".into(), customer: "8".into(), note: "Hello".into(), born: 1791 };
    let old = NewEvent::encode(&old, Codec::Json, Metadata::default()).unwrap();
    shop.vault.append(Append::to(stream(), Expected::NoStream, vec![old])).await.unwrap();
    assert_eq!(shop.customers.load(&7).await.unwrap().greetings, ["Hello"]);
    shop.vault.forget("7").await.unwrap();
    assert_eq!(shop.customers.load(&7).await.unwrap().greetings, ["an old note"]);
}

#[tokio::test]
async fn who_was_forgotten_gets_no_new_key_by_accident() {
    let shop = shop_with_ada(Codec::Json).await;
    shop.vault.forget("7").await.unwrap();
    let refused = shop.customers.execute(&7, ada()).await.unwrap_err();
    let is_refusal = |error: &ExecuteError<_>| matches!(error, ExecuteError::Invalid(Invalid::Forgotten { subject, .. }) if subject == "7");
    assert!(is_refusal(&refused), "{refused:?}");
    assert_eq!(stored(&shop.store).await.len(), 2, "nothing was written");
    // Also of whom nothing was known.
    shop.vault.forget("9").await.unwrap();
    assert!(shop.keys.keys(&["9".into()]).await.unwrap()[0].key.is_none());

    let blank = Repository::<Customer>::new(shop.vault.clone().blank_if_forgotten());
    assert_eq!(blank.execute(&7, ada()).await.unwrap().version(), Version(3));
    assert_eq!(shop.customers.load(&7).await.unwrap().names, ["gone", "gone"]);
    assert_eq!(stored(&shop.store).await[2].codec, "json", "there is nothing to be opened");

    shop.vault.remember("7").await.unwrap();
    shop.customers.execute(&7, ada()).await.unwrap();
    let names = shop.customers.load(&7).await.unwrap().into_state().names;
    assert_eq!(names, ["gone", "gone", "Ada Lovelace"], "what was forgotten stays so");
    shop.vault.remember("7").await.unwrap();
    assert_eq!(shop.customers.load(&7).await.unwrap().names[2], "Ada Lovelace", "she was there already");
}

#[tokio::test]
async fn without_a_vault_nothing_personal_is_written_or_read() {
    let plain = Repository::<Customer>::new(MemoryStore::new());
    let refused = plain.execute(&7, ada()).await.unwrap_err();
    assert!(matches!(refused, ExecuteError::Invalid(Invalid::NotSealed { .. })), "{refused:?}");
    let shop = shop_with_ada(Codec::Json).await;
    assert!(matches!(fault(shop.store.clone()).await, DecodeFault::Sealed));
    let shop = shop_with_ada(Codec::MessagePack.compressed_from(0)).await;
    assert!(matches!(fault(shop.store.clone()).await, DecodeFault::Sealed));
}

/// With Ada, in a store that is encrypted.
async fn encrypted_shop(encoding: impl Into<Encoding>) -> Shop {
    let Shop { store, keys, vault, .. } = shop();
    let vault = vault.encrypted();
    let customers = Repository::new(vault.clone()).codec(encoding);
    customers.execute(&7, ada()).await.unwrap();
    customers.execute(&7, referred()).await.unwrap();
    Shop { store, keys, vault, customers }
}

#[tokio::test]
async fn an_encrypted_store_has_nothing_of_a_payload_in_the_clear() {
    for encoding in [Codec::Json.into(), Codec::MessagePack.into(), Codec::Json.compressed_from(0)] {
        let shop = encrypted_shop(encoding).await;
        for event in stored(&shop.store).await {
            assert!(event.codec.ends_with("+encrypted"), "{}", event.codec);
            for word in ["gold", "plan", "Ada", "factum.sealed"] {
                let is_there = event.payload.windows(word.len()).any(|part| part == word.as_bytes());
                assert!(!is_there, "{word} in {encoding:?}");
            }
        }
        let customer = shop.customers.load(&7).await.unwrap().into_state();
        assert_eq!((&*customer.names, &*customer.born), (&["Ada Lovelace".to_owned()][..], &[1791][..]));
        let all = shop.vault.read_all(ReadAll::after(Position::START)).await.unwrap().events;
        assert!(all.iter().all(|event| event.codec == encoding.codec().name()), "{all:?}");

        // A person is forgotten there as everywhere, and everybody who has the keys reads it, asked to encrypt or not.
        shop.vault.forget("7").await.unwrap();
        let other = Vault::new(shop.store.clone(), shop.keys.clone(), master());
        let customers = Repository::<Customer>::new(other);
        assert_eq!(customers.load(&7).await.unwrap().names, ["gone"]);
    }
}

#[tokio::test]
async fn a_store_can_be_encrypted_later_and_no_more() {
    let shop = shop_with_ada(Codec::Json).await;
    let encrypted = Repository::<Customer>::new(shop.vault.clone().encrypted());
    encrypted.execute(&7, ada()).await.unwrap();
    shop.customers.execute(&7, ada()).await.unwrap();
    for customers in [encrypted, shop.customers] {
        assert_eq!(customers.load(&7).await.unwrap().names, ["Ada Lovelace"; 3]);
    }
    let codecs: Vec<_> = stored(&shop.store).await.into_iter().map(|event| event.codec).collect();
    assert_eq!(codecs, ["json+sealed", "json+sealed", "json+sealed+encrypted", "json+sealed"]);
}

#[tokio::test]
async fn an_encrypted_payload_opens_only_where_it_was_encrypted() {
    let shop = encrypted_shop(Codec::Json).await;
    assert!(matches!(fault(shop.store.clone()).await, DecodeFault::Sealed), "without a vault");
    let no_keys = Vault::new(shop.store.clone(), MemoryKeys::default(), master());
    assert!(matches!(fault(no_keys).await, DecodeFault::NoKey), "a lost table of keys is no new key");
    let as_it_is = changed(&shop, |_, _, _| {}).await;
    assert!(Repository::<Customer>::new(as_it_is).load(&7).await.is_ok());

    let is_broken = async |change: &dyn Fn(&mut NewEvent, &[RecordedEvent])| {
        let change = |index, new: &mut NewEvent, old: &[RecordedEvent]| {
            if index == 0 {
                change(new, old);
            }
        };
        matches!(fault(changed(&shop, change).await).await, DecodeFault::SealBroken)
    };
    assert!(is_broken(&|new, _| new.id = EventId::new()).await, "in another event");
    assert!(is_broken(&|new, old| new.name = old[1].name.clone()).await, "under another name");
    assert!(is_broken(&|new, _| new.codec = "msgpack+encrypted".into()).await, "by another codec");
    let length = stored(&shop.store).await[0].payload.len();
    for at in 0..length {
        assert!(is_broken(&|new, old| new.payload = old[0].payload.slice(..at)).await, "cut off at {at}");
        let garble = |new: &mut NewEvent, old: &[RecordedEvent]| {
            let mut bytes = old[0].payload.to_vec();
            bytes[at] ^= 1;
            new.payload = bytes.into();
        };
        assert!(is_broken(&garble).await, "changed at {at}");
    }
}

/// An event in which nothing is personal.
#[derive(Event, Serialize, Deserialize, Debug)]
#[event(name = "shop.opened")]
struct Opened {
    town: String,
}

#[tokio::test]
async fn an_encrypted_payload_is_bound_to_its_event() {
    let shop = encrypted_shop(Codec::Json).await;
    let opened = Opened { town: "London".into() };
    let new = NewEvent::encode(&opened, Codec::Json, Metadata::default()).unwrap();
    shop.vault
        .append(Append::to("shop/1".parse().unwrap(), Expected::NoStream, vec![new.clone()]))
        .await
        .unwrap();
    let found = shop.store.find_event(new.id).await.unwrap().unwrap();
    let other = NewEvent { id: EventId::new(), codec: found.codec, payload: found.payload, ..new.clone() };
    let id = other.id;
    shop.store.append(Append::to("shop/2".parse().unwrap(), Expected::NoStream, vec![other])).await.unwrap();

    let mine = shop.vault.find_event(new.id).await.unwrap().unwrap();
    assert_eq!(Opened::decode_all(&mine).unwrap().into_iter().next().unwrap().town, "London");
    let moved = shop.vault.find_event(id).await.unwrap().unwrap();
    assert!(matches!(Opened::decode_all(&moved).unwrap_err().fault, DecodeFault::SealBroken));
}

#[tokio::test]
async fn nobody_has_the_key_of_the_store() {
    let shop = encrypted_shop(Codec::Json).await;
    assert!(shop.vault.forget("factum:store").await.is_err());
    assert!(shop.vault.remember("factum:store").await.is_err());
    let CustomerEvent::Referred(mut of_the_store) = referred() else { unreachable!("it is one") };
    of_the_store.by = "factum:store".into();
    let refused = shop.customers.execute(&7, CustomerEvent::Referred(of_the_store)).await;
    assert!(matches!(refused, Err(ExecuteError::Store(_))), "{refused:?}");
    assert!(shop.customers.load(&7).await.is_ok());

    // Whoever deletes it by other means is told, and gets no new one.
    let key = shop.keys.keys(&["factum:store".to_owned()]).await.unwrap().pop().unwrap();
    assert!(shop.keys.replace_key(&key, StoredKey { key: None, ..key.clone() }).await.unwrap());
    let later = Vault::new(shop.store.clone(), shop.keys.clone(), master()).encrypted();
    let refused = Repository::<Customer>::new(later.clone()).execute(&8, ada()).await;
    assert!(matches!(refused, Err(ExecuteError::Store(_))), "{refused:?}");
    assert!(matches!(fault(later).await, DecodeFault::NoKey));
}

/// Keys that are somewhere else, and nobody answers.
struct Unreachable;

fn unreachable() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "read keys")
}

#[async_trait]
impl KeyStore for Unreachable {
    async fn keys(&self, _: &[String]) -> Result<Vec<StoredKey>, StoreError> {
        Err(unreachable())
    }
    async fn add_keys(&self, _: Vec<StoredKey>) -> Result<Vec<StoredKey>, StoreError> {
        Err(unreachable())
    }
    async fn replace_key(&self, _: &StoredKey, _: StoredKey) -> Result<bool, StoreError> {
        Err(unreachable())
    }
    async fn list_keys(&self, _: &str, _: usize) -> Result<Vec<StoredKey>, StoreError> {
        Err(unreachable())
    }
}

#[tokio::test]
async fn keys_that_cannot_be_reached_are_an_error_and_never_a_fallback() {
    let shop = shop_with_ada(Codec::Json).await;
    let vault = Vault::new(shop.store.clone(), Unreachable, master());
    let customers = Repository::<Customer>::new(vault.clone());
    let LoadError::Store(error) = customers.load(&7).await.unwrap_err() else { panic!("not of the store") };
    assert!(error.is_transient());
    assert!(matches!(customers.execute(&8, ada()).await, Err(ExecuteError::Store(_))));
    let mut file = Vec::new();
    assert!(Export::of(&shop.store).opened_by(&vault).write(&mut file).await.is_err());

    // Keys that are there and know nothing of her are something else than a note that she was forgotten.
    let others = Vault::new(shop.store.clone(), MemoryKeys::default(), master());
    assert!(matches!(fault(others).await, DecodeFault::NoKey));
}

#[tokio::test]
async fn another_master_key_is_an_error() {
    let shop = shop_with_ada(Codec::Json).await;
    for other in [MasterKey::new("first", [8; 32]), MasterKey::new("second", MASTER)] {
        let vault = Vault::new(shop.store.clone(), shop.keys.clone(), other);
        let LoadError::Store(error) = Repository::<Customer>::new(vault).load(&7).await.unwrap_err() else {
            panic!("not of the store")
        };
        assert_eq!(*error.kind(), StoreErrorKind::WrongMasterKey);
    }
}

#[tokio::test]
async fn a_new_master_key_wraps_all_keys_anew_and_events_stay_as_they_are() {
    let shop = shop_with_ada(Codec::Json).await;
    shop.vault.forget("8").await.unwrap();
    let before = stored(&shop.store).await;
    let second = || MasterKey::new("second", [9; 32]);
    assert_eq!(rewrap(&shop.keys, &second().and_older(master())).await.unwrap(), 1);
    assert_eq!(rewrap(&shop.keys, &second().and_older(master())).await.unwrap(), 0);
    let vault = Vault::new(shop.store.clone(), shop.keys.clone(), second());
    let customer = Repository::<Customer>::new(vault).load(&7).await.unwrap().into_state();
    assert_eq!((customer.names, customer.born), (vec!["Ada Lovelace".into()], vec![0]));
    assert_eq!(stored(&shop.store).await, before);
}

#[tokio::test]
async fn a_sealed_value_opens_only_where_it_was_sealed() {
    let shop = shop_with_ada(Codec::Json).await;
    shop.customers.execute(&7, ada()).await.unwrap();
    let is_broken = async |change: &dyn Fn(usize, &mut NewEvent, &[RecordedEvent])| {
        matches!(fault(changed(&shop, change).await).await, DecodeFault::SealBroken)
    };
    assert!(
        Repository::<Customer>::new(changed(&shop, |_, _, _| {}).await).load(&7).await.is_ok(),
        "as it is"
    );
    // From one field to another, from one event to another, and under another name or id.
    assert!(
        is_broken(&|index, new, old| {
            if index == 0 {
                with_member(new, "fullName", member(&old[0].payload, "mail"));
            }
        })
        .await
    );
    assert!(
        is_broken(&|index, new, old| {
            if index == 0 {
                with_member(new, "fullName", member(&old[2].payload, "fullName"));
            }
        })
        .await
    );
    assert!(is_broken(&|_, new, _| new.id = EventId::new()).await);
    assert!(
        is_broken(&|index, new, old| {
            if index == 1 {
                // From one person to another.
                with_member(new, "greeting", member(&old[1].payload, "born"));
            }
        })
        .await
    );
    let text = |old: &[RecordedEvent]| member(&old[0].payload, "mail").as_str().unwrap().to_owned();
    // Cut off anywhere, or with another letter in it.
    let length = text(&stored(&shop.store).await).len();
    for cut in (16..length).step_by(7) {
        assert!(
            is_broken(&|index, new, old| {
                if index == 0 {
                    with_member(new, "mail", text(old)[..cut].into());
                }
            })
            .await,
            "cut off at {cut}"
        );
    }
    for at in (30..length).step_by(11) {
        let outcome = changed(&shop, |index, new, old| {
            if index == 0 {
                let mut text = text(old).into_bytes();
                text[at] = if text[at] == b'A' { b'B' } else { b'A' };
                with_member(new, "mail", String::from_utf8(text).unwrap().into());
            }
        })
        .await;
        // Another letter may make it somebody else's, whose key nobody has.
        assert!(
            matches!(fault(outcome).await, DecodeFault::SealBroken | DecodeFault::NoKey),
            "changed at {at}"
        );
    }
}

#[tokio::test]
async fn a_value_that_looks_like_a_sealed_one_is_refused() {
    let shop = shop();
    let CustomerEvent::Registered(event) = ada() else { panic!("she has registered") };
    let event = CustomerEvent::Registered(Registered { plan: "factum.sealed:1:AAAA".into(), ..event });
    let refused = shop.customers.execute(&7, event).await.unwrap_err();
    assert!(matches!(refused, ExecuteError::Invalid(Invalid::Encode { .. })), "{refused:?}");
}

/// Its own `Serialize` calls the field otherwise than its attributes say.
#[derive(Event, Deserialize, Clone, Debug)]
#[event(name = "customer.wrote")]
struct Wrote {
    customer: u64,
    #[event(personal(subject = customer))]
    text: String,
}

impl Serialize for Wrote {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::json!({ "customer": self.customer, "letter": self.text }).serialize(serializer)
    }
}

#[tokio::test]
async fn a_personal_field_that_is_not_found_is_no_reason_to_store_it_in_the_clear() {
    let shop = shop();
    let event = Wrote { customer: 7, text: "Dear Charles".into() };
    let new = NewEvent::encode(&event, Codec::Json, Metadata::default()).unwrap();
    let refused = shop.vault.append(Append::to(stream(), Expected::NoStream, vec![new])).await.unwrap_err();
    assert!(matches!(refused, factum::AppendError::Invalid(Invalid::Encode { .. })), "{refused:?}");
}

/// Notes the names it has seen.
#[derive(EventHandler, Clone, Default)]
#[handler(name = "names", error = std::convert::Infallible, on(Registered))]
struct Names(Arc<Mutex<Vec<String>>>);

impl On<Registered> for Names {
    async fn on(
        &self,
        event: &Envelope<Registered>,
        _: &mut Context,
    ) -> Result<(), std::convert::Infallible> {
        self.0.lock().unwrap().push(event.event.full_name.clone());
        Ok(())
    }
}

#[derive(EventHandler, Clone, Default)]
#[handler(name = "inline-names", error = std::convert::Infallible, cx = MemoryTx, on(Registered))]
struct InlineNames(Arc<Mutex<Vec<String>>>);

impl On<Registered, MemoryTx> for InlineNames {
    async fn on(
        &self,
        event: &Envelope<Registered>,
        _: &mut Context<MemoryTx>,
    ) -> Result<(), std::convert::Infallible> {
        self.0.lock().unwrap().push(event.event.full_name.clone());
        Ok(())
    }
}

#[tokio::test]
async fn handlers_see_it_in_the_clear_until_it_is_forgotten() {
    let shop = shop_with_ada(Codec::Json).await;
    let names = Names::default();
    let read = async |name: &str| {
        Subscription::new(name, shop.vault.clone(), OnFailure::stop())
            .handler(names.clone())
            .catch_up()
            .await
            .unwrap();
        names.0.lock().unwrap().pop().unwrap()
    };
    assert_eq!(read("before").await, "Ada Lovelace");
    shop.vault.forget("7").await.unwrap();
    assert_eq!(read("after").await, "gone");

    let inline = InlineNames::default();
    let store = Inline::new(shop.vault.clone()).handler(inline.clone());
    shop.vault.remember("7").await.unwrap();
    Repository::<Customer>::new(store).execute(&7, ada()).await.unwrap();
    assert_eq!(*inline.0.lock().unwrap(), ["Ada Lovelace"]);
}

#[tokio::test]
async fn a_subscription_without_keys_stops_and_one_that_parks_goes_on() {
    let shop = shop_with_ada(Codec::Json).await;
    let stopped = Subscription::new("bare", shop.store.clone(), OnFailure::stop()).handler(Names::default());
    assert!(matches!(stopped.catch_up().await, Err(SubscriptionError::Handler(_))));
    let others = Vault::new(shop.store.clone(), MemoryKeys::default(), master());
    let parking =
        Subscription::new("parking", others, Retry::times(1).then_park_event()).handler(Names::default());
    parking.catch_up().await.unwrap();
    assert_eq!(parking.health().await.unwrap().dead_letters, 1);
}

#[tokio::test]
async fn an_export_is_sealed_unless_it_is_asked_to_be_open() {
    let shop = shop_with_ada(Codec::Json).await;
    let text = async |of: &Vault<MemoryStore>, is_open: bool| {
        let mut file = Vec::new();
        let export = Export::of(of);
        let export = if is_open { export.opened_by(of).today::<CustomerEvent>() } else { export };
        export.write(&mut file).await.unwrap();
        String::from_utf8(file).unwrap()
    };
    let sealed = text(&shop.vault, false).await;
    assert!(!sealed.contains("Ada") && !sealed.contains("example.org"));
    assert!(text(&shop.vault, true).await.contains("Ada Lovelace"));
    shop.vault.forget("7").await.unwrap();
    assert!(!text(&shop.vault, true).await.contains("Ada Lovelace"));

    // With its keys, a sealed export is as good as the store.
    let copy = Vault::new(MemoryStore::new(), shop.keys.clone(), master());
    import(&copy, sealed.as_bytes()).await.unwrap();
    let customer = Repository::<Customer>::new(copy).load(&7).await.unwrap();
    assert_eq!((&customer.names[..], customer.born[0]), (&["gone".to_owned()][..], 1791));
    let mut file = Vec::new();
    export(&shop.store, &mut file).await.unwrap();
    assert_eq!(String::from_utf8(file).unwrap(), sealed);
}

#[tokio::test]
async fn a_stream_with_personal_data_can_be_moved_and_moved_again() {
    let shop = shop();
    let CustomerEvent::Registered(event) = ada() else { panic!("she has registered") };
    // A fallback is written also where serde would leave it out, which would be another content.
    let event = CustomerEvent::Registered(Registered { phones: Vec::new(), ..event });
    shop.customers.execute(&7, event).await.unwrap();
    shop.customers.execute(&7, referred()).await.unwrap();
    let to = StreamId::new("customer", "70").unwrap();
    let moved = async |vault: &Vault<MemoryStore>| {
        Migration::new(vault, stream(), to.clone())
            .run_typed(|old: Envelope<CustomerEvent>| [old.event])
            .await
            .unwrap()
    };
    assert_eq!(moved(&shop.vault).await.written, 2);
    assert_eq!(moved(&shop.vault).await.found, 2);
    assert_eq!(shop.customers.load(&70).await.unwrap().names, ["Ada Lovelace"]);
    assert_eq!(shop.vault.forget("7").await.unwrap(), [stream(), to.clone()]);
    let blank = shop.vault.clone().blank_if_forgotten();
    assert_eq!(moved(&blank).await.found, 2, "and what was forgotten is no reason to do it again");
    assert_eq!(shop.customers.load(&70).await.unwrap().names, ["gone"]);
}

#[tokio::test]
async fn a_command_that_is_repeated_is_known_although_it_would_be_sealed_otherwise() {
    let shop = shop();
    let id = factum::CommandId::from_key("register ada");
    for _ in 0..2 {
        let customer = shop.customers.execute(&7, ada()).command_id(id).await.unwrap();
        assert_eq!(customer.version(), Version(1));
    }
}

#[test]
fn a_scenario_needs_no_keys() {
    Scenario::<Customer>::new().given(ada()).when(referred()).then(referred());
    let CustomerEvent::Registered(event) = ada() else { panic!("she has registered") };
    HandlerScenario::new(Names::default())
        .when(stream(), event)
        .then(|names| assert_eq!(*names.0.lock().unwrap(), ["Ada Lovelace"]));
}

#[tokio::test]
async fn two_who_meet_a_new_person_at_once_get_one_key() {
    let keys = MemoryKeys::default();
    let wrapped = async || master().wrap("7", 1, &SubjectKey::generate()).await.unwrap();
    let new = async || StoredKey { subject: "7".into(), generation: 1, key: Some(wrapped().await) };
    let first = keys.add_keys(vec![new().await]).await.unwrap();
    assert_eq!(keys.add_keys(vec![new().await]).await.unwrap(), first);
}
