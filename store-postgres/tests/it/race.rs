//! Many writers in several processes, some of them slow, some killed: readers of the feed lose nothing, while readers that
//! are built otherwise, on the same table at the same time, are caught losing events.
//!
//! `FACTUM_RACE_EVENTS` says how many events there are to be.

use std::collections::{BTreeSet, HashMap};
use std::env;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use factum_core::store::{Append, Filter, ReadAll};
use factum_core::{
    AppendError, Checkpoint, EventId, EventName, EventStore, Expected, StoreErrorKind, StreamId,
    Transactional, Version,
};
use factum_postgres::PostgresStore;
use sqlx::PgConnection;
use tokio::sync::watch;
use uuid::Uuid;

use crate::given::{PATIENCE, ask, database, empty_database, event_named, one, run, stranger};

const EVENTS: usize = 5_000;
/// Processes that write to their end, beside this one.
const PROCESSES: usize = 3;
/// Processes that are killed, one after the other.
const VICTIMS: u64 = 4;
const WRITERS: usize = 10;
/// How many races there are at most.
const ROUNDS_MAX: usize = 6;
const STREAMS: u64 = 60;
const CATEGORIES: [&str; 3] = ["order", "customer", "parcel"];
const NAMES: [&str; 3] = ["placed", "moved", "paid"];

/// Tells this binary that it is one of the other processes: the URL, a number, and how many events it writes.
const WRITE: &str = "FACTUM_RACE_WRITE";

/// How long the followers may take when the writers have ended.
const CATCH_UP: Duration = PATIENCE;

/// Numbers that look random, and are the same each time.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Less than `below`.
    pub(crate) fn number(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }

    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.number(times) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.number(choices.len() as u64)).expect("small")]
    }

    fn stream(&mut self) -> StreamId {
        let id = self.number(STREAMS).to_string();
        StreamId::new(self.of(&CATEGORIES), &id).expect("a name")
    }

    /// One to three events for one to three streams. Streams in one order for all, so that transactions do not deadlock.
    fn appends(&mut self) -> Vec<Append> {
        let streams: BTreeSet<_> = (0..=self.number(3)).map(|_| self.stream().to_string()).collect();
        let streams = streams.iter().map(|stream| stream.parse::<StreamId>().expect("a name"));
        streams.map(|stream| Append::to(stream, Expected::Any, self.events())).collect()
    }

    fn events(&mut self) -> Vec<factum_core::NewEvent> {
        (0..=self.number(3)).map(|_| event_named(self.of(&NAMES))).collect()
    }
}

fn ids(append: &Append) -> impl Iterator<Item = EventId> {
    append.events().map(|event| event.id)
}

