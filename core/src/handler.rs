//! Handlers: what is done when something has happened.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::future::Future;

use crate::envelope::{Envelope, RecordedEvent};
use crate::error::DecodeError;
use crate::event::{Event, EventType, share_a_name, share_a_source};
use crate::lease::Token;

/// Reacts to events. Derived by `#[derive(EventHandler)]`.
///
/// `Cx` is what the handler works in: `()` for effects in the world, which happen at least once and should be
/// idempotent; a store's transaction for rows, which are committed together with the checkpoint, exactly once.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event handler in the context `{Cx}`",
    label = "not a handler in this context",
    note = "write `#[derive(EventHandler)]` and `#[handler(name = \"..\", error = .., on(..))]`, with `cx = ..` if \
            it works in a store's transaction"
)]
pub trait EventHandler<Cx: Send = ()>: Send + Sync + 'static {
    /// What it is called in errors, logs and dead letters. Never changes.
    const NAME: &'static str;
    /// The events it wants, each with its priority.
    const INTERESTS: &'static [Interest];
    /// Why it fails.
    type Error: Error + Send + Sync + 'static;

    /// Handles an event that it wants for its interest number `interest`.
    fn handle(
        &self,
        interest: usize,
        event: &RecordedEvent,
        cx: &mut Context<Cx>,
    ) -> impl Future<Output = Result<(), HandleError<Self::Error>>> + Send;

    /// Ends a batch: see [`Flush`].
    fn flush(&self, cx: &mut Context<Cx>) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = cx;
        async { Ok(()) }
    }
}

/// What a handler does when one event has happened. One for each event it lists.
#[diagnostic::on_unimplemented(
    message = "`{Self}` lists `{E}` but does not say what to do on it",
    label = "`impl On<{E}> for {Self}` is missing",
    note = "write `impl On<{E}> for {Self}` (with the context as second parameter if the handler has one), or \
            remove it from the list"
)]
pub trait On<E: Event, Cx: Send = ()>: EventHandler<Cx> {
    /// Handles the event.
    ///
    /// Of an old event that was split into several, each part is handled, one after the other, with an id of its own; one that
    /// was dropped is not. If one part fails, the recorded event as a whole has failed, and all of its parts are handled again.
    ///
    /// # Errors
    ///
    /// The event was not handled. No handler of lower precedence sees it before it is.
    fn on(
        &self,
        event: &Envelope<E>,
        cx: &mut Context<Cx>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// What a handler does after the last event of a batch, before the batch is committed.
///
/// A handler that gathers in [`Context::batch`] writes here, so that a batch costs few statements however many events
/// it has. Declared by `flush` in `#[handler(..)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` declares `flush` but does not say how",
    label = "`impl Flush for {Self}` is missing",
    note = "write `impl Flush for {Self}` (with the context as parameter if the handler has one), or remove `flush`"
)]
pub trait Flush<Cx: Send = ()>: EventHandler<Cx> {
    /// Writes what was gathered.
    ///
    /// # Errors
    ///
    /// The batch was not handled.
    fn flush(&self, cx: &mut Context<Cx>) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// That a handler wants an event, and when its turn is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// The types wanted.
    pub types: &'static [EventType],
    /// When: lower first. Handlers of equal priority keep the order in which they were registered.
    pub priority: i32,
}

impl Interest {
    /// That `E` is wanted at `priority`.
    pub const fn new<E: Event>(priority: i32) -> Self {
        Self { types: E::TYPES, priority }
    }
}

/// Refuses, at compile time, a list in which two entries want the same event; used by generated code.
#[doc(hidden)]
#[track_caller]
pub const fn apart<const N: usize>(interests: [Interest; N]) -> [Interest; N] {
    let mut left = 0;
    while left < N {
        let mut right = left + 1;
        while right < N {
            assert!(
                !share_a_type(interests[left].types, interests[right].types, false),
                "an event is in a list of this process twice: by itself and in an enum, or under two names of its type"
            );
            right += 1;
        }
        left += 1;
    }
    interests
}

