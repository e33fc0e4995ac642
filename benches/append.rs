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
            // A new one for each turn: else they would grow until they have to do with memory that nobody has touched before.
            create(turns(&bench, "memory", callers), MemoryStore::new, callers)
                .beside("sharded map", move |times| {
                    let map = ShardedMap::default();
                    at_once(times, callers, move || {
                        let map = map.clone();
                        async move { map.deposit(Uuid::now_v7(), 0) }
                    })
                })
                .run();
        }
    }
    if bench.is_about("sqlite") {
        let sqlite = bench.given(Sqlite::new());
        let raw = bench.given(async { Raw::new(sqlite.beside().await).await });
        for callers in CALLERS {
            let store = sqlite.store.clone();
            let turns = create(turns(&bench, "sqlite", callers), move || store.clone(), callers);
            beside(turns, &raw, callers).run();
        }
    }
    if bench.is_about("postgres") {
        let postgres = bench.given(Postgres::new());
        let raw = bench.given(async { Raw::new(postgres.beside().await).await });
        for callers in CALLERS {
            let store = postgres.store.clone();
            let turns = create(turns(&bench, "postgres", callers), move || store.clone(), callers);
            beside(turns, &raw, callers).run();
        }
    }
}

fn turns<'a>(bench: &'a Bench, store: &str, callers: u32) -> Turns<'a> {
    bench.compare(format!("{store}: create an account, callers: {callers}"))
}

/// `store` gives the store of a turn.
fn create<S: EventStore + Clone>(
    turns: Turns<'_>,
    store: impl Fn() -> S + 'static,
    callers: u32,
) -> Turns<'_> {
    turns.of("factum", move |times| {
        let accounts = Repository::<Account>::new(store());
        at_once(times, callers, move || {
            let accounts = accounts.clone();
            async move {
                let id = Uuid::now_v7();
                accounts.execute(&id, Deposit { times: 1 }).assume_new().await.expect("it can be written");
            }
        })
    })
}

fn beside<'a>(turns: Turns<'a>, raw: &impl LeastSql, callers: u32) -> Turns<'a> {
    let raw = raw.clone();
    let create = move || {
        let raw = raw.clone();
        async move { raw.create().await }
    };
    turns.beside("raw", move |times| at_once(times, callers, create.clone()))
}
