//! A store in which everything personal is sealed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::key::{MasterKeys, SubjectKey};
use super::key_store::{KeyStore, StoredKey};
use super::scope::Scope;
use super::seal::{KeyState, Keys, Sealed, seal, subjects_of, tag_of};
use super::whole::{STORE, StoreKey, decrypt, encrypt, is_encrypted};
use crate::checkpoint::{Advance, Checkpoint, Checkpoints, Transactional};
use crate::dead_letter::{DeadLetter, DeadLetters, Parked, ReadDeadLetters};
use crate::envelope::RecordedEvent;
use crate::error::{AppendError, Invalid, StoreError, StoreErrorKind};
use crate::lease::{Heartbeat, Leases, NodeId, Share};
use crate::metadata::EventId;
use crate::name::InvalidName;
use crate::partition::Partition;
use crate::query::{EventQuery, QueryItem};
use crate::retention::Retention;
use crate::snapshot::{PageFrom, ReadFrom, Snapshots};
use crate::store::{
    Append, Appended, CategoryPage, EventStore, Matches, Page, ReadAll, ReadCategory, ReadMatching,
    ReadStream, StreamPage, Uncommitted,
};
use crate::stream::{Expected, Position, StreamId, Version};
use crate::tenant::TenantId;
use crate::timer::{DueTimers, Timer, Timers};
use crate::transfer::{Import, Record, Transfer, TransferError};

/// How often a row of a key is written anew because somebody else has written it meanwhile.
const ATTEMPTS: u32 = 20;

/// A store in which everything personal is sealed, and opened for who reads through it. See [the module](super).
///
/// It is a store like any other: give it to repositories, subscriptions, processes and decisions. What is appended through it is
/// sealed, what is read through it is opened, with one question to the keys for each append and each page that has something personal.
/// Events that have nothing personal cost nothing. Projections in the transaction of an append stand above it:
/// `Inline::new(vault)`.
///
/// An event that cannot be opened is no reason to fail a page: who decodes it gets the error, and a subscription can set it aside. Keys
/// that cannot be reached are an error of the store: nobody goes on without them, and no fallback stands in for them.
///
/// With [tenants](crate::tenant) it is all the same whether it is around the store of each of them or below all: a person is one
/// tenant's, and so is the key of an encrypted store. A vault around that of all tenants opens what each of theirs has sealed; it
/// forgets nobody of theirs.
///
/// An export through it is of what is stored, sealed. [`Export::opened_by`](crate::transfer::Export::opened_by) has everything in the
/// clear.
pub struct Vault<S> {
    store: S,
    keys: Arc<dyn KeyStore>,
    master: Arc<dyn MasterKeys>,
    is_blank_if_forgotten: bool,
    is_encrypted: bool,
    /// The keys of whole stores that are known, by the names of their rows: they never change.
    store_keys: Arc<Mutex<HashMap<String, Arc<StoreKey>>>>,
}

/// Opens what was sealed.
#[async_trait]
pub trait Open: Send + Sync {
    /// Puts everything that is sealed in these events in the clear, or the fallback where the person was forgotten. An event that
    /// cannot be opened says why when it is decoded.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the keys cannot be reached, or not unwrapped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the events sealed.
    async fn open(&self, events: &mut [RecordedEvent]) -> Result<(), StoreError>;
}

impl<S> Vault<S> {
    /// `store`, in which everything personal is sealed by keys in `keys`, which `master` wraps.
    pub fn new(store: S, keys: impl KeyStore, master: impl MasterKeys) -> Self {
        Self {
            store,
            keys: Arc::new(keys),
            master: Arc::new(master),
            is_blank_if_forgotten: false,
            is_encrypted: false,
            store_keys: Arc::default(),
        }
    }

    /// An event about a person who was forgotten is recorded with the fallbacks, and not refused: for streams that are
    /// [moved](crate::migrate), and for whoever hears of a person from elsewhere.
    pub fn blank_if_forgotten(mut self) -> Self {
        self.is_blank_if_forgotten = true;
        self
    }

