//! Export and import of 100,000 events, beside what the database itself has for it: `COPY`, or a `SELECT` and `INSERT`s.

use std::time::{Duration, Instant};

use factum::transfer::{Transfer, export, import};
use factum_benches::{Bench, HISTORY_EVENTS, LeastSql, Postgres, Raw, Rows, Sqlite, append_history};
use futures_util::TryStreamExt;
use sqlx::PgPool;
use sqlx::postgres::PgPoolCopyExt;

fn main() {
    let bench = Bench::begin();
    if bench.is_about("sqlite") {
        sqlite(&bench);
    }
    if bench.is_about("postgres") {
        postgres(&bench);
    }
}

fn sqlite(bench: &Bench) {
    let sqlite = bench.given(Sqlite::new());
    bench.given(append_history(&sqlite.store));
    let pool = bench.given(sqlite.readers());
    bench
        .compare("sqlite: export")
        .elements(HISTORY_EVENTS)
        .of("factum", |times| exported(&sqlite.store, times))
        .beside("raw, SELECT", async |times| {
            let begin = Instant::now();
            for _ in 0..times {
                assert_eq!(Raw::<sqlx::Sqlite>::read(&pool, Rows::All).await, HISTORY_EVENTS);
            }
            begin.elapsed()
        })
        .run();

    let file = bench.given(file_of(&sqlite.store));
    bench
        .compare("sqlite: import")
        .elements(HISTORY_EVENTS)
        .of("factum", async |times| {
            let mut took = Duration::ZERO;
            for _ in 0..times {
                let empty = Sqlite::new().await;
                took += imported(&empty.store, &file).await;
                empty.store.close().await;
            }
            took
        })
        .beside("raw, INSERT … SELECT", async |times| {
            let mut took = Duration::ZERO;
            for _ in 0..times {
                let empty = Sqlite::new().await;
                let mut connection = empty.attached_to(&sqlite).await;
                let copy = sqlx::query(COPY_SQLITE);
                let begin = Instant::now();
                copy.execute(&mut connection).await.expect("it can be written");
                took += begin.elapsed();
            }
            took
        })
        .run();
}

fn postgres(bench: &Bench) {
    let source = bench.given(Postgres::new());
    bench.given(append_history(&source.store));
    bench.given(source.settle());
    let from = bench.given(source.beside());
    bench
        .compare("postgres: export")
        .elements(HISTORY_EVENTS)
        .of("factum", |times| exported(&source.store, times))
        .beside("raw, COPY", async |times| {
            let begin = Instant::now();
            for _ in 0..times {
                copied_out(&from).await;
            }
            begin.elapsed()
        })
        .run();

    let target = bench.given(Postgres::new());
    let into = bench.given(target.beside());
    let (file, rows) = bench.given(async { (file_of(&source.store).await, copied_out(&from).await) });
    bench
        .compare("postgres: import")
        .elements(HISTORY_EVENTS)
        .of("factum", async |times| {
            let mut took = Duration::ZERO;
            for _ in 0..times {
                empty(&into).await;
                took += imported(&target.store, &file).await;
            }
            took
        })
        .beside("raw, COPY", async |times| {
            let mut took = Duration::ZERO;
            for _ in 0..times {
                empty(&into).await;
                let begin = Instant::now();
                let mut copy = into.copy_in_raw(COPY_IN).await.expect("it begins");
                for chunk in rows.chunks(1 << 20) {
                    copy.send(chunk).await.expect("it goes on");
                }
                assert_eq!(copy.finish().await.expect("it ends"), u64::from(HISTORY_EVENTS));
                took += begin.elapsed();
            }
            took
        })
        .run();
}

async fn exported(store: &impl Transfer, times: u32) -> Duration {
    let begin = Instant::now();
    for _ in 0..times {
        let events = export(store, tokio::io::sink()).await.expect("it can be exported");
        assert_eq!(events, u64::from(HISTORY_EVENTS));
    }
    begin.elapsed()
}

async fn file_of(store: &impl Transfer) -> Vec<u8> {
    let mut file = Vec::new();
    export(store, &mut file).await.expect("it can be exported");
    file
}

async fn imported(store: &impl Transfer, file: &[u8]) -> Duration {
    let begin = Instant::now();
    let events = import(store, file).await.expect("it can be imported");
    assert_eq!(events, u64::from(HISTORY_EVENTS));
    begin.elapsed()
}

const COPY_SQLITE: &str = "INSERT INTO factum_events (position, event_id, category, stream, version, name, \
    schema_version, codec, recorded_at, metadata, payload) SELECT position, event_id, category, stream, version, \
    name, schema_version, codec, recorded_at, metadata, payload FROM source.factum_events";
const COPY_OUT: &str = "COPY (SELECT * FROM factum_events ORDER BY position) TO STDOUT (FORMAT binary)";
const COPY_IN: &str = "COPY factum_events FROM STDIN (FORMAT binary)";

async fn copied_out(pool: &PgPool) -> Vec<u8> {
    let mut rows = Vec::new();
    let mut coming = pool.copy_out_raw(COPY_OUT).await.expect("it begins");
    while let Some(bytes) = coming.try_next().await.expect("it goes on") {
        rows.extend_from_slice(&bytes);
    }
    rows
}

async fn empty(pool: &PgPool) {
    sqlx::raw_sql("TRUNCATE factum_events, factum_archive").execute(pool).await.expect("it can be emptied");
}
