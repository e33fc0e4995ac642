//! What is paid for a store around the store: one of a tenant, a vault in which a field of each event is sealed, and one in which whole
//! payloads are encrypted. In memory, where nothing else takes time.

use std::time::{Duration, Instant};

use factum::memory::{MemoryKeys, MemoryStore};
use factum::privacy::{MasterKey, Vault};
use factum::store::{Append, ReadStream};
use factum::{Codec, Envelope, Event, EventStore, Expected, Metadata, NewEvent, StreamId, TenantId, Tenants};
use factum_benches::{Bench, Deposited};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const EVENTS: u32 = 1000;

/// A deposit of which the memo is personal.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "account.credited")]
struct Credited {
    amount: i64,
    payer: Uuid,
    #[event(personal(subject = payer))]
    memo: String,
}

fn main() {
    let bench = Bench::begin();
    let plain = MemoryStore::new();
    let tenant = Tenants::new(MemoryStore::new()).tenant(TenantId::new("acme").expect("a name"));
    let sealed = vault();
    let encrypted = vault().encrypted();
    let deposited = Deposited::sample();
    let Deposited { amount, reference: payer, memo } = deposited.clone();
    let credited = Credited { amount, payer, memo };
    bench
        .compare("append an event")
        .elements(EVENTS)
        .of("for a tenant", |times| append(&tenant, &deposited, times))
        .of("with a sealed field", |times| append(&sealed, &credited, times))
        .of("encrypted", |times| append(&encrypted, &deposited, times))
        .beside("as it is", |times| append(&plain, &deposited, times))
        .run();

    let stream = stream();
    bench.given(async {
        for store in [&plain as &dyn EventStore, &tenant, &encrypted] {
            fill(store, &stream, &deposited).await;
        }
        fill(&sealed, &stream, &credited).await;
    });
    bench
        .compare("read and decode an event")
        .elements(EVENTS)
        .of("of a tenant", |times| read::<Deposited>(&tenant, &stream, times))
        .of("with a sealed field", |times| read::<Credited>(&sealed, &stream, times))
        .of("encrypted", |times| read::<Deposited>(&encrypted, &stream, times))
        .beside("as it is", |times| read::<Deposited>(&plain, &stream, times))
        .run();
}

fn vault() -> Vault<MemoryStore> {
    Vault::new(MemoryStore::new(), MemoryKeys::default(), MasterKey::generate("of this run"))
}

fn stream() -> StreamId {
    StreamId::new("account", &Uuid::now_v7().to_string()).expect("a name")
}

fn append_to(stream: &StreamId, event: &impl Event) -> Append {
    let new = NewEvent::encode(event, Codec::Json, Metadata::default()).expect("it can be encoded");
    Append::to(stream.clone(), Expected::Any, vec![new])
}

/// Each event alone, as most are.
async fn append(store: &impl EventStore, event: &impl Event, times: u32) -> Duration {
    let stream = stream();
    let begin = Instant::now();
    for _ in 0..times * EVENTS {
        store.append(append_to(&stream, event)).await.expect("nothing is expected");
    }
    begin.elapsed()
}

async fn fill(store: &dyn EventStore, stream: &StreamId, event: &impl Event) {
    for _ in 0..EVENTS {
        store.append(append_to(stream, event)).await.expect("nothing is expected");
    }
}

/// All of them in a page.
async fn read<E: Event>(store: &impl EventStore, stream: &StreamId, times: u32) -> Duration {
    let begin = Instant::now();
    for _ in 0..times {
        let page = store.read_stream(ReadStream::new(stream.clone())).await.expect("it can be read");
        assert_eq!(page.events.len(), EVENTS as usize);
        for event in &page.events {
            std::hint::black_box(Envelope::<E>::decode(event).expect("it was encoded"));
        }
    }
    begin.elapsed()
}
