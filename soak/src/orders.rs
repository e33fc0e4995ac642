//! Orders that a process manager brings to their end, while its nodes are killed: whether each step was taken once.

mod customers;
mod domain;
mod node;
mod roles;
mod run;
mod story;
mod verdict;

use std::time::Duration;

use crate::dice::Dice;

pub(crate) use self::customers::{Demand, buy};
pub(crate) use self::node::fulfil;
pub(crate) use self::run::{Plan, run};

const PARTITIONS: u32 = 4;
/// So short that a node is missed soon, and that one which stands still for a moment has lost its share.
const LEASE: Duration = Duration::from_millis(800);
/// How many orders there are for each item, and for how many of them it is there.
const ORDERS_PER_ITEM: u64 = 20;
const STOCK_PER_ITEM: u64 = 14;

/// What a customer will do when asked to pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Pays,
    Refuses,
    /// Forgets it: the deadline comes.
    Forgets,
    /// Pays when the deadline comes, a bit before or after.
    Hesitates,
}

impl Mood {
    /// Of whoever has placed this order.
    fn of(seed: u64, order: u64) -> Self {
        match Dice::new(seed, &[8, order]).roll(10) {
            0..5 => Self::Pays,
            5 => Self::Refuses,
            6 | 7 => Self::Forgets,
            _ => Self::Hesitates,
        }
    }

    /// How long the customer may take.
    fn pay_within_ms(self) -> u32 {
        match self {
            // Long enough for most, however many nodes are killed meanwhile.
            Self::Pays | Self::Refuses => 10_000,
            Self::Forgets => 400,
            Self::Hesitates => 1_200,
        }
    }
}

/// How many items there are for so many orders.
fn items(orders: u64) -> u64 {
    orders.div_ceil(ORDERS_PER_ITEM)
}

fn item_of(order: u64, orders: u64) -> String {
    format!("item-{}", order % items(orders))
}
