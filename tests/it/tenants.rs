//! Tenants: what two of them call alike has nothing to do with each other.

use std::sync::{Arc, Mutex};

use factum::memory::{MemoryKeys, MemoryStore};
use factum::privacy::{KeyStore, MasterKey, Vault, rewrap};
use factum::store::{ReadAll, ReadStream};
use factum::{
    Aggregate, Apply, Cache, Checkpoints, CommandId, Context, Decision, Decisions, Envelope, Event,
    EventHandler, EventStore, Events, ExecuteError, Handle, On, OnFailure, Position, Process, Records,
    Repository, Select, StreamId, Subscription, Tenant, TenantId, Tenants, View,
};
use serde::{Deserialize, Serialize};

use crate::domain;
use crate::fulfilment::{Fill, Fulfilment, Order, OrderStatus, Place, Stock};

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "seat.taken")]
struct SeatTaken {
    #[event(tag)]
    room: String,
    #[event(personal(subject = guest, fallback = "nobody".to_owned()))]
    name: String,
    guest: String,
}

#[derive(Aggregate, Serialize, Deserialize, Default, Clone, Debug, PartialEq)]
#[aggregate(category = "guest", id = u64, event = SeatTaken, snapshot(every = 1, version = 1))]
struct Guest {
    names: Vec<String>,
}

impl Apply<SeatTaken> for Guest {
    fn apply(&mut self, event: SeatTaken) {
        self.names.push(event.name);
    }
}

struct Seat(&'static str);

impl Handle<Seat> for Guest {
    type Error = std::convert::Infallible;

    fn handle(&self, Seat(name): &Seat) -> Result<Events<SeatTaken>, Self::Error> {
        Ok(Events::one(SeatTaken { room: "hall".into(), name: (*name).into(), guest: "7".into() }))
    }
}

/// Somebody takes a seat who may be called anything.
struct SeatFor(&'static str);

impl Handle<SeatFor> for Guest {
    type Error = std::convert::Infallible;

    fn handle(&self, SeatFor(guest): &SeatFor) -> Result<Events<SeatTaken>, Self::Error> {
        Ok(Events::one(SeatTaken { room: "hall".into(), name: "a guest".into(), guest: (*guest).into() }))
    }
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "desk.taken")]
struct DeskTaken {
    #[event(tag)]
    room: u64,
}

#[derive(View, Default)]
#[view(event = DeskTaken)]
struct Taken(u64);

impl Apply<DeskTaken> for Taken {
    fn apply(&mut self, _: DeskTaken) {
        self.0 += 1;
    }
}

/// There is one desk in a room.
struct TakeDesk;

impl Decision for TakeDesk {
    type Views = Taken;
    type Event = DeskTaken;
    type Error = &'static str;

    fn views(&self) -> Select<Taken> {
        Select::tagged("room", &1)
    }

    fn decide(&self, taken: &Taken) -> Result<Records<DeskTaken>, &'static str> {
        if taken.0 > 0 {
            return Err("it is taken");
        }
        Ok(Records::one("desk", &1, DeskTaken { room: 1 }))
    }
}

type TenantStore = Tenant<MemoryStore>;

fn tenant(name: &'static str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn two(store: &Tenants<MemoryStore>) -> (TenantStore, TenantStore) {
    (store.tenant(tenant("acme")), store.tenant(tenant("globex")))
}

async fn order<S: EventStore>(store: S, id: u64) -> Option<OrderStatus> {
    let found = Repository::<Order>::new(store).find(&id).await.unwrap();
    found.map(|order| order.into_state().status)
}

fn place() -> Place {
    Place { item: "lamp", pay_within: std::time::Duration::from_hours(24) }
}

#[tokio::test]
async fn two_tenants_have_an_order_of_the_same_number() {
    let store = Tenants::new(MemoryStore::new());
    let (acme, globex) = two(&store);
    Repository::<Order>::new(acme.clone()).execute(&1, place()).await.unwrap();
    assert!(order(acme, 1).await.is_some());
    assert!(order(globex.clone(), 1).await.is_none());
    assert!(order(store.all_tenants().clone(), 1).await.is_none(), "nobody's is another one");
    Repository::<Order>::new(globex.clone()).execute(&1, place()).await.unwrap();
    assert!(order(globex, 1).await.is_some());
}

