//! Costs that no clock tells: allocations for an event, round trips for an operation, and bytes on the disk.

use std::alloc::System;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use factum::memory::MemoryStore;
use factum::{
    Codec, Context, Envelope, EventHandler, EventStore, Metadata, NewEvent, On, OnFailure, Repository,
    Subscription,
};
use factum_benches::{Account, AccountEvent, Deposit, Deposited, Postgres, Sqlite};
use sqlx::PgPool;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use uuid::Uuid;

/// How many events an operation on many has.
const EVENTS: usize = 1000;
/// How often an operation on one event is done.
const TIMES: u64 = 200;

/// The system's allocator, which counts.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    Runtime::new().expect("a runtime").block_on(async {
        println!("| operation | allocations per event | bytes per event |\n|---|---|---|");
        let event = AccountEvent::Deposited(Deposited::sample());
        let encode =
            || NewEvent::encode(&event, Codec::Json, Metadata::default()).expect("it can be encoded");
        allocations("encode", TIMES, async {
            for _ in 0..TIMES {
                std::hint::black_box(encode());
            }
        })
        .await;
        let new = encode();
        allocations("decode", TIMES, async {
            for _ in 0..TIMES {
                let content = Codec::Json.decode::<Deposited>(&new.payload);
                std::hint::black_box(content.expect("it can be decoded"));
            }
        })
        .await;
        of_a_store("memory", MemoryStore::new()).await;
        of_a_store("sqlite", Sqlite::new().await.store.clone()).await;
        let postgres = Postgres::new().await;
        of_a_store("postgres", postgres.store.clone()).await;
        on_the_wire_and_on_the_disk(&postgres).await;
    });
}

async fn of_a_store(name: &str, store: impl EventStore + factum::Progress + Clone) {
    let accounts = Repository::<Account>::new(store.clone());
    let id = Uuid::now_v7();
    let one = |times| accounts.execute(&id, Deposit { times });
    one(EVENTS).await.expect("it can be written");
    allocations(&format!("{name}: load {EVENTS} events"), EVENTS as u64, async {
        accounts.load(&id).await.expect("it can be read");
    })
    .await;
    allocations(&format!("{name}: create an account"), TIMES, async {
        for _ in 0..TIMES {
            let created = accounts.execute(&Uuid::now_v7(), Deposit { times: 1 }).assume_new().await;
            created.expect("it is new");
        }
    })
    .await;
    let subscription = Subscription::new("all", store, OnFailure::stop()).handler(Nothing);
    allocations(&format!("{name}: handle {EVENTS} events"), EVENTS as u64 + TIMES, async {
        subscription.catch_up().await.expect("it catches up");
    })
    .await;
}

/// What is allocated while `work` is done, by the whole process.
async fn allocations(what: &str, events: u64, work: impl Future<Output = ()>) {
    let region = Region::new(ALLOCATOR);
    work.await;
    let Stats { allocations, bytes_allocated, .. } = region.change();
    let each = |count: usize| share(count as u64, events);
    println!("| {what} | {:.1} | {:.0} |", each(allocations), each(bytes_allocated));
}

fn share(count: u64, of: u64) -> f64 {
    let exact = |number| f64::from(u32::try_from(number).expect("it is small"));
    exact(count) / exact(of)
}

async fn on_the_wire_and_on_the_disk(postgres: &Postgres) {
    let accounts = Arc::new(Repository::<Account>::new(postgres.store.clone()));
    let pool = postgres.beside().await;
    println!("\n| Postgres | statements per operation | bytes of WAL per event |\n|---|---|---|");
    for (callers, who) in [(1, "1 caller"), (32, "32 callers")] {
        let before = Seen::now(&pool).await;
        let mut under_way = JoinSet::new();
        for _ in 0..callers {
            let accounts = Arc::clone(&accounts);
            under_way.spawn(async move {
                for _ in 0..TIMES {
                    let created = accounts.execute(&Uuid::now_v7(), Deposit { times: 1 }).assume_new().await;
                    created.expect("it is new");
                }
            });
        }
        while let Some(done) = under_way.join_next().await {
            done.expect("no panic");
        }
        before.tell(&pool, &format!("create an account, {who}"), TIMES * callers).await;
    }
    let id = Uuid::now_v7();
    accounts.execute(&id, Deposit { times: 10 }).await.expect("it can be written");
    let before = Seen::now(&pool).await;
    for _ in 0..TIMES {
        accounts.execute(&id, Deposit { times: 1 }).await.expect("it can be written");
    }
    before.tell(&pool, "load an account and deposit, 1 caller", TIMES).await;
    for (what, of) in [("table", "pg_table_size"), ("indexes", "pg_indexes_size")] {
        let size = format!("SELECT {of}('factum_events')::float8 / count(*) FROM factum_events");
        let bytes: f64 = sqlx::query_scalar(sqlx::AssertSqlSafe(size)).fetch_one(&pool).await.expect("a log");
        println!("\n{what}: {bytes:.0} bytes per event");
    }
}

/// What a server has counted.
struct Seen {
    statements: i64,
    wal: i64,
}

impl Seen {
    async fn now(pool: &PgPool) -> Self {
        // Sessions tell of what they did when they have been idle for ten seconds.
        tokio::time::sleep(Duration::from_secs(11)).await;
        let (statements, wal) = sqlx::query_as(
            "SELECT xact_commit, (pg_current_wal_insert_lsn() - '0/0')::bigint FROM pg_stat_database
             WHERE datname = current_database()",
        )
        .fetch_one(pool)
        .await
        .expect("the server counts");
        Self { statements, wal }
    }

    async fn tell(self, pool: &PgPool, what: &str, times: u64) {
        let after = Self::now(pool).await;
        let each = |after: i64, before: i64| share((after - before).unsigned_abs(), times);
        let (statements, wal) = (each(after.statements, self.statements), each(after.wal, self.wal));
        println!("| {what} | {statements:.2} | {wal:.0} |");
    }
}

/// Looks at each event.
#[derive(EventHandler)]
#[handler(name = "nothing", error = Infallible, on(Deposited))]
struct Nothing;

impl On<Deposited> for Nothing {
    async fn on(&self, event: &Envelope<Deposited>, _: &mut Context) -> Result<(), Infallible> {
        std::hint::black_box(event);
        Ok(())
    }
}
