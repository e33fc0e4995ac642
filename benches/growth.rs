//! Growth: what an operation costs in a log of 100,000 events, and in one of 10,000,000 that is the same otherwise.
//!
//! A log is filled by the server itself, with accounts of ten events each. Nothing is beside it: a cost that grows shows beside
//! itself. `FACTUM_BENCH_EVENTS` says how long the log becomes, in powers of ten from 100,000 on, and `FACTUM_BENCH_PLOTS` into
//! which folder pictures of it are drawn.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use factum::store::{Append, ReadAll};
use factum::{
    Checkpoint, Checkpoints as _, Context, Envelope, EventHandler, EventStore, Expected, On, OnFailure,
    Position, Repository, StreamId, Subscription,
};
use factum_benches::{Account, Deposit, Deposited, Plot, Postgres, at_once, deposits};
use sqlx::PgPool;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

/// How many events an account has.
const OF_AN_ACCOUNT: u64 = 10;
/// How many events the accounts have that become longer than any should be.
const LENGTHS: [u64; 5] = [10, 100, 1_000, 10_000, 100_000];
/// How many subscriptions follow at once.
const SUBSCRIPTIONS: u64 = 50;

/// `$1` is how many events there are already, `$2` how many there shall be. The ids grow with time, as those of factum do.
const FILL: &str = r#"
    INSERT INTO factum_events
        (position, version, recorded_at, event_id, schema_version, category, stream, name, codec, payload, metadata)
    SELECT
        number, (number - 1) % 10 + 1, now(),
        (lpad(to_hex(number), 12, '0') || '70008000' || substr(md5(number::text), 1, 12))::uuid,
        1, 'account', md5(((number - 1) / 10)::text)::uuid::text, 'account.deposited', 'json',
        convert_to(
            '{"amount":1177,"reference":"01234567-89ab-cdef-0123-456789abcdef","memo":"' || repeat('m', 97) || '"}',
            'UTF8'
        ),
        '{}'
    FROM generate_series($1::bigint + 1, $2::bigint) AS number"#;

fn main() {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let most =
        std::env::var("FACTUM_BENCH_EVENTS").map_or(10_000_000, |events| events.parse().expect("a number"));
    let (first, most, turn) = if is_bench {
        (100_000, most, Duration::from_secs(5))
    } else {
        (10_000, 10_000, Duration::from_millis(50))
    };
    Runtime::new().expect("a runtime").block_on(grow(first, most, turn));
}

