//! What is the Postgres store's own, beyond the promises of all stores in `conformance.rs`.

mod checkpoints;
mod concurrency;
mod faults;
mod given;
mod migrations;
mod reading;
mod silence;
