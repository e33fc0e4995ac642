//! What is asked for: spend per customer and revenue per month. Rows in the store's database, kept by subscriptions
//! that commit them together with their checkpoint.

mod memory;
mod postgres;
mod revenue;
mod spend;
mod sqlite;

use std::fmt;
use std::future::Future;

use chrono::{DateTime, Datelike, NaiveDate, Utc};

pub use self::memory::MemoryRead;
pub use self::postgres::PostgresRead;
pub use self::revenue::RevenuePerMonth;
pub use self::spend::{SpendInUse, SpendPerCustomer, customer_of};
pub use self::sqlite::SqliteRead;
use crate::domain::{Cents, CustomerId};

/// The tables, on one kind of database. The projections say what to add; this says how.
pub trait ReadModel: Clone + fmt::Debug + Send + Sync + 'static {
    /// The store's transaction.
    type Tx: Send + 'static;

    /// Adds to what customers have spent.
    fn add_spend(
        &self,
        tx: &mut Self::Tx,
        spend: Vec<(CustomerId, Spend)>,
    ) -> impl Future<Output = Result<(), ReadError>> + Send;

    /// Lets readers have the spend of customers as this program keeps it, in place of what an older one has kept.
    fn put_spend_in_use(&self, tx: &mut Self::Tx) -> impl Future<Output = Result<(), ReadError>> + Send;

    /// Adds to what months have brought.
    fn add_revenue(
        &self,
        tx: &mut Self::Tx,
        revenue: Vec<(Month, Cents)>,
    ) -> impl Future<Output = Result<(), ReadError>> + Send;

    /// How many customers there are, and what they have spent together.
    fn totals(&self) -> impl Future<Output = Result<(u64, Spend), ReadError>> + Send;

    /// Those who have spent most, the best first.
    fn best_customers(
        &self,
        count: u32,
    ) -> impl Future<Output = Result<Vec<(CustomerId, Spend)>, ReadError>> + Send;

    /// What each month has brought, in their order.
    fn revenue_per_month(&self) -> impl Future<Output = Result<Vec<(Month, Cents)>, ReadError>> + Send;
}

/// What one customer, or all of them, have bought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spend {
    /// How many orders, less those that were cancelled.
    pub orders: i64,
    /// How many CDs.
    pub cds: i64,
    /// For how much.
    pub spent: Cents,
    /// The day of the last order, also where that was cancelled.
    pub last_order: Option<NaiveDate>,
}

impl std::ops::AddAssign for Spend {
    fn add_assign(&mut self, other: Self) {
        self.orders += other.orders;
        self.cds += other.cds;
        self.spent += other.spent;
        self.last_order = self.last_order.max(other.last_order);
    }
}

/// A month, written `1997-01`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(pub String);

impl From<DateTime<Utc>> for Month {
    fn from(time: DateTime<Utc>) -> Self {
        Self(format!("{:04}-{:02}", time.year(), time.month()))
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why the read model could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database said no.
    #[error("the read model's database failed")]
    Database(#[from] sqlx::Error),
    /// Its tables could not be made.
    #[error("the read model's tables could not be made")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A count does not fit.
    #[error("the read model holds a number that cannot be: {0}")]
    Number(#[from] std::num::TryFromIntError),
    /// What was gathered could not be written as JSON.
    #[error("what was gathered cannot be sent to the database")]
    Encode(#[from] serde_json::Error),
}

/// A row of spend, as the databases give it.
type SpendRow = (String, i64, i64, i64, Option<NaiveDate>);

fn spend_row((customer, orders, cds, cents, last_order): SpendRow) -> (CustomerId, Spend) {
    (CustomerId(customer), Spend { orders, cds, spent: Cents(cents), last_order })
}

fn revenue_row((month, cents): (String, i64)) -> (Month, Cents) {
    (Month(month), Cents(cents))
}
