//! Appending: one event of a new account for each command, by one caller and by many, beside one `INSERT` for each event,
//! or beside a map in memory.

use factum::memory::MemoryStore;
use factum::{EventStore, Repository};
use factum_benches::{Account, Bench, Deposit, LeastSql, Postgres, Raw, ShardedMap, Sqlite, Turns, at_once};
use uuid::Uuid;

const CALLERS: [u32; 3] = [1, 8, 64];

fn main() {
    let bench = Bench::begin();
    if bench.is_about("memory") {
        for callers in CALLERS {
            let map = ShardedMap::default();
            let deposit = move || {
                let map = map.clone();
                async move { map.deposit(Uuid::now_v7(), 0) }
            };
            create(turns(&bench, "memory", callers), &MemoryStore::new(), callers)
                .beside("sharded map", move |times| at_once(times, callers, deposit.clone()))
                .run();
        }
    }
    if bench.is_about("sqlite") {
        let sqlite = bench.given(Sqlite::new());
        let raw = bench.given(async { Raw::new(sqlite.beside().await).await });
        for callers in CALLERS {
            beside(create(turns(&bench, "sqlite", callers), &sqlite.store, callers), &raw, callers).run();
        }
    }
    if bench.is_about("postgres") {
        let postgres = bench.given(Postgres::new());
        let raw = bench.given(async { Raw::new(postgres.beside().await).await });
        for callers in CALLERS {
            beside(create(turns(&bench, "postgres", callers), &postgres.store, callers), &raw, callers).run();
        }
    }
}

fn turns<'a>(bench: &'a Bench, store: &str, callers: u32) -> Turns<'a> {
    bench.compare(format!("{store}: create an account, callers: {callers}"))
}

fn create<'a>(turns: Turns<'a>, store: &(impl EventStore + Clone), callers: u32) -> Turns<'a> {
    let accounts = Repository::<Account>::new(store.clone());
    let create = move || {
        let accounts = accounts.clone();
        async move {
            let id = Uuid::now_v7();
            accounts.execute(&id, Deposit { times: 1 }).assume_new().await.expect("it can be written");
        }
    };
    turns.of("factum", move |times| at_once(times, callers, create.clone()))
}

fn beside<'a>(turns: Turns<'a>, raw: &impl LeastSql, callers: u32) -> Turns<'a> {
    let raw = raw.clone();
    let create = move || {
        let raw = raw.clone();
        async move { raw.create().await }
    };
    turns.beside("raw", move |times| at_once(times, callers, create.clone()))
}
