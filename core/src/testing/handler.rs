//! When an event comes, then the handler does this.

use std::fmt::Debug;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::Thread;

use chrono::{DateTime, Utc};

use crate::cause::Cause;
use crate::codec::Codec;
use crate::envelope::{NewEvent, RecordedEvent};
use crate::event::{Event, EventName, EventType};
use crate::handler::{Context, EventHandler, HandleError};
use crate::metadata::{EventId, Metadata};
use crate::stream::{Position, StreamId, Version};

/// A handler and the events it is given, one after the other.
///
/// ```
/// # use factum::{Context, Envelope, Event, EventHandler, On};
/// # use serde::{Deserialize, Serialize};
/// # use std::sync::Mutex;
/// # #[derive(Event, Serialize, Deserialize)]
/// # #[event(name = "order.shipped")]
/// # struct OrderShipped { parcel: String }
/// # #[derive(Debug, PartialEq)]
/// # struct NoAddress;
/// # impl std::fmt::Display for NoAddress {
/// #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("no address") }
/// # }
/// # impl std::error::Error for NoAddress {}
/// #[derive(EventHandler, Default)]
/// #[handler(name = "shipping-mails", error = NoAddress, on(OrderShipped))]
/// struct Mails {
///     sent: Mutex<Vec<String>>,
/// }
///
/// impl On<OrderShipped> for Mails {
///     async fn on(&self, event: &Envelope<OrderShipped>, _: &mut Context) -> Result<(), NoAddress> {
///         let parcel = &event.event.parcel;
///         if parcel.is_empty() {
///             return Err(NoAddress);
///         }
///         self.sent.lock().expect("no panic").push(format!("parcel {parcel} is on its way"));
///         Ok(())
///     }
/// }
///
/// use factum::testing::HandlerScenario;
///
/// HandlerScenario::new(Mails::default())
///     .when("order/42".parse()?, OrderShipped { parcel: "P1".into() })
///     .then(|mails| assert_eq!(*mails.sent.lock().expect("no panic"), ["parcel P1 is on its way"]));
///
/// HandlerScenario::new(Mails::default())
///     .when("order/42".parse()?, OrderShipped { parcel: String::new() })
///     .then_failed(&NoAddress);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct HandlerScenario<H, Cx = ()>
where
    H: EventHandler<Cx>,
    Cx: Send,
{
    handler: H,
    cx: Context<Cx>,
    position: Position,
    outcome: Result<(), H::Error>,
}

impl<H: EventHandler<()>> HandlerScenario<H> {
    /// A handler to which nothing has come yet.
    #[must_use = "a scenario checks something only when it ends in `then`"]
    pub fn new(handler: H) -> Self {
        Self::in_context(handler, ())
    }
}

impl<H: EventHandler<Cx>, Cx: Send> HandlerScenario<H, Cx> {
    /// A handler that works in `tx`, and to which nothing has come yet.
    #[must_use = "a scenario checks something only when it ends in `then`"]
    pub fn in_context(handler: H, tx: Cx) -> Self {
        Self { handler, cx: Context::new(tx), position: Position::START, outcome: Ok(()) }
    }

    /// An event comes, now.
    ///
    /// # Panics
    ///
    /// If the handler failed on the event before this one, does not want this one, or cannot read it.
    #[must_use = "a scenario checks something only when it ends in `then`"]
    #[track_caller]
    pub fn when<E: Event>(self, stream: StreamId, event: E) -> Self {
        self.when_with(stream, event, Utc::now(), Metadata::default())
    }

