//! Keys: one for each subject, wrapped by a master key.

use std::fmt;

use async_trait::async_trait;
use chacha20poly1305::aead::{Aead, Generate, Payload};
use chacha20poly1305::{Key, KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::key_store::{KeyStore, StoredKey, WrappedKey};
use crate::error::{StoreError, StoreErrorKind};

/// How many bytes a nonce of XChaCha20-Poly1305 has: enough to be drawn by chance each time.
pub(super) const NONCE_BYTES: usize = 24;
/// How many rows are looked at at a time.
const PAGE: usize = 500;

/// The key of one subject. It is erased from memory when it is dropped.
pub struct SubjectKey(Zeroizing<[u8; 32]>);

impl SubjectKey {
    /// A key that nobody else has.
    pub fn generate() -> Self {
        Self(Zeroizing::new(Key::generate().into()))
    }

    /// The key with these bytes, for a [`MasterKeys`] that unwraps it.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Its bytes, for a [`MasterKeys`] that wraps it.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A nonce, and then the sealed text.
    pub(super) fn seal(&self, text: &[u8], bound_to: &[u8]) -> Vec<u8> {
        let nonce = XNonce::generate();
        let cipher = XChaCha20Poly1305::new(&Key::from(*self.0));
        let sealed = cipher.encrypt(&nonce, Payload { msg: text, aad: bound_to });
        // It fails for texts of 256 GiB and more.
        [&nonce[..], &sealed.expect("a payload is not as large")].concat()
    }

    /// The text, if it was sealed with this key and is bound to the same.
    pub(super) fn open(&self, sealed: &[u8], bound_to: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
        let cipher = XChaCha20Poly1305::new(&Key::from(*self.0));
        let text = cipher.decrypt(&XNonce::from(nonce), Payload { msg: sealed, aad: bound_to });
        text.ok().map(Zeroizing::new)
    }
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectKey(..)")
    }
}

/// What wraps the keys of subjects: a [`MasterKey`] in memory, or a service that keeps one and shows it to nobody.
#[async_trait]
pub trait MasterKeys: Send + Sync + 'static {
    /// The name of the master key with which keys are wrapped now.
    fn name(&self) -> &str;

    /// Wraps a key with it. What is answered opens only for the same subject and generation.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if whoever wraps cannot be reached.
    ///
    /// # Cancel safety
    ///
    /// Wrapping changes nothing.
    async fn wrap(&self, subject: &str, generation: u32, key: &SubjectKey) -> Result<WrappedKey, StoreError>;

    /// The key that was wrapped, by today's master key or an older one.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; of kind [`WrongMasterKey`](StoreErrorKind::WrongMasterKey) if it was wrapped by another master key.
    ///
    /// # Cancel safety
    ///
    /// Unwrapping changes nothing.
    async fn unwrap(
        &self,
        subject: &str,
        generation: u32,
        wrapped: &WrappedKey,
    ) -> Result<SubjectKey, StoreError>;
}

/// A master key in memory: the program gets it from wherever it keeps its secrets. It is erased from memory when it is dropped.
pub struct MasterKey {
    name: String,
    key: SubjectKey,
    older: Vec<MasterKey>,
}

impl MasterKey {
    /// The master key with these bytes. The name stands beside every key that it wraps: a new key is given a new one.
    pub fn new(name: impl Into<String>, bytes: [u8; 32]) -> Self {
        Self { name: name.into(), key: SubjectKey::from_bytes(bytes), older: Vec::new() }
    }

    /// A master key that nobody has yet. Unless its [bytes](MasterKey::as_bytes) are kept, what it wraps is lost with it.
    pub fn generate(name: impl Into<String>) -> Self {
        Self { name: name.into(), key: SubjectKey::generate(), older: Vec::new() }
    }

    /// And opens what this one has wrapped, until [`rewrap`] has gone through all rows.
    pub fn and_older(mut self, older: Self) -> Self {
        self.older.push(older);
        self
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    fn named(&self, name: &str) -> Option<&Self> {
        if self.name == name {
            return Some(self);
        }
        self.older.iter().find_map(|older| older.named(name))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl MasterKeys for MasterKey {
    fn name(&self) -> &str {
        &self.name
    }

    async fn wrap(&self, subject: &str, generation: u32, key: &SubjectKey) -> Result<WrappedKey, StoreError> {
        let bytes = self.key.seal(key.as_bytes(), &bound_to(subject, generation));
        Ok(WrappedKey { by: self.name.clone(), bytes })
    }

    async fn unwrap(
        &self,
        subject: &str,
        generation: u32,
        wrapped: &WrappedKey,
    ) -> Result<SubjectKey, StoreError> {
        let opened = self.named(&wrapped.by).and_then(|master| {
            let opened = master.key.open(&wrapped.bytes, &bound_to(subject, generation))?;
            <[u8; 32]>::try_from(opened.as_slice()).ok()
        });
        let wrong = || {
            let text = format!("the key was wrapped by the master key `{}`", wrapped.by);
            StoreError::because(StoreErrorKind::WrongMasterKey, "unwrap key", text)
        };
        opened.map(SubjectKey::from_bytes).ok_or_else(wrong)
    }
}

fn bound_to(subject: &str, generation: u32) -> Vec<u8> {
    [&generation.to_be_bytes(), subject.as_bytes()].concat()
}

/// Wraps every key with today's master key that was wrapped with an older one, and says how many they were. Events stay as they are:
/// their keys are the same. It can be repeated, and go on while events are appended and persons forgotten.
///
/// # Errors
///
/// [`StoreError`]; of kind [`WrongMasterKey`](StoreErrorKind::WrongMasterKey) if a row is of a master key that `master` has not.
///
/// # Cancel safety
///
/// Dropping the future leaves some wrapped anew. Running it again goes on.
pub async fn rewrap(keys: &dyn KeyStore, master: &dyn MasterKeys) -> Result<u64, StoreError> {
    let (mut after, mut count) = (String::new(), 0);
    loop {
        let page = keys.list_keys(&after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(count) };
        after.clone_from(&last.subject);
        for row in page {
            let Some(old) = row.key.as_ref().filter(|old| old.by != master.name()) else { continue };
            let key = master.unwrap(&row.subject, row.generation, old).await?;
            let wrapped = master.wrap(&row.subject, row.generation, &key).await?;
            // If the row has changed, the person was forgotten or somebody else has wrapped it anew.
            let new = StoredKey { key: Some(wrapped), ..row.clone() };
            count += u64::from(keys.replace_key(&row, new).await?);
        }
    }
}
