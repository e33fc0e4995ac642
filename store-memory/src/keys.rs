//! Keys in memory: apart from the events, as they had better be.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use factum_core::StoreError;
use factum_core::privacy::{KeyStore, StoredKey};

/// Keys of subjects, in memory, for tests. Clones are the same keys; with the last one, everybody is forgotten.
#[derive(Clone, Debug, Default)]
pub struct MemoryKeys {
    rows: Arc<Mutex<BTreeMap<String, StoredKey>>>,
}

impl MemoryKeys {
    /// No thread stops half way through a change.
    fn rows(&self) -> MutexGuard<'_, BTreeMap<String, StoredKey>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl KeyStore for MemoryKeys {
    async fn keys(&self, subjects: &[String]) -> Result<Vec<StoredKey>, StoreError> {
        let rows = self.rows();
        Ok(subjects.iter().filter_map(|subject| rows.get(subject).cloned()).collect())
    }

    async fn add_keys(&self, keys: Vec<StoredKey>) -> Result<Vec<StoredKey>, StoreError> {
        let mut rows = self.rows();
        Ok(keys.into_iter().map(|new| rows.entry(new.subject.clone()).or_insert(new).clone()).collect())
    }

    async fn replace_key(&self, old: &StoredKey, new: StoredKey) -> Result<bool, StoreError> {
        match self.rows().get_mut(&old.subject) {
            Some(row) if row == old => {
                *row = new;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn list_keys(&self, after: &str, limit: usize) -> Result<Vec<StoredKey>, StoreError> {
        let later = (Bound::Excluded(after), Bound::Unbounded);
        Ok(self.rows().range::<str, _>(later).take(limit).map(|(_, row)| row.clone()).collect())
    }
}
