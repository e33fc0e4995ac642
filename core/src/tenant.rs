//! Tenants: many customers in one store, each of which has its own events alone.
//!
//! [`Tenants`] takes a store. [`tenant`](Tenants::tenant) gives that of one of them: a store like any other, in which there is nothing
//! but what was appended through it. Streams, tags, queries, subscriptions, checkpoints, dead letters, leases, timers, snapshots, the
//! keys of persons and the ids of commands are its own: what two tenants call alike has nothing to do with each other. Whoever means
//! all of them says so: [`all_tenants`](Tenants::all_tenants).
//!
//! ```
//! # use factum::{Aggregate, Apply, Event, Events, Handle, Repository};
//! # use factum::memory::MemoryStore;
//! # use serde::{Deserialize, Serialize};
//! use factum::{TenantId, Tenants};
//! # #[derive(Event, Serialize, Deserialize, Clone, Debug)]
//! # #[event(name = "order.placed")]
//! # struct OrderPlaced { total: u64 }
//! # #[derive(Aggregate, Default)]
//! # #[aggregate(category = "order", id = u64, event = OrderPlaced)]
//! # struct Order { total: u64 }
//! # impl Apply<OrderPlaced> for Order { fn apply(&mut self, event: OrderPlaced) { self.total = event.total; } }
//! # struct PlaceOrder { total: u64 }
//! # impl Handle<PlaceOrder> for Order {
//! #     type Error = std::convert::Infallible;
//! #     fn handle(&self, command: &PlaceOrder) -> Result<Events<OrderPlaced>, Self::Error> {
//! #         Ok(Events::one(OrderPlaced { total: command.total }))
//! #     }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!
//! let store = Tenants::new(MemoryStore::new());
//! let acme = Repository::<Order>::new(store.tenant(TenantId::new("acme")?));
//! let globex = Repository::<Order>::new(store.tenant(TenantId::new("globex")?));
//!
//! acme.execute(&7, PlaceOrder { total: 100 }).await?;
//! assert_eq!(acme.load(&7).await?.total, 100);
//! assert!(globex.find(&7).await?.is_none(), "another tenant has no such order");
//! # Ok(())
//! # }
//! ```
//!
//! # What a tenant is in the store
//!
//! A prefix: the stream `order/7` of `acme` is `acme~order/7` there, its tag `course:42` is `acme~course:42`, its subscription `mails`
//! is `acme~mails`. So everything that works on a store works on all tenants as well, such as backups and SQL; and whoever reads all
//! of them tells by [`TenantId::of`] whose a stream is. The feed of one tenant is found by an index, and costs what that tenant has.
//!
//! # Which one to choose
//!
//! A subscription for each tenant wakes with every event of the store, to look whether it is one of its own: good for some dozens. For
//! thousands of tenants, one subscription over [`all_tenants`](Tenants::all_tenants) is right, which writes the tenant with each row.
//!
//! All tenants share one order of positions. A tenant sees from the holes in it how much the others do, if not what. For whom this is
//! too much there is a store of its own: a file, a schema, or a database. An [export](crate::transfer) of a tenant, imported into an
//! empty store, takes it there.

mod names;
mod store;
mod transfer;

use std::fmt;
use std::sync::Arc;

use crate::name::{self, InvalidName, NameFault, TENANT_END};
use crate::store::EventStore;
use crate::stream::StreamId;

