//! What can be wrong with a store.

pub(crate) mod append;
pub(crate) mod concurrency;
pub(crate) mod condition;
pub(crate) mod idempotence;
pub(crate) mod payload;
pub(crate) mod progress;
pub(crate) mod read;
pub(crate) mod sharing;
pub(crate) mod snapshot;
pub(crate) mod stall;
pub(crate) mod tenant;
pub(crate) mod whole;
