//! Folding events in memory: what the derived decoding and routing cost beside a `match` written by hand.

use std::hint::black_box;
use std::time::{Duration, Instant};

use factum::memory::MemoryStore;
use factum::store::{EventStore, ReadStream};
use factum::{Event, RecordedEvent, Repository, Route};
use factum_benches::{Account, AccountEvent, Bench, Deposit, Deposited, Withdrawn};
use uuid::Uuid;

const EVENTS: u32 = 1000;

fn main() {
    let bench = Bench::begin();
    let events: Vec<AccountEvent> =
        std::iter::repeat_with(|| Deposited::sample().into()).take(EVENTS as usize).collect();
    bench
        .compare("fold 1,000 events")
        .elements(EVENTS)
        .of("derived", async |times| timed(times, || events.clone(), fold_derived))
        .beside("by hand", async |times| timed(times, || events.clone(), fold_by_hand))
        .run();

    let recorded = bench.given(recorded());
    bench
        .compare("decode and fold 1,000 events")
        .elements(EVENTS)
        .of("derived", async |times| timed(times, || &recorded[..], decode_derived))
        .beside("by hand", async |times| timed(times, || &recorded[..], decode_by_hand))
        .run();
}

fn fold_derived(events: Vec<AccountEvent>) -> Account {
    let mut account = Account::default();
    for event in events {
        event.route(&mut account);
    }
    account
}

fn fold_by_hand(events: Vec<AccountEvent>) -> Account {
    let mut account = Account::default();
    for event in events {
        match event {
            AccountEvent::Deposited(event) => {
                account.balance += event.amount;
                account.deposits += 1;
            }
            AccountEvent::Withdrawn(event) => account.balance -= event.amount,
        }
    }
    account
}

fn decode_derived(events: &[RecordedEvent]) -> Account {
    let mut account = Account::default();
    for event in events {
        AccountEvent::decode(event).expect("it was encoded").route(&mut account);
    }
    account
}

/// As little as a program can do that has more than one kind of event: it looks at the name.
fn decode_by_hand(events: &[RecordedEvent]) -> Account {
    let mut account = Account::default();
    for event in events {
        match event.name.as_str() {
            "account.deposited" => {
                let event: Deposited = serde_json::from_slice(&event.payload).expect("it was encoded");
                account.balance += event.amount;
                account.deposits += 1;
            }
            "account.withdrawn" => {
                let event: Withdrawn = serde_json::from_slice(&event.payload).expect("it was encoded");
                account.balance -= event.amount;
            }
            other => panic!("{other} was never encoded"),
        }
    }
    account
}

/// Without the time that it takes to make what is folded.
fn timed<E>(times: u32, given: impl Fn() -> E, fold: impl Fn(E) -> Account) -> Duration {
    let mut took = Duration::ZERO;
    for _ in 0..times {
        let events = black_box(given());
        let begin = Instant::now();
        black_box(fold(events));
        took += begin.elapsed();
    }
    took
}

/// The events of one account, as a store gives them back.
async fn recorded() -> Vec<RecordedEvent> {
    let store = MemoryStore::new();
    let id = Uuid::now_v7();
    let accounts = Repository::<Account>::new(store.clone());
    accounts.execute(&id, Deposit { times: EVENTS as usize }).await.expect("it can be written");
    let stream = Repository::<Account>::stream(&id).expect("a name");
    let read = ReadStream::new(stream).limit(EVENTS as usize);
    store.read_stream(read).await.expect("it can be read").events
}
