//! The transaction of the in-memory store.

use std::fmt;

/// Effects on the program's own memory that happen together with the checkpoint, or not at all.
#[derive(Default)]
pub struct MemoryTx {
    effects: Vec<Box<dyn FnOnce() + Send>>,
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

    pub(crate) fn take_effect(self) {
        for effect in self.effects {
            effect();
        }
    }
}

impl fmt::Debug for MemoryTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTx").field("effects", &self.effects.len()).finish()
    }
}