    /// The whole payload of every new event is encrypted, with a key of the store. Names, tags and metadata are not.
    pub fn encrypted(mut self) -> Self {
        self.is_encrypted = true;
        self
    }

    /// The store itself: what is read from it is sealed.
    pub const fn store(&self) -> &S {
        &self.store
    }

    async fn new_key(&self, row: &str, generation: u32) -> Result<StoredKey, StoreError> {
        let key = self.master.wrap(row, generation, &SubjectKey::generate()).await?;
        Ok(StoredKey { subject: row.to_owned(), generation, key: Some(key) })
    }

    /// Deletes the key, and leaves the note.
    async fn delete_key(&self, row: &str) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            let Some(old) = self.keys.keys(&[row.to_owned()]).await?.pop() else {
                // There is nothing to forget yet. Whoever is about to record something must not.
                let note = StoredKey { subject: row.to_owned(), generation: 1, key: None };
                self.keys.add_keys(vec![note]).await?;
                continue;
            };
            if old.key.is_none() {
                return Ok(());
            }
            let note = StoredKey { key: None, ..old.clone() };
            if self.keys.replace_key(&old, note).await? {
                return Ok(());
            }
        }
        Err(busy(row))
    }

    async fn unwrapped(&self, rows: Vec<StoredKey>) -> Result<Keys, StoreError> {
        let mut keys = HashMap::with_capacity(rows.len());
        for StoredKey { subject, generation, key } in rows {
            let state = match key {
                Some(wrapped) => {
                    KeyState::There(generation, self.master.unwrap(&subject, generation, &wrapped).await?)
                }
                None => KeyState::Forgotten(generation),
            };
            keys.insert(subject, state);
        }
        Ok(keys)
    }

    /// The key of a whole store, or of a tenant's, which is made if it is wanted and there is none.
    async fn store_key(&self, scope: &Scope, is_wanted: bool) -> Result<Option<Arc<StoreKey>>, StoreError> {
        let row = scope.row(STORE);
        if let Some(key) = self.known_store_keys().get(&row) {
            return Ok(Some(Arc::clone(key)));
        }
        let mut found = self.keys.keys(std::slice::from_ref(&row)).await?.pop();
        if found.is_none() && is_wanted {
            found = self.keys.add_keys(vec![self.new_key(&row, 1).await?]).await?.pop();
        }
        let Some(StoredKey { generation, key: Some(wrapped), .. }) = found else { return Ok(None) };
        let key = Arc::new((generation, self.master.unwrap(&row, generation, &wrapped).await?));
        Ok(Some(Arc::clone(self.known_store_keys().entry(row).or_insert(key))))
    }

    fn known_store_keys(&self) -> MutexGuard<'_, HashMap<String, Arc<StoreKey>>> {
        self.store_keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: EventStore> Vault<S> {
    /// The person comes back: events about them are sealed with a new key from now on. What was forgotten stays so.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it was not done.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown. Doing it again changes nothing more.
    pub async fn remember(&self, subject: &str) -> Result<(), StoreError> {
        is_a_person(subject)?;
        let name = Scope::of(&self.store).row(subject);
        for _ in 0..ATTEMPTS {
            let row = self.keys.keys(std::slice::from_ref(&name)).await?.pop();
            let Some(old) = row.filter(|row| row.key.is_none()) else { return Ok(()) };
            let new = self.new_key(&name, old.generation.saturating_add(1)).await?;
            if self.keys.replace_key(&old, new).await? {
                return Ok(());
            }
        }
        Err(busy(subject))
    }

    /// Seals everything personal in an append, and encrypts all of it if that is asked for.
    async fn sealed(&self, append: Append) -> Result<Append, AppendError> {
        let sealed = self.sealed_for_persons(append).await?;
        if !self.is_encrypted {
            return Ok(sealed);
        }
        let mut keys = HashMap::new();
        for part in sealed.streams() {
            let scope = Scope::of_stream(&self.store, &part.stream);
            let key = self.store_key(&scope, true).await?.ok_or_else(no_store_key)?;
            keys.insert(part.stream.clone(), key);
        }
        Ok(sealed.try_map(|stream, event| {
            encrypt(event, &keys[stream]);
            Ok(())
        })?)
    }

    async fn sealed_for_persons(&self, append: Append) -> Result<Append, AppendError> {
        let mut persons = BTreeMap::new();
        for part in append.streams() {
            let scope = Scope::of_stream(&self.store, &part.stream);
            for event in &part.events {
                for subject in subjects_of(event)? {
                    is_a_person(&subject)?;
                    persons.entry(scope.row(&subject)).or_insert((scope.clone(), subject));
                }
            }
        }
        if persons.is_empty() {
            return Ok(append);
        }
        let names: Vec<_> = persons.keys().cloned().collect();
        let mut rows = self.keys.keys(&names).await?;
        let known: BTreeSet<_> = rows.iter().map(|row| row.subject.clone()).collect();
        let mut new = Vec::new();
        for (name, (scope, subject)) in persons.iter().filter(|(name, _)| !known.contains(*name)) {
            // Before there is a key that nothing can be found with.
            scope.tag(subject).map_err(Invalid::Name)?;
            new.push(self.new_key(name, 1).await?);
        }
        if !new.is_empty() {
            rows.extend(self.keys.add_keys(new).await?);
        }
        let keys = self.unwrapped(rows).await?;
        Ok(append.try_map(|stream, event| {
            seal(event, &Scope::of_stream(&self.store, stream), &keys, self.is_blank_if_forgotten)
        })?)
    }

    async fn opened<'e>(
        &self,
        events: impl IntoIterator<Item = &'e mut RecordedEvent, IntoIter: Send>,
    ) -> Result<(), StoreError> {
        let mut all = Vec::new();
        let mut names = BTreeSet::new();
        for event in events {
            if is_encrypted(&event.codec) {
                let key = self.store_key(&Scope::of_stream(&self.store, &event.stream), false).await?;
                decrypt(event, key.as_deref());
            }
            if let Some(sealed) = Sealed::of(event) {
                let scope = Scope::of_stream(&self.store, &event.stream);
                names.extend(sealed.subjects().map(|subject| scope.row(subject)));
                all.push((event, scope, sealed));
            }
        }
        if all.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = names.into_iter().collect();
        let keys = self.unwrapped(self.keys.keys(&names).await?).await?;
        for (event, scope, sealed) in all {
            sealed.open(event, &scope, &keys);
        }
        Ok(())
    }
}

