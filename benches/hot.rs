//! What is saved by not folding all events: an account that is loaded from a snapshot, beside one whose 1,000 events are
//! folded; and a command on an account that is in the cache, beside the bare append of its event.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use factum::snapshot::{Footing, Snapshot};
use factum::store::{Append, ReadStream};
use factum::{Aggregate, Apply, Cache, Codec, EventStore, Expected, Repository, StreamId, Version};
use factum_benches::{
    Account, AccountEvent, Bench, Deposit, Deposited, Postgres, Sqlite, Withdrawn, at_once, deposits,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How many events the snapshot has, and how many come after it.
const BEFORE: u64 = 1000;
const AFTER: u64 = 10;

/// The same account, of which there is a snapshot, taken by hand.
#[derive(Aggregate, Default, Clone, Serialize, Deserialize)]
#[aggregate(
    category = "account",
    id = Uuid,
    event = AccountEvent,
    snapshot(when = |_, _| false, version = 1)
)]
struct Remembered {
    account: Kept,
}

#[derive(Default, Clone, Serialize, Deserialize)]
struct Kept {
    balance: i64,
    deposits: u64,
}

impl Apply<Deposited> for Remembered {
    fn apply(&mut self, event: Deposited) {
        self.account.balance += event.amount;
        self.account.deposits += 1;
    }
}

impl Apply<Withdrawn> for Remembered {
    fn apply(&mut self, event: Withdrawn) {
        self.account.balance -= event.amount;
    }
}

fn main() {
    let bench = Bench::begin();
    if bench.is_about("sqlite") {
        let sqlite = bench.given(Sqlite::new());
        compare(&bench, "sqlite", &sqlite.store);
    }
    if bench.is_about("postgres") {
        let postgres = bench.given(Postgres::new());
        compare(&bench, "postgres", &postgres.store);
    }
}

fn compare(bench: &Bench, name: &str, store: &(impl EventStore + Clone)) {
    let id = Uuid::now_v7();
    bench.given(prepare(store, id));
    let (whole, remembered) =
        (Repository::<Account>::new(store.clone()), Repository::<Remembered>::new(store.clone()));
    let load_remembered = move || {
        let accounts = remembered.clone();
        async move {
            let account = accounts.load(&id).await.expect("it can be read");
            assert_eq!(account.account.deposits, BEFORE + AFTER);
        }
    };
    let load_whole = {
        let whole = whole.clone();
        move || {
            let accounts = whole.clone();
            async move {
                let account = accounts.load(&id).await.expect("it can be read");
                assert_eq!(account.deposits, BEFORE + AFTER);
            }
        }
    };
    bench
        .compare(format!("{name}: load an account of {} events", BEFORE + AFTER))
        .of("from a snapshot and 10 events", move |times| at_once(times, 1, load_remembered.clone()))
        .beside("all of its events", move |times| at_once(times, 1, load_whole.clone()))
        .run();

    let hot = Uuid::now_v7();
    bench.given(prepare(store, hot));
    let cached = whole.clone().cached(Cache::new(1000, 1 << 20).sized_by(|_| 16));
    let execute_cached = move || {
        let accounts = cached.clone();
        async move {
            accounts.execute(&hot, Deposit { times: 1 }).await.expect("it can be written");
        }
    };
    let bare = StreamId::new("account", &Uuid::now_v7().to_string()).expect("a name");
    let version = Arc::new(AtomicU64::new(0));
    let store = store.clone();
    let append = move || {
        let (store, bare, version) = (store.clone(), bare.clone(), Arc::clone(&version));
        async move {
            let expected = Expected::Exactly(Version(version.load(Ordering::Relaxed)));
            let appended = store.append(Append::to(bare, expected, deposits(1))).await;
            version.store(appended.expect("nobody else appends").version().0, Ordering::Relaxed);
        }
    };
    bench
        .compare(format!("{name}: a command on an account of 1,010 events"))
        .of("cached", move |times| at_once(times, 1, execute_cached.clone()))
        .beside("the append alone", move |times| at_once(times, 1, append.clone()))
        .run();
}

/// An account with its events, and a snapshot before the last of them.
async fn prepare(store: &impl EventStore, id: Uuid) {
    let stream = StreamId::new("account", &id.to_string()).expect("a name");
    let all = u32::try_from(BEFORE + AFTER).expect("small");
    let append = Append::to(stream.clone(), Expected::NoStream, deposits(all));
    store.append(append).await.expect("it can be written");
    let read = ReadStream::new(stream.clone()).after(Version(BEFORE - 1)).limit(1);
    let last = store.read_stream(read).await.expect("it can be read").events.remove(0);
    let footing =
        Footing { version: last.version, position: last.position, event_id: last.id, begins: Version::NONE };
    let amount = Deposited::sample().amount;
    let deposits = BEFORE;
    let account = Kept { balance: amount * i64::try_from(BEFORE).expect("small"), deposits };
    let state = Codec::Json.encode(&Remembered { account }).expect("it has a JSON form");
    let snapshots = store.snapshots().expect("the durable stores have them");
    let is_kept = snapshots.save_snapshot(Snapshot::new(stream, 1, footing, "json", state)).await;
    assert!(is_kept.expect("it can be kept"));
}
