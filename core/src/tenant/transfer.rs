//! Exports of one tenant, and imports of one into a store that has nothing else.

use async_trait::async_trait;

use super::names::unknown;
use super::{Tenant, TenantId};
use crate::error::StoreError;
use crate::stream::Position;
use crate::transfer::{Import, Record, Transfer, TransferError};

/// It reads the whole store, and leaves out what is others'.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Transfer> Transfer for Tenant<S> {
    async fn read_records(
        &self,
        mut after: Position,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<Record>, StoreError> {
        loop {
            let records = self.store.read_records(after, limit, bytes).await?;
            // Nothing would be the end.
            let Some(last) = records.last() else { return Ok(records) };
            after = last.position();
            let own = records.into_iter().filter(|record| self.id.has(record.stream()));
            let own = own.map(|record| self.id.inner_record(record)).collect::<Result<Vec<_>, _>>()?;
            if !own.is_empty() {
                return Ok(own);
            }
        }
    }

    async fn changes(&self) -> Result<u64, StoreError> {
        self.store.changes().await
    }

    /// The whole store must be empty, because the positions stay as they are.
    async fn begin_import(&self) -> Result<Box<dyn Import>, TransferError> {
        Ok(Box::new(TenantImport { import: self.store.begin_import().await?, id: self.id.clone() }))
    }
}

struct TenantImport {
    import: Box<dyn Import>,
    id: TenantId,
}

#[async_trait]
impl Import for TenantImport {
    async fn write(&mut self, records: Vec<Record>) -> Result<(), TransferError> {
        let records = records.into_iter().map(|record| self.id.outer_record(record));
        self.import.write(records.collect::<Result<_, _>>()?).await
    }

    async fn finish(self: Box<Self>) -> Result<(), TransferError> {
        self.import.finish().await
    }
}

impl TenantId {
    fn inner_record(&self, mut record: Record) -> Result<Record, StoreError> {
        match &mut record {
            Record::Live(event) | Record::Archived(event) => {
                self.inner_events(std::slice::from_mut(event))?;
            }
            Record::Erased(place) => place.stream = self.inner_stream(&place.stream)?,
        }
        Ok(record)
    }

    fn outer_record(&self, mut record: Record) -> Result<Record, TransferError> {
        match &mut record {
            Record::Live(event) | Record::Archived(event) => {
                event.stream = self.stream(&event.stream).map_err(unknown)?;
                event.metadata.tags = self.outer_tags(&event.metadata.tags).map_err(unknown)?;
            }
            Record::Erased(place) => place.stream = self.stream(&place.stream).map_err(unknown)?,
        }
        Ok(record)
    }
}