/// What a tenant is called. Cloning copies a pointer.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// The tenant of this name.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] if it is empty or has more than 255 bytes, a control character, a slash or a tilde.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, InvalidName> {
        let text = text.into();
        name::check("tenant", &text)?;
        name::check_has_no('/', |at| NameFault::Slash { at }, "tenant", &text)?;
        name::check_has_no(TENANT_END, |at| NameFault::Tilde { at }, "tenant", &text)?;
        Ok(Self(text))
    }

    /// Whose a stream of all tenants is, and what it is called there; `None` if it is nobody's.
    ///
    /// ```
    /// use factum::TenantId;
    ///
    /// let (tenant, stream) = TenantId::of(&"acme~order/7".parse()?).expect("it is somebody's");
    /// assert_eq!((tenant.as_str(), stream.as_str()), ("acme", "order/7"));
    /// assert_eq!(TenantId::of(&"order/7".parse()?), None);
    /// # Ok::<(), factum::InvalidName>(())
    /// ```
    pub fn of(stream: &StreamId) -> Option<(Self, StreamId)> {
        let (tenant, category) = stream.category().split_once(TENANT_END)?;
        Some((Self::new(tenant).ok()?, StreamId::new(category, stream.id()).ok()?))
    }

    /// What a stream of the tenant is called among those of all tenants.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] if the category has a tilde, and is so long that there is no room for the tenant.
    pub fn stream(&self, stream: &StreamId) -> Result<StreamId, InvalidName> {
        StreamId::new(&self.outer(stream.category()), stream.id())
    }

    /// Whether a stream of all tenants is this tenant's.
    pub fn has(&self, stream: &StreamId) -> bool {
        self.inner(stream.category()).is_some()
    }

    /// The tenant as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What everything of the tenant begins with among those of all tenants, for stores.
    pub fn prefix(&self) -> String {
        format!("{}{TENANT_END}", self.0)
    }

    /// The tenant itself, or the outermost of those that it is a tenant of: what comes before the first tilde. For stores, whose
    /// indexes are by that.
    pub fn outermost(&self) -> &str {
        self.0.split(TENANT_END).next().unwrap_or(&self.0)
    }

    /// The tenant of this one that is called `inner`.
    pub(crate) fn with_inner(&self, inner: &Self) -> Self {
        Self(self.outer(inner.as_str()).into())
    }

    /// What something of the tenant is called among those of all tenants.
    pub(crate) fn outer(&self, name: &str) -> String {
        format!("{}{TENANT_END}{name}", self.0)
    }

    /// What something of all tenants is called by this one, if it is its own.
    pub(crate) fn inner<'n>(&self, name: &'n str) -> Option<&'n str> {
        name.strip_prefix(&*self.0)?.strip_prefix(TENANT_END)
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// A store with many tenants. It is no store itself: so nobody works on all tenants who has forgotten to say on which one.
#[derive(Clone, Debug)]
pub struct Tenants<S> {
    store: S,
}

impl<S> Tenants<S> {
    /// `store`, for tenants. What is in it already is nobody's: an [export](crate::transfer) of it, imported into a tenant's empty
    /// store, makes it that tenant's.
    pub const fn new(store: S) -> Self {
        Self { store }
    }

    /// Everything that all tenants have, and what is nobody's. See [`TenantId::of`] for what is called how there.
    pub const fn all_tenants(&self) -> &S {
        &self.store
    }
}

impl<S: EventStore + Clone> Tenants<S> {
    /// The store of one tenant. It need not be made or known before.
    pub fn tenant(&self, id: TenantId) -> Tenant<S> {
        let path = self.store.tenant().map_or_else(|| id.clone(), |outer| outer.with_inner(&id));
        Tenant { store: self.store.clone(), id, path }
    }
}

/// The store of one tenant, see [the module](self).
///
/// Its [`head`](crate::EventStore::head) is that of all tenants, and so is the number of its
/// [`changes`](crate::transfer::Transfer::changes). Its transaction is the store's: whoever has the stores of two tenants can append to
/// both in one.
#[derive(Clone, Debug)]
pub struct Tenant<S> {
    store: S,
    id: TenantId,
    /// The same, after those that it is a tenant of.
    path: TenantId,
}

impl<S> Tenant<S> {
    /// Whose store it is.
    pub const fn id(&self) -> &TenantId {
        &self.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_what_begins_with_it_up_to_the_tilde() {
        let acme = TenantId::new("acme").expect("a name");
        let has = |stream: &str| acme.has(&stream.parse().expect("a stream"));
        assert!(has("acme~order/7") && has("acme~a~b/7"));
        assert!(!has("acme/7") && !has("acmes~order/7") && !has("acm~e~order/7") && !has("order/acme~7"));
    }

    #[test]
    fn a_stream_of_a_tenant_is_known_again() {
        let tenant = TenantId::new("x".repeat(255)).expect("a name");
        for category in ["order", "a~b", &"y".repeat(255)] {
            let stream = StreamId::new(category, "7").expect("a name");
            let outer = tenant.stream(&stream).expect("there is room");
            assert_eq!(TenantId::of(&outer), Some((tenant.clone(), stream)));
        }
    }

    #[test]
    fn a_tenant_has_no_character_that_would_end_it() {
        let fault = |text: &str| TenantId::new(text).expect_err(text).fault;
        assert_eq!(fault("a~b"), NameFault::Tilde { at: 1 });
        assert_eq!(fault("a/b"), NameFault::Slash { at: 1 });
        assert_eq!(fault(""), NameFault::Empty);
        assert_eq!(fault(&"x".repeat(256)), NameFault::TooLong { bytes: 256 });
    }
}
