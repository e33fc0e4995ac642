//! Appending behind `PgBouncer` in transaction mode, beside a direct connection and beside one `INSERT` through the same pooler.

use factum::postgres::PostgresStore;
use factum::{EventStore, Repository};
use factum_benches::{Account, Bench, Deposit, Deposited, Postgres, Raw, Turns, at_once};
use factum_testkit::PgBouncer;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

const CALLERS: [u32; 2] = [1, 8];

fn main() {
    let bench = Bench::begin();
    let postgres = bench.given(Postgres::new());
    let bouncer = PgBouncer::in_front_of(postgres.url()).unwrap_or_else(|error| panic!("{error}"));
    let builder = PostgresStore::builder().transaction_pooler(true);
    let pooled = bench.given(builder.connect(bouncer.url())).expect("a store");
    let pool = bench.given(async {
        // Makes the table.
        Raw::new(postgres.beside().await).await;
        let options: PgConnectOptions = bouncer.url().parse().expect("a URL");
        let pool = PgPoolOptions::new().max_connections(32).test_before_acquire(false);
        pool.connect_with(options.statement_cache_capacity(0)).await.expect("a pooler")
    });
    for callers in CALLERS {
        let turns = bench.compare(format!("pgbouncer: create an account, callers: {callers}"));
        let turns = create(turns, "factum, direct", &postgres.store, callers);
        let turns = create(turns, "factum, pooled", &pooled, callers);
        beside(turns, &pool, callers).run();
    }
}

fn create<'a>(turns: Turns<'a>, name: &str, store: &(impl EventStore + Clone), callers: u32) -> Turns<'a> {
    let accounts = Repository::<Account>::new(store.clone());
    let create = move || {
        let accounts = accounts.clone();
        async move {
            let id = Uuid::now_v7();
            accounts.execute(&id, Deposit { times: 1 }).assume_new().await.expect("it can be written");
        }
    };
    turns.of(name, move |times| at_once(times, callers, create.clone()))
}

/// As a text, which is one round trip: arguments need a prepared statement, and so a transaction around it.
fn beside<'a>(turns: Turns<'a>, pool: &PgPool, callers: u32) -> Turns<'a> {
    let payload = serde_json::to_string(&Deposited::sample()).expect("it can be encoded");
    let pool = pool.clone();
    let create = move || {
        let (pool, payload) = (pool.clone(), payload.clone());
        async move {
            let insert = format!(
                "INSERT INTO raw (stream, version, name, payload) \
                 VALUES ('{}', 1, 'account.deposited', convert_to('{payload}', 'UTF8'))",
                Uuid::now_v7()
            );
            sqlx::raw_sql(AssertSqlSafe(insert)).execute(&pool).await.expect("it can be written");
        }
    };
    turns.beside("raw, pooled", move |times| at_once(times, callers, create.clone()))
}
