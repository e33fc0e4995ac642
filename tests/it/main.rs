//! What users do with factum, on the in-memory store: execute, load, handle, subscribe; and what they meet when
//! something goes wrong.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cache;
mod clock;
mod codecs;
mod decision;
mod decode;
mod domain;
mod execute;
mod exports;
mod failover;
mod faulty;
mod frozen;
mod fulfilment;
mod garbled;
mod handlers;
mod invariants;
mod load;
mod nodes;
mod policy;
mod privacy;
mod process;
mod rebuild;
mod scenario;
mod slow;
mod snapshots;
mod splits;
mod subscribe;
mod tenants;
mod upcasts;
mod watched;
mod whole;
