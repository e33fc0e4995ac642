//! How many events per second the store takes, and how long a lone append waits. Prints a table.
//!
//! `cargo bench -p factum-sqlite`, and with `-- random` only the lines with that word; `FACTUM_BENCH_DIR` says where the file is made, `FACTUM_BENCH_SECONDS` for how long
//! each line is measured. The disk's flush decides most of it, so a table is only comparable to its own first lines.

#![allow(
    clippy::doc_markdown,
    clippy::cast_precision_loss,
    reason = "SQLite is a name; rates are rounded anyway"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use factum_core::store::{Append, Filter, ReadAll, ReadStream};
use factum_core::{
    EventId, EventName, EventStore, Expected, Metadata, NewEvent, Position, StreamId, Version,
};
use factum_sqlite::{Durability, SqliteStore};
use uuid::Uuid;

const PAYLOAD: &[u8] = &[b'x'; 200];

/// To which streams the appends of a run go.
#[derive(Clone, Copy)]
enum Streams {
    /// A new one each time, named by a UUID that grows with time.
    New,
    /// A new one each time, named at random: the worst for an index.
    Random,
    /// One for each caller, which expects the version it left.
    Own,
}

#[tokio::main]
async fn main() {
    let seconds = std::env::var("FACTUM_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let run_for = Duration::from_secs(seconds);
    let dir = tempfile::tempdir_in(bench_dir()).expect("a folder for the file");
    println!("{:34} {:>10} {:>9} {:>9}", "what", "per second", "p50 µs", "p99 µs");
    if wanted("flush") {
        flush(&dir.path().join("flush"), run_for);
    }
    for (name, durability) in [("full", Durability::Full), ("normal", Durability::Normal)] {
        let path = dir.path().join(name);
        let store = SqliteStore::builder(&path).durability(durability).connect().await.expect("opens");
        store.migrate().await.expect("migrates");
        for (callers, events, streams, kind) in [
            (1, 1, Streams::New, "new"),
            (1, 1, Streams::Own, "own"),
            (16, 1, Streams::Own, "own"),
            (256, 1, Streams::New, "new"),
            (256, 1, Streams::Own, "own"),
            (256, 1, Streams::Random, "random"),
            (16, 10, Streams::New, "new"),
        ] {
            let what = format!("{name}: {callers} x {events}, {kind} streams");
            if wanted(&what) {
                appends(&what, &store, callers, events, streams, run_for).await;
            }
        }
        if wanted(&format!("{name}: read")) {
            reads(name, &store).await;
        }
        store.close().await;
    }
}

/// Whether the command line names a word of it, or names none.
fn wanted(what: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    words.peek().is_none() || words.any(|word| what.contains(&word))
}

fn bench_dir() -> PathBuf {
    std::env::var_os("FACTUM_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from)
}

/// What the disk takes to flush 4 KiB: the floor of a durable commit.
fn flush(path: &Path, run_for: Duration) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).expect("a file");
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < run_for {
        let started = Instant::now();
        file.write_all(&[0; 4096]).and_then(|()| file.sync_data()).expect("a disk");
        times.push(started.elapsed());
    }
    print("write and flush 4 KiB", times.len() as f64 / begun.elapsed().as_secs_f64(), &mut times);
}

async fn appends(
    what: &str,
    store: &SqliteStore,
    callers: usize,
    events: usize,
    streams: Streams,
    run_for: Duration,
) {
    let appended = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (store, appended) = (store.clone(), appended.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                let own = Uuid::now_v7();
                let mut version = Version::NONE;
                while begun.elapsed() < run_for {
                    let (id, expected) = match streams {
                        Streams::New => (Uuid::now_v7(), Expected::NoStream),
                        Streams::Random => (Uuid::from_u128(random()), Expected::NoStream),
                        Streams::Own => (own, Expected::Exactly(version)),
                    };
                    let stream = StreamId::new("order", &id.to_string()).expect("a name");
                    let started = Instant::now();
                    let append = Append::to(stream, expected, (0..events).map(|_| event()).collect());
                    version = store.append(append).await.expect("appends").version();
                    times.push(started.elapsed());
                    appended.fetch_add(events as u64, Ordering::Relaxed);
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("no panic"));
    }
    print(what, appended.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64(), &mut times);
}

async fn reads(name: &str, store: &SqliteStore) {
    let names = vec![EventName::new("nobody.wrote.this").expect("a name")];
    let nothing = Filter { names, ..Filter::all() };
    for (what, filter, limit) in [
        ("all, pages of 1000", Filter::all(), 1000),
        ("all, pages of 100", Filter::all(), 100),
        ("a filter nothing passes", nothing, 100),
    ] {
        let (mut after, mut end, mut times) = (Position::START, false, Vec::new());
        let begun = Instant::now();
        while !end && begun.elapsed() < Duration::from_secs(5) {
            let started = Instant::now();
            let page = store.read_all(ReadAll { after, filter: filter.clone(), limit }).await.expect("reads");
            (after, end) = (page.position, page.end);
            times.push(started.elapsed());
        }
        print(&format!("{name}: read {what}"), after.0 as f64 / begun.elapsed().as_secs_f64(), &mut times);
    }
    let stream = StreamId::new("order", "ten").expect("a name");
    let ten = (0..10).map(|_| event()).collect();
    store.append(Append::to(stream.clone(), Expected::Any, ten)).await.expect("appends");
    let (begun, mut times) = (Instant::now(), Vec::new());
    while begun.elapsed() < Duration::from_secs(1) {
        let started = Instant::now();
        let read = ReadStream { stream: stream.clone(), after: Version::NONE, limit: 1000 };
        assert_eq!(store.read_stream(read).await.expect("reads").events.len(), 10);
        times.push(started.elapsed());
    }
    let rate = (times.len() * 10) as f64 / begun.elapsed().as_secs_f64();
    print(&format!("{name}: read a stream of 10"), rate, &mut times);
}

fn event() -> NewEvent {
    NewEvent {
        id: EventId::new(),
        name: EventName::new("order.placed").expect("a name"),
        schema_version: 1,
        codec: "json".into(),
        payload: PAYLOAD.into(),
        metadata: Metadata::default(),
    }
}

/// Bits without order: the last 62 of a UUID of version 7 are random, mixed into all 128.
fn random() -> u128 {
    Uuid::now_v7().as_u128().wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645)
}

fn print(what: &str, per_second: f64, times: &mut [Duration]) {
    times.sort_unstable();
    let percentile = |percent: usize| times[(times.len() - 1) * percent / 100].as_micros();
    println!("{what:34} {per_second:>10.0} {:>9} {:>9}", percentile(50), percentile(99));
}