/// Refuses, at compile time, a list of deadlines in which two entries are parts of one old event; used by generated code. A
/// timer belongs to the recorded event, which has one.
#[doc(hidden)]
#[track_caller]
pub const fn apart_as_recorded<const N: usize>(deadlines: [Interest; N]) -> [Interest; N] {
    let mut left = 0;
    while left < N {
        let mut right = left + 1;
        while right < N {
            assert!(
                !share_a_type(deadlines[left].types, deadlines[right].types, true),
                "two deadlines of this process are set by parts of one old event, which has one timer: list one of them"
            );
            right += 1;
        }
        left += 1;
    }
    deadlines
}

/// Whether an event is of two types, or, if so asked, has parts of both.
const fn share_a_type(left: &[EventType], right: &[EventType], as_parts: bool) -> bool {
    let mut l = 0;
    while l < left.len() {
        let mut r = 0;
        while r < right.len() {
            if share_a_name(&left[l], &right[r])
                || as_parts && (share_a_source(&left[l], &right[r]) || share_a_source(&right[r], &left[l]))
            {
                return true;
            }
            r += 1;
        }
        l += 1;
    }
    false
}

/// Why a handler did not handle an event.
#[derive(Debug)]
pub enum HandleError<E> {
    /// The event cannot be read.
    Decode(DecodeError),
    /// The handler failed.
    Handler(E),
}

/// What handlers work in while a batch of events is handled: the transaction, if there is one, and whatever each
/// handler gathers until the batch ends.
pub struct Context<Cx = ()> {
    tx: Cx,
    token: Option<Token>,
    is_rebuilding: bool,
    /// By handler and type, so that handlers cannot get into each other's way.
    gathered: HashMap<(usize, TypeId), Box<dyn Any + Send>>,
    handler: usize,
}

impl<Cx: Send> Context<Cx> {
    /// A context for one batch in `tx`.
    pub fn new(tx: Cx) -> Self {
        Self::under(tx, None, false)
    }

    /// A context under a lease, or for a rebuild.
    pub(crate) fn under(tx: Cx, token: Option<Token>, is_rebuilding: bool) -> Self {
        Self { tx, token, is_rebuilding, gathered: HashMap::new(), handler: 0 }
    }

    /// The fencing token of the lease under which the events are handled, where nodes share the work. It grows whenever a
    /// partition changes hands: whoever is written to outside of the store can refuse a smaller one than it has seen.
    pub const fn token(&self) -> Option<Token> {
        self.token
    }

    /// Whether the event is only handled to [rebuild](crate::Rebuild) rows. What goes out into the world was done when it was
    /// handled for the rows that are in use, and is left out now.
    pub const fn is_rebuilding(&self) -> bool {
        self.is_rebuilding
    }

    /// The transaction that the batch and its checkpoint are committed in.
    pub fn tx(&mut self) -> &mut Cx {
        &mut self.tx
    }

    /// The transaction, to look at it.
    pub(crate) const fn tx_ref(&self) -> &Cx {
        &self.tx
    }

    /// What this handler has gathered in this batch. It begins as the default and is gone if the batch is rolled
    /// back.
    pub fn batch<T: Default + Send + 'static>(&mut self) -> &mut T {
        self.gathered
            .entry((self.handler, TypeId::of::<T>()))
            .or_insert_with(|| Box::<T>::default())
            .downcast_mut()
            .expect("the key is the type")
    }

    /// Takes out what this handler has gathered in this batch; the default if there is nothing.
    pub fn take_batch<T: Default + Send + 'static>(&mut self) -> T {
        std::mem::take(self.batch())
    }

    /// The batch is over.
    pub(crate) fn forget_gathered(&mut self) {
        self.gathered.clear();
    }

    /// Says whose turn it is.
    pub(crate) fn turn_to(&mut self, handler: usize) {
        self.handler = handler;
    }

    /// The transaction, to commit it or roll it back.
    pub(crate) fn into_tx(self) -> Cx {
        self.tx
    }
}

impl<Cx> fmt::Debug for Context<Cx> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("handler", &self.handler).finish_non_exhaustive()
    }
}