/// An error for the one name that is taken.
fn is_a_person(subject: &str) -> Result<(), StoreError> {
    if subject == STORE {
        let text = format!("`{STORE}` is the key of the store, and nobody's");
        return Err(StoreError::because(StoreErrorKind::Other, "use key", text));
    }
    Ok(())
}

fn no_store_key() -> StoreError {
    StoreError::because(StoreErrorKind::Other, "read key", "the key of the store was deleted")
}

fn busy(subject: &str) -> StoreError {
    let text = format!("the key of {subject} was changed by others again and again");
    StoreError::because(StoreErrorKind::Busy, "write key", text)
}

impl<S: EventStore> Vault<S> {
    /// Forgets a person: deletes the key, and answers with the streams that have, or had, something about them.
    ///
    /// From then on, everybody who reads gets the fallbacks. See [the module](super) for what is left to be done.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the person may be forgotten, or not. Doing it again tells the same streams.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown. Doing it again changes nothing more.
    pub async fn forget(&self, subject: &str) -> Result<Vec<StreamId>, StoreError> {
        is_a_person(subject)?;
        self.delete_key(&Scope::of(&self.store).row(subject)).await?;
        self.streams_of(subject).await
    }

    /// The streams that have something personal about somebody, also after it was forgotten, and archived ones as well; those that were
    /// deleted have nothing any more.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill.
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    pub async fn streams_of(&self, subject: &str) -> Result<Vec<StreamId>, StoreError> {
        let no_tag = |error: InvalidName| {
            StoreError::because(StoreErrorKind::Other, "find the streams of a subject", error)
        };
        let query = EventQuery::of(QueryItem::tagged(tag_of(subject).map_err(no_tag)?));
        let mut streams = BTreeSet::new();
        let mut after = Position::START;
        loop {
            let page = self.store.read_matching(ReadMatching::new(query.clone()).after(after)).await?;
            after = page.events.last().map_or(after, |event| event.position);
            let is_end = page.end || page.events.is_empty();
            streams.extend(page.events.into_iter().map(|event| event.stream));
            if is_end {
                return Ok(streams.into_iter().collect());
            }
        }
    }
}