#[tokio::test]
async fn one_id_of_a_command_is_another_command_for_each_tenant() {
    let store = Tenants::new(MemoryStore::new());
    let (acme, globex) = two(&store);
    let id = CommandId::from_key("request 1");
    for tenant in [&acme, &globex, &acme] {
        let orders = Repository::<Order>::new(tenant.clone());
        let placed = orders.execute(&1, place()).command_id(id).await.unwrap();
        assert_eq!(placed.version().0, 1, "once for each");
        let decisions = Decisions::new(tenant.clone());
        let appended = decisions.execute(TakeDesk).command_id(id).await.unwrap().unwrap();
        assert_eq!(appended.version().0, 1);
    }
}

#[tokio::test]
async fn a_decision_is_about_what_its_tenant_has() {
    let store = Tenants::new(MemoryStore::new());
    let (acme, globex) = two(&store);
    for tenant in [acme, globex] {
        let decisions = Decisions::new(tenant);
        decisions.execute(TakeDesk).await.unwrap();
        let again = decisions.execute(TakeDesk).await;
        assert!(matches!(again, Err(ExecuteError::Rejected("it is taken"))));
    }
}

#[tokio::test]
async fn the_last_desk_of_each_tenant_goes_to_one_of_many() {
    let store = Tenants::new(MemoryStore::new());
    let (acme, globex) = two(&store);
    let racers = (0..32).map(|at| {
        let tenant = if at % 2 == 0 { acme.clone() } else { globex.clone() };
        tokio::spawn(async move { Decisions::new(tenant).execute(TakeDesk).await.is_ok() })
    });
    let mut won = 0;
    for racer in racers.collect::<Vec<_>>() {
        won += u32::from(racer.await.unwrap());
    }
    assert_eq!(won, 2);
}

/// Where desks were taken.
#[derive(EventHandler, Clone, Default)]
#[handler(name = "desks", error = std::convert::Infallible, on(DeskTaken))]
struct Desks(Arc<Mutex<Vec<String>>>);

impl On<DeskTaken> for Desks {
    async fn on(&self, event: &Envelope<DeskTaken>, _: &mut Context) -> Result<(), std::convert::Infallible> {
        self.0.lock().unwrap().push(event.stream.to_string());
        Ok(())
    }
}

async fn heard<S>(store: S) -> Vec<String>
where
    S: EventStore + factum::Progress + Clone,
{
    let desks = Desks::default();
    Subscription::new("desks", store, OnFailure::stop()).handler(desks.clone()).catch_up().await.unwrap();
    desks.0.lock().unwrap().clone()
}

#[tokio::test]
async fn a_subscription_hears_of_its_tenant_and_one_over_all_of_everybody() {
    let store = Tenants::new(MemoryStore::new());
    let (acme, globex) = two(&store);
    for tenant in [&acme, &globex] {
        Decisions::new(tenant.clone()).execute(TakeDesk).await.unwrap();
    }
    assert_eq!(heard(acme.clone()).await, ["desk/1"]);
    assert_eq!(heard(acme.clone()).await, [""; 0], "it has a checkpoint");
    assert_eq!(heard(globex).await, ["desk/1"], "of its own");
    let all = heard(store.all_tenants().clone()).await;
    assert_eq!(all, ["acme~desk/1", "globex~desk/1"]);
    let whose: Vec<_> = all.iter().map(|stream| TenantId::of(&stream.parse().unwrap())).collect();
    let desk: StreamId = "desk/1".parse().unwrap();
    assert_eq!(whose, [Some((tenant("acme"), desk.clone())), Some((tenant("globex"), desk))]);
    assert_ne!(acme.checkpoint("desks").await.unwrap().position, Position::START);
}

