//! The shop on a store: its aggregates, its read model, and the subscriptions that lead from one to the other.

use std::path::Path;

use factum::memory::MemoryStore;
use factum::postgres::PostgresStore;
use factum::sqlite::SqliteStore;
use factum::{EventStore, OnFailure, Repository, StoreError, Subscription, SubscriptionError, Transactional};
use futures_util::future::try_join;

use crate::domain::{Customer, Order};
use crate::read::{
    MemoryRead, PostgresRead, ReadError, ReadModel, RevenuePerMonth, SpendPerCustomer, SqliteRead,
};

/// The shop on the store `S`, with its read model `R` beside it.
#[derive(Clone, Debug)]
pub struct Shop<S, R> {
    /// Where the events are.
    pub store: S,
    /// Where the rows are.
    pub read: R,
    /// The orders.
    pub orders: Repository<Order>,
    /// The customers.
    pub customers: Repository<Customer>,
}

/// Why a shop could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store is ill.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The read model is.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Shop<MemoryStore, MemoryRead> {
    /// A shop that is forgotten when the program ends.
    pub fn in_memory() -> Self {
        Self::on(MemoryStore::new(), MemoryRead::default())
    }
}

impl Shop<SqliteStore, SqliteRead> {
    /// The shop in a file, which is made if it is missing.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub async fn in_file(file: &Path) -> Result<Self, OpenError> {
        let store = SqliteStore::connect(file).await?;
        store.migrate().await?;
        let read = SqliteRead::migrate(file, store.pool().clone()).await?;
        Ok(Self::on(store, read))
    }
}

impl Shop<PostgresStore, PostgresRead> {
    /// The shop in a Postgres database, whose tables are made if they are missing.
    ///
    /// # Errors
    ///
    /// If the database cannot be reached or written.
    pub async fn in_database(url: &str) -> Result<Self, OpenError> {
        let store = PostgresStore::connect(url).await?;
        store.migrate().await?;
        let read = PostgresRead::migrate(store.pool().clone()).await?;
        Ok(Self::on(store, read))
    }
}

impl<S, R> Shop<S, R>
where
    S: EventStore + Transactional<Tx = R::Tx> + Clone,
    R: ReadModel,
{
    fn on(store: S, read: R) -> Self {
        let (orders, customers) = (Repository::new(store.clone()), Repository::new(store.clone()));
        Self { store, read, orders, customers }
    }

    /// Keeps the spend of each customer.
    pub fn spend(&self) -> Subscription<R::Tx> {
        Subscription::transactional("spend-per-customer", self.store.clone(), OnFailure::stop())
            .category("order")
            .handler(SpendPerCustomer { read: self.read.clone() })
    }

    /// Keeps the revenue of each month.
    pub fn revenue(&self) -> Subscription<R::Tx> {
        Subscription::transactional("revenue-per-month", self.store.clone(), OnFailure::stop())
            .category("order")
            .handler(RevenuePerMonth { read: self.read.clone() })
    }

    /// Brings the read model up to what has happened so far.
    ///
    /// # Errors
    ///
    /// If a projection or the store fails.
    pub async fn catch_up(&self) -> Result<(), SubscriptionError> {
        let (spend, revenue) = (self.spend(), self.revenue());
        try_join(spend.catch_up(), revenue.catch_up()).await?;
        Ok(())
    }
}
