//! What events, aggregates, handlers and stores are, for the **factum** event-sourcing framework.
//!
//! Applications depend on `factum`, which re-exports all of this with the derives; stores depend on this crate.
//!
//! ```text
//!  domain edge (yours)                    the middle (plain structs)             storage edge (a backend's)
//!  Aggregate · Apply · Handle<C>  ◀──▶  Repository: load · decide · append  ──bytes──▶  EventStore
//!  EventHandler · On<E>           ◀───  Subscription: read · handle · commit ◀─bytes──  EventStore · Checkpoints
//!                                         Codec and Upcast stand between events and bytes
//! ```
//!
//! This crate knows no database and does no I/O of its own.

#[doc(hidden)]
pub mod __private;
mod aggregate;
#[cfg(feature = "cache")]
mod cache;
mod cause;
mod checkpoint;
pub mod codec;
mod command;
mod dead_letter;
mod decision;
mod decoded;
mod dispatcher;
mod envelope;
mod error;
mod event;
mod handler;
mod inline;
mod lease;
mod metadata;
pub mod migrate;
mod name;
mod partition;
pub mod privacy;
mod process;
mod query;
mod repository;
pub mod retention;
pub mod snapshot;
pub mod store;
mod stream;
mod subscription;
mod tag;
pub mod tenant;
#[cfg(feature = "testing")]
pub mod testing;
mod timer;
pub mod transfer;
mod upcast;

pub use self::aggregate::{Aggregate, Apply, Events, Handle, Loaded};
#[cfg(feature = "cache")]
pub use self::cache::Cache;
pub use self::cause::Cause;
pub use self::checkpoint::{Advance, Checkpoint, Checkpoints, Progress, Transactional};
pub use self::codec::{Codec, Encoding};
pub use self::command::CommandId;
pub use self::dead_letter::{DeadLetter, DeadLetters, Failure, NewDeadLetter, Parked, ReadDeadLetters};
pub use self::decision::{Decide, Decision, Decisions, Records, Select, View, Views};
pub use self::decoded::Decoded;
pub use self::dispatcher::{Dispatcher, EventFacts, HandlerError, HandlerFault};
pub use self::envelope::{Envelope, NewEvent, RecordedEvent};
pub use self::error::{
    AppendError, BoxError, Conflict, DecodeError, DecodeFault, ExecuteError, IdReused, Invalid, LoadError,
    Overtaken, StoreError, StoreErrorKind, StreamClosed,
};
pub use self::event::{Event, EventName, EventType, Route};
pub use self::handler::{Context, EventHandler, Flush, HandleError, Interest, On};
pub use self::inline::{Inline, InlineTx};
pub use self::lease::{Heartbeat, Held, Lease, Leases, NodeId, Roster, Share, Token};
pub use self::metadata::{EventId, Metadata};
pub use self::name::{InvalidName, NAME_BYTES_MAX, NameFault};
pub use self::partition::Partition;
pub use self::process::{Choice, Deadline, Issue, Process, ProcessError, ProcessManager, React, Reaction};
pub use self::query::{EventQuery, QueryItem};
pub use self::repository::{Execute, Repository};
pub use self::snapshot::{SnapshotPolicy, Snapshots};
pub use self::store::EventStore;
pub use self::stream::{Expected, Position, StreamId, Version};
pub use self::subscription::{
    Health, NotReached, OnFailure, PartitionHealth, Rebuild, RebuildError, Retry, Subscription,
    SubscriptionError, Swap,
};
pub use self::tag::Tag;
pub use self::tenant::{Tenant, TenantId, Tenants};
pub use self::timer::{DueTimers, Timer, Timers};
