//! The memory store keeps the promises of every store.

use std::sync::{Arc, Mutex};

use factum_conformance::{Fixture, Tx, conformance};
use factum_memory::MemoryStore;

struct Memory {
    store: MemoryStore,
    done: Arc<Mutex<Vec<String>>>,
}

impl Fixture for Memory {
    type Store = MemoryStore;

    async fn empty() -> Self {
        Self { store: MemoryStore::new(), done: Arc::default() }
    }

    fn store(&self) -> &MemoryStore {
        &self.store
    }

    async fn work(&self, tx: &mut Tx<Self>, note: &str) {
        let (done, note) = (Arc::clone(&self.done), note.to_owned());
        tx.on_commit(move || done.lock().expect("no effect panics").push(note));
    }

    async fn work_done(&self) -> Vec<String> {
        self.done.lock().expect("no effect panics").clone()
    }
}

conformance!(Memory, without(durable: "lives in memory"));

mod of_a_tenant {
    use factum_conformance::OfTenant;

    use super::*;

    conformance!(OfTenant<Memory>, without(durable: "lives in memory"));
}
