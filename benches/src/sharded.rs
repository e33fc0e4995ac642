//! The least memory store: a map of vectors in shards, which checks the version an append expects.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Account, Deposited};

const SHARDS: usize = 16;

/// What is kept of an event. There is no order of all events, and nobody is told of one.
#[derive(Clone, Debug)]
struct Kept {
    #[expect(dead_code, reason = "a store keeps it")]
    id: Uuid,
    #[expect(dead_code, reason = "a store keeps it")]
    recorded_at: DateTime<Utc>,
    payload: Vec<u8>,
}

type Shard = Mutex<HashMap<String, Vec<Kept>>>;

/// Streams in memory. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct ShardedMap {
    shards: Arc<[Shard; SHARDS]>,
    hash: RandomState,
}

impl ShardedMap {
    /// Appends a deposit to a stream that has so many events.
    ///
    /// # Panics
    ///
    /// If it has another number of them.
    pub fn deposit(&self, account: Uuid, expected: usize) {
        let payload = serde_json::to_vec(&Deposited::sample()).expect("it can be encoded");
        let event = Kept { id: Uuid::now_v7(), recorded_at: Utc::now(), payload };
        let stream = account.to_string();
        let mut shard = self.shard(&stream).lock().unwrap_or_else(PoisonError::into_inner);
        let events = shard.entry(stream).or_default();
        assert_eq!(events.len(), expected, "nobody else appends");
        events.push(event);
    }

    /// What the events of a stream come to. They are copied, so that no append waits for what is made of them.
    pub fn load(&self, account: Uuid) -> Account {
        let stream = account.to_string();
        let events = {
            let shard = self.shard(&stream).lock().unwrap_or_else(PoisonError::into_inner);
            shard.get(&stream).cloned().unwrap_or_default()
        };
        let mut account = Account::default();
        for event in events {
            let event: Deposited = serde_json::from_slice(&event.payload).expect("it was encoded");
            account.balance += event.amount;
            account.deposits += 1;
        }
        account
    }

    fn shard(&self, stream: &str) -> &Shard {
        let hash = usize::try_from(self.hash.hash_one(stream) % SHARDS as u64).expect("a small number");
        &self.shards[hash]
    }
}
