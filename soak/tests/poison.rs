//! One event of a hundred thousand cannot be handled: only its stream waits for it, and follows in its order when it can be.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use factum::postgres::{PostgresStore, PostgresTx};
use factum::sqlite::{SqliteStore, SqliteTx};
use factum::store::Append;
use factum::{
    Codec, Context, DeadLetter, Envelope, Event, EventHandler, EventStore, Expected, HandleError, Interest,
    Metadata, NewEvent, OnFailure, Position, ReadDeadLetters, RecordedEvent, Retry, StreamId, Subscription,
    SubscriptionError, Transactional, Version,
};
use factum_memory::{MemoryStore, MemoryTx};
use factum_testkit::Postgres;
use serde::{Deserialize, Serialize};
use serde_json::json;

const STREAMS: u64 = 1_000;
/// Of each stream.
const EVENTS: u64 = 100;
/// The event that cannot be handled.
const BAD: (&str, Version) = ("account/500", Version(48));
/// How many events of a stream come right after each other: so others come with the bad one, and others much later.
const AT_ONCE: u64 = 5;
/// How often it is tried before it is set aside.
const ATTEMPTS: u32 = 3;

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "account.credited")]
struct Credited {
    amount: i64,
}

/// What an event of this version credits: another amount each time, so that none can stand in for another.
fn amount(version: u64) -> i64 {
    i64::try_from(version * version).unwrap()
}

/// What was made of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Account {
    events: i64,
    /// Of the event that was handled last.
    version: i64,
    balance: i64,
    /// How many events did not come right after the one before.
    disorder: i64,
}

type Accounts = BTreeMap<String, Account>;

impl Account {
    /// After its first events, in their order.
    fn after(events: u64) -> Self {
        let number = i64::try_from(events).unwrap();
        Self { events: number, version: number, balance: (1..=events).map(amount).sum(), disorder: 0 }
    }

    fn credit(&mut self, version: i64, amount: i64) {
        self.events += 1;
        self.balance += amount;
        self.disorder += i64::from(version != self.version + 1);
        self.version = version;
    }
}

#[tokio::test]
async fn a_bad_event_holds_up_its_stream_alone_in_memory() {
    let store = MemoryStore::new();
    let rows = Arc::<Mutex<Accounts>>::default();

    assert_only_one_stream_waits(&store, Book { store: store.clone(), rows }).await;
}

#[tokio::test]
async fn a_bad_event_holds_up_its_stream_alone_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::connect(folder.path().join("events.db")).await.unwrap();
    store.migrate().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    sqlx::raw_sql(TABLE).execute(&mut *tx).await.unwrap();
    store.commit(tx).await.unwrap();

    assert_only_one_stream_waits(&store, Book { store: store.clone(), rows: Arc::default() }).await;
}

#[tokio::test]
async fn a_bad_event_holds_up_its_stream_alone_on_postgres() {
    let database = Postgres::shared().unwrap().database().await.unwrap();
    let store = PostgresStore::connect(database.url()).await.unwrap();
    store.migrate().await.unwrap();
    sqlx::raw_sql(TABLE).execute(store.pool()).await.unwrap();

    assert_only_one_stream_waits(&store, Book { store: store.clone(), rows: Arc::default() }).await;
    store.close().await;
}

/// Exactly once and at least once, over the same log.
async fn assert_only_one_stream_waits<S>(store: &S, book: Book<S>)
where
    S: EventStore + Transactional + Clone,
    Book<S>: Ledger<S>,
{
    append_all(store).await;
    let is_repaired = Arc::<AtomicBool>::default();

    let in_transaction = Rows { book: book.clone(), is_repaired: Arc::clone(&is_repaired) };
    let subscription = Subscription::transactional("rows", store.clone(), policy()).handler(in_transaction);
    let catch_up = async || subscription.catch_up().await;
    assert_one_waits_and_follows(store, "rows", &is_repaired, catch_up, async || book.accounts().await).await;

    is_repaired.store(false, Ordering::SeqCst);
    let accounts = Arc::<Mutex<Accounts>>::default();
    let apart = Memory { accounts: Arc::clone(&accounts), is_repaired: Arc::clone(&is_repaired) };
    let subscription = Subscription::new("memory", store.clone(), policy()).handler(apart);
    let catch_up = async || subscription.catch_up().await;
    let read = async || accounts.lock().unwrap().clone();
    assert_one_waits_and_follows(store, "memory", &is_repaired, catch_up, read).await;
}

fn policy() -> OnFailure {
    Retry::times(ATTEMPTS).waits(Duration::from_millis(1), Duration::from_millis(2)).then_park_stream()
}

