//! Streams in upheaval: many clients append to them, repeat themselves and read, while others archive, restore, truncate and
//! delete the same streams. What was done is noted, and compared with what is left.
//!
//! ```
//! # use factum_conformance::upheaval::{Followers, Journal, Tally, assert_accounted_for, disturb};
//! # async fn example(store: factum_memory::MemoryStore) {
//! let journal = Journal::default();
//! let followers = Followers::of(&[store.clone()]);
//! // From as many tasks, or processes, as there are to be:
//! disturb(store.clone(), journal.clone(), "1", 200).await;
//! let seen = followers.up_to_here(&store).await;
//! let tally: Tally = assert_accounted_for(&store, &journal, &seen).await;
//! assert!(tally.deleted > 0, "a run in which nothing happened proves nothing");
//! # }
//! ```
//!
//! # What is checked
//!
//! - Every append that was acknowledged is there once, where its answer says: in use, archived, or erased by a deletion or
//!   truncation that somebody has asked for. What was refused, or rolled back, is nowhere; what has no answer is whole or
//!   nowhere.
//! - The versions of a stream are dense over what is in use, archived and erased, and positions grow with them.
//! - What was done to a stream is what its events say, and it is as they say: closed streams refuse appends and the others do
//!   not, the events of archived streams are apart and of no others, truncated ones begin later.
//! - A repetition is answered as the first time, whatever became of its stream meanwhile.
//! - Whoever reads a stream meanwhile sees it as it was at one moment.
//! - Whoever follows the feed sees all that was never erased, in order, nothing twice, and nothing that never was.

mod check;
mod client;
mod follow;
mod journal;

pub use self::check::{Tally, assert_accounted_for};
pub use self::client::disturb;
pub use self::follow::{Followers, Seen};
pub use self::journal::Journal;
