//! The dispatcher: brings an event to its handlers, in the order of their priorities.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::cause::Cause;
use crate::dead_letter::Failure;
use crate::envelope::RecordedEvent;
use crate::error::{BoxError, DecodeError};
use crate::event::{EventName, EventType};
use crate::handler::{Context, EventHandler, HandleError, Interest};
use crate::metadata::EventId;
use crate::store::Filter;
use crate::stream::{Position, StreamId, Version};

/// Handlers, sorted for every event by priority: lower first, and equal ones in the order in which they were added.
///
/// The first handler that fails ends the turn of the event: no later one sees it, and the error names the handler.
///
/// A [`Subscription`](crate::Subscription) has one inside. On its own it dispatches what the program already holds,
/// and keeps no checkpoint.
pub struct Dispatcher<Cx = ()> {
    handlers: Vec<Arc<dyn ErasedHandler<Cx>>>,
    turns: HashMap<EventName, Vec<Turn>>,
}

/// One handler's turn at one event.
#[derive(Clone, Copy)]
struct Turn {
    priority: i32,
    handler: usize,
    interest: usize,
}

impl<Cx: Send + 'static> Dispatcher<Cx> {
    /// No handlers.
    pub fn new() -> Self {
        Self { handlers: Vec::new(), turns: HashMap::new() }
    }

    /// And this handler.
    pub fn handler(mut self, handler: impl EventHandler<Cx>) -> Self {
        self.add(handler);
        self
    }

    /// Adds a handler.
    pub fn add<H: EventHandler<Cx>>(&mut self, handler: H) {
        let handler_index = self.handlers.len();
        self.handlers.push(Arc::new(handler));
        for (interest_index, Interest { types, priority }) in H::INTERESTS.iter().enumerate() {
            for name in types.iter().flat_map(EventType::names) {
                let name = EventName::new(name).expect("checked when the event type was made");
                let turns = self.turns.entry(name).or_default();
                // Several variants of an enum may be parts of one old event, which comes once.
                if turns.iter().any(|turn| (turn.handler, turn.interest) == (handler_index, interest_index)) {
                    continue;
                }
                turns.push(Turn { priority: *priority, handler: handler_index, interest: interest_index });
                turns.sort_by_key(|turn| turn.priority);
            }
        }
    }

    /// The events that any handler wants.
    pub fn filter(&self) -> Filter {
        let mut names: Vec<_> = self.turns.keys().cloned().collect();
        names.sort();
        Filter { names, ..Filter::all() }
    }

    /// Whether any handler wants the events that are stored as `name`.
    pub(crate) fn wants(&self, name: &EventName) -> bool {
        self.turns.contains_key(name)
    }

    /// The names of the handlers that would see an event stored as `name`, in their order.
    pub fn order(&self, name: &EventName) -> Vec<&'static str> {
        self.turns(name).iter().map(|turn| self.handlers[turn.handler].name()).collect()
    }

    /// Brings `event` to all its handlers, one after the other.
    ///
    /// # Errors
    ///
    /// [`HandlerError`], from the first handler that failed; the later ones did not see the event.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops at whatever the current handler was waiting for.
    pub async fn dispatch(&self, event: &RecordedEvent, cx: &mut Context<Cx>) -> Result<(), HandlerError> {
        self.dispatch_from(0, event, cx).await.map_err(|(_, error)| error)
    }

    /// As [`dispatch`](Dispatcher::dispatch), without those who had their turn before. The error says whose turn it was.
    pub(crate) async fn dispatch_from(
        &self,
        first: usize,
        event: &RecordedEvent,
        cx: &mut Context<Cx>,
    ) -> Result<(), (usize, HandlerError)> {
        for (index, turn) in self.turns(&event.name).iter().enumerate().skip(first) {
            let handler = &self.handlers[turn.handler];
            cx.turn_to(turn.handler);
            Cause::from(event).scope(handler.handle(turn.interest, event, cx)).await.map_err(|fault| {
                let event = Some(EventFacts::from(event));
                (index, HandlerError { handler: handler.name(), event, fault })
            })?;
        }
        Ok(())
    }

    /// Ends a batch: every handler writes what it has gathered, in the order in which they were added.
    ///
    /// # Errors
    ///
    /// [`HandlerError`], from the first handler that failed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops at whatever the current handler was waiting for.
    pub async fn flush(&self, cx: &mut Context<Cx>) -> Result<(), HandlerError> {
        for (index, handler) in self.handlers.iter().enumerate() {
            cx.turn_to(index);
            handler.flush(cx).await.map_err(|source| HandlerError {
                handler: handler.name(),
                event: None,
                fault: HandlerFault::Failed(source),
            })?;
        }
        Ok(())
    }

    fn turns(&self, name: &EventName) -> &[Turn] {
        self.turns.get(name).map_or(&[], Vec::as_slice)
    }
}

