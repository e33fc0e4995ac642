//! A projection that notes what it has handled, in the store's transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use factum_core::{Context, EventHandler, EventType, HandleError, Interest, RecordedEvent};

use crate::Fixture;
use crate::fixture::Tx;

/// Notes `<name>: <stream>@<version>`, and `, rebuilding` where that is told; what belongs to a batch or an append in one note.
pub(crate) struct Noting<F> {
    pub(crate) fixture: Arc<F>,
    pub(crate) name: &'static str,
    /// The position on which it fails; 0 for none.
    pub(crate) fails_on: Arc<AtomicU64>,
}

impl<F> Noting<F> {
    pub(crate) fn new(fixture: &Arc<F>, name: &'static str) -> Self {
        Self { fixture: Arc::clone(fixture), name, fails_on: Arc::default() }
    }
}

impl<F: Fixture> EventHandler<Tx<F>> for Noting<F> {
    const NAME: &'static str = "notes";
    const INTERESTS: &'static [Interest] =
        &[Interest { types: &[EventType::new("tested", 1, &[])], priority: 0 }];
    type Error = std::io::Error;

    async fn handle(
        &self,
        _: usize,
        event: &RecordedEvent,
        cx: &mut Context<Tx<F>>,
    ) -> Result<(), HandleError<std::io::Error>> {
        if self.fails_on.load(Ordering::SeqCst) == event.position.0 {
            return Err(HandleError::Handler(std::io::Error::other("it was told to fail")));
        }
        let rebuilding = if cx.is_rebuilding() { ", rebuilding" } else { "" };
        let note = format!("{}: {}@{}{rebuilding}", self.name, event.stream, event.version);
        cx.batch::<Vec<String>>().push(note);
        Ok(())
    }

    async fn flush(&self, cx: &mut Context<Tx<F>>) -> Result<(), std::io::Error> {
        // They are left where they are: the batch ends here.
        let notes = cx.batch::<Vec<String>>().join("\n");
        if !notes.is_empty() {
            self.fixture.work(cx.tx(), &notes).await;
        }
        Ok(())
    }
}

/// The notes of all batches, in the order of their batches' first, each in its order.
pub(crate) async fn notes<F: Fixture>(fixture: &F) -> Vec<String> {
    let batches = fixture.work_done().await;
    batches.iter().flat_map(|batch| batch.lines()).map(str::to_owned).collect()
}
