//! Append and load on each store, durable where the store is, and beside it the least SQL that could work.
//!
//! `FACTUM_BENCH_STORES=memory,sqlite` chooses; all three is the default.

use std::future::Future;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use factum::memory::MemoryStore;
use factum::postgres::PostgresStore;
use factum::sqlite::SqliteStore;
use factum::{EventStore, Repository};
use factum_benches::{Account, Deposit, Deposited};
use factum_testkit::Postgres;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use uuid::Uuid;

const CALLERS: [usize; 3] = [1, 8, 64];

fn stores(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let chosen = std::env::var("FACTUM_BENCH_STORES").unwrap_or_else(|_| "memory,sqlite,postgres".into());
    let is_chosen = |name: &str| chosen.split(',').any(|chosen| chosen.trim() == name);

    if is_chosen("memory") {
        bench_store(criterion, &runtime, "memory", &MemoryStore::new());
    }
    if is_chosen("sqlite") {
        let folder = tempfile::tempdir().expect("a folder");
        let store = runtime.block_on(async {
            let store = SqliteStore::connect(folder.path().join("events.db")).await.expect("a store");
            store.migrate().await.expect("migrated");
            store
        });
        bench_store(criterion, &runtime, "sqlite", &store);
        raw_sqlite(criterion, &runtime);
    }
    if is_chosen("postgres") {
        let server = Postgres::durable().expect("a server");
        let database = runtime.block_on(server.database()).expect("a database");
        let store = runtime.block_on(async {
            let store = PostgresStore::connect(database.url()).await.expect("a store");
            store.migrate().await.expect("migrated");
            store
        });
        bench_store(criterion, &runtime, "postgres", &store);
        raw_postgres(criterion, &runtime, database.url());
    }
}

fn bench_store(criterion: &mut Criterion, runtime: &Runtime, name: &str, store: &(impl EventStore + Clone)) {
    let accounts = Repository::<Account>::new(store.clone());
    let mut group = criterion.benchmark_group(format!("{name}: create an account"));
    for callers in CALLERS {
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("factum", callers), |bencher| {
            bencher.iter_custom(|times| {
                let create = || {
                    let accounts = accounts.clone();
                    async move {
                        let id = Uuid::now_v7();
                        accounts
                            .execute(&id, Deposit { times: 1 })
                            .assume_new()
                            .await
                            .expect("it can be written");
                    }
                };
                runtime.block_on(timed(times, callers, create))
            });
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group(format!("{name}: load an account"));
    for events in [10, 1000] {
        let id = Uuid::now_v7();
        runtime.block_on(async {
            accounts.execute(&id, Deposit { times: events }).await.expect("it can be written");
        });
        group.throughput(Throughput::Elements(events as u64));
        group.bench_function(BenchmarkId::new("events", events), |bencher| {
            bencher.iter_custom(|times| {
                runtime.block_on(timed(times, 1, || {
                    let accounts = accounts.clone();
                    async move {
                        let account = accounts.load(&id).await.expect("it can be read");
                        assert_eq!(account.version().0, events as u64);
                    }
                }))
            });
        });
    }
    group.finish();
}

/// One INSERT and one commit for each event: what an application does that has no framework.
fn raw_sqlite(criterion: &mut Criterion, runtime: &Runtime) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("raw.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = runtime.block_on(async {
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.expect("a file");
        sqlx::query(
            "CREATE TABLE raw (position INTEGER PRIMARY KEY AUTOINCREMENT, stream BLOB NOT NULL,
             version INTEGER NOT NULL, name TEXT NOT NULL, payload BLOB NOT NULL, UNIQUE (stream, version))",
        )
        .execute(&pool)
        .await
        .expect("a table");
        pool
    });
    let payload = serde_json::to_vec(&Deposited::sample()).expect("it can be encoded");
    let mut group = criterion.benchmark_group("sqlite: create an account");
    for callers in CALLERS {
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("raw sqlx", callers), |bencher| {
            bencher.iter_custom(|times| {
                runtime.block_on(timed(times, callers, || {
                    let (pool, payload) = (pool.clone(), payload.clone());
                    async move {
                        sqlx::query(
                            "INSERT INTO raw (stream, version, name, payload) VALUES ($1, 1, $2, $3)",
                        )
                        .bind(Uuid::now_v7().as_bytes().to_vec())
                        .bind("account.deposited")
                        .bind(payload)
                        .execute(&pool)
                        .await
                        .expect("it can be written");
                    }
                }))
            });
        });
    }
    group.finish();
}

/// One INSERT and one commit for each event: what an application does that has no framework.
fn raw_postgres(criterion: &mut Criterion, runtime: &Runtime, url: &str) {
    let pool = runtime.block_on(async {
        let options = PgPoolOptions::new().max_connections(32).test_before_acquire(false);
        let pool = options.connect(url).await.expect("a database");
        sqlx::query(
            "CREATE TABLE raw (position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, stream uuid NOT NULL,
             version bigint NOT NULL, name text NOT NULL, payload bytea NOT NULL, UNIQUE (stream, version))",
        )
        .execute(&pool)
        .await
        .expect("a table");
        pool
    });
    let payload = serde_json::to_vec(&Deposited::sample()).expect("it can be encoded");
    let mut group = criterion.benchmark_group("postgres: create an account");
    for callers in CALLERS {
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("raw sqlx", callers), |bencher| {
            bencher.iter_custom(|times| {
                runtime.block_on(timed(times, callers, || {
                    let (pool, payload) = (pool.clone(), payload.clone());
                    async move {
                        sqlx::query(
                            "INSERT INTO raw (stream, version, name, payload) VALUES ($1, 1, $2, $3)",
                        )
                        .bind(Uuid::now_v7())
                        .bind("account.deposited")
                        .bind(payload)
                        .execute(&pool)
                        .await
                        .expect("it can be written");
                    }
                }))
            });
        });
    }
    group.finish();
}

/// How long it takes that `callers` callers do `work` this often altogether.
async fn timed<W, F>(times: u64, callers: usize, work: W) -> Duration
where
    W: Fn() -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let begin = Instant::now();
    let mut under_way = JoinSet::new();
    for _ in 0..times {
        if under_way.len() == callers {
            under_way.join_next().await.expect("some are under way").expect("no panic");
        }
        under_way.spawn(work());
    }
    while let Some(done) = under_way.join_next().await {
        done.expect("no panic");
    }
    begin.elapsed()
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(5));
    targets = stores
}
criterion_main!(benches);
