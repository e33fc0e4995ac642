//! Waking a subscriber: the time from an acknowledged append to a reader that has the event, beside `LISTEN` and `NOTIFY`.
//!
//! The reader is idle when the append comes. Where it has the event before the writer has its answer, no time is counted.

use std::future::Future;
use std::time::{Duration, Instant};

use factum::store::{Append, ReadAll};
use factum::{EventStore, Expected, Position, StreamId};
use factum_benches::{Bench, LeastSql, Postgres, Raw, Sqlite, Turns, deposits};
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::mpsc::{self, Receiver, Sender};
use uuid::Uuid;

/// How long everybody rests before an append: longer than the Postgres store waits between two notices.
const REST: Duration = Duration::from_millis(12);

fn main() {
    let bench = Bench::begin();
    if bench.is_about("sqlite") {
        let sqlite = bench.given(Sqlite::new());
        let elsewhere = bench.given(sqlite.opened_again());
        let turns = bench.compare("sqlite: wake a reader");
        let turns = factum(turns, "same store", &sqlite.store, &sqlite.store);
        factum(turns, "another process", &sqlite.store, &elsewhere).run();
    }
    if bench.is_about("postgres") {
        let postgres = bench.given(Postgres::new());
        let elsewhere = bench.given(postgres.connected_again());
        let pool = bench.given(postgres.beside());
        let raw = bench.given(Raw::new(pool.clone()));
        let turns = bench.compare("postgres: wake a reader");
        let turns = factum(turns, "same store", &postgres.store, &postgres.store);
        let turns = factum(turns, "another process", &postgres.store, &elsewhere);
        notified_with_the_insert(notified_afterwards(turns, &pool, &raw), &pool).run();
    }
}

fn factum<'a, S: EventStore + Clone>(
    turns: Turns<'a>,
    name: &str,
    writer: &'a S,
    reader: &'a S,
) -> Turns<'a> {
    turns.of(format!("factum, {name}"), move |times| {
        let append = async move || {
            let stream = StreamId::new("account", &Uuid::now_v7().to_string()).expect("a name");
            let append = Append::to(stream, Expected::NoStream, deposits(1));
            writer.append(append).await.expect("it can be written");
            Instant::now()
        };
        measured(times, append, |had| follow(reader.clone(), had))
    })
}

async fn follow(store: impl EventStore, had: Sender<Instant>) {
    let mut after = Position::START;
    loop {
        let page = store.read_all(ReadAll::after(after)).await.expect("it can be read");
        after = page.checkpoint.position;
        if !page.events.is_empty() && had.send(Instant::now()).await.is_err() {
            return;
        }
        if page.end {
            store.wait(after).await.expect("it can be waited");
        }
    }
}

/// As factum does it, so that no commit waits for another one: `INSERT`, and when it is acknowledged, `NOTIFY`.
fn notified_afterwards<'a>(turns: Turns<'a>, pool: &'a PgPool, raw: &'a Raw<sqlx::Postgres>) -> Turns<'a> {
    turns.beside("raw, NOTIFY afterwards", move |times| {
        let insert = async move || {
            raw.create().await;
            let acknowledged = Instant::now();
            sqlx::query("NOTIFY bench").execute(pool).await.expect("it can be told");
            acknowledged
        };
        measured(times, insert, |had| listen(pool.clone(), had))
    })
}

/// The least: one statement. All commits of the server that do so wait for each other.
fn notified_with_the_insert<'a>(turns: Turns<'a>, pool: &'a PgPool) -> Turns<'a> {
    const INSERT: &str = "WITH written AS (INSERT INTO raw (stream, version, name, payload) \
        VALUES ($1, 1, 'account.deposited', $2) RETURNING position) SELECT pg_notify('bench', '') FROM written";
    let payload = deposits(1).remove(0).payload;
    turns.of("raw, NOTIFY with the INSERT", move |times| {
        let payload = payload.clone();
        let insert = async move || {
            let insert = sqlx::query(INSERT).bind(Uuid::now_v7()).bind(&payload[..]).execute(pool);
            insert.await.expect("it can be written");
            Instant::now()
        };
        measured(times, insert, |had| listen(pool.clone(), had))
    })
}

async fn listen(pool: PgPool, had: Sender<Instant>) {
    const READ: &str = "SELECT position, payload FROM raw WHERE position > $1 ORDER BY position";
    let mut listener = PgListener::connect_with(&pool).await.expect("a connection");
    listener.listen("bench").await.expect("it can listen");
    let mut after = 0;
    loop {
        let rows: Vec<(i64, Vec<u8>)> =
            sqlx::query_as(READ).bind(after).fetch_all(&pool).await.expect("it can be read");
        if let Some((position, _)) = rows.last() {
            after = *position;
            if had.send(Instant::now()).await.is_err() {
                return;
            }
        }
        listener.recv().await.expect("the connection is there");
    }
}

/// The sum of the times from what `append` says to what the reader says.
async fn measured<R>(
    times: u32,
    append: impl AsyncFn() -> Instant,
    read: impl FnOnce(Sender<Instant>) -> R,
) -> Duration
where
    R: Future<Output = ()> + Send + 'static,
{
    let (had, mut heard) = mpsc::channel(1024);
    let reader = tokio::spawn(read(had));
    // It reads what there is.
    append().await;
    heard.recv().await.expect("it reads");
    let mut took = Duration::ZERO;
    for _ in 0..times {
        tokio::time::sleep(REST).await;
        forget(&mut heard);
        let acknowledged = append().await;
        took += heard.recv().await.expect("it reads on").saturating_duration_since(acknowledged);
    }
    reader.abort();
    took
}

fn forget(heard: &mut Receiver<Instant>) {
    while heard.try_recv().is_ok() {}
}