/// Clones have the same handlers.
impl<Cx> Clone for Dispatcher<Cx> {
    fn clone(&self) -> Self {
        Self { handlers: self.handlers.clone(), turns: self.turns.clone() }
    }
}

impl<Cx: Send + 'static> Default for Dispatcher<Cx> {
    fn default() -> Self {
        Self::new()
    }
}

impl<Cx> fmt::Debug for Dispatcher<Cx> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.handlers.iter().map(|handler| handler.name()).collect();
        f.debug_struct("Dispatcher").field("handlers", &names).finish_non_exhaustive()
    }
}

/// A handler failed.
#[derive(Debug)]
pub struct HandlerError {
    /// Which: its [`NAME`](EventHandler::NAME).
    pub handler: &'static str,
    /// On which event; `None` at the end of a batch.
    pub event: Option<EventFacts>,
    /// How.
    pub fault: HandlerFault,
}

/// As a dead letter keeps it.
impl From<&HandlerError> for Failure {
    fn from(error: &HandlerError) -> Self {
        let first = std::error::Error::source(error);
        let chain = std::iter::successors(first, |error| error.source());
        Self { handler: error.handler.to_owned(), errors: chain.map(ToString::to_string).collect() }
    }
}

/// How a handler failed.
#[derive(Debug)]
pub enum HandlerFault {
    /// The event cannot be read.
    Decode(DecodeError),
    /// The handler returned this error.
    Failed(BoxError),
}

/// Which event it is and where, for errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFacts {
    /// Its identity.
    pub id: EventId,
    /// Its stored name.
    pub name: EventName,
    /// Its stream.
    pub stream: StreamId,
    /// Its version.
    pub version: Version,
    /// Its position.
    pub position: Position,
}

impl From<&RecordedEvent> for EventFacts {
    fn from(event: &RecordedEvent) -> Self {
        Self {
            id: event.id,
            name: event.name.clone(),
            stream: event.stream.clone(),
            version: event.version,
            position: event.position,
        }
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "handler `{}` failed", self.handler)?;
        match &self.event {
            Some(EventFacts { name, stream, version, position, .. }) => {
                write!(f, " on event {name} (version {version} of {stream}, position {position})")
            }
            None => f.write_str(" at the end of a batch"),
        }
    }
}

impl std::error::Error for HandlerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            HandlerFault::Decode(error) => Some(error),
            HandlerFault::Failed(error) => Some(&**error),
        }
    }
}

/// A handler without its types: the one place where handlers are boxed.
trait ErasedHandler<Cx>: Send + Sync {
    fn name(&self) -> &'static str;

    fn handle<'a>(
        &'a self,
        interest: usize,
        event: &'a RecordedEvent,
        cx: &'a mut Context<Cx>,
    ) -> BoxFuture<'a, Result<(), HandlerFault>>;

    fn flush<'a>(&'a self, cx: &'a mut Context<Cx>) -> BoxFuture<'a, Result<(), BoxError>>;
}

impl<Cx: Send + 'static, H: EventHandler<Cx>> ErasedHandler<Cx> for H {
    fn name(&self) -> &'static str {
        H::NAME
    }

    fn handle<'a>(
        &'a self,
        interest: usize,
        event: &'a RecordedEvent,
        cx: &'a mut Context<Cx>,
    ) -> BoxFuture<'a, Result<(), HandlerFault>> {
        Box::pin(async move {
            EventHandler::handle(self, interest, event, cx).await.map_err(|error| match error {
                HandleError::Decode(error) => HandlerFault::Decode(error),
                HandleError::Handler(error) => HandlerFault::Failed(Box::new(error)),
            })
        })
    }

    fn flush<'a>(&'a self, cx: &'a mut Context<Cx>) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async move { Ok(EventHandler::flush(self, cx).await?) })
    }
}