/// Writes until as many events were acknowledged, and answers which.
async fn write(store: PostgresStore, mut chance: Chance, events: usize) -> Vec<EventId> {
    let mut acknowledged = Vec::new();
    while acknowledged.len() < events {
        match chance.number(10) {
            0..4 => {
                let append = chance.appends().remove(0);
                store.append(append.clone()).await.expect("appends");
                acknowledged.extend(ids(&append));
            }
            4 => {
                // Mostly in vain.
                let version = Version(chance.number(20));
                let append = Append::to(chance.stream(), Expected::Exactly(version), chance.events());
                match store.append(append.clone()).await {
                    Ok(_) => acknowledged.extend(ids(&append)),
                    Err(AppendError::Conflict(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            5 => {
                let parts = chance.appends().into_iter().flat_map(Append::into_streams);
                let append = parts.fold(None, |append: Option<Append>, part| {
                    Some(match append {
                        None => Append::to(part.stream, part.expected, part.events),
                        Some(append) => append.and(part.stream, part.expected, part.events),
                    })
                });
                let append = append.expect("at least one");
                store.append(append.clone()).await.expect("appends");
                acknowledged.extend(ids(&append));
            }
            _ => acknowledged.extend(write_in_transaction(&store, &mut chance).await),
        }
    }
    acknowledged
}

/// A transaction with appends in it that takes its time.
async fn write_in_transaction(store: &PostgresStore, chance: &mut Chance) -> Vec<EventId> {
    let mut written = Vec::new();
    let mut tx = store.begin().await.expect("begins");
    if chance.one_in(2) {
        // So that its transaction id is older than what it will append.
        run(&mut tx, "INSERT INTO notes DEFAULT VALUES").await;
        tokio::time::sleep(Duration::from_millis(chance.number(10))).await;
    }
    for append in chance.appends() {
        let is_taken_back = chance.one_in(8);
        if is_taken_back {
            run(&mut tx, "SAVEPOINT own").await;
        }
        match store.append_in(&mut tx, append.clone()).await {
            Ok(_) => {}
            // With a group, which has another order: the transaction is rolled back.
            Err(AppendError::Store(error)) if *error.kind() == StoreErrorKind::Busy => return Vec::new(),
            Err(error) => panic!("{error}"),
        }
        if is_taken_back {
            run(&mut tx, "ROLLBACK TO SAVEPOINT own").await;
        } else {
            written.extend(ids(&append));
        }
    }
    tokio::time::sleep(Duration::from_millis(chance.number(30))).await;
    if chance.one_in(5) {
        tx.rollback().await.expect("rolls back");
        return Vec::new();
    }
    store.commit(tx).await.expect("commits");
    written
}

/// Writers on one store, and that what was acknowledged is in the table.
async fn write_with_many(store: PostgresStore, seed: u64, events: usize) {
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let chance = Chance::new(seed * 100 + writer as u64);
            tokio::spawn(write(store.clone(), chance, events / WRITERS))
        })
        .collect();
    for writer in writers {
        let ids: Vec<Uuid> = writer.await.expect("no panic").into_iter().map(|id| id.0).collect();
        let query = "SELECT count(*) FROM factum_events WHERE event_id = ANY ($1)";
        let found: i64 = sqlx::query_scalar(query).bind(&ids).fetch_one(store.pool()).await.expect("counts");
        assert_eq!(usize::try_from(found), Ok(ids.len()), "what was acknowledged is there");
    }
}

async fn racing_store(url: &str) -> PostgresStore {
    // Half of the writers may be in a transaction, and the others need a connection for each lane.
    PostgresStore::builder().max_connections(16).connect(url).await.expect("connects")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the race runs it, as another process"]
async fn as_another_process() {
    let Ok(task) = env::var(WRITE) else { return };
    let mut parts = task.splitn(3, ' ');
    let mut next = || parts.next().expect("a number, how many events, and a URL");
    let seed = next().parse().expect("a number");
    let events = next().parse().expect("a number");
    write_with_many(racing_store(next()).await, seed, events).await;
}

/// Another process, which is killed when this is dropped.
struct Process(Child);

impl Process {
    fn start(url: &str, seed: u64, events: usize) -> Self {
        let mut command = Command::new(env::current_exe().expect("it runs"));
        command.args(["--exact", "race::as_another_process", "--ignored", "--nocapture"]);
        command.env(WRITE, format!("{seed} {events} {url}"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self(command.spawn().expect("starts"))
    }

    async fn succeed(mut self) {
        let status = loop {
            match self.0.try_wait().expect("can be asked") {
                Some(status) => break status,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        assert!(status.success(), "a process of writers failed: {status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An event as far as it matters who has seen it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    position: u64,
    stream: StreamId,
    version: u64,
    name: EventName,
}

/// Reads as a subscription does, until the end is known and reached.
async fn follow(store: PostgresStore, filter: Filter, end: watch::Receiver<Option<u64>>) -> Vec<Seen> {
    let (mut seen, mut after) = (Vec::new(), Checkpoint::START);
    loop {
        // For the end, which wakes nobody.
        let _ = tokio::time::timeout(Duration::from_millis(100), store.wait(after.position)).await;
        let read = ReadAll::after(after).filter(filter.clone()).limit(100).following();
        let page = store.read_all(read).await.expect("reads");
        assert!(page.checkpoint.position >= after.position);
        after = page.checkpoint;
        seen.extend(page.events.into_iter().map(|event| Seen {
            position: event.position.0,
            stream: event.stream,
            version: event.version.0,
            name: event.name,
        }));
        if end.borrow().is_some_and(|end| after.position.0 >= end) {
            return seen;
        }
    }
}

/// What the table has, once nothing is open any more.
async fn table(connection: &mut PgConnection) -> Vec<Seen> {
    let query = "SELECT position, category, stream, version, name FROM factum_events ORDER BY position";
    let rows: Vec<(i64, String, String, i64, String)> =
        sqlx::query_as(query).fetch_all(connection).await.expect("reads");
    let number = |column: i64| u64::try_from(column).expect("positive");
    rows.into_iter()
        .map(|(position, category, stream, version, name)| Seen {
            position: number(position),
            stream: StreamId::new(&category, &stream).expect("a name"),
            version: number(version),
            name: EventName::new(name).expect("a name"),
        })
        .collect()
}

/// That positions only grow, and that each stream has its versions in their order and without a hole.
fn assert_order(events: &[Seen]) {
    assert!(events.is_sorted_by(|one, next| one.position < next.position));
    let mut versions: HashMap<&StreamId, u64> = HashMap::new();
    for event in events {
        let last = versions.entry(&event.stream).or_default();
        assert_eq!(event.version, *last + 1, "{event:?}");
        *last = event.version;
    }
}

/// Readers as they must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    /// Goes on after the last position that it saw.
    ByPosition,
    /// Asks for the last position after it has asked who holds the lock.
    HeadAfterTheList,
    /// Waits for the holders, and delivers what it had read before.
    RowsBeforeTheWait,
    /// Leaves out what is younger than 10 ms.
    Margin,
    /// Waits 5 ms at a hole.
    TimeOut,
    /// Goes by transaction ids, up to the oldest that is still open.
    ByTransactionId,
}

const LAST: &str = "SELECT coalesce(max(position), 0) FROM factum_events";

/// The lock of appends, as `src/sql/head.sql` lists who holds it.
const HOLDERS: &str = "SELECT ARRAY(
    SELECT virtualtransaction FROM pg_locks
    WHERE locktype = 'advisory' AND classid = 1717658484 AND objsubid = 2 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";

async fn select(connection: &mut PgConnection, query: &'static str, from: i64, to: i64) -> Vec<i64> {
    sqlx::query_scalar(query).bind(from).bind(to).fetch_all(connection).await.expect("reads")
}

async fn wait_for_all(connection: &mut PgConnection, mut holders: Vec<String>) {
    while !holders.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let now: Vec<String> = ask(connection, HOLDERS).await;
        holders.retain(|holder| now.contains(holder));
    }
}

impl Broken {
    const ALL: [Self; 6] = [
        Self::ByPosition,
        Self::HeadAfterTheList,
        Self::RowsBeforeTheWait,
        Self::Margin,
        Self::TimeOut,
        Self::ByTransactionId,
    ];

    /// Reads until it is over, and then once more.
    async fn read(self, mut connection: PgConnection, is_over: Arc<AtomicBool>) -> Vec<i64> {
        let (mut seen, mut after) = (Vec::new(), 0);
        loop {
            let is_last = is_over.load(Ordering::SeqCst);
            seen.extend(self.look(&mut connection, &mut after).await);
            if is_last {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    /// What it delivers next. It will go on after `after`.
    async fn look(self, connection: &mut PgConnection, after: &mut i64) -> Vec<i64> {
        const BETWEEN: &str =
            "SELECT position FROM factum_events WHERE position > $1 AND position <= $2 ORDER BY position";
        let from = *after;
        let rows = match self {
            Self::ByPosition => select(connection, BETWEEN, from, i64::MAX).await,
            Self::HeadAfterTheList => {
                let holders = ask(connection, HOLDERS).await;
                tokio::time::sleep(Duration::from_millis(3)).await;
                let head = ask(connection, LAST).await;
                wait_for_all(connection, holders).await;
                *after = head;
                return select(connection, BETWEEN, from, head).await;
            }
            Self::RowsBeforeTheWait => {
                let rows = select(connection, BETWEEN, from, i64::MAX).await;
                let holders = ask(connection, HOLDERS).await;
                wait_for_all(connection, holders).await;
                rows
            }
            Self::Margin => {
                let query = "SELECT position FROM factum_events
                             WHERE position > $1 AND position <= $2
                                 AND recorded_at < clock_timestamp() - interval '10 ms'
                             ORDER BY position";
                select(connection, query, from, i64::MAX).await
            }
            Self::TimeOut => {
                let rows = select(connection, BETWEEN, from, i64::MAX).await;
                if rows.iter().copied().eq((from + 1..).take(rows.len())) {
                    rows
                } else {
                    let head = rows.last().copied().unwrap_or(from);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    select(connection, BETWEEN, from, head).await
                }
            }
            Self::ByTransactionId => {
                // `after` is a transaction id here.
                let query = "SELECT position FROM transactions
                             WHERE id >= $1 AND id < $2 ORDER BY id, position";
                let oldest = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint";
                let open = ask(connection, oldest).await;
                *after = open;
                return select(connection, query, from, open).await;
            }
        };
        *after = rows.last().copied().unwrap_or(from);
        rows
    }
}

/// How many events are missing in what was seen, and how many stand before one that precedes them in their stream.
fn faults(seen: &[i64], table: &[Seen]) -> (usize, usize) {
    let events: HashMap<u64, &Seen> = table.iter().map(|event| (event.position, event)).collect();
    let seen: Vec<u64> = seen.iter().map(|&position| u64::try_from(position).expect("positive")).collect();
    let known: BTreeSet<u64> = seen.iter().copied().collect();
    let mut versions: HashMap<&StreamId, u64> = HashMap::new();
    let mut reversed = 0;
    for event in seen.iter().map(|position| events[position]) {
        let last = versions.entry(&event.stream).or_default();
        reversed += usize::from(event.version < *last);
        *last = event.version.max(*last);
    }
    (table.len() - known.len(), reversed)
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_the_feed_lose_nothing_where_others_do() {
    let events = env::var("FACTUM_RACE_EVENTS").map_or(EVENTS, |events| events.parse().expect("a number"));
    // A race in which a broken reader loses nothing proves nothing about it, and how much it loses is chance.
    let mut caught = [0; Broken::ALL.len()];
    for _ in 0..ROUNDS_MAX {
        for (caught, lost) in caught.iter_mut().zip(race(events).await) {
            *caught += lost;
        }
        if caught.iter().all(|&lost| lost > 0) {
            return;
        }
    }
    panic!("not every broken reader was caught: {caught:?} of {:?}", Broken::ALL);
}

/// Writes something before appending, while somebody else appends to the same stream: the younger transaction comes first.
async fn reverse_transactions(store: &PostgresStore) {
    let mut tx = store.begin().await.expect("begins");
    sqlx::query("INSERT INTO notes VALUES ('first')").execute(&mut *tx).await.expect("writes");
    store.append(one("reversed", Expected::Any)).await.expect("appends");
    let _ = store.append_in(&mut tx, one("reversed", Expected::Any)).await.expect("appends");
    store.commit(tx).await.expect("commits");
}

/// Whether `event` passes, by other code than the store's.
fn passes(filter: &Filter, event: &Seen) -> bool {
    (filter.names.is_empty() || filter.names.contains(&event.name))
        && (filter.streams.is_empty() || filter.streams.contains(&event.stream))
        && (filter.categories.is_empty()
            || filter.categories.iter().any(|category| category == event.stream.category()))
}

/// How many events each of the broken readers loses, or reverses, in a race in which the followers lose none.
async fn race(events: usize) -> [usize; Broken::ALL.len()] {
    let (database, elsewhere) = (database().await, empty_database().await);
    let prepare = "CREATE TABLE notes (note text);
         CREATE TABLE transactions (position bigint PRIMARY KEY, id bigint);
         CREATE FUNCTION note_transaction() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN
             INSERT INTO transactions SELECT position, pg_current_xact_id()::text::bigint FROM new_rows;
             RETURN NULL;
         END';
         CREATE TRIGGER note_transaction AFTER INSERT ON factum_events
         REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION note_transaction()";
    run(&mut stranger(&database).await, prepare).await;
    // Open as long as the race lasts.
    let mut idle = [stranger(&database).await, stranger(&elsewhere).await];
    for idle in &mut idle {
        run(idle, "CREATE TABLE others (id int)").await;
        run(idle, "BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO others VALUES (1)").await;
    }

    let is_over = Arc::new(AtomicBool::new(false));
    let mut broken = Vec::new();
    for reader in Broken::ALL {
        let reading = reader.read(stranger(&database).await, Arc::clone(&is_over));
        broken.push((reader, tokio::spawn(reading)));
    }
    let (tell, end) = watch::channel(None);
    let apart = racing_store(database.url()).await;
    // Knows of its own appends without asking.
    let writing = racing_store(database.url()).await;
    let filters = [
        Filter::all(),
        Filter::all(),
        Filter { categories: vec!["order".to_owned()], ..Filter::all() },
        Filter { names: vec![EventName::new("paid").expect("a name")], ..Filter::all() },
        Filter {
            streams: ["parcel/1", "customer/1", "order/2"].map(|id| id.parse().expect("a name")).into(),
            ..Filter::all()
        },
    ];
    let followers: Vec<_> = filters
        .iter()
        .zip([&writing, &apart, &writing, &apart, &apart])
        .map(|(filter, store)| tokio::spawn(follow(store.clone(), filter.clone(), end.clone())))
        .collect();

    let share = events / (PROCESSES + 1);
    let processes: Vec<_> =
        (1..).take(PROCESSES).map(|seed| Process::start(database.url(), seed, share)).collect();
    let here = tokio::spawn(write_with_many(writing.clone(), 100, share));
    let mut chance = Chance::new(7);
    for seed in 0..VICTIMS {
        let victim = Process::start(database.url(), 200 + seed, usize::MAX);
        tokio::time::sleep(Duration::from_millis(400 + chance.number(400))).await;
        drop(victim);
    }
    for process in processes {
        process.succeed().await;
    }
    here.await.expect("no panic");

    reverse_transactions(&writing).await;

    let last: i64 = ask(&mut stranger(&database).await, LAST).await;
    tell.send_replace(Some(u64::try_from(last).expect("positive")));
    let mut seen = Vec::new();
    for follower in followers {
        let follower = tokio::time::timeout(CATCH_UP, follower).await.expect("the feed is not stalled");
        seen.push(follower.expect("no panic"));
    }
    is_over.store(true, Ordering::SeqCst);
    let table = table(&mut stranger(&database).await).await;
    assert!(table.len() >= events * 9 / 10, "{} events are too few", table.len());
    assert_order(&table);
    for (filter, seen) in filters.iter().zip(&seen) {
        let expected: Vec<_> = table.iter().filter(|event| passes(filter, event)).cloned().collect();
        assert!(*seen == expected, "{filter:?}: {} events of {}", seen.len(), expected.len());
    }

    let mut losses = [0; Broken::ALL.len()];
    for ((reader, reading), losses) in broken.into_iter().zip(&mut losses) {
        let seen = reading.await.expect("no panic");
        let (lost, reversed) = faults(&seen, &table);
        println!("{reader:?} lost {lost} of {} events and reversed {reversed}", table.len());
        if matches!(reader, Broken::ByTransactionId) {
            assert!(seen.is_empty(), "it is stalled by the foreign transaction");
        }
        *losses = lost;
    }
    for idle in &mut idle {
        run(idle, "ROLLBACK").await;
    }
    // Without the foreign transaction it goes on, and has streams backwards. Any transaction of the server is foreign to it.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let last_look = Arc::new(AtomicBool::new(true));
        let seen = Broken::ByTransactionId.read(stranger(&database).await, last_look).await;
        let (lost, reversed) = faults(&seen, &table);
        if lost == 0 && reversed > 0 {
            println!("by transaction id {reversed} events are reversed");
            break;
        }
        assert!(Instant::now() < deadline, "lost {lost} and reversed {reversed} by ids of transactions");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    losses
}
