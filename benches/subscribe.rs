//! Catching up: subscriptions that begin with the first event of a log, and do nothing, count, or keep a total for each
//! customer, beside one `SELECT` of the same rows that decodes each.
//!
//! The log has 100,000 events, or as many as `FACTUM_BENCH_EVENTS` says, of 10,000 customers who take turns.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::future::Future;
use std::hint::black_box;
use std::ops::DerefMut;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use factum::memory::{MemoryStore, MemoryTx};
use factum::postgres::{PostgresStore, PostgresTx};
use factum::sqlite::{SqliteStore, SqliteTx};
use factum::store::ReadAll;
use factum::{
    Checkpoint, Context, Envelope, EventHandler, EventStore, Flush, On, OnFailure, Progress, Rebuild,
    RecordedEvent, Subscription, Swap, Transactional,
};
use factum_benches::{
    Bench, CUSTOMERS, Deposited, LeastSql, Postgres, Raw, Sqlite, Turns, Withdrawn, append_deposits, deposits,
};
use sqlx::{Database, Executor, FromRow, IntoArguments, Pool};
use uuid::Uuid;

fn main() {
    let bench = Bench::begin();
    let events = std::env::var("FACTUM_BENCH_EVENTS").map_or(100_000, |text| text.parse().expect("a number"));
    if bench.is_about("memory") {
        let rows = MemoryRows { store: MemoryStore::new(), totals: Arc::default() };
        bench.given(append_deposits(&rows.store, events));
        compare(&bench, "memory", &rows.store, &rows, events, |turns| decoded(turns, events));
    }
    if bench.is_about("sqlite") {
        let sqlite = bench.given(Sqlite::new());
        bench.given(append_deposits(&sqlite.store, events));
        let pool = bench.given(sqlite.readers());
        let rows = SqliteRows(sqlite.store.clone());
        bench.given(make_table::<_, sqlx::Sqlite>(&rows.0));
        compare(&bench, "sqlite", &sqlite.store, &rows, events, |turns| raw::<Raw<_>>(turns, &pool, events));
    }
    if bench.is_about("postgres") {
        let postgres = bench.given(Postgres::new());
        bench.given(append_deposits(&postgres.store, events));
        let rows = PostgresRows(postgres.store.clone());
        bench.given(make_table::<_, sqlx::Postgres>(&rows.0));
        bench.given(postgres.settle());
        let pool = bench.given(postgres.beside());
        compare(&bench, "postgres", &postgres.store, &rows, events, |turns| {
            raw::<Raw<_>>(turns, &pool, events)
        });
    }
}

fn compare<'a, S, R>(
    bench: &'a Bench,
    name: &str,
    store: &'a S,
    rows: &'a R,
    events: u32,
    beside: impl FnOnce(Turns<'a>) -> Turns<'a>,
) where
    S: EventStore + Progress + Transactional<Tx = R::Tx> + Clone,
    R: Rows,
{
    let turns = bench.compare(format!("{name}: catch up on {events} events")).elements(events);
    let effects = |turns: Turns<'a>, name, begin: fn(Subscription) -> Subscription| {
        turns.of(name, move |times| {
            let subscription = move |id: Uuid| {
                begin(Subscription::new(format!("effects-{id}"), store.clone(), OnFailure::stop()))
            };
            caught_up(times, subscription, async || ())
        })
    };
    let turns = turns.of("read the feed", move |times| async move {
        let begin = Instant::now();
        for _ in 0..times {
            read_feed(store, events).await;
        }
        begin.elapsed()
    });
    let turns = effects(turns, "do nothing", |begun| begun.handler(Nothing));
    let turns = effects(turns, "pass over", |begun| begun.handler(NothingRare));
    let projection = move |id: Uuid, batch_events| {
        Subscription::transactional(format!("projection-{id}"), store.clone(), OnFailure::stop())
            .batch_events(batch_events)
    };
    let turns = turns.of("count", move |times| {
        let subscription = move |id: Uuid| {
            Subscription::transactional(format!("count-{id}"), store.clone(), OnFailure::stop())
                .handler(Count(rows.clone()))
        };
        caught_up(times, subscription, async move || assert_eq!(rows.taken().await, (1, i64::from(events))))
    });
    let turns = [1, 2].into_iter().fold(beside(turns), |turns, workers| {
        turns.of(format!("rebuild totals, {workers} at once"), move |times| async move {
            let mut took = Duration::ZERO;
            for _ in 0..times {
                let new = projection(Uuid::now_v7(), 10_000).handler(Totals(rows.clone()));
                let by_customer = |event: &RecordedEvent| Ok(Some(event.stream.id().to_owned()));
                let rebuild = Rebuild::new(store.clone(), &new).in_parallel(workers, by_customer);
                let begin = Instant::now();
                rebuild.run(&NobodyReads).await.expect("nothing fails");
                took += begin.elapsed();
                let cents = i64::from(events) * Deposited::sample().amount;
                assert_eq!(rows.taken().await, (i64::from(CUSTOMERS), cents));
            }
            took
        })
    });
    [1000, 10_000]
        .into_iter()
        .fold(turns, |turns, batch_events| {
            turns.of(format!("total per customer, by {batch_events}"), move |times| {
                let subscription = move |id| projection(id, batch_events).handler(Totals(rows.clone()));
                let cents = i64::from(events) * Deposited::sample().amount;
                let check = async move || assert_eq!(rows.taken().await, (i64::from(CUSTOMERS), cents));
                caught_up(times, subscription, check)
            })
        })
        .run();
}