async fn assert_one_waits_and_follows(
    store: &impl Transactional,
    subscription: &str,
    is_repaired: &AtomicBool,
    catch_up: impl AsyncFn() -> Result<Position, SubscriptionError>,
    accounts: impl AsyncFn() -> Accounts,
) {
    let whole: Accounts =
        (1..=STREAMS).map(|number| (stream(number).to_string(), Account::after(EVENTS))).collect();
    let mut waiting = whole.clone();
    waiting.insert(BAD.0.to_owned(), Account::after(BAD.1.0 - 1));

    catch_up().await.unwrap();

    assert_same(&accounts().await, &waiting, "while one waits");
    let letters = dead_letters(store, subscription).await;
    let places: Vec<_> = letters.iter().map(place).collect();
    let behind = (BAD.1.0 + 1..=EVENTS).map(|version| (BAD.0, Version(version), 0));
    let all: Vec<_> = [(BAD.0, BAD.1, ATTEMPTS)].into_iter().chain(behind).collect();
    assert_eq!(places, all, "the bad one, and those behind it");

    // Before it is repaired, to ask for it is an attempt more.
    let bad = letters[0].letter.event.position;
    assert!(store.retry_dead_letter(subscription, bad).await.unwrap());
    catch_up().await.unwrap();
    assert_same(&accounts().await, &waiting, "while it cannot be handled");
    let letters = dead_letters(store, subscription).await;
    assert_eq!((place(&letters[0]).2, letters.len()), (ATTEMPTS + 1, all.len()));

    is_repaired.store(true, Ordering::SeqCst);
    assert!(store.retry_dead_letter(subscription, bad).await.unwrap());
    catch_up().await.unwrap();
    assert_same(&accounts().await, &whole, "after the repair");
    assert_eq!(dead_letters(store, subscription).await, []);
}

fn place(letter: &DeadLetter) -> (&str, Version, u32) {
    let letter = &letter.letter;
    (letter.event.stream.as_str(), letter.event.version, letter.attempts)
}

async fn dead_letters(store: &impl Transactional, subscription: &str) -> Vec<DeadLetter> {
    store.dead_letters(ReadDeadLetters::of(subscription)).await.unwrap()
}

/// A thousand accounts are too many to be shown.
fn assert_same(found: &Accounts, wanted: &Accounts, when: &str) {
    let names: std::collections::BTreeSet<_> = found.keys().chain(wanted.keys()).collect();
    for name in names {
        assert_eq!(found.get(name), wanted.get(name), "{name}, {when}");
    }
}

fn stream(number: u64) -> StreamId {
    StreamId::new("account", &number.to_string()).unwrap()
}

/// Some events of each stream in turn.
async fn append_all(store: &impl EventStore) {
    for before in (0..EVENTS).step_by(AT_ONCE.try_into().unwrap()) {
        let events = || {
            let versions = before + 1..=before + AT_ONCE;
            let events = versions.map(|version| Credited { amount: amount(version) });
            events
                .map(|event| NewEvent::encode(&event, Codec::default(), Metadata::default()).unwrap())
                .collect()
        };
        let expected = Expected::Exactly(Version(before));
        let first = Append::to(stream(1), expected, events());
        let append =
            (2..=STREAMS).fold(first, |append, number| append.and(stream(number), expected, events()));
        store.append(append).await.unwrap();
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("it cannot be handled")]
    Bad,
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

/// The event, unless it cannot be handled.
fn credited(
    event: &RecordedEvent,
    is_repaired: &AtomicBool,
) -> Result<Envelope<Credited>, HandleError<Failure>> {
    if (event.stream.as_str(), event.version) == BAD && !is_repaired.load(Ordering::SeqCst) {
        return Err(HandleError::Handler(Failure::Bad));
    }
    Envelope::decode(event).map_err(HandleError::Decode)
}

/// In memory, at least once.
struct Memory {
    accounts: Arc<Mutex<Accounts>>,
    is_repaired: Arc<AtomicBool>,
}

impl EventHandler for Memory {
    const NAME: &'static str = "memory";
    const INTERESTS: &'static [Interest] = &[Interest::new::<Credited>(0)];
    type Error = Failure;

    async fn handle(
        &self,
        _: usize,
        event: &RecordedEvent,
        _: &mut Context,
    ) -> Result<(), HandleError<Failure>> {
        let Envelope { stream, version, event, .. } = credited(event, &self.is_repaired)?;
        let mut accounts = self.accounts.lock().unwrap();
        accounts.entry(stream.to_string()).or_default().credit(version.0.try_into().unwrap(), event.amount);
        Ok(())
    }
}

/// In the store's transaction, exactly once; a statement for each batch.
struct Rows<S> {
    book: Book<S>,
    is_repaired: Arc<AtomicBool>,
}

/// What a batch has: stream, version, amount.
type Batch = Vec<(String, i64, i64)>;

impl<S> EventHandler<S::Tx> for Rows<S>
where
    S: Transactional,
    Book<S>: Ledger<S>,
{
    const NAME: &'static str = "rows";
    const INTERESTS: &'static [Interest] = &[Interest::new::<Credited>(0)];
    type Error = Failure;

    async fn handle(
        &self,
        _: usize,
        event: &RecordedEvent,
        cx: &mut Context<S::Tx>,
    ) -> Result<(), HandleError<Failure>> {
        let Envelope { stream, version, event, .. } = credited(event, &self.is_repaired)?;
        cx.batch::<Batch>().push((stream.to_string(), version.0.try_into().unwrap(), event.amount));
        Ok(())
    }

    async fn flush(&self, cx: &mut Context<S::Tx>) -> Result<(), Failure> {
        let batch: Batch = cx.take_batch();
        Ok(self.book.write(cx.tx(), batch).await?)
    }
}

/// Where rows are: in a table of the store, or for the store in memory in memory.
#[derive(Clone)]
struct Book<S> {
    store: S,
    rows: Arc<Mutex<Accounts>>,
}

trait Ledger<S: Transactional>: Clone + Send + Sync + 'static {
    /// Credits these, in their order.
    fn write(&self, tx: &mut S::Tx, batch: Batch) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    async fn accounts(&self) -> Accounts;
}

