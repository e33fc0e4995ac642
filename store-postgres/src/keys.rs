//! Keys of those about whom something personal is recorded.

use async_trait::async_trait;
use factum_core::privacy::{KeyStore, StoredKey, WrappedKey};
use factum_core::{StoreError, StoreErrorKind};

use crate::PostgresStore;
use crate::read::limit_column;

const READ: &str = "read keys";
const WRITE: &str = "write key";

/// Each call is a transaction of its own on another connection than that of a transaction that is open: with a pool of one connection they
/// would wait for each other.
///
/// What was deleted stays in the files of the server until `VACUUM` has been there and the room is used again, and in its write-ahead
/// log, its replicas' and its backups for longer. A key that was deleted there is still wrapped.
#[async_trait]
impl KeyStore for PostgresStore {
    async fn keys(&self, subjects: &[String]) -> Result<Vec<StoredKey>, StoreError> {
        let database = self.database();
        database
            .retrying(READ, || async {
                let mut lease = database.lease(READ).await?;
                let rows = sqlx::query_file_as!(Row, "src/sql/keys.sql", subjects).fetch_all(&mut *lease);
                let rows = database.within(READ, rows).await?;
                lease.put_back();
                rows.into_iter().map(Row::into_key).collect()
            })
            .await
    }

    async fn add_keys(&self, keys: Vec<StoredKey>) -> Result<Vec<StoredKey>, StoreError> {
        let mut subjects = Vec::with_capacity(keys.len());
        let mut generations = Vec::with_capacity(keys.len());
        let mut masters = Vec::with_capacity(keys.len());
        let mut wrapped = Vec::with_capacity(keys.len());
        for StoredKey { subject, generation, key } in keys {
            let (by, bytes) = key.map(|WrappedKey { by, bytes }| (by, bytes)).unzip();
            subjects.push(subject);
            generations.push(i64::from(generation));
            masters.push(by);
            wrapped.push(bytes);
        }
        let database = self.database();
        let (subjects, generations, masters, wrapped) = (&subjects, &generations, &masters, &wrapped);
        // Doing it twice adds nothing more.
        database
            .retrying(WRITE, || async {
                let mut lease = database.lease(WRITE).await?;
                let added = sqlx::query_file!(
                    "src/sql/add_keys.sql",
                    subjects,
                    generations,
                    masters as &[Option<String>],
                    wrapped as &[Option<Vec<u8>>],
                )
                .execute(&mut *lease);
                database.within(WRITE, added).await?;
                lease.put_back();
                Ok(())
            })
            .await?;
        // A statement of its own: another one's row that the first has waited for is not in its picture.
        self.keys(subjects).await
    }

    async fn replace_key(&self, old: &StoredKey, new: StoredKey) -> Result<bool, StoreError> {
        let columns = |key: Option<&WrappedKey>| key.map(|key| (key.by.clone(), key.bytes.clone())).unzip();
        let (old_master, old_wrapped): (Option<String>, Option<Vec<u8>>) = columns(old.key.as_ref());
        let (master, wrapped): (Option<String>, Option<Vec<u8>>) = columns(new.key.as_ref());
        let database = self.database();
        let mut lease = database.lease(WRITE).await?;
        let replaced = sqlx::query_file!(
            "src/sql/replace_key.sql",
            old.subject,
            i64::from(old.generation),
            old_master as Option<String>,
            old_wrapped as Option<Vec<u8>>,
            i64::from(new.generation),
            master as Option<String>,
            wrapped as Option<Vec<u8>>,
        )
        .execute(&mut *lease);
        let replaced = database.within(WRITE, replaced).await?;
        lease.put_back();
        Ok(replaced.rows_affected() > 0)
    }

    async fn list_keys(&self, after: &str, limit: usize) -> Result<Vec<StoredKey>, StoreError> {
        let database = self.database();
        database
            .retrying(READ, || async {
                let mut lease = database.lease(READ).await?;
                let rows =
                    sqlx::query_file_as!(Row, "src/sql/list_keys.sql", after, limit_column(limit.max(1)))
                        .fetch_all(&mut *lease);
                let rows = database.within(READ, rows).await?;
                lease.put_back();
                rows.into_iter().map(Row::into_key).collect()
            })
            .await
    }
}

struct Row {
    subject: String,
    generation: i64,
    master: Option<String>,
    wrapped: Option<Vec<u8>>,
}

impl Row {
    fn into_key(self) -> Result<StoredKey, StoreError> {
        let key = self.master.zip(self.wrapped).map(|(by, bytes)| WrappedKey { by, bytes });
        let generation = self
            .generation
            .try_into()
            .map_err(|error| StoreError::because(StoreErrorKind::Corrupt, READ, error))?;
        Ok(StoredKey { subject: self.subject, generation, key })
    }
}
