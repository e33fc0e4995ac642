//! The promises every factum store keeps, as named tests.
//!
//! A store is held to its promises by enrolling it, in an integration test of its own crate with two dev-dependencies:
//! this crate and the store.
//!
//! ```
//! use factum_conformance::{Fixture, conformance};
//! use factum_memory::MemoryStore;
//!
//! struct Memory(MemoryStore);
//!
//! impl Fixture for Memory {
//!     type Store = MemoryStore;
//!
//!     async fn empty() -> Self {
//!         Self(MemoryStore::new())
//!     }
//!
//!     fn store(&self) -> &MemoryStore {
//!         &self.0
//!     }
//! }
//!
//! conformance!(Memory, without(durable: "lives in memory", work: "has no rows"));
//! # fn main() {}
//! ```
//!
//! That is one test for every promise, such as `append::refuses_a_stale_version`, each on an empty store and in a
//! multi-threaded tokio runtime of its own. What a store cannot do is declared where it enrols, and shows as an ignored
//! test with its reason; nothing is skipped in silence. A store with a transaction implements [`Fixture::work`], one
//! that outlives its process [`Fixture::reopen`]:
//!
//! ```
//! # use factum_conformance::{Fixture, Tx, conformance};
//! # use factum_memory::MemoryStore;
//! # use std::sync::{Arc, Mutex};
//! struct Memory {
//!     store: MemoryStore,
//!     done: Arc<Mutex<Vec<String>>>,
//! }
//!
//! impl Fixture for Memory {
//! #   type Store = MemoryStore;
//! #   async fn empty() -> Self { Self { store: MemoryStore::new(), done: Arc::default() } }
//! #   fn store(&self) -> &MemoryStore { &self.store }
//!     // … and as above …
//!     async fn work(&self, tx: &mut Tx<Self>, note: &str) {
//!         let (done, note) = (Arc::clone(&self.done), note.to_owned());
//!         tx.on_commit(move || done.lock().expect("nobody panics here").push(note));
//!     }
//!
//!     async fn work_done(&self) -> Vec<String> {
//!         self.done.lock().expect("nobody panics here").clone()
//!     }
//! }
//!
//! conformance!(Memory, without(durable: "lives in memory"));
//! # fn main() {}
//! ```
//!
//! A store that keeps no [snapshots](factum_core::EventStore::snapshots) enrols `without(snapshots: "the reason")`.
//!
//! The promises are also functions, in [`promises`], for whoever wants to see one fail: a broken store is a fixture like
//! any other. `FACTUM_MODEL_CASES` is the number of random histories that
//! [`model`](promises::model) tries, and `PROPTEST_RNG_SEED` makes them the same ones each time.
//!
//! What is read from [`EventStore::read_all`](factum_core::EventStore::read_all) may lag behind what was acknowledged:
//! the promises wait for it, for seconds at most. It may not lag behind itself: what one read has shown, no later one
//! passes over or denies. What is read from a stream may not lag at all. Pages may be shorter than was asked for, and
//! their position may lie past the last event.

mod append;
mod append_in;
mod checkpoint;
mod concurrency;
mod condition;
mod dead_letter;
mod dice;
mod durable;
mod fixture;
mod foreign;
mod given;
pub mod history;
mod idempotence;
mod inline;
mod invalid;
pub mod keys;
mod lease;
mod list;
mod lookup;
mod matching;
mod model;
mod others;
mod payload;
mod projection;
mod race;
mod read_all;
mod read_stream;
mod rebuild;
mod retention;
mod seen;
mod snapshot;
mod stall;
mod tenant;
mod timer;
mod transaction;
mod transfer;
pub mod upheaval;
mod wait;

#[doc(hidden)]
pub mod __private;

pub use self::fixture::{Fixture, OfTenant, Tx};
pub use self::transfer::copy_from_to;

/// The promises, in a module for every area: functions that panic if the store of the fixture breaks them.
pub mod promises {
    crate::__promises! { __publish }
}

/// The names of all promises, such as `append::refuses_a_stale_version`.
pub const NAMES: &[&str] = crate::__promises! { __names };