#[async_trait]
impl<S: EventStore> Open for Vault<S> {
    async fn open(&self, events: &mut [RecordedEvent]) -> Result<(), StoreError> {
        self.opened(events).await
    }
}

impl<S: Clone> Clone for Vault<S> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            keys: Arc::clone(&self.keys),
            master: Arc::clone(&self.master),
            is_blank_if_forgotten: self.is_blank_if_forgotten,
            is_encrypted: self.is_encrypted,
            store_keys: Arc::clone(&self.store_keys),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Vault<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("store", &self.store)
            .field("master", &self.master.name())
            .finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: EventStore> EventStore for Vault<S> {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.store.append(self.sealed(append).await?).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        let mut page = self.store.read_stream(read).await?;
        self.opened(&mut page.events).await?;
        Ok(page)
    }

    async fn read_all(&self, read: ReadAll) -> Result<Page, StoreError> {
        let mut page = self.store.read_all(read).await?;
        self.opened(&mut page.events).await?;
        Ok(page)
    }

    async fn read_matching(&self, read: ReadMatching) -> Result<Matches, StoreError> {
        let mut page = self.store.read_matching(read).await?;
        self.opened(&mut page.events).await?;
        Ok(page)
    }

    async fn find_event(&self, id: EventId) -> Result<Option<RecordedEvent>, StoreError> {
        let mut event = self.store.find_event(id).await?;
        self.opened(event.as_mut()).await?;
        Ok(event)
    }

    async fn read_category(&self, read: ReadCategory) -> Result<CategoryPage, StoreError> {
        self.store.read_category(read).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        self.store.head().await
    }

    async fn wait(&self, after: Position) -> Result<(), StoreError> {
        self.store.wait(after).await
    }

    /// None: a state has in the clear what its events have sealed, and a snapshot of it would outlive the key.
    fn snapshots(&self) -> Option<&dyn Snapshots> {
        None
    }

    fn tenant(&self) -> Option<&TenantId> {
        self.store.tenant()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Retention> Retention for Vault<S> {
    async fn delete_stream(&self, stream: &StreamId, expected: Expected) -> Result<Appended, AppendError> {
        self.store.delete_stream(stream, expected).await
    }

    async fn archive_stream(&self, stream: &StreamId, expected: Expected) -> Result<Appended, AppendError> {
        self.store.archive_stream(stream, expected).await
    }

    async fn restore_stream(&self, stream: &StreamId) -> Result<Appended, AppendError> {
        self.store.restore_stream(stream).await
    }

    async fn truncate_stream(&self, stream: &StreamId, before: Version) -> Result<(), AppendError> {
        self.store.truncate_stream(stream, before).await
    }

    async fn read_archived(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        let mut page = self.store.read_archived(read).await?;
        self.opened(&mut page.events).await?;
        Ok(page)
    }
}

/// As it is stored: sealed.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Transfer> Transfer for Vault<S> {
    async fn read_records(
        &self,
        after: Position,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.store.read_records(after, limit, bytes).await
    }

    async fn changes(&self) -> Result<u64, StoreError> {
        self.store.changes().await
    }

    async fn begin_import(&self) -> Result<Box<dyn Import>, TransferError> {
        self.store.begin_import().await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Checkpoints> Checkpoints for Vault<S> {
    async fn checkpoint_of(&self, partition: &Partition) -> Result<Checkpoint, StoreError> {
        self.store.checkpoint_of(partition).await
    }

    async fn advance(&self, step: Advance) -> Result<(), StoreError> {
        self.store.advance(step).await
    }

    async fn checkpoint(&self, subscription: &str) -> Result<Checkpoint, StoreError> {
        self.store.checkpoint(subscription).await
    }

    async fn move_checkpoint(
        &self,
        subscription: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        self.store.move_checkpoint(subscription, from, to).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: DeadLetters> DeadLetters for Vault<S> {
    async fn dead_letters(&self, read: ReadDeadLetters) -> Result<Vec<DeadLetter>, StoreError> {
        self.store.dead_letters(read).await
    }

    async fn parked(&self, subscription: &str, due_max: usize) -> Result<Parked, StoreError> {
        self.store.parked(subscription, due_max).await
    }

    async fn retry_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError> {
        self.store.retry_dead_letter(subscription, position).await
    }

    async fn drop_dead_letter(&self, subscription: &str, position: Position) -> Result<bool, StoreError> {
        self.store.drop_dead_letter(subscription, position).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Leases> Leases for Vault<S> {
    async fn beat(&self, heartbeat: Heartbeat) -> Result<Share, StoreError> {
        self.store.beat(heartbeat).await
    }

    async fn leave(&self, subscription: &str, node: NodeId) -> Result<(), StoreError> {
        self.store.leave(subscription, node).await
    }
}

#[deny(clippy::missing_trait_methods)]
impl<S: EventStore + Transactional> Transactional for Vault<S> {
    type Tx = S::Tx;

    async fn begin(&self) -> Result<Self::Tx, StoreError> {
        self.store.begin().await
    }

    /// The keys of persons who are new are kept whether `tx` is committed or not.
    async fn append_in(&self, tx: &mut Self::Tx, append: Append) -> Result<Uncommitted, AppendError> {
        self.store.append_in(tx, self.sealed(append).await?).await
    }

    async fn read_stream_in(&self, tx: &mut Self::Tx, read: ReadStream) -> Result<StreamPage, StoreError> {
        let mut page = self.store.read_stream_in(tx, read).await?;
        self.opened(&mut page.events).await?;
        Ok(page)
    }

    async fn read_from_in(&self, tx: &mut Self::Tx, read: ReadFrom) -> Result<PageFrom, StoreError> {
        let mut found = self.store.read_from_in(tx, read).await?;
        self.opened(&mut found.page.events).await?;
        Ok(found)
    }

    async fn commit(&self, tx: Self::Tx) -> Result<(), StoreError> {
        self.store.commit(tx).await
    }

    async fn rollback(&self, tx: Self::Tx) -> Result<(), StoreError> {
        self.store.rollback(tx).await
    }

    async fn hold_checkpoint(
        &self,
        tx: &mut Self::Tx,
        partition: &Partition,
    ) -> Result<Checkpoint, StoreError> {
        self.store.hold_checkpoint(tx, partition).await
    }

    async fn advance_in(&self, tx: &mut Self::Tx, step: Advance) -> Result<(), StoreError> {
        self.store.advance_in(tx, step).await
    }

    async fn commit_with(&self, tx: Self::Tx, step: Advance) -> Result<(), StoreError> {
        self.store.commit_with(tx, step).await
    }

    async fn commit_with_checkpoint(
        &self,
        tx: Self::Tx,
        subscription: &str,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(), StoreError> {
        self.store.commit_with_checkpoint(tx, subscription, from, to).await
    }
}

#[deny(clippy::missing_trait_methods)]
impl<S: EventStore + Timers> Timers for Vault<S> {
    async fn set_timer(&self, tx: &mut Self::Tx, timer: Timer) -> Result<(), StoreError> {
        self.store.set_timer(tx, timer).await
    }

    async fn take_timer(&self, tx: &mut Self::Tx, timer: &Timer) -> Result<bool, StoreError> {
        self.store.take_timer(tx, timer).await
    }

    async fn due_timers(&self, process: &str, limit: usize) -> Result<DueTimers, StoreError> {
        self.store.due_timers(process, limit).await
    }
}
