//! Where the keys of subjects are kept, wrapped. It knows no cipher.

use async_trait::async_trait;

use crate::error::StoreError;

/// What a [`KeyStore`] has of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// Whose.
    pub subject: String,
    /// Which key of the subject, counted from 1: who comes back after having been forgotten gets the next one.
    pub generation: u32,
    /// The key; `None` is the note that the subject was forgotten.
    pub key: Option<WrappedKey>,
}

/// A key that is sealed with another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// The name of the master key.
    pub by: String,
    /// What `MasterKeys::wrap` has answered.
    pub bytes: Vec<u8>,
}

/// Where the keys of subjects are kept, each in one row. A store that keeps events is one, and so can be any other place: then it
/// has backups of its own.
///
/// The rows are worthless without the master key.
#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// The rows of these subjects, in any order; none for one of which nothing is known.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it cannot be told. That a key is not there is an answer, and never an error.
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    async fn keys(&self, subjects: &[String]) -> Result<Vec<StoredKey>, StoreError>;

    /// Adds the rows whose subject has none, and answers with what is there afterwards of all these subjects, in any order. Of two
    /// who add a row for one subject, both get the same answer.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; none or all were added.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown; adding them again tells.
    async fn add_keys(&self, keys: Vec<StoredKey>) -> Result<Vec<StoredKey>, StoreError>;

    /// Puts a row in the place of `old`, of the same subject, if that is still there just so, and says whether it was.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it was not done.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown; reading the row tells.
    async fn replace_key(&self, old: &StoredKey, new: StoredKey) -> Result<bool, StoreError>;

    /// The rows whose subject comes after this one, byte by byte and in this order, at most so many.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it cannot be told.
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    async fn list_keys(&self, after: &str, limit: usize) -> Result<Vec<StoredKey>, StoreError>;
}