#[tokio::test]
async fn a_process_works_for_its_tenant_alone() {
    let store = Tenants::new(MemoryStore::new());
    let (acme, globex) = two(&store);
    for tenant in [&acme, &globex] {
        Repository::<Stock>::new(tenant.clone()).execute(&"lamp".to_owned(), Fill(1)).await.unwrap();
        Repository::<Order>::new(tenant.clone()).execute(&1, place()).await.unwrap();
    }
    let process = Process::<Fulfilment, _>::new(acme.clone(), OnFailure::stop());
    for _ in 0..8 {
        for part in process.subscriptions() {
            part.catch_up().await.unwrap();
        }
    }
    let held = async |tenant: &TenantStore| {
        Repository::<Stock>::new(tenant.clone()).load(&"lamp".to_owned()).await.unwrap().held.len()
    };
    assert_eq!((held(&acme).await, held(&globex).await), (1, 0));
}

#[tokio::test]
async fn a_hot_aggregate_is_one_tenants() {
    let store = Tenants::new(MemoryStore::new());
    let (acme, globex) = two(&store);
    let hot = |store| Repository::<domain::Order>::new(store).cached(Cache::new(9, 1 << 20));
    let (acme, globex) = (hot(acme), hot(globex));
    acme.execute(&1, domain::place()).await.unwrap();
    assert!(globex.find(&1).await.unwrap().is_none());
    globex.execute(&1, domain::place()).await.unwrap();
    assert_eq!(acme.execute(&1, domain::ship("a")).await.unwrap().version().0, 2);
    assert_eq!(globex.load(&1).await.unwrap().version().0, 1);
}

fn master() -> MasterKey {
    MasterKey::new("first", [7; 32])
}

async fn names(vault: impl EventStore) -> Vec<String> {
    let guests = Repository::<Guest>::new(vault);
    guests.load(&7).await.map(|guest| guest.into_state().names).unwrap_or_default()
}

/// The names of all guests of all tenants, as whoever has all keys reads them.
async fn all_names(vault: impl EventStore) -> Vec<String> {
    let page = vault.read_all(ReadAll::after(Position::START)).await.unwrap();
    let name = |event| Envelope::<SeatTaken>::decode(event).unwrap().event.name;
    page.events.iter().map(name).collect()
}

#[tokio::test]
async fn the_persons_of_two_tenants_are_two_whoever_keeps_their_keys() {
    let (store, keys) = (Tenants::new(MemoryStore::new()), MemoryKeys::default());
    let (acme, globex) = two(&store);
    let acme = Vault::new(acme, keys.clone(), master());
    let globex = Vault::new(globex, keys.clone(), master());
    for (vault, name) in [(&acme, "Ada"), (&globex, "Bob")] {
        Repository::<Guest>::new(vault.clone()).execute(&7, Seat(name)).await.unwrap();
    }
    let all = Vault::new(store.all_tenants().clone(), keys.clone(), master());
    assert_eq!(all_names(all.clone()).await, ["Ada", "Bob"]);

    assert_eq!(acme.forget("7").await.unwrap(), ["guest/7".parse().unwrap()]);
    assert_eq!((names(acme.clone()).await, names(globex).await), (vec!["nobody".into()], vec!["Bob".into()]));
    assert_eq!(all_names(all).await, ["nobody", "Bob"]);
    acme.remember("7").await.unwrap();
    Repository::<Guest>::new(acme.clone()).execute(&7, Seat("Ada again")).await.unwrap();
    assert_eq!(names(acme).await, ["nobody", "Ada again"]);

    let rewrapped = rewrap(&keys, &MasterKey::new("second", [8; 32]).and_older(master())).await.unwrap();
    assert_eq!(rewrapped, 2, "all tenants at once");
}

