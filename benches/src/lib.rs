//! What the benches share: a domain, stores that are durable, the least SQL beside them, and a fair way to compare.

mod account;
mod bench;
mod callers;
mod given;
mod history;
mod latencies;
mod plot;
mod raw;
mod sharded;
mod turns;

pub use account::{Account, AccountEvent, Deposit, Deposited, Withdrawn};
pub use bench::Bench;
pub use callers::at_once;
pub use given::{Postgres, Sqlite};
pub use history::{
    CUSTOMERS, HISTORY_EVENTS, HISTORY_STREAMS, RARE_CATEGORY, RARE_NAME, append_deposits, append_history,
    deposits, stream,
};
pub use latencies::Latencies;
pub use plot::Plot;
pub use raw::{LeastSql, Raw, Rows};
pub use sharded::ShardedMap;
pub use turns::Turns;
