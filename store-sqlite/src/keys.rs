//! Keys of those about whom something personal is recorded.

use async_trait::async_trait;
use factum_core::privacy::{KeyStore, StoredKey, WrappedKey};
use factum_core::{StoreError, Transactional};
use serde_json::json;

use crate::SqliteStore;
use crate::read::{rows_max, select};
use crate::row;
use crate::script::{self, Values};

const READ: &str = "read keys";
const WRITE: &str = "write key";

const SELECT: &str = "SELECT k.subject, k.generation, k.master, k.wrapped
    FROM json_each(?1) AS asked JOIN factum_keys AS k ON k.subject = asked.value";
const LIST: &str = "SELECT subject, generation, master, wrapped FROM factum_keys WHERE subject > ?1 ORDER BY subject LIMIT ?2 + 0";
const ADD: &str = "INSERT INTO factum_keys (subject, generation, master, wrapped) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
const REPLACE: &str = "BEGIN IMMEDIATE;
    UPDATE factum_keys SET generation = ?5, master = ?6, wrapped = ?7
    WHERE subject = ?1 AND generation = ?2 AND master IS ?3 AND wrapped IS ?4
    RETURNING 1;
    COMMIT";

/// Give a vault a store in another file than the one that it seals: a key of somebody new is kept at once, and a transaction that is open on
/// the same file would hold the one connection that writes until that has waited in vain.
///
/// What SQLite frees, it leaves in the file until it needs the room. A wrapped key that was deleted is gone from the file after `VACUUM`,
/// and from the log beside it after a checkpoint.
#[async_trait]
impl KeyStore for SqliteStore {
    async fn keys(&self, subjects: &[String]) -> Result<Vec<StoredKey>, StoreError> {
        self.database().check_schema(READ).await?;
        let values = Values::default().and(json!(subjects).to_string()).done();
        select(self.database(), SELECT, values).await?.iter().map(row::key).collect()
    }

    async fn add_keys(&self, keys: Vec<StoredKey>) -> Result<Vec<StoredKey>, StoreError> {
        self.database().check_schema(WRITE).await?;
        let mut tx = self.begin().await?;
        for key in &keys {
            if let Err(fault) = script::run(&mut tx, ADD, columns(Values::default(), key).done()).await {
                return Err(self.database().explain(WRITE, fault.error).await);
            }
        }
        let subjects: Vec<_> = keys.into_iter().map(|key| key.subject).collect();
        let values = Values::default().and(json!(subjects).to_string()).done();
        let there = match script::run(&mut tx, SELECT, values).await {
            Ok(answers) => answers.iter().flatten().map(row::key).collect::<Result<_, _>>()?,
            Err(fault) => return Err(self.database().explain(WRITE, fault.error).await),
        };
        self.commit(tx).await?;
        Ok(there)
    }

    async fn replace_key(&self, old: &StoredKey, new: StoredKey) -> Result<bool, StoreError> {
        self.database().check_schema(WRITE).await?;
        let (master, wrapped) = new.key.map(|WrappedKey { by, bytes }| (by, bytes)).unzip();
        let values =
            columns(Values::default(), old).and(i64::from(new.generation)).and(master).and(wrapped).done();
        let answers = self.database().write(WRITE, REPLACE, values).await?;
        // The first is that of BEGIN.
        Ok(answers.get(1).is_some_and(|rows| !rows.is_empty()))
    }

    async fn list_keys(&self, after: &str, limit: usize) -> Result<Vec<StoredKey>, StoreError> {
        self.database().check_schema(READ).await?;
        let values = Values::default().and(after).and(rows_max(limit.max(1))).done();
        select(self.database(), LIST, values).await?.iter().map(row::key).collect()
    }
}

fn columns(values: Values, key: &StoredKey) -> Values {
    let wrapped = key.key.as_ref();
    values
        .and(&*key.subject)
        .and(i64::from(key.generation))
        .and(wrapped.map(|key| &*key.by))
        .and(wrapped.map(|key| &*key.bytes))
}