async fn grow(first: u64, most: u64, turn: Duration) {
    let postgres = Postgres::new().await;
    let pool = postgres.beside().await;
    println!(
        "| events | streams | create, 1 caller, ms | create, 128 callers, /s | load 10 and append, 1 caller, ms | \
         a page of 1,000 of the middle, ms | catching up, events/s | disk, bytes per event | memory, MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let (mut there, mut wanted, mut costs) = (0, first, Vec::new());
    while wanted <= most {
        fill(&pool, there, wanted).await;
        postgres.settle().await;
        costs.push(measure(&postgres, &pool, wanted, turn).await);
        (there, wanted) = (head(&pool).await, wanted * 10);
    }
    println!("\n| events of the stream | load, ms | append one, ms | memory, MiB |\n|---|---|---|---|");
    let mut lengths = Vec::new();
    for events in LENGTHS.into_iter().filter(|&events| events <= most / 10) {
        lengths.push(a_long_stream(&postgres, events, turn / 5).await);
    }
    many_subscriptions(&postgres).await;
    if let Some(folder) = std::env::var_os("FACTUM_BENCH_PLOTS") {
        draw(&costs, &lengths, Path::new(&folder)).expect("it can be drawn");
    }
}

/// What operations take, in milliseconds, in a log of so many events.
struct Costs {
    events: f64,
    create: f64,
    create_of_many: f64,
    deposit: f64,
    page: f64,
    catch_up: f64,
}

/// What operations take, in milliseconds, on a stream of so many events.
struct OfALength {
    events: f64,
    load: f64,
    append: f64,
}

fn draw(costs: &[Costs], lengths: &[OfALength], folder: &Path) -> Result<(), Box<dyn Error>> {
    let times = |of: fn(&Costs) -> f64| {
        let first = costs.first().map_or(1.0, of);
        costs.iter().map(|cost| (cost.events, of(cost) / first)).collect()
    };
    let of_the_log = Plot {
        title: "What an operation takes, over the size of the log, as a multiple of what it took in the smallest",
        x: "events in the log",
        y: "times as long",
        reach: (0.1, 10.0),
        lines: &[
            ("create, 1 caller", times(|cost| cost.create)),
            ("create, 128 callers", times(|cost| cost.create_of_many)),
            ("load 10 and append", times(|cost| cost.deposit)),
            ("a page of the middle", times(|cost| cost.page)),
            ("catch up, for each event", times(|cost| cost.catch_up)),
        ],
    };
    of_the_log.write(&folder.join("log.svg"))?;
    let of_the_stream = Plot {
        title: "What an operation takes, over the length of the stream",
        x: "events in the stream",
        y: "milliseconds",
        reach: (0.1, 100.0),
        lines: &[
            ("load", lengths.iter().map(|length| (length.events, length.load)).collect()),
            ("append one", lengths.iter().map(|length| (length.events, length.append)).collect()),
        ],
    };
    of_the_stream.write(&folder.join("stream.svg"))
}

async fn fill(pool: &PgPool, there: u64, wanted: u64) {
    const STEP: u64 = 1_000_000;
    let number = |count: u64| i64::try_from(count).expect("it is small");
    // What was appended by a measurement is a part of the log.
    let mut from = there.next_multiple_of(OF_AN_ACCOUNT);
    while from < wanted {
        let to = wanted.min(from + STEP);
        sqlx::query(FILL).bind(number(from)).bind(number(to)).execute(pool).await.expect("it can be filled");
        from = to;
    }
    let drawn = "SELECT setval('factum_position', $1)";
    sqlx::query(drawn).bind(number(from)).execute(pool).await.expect("there is a sequence");
}

async fn head(pool: &PgPool) -> u64 {
    let head: i64 =
        sqlx::query_scalar("SELECT max(position) FROM factum_events").fetch_one(pool).await.expect("a log");
    u64::try_from(head).expect("positions are positive")
}

async fn measure(postgres: &Postgres, pool: &PgPool, events: u64, turn: Duration) -> Costs {
    let accounts = Repository::<Account>::new(postgres.store.clone());
    let create = |accounts: Repository<Account>| async move {
        accounts.execute(&Uuid::now_v7(), Deposit { times: 1 }).assume_new().await.expect("it is new");
    };
    let bytes: i64 =
        sqlx::query_scalar("SELECT pg_total_relation_size('factum_events') / count(*) FROM factum_events")
            .fetch_one(pool)
            .await
            .expect("a log");
    let alone = middle(turn, || create(accounts.clone())).await;
    let of_many = accounts.clone();
    let many = per_second(turn, 128, move || create(of_many.clone())).await;
    // Accounts all over the log, each of them again only when there are no others.
    let ids = some_accounts(pool, events).await;
    let mut ids = ids.iter().copied().cycle();
    let deposited = middle(turn, || {
        let (id, accounts) = (ids.next().expect("there are some"), accounts.clone());
        async move {
            let account = accounts.execute(&id, Deposit { times: 1 }).await;
            assert!(account.expect("it is there").version().0 > OF_AN_ACCOUNT);
        }
    })
    .await;
    let page = middle(turn, || async {
        let read = ReadAll::after(Position(events / 2)).limit(1000);
        let page = postgres.store.read_all(read).await.expect("it can be read");
        assert_eq!(page.events.len(), 1000);
    })
    .await;
    let (begin, handled) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let subscription =
        Subscription::new(format!("all of {events}"), postgres.store.clone(), OnFailure::stop());
    subscription
        .handler(Count { handled: Arc::clone(&handled), told: None })
        .catch_up()
        .await
        .expect("it catches up");
    let handled = handled.load(Ordering::Relaxed);
    assert!(handled >= events, "{handled} of {events}");
    let speed = float(handled) / begin.elapsed().as_secs_f64();
    println!(
        "| {events} | {} | {alone:.2} | {many:.0} | {deposited:.2} | {page:.2} | {speed:.0} | {bytes} | {} |",
        events / OF_AN_ACCOUNT,
        resident_mib()
    );
    Costs {
        events: float(events),
        create: alone,
        create_of_many: 1e3 / many,
        deposit: deposited,
        page,
        catch_up: 1e3 / speed,
    }
}

fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).expect("it is small"))
}

/// Accounts from all over the log, each once, in no order.
async fn some_accounts(pool: &PgPool, events: u64) -> Vec<Uuid> {
    const SOME: &str = "SELECT stream::uuid FROM (
            SELECT DISTINCT (random() * ($1::bigint / 10 - 1))::bigint * 10 + 10 AS position FROM generate_series(1, 20000)
        ) AS chosen
        JOIN factum_events USING (position)
        WHERE version = 10
        ORDER BY random()";
    let events = i64::try_from(events).expect("it is small");
    sqlx::query_scalar(SOME).bind(events).fetch_all(pool).await.expect("a log")
}

