//! The shop on a store: its aggregates, its read model, its process, and the subscriptions that lead from one to the other.

use std::path::Path;
use std::time::Duration;

use factum::memory::MemoryStore;
use factum::postgres::PostgresStore;
use factum::sqlite::SqliteStore;
use factum::{
    EventStore, OnFailure, Process, Rebuild, RebuildError, Repository, Retry, StoreError, Subscription,
    Timers, Transactional,
};
use futures_util::future::try_join;
use lettre::message::Mailbox;

use crate::domain::{Customer, Order, Stock};
use crate::fulfilment::Fulfilment;
use crate::mails::{Mails, Post};
use crate::read::{
    MemoryRead, PostgresRead, ReadError, ReadModel, RevenuePerMonth, SpendInUse, SpendPerCustomer,
    SqliteRead, customer_of,
};

/// Into how many parts the work is split that several processes can do at once. It is decided before the first event.
const PARTITIONS: u32 = 4;

/// How many workers build a new version of a projection.
const BUILDERS: u32 = 2;

/// A projection that fails is tried again, and then stops: there is no row that may be left out of a sum.
const STOP: OnFailure = Retry::times(10).then_stop();

/// A step of a fulfilment that fails is set aside with all later ones that have the same reason: an order, or a product. The others
/// go on.
const PARK_ORDER: OnFailure = Retry::times(10).then_park_stream();

/// A mail that fails is set aside by itself: the customer is told of the rest.
const PARK_MAIL: OnFailure =
    Retry::times(5).waits(Duration::from_millis(200), Duration::from_secs(5)).then_park_event();

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
    /// What is in stock of each product.
    pub stock: Repository<Stock>,
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
        let stock = Repository::new(store.clone());
        Self { store, read, orders, customers, stock }
    }

    /// Keeps the spend of each customer, in the second version, which knows the day of the last order. One process does that at
    /// a time: a batch in one hand costs less than its parts in many.
    pub fn spend(&self) -> Subscription<R::Tx> {
        Subscription::transactional("spend-per-customer@2", self.store.clone(), STOP)
            .category("order")
            .shared(1)
            .handler(SpendPerCustomer { read: self.read.clone() })
    }

    /// What has to be done before [`spend`](Shop::spend) is kept, where the program before this one has kept the first version:
    /// the second one is built beside it, and takes its place.
    pub fn rebuild(&self) -> Rebuild<S> {
        // It runs no more; how far it came is in the store.
        let first = Subscription::transactional("spend-per-customer", self.store.clone(), STOP);
        Rebuild::new(self.store.clone(), &self.spend())
            .replacing(&first)
            .in_parallel(BUILDERS, customer_of)
            .lease_for(Duration::from_secs(2))
    }

    /// Keeps the revenue of each month, in one process at a time.
    pub fn revenue(&self) -> Subscription<R::Tx> {
        Subscription::transactional("revenue-per-month", self.store.clone(), STOP)
            .category("order")
            .shared(1)
            .handler(RevenuePerMonth { read: self.read.clone() })
    }

    /// Brings the read model up to what has happened so far.
    ///
    /// # Errors
    ///
    /// If a projection or the store fails.
    pub async fn catch_up(&self) -> Result<(), RebuildError> {
        self.rebuild().run(&SpendInUse(self.read.clone())).await?;
        let (spend, revenue) = (self.spend(), self.revenue());
        try_join(spend.catch_up(), revenue.catch_up()).await?;
        Ok(())
    }
}

impl<S, R> Shop<S, R>
where
    S: EventStore + Timers + Clone,
{
    /// Has orders delivered.
    pub fn fulfilment(&self) -> Process<Fulfilment, S> {
        Process::new(self.store.clone(), PARK_ORDER).shared(PARTITIONS)
    }

    /// Writes to customers.
    pub fn mails(&self, post: Post, sender: Mailbox) -> Subscription {
        let mails = Mails { orders: self.orders.clone(), post, sender };
        Subscription::new("mails", self.store.clone(), PARK_MAIL)
            .category("order")
            .shared(PARTITIONS)
            .handler(mails)
    }
}