impl Ledger<MemoryStore> for Book<MemoryStore> {
    async fn write(&self, tx: &mut MemoryTx, batch: Batch) -> Result<(), sqlx::Error> {
        let rows = Arc::clone(&self.rows);
        tx.on_commit(move || {
            let mut rows = rows.lock().unwrap();
            for (stream, version, amount) in batch {
                rows.entry(stream).or_default().credit(version, amount);
            }
        });
        Ok(())
    }

    async fn accounts(&self) -> Accounts {
        self.rows.lock().unwrap().clone()
    }
}

const TABLE: &str = "
    CREATE TABLE accounts
        (stream text PRIMARY KEY, events bigint NOT NULL, version bigint NOT NULL, balance bigint NOT NULL,
        disorder bigint NOT NULL)";
const READ: &str = "SELECT stream, events, version, balance, disorder FROM accounts";

type Row = (String, i64, i64, i64, i64);

fn read(rows: Vec<Row>) -> Accounts {
    let account = |(stream, events, version, balance, disorder)| {
        (stream, Account { events, version, balance, disorder })
    };
    rows.into_iter().map(account).collect()
}

fn as_json(batch: &Batch) -> String {
    let rows = batch.iter().map(|(stream, version, amount)| json!([stream, version, amount]));
    rows.collect::<serde_json::Value>().to_string()
}

/// No statement writes a row twice, so a batch is written in parts, one after the other: the first event of each of its streams,
/// the second, and so on.
fn parts(batch: Batch) -> Vec<Batch> {
    let mut parts: Vec<Batch> = Vec::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for row in batch {
        let part = seen.entry(row.0.clone()).or_default();
        if parts.len() == *part {
            parts.push(Batch::new());
        }
        parts[*part].push(row);
        *part += 1;
    }
    parts
}

macro_rules! table {
    ($store:ty, $tx:ty, $rows:literal) => {
        impl Ledger<$store> for Book<$store> {
            async fn write(&self, tx: &mut $tx, batch: Batch) -> Result<(), sqlx::Error> {
                const WRITE: &str = concat!(
                    "INSERT INTO accounts ",
                    $rows,
                    " ON CONFLICT (stream) DO UPDATE SET
                        events = accounts.events + 1,
                        version = excluded.version,
                        balance = accounts.balance + excluded.balance,
                        disorder = accounts.disorder
                            + CASE WHEN excluded.version = accounts.version + 1 THEN 0 ELSE 1 END"
                );
                for part in parts(batch) {
                    sqlx::query(WRITE).bind(as_json(&part)).execute(&mut **tx).await?;
                }
                Ok(())
            }

            async fn accounts(&self) -> Accounts {
                read(sqlx::query_as(READ).fetch_all(self.store.pool()).await.unwrap())
            }
        }
    };
}

table!(
    SqliteStore,
    SqliteTx,
    "SELECT value ->> 0, 1, value ->> 1, value ->> 2, CASE WHEN value ->> 1 = 1 THEN 0 ELSE 1 END
    FROM json_each($1) WHERE true"
);
table!(
    PostgresStore,
    PostgresTx,
    "SELECT value ->> 0, 1, (value ->> 1)::bigint, (value ->> 2)::bigint,
        CASE WHEN value ->> 1 = '1' THEN 0 ELSE 1 END
    FROM json_array_elements($1::json)"
);