    /// An event comes that was recorded then, with this metadata.
    ///
    /// # Panics
    ///
    /// As [`when`](HandlerScenario::when).
    #[must_use = "a scenario checks something only when it ends in `then`"]
    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "an event is written where it is given")]
    pub fn when_with<E: Event>(
        mut self,
        stream: StreamId,
        event: E,
        recorded_at: DateTime<Utc>,
        metadata: Metadata,
    ) -> Self {
        self.position.0 += 1;
        let recorded = record(&event, stream, self.position, recorded_at, metadata);
        self.handle(&recorded)
    }

    /// An event comes, now, that was stored under this name in this version of its shape: as a program of long ago has
    /// written it. It may be several events today, or none.
    ///
    /// # Panics
    ///
    /// As [`when`](HandlerScenario::when), or if the event cannot be read today.
    #[must_use = "a scenario checks something only when it ends in `then`"]
    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "an event is written where it is given")]
    pub fn when_stored(
        mut self,
        stream: StreamId,
        name: &'static str,
        schema_version: u32,
        payload: serde_json::Value,
    ) -> Self {
        self.position.0 += 1;
        let recorded = record_stored(name, schema_version, &payload, stream, self.position, Utc::now());
        self.handle(&recorded)
    }

    #[track_caller]
    fn handle(mut self, recorded: &RecordedEvent) -> Self {
        if let Err(error) = &self.outcome {
            panic!("the handler failed already: {error:?}");
        }
        let name = recorded.name.as_str();
        let wants = |wanted: &EventType| wanted.is_found_as(name);
        let interests: Vec<_> = (0..H::INTERESTS.len())
            .filter(|&interest| H::INTERESTS[interest].types.iter().any(wants))
            .collect();
        assert!(!interests.is_empty(), "handler `{}` does not list event {name}", H::NAME);
        for interest in interests {
            let handled = Cause::from(recorded).scope(self.handler.handle(interest, recorded, &mut self.cx));
            match block_on(handled) {
                Ok(()) => {}
                Err(HandleError::Handler(error)) => {
                    self.outcome = Err(error);
                    break;
                }
                Err(HandleError::Decode(error)) => panic!("the event does not survive being stored: {error}"),
            }
        }
        self
    }

    /// The batch ends: the handler writes what it has gathered.
    #[must_use = "a scenario checks something only when it ends in `then`"]
    #[track_caller]
    pub fn flush(mut self) -> Self {
        if self.outcome.is_ok() {
            self.outcome = block_on(self.handler.flush(&mut self.cx));
        }
        self
    }

    /// Then it has handled all events, and is like this.
    ///
    /// # Panics
    ///
    /// If the handler failed, or `check` panics.
    #[track_caller]
    pub fn then(self, check: impl FnOnce(&H)) -> Self {
        if let Err(error) = &self.outcome {
            panic!("the handler failed: {error:?}");
        }
        check(&self.handler);
        self
    }

    /// Then it has failed on the last event, like this.
    ///
    /// # Panics
    ///
    /// If it has not failed, or otherwise.
    #[track_caller]
    pub fn then_failed(self, error: &H::Error)
    where
        H::Error: PartialEq,
    {
        match &self.outcome {
            Ok(()) => panic!("the handler did not fail"),
            Err(actual) => assert_eq!(actual, error, "the handler failed otherwise"),
        }
    }
}

impl<H: EventHandler<Cx>, Cx: Send> Debug for HandlerScenario<H, Cx> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandlerScenario")
            .field("handler", &H::NAME)
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

/// The event as a store would give it back.
pub(super) fn record<E: Event>(
    event: &E,
    stream: StreamId,
    position: Position,
    recorded_at: DateTime<Utc>,
    metadata: Metadata,
) -> RecordedEvent {
    let new = NewEvent::encode(event, Codec::default(), metadata).expect("the event can be encoded");
    RecordedEvent {
        id: new.id,
        stream,
        version: Version(position.0),
        position,
        name: new.name,
        schema_version: new.schema_version,
        codec: new.codec,
        payload: new.payload,
        metadata: new.metadata,
        recorded_at,
    }
}

/// An event that a program of long ago has written, as a store would give it back.
#[track_caller]
pub(super) fn record_stored(
    name: &'static str,
    schema_version: u32,
    payload: &serde_json::Value,
    stream: StreamId,
    position: Position,
    recorded_at: DateTime<Utc>,
) -> RecordedEvent {
    RecordedEvent {
        id: EventId::new(),
        stream,
        version: Version(position.0),
        position,
        name: EventName::new(name).expect("the name is one that an event can have"),
        schema_version,
        codec: Codec::Json.name().into(),
        payload: payload.to_string().into(),
        metadata: Metadata::default(),
        recorded_at,
    }
}

/// Runs a future on this thread, which sleeps while the future waits.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = TaskContext::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
