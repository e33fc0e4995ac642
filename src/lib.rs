#![doc = include_str!("../README.md")]

#[doc(inline)]
pub use factum_core::*;
pub use factum_macros::{Aggregate, Event, EventHandler, ProcessManager, View};

#[doc(hidden)]
pub use factum_core::__private;

/// The in-memory store.
#[cfg(feature = "memory")]
pub use factum_memory as memory;
/// The Postgres store.
#[cfg(feature = "postgres")]
pub use factum_postgres as postgres;
/// The embedded SQLite store.
#[cfg(feature = "sqlite")]
pub use factum_sqlite as sqlite;
