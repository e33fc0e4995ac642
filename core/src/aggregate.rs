//! Aggregates: state that is the fold of its events, and the decisions that lead to new ones.

use std::fmt::{self, Display};
use std::ops::Deref;
use std::time::Instant;

use crate::envelope::RecordedEvent;
use crate::error::DecodeError;
use crate::event::{Event, Route};
use crate::metadata::EventId;
use crate::snapshot::{Footing, Snapshot, SnapshotPolicy};
use crate::stream::{Position, Version};

/// A thing of the domain whose state is the fold of its events. Derived by `#[derive(Aggregate)]`.
///
/// Its default is the state before the first event.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an aggregate",
    label = "not an aggregate",
    note = "write `#[derive(Aggregate, Default)]` and `#[aggregate(category = \"..\", id = .., event = ..)]`"
)]
pub trait Aggregate: Default + Send + Sync + 'static {
    /// What kind of thing it is: the first part of the name of its streams. Never changes.
    const CATEGORY: &'static str;
    /// Which one of its kind: the second part, as text.
    type Id: Display + Send + Sync;
    /// Everything that can happen to it.
    type Event: Event + Route<Self>;
    /// When snapshots of it are taken, if ever: what `snapshot(..)` in its attribute says.
    const SNAPSHOT: Option<&'static SnapshotPolicy<Self>> = None;
}

/// What an event does to an aggregate. One for each event; which is called is derived.
///
/// Applying is pure and cannot fail: the event is a fact. It takes the event by value, so a replay moves and never
/// clones.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what the event `{E}` does to it",
    label = "`impl Apply<{E}> for {Self}` is missing",
    note = "every event of an aggregate or a view is applied: write `impl Apply<{E}> for {Self}`"
)]
pub trait Apply<E> {
    /// Takes the event into the state.
    fn apply(&mut self, event: E);
}

/// A decision: what a command leads to, given the state. One for each command.
///
/// Deciding is pure, that is, without clock, I/O or chance: what a decision needs arrives in the command. This is
/// what allows a decision to be made again after a conflict, and tested without a runtime.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle the command `{C}`",
    label = "not a command of `{Self}`",
    note = "write `impl Handle<{C}> for {Self}`"
)]
pub trait Handle<C>: Aggregate {
    /// Why the domain says no.
    type Error;

    /// The events that `command` leads to; none, if there is nothing to do.
    ///
    /// # Errors
    ///
    /// The domain says no. Nothing is recorded.
    fn handle(&self, command: &C) -> Result<Events<Self::Event>, Self::Error>;
}

/// The events a decision leads to, in order.
///
/// ```
/// use factum::{Events, events};
/// # #[derive(Debug, PartialEq)] struct Placed; #[derive(Debug, PartialEq)] struct Paid;
/// # #[derive(Debug, PartialEq)] enum OrderEvent { Placed(Placed), Paid(Paid) }
/// # impl From<Placed> for OrderEvent { fn from(e: Placed) -> Self { Self::Placed(e) } }
/// # impl From<Paid> for OrderEvent { fn from(e: Paid) -> Self { Self::Paid(e) } }
/// let both: Events<OrderEvent> = events![Placed, Paid];
/// assert_eq!(both, Events::one(Placed).and(Paid));
/// assert!(Events::<OrderEvent>::none().is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the events of a decision are recorded only if `handle` returns them"]
pub struct Events<E>(Vec<E>);

impl<E> Events<E> {
    /// Nothing happens.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// One thing happens.
    pub fn one(event: impl Into<E>) -> Self {
        Self(vec![event.into()])
    }

    /// And then this happens too.
    pub fn and(mut self, event: impl Into<E>) -> Self {
        self.0.push(event.into());
        self
    }

    /// Whether nothing happens.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many things happen.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The events, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, E> {
        self.0.iter()
    }
}

impl<E> From<Vec<E>> for Events<E> {
    fn from(events: Vec<E>) -> Self {
        Self(events)
    }
}

impl<E, T: Into<E>> FromIterator<T> for Events<E> {
    fn from_iter<I: IntoIterator<Item = T>>(events: I) -> Self {
        Self(events.into_iter().map(Into::into).collect())
    }
}

