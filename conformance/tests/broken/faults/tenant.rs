//! Faults of a store with tenants.

use async_trait::async_trait;
use factum_core::store::{CategoryPage, Filter, Page, ReadAll, ReadCategory};
use factum_core::{Advance, Checkpoint, Checkpoints as _, EventStore, Partition, StoreError};
use factum_memory::MemoryStore;

use crate::store::Fault;

/// Gives a tenant what everybody has.
#[derive(Default)]
pub(crate) struct IgnoresTheTenant;
#[async_trait]
impl Fault for IgnoresTheTenant {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let filter = Filter { tenant: None, ..read.filter };
        store.read_all(ReadAll { filter, ..read }).await
    }
}

/// Has an index in which there are no events of its own, such as those that say that a stream was deleted.
#[derive(Default)]
pub(crate) struct ForgetsWhatSaysThatAStreamIsGone;
#[async_trait]
impl Fault for ForgetsWhatSaysThatAStreamIsGone {
    async fn read_all(&self, store: &MemoryStore, read: ReadAll) -> Result<Page, StoreError> {
        let is_tenants = read.filter.tenant.is_some();
        let mut page = store.read_all(read).await?;
        page.events.retain(|event| !is_tenants || !event.name.as_str().starts_with("factum."));
        Ok(page)
    }
}

/// Takes the name of a tenant for that of another, written otherwise.
#[derive(Default)]
pub(crate) struct IgnoresTheCaseOfTenants;
#[async_trait]
impl Fault for IgnoresTheCaseOfTenants {
    async fn read_category(
        &self,
        store: &MemoryStore,
        read: ReadCategory,
    ) -> Result<CategoryPage, StoreError> {
        store.read_category(ReadCategory { category: read.category.to_lowercase(), ..read }).await
    }
}

/// Keeps for a subscription of one tenant what is another's.
#[derive(Default)]
pub(crate) struct KeepsOneSubscription;

fn without_tenant(partition: &Partition) -> Partition {
    let name = partition.subscription();
    Partition::new(name.rsplit('~').next().unwrap_or(name), partition.index(), partition.of())
}

#[async_trait]
impl Fault for KeepsOneSubscription {
    async fn checkpoint(&self, store: &MemoryStore, name: &str) -> Result<Checkpoint, StoreError> {
        store.checkpoint_of(&without_tenant(&name.into())).await
    }

    async fn checkpoint_of(
        &self,
        store: &MemoryStore,
        partition: &Partition,
    ) -> Result<Checkpoint, StoreError> {
        store.checkpoint_of(&without_tenant(partition)).await
    }

    async fn advance(&self, store: &MemoryStore, step: Advance) -> Result<(), StoreError> {
        store.advance(Advance { partition: without_tenant(&step.partition), ..step }).await
    }
}
