//! What is the Postgres store's own, beyond the promises of all stores in `conformance.rs`.

mod checkpoints;
mod concurrency;
mod crashes;
mod decisions;
mod faults;
mod feed;
mod given;
mod holders;
mod keys;
mod loads;
mod migrated;
mod migrations;
mod network;
mod notices;
mod plans;
mod pooler;
mod race;
mod reading;
mod restarts;
mod round_trips;
mod sessions;
mod snapshots;
mod transaction;
mod transfer;
mod upheaval;
mod waiting;
