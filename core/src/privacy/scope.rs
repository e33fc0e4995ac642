//! Whose a person is: two tenants that call somebody alike have two persons, with a key each.

use super::seal::tag_of;
use crate::name::{InvalidName, TENANT_END};
use crate::store::EventStore;
use crate::stream::StreamId;
use crate::tag::Tag;
use crate::tenant::TenantId;

/// By what the key of a person is found.
#[derive(Clone)]
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

    /// What the row of a subject's key is called. Two persons never have one, whatever they are called: who has a tilde in the
    /// name gets another one before it, so that nothing of the name is taken for a tenant. No tenant has an empty name.
    pub(super) fn row(&self, subject: &str) -> String {
        let is_plain = !subject.contains(TENANT_END);
        let name = if is_plain { subject.to_owned() } else { format!("{TENANT_END}{subject}") };
        match &self.tenant {
            Some(tenant) => tenant.outer(&name),
            None => name,
        }
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