/// How many milliseconds it takes, in the middle.
async fn middle<F: Future<Output = ()>>(turn: Duration, mut work: impl FnMut() -> F) -> f64 {
    let (begin, mut took) = (Instant::now(), Vec::new());
    while begin.elapsed() < turn {
        let begin = Instant::now();
        work().await;
        took.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    took[took.len() / 2]
}

/// How often it can be done in a second.
async fn per_second<F>(turn: Duration, callers: u32, work: impl Fn() -> F + Clone + Send + 'static) -> f64
where
    F: Future<Output = ()> + Send + 'static,
{
    // As often as it takes to last about as long.
    let few = callers * 4;
    let took = at_once(few, callers, work.clone()).await;
    let times = u128::from(few) * turn.as_micros() / took.as_micros().max(1);
    let times = u32::try_from(times).expect("nothing is so fast").max(1);
    f64::from(times) / at_once(times, callers, work).await.as_secs_f64()
}

/// How much memory this process has, in MiB.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it says this, too");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") / 1024
}

/// A stream of so many events: folded from its beginning, and appended to.
async fn a_long_stream(postgres: &Postgres, events: u64, turn: Duration) -> OfALength {
    const AT_ONCE: u64 = 1000;
    let accounts = Repository::<Account>::new(postgres.store.clone());
    let id = Uuid::now_v7();
    let stream = StreamId::new("account", &id.to_string()).expect("a name");
    let mut missing = events;
    while missing > 0 {
        let now = u32::try_from(missing.min(AT_ONCE)).expect("it is small");
        let append = Append::to(stream.clone(), Expected::Any, deposits(now));
        postgres.store.append(append).await.expect("it can be written");
        missing -= u64::from(now);
    }
    let load = middle(turn, || async {
        let loaded = accounts.load(&id).await.expect("it can be read");
        assert_eq!(loaded.version().0, events);
    })
    .await;
    let append = middle(turn, || async {
        let append = Append::to(stream.clone(), Expected::Any, deposits(1));
        postgres.store.append(append).await.expect("it can be written");
    })
    .await;
    println!("| {events} | {load:.2} | {append:.2} | {} |", resident_mib());
    OfALength { events: float(events), load, append }
}

/// Subscriptions that follow one log in one process, from an append until all have handled it.
async fn many_subscriptions(postgres: &Postgres) {
    let (told, mut hears) = watch::channel(0_u64);
    let told = Arc::new(told);
    let here = postgres.store.head().await.expect("a log");
    let (stop, stopped) = watch::channel(false);
    let mut following = JoinSet::new();
    for number in 0..SUBSCRIPTIONS {
        let handler = Count { handled: Arc::default(), told: Some(Arc::clone(&told)) };
        let name = format!("one of many {number}");
        let subscription =
            Subscription::new(name.clone(), postgres.store.clone(), OnFailure::stop()).handler(handler);
        // Not from the beginning, which is another measurement.
        let moved = postgres.store.move_checkpoint(&name, Checkpoint::START, here.into()).await;
        moved.expect("nobody has begun");
        let mut stopped = stopped.clone();
        following.spawn(async move {
            subscription.run_until(async move { drop(stopped.wait_for(|stopped| *stopped).await) }).await
        });
    }
    let accounts = Repository::<Account>::new(postgres.store.clone());
    let mut expected = 0;
    let all = middle(Duration::from_secs(3), || {
        expected += SUBSCRIPTIONS;
        let (accounts, mut hears) = (accounts.clone(), hears.clone());
        async move {
            accounts.execute(&Uuid::now_v7(), Deposit { times: 1 }).assume_new().await.expect("it is new");
            hears.wait_for(|&handled| handled >= expected).await.expect("they are there");
        }
    })
    .await;
    println!(
        "\n{SUBSCRIPTIONS} subscriptions: {all:.2} ms until all have handled an event, {} MiB",
        resident_mib()
    );
    hears.borrow_and_update();
    stop.send_replace(true);
    while let Some(ended) = following.join_next().await {
        ended.expect("it goes on").expect("it stops");
    }
}

/// Counts the events that it is called with, and tells how many they were.
#[derive(EventHandler)]
#[handler(name = "count", error = Infallible, on(Deposited))]
struct Count {
    handled: Arc<AtomicU64>,
    told: Option<Arc<watch::Sender<u64>>>,
}

impl On<Deposited> for Count {
    async fn on(&self, event: &Envelope<Deposited>, _: &mut Context) -> Result<(), Infallible> {
        std::hint::black_box(event);
        self.handled.fetch_add(1, Ordering::Relaxed);
        if let Some(told) = &self.told {
            told.send_modify(|handled| *handled += 1);
        }
        Ok(())
    }
}
