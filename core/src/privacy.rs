//! Personal data that can be forgotten: fields of events are sealed with the key of whom they are about, and deleting the key
//! forgets the person everywhere, in events that nobody can change.
//!
//! ```
//! # use factum::{Aggregate, Apply, Event, Events, Handle, Repository};
//! # use factum::memory::{MemoryKeys, MemoryStore};
//! # use serde::{Deserialize, Serialize};
//! use factum::privacy::{MasterKey, Vault};
//!
//! #[derive(Event, Serialize, Deserialize, Clone, Debug)]
//! #[event(name = "customer.registered")]
//! struct Registered {
//!     customer: u64,
//!     #[event(personal(subject = customer, fallback = "gone".to_owned()))]
//!     email: String,
//! }
//! # #[derive(Aggregate, Default, Debug)]
//! # #[aggregate(category = "customer", id = u64, event = Registered)]
//! # struct Customer { email: String }
//! # impl Apply<Registered> for Customer { fn apply(&mut self, event: Registered) { self.email = event.email; } }
//! # struct Register(String);
//! # impl Handle<Register> for Customer {
//! #     type Error = std::convert::Infallible;
//! #     fn handle(&self, command: &Register) -> Result<Events<Registered>, Self::Error> {
//! #         Ok(Events::one(Registered { customer: 7, email: command.0.clone() }))
//! #     }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let vault = Vault::new(MemoryStore::new(), MemoryKeys::default(), MasterKey::generate("2026"));
//! let customers = Repository::<Customer>::new(vault.clone());
//! customers.execute(&7, Register("ada@example.org".into())).await?;
//!
//! let streams = vault.forget("7").await?;
//! assert_eq!(streams, ["customer/7".parse()?]);
//! assert_eq!(customers.load(&7).await?.email, "gone");
//! # Ok(())
//! # }
//! ```
//!
//! # What is not sealed
//!
//! **Ids of streams, names and tags of events, all other metadata (the actor, the fields), and who the subject is stay readable for ever.**
//! Take an id that says nothing for the subject, and never an address or a name; do not put into a stream's id, a tag or a field of the
//! metadata what has to be forgotten. How long a value is, and that there is one, can be seen too.
//!
//! # All payloads
//!
//! [`Vault::encrypted`] encrypts the whole payload of every event as well, with one key of the store that stands among those of persons:
//! for databases and backups that others can read. What was written before stays readable, and so does what is encrypted where a later
//! vault does not ask for it. Nothing of such a payload is seen by SQL, and who has lost the master key or the row of `factum:store`
//! has lost them all.
//!
//! # How a person is forgotten
//!
//! 1. [`Vault::forget`] deletes the key, and leaves a note that there was one. From then on, everybody who reads gets the fallback.
//!    Whoever has read before still has what was read.
//! 2. It answers with the streams that have something about the person. Through a vault nothing is kept in the clear: its
//!    repositories have neither snapshots nor a cache, and fold all events. What you have derived from these streams yourself is yours
//!    to delete.
//! 3. Rows of projections are the application's own. Record an event that says that the person was forgotten, by a name of your own, and
//!    delete the rows where it is handled; or [rebuild](crate::Rebuild) the projection, which reads fallbacks now.
//! 4. A database keeps what was deleted until it is cleaned, and its backups keep it for longer. The rows of keys are small: keep
//!    backups of them for no longer than the law lets you keep the data.
//!
//! An event about a person who was forgotten is refused ([`Invalid::Forgotten`](crate::Invalid::Forgotten)), unless the vault was told to
//! [leave the values out](Vault::blank_if_forgotten) or the person [came back](Vault::remember).

#[cfg(feature = "privacy")]
mod key;
mod key_store;
#[cfg(feature = "privacy")]
mod members;
mod personal;
#[cfg(feature = "privacy")]
mod scope;
#[cfg(feature = "privacy")]
mod seal;
#[cfg(feature = "privacy")]
mod vault;
#[cfg(feature = "privacy")]
mod whole;

#[cfg(feature = "privacy")]
pub use self::key::{MasterKey, MasterKeys, SubjectKey, rewrap};
pub use self::key_store::{KeyStore, StoredKey, WrappedKey};
pub(crate) use self::personal::Marked;
pub use self::personal::Personal;
#[cfg(feature = "privacy")]
pub use self::vault::{Open, Vault};
