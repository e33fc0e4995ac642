//! Whose a person is: two tenants that call somebody alike have two persons, with a key each.

use crate::name::InvalidName;
use crate::store::EventStore;
use crate::stream::StreamId;
use crate::tag::Tag;
use crate::tenant::TenantId;

use super::seal::tag_of;

/// By what the key of a person is found.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    tenant: Option<TenantId>,
    /// Whether the store is that of all tenants, who are told by their streams.
    is_of_all: bool,
}

impl Scope {
    /// The scope of a store, for what is not about a stream.
    pub(super) fn of(store: &impl EventStore) -> Self {
        Self { tenant: store.tenant().cloned(), is_of_all: false }
    }

    /// The scope of what is in a stream of a store.
    pub(super) fn of_stream(store: &impl EventStore, stream: &StreamId) -> Self {
        match store.tenant() {
            Some(tenant) => Self { tenant: Some(tenant.clone()), is_of_all: false },
            None => Self { tenant: TenantId::of(stream).map(|(tenant, _)| tenant), is_of_all: true },
        }
    }

    /// What the row of a subject's key is called.
    pub(super) fn row(&self, subject: &str) -> String {
        self.tenant.as_ref().map_or_else(|| subject.to_owned(), |tenant| tenant.outer(subject))
    }

    /// The tag by which events about a subject are found in the store.
    pub(super) fn tag(&self, subject: &str) -> Result<Tag, InvalidName> {
        let tag = tag_of(subject)?;
        match &self.tenant {
            Some(tenant) if self.is_of_all => tenant.outer_tag(&tag),
            _ => Ok(tag),
        }
    }
}
