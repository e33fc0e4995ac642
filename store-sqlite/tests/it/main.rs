//! What is this store's own, beside the promises that every store keeps: the file, its schema, its locks, its crashes.

mod backup;
mod close;
mod corrupt;
mod crash;
mod feed;
mod full;
mod group;
mod keys;
mod migrated;
mod migration;
mod plans;
#[cfg(target_os = "linux")]
mod power;
mod processes;
mod round_trips;
mod snapshots;
mod support;
mod transaction;
mod upheaval;
#[cfg(target_os = "linux")]
mod wal;
