//! Latency: the time from an acknowledged append to a handler that is called with the event, at rest and with 1,000 appends a
//! second, in this process and in another one, beside the least that could wake anybody.
//!
//! The other process is this program once more, which writes to its standard output what it is called with, and when, by the
//! clock that both processes share. Where the handler is called before the writer has its answer, no time is counted.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use factum::memory::MemoryStore;
use factum::postgres::PostgresStore;
use factum::sqlite::SqliteStore;
use factum::store::Append;
use factum::{
    Context, Envelope, EventHandler, EventStore, Expected, On, OnFailure, Progress, StreamId, Subscription,
};
use factum_benches::{Bench, Deposited, Latencies, Postgres, Raw, Sqlite, deposits};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use uuid::Uuid;

/// Set for the other process: what it shall follow, and where that is.
const FOLLOW: &str = "FACTUM_BENCH_FOLLOW";
/// The subscription, of which there is one at a time.
const FOLLOWER: &str = "follower";
/// How long everybody rests before an append: longer than the Postgres store waits between two notices.
const REST: Duration = Duration::from_millis(12);
/// How long there is between two appends where there are 1,000 a second.
const BEAT: Duration = Duration::from_millis(1);
/// How long one may take to hear of something. Who takes longer does not hear of it.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() {
    if let Ok(what) = std::env::var(FOLLOW) {
        return follow_from_outside(&what);
    }
    let bench = Bench::begin();
    for pace in [Pace::Rest, Pace::Beat] {
        if bench.is_about("memory") {
            let store = MemoryStore::new();
            channel(here(latencies(&bench, "memory", pace), pace, &store), pace, &store).run();
        }
        if bench.is_about("sqlite") {
            let sqlite = bench.given(Sqlite::new());
            let path = sqlite.path().to_str().expect("a path in UTF-8").to_owned();
            let told = here(latencies(&bench, "sqlite", pace), pace, &sqlite.store);
            let told = elsewhere(told, pace, &sqlite.store, format!("sqlite={path}"));
            channel(told, pace, &sqlite.store).run();
        }
        if bench.is_about("postgres") {
            let postgres = bench.given(Postgres::new());
            let pool = bench.given(postgres.beside());
            // It makes the table.
            let _: Raw<sqlx::Postgres> = bench.given(Raw::new(pool.clone()));
            let told = here(latencies(&bench, "postgres", pace), pace, &postgres.store);
            let told = channel(told, pace, &postgres.store);
            let told = elsewhere(told, pace, &postgres.store, format!("postgres={}", postgres.url()));
            notified(told, pace, &pool, format!("raw={}", postgres.url())).run();
        }
    }
}

/// How often something is appended.
#[derive(Clone, Copy, Debug)]
enum Pace {
    /// One after the other, with a rest before each.
    Rest,
    /// Whether or not the last one has its answer.
    Beat,
}

fn latencies<'a>(bench: &'a Bench, store: &str, pace: Pace) -> Latencies<'a> {
    let pace = match pace {
        Pace::Rest => "at rest",
        Pace::Beat => "1,000 appends/s",
    };
    bench.compare_latencies(format!("{store}: from append to handler, {pace}"))
}

/// A subscription in this process.
fn here<'a, S>(told: Latencies<'a>, pace: Pace, store: &'a S) -> Latencies<'a>
where
    S: EventStore + Progress + Clone,
{
    told.of("factum, same process", move |time| {
        let store = store.clone();
        measured(time, pace, append(&store.clone()), |heard| {
            Follower::here(async move |stopped: oneshot::Receiver<()>| {
                let tell = move |moment| {
                    let _ = heard.send(moment);
                };
                follow(store, tell, stopped.map(|_| ())).await;
            })
        })
    })
}

/// A subscription in another one.
fn elsewhere<'a, S: EventStore + Clone>(
    told: Latencies<'a>,
    pace: Pace,
    store: &'a S,
    what: String,
) -> Latencies<'a> {
    told.of("factum, another process", move |time| {
        let what = what.clone();
        measured(time, pace, append(store), move |heard| Follower::elsewhere(&what, heard))
    })
}

