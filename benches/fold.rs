//! Folding events in memory: what the derived routing costs beside a `match` written by hand.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use factum::store::{EventStore, ReadStream};
use factum::{Event, RecordedEvent, Repository, Route, memory::MemoryStore};
use factum_benches::{Account, AccountEvent, Deposit, Deposited};
use uuid::Uuid;

const EVENTS: usize = 1000;

fn fold(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fold");
    group.throughput(Throughput::Elements(EVENTS as u64));
    let events: Vec<AccountEvent> =
        std::iter::repeat_with(|| Deposited::sample().into()).take(EVENTS).collect();

    group.bench_function("derived", |bencher| {
        let fold = |events: Vec<AccountEvent>| {
            let mut account = Account::default();
            for event in events {
                event.route(&mut account);
            }
            account
        };
        bencher.iter_batched(|| events.clone(), |events| fold(black_box(events)), BatchSize::SmallInput);
    });
    group.bench_function("by hand", |bencher| {
        let fold = |events: Vec<AccountEvent>| {
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
        };
        bencher.iter_batched(|| events.clone(), |events| fold(black_box(events)), BatchSize::SmallInput);
    });
    group.finish();
}

fn decode(criterion: &mut Criterion) {
    let recorded = recorded();
    let mut group = criterion.benchmark_group("decode and fold");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("derived", |bencher| {
        bencher.iter(|| {
            let mut account = Account::default();
            for event in black_box(&recorded) {
                AccountEvent::decode(event).expect("it was encoded").route(&mut account);
            }
            account
        });
    });
    group.bench_function("by hand", |bencher| {
        bencher.iter(|| {
            let mut account = Account::default();
            for event in black_box(&recorded) {
                let event: Deposited = serde_json::from_slice(&event.payload).expect("it was encoded");
                account.balance += event.amount;
                account.deposits += 1;
            }
            account
        });
    });
    group.finish();
}

/// The events of one account, as a store gives them back.
fn recorded() -> Vec<RecordedEvent> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = MemoryStore::new();
        let id = Uuid::now_v7();
        let accounts = Repository::<Account>::new(store.clone());
        accounts.execute(&id, Deposit { times: EVENTS }).await.expect("it can be written");
        let stream = Repository::<Account>::stream(&id).expect("a name");
        let read = ReadStream::new(stream).limit(EVENTS);
        store.read_stream(read).await.expect("it can be read").events
    })
}

criterion_group!(benches, fold, decode);
criterion_main!(benches);
