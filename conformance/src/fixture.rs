//! What a store's author supplies: a way to an empty store, and to its data again.

use std::any::type_name;
use std::fmt;

use factum_core::retention::Retention;
use factum_core::store::Limits;
use factum_core::transfer::Transfer;
use factum_core::{EventStore, Tenant, TenantId, Tenants, Timers, Transactional};

/// A store to be held to its promises, and whatever keeps it alive: a temporary directory, a database of its own.
///
/// Every promise gets a fixture of its own and drops it at its end, inside the promise's runtime.
pub trait Fixture: Sized + Send + Sync + 'static {
    /// The store.
    type Store: EventStore + Timers + Retention + Transfer + Clone;

    /// A store that holds nothing, migrated and ready.
    ///
    /// # Panics
    ///
    /// If there is no store to be had, such as for want of a server: with a text that says what to install. A promise
    /// that was not tested must not look like one that was kept.
    fn empty() -> impl Future<Output = Self> + Send;

    /// The store, the same each time.
    fn store(&self) -> &Self::Store;

    /// How much the store takes at once.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Closes the store and opens the same data again. No clone of the store is in use any more.
    ///
    /// Stores that cannot do it enrol `without(durable: "the reason")`.
    fn reopen(self) -> impl Future<Output = Self> + Send {
        async { lacks::<Self, Self>("reopen", "durable") }
    }

    /// Does work in the store's transaction, as a projection does: writes `note` where
    /// [`work_done`](Fixture::work_done) finds it if, and only if, `tx` is committed.
    ///
    /// Stores that cannot do it enrol `without(work: "the reason")`.
    fn work(&self, tx: &mut Tx<Self>, note: &str) -> impl Future<Output = ()> + Send {
        let _ = (tx, note);
        async { lacks::<Self, ()>("work", "work") }
    }

    /// The notes of all [`work`](Fixture::work) that was committed, in any order.
    fn work_done(&self) -> impl Future<Output = Vec<String>> + Send {
        async { lacks::<Self, Vec<String>>("work_done", "work") }
    }
}

/// The store of one tenant in that of `F`: it keeps the promises that the store keeps.
pub struct OfTenant<F: Fixture> {
    fixture: F,
    store: Tenant<F::Store>,
}

impl<F: Fixture> OfTenant<F> {
    fn of(fixture: F) -> Self {
        let id = TenantId::new("acme").expect("promises use valid names");
        let store = Tenants::new(fixture.store().clone()).tenant(id);
        Self { fixture, store }
    }
}

impl<F: Fixture> fmt::Debug for OfTenant<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OfTenant").field("id", self.store.id()).finish_non_exhaustive()
    }
}

impl<F: Fixture> Fixture for OfTenant<F> {
    type Store = Tenant<F::Store>;

    async fn empty() -> Self {
        Self::of(F::empty().await)
    }

    fn store(&self) -> &Self::Store {
        &self.store
    }

    fn limits(&self) -> Limits {
        self.fixture.limits()
    }

    async fn reopen(self) -> Self {
        let Self { fixture, store } = self;
        drop(store);
        Self::of(fixture.reopen().await)
    }

    async fn work(&self, tx: &mut Tx<Self>, note: &str) {
        self.fixture.work(tx, note).await;
    }

    async fn work_done(&self) -> Vec<String> {
        self.fixture.work_done().await
    }
}

/// The transaction of a fixture's store.
pub type Tx<F> = <<F as Fixture>::Store as Transactional>::Tx;

fn lacks<F, T>(method: &str, ability: &str) -> T {
    panic!(
        "implement `{method}` of `Fixture` for `{}`, or enrol it `without({ability}: \"the reason\")`",
        type_name::<F>()
    )
}
