//! Nodes that share a projection, and are killed while they count: whether each event was counted once, and in its order.

mod appender;
mod node;
mod roles;
mod run;
mod tally;
mod verdict;

use std::time::Duration;

pub(crate) use self::appender::append;
pub(crate) use self::node::{Care, count};
pub(crate) use self::run::{Plan, run};

/// The name of the projection's subscription.
const TALLY: &str = "tally";
const PARTITIONS: u32 = 8;
/// How many streams are counted.
const STREAMS: u64 = 64;
/// So short that a node is missed soon, and that one which stands still for a moment has lost its share.
const LEASE: Duration = Duration::from_millis(400);