/// Reads the feed in the pages of a subscription, one after the other, and decodes nothing.
async fn read_feed(store: &impl EventStore, events: u32) {
    let (mut after, mut read) = (Checkpoint::START, 0);
    loop {
        let page = store.read_all(ReadAll::after(after).limit(5000)).await.expect("it can be read");
        read += black_box(&page.events).len();
        after = page.checkpoint;
        if page.end {
            break;
        }
    }
    assert_eq!(read, events as usize);
}

/// How long it takes such subscriptions of new names to catch up, one after the other.
async fn caught_up<Cx: Send + 'static>(
    times: u32,
    subscription: impl Fn(Uuid) -> Subscription<Cx>,
    check: impl AsyncFn(),
) -> Duration {
    let mut took = Duration::ZERO;
    for _ in 0..times {
        let subscription = subscription(Uuid::now_v7());
        let begin = Instant::now();
        subscription.catch_up().await.expect("nothing fails");
        took += begin.elapsed();
        check().await;
        let health = subscription.health().await.expect("it can be asked");
        assert_eq!(health.behind, 0);
    }
    took
}

/// There is nobody to be led to the new rows.
struct NobodyReads;

impl<Tx: Send> Swap<Tx> for NobodyReads {
    type Error = Infallible;

    async fn swap(&self, _: &mut Tx) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Looks at each event.
#[derive(EventHandler, Debug)]
#[handler(name = "nothing", error = Infallible, on(Deposited))]
struct Nothing;

impl On<Deposited> for Nothing {
    async fn on(&self, event: &Envelope<Deposited>, _: &mut Context) -> Result<(), Infallible> {
        black_box(event);
        Ok(())
    }
}

/// Wants events that are not there.
#[derive(EventHandler, Debug)]
#[handler(name = "nothing-rare", error = Infallible, on(Withdrawn))]
struct NothingRare;

impl On<Withdrawn> for NothingRare {
    async fn on(&self, event: &Envelope<Withdrawn>, _: &mut Context) -> Result<(), Infallible> {
        unreachable!("{event:?} is not in the log")
    }
}

/// Counts, in one row.
#[derive(EventHandler, Debug)]
#[handler(name = "count", error = sqlx::Error, cx = R::Tx, on(Deposited), flush)]
struct Count<R: Rows>(R);

impl<R: Rows> On<Deposited, R::Tx> for Count<R> {
    async fn on(&self, _: &Envelope<Deposited>, cx: &mut Context<R::Tx>) -> Result<(), sqlx::Error> {
        *cx.batch::<i64>() += 1;
        Ok(())
    }
}

impl<R: Rows> Flush<R::Tx> for Count<R> {
    async fn flush(&self, cx: &mut Context<R::Tx>) -> Result<(), sqlx::Error> {
        let gathered = cx.take_batch();
        self.0.add(cx.tx(), BTreeMap::from([("all".to_owned(), gathered)])).await
    }
}

/// Keeps what has come in for each customer, in a row of each.
#[derive(EventHandler, Debug)]
#[handler(name = "totals", error = sqlx::Error, cx = R::Tx, on(Deposited), flush)]
struct Totals<R: Rows>(R);

impl<R: Rows> On<Deposited, R::Tx> for Totals<R> {
    async fn on(&self, event: &Envelope<Deposited>, cx: &mut Context<R::Tx>) -> Result<(), sqlx::Error> {
        let customer = event.stream.id();
        let gathered: &mut Added = cx.batch();
        match gathered.get_mut(customer) {
            Some(total) => *total += event.event.amount,
            None => drop(gathered.insert(customer.to_owned(), event.event.amount)),
        }
        Ok(())
    }
}

impl<R: Rows> Flush<R::Tx> for Totals<R> {
    async fn flush(&self, cx: &mut Context<R::Tx>) -> Result<(), sqlx::Error> {
        let gathered: Added = cx.take_batch();
        self.0.add(cx.tx(), gathered).await
    }
}

/// What a batch adds, by key.
type Added = BTreeMap<String, i64>;

/// Where projections keep their numbers.
trait Rows: Clone + Send + Sync + 'static {
    type Tx: Send + 'static;

    /// Adds to each number, with one statement.
    fn add(&self, tx: &mut Self::Tx, added: Added) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// How many rows there are, and what they come to; afterwards there are none.
    fn taken(&self) -> impl Future<Output = (i64, i64)>;
}

