//! Loading one account: reading, decoding and folding all its events, beside a `SELECT` and a loop, or
//! beside a map in memory.

use factum::memory::MemoryStore;
use factum::{EventStore, Repository};
use factum_benches::{Account, Bench, Deposit, LeastSql, Postgres, Raw, ShardedMap, Sqlite, Turns, at_once};
use uuid::Uuid;

const EVENTS: [u32; 2] = [10, 1000];

fn main() {
    let bench = Bench::begin();
    if bench.is_about("memory") {
        let store = MemoryStore::new();
        for events in EVENTS {
            let (map, id) = (ShardedMap::default(), Uuid::now_v7());
            for event in 0..events as usize {
                map.deposit(id, event);
            }
            let by_hand = move || {
                let map = map.clone();
                async move { assert_eq!(map.load(id).deposits, u64::from(events)) }
            };
            load(&bench, "memory", &store, events)
                .beside("sharded map", move |times| at_once(times, 1, by_hand.clone()))
                .run();
        }
    }
    if bench.is_about("sqlite") {
        let sqlite = bench.given(Sqlite::new());
        let raw = bench.given(async { Raw::new(sqlite.beside().await).await });
        for events in EVENTS {
            beside(&bench, load(&bench, "sqlite", &sqlite.store, events), &raw, events).run();
        }
    }
    if bench.is_about("postgres") {
        let postgres = bench.given(Postgres::new());
        let raw = bench.given(async { Raw::new(postgres.beside().await).await });
        for events in EVENTS {
            beside(&bench, load(&bench, "postgres", &postgres.store, events), &raw, events).run();
        }
    }
}

fn load<'a>(bench: &'a Bench, name: &str, store: &(impl EventStore + Clone), events: u32) -> Turns<'a> {
    let accounts = Repository::<Account>::new(store.clone());
    let id = Uuid::now_v7();
    bench.given(async {
        accounts.execute(&id, Deposit { times: events as usize }).await.expect("it can be written");
    });
    let load = move || {
        let accounts = accounts.clone();
        async move {
            let account = accounts.load(&id).await.expect("it can be read");
            assert_eq!(account.deposits, u64::from(events));
        }
    };
    bench
        .compare(format!("{name}: load an account, events: {events}"))
        .elements(events)
        .of("factum", move |times| at_once(times, 1, load.clone()))
}

fn beside<'a>(bench: &Bench, turns: Turns<'a>, raw: &impl LeastSql, events: u32) -> Turns<'a> {
    let raw = raw.clone();
    let id = Uuid::now_v7();
    bench.given(raw.fill(id, events));
    let load = move || {
        let raw = raw.clone();
        async move { assert_eq!(raw.load(id).await.deposits, u64::from(events)) }
    };
    turns.beside("raw", move |times| at_once(times, 1, load.clone()))
}
