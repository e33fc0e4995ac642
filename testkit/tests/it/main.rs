//! What the testkit promises about servers and databases, through the door that tests use.

// The lint knows tests, but not the functions that they share.
#![allow(clippy::unwrap_used)]

mod bouncers;
mod child;
mod databases;
mod own_servers;
mod proxies;
mod servers;