/// A task in this process that is told by a channel.
fn channel<'a, S: EventStore + Clone>(told: Latencies<'a>, pace: Pace, store: &'a S) -> Latencies<'a> {
    told.of("raw, same process: a channel", move |time| {
        let (tell, mut told) = unbounded_channel();
        let append = append(store);
        let append_and_tell = move || {
            let (appending, tell) = (append(), tell.clone());
            async move {
                let (position, acknowledged) = appending.await;
                let _ = tell.send(position);
                (position, acknowledged)
            }
        };
        measured(time, pace, append_and_tell, |heard| {
            Follower::here(move |mut stopped| async move {
                loop {
                    tokio::select! {
                        _ = &mut stopped => return,
                        Some(position) = told.recv() => drop(heard.send((position, now()))),
                    }
                }
            })
        })
    })
}

/// Another process that listens, and reads the row that the notice names; with which the others are compared.
fn notified<'a>(told: Latencies<'a>, pace: Pace, pool: &'a PgPool, what: String) -> Latencies<'a> {
    const INSERT: &str = "INSERT INTO raw (stream, version, name, payload) \
        VALUES ($1, 1, 'account.deposited', $2) RETURNING position";
    told.beside("raw, another process: NOTIFY", move |time| {
        let (pool, what) = (pool.clone(), what.clone());
        let insert = move || {
            let (pool, payload) = (pool.clone(), deposits(1).remove(0).payload);
            async move {
                let insert = sqlx::query_scalar(INSERT).bind(Uuid::now_v7()).bind(&payload[..]);
                let position: i64 = insert.fetch_one(&pool).await.expect("it can be written");
                let acknowledged = now();
                let notify = sqlx::query("SELECT pg_notify('bench', $1)").bind(position.to_string());
                notify.execute(&pool).await.expect("it can be told");
                (u64::try_from(position).expect("it is positive"), acknowledged)
            }
        };
        measured(time, pace, insert, move |heard| Follower::elsewhere(&what, heard))
    })
}

/// Appends one event to a new stream, and says at which position and when that was acknowledged.
fn append<S: EventStore + Clone>(store: &S) -> impl Fn() -> BoxFuture<'static, Moment> + use<S> {
    let store = store.clone();
    move || {
        let store = store.clone();
        Box::pin(async move {
            let stream = StreamId::new("account", &Uuid::now_v7().to_string()).expect("a name");
            let append = Append::to(stream, Expected::NoStream, deposits(1));
            let appended = store.append(append).await.expect("it can be written");
            (appended.position.0, now())
        })
    }
}

/// A position, and when something happened to it: by the clock of the machine, because processes share no other.
type Moment = (u64, Duration);

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later")
}

/// The times from what `append` says to what the follower has heard.
async fn measured<F>(
    time: Duration,
    pace: Pace,
    append: impl Fn() -> F,
    follow: impl FnOnce(UnboundedSender<Moment>) -> Follower,
) -> Vec<Duration>
where
    F: Future<Output = Moment> + Send + 'static,
{
    let (tell, mut told) = unbounded_channel();
    let follower = follow(tell);
    // Who is just beginning has heard of nothing: until it hears, it is told again.
    while timeout(Duration::from_millis(200), told.recv()).await.is_err() {
        append().await;
    }
    sleep(REST).await;
    let acknowledged = match pace {
        Pace::Rest => at_rest(time, append).await,
        Pace::Beat => by_beat(time, append).await,
    };
    let mut waiting: HashMap<_, _> = acknowledged.into_iter().collect();
    let mut took = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let heard = timeout(PATIENCE, told.recv()).await.expect("it hears in time");
        let (position, called) = heard.expect("the follower is there");
        if let Some(acknowledged) = waiting.remove(&position) {
            took.push(called.saturating_sub(acknowledged));
        }
    }
    follower.stop().await;
    took
}

async fn at_rest<F: Future<Output = Moment>>(time: Duration, append: impl Fn() -> F) -> Vec<Moment> {
    let end = Instant::now() + time;
    let mut acknowledged = Vec::new();
    while acknowledged.is_empty() || Instant::now() < end {
        sleep(REST).await;
        acknowledged.push(append().await);
    }
    acknowledged
}