#[tokio::test]
async fn nobody_is_taken_for_a_person_of_a_tenant_whatever_the_name() {
    let (store, keys) = (Tenants::new(MemoryStore::new()), MemoryKeys::default());
    let acme = store.tenant(tenant("acme"));
    let sales = Tenants::new(acme.clone()).tenant(tenant("sales"));
    let vault = |tenant: &TenantStore| Vault::new(tenant.clone(), keys.clone(), master());
    let nobodys = Vault::new(store.all_tenants().clone(), keys.clone(), master());
    let (acme, of_sales) = (vault(&acme), Vault::new(sales, keys.clone(), master()).encrypted());
    Repository::<Guest>::new(of_sales.clone()).execute(&7, SeatFor("7")).await.unwrap();
    Repository::<Guest>::new(acme.clone()).execute(&7, SeatFor("7")).await.unwrap();
    for name in ["sales~7", "~sales~7", "sales~factum:store"] {
        Repository::<Guest>::new(acme.clone()).execute(&1, SeatFor(name)).await.unwrap();
        acme.forget(name).await.unwrap();
    }
    for name in ["acme~7", "~acme~7", "acme~sales~7", "acme~sales~factum:store"] {
        nobodys.forget(name).await.unwrap();
    }
    assert_eq!(names(acme).await, ["a guest"]);
    assert_eq!(names(of_sales).await, ["a guest"]);
}

#[tokio::test]
async fn a_vault_below_the_tenants_keeps_their_persons_apart_as_well() {
    let (inner, keys) = (MemoryStore::new(), MemoryKeys::default());
    let store = Tenants::new(Vault::new(inner.clone(), keys.clone(), master()));
    let (acme, globex) = (store.tenant(tenant("acme")), store.tenant(tenant("globex")));
    for (tenant, name) in [(&acme, "Ada"), (&globex, "Bob")] {
        Repository::<Guest>::new(tenant.clone()).execute(&7, Seat(name)).await.unwrap();
    }
    let above = Vault::new(Tenants::new(inner).tenant(tenant("acme")), keys, master());
    assert_eq!(
        above.forget("7").await.unwrap(),
        ["guest/7".parse().unwrap()],
        "it finds what was sealed below"
    );
    assert_eq!((names(acme).await, names(globex).await), (vec!["nobody".into()], vec!["Bob".into()]));
}

#[tokio::test]
async fn each_tenant_is_encrypted_with_a_key_of_its_own() {
    let (store, keys) = (Tenants::new(MemoryStore::new()), MemoryKeys::default());
    let (acme, globex) = two(&store);
    for tenant in [&acme, &globex] {
        let vault = Vault::new(tenant.clone(), keys.clone(), master()).encrypted();
        Repository::<Order>::new(vault.clone()).execute(&1, place()).await.unwrap();
        assert!(order(vault, 1).await.is_some());
    }
    let rows = keys.list_keys("", 9).await.unwrap();
    let names: Vec<_> = rows.iter().map(|row| row.subject.as_str()).collect();
    assert_eq!(names, ["acme~factum:store", "globex~factum:store"]);
    let all = Vault::new(store.all_tenants().clone(), keys, master());
    let page = all.read_all(ReadAll::after(Position::START)).await.unwrap();
    assert!(page.events.iter().all(|event| event.codec == "json"), "whoever has both keys reads both");
}

#[tokio::test]
async fn a_tenant_may_have_tenants() {
    let store = Tenants::new(MemoryStore::new());
    let (acme, globex) = two(&store);
    let (acme_sales, globex_sales) =
        (Tenants::new(acme.clone()).tenant(tenant("sales")), Tenants::new(globex).tenant(tenant("sales")));
    let id = CommandId::from_key("request 1");
    for sales in [&acme_sales, &globex_sales] {
        Repository::<Order>::new(sales.clone()).execute(&1, place()).command_id(id).await.unwrap();
    }
    let feed = async |store: TenantStore| {
        let page = store.read_all(ReadAll::after(Position::START)).await.unwrap();
        page.events.iter().map(|event| event.stream.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(feed(acme).await, ["sales~order/1"]);
    let own = acme_sales.read_stream(ReadStream::new("order/1".parse().unwrap())).await.unwrap();
    assert_eq!(own.events.len(), 1);
}
