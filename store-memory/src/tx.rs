//! The transaction of the in-memory store.

use std::fmt;
use std::mem;

use factum_core::{Advance, Checkpoint, Partition, RecordedEvent, StreamId, Timer};
use tokio::sync::OwnedRwLockWriteGuard;

/// Appends, and effects on the program's own memory, that happen together with the checkpoint, or not at all.
#[derive(Default)]
pub struct MemoryTx {
    effects: Vec<Box<dyn FnOnce() + Send>>,
    /// What will be recorded, with its final versions and positions: from the first append on nobody else writes.
    pub(crate) events: Vec<RecordedEvent>,
    pub(crate) turn: Option<OwnedRwLockWriteGuard<()>>,
    /// Timers that will be set, and those that will be taken.
    pub(crate) set: Vec<Timer>,
    pub(crate) taken: Vec<Timer>,
    /// Checkpoints that must be there when it commits, and those that will be moved, each partition once.
    pub(crate) held: Vec<(Partition, Checkpoint)>,
    pub(crate) steps: Vec<Advance>,
}

impl MemoryTx {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Does `effect` when the transaction commits, in the order of these calls; never, if it is dropped.
    ///
    /// The effect runs while the store is locked: it must not call the store, and must not panic.
    pub fn on_commit(&mut self, effect: impl FnOnce() + Send + 'static) {
        self.effects.push(Box::new(effect));
    }

    pub(crate) fn take_effect(&mut self) {
        for effect in mem::take(&mut self.effects) {
            effect();
        }
    }

    /// What will be recorded in `stream`.
    pub(crate) fn events_of<'a>(
        &'a self,
        stream: &'a StreamId,
    ) -> impl DoubleEndedIterator<Item = &'a RecordedEvent> {
        self.events.iter().filter(move |event| event.stream == *stream)
    }
}

impl fmt::Debug for MemoryTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTx")
            .field("events", &self.events.len())
            .field("effects", &self.effects.len())
            .finish_non_exhaustive()
    }
}