async fn by_beat<F>(time: Duration, append: impl Fn() -> F) -> Vec<Moment>
where
    F: Future<Output = Moment> + Send + 'static,
{
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut appending = JoinSet::new();
    let times = (time.as_millis() / BEAT.as_millis()).max(1);
    for _ in 0..times {
        beat.tick().await;
        appending.spawn(append());
    }
    appending.join_all().await
}

/// What hears of appends, until it is stopped.
enum Follower {
    Here { stop: oneshot::Sender<()>, task: JoinHandle<()> },
    Elsewhere { program: Child, stop: ChildStdin, reader: thread::JoinHandle<()> },
}

impl Follower {
    fn here<F>(follow: impl FnOnce(oneshot::Receiver<()>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        Self::Here { stop, task: tokio::spawn(follow(stopped)) }
    }

    fn elsewhere(what: &str, heard: UnboundedSender<Moment>) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut program = Command::new(program)
            .env(FOLLOW, what)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it can be run once more");
        let stop = program.stdin.take().expect("it is piped");
        let output = BufReader::new(program.stdout.take().expect("it is piped"));
        let reader = thread::spawn(move || {
            for line in output.lines() {
                let line = line.expect("it writes text");
                let (position, called) = line.split_once(' ').expect("it writes two numbers");
                let called = Duration::from_nanos(called.parse().expect("a number"));
                let _ = heard.send((position.parse().expect("a number"), called));
            }
        });
        Self::Elsewhere { program, stop, reader }
    }

    async fn stop(self) {
        match self {
            Self::Here { stop, task } => {
                drop(stop);
                task.await.expect("no panic");
            }
            Self::Elsewhere { mut program, stop, reader } => {
                drop(stop);
                reader.join().expect("no panic");
                assert!(program.wait().expect("it is ours").success());
            }
        }
    }
}

/// Tells of each event that it is called with.
#[derive(EventHandler)]
#[handler(name = "tell", error = Infallible, on(Deposited))]
struct Tell<F: Fn(Moment) + Send + Sync + 'static>(F);

impl<F: Fn(Moment) + Send + Sync + 'static> On<Deposited> for Tell<F> {
    async fn on(&self, event: &Envelope<Deposited>, _: &mut Context) -> Result<(), Infallible> {
        (self.0)((event.position.0, now()));
        Ok(())
    }
}

async fn follow<S>(
    store: S,
    tell: impl Fn(Moment) + Send + Sync + 'static,
    stopped: impl Future<Output = ()> + Send,
) where
    S: EventStore + Progress + Clone,
{
    let subscription = Subscription::new(FOLLOWER, store, OnFailure::stop()).handler(Tell(tell));
    subscription.run_until(stopped).await.expect("nothing fails");
}

/// What the other process does, until its standard input ends.
fn follow_from_outside(what: &str) {
    let runtime = Runtime::new().expect("a runtime");
    let (kind, place) = what.split_once('=').expect("what and where");
    let stopped = async {
        let ended = tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new()));
        ended.await.expect("no panic").expect("it can be read");
    };
    runtime.block_on(async {
        match kind {
            "sqlite" => follow(SqliteStore::connect(place).await.expect("a store"), print, stopped).await,
            "postgres" => follow(PostgresStore::connect(place).await.expect("a store"), print, stopped).await,
            _ => tokio::select! {
                () = stopped => {}
                () = listen(place) => {}
            },
        }
    });
}

fn print((position, called): Moment) {
    println!("{position} {}", called.as_nanos());
}

async fn listen(url: &str) {
    let pool = PgPool::connect(url).await.expect("a database");
    let mut listener = PgListener::connect_with(&pool).await.expect("a connection");
    listener.listen("bench").await.expect("it can listen");
    loop {
        let notice = listener.recv().await.expect("the connection is there");
        let position: i64 = notice.payload().parse().expect("a number");
        let row = sqlx::query_scalar("SELECT payload FROM raw WHERE position = $1").bind(position);
        let _: Vec<u8> = row.fetch_one(&pool).await.expect("it can be read");
        print((u64::try_from(position).expect("it is positive"), now()));
    }
}