/// In the memory of the program, where what is added shows when the transaction commits.
#[derive(Clone, Debug)]
struct MemoryRows {
    store: MemoryStore,
    totals: Arc<Mutex<HashMap<String, i64>>>,
}

impl Rows for MemoryRows {
    type Tx = MemoryTx;

    async fn add(&self, tx: &mut MemoryTx, added: Added) -> Result<(), sqlx::Error> {
        let totals = Arc::clone(&self.totals);
        tx.on_commit(move || {
            let mut totals = totals.lock().expect("nobody panics");
            for (key, number) in added {
                *totals.entry(key).or_default() += number;
            }
        });
        Ok(())
    }

    async fn taken(&self) -> (i64, i64) {
        let totals = std::mem::take(&mut *self.totals.lock().expect("nobody panics"));
        (i64::try_from(totals.len()).expect("few"), totals.into_values().sum())
    }
}

/// In the store's own file.
#[derive(Clone, Debug)]
struct SqliteRows(SqliteStore);

impl Rows for SqliteRows {
    type Tx = SqliteTx;

    async fn add(&self, tx: &mut SqliteTx, added: Added) -> Result<(), sqlx::Error> {
        const ADD: &str = "INSERT INTO bench_totals (key, total) SELECT key, value FROM json_each($1) WHERE true \
            ON CONFLICT (key) DO UPDATE SET total = total + excluded.total";
        let added = serde_json::to_string(&added).expect("it can be encoded");
        sqlx::query(ADD).bind(added).execute(&mut **tx).await?;
        Ok(())
    }

    async fn taken(&self) -> (i64, i64) {
        taken::<_, sqlx::Sqlite>(&self.0).await
    }
}

/// In the store's own database.
#[derive(Clone, Debug)]
struct PostgresRows(PostgresStore);

impl Rows for PostgresRows {
    type Tx = PostgresTx;

    async fn add(&self, tx: &mut PostgresTx, added: Added) -> Result<(), sqlx::Error> {
        const ADD: &str = "INSERT INTO bench_totals AS kept SELECT * FROM unnest($1::text[], $2::bigint[]) \
            ON CONFLICT (key) DO UPDATE SET total = kept.total + excluded.total";
        let (keys, numbers): (Vec<_>, Vec<_>) = added.into_iter().unzip();
        sqlx::query(ADD).bind(keys).bind(numbers).execute(&mut **tx).await?;
        Ok(())
    }

    async fn taken(&self) -> (i64, i64) {
        taken::<_, sqlx::Postgres>(&self.0).await
    }
}

/// How many rows the table has, and what they come to.
async fn taken<S, DB>(store: &S) -> (i64, i64)
where
    S: Transactional,
    S::Tx: DerefMut<Target = DB::Connection>,
    DB: Database,
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'r> (i64, i64): FromRow<'r, DB::Row>,
{
    let mut tx = store.begin().await.expect("a transaction");
    let sums = sqlx::query_as("SELECT count(*), coalesce(CAST(sum(total) AS bigint), 0) FROM bench_totals");
    let sums = sums.fetch_one(&mut *tx).await.expect("it can be read");
    store.commit(tx).await.expect("committed");
    make_table::<S, DB>(store).await;
    sums
}

/// Makes an empty table, instead of one that may be there. Rows that were deleted would slow down those that come.
async fn make_table<S, DB>(store: &S)
where
    S: Transactional,
    S::Tx: DerefMut<Target = DB::Connection>,
    DB: Database,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    const MAKE: &str = "DROP TABLE IF EXISTS bench_totals; \
        CREATE TABLE bench_totals (key text PRIMARY KEY, total bigint NOT NULL)";
    let mut tx = store.begin().await.expect("a transaction");
    tx.execute(sqlx::raw_sql(MAKE)).await.expect("a table");
    store.commit(tx).await.expect("committed");
}

/// As many payloads, decoded where they are.
fn decoded(turns: Turns<'_>, events: u32) -> Turns<'_> {
    let payloads: Vec<_> = deposits(events).into_iter().map(|event| event.payload).collect();
    let payloads = Arc::new(payloads);
    turns.beside("decode the payloads", move |times| {
        let payloads = Arc::clone(&payloads);
        async move {
            let begin = Instant::now();
            for payload in (0..times).flat_map(|_| payloads.iter()) {
                black_box(serde_json::from_slice::<Deposited>(payload).expect("it was encoded"));
            }
            begin.elapsed()
        }
    })
}

fn raw<'a, R: LeastSql>(turns: Turns<'a>, pool: &'a Pool<R::Database>, events: u32) -> Turns<'a> {
    turns.beside("raw, read and decode", move |times| async move {
        let begin = Instant::now();
        for _ in 0..times {
            assert_eq!(R::read_and_decode(pool).await.deposits, u64::from(events));
        }
        begin.elapsed()
    })
}
