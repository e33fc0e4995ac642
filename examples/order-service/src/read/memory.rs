//! The read model in memory: two maps.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use factum::memory::MemoryTx;

use super::{Month, ReadError, ReadModel, Spend};
use crate::domain::{Cents, CustomerId};

/// The tables in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryRead {
    tables: Arc<Mutex<Tables>>,
}

#[derive(Debug, Default)]
struct Tables {
    spend: BTreeMap<CustomerId, Spend>,
    revenue: BTreeMap<Month, Cents>,
}

impl MemoryRead {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadModel for MemoryRead {
    type Tx = MemoryTx;

    async fn add_spend(&self, tx: &mut MemoryTx, spend: Vec<(CustomerId, Spend)>) -> Result<(), ReadError> {
        let read = self.clone();
        tx.on_commit(move || {
            let mut tables = read.tables();
            for (customer, added) in spend {
                *tables.spend.entry(customer).or_default() += added;
            }
        });
        Ok(())
    }

    /// There is nothing that an older program could have kept.
    async fn put_spend_in_use(&self, _: &mut MemoryTx) -> Result<(), ReadError> {
        Ok(())
    }

    async fn add_revenue(&self, tx: &mut MemoryTx, revenue: Vec<(Month, Cents)>) -> Result<(), ReadError> {
        let read = self.clone();
        tx.on_commit(move || {
            let mut tables = read.tables();
            for (month, added) in revenue {
                *tables.revenue.entry(month).or_default() += added;
            }
        });
        Ok(())
    }

    async fn totals(&self) -> Result<(u64, Spend), ReadError> {
        let tables = self.tables();
        let mut sum = Spend::default();
        for spend in tables.spend.values() {
            sum += *spend;
        }
        Ok((u64::try_from(tables.spend.len())?, sum))
    }

    async fn best_customers(&self, count: u32) -> Result<Vec<(CustomerId, Spend)>, ReadError> {
        let mut all: Vec<_> = self.tables().spend.iter().map(|(id, spend)| (id.clone(), *spend)).collect();
        all.sort_by_key(|(_, spend)| Reverse(spend.spent));
        all.truncate(usize::try_from(count)?);
        Ok(all)
    }

    async fn revenue_per_month(&self) -> Result<Vec<(Month, Cents)>, ReadError> {
        Ok(self.tables().revenue.iter().map(|(month, revenue)| (month.clone(), *revenue)).collect())
    }
}
