//! Causes: how the commands a handler issues, and the events they lead to, learn which event was their reason.
//!
//! The dispatcher runs each handler in the scope of its event; [`Repository::execute`](crate::Repository::execute)
//! looks there. So correlation and causation flow by themselves as long as the handler's own task issues the
//! command. A task that a handler spawns has to say it: [`Execute::caused_by`](crate::Execute::caused_by).

use std::future::Future;

use uuid::Uuid;

use crate::envelope::{Envelope, RecordedEvent};
use crate::metadata::{EventId, Metadata};

tokio::task_local! {
    static CURRENT: Cause;
}

/// Why something happens: an event, and the conversation it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The conversation.
    pub correlation_id: Uuid,
    /// The event.
    pub causation_id: EventId,
}

impl Cause {
    /// What is being handled by this task now, if anything is.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|cause| *cause).ok()
    }

    /// Adds what is being handled now to what is known of an event, unless another cause was given.
    pub(crate) fn complete(metadata: &mut Metadata) {
        if let Some(cause) = Self::current() {
            metadata.correlation_id.get_or_insert(cause.correlation_id);
            metadata.causation_id.get_or_insert(cause.causation_id);
        }
    }

    /// Runs `work` in the scope of this cause.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }
}

impl From<&RecordedEvent> for Cause {
    fn from(event: &RecordedEvent) -> Self {
        Self { correlation_id: event.correlation_id(), causation_id: event.id }
    }
}

impl<E> From<&Envelope<E>> for Cause {
    fn from(envelope: &Envelope<E>) -> Self {
        Self { correlation_id: envelope.correlation_id(), causation_id: envelope.id }
    }
}