impl<E> IntoIterator for Events<E> {
    type Item = E;
    type IntoIter = std::vec::IntoIter<E>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, E> IntoIterator for &'a Events<E> {
    type Item = &'a E;
    type IntoIter = std::slice::Iter<'a, E>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// [`Events`] from a list of event structs: `events![placed, paid]`.
#[macro_export]
macro_rules! events {
    ($($event:expr),* $(,)?) => { $crate::Events::none()$(.and($event))* };
}

/// An aggregate as it was after one of its events.
///
/// It dereferences to the aggregate's state.
#[derive(Clone)]
pub struct Loaded<A> {
    state: A,
    version: Version,
    position: Position,
    origin: Origin,
}

/// How the state was come by, of which the state itself says nothing.
#[derive(Clone, Copy, Default)]
pub(crate) struct Origin {
    /// The id of the event at the version.
    pub(crate) event_id: Option<EventId>,
    /// The version of the event that says that the stream was truncated, if it begins with one.
    pub(crate) begins: Version,
    /// The version of the last snapshot that is known.
    pub(crate) snapshot: Version,
    /// How many bytes were taken in.
    pub(crate) bytes: usize,
    /// When the log was last asked, before it answered.
    pub(crate) asked_at: Option<Instant>,
}

impl<A: Aggregate> Loaded<A> {
    /// An aggregate to which nothing has happened yet.
    pub fn new() -> Self {
        let origin = Origin::default();
        Self { state: A::default(), version: Version::NONE, position: Position::START, origin }
    }

    /// An aggregate as a snapshot has it.
    pub(crate) fn of_snapshot(state: A, snapshot: &Snapshot) -> Self {
        let Footing { version, position, event_id, begins } = snapshot.footing;
        let (bytes, event_id) = (snapshot.state.len(), Some(event_id));
        let origin = Origin { event_id, begins, snapshot: version, bytes, asked_at: None };
        Self { state, version, position, origin }
    }

    /// Takes in what was recorded: one event, or the parts of an old one, if any.
    pub(crate) fn take(&mut self, recorded: &RecordedEvent) -> Result<(), DecodeError> {
        for event in A::Event::decode_all(recorded)? {
            event.route(&mut self.state);
        }
        self.pass(recorded.version, recorded.position);
        Ok(())
    }

    /// Takes in the event at `version` and `position`.
    pub(crate) fn apply(&mut self, event: A::Event, version: Version, position: Position) {
        event.route(&mut self.state);
        self.version = version;
        self.position = position;
    }
}

impl<A> Loaded<A> {
    /// What the state stands on; `None` if nothing has happened.
    pub(crate) fn footing(&self) -> Option<Footing> {
        let (version, position, begins) = (self.version, self.position, self.origin.begins);
        self.origin.event_id.map(|event_id| Footing { version, position, event_id, begins })
    }

    /// How many events there are since the last snapshot that is known.
    pub(crate) fn since_snapshot(&self) -> u64 {
        self.version.0.saturating_sub(self.origin.snapshot.0)
    }

    #[cfg(feature = "cache")]
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(crate) fn origin_mut(&mut self) -> &mut Origin {
        &mut self.origin
    }

    /// Goes past an event at `version` and `position` that says nothing to the aggregate.
    pub(crate) fn pass(&mut self, version: Version, position: Position) {
        self.version = version;
        self.position = position;
    }
}

impl<A: Aggregate> Default for Loaded<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A> Loaded<A> {
    /// The version of the last event in the state; 0 if there is none.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The position of the last event in the state. A subscription that has passed it has seen all of this state.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The state.
    pub fn state(&self) -> &A {
        &self.state
    }

    /// The state, without its version.
    pub fn into_state(self) -> A {
        self.state
    }
}

/// What was loaded in two ways is the same if it is the same state after the same event.
impl<A: PartialEq> PartialEq for Loaded<A> {
    fn eq(&self, other: &Self) -> bool {
        (self.version, self.position) == (other.version, other.position) && self.state == other.state
    }
}

impl<A: Eq> Eq for Loaded<A> {}

impl<A: fmt::Debug> fmt::Debug for Loaded<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, version, position, .. } = self;
        f.debug_struct("Loaded")
            .field("state", state)
            .field("version", version)
            .field("position", position)
            .finish()
    }
}

impl<A> Deref for Loaded<A> {
    type Target = A;

    fn deref(&self) -> &A {
        &self.state
    }
}
