//! An account whose events have the size of real ones.

use factum::{Aggregate, Apply, Event, Events, Handle};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Money came in; about 180 bytes as JSON.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "account.deposited")]
pub struct Deposited {
    /// In cents.
    pub amount: i64,
    /// Of the payment.
    pub reference: Uuid,
    /// What the payer wrote.
    pub memo: String,
}

impl Deposited {
    /// A deposit like any other.
    pub fn sample() -> Self {
        Self {
            amount: 1177,
            reference: Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
            memo: "m".repeat(97),
        }
    }
}

/// Money went out.
#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "account.withdrawn")]
pub struct Withdrawn {
    /// In cents.
    pub amount: i64,
}

/// Everything that can happen to an account.
#[derive(Event, Clone, Debug, PartialEq)]
pub enum AccountEvent {
    /// Money came in.
    Deposited(Deposited),
    /// Money went out.
    Withdrawn(Withdrawn),
}

/// An account.
#[derive(Aggregate, Default, Clone, Debug, PartialEq)]
#[aggregate(category = "account", id = Uuid, event = AccountEvent)]
pub struct Account {
    /// In cents.
    pub balance: i64,
    /// How often money came in.
    pub deposits: u64,
}

impl Apply<Deposited> for Account {
    fn apply(&mut self, event: Deposited) {
        self.balance += event.amount;
        self.deposits += 1;
    }
}

impl Apply<Withdrawn> for Account {
    fn apply(&mut self, event: Withdrawn) {
        self.balance -= event.amount;
    }
}

/// Bring money, this often.
#[derive(Clone, Copy, Debug)]
pub struct Deposit {
    /// How many deposits.
    pub times: usize,
}

impl Handle<Deposit> for Account {
    type Error = std::convert::Infallible;

    fn handle(&self, command: &Deposit) -> Result<Events<AccountEvent>, Self::Error> {
        Ok(std::iter::repeat_with(Deposited::sample).take(command.times).collect())
    }
}
