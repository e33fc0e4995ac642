//! Decisions across streams: views folded from queries, a rule, and an append that happens only while what the rule saw is
//! all there is.

use std::fmt::{self, Display};
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::cause::Cause;
use crate::codec::Encoding;
use crate::command::CommandId;
use crate::envelope::{NewEvent, RecordedEvent};
use crate::error::{AppendError, DecodeError, ExecuteError, Invalid, StoreErrorKind};
use crate::event::{Event, EventName, EventType, Route};
use crate::metadata::{Metadata, metadata_methods};
use crate::name::InvalidName;
use crate::query::{EventQuery, QueryItem};
use crate::repository::{InStore, Log as _};
use crate::store::{Append, Appended, Condition, EventStore, Matches, ReadMatching};
use crate::stream::{Expected, Position, StreamId};
use crate::tag::Tag;

/// How often a decision is made when others record what it depends on meanwhile, unless told otherwise.
const ATTEMPTS: u32 = 3;

/// What a decision looks at: a state that is the fold of the events that a [`Select`] finds, whichever streams they are in.
/// Derived by `#[derive(View)]`; what each event does to it is said by an [`Apply`](crate::Apply).
///
/// Its default is the state before the first event.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a view",
    label = "not a view",
    note = "write `#[derive(View, Default)]` and `#[view(event = ..)]`"
)]
pub trait View: Default + Send + Sync + 'static {
    /// The events it is folded from.
    type Event: Event + Route<Self>;
}

/// A decision that depends on any set of events, and not on one stream: a dynamic consistency boundary
/// (<https://dcb.events>).
///
/// It is made on [views](View), each folded from a query of its own; it is recorded only if nothing that matches these queries
/// has come in between; and otherwise it is made again on what there is then. So whatever it found to be so is so when its events
/// are recorded, and decisions that ask about other things neither wait for it nor disturb it. Aggregates and decisions may
/// guard the same events.
///
/// ```
/// # use factum::memory::MemoryStore;
/// # use factum::{Apply, Decision, Decisions, Event, Records, Select, View};
/// # use serde::{Deserialize, Serialize};
/// #[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
/// #[event(name = "student.subscribed")]
/// struct Subscribed {
///     #[event(tag)]
///     course: u32,
///     #[event(tag)]
///     student: u32,
/// }
///
/// /// How many seats are taken; or how many courses, depending on the query.
/// #[derive(View, Default)]
/// #[view(event = Subscribed)]
/// struct Subscriptions {
///     count: u32,
/// }
///
/// impl Apply<Subscribed> for Subscriptions {
///     fn apply(&mut self, _: Subscribed) {
///         self.count += 1;
///     }
/// }
///
/// struct Subscribe {
///     course: u32,
///     student: u32,
/// }
///
/// impl Decision for Subscribe {
///     type Views = (Subscriptions, Subscriptions);
///     type Event = Subscribed;
///     type Error = &'static str;
///
///     fn views(&self) -> (Select<Subscriptions>, Select<Subscriptions>) {
///         (Select::tagged("course", &self.course), Select::tagged("student", &self.student))
///     }
///
///     fn decide(&self, (seats, courses): &Self::Views) -> Result<Records<Subscribed>, Self::Error> {
///         if seats.count >= 2 {
///             return Err("the course is full");
///         }
///         if courses.count >= 5 {
///             return Err("no more than five courses");
///         }
///         let Self { course, student } = *self;
///         Ok(Records::one("course", &course, Subscribed { course, student }))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let decisions = Decisions::new(MemoryStore::new());
/// decisions.execute(Subscribe { course: 1, student: 7 }).await?;
/// decisions.execute(Subscribe { course: 1, student: 8 }).await?;
/// let full = decisions.execute(Subscribe { course: 1, student: 9 }).await;
/// assert_eq!(full.expect_err("two are there").to_string(), "rejected: the course is full");
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a decision",
    label = "not a decision",
    note = "write `impl Decision for {Self}`"
)]
pub trait Decision: Send + Sync {
    /// What it looks at: a [`View`], or a tuple of such.
    type Views: Views;
    /// What it may record.
    type Event: Event;
    /// Why the domain says no.
    type Error;

    /// Which events its views are folded from. What comes later and matches makes it be decided again, unless a
    /// [`Select`] says otherwise.
    fn views(&self) -> <Self::Views as Views>::Selects;

    /// The rule: what is to be recorded; nothing, if there is nothing to do. Pure, since it may be made again.
    ///
    /// # Errors
    ///
    /// The domain says no. Nothing is recorded.
    fn decide(&self, views: &Self::Views) -> Result<Records<Self::Event>, Self::Error>;
}

/// A view, or a tuple of views, each with a [`Select`] of its own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a view nor a tuple of views",
    label = "not a view",
    note = "write `#[derive(View, Default)]` and `#[view(event = ..)]`; a decision looks at one view, or at up to six in a tuple"
)]
pub trait Views: Default + Send + Sync + 'static {
    /// A [`Select`], or a tuple of such.
    type Selects: Send + Sync;

    /// What all of them are folded from.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] if a tag is none.
    fn query(selects: &Self::Selects) -> Result<EventQuery, InvalidName>;

    /// What may not come in between.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] if a tag is none.
    fn guard(selects: &Self::Selects) -> Result<EventQuery, InvalidName>;

    /// Takes the event into those that it concerns.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if it cannot be read.
    fn fold(&mut self, selects: &Self::Selects, recorded: &RecordedEvent) -> Result<(), DecodeError>;
}

#[diagnostic::do_not_recommend]
impl<V: View> Views for V {
    type Selects = Select<V>;

    fn query(select: &Select<V>) -> Result<EventQuery, InvalidName> {
        select.query.clone()
    }

    fn guard(select: &Select<V>) -> Result<EventQuery, InvalidName> {
        select.guard()
    }

    fn fold(&mut self, select: &Select<V>, recorded: &RecordedEvent) -> Result<(), DecodeError> {
        let is_its_own =
            select.query.as_ref().is_ok_and(|query| query.matches(&recorded.name, &recorded.metadata.tags));
        if is_its_own {
            for event in V::Event::decode_all(recorded)? {
                event.route(self);
            }
        }
        Ok(())
    }
}

macro_rules! tuples {
    ($($($view:ident $at:tt)+;)+) => {
        $(impl<$($view: Views),+> Views for ($($view,)+) {
            type Selects = ($($view::Selects,)+);

            fn query(selects: &Self::Selects) -> Result<EventQuery, InvalidName> {
                let mut query = EventQuery::none();
                $($view::query(&selects.$at)?.items().iter().for_each(|item| query.add(item.clone()));)+
                Ok(query)
            }

            fn guard(selects: &Self::Selects) -> Result<EventQuery, InvalidName> {
                let mut query = EventQuery::none();
                $($view::guard(&selects.$at)?.items().iter().for_each(|item| query.add(item.clone()));)+
                Ok(query)
            }

            fn fold(&mut self, selects: &Self::Selects, recorded: &RecordedEvent) -> Result<(), DecodeError> {
                $(self.$at.fold(&selects.$at, recorded)?;)+
                Ok(())
            }
        })+
    };
}

tuples! {
    A 0;
    A 0 B 1;
    A 0 B 1 C 2;
    A 0 B 1 C 2 D 3;
    A 0 B 1 C 2 D 3 E 4;
    A 0 B 1 C 2 D 3 E 4 F 5;
}

/// Which events a view is folded from: those of its event type that have certain tags.
///
/// A tag that is no name is told when the decision is executed.
pub struct Select<V> {
    query: Result<EventQuery, InvalidName>,
    guard: Guard,
    view: PhantomData<fn() -> V>,
}

/// Which of the events that a view is folded from may not come in between.
#[derive(Clone, Debug)]
enum Guard {
    All,
    Of(Vec<EventName>),
}

impl<V: View> Select<V> {
    /// Those about this: with the tag `key:value`.
    ///
    /// Where an event has to have several tags, begin with the one that the fewest have, see [`QueryItem::tags`].
    pub fn tagged(key: &str, value: &(impl Display + ?Sized)) -> Self {
        Self::over(Tag::of(key, value).map(|tag| vec![tag]))
    }

    /// All of the view's event type. Without a tag they are found by reading the whole log, so that takes as long as the log is.
    pub fn all() -> Self {
        Self::over(Ok(Vec::new()))
    }

    fn over(tags: Result<Vec<Tag>, InvalidName>) -> Self {
        let query = tags.map(|tags| EventQuery::of(QueryItem { names: names_of::<V::Event>(), tags }));
        Self { query, guard: Guard::All, view: PhantomData }
    }

    /// Only those that have the tag `key:value`, too.
    pub fn and(mut self, key: &str, value: &(impl Display + ?Sized)) -> Self {
        self.query = self.query.and_then(|query| {
            let tag = Tag::of(key, value)?;
            let items = query.items().iter().cloned().map(|item| item.and(tag.clone()));
            Ok(items.fold(EventQuery::none(), EventQuery::or))
        });
        self
    }

    /// And those that `other` selects.
    pub fn or(mut self, other: Self) -> Self {
        self.query =
            self.query.and_then(|query| Ok(other.query?.items().iter().cloned().fold(query, EventQuery::or)));
        self
    }

    /// Only events of this type may not come in between. What else the view is folded from informs the decision, and may change
    /// without its being made again.
    pub fn guarded_by<E: Event>(mut self) -> Self {
        self.guard = match self.guard {
            Guard::All => Guard::Of(names_of::<E>()),
            Guard::Of(names) => Guard::Of(names.into_iter().chain(names_of::<E>()).collect()),
        };
        self
    }

    /// Any of the events may come in between: the view only informs the decision.
    pub fn unguarded(mut self) -> Self {
        self.guard = Guard::Of(Vec::new());
        self
    }

    fn guard(&self) -> Result<EventQuery, InvalidName> {
        let query = self.query.clone()?;
        let Guard::Of(names) = &self.guard else { return Ok(query) };
        let items = query.items().iter().filter_map(|item| {
            let names: Vec<_> = item.names.iter().filter(|name| names.contains(name)).cloned().collect();
            (!names.is_empty()).then(|| QueryItem { names, tags: item.tags.clone() })
        });
        Ok(items.fold(EventQuery::none(), EventQuery::or))
    }
}

impl<V> Clone for Select<V> {
    fn clone(&self) -> Self {
        Self { query: self.query.clone(), guard: self.guard.clone(), view: PhantomData }
    }
}

impl<V> fmt::Debug for Select<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select").field("query", &self.query).field("guard", &self.guard).finish()
    }
}

/// All names under which an event of this type can be found.
fn names_of<E: Event>() -> Vec<EventName> {
    E::TYPES.iter().flat_map(EventType::names).map(EventName::reserved).collect()
}

/// What a decision records: events, and the streams they belong to.
///
/// The stream is where an event is kept, and what aggregates read it by; its tags are what decisions find it by. The events
/// of one stream keep their order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the events of a decision are recorded only if `decide` returns them"]
pub struct Records<E>(Vec<(Result<StreamId, InvalidName>, E)>);

impl<E> Records<E> {
    /// Nothing happens.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// One thing happens, and is kept in the stream of this category and id.
    pub fn one(category: &str, id: &(impl Display + ?Sized), event: impl Into<E>) -> Self {
        Self::none().and(category, id, event)
    }

    /// And then this happens too.
    pub fn and(mut self, category: &str, id: &(impl Display + ?Sized), event: impl Into<E>) -> Self {
        self.0.push((StreamId::new(category, &id.to_string()), event.into()));
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
    pub fn events(&self) -> impl Iterator<Item = &E> {
        self.0.iter().map(|(_, event)| event)
    }
}

/// Makes decisions on the events of a store.
#[derive(Clone)]
pub struct Decisions {
    store: Arc<dyn EventStore>,
    page_events: usize,
    encoding: Encoding,
}

impl Decisions {
    /// On the events of `store`.
    pub fn new(store: impl EventStore) -> Self {
        Self { store: Arc::new(store), page_events: 1000, encoding: Encoding::default() }
    }

    /// How many events are read at once; at least 1, and 1,000 unless told otherwise.
    pub fn page_events(mut self, events: usize) -> Self {
        self.page_events = events.max(1);
        self
    }

    /// How the events are written; as JSON, unless told otherwise. They are read in whichever way they were written.
    pub fn codec(mut self, codec: impl Into<Encoding>) -> Self {
        self.encoding = codec.into();
        self
    }

    /// The views, and nothing else: what a decision would be made on.
    ///
    /// # Errors
    ///
    /// [`ExecuteError`], which is never a rejection.
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    pub async fn look<V: Views>(
        &self,
        selects: &V::Selects,
    ) -> Result<V, ExecuteError<std::convert::Infallible>> {
        let query = V::query(selects).map_err(Invalid::Name)?;
        Ok(self.read::<V, _>(selects, &query, &EventQuery::none()).await?.views)
    }

    /// Makes a decision, and records what it leads to.
    ///
    /// The answer is to be awaited; before that it can be told more: see [`Decide`].
    pub fn execute<D: Decision>(&self, decision: D) -> Decide<'_, D> {
        Decide {
            decisions: self,
            decision,
            command_id: None,
            metadata: Metadata::default(),
            attempts: ATTEMPTS,
        }
    }

    /// What the views are now, and what has to stay so.
    async fn read<V: Views, E>(
        &self,
        selects: &V::Selects,
        query: &EventQuery,
        guard: &EventQuery,
    ) -> Result<Seen<V>, ExecuteError<E>> {
        query.check()?;
        let mut views = V::default();
        let (mut first, mut seen, mut after) = (None, Vec::new(), Position::START);
        loop {
            let read = ReadMatching::new(query.clone()).after(after).limit(self.page_events);
            let Matches { events, settled, end } = self.store.read_matching(read).await?;
            let settled = *first.get_or_insert(settled);
            for recorded in &events {
                views.fold(selects, recorded)?;
                after = recorded.position;
                let is_guarded = guard.matches(&recorded.name, &recorded.metadata.tags);
                if after > settled.position && is_guarded {
                    seen.push(after);
                }
            }
            if end || events.is_empty() {
                return Ok(Seen {
                    views,
                    condition: Condition { query: guard.clone(), after: settled, seen },
                });
            }
        }
    }
}

/// What a decision is made on.
struct Seen<V> {
    views: V,
    condition: Condition,
}

impl fmt::Debug for Decisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decisions").finish_non_exhaustive()
    }
}

/// A decision about to be made: await it, or first say more about it.
///
/// Awaiting it reads what its views are folded from, lets it decide, and appends on the condition that nothing that matches has
/// been recorded meanwhile. If something has, it is made again. The answer says where its events are; `None` if there
/// were none, and then nothing was written.
///
/// # Errors
///
/// [`ExecuteError`]; [`Overtaken`](ExecuteError::Overtaken) if others came in between as often as was to be tried.
///
/// # Cancel safety
///
/// Dropping the future means *outcome unknown*, never *not done*. With a [`command_id`](Decide::command_id) the decision can be
/// made again and takes effect once.
#[must_use = "a decision is made when it is awaited"]
pub struct Decide<'a, D> {
    decisions: &'a Decisions,
    decision: D,
    command_id: Option<CommandId>,
    metadata: Metadata,
    attempts: u32,
}

impl<D> Decide<'_, D> {
    /// Names the command, so that executing it again has no further effect and answers as it did the first time. It costs one
    /// more look at the store.
    pub fn command_id(mut self, id: CommandId) -> Self {
        self.command_id = Some(id.of(self.decisions.store.tenant()));
        self
    }

    /// How often it is decided at most when others record what it depends on meanwhile; at least once, and 3 times unless told
    /// otherwise.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    metadata_methods!();
}

impl<D: Decision> Decide<'_, D> {
    async fn run(mut self) -> Result<Option<Appended>, ExecuteError<D::Error>> {
        Cause::complete(&mut self.metadata);
        let selects = self.decision.views();
        let query = D::Views::query(&selects).map_err(Invalid::Name)?;
        let guard = D::Views::guard(&selects).map_err(Invalid::Name)?;
        let mut attempts_left = self.attempts;
        loop {
            if let Some(appended) = self.find_executed().await? {
                return Ok(Some(appended));
            }
            let Seen { views, condition } =
                self.decisions.read::<D::Views, _>(&selects, &query, &guard).await?;
            let decided = match self.decision.decide(&views) {
                Ok(records) => self.append(records)?.ok_or(Ok(None)),
                Err(error) => Err(Err(ExecuteError::Rejected(error))),
            };
            let append = match decided {
                Ok(append) => append,
                // The views may have what the command itself has recorded, since it was looked for.
                Err(answer) => {
                    return self.find_executed().await?.map_or(answer, |appended| Ok(Some(appended)));
                }
            };
            let append = if guard.items().is_empty() { append } else { append.only_if(condition) };
            attempts_left -= 1;
            match InStore::new(&self.decisions.store).append(append).await {
                Ok(appended) => return Ok(Some(appended)),
                Err(error) if attempts_left > 0 && self.may_be_made_again(&error) => {
                    tracing::debug!(%error, "a decision is made again");
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether the decision may come out differently now.
    fn may_be_made_again(&self, error: &AppendError) -> bool {
        match error {
            AppendError::Overtaken(_) => true,
            // It was executed meanwhile, and decided otherwise.
            AppendError::IdReused(_) => self.command_id.is_some(),
            // It was made on the log of a server that has been replaced.
            AppendError::Store(error) => matches!(error.kind(), StoreErrorKind::ForeignCheckpoint { .. }),
            _ => false,
        }
    }

    /// What executing this very command has answered before.
    async fn find_executed(&self) -> Result<Option<Appended>, ExecuteError<D::Error>> {
        let Some(command_id) = self.command_id else { return Ok(None) };
        let mut answer: Option<Appended> = None;
        let mut streams: Vec<StreamId> = Vec::new();
        for index in 0.. {
            let found = self.decisions.store.find_event(command_id.decided_event_id(index)).await?;
            let Some(event) = found else { break };
            let answer =
                answer.get_or_insert_with(|| Appended { versions: Vec::new(), ..Appended::from(&event) });
            answer.position = answer.position.max(event.position);
            let at = streams.iter().position(|stream| *stream == event.stream).unwrap_or_else(|| {
                streams.push(event.stream);
                answer.versions.push(event.version);
                streams.len() - 1
            });
            answer.versions[at] = event.version;
        }
        Ok(answer)
    }

    /// The append of what the decision records; `None` if that is nothing.
    fn append(&self, records: Records<D::Event>) -> Result<Option<Append>, Invalid> {
        let mut parts: Vec<(StreamId, Vec<NewEvent>)> = Vec::new();
        for (index, (stream, event)) in records.0.into_iter().enumerate() {
            let stream = stream?;
            let mut new = NewEvent::encode(&event, self.decisions.encoding, self.metadata.clone())?;
            if let Some(command_id) = self.command_id {
                new.id = command_id.decided_event_id(index);
            }
            match parts.iter_mut().find(|(known, _)| *known == stream) {
                Some((_, events)) => events.push(new),
                None => parts.push((stream, vec![new])),
            }
        }
        let mut parts = parts.into_iter();
        let Some((stream, events)) = parts.next() else { return Ok(None) };
        let first = Append::to(stream, Expected::Any, events);
        Ok(Some(parts.fold(first, |append, (stream, events)| append.and(stream, Expected::Any, events))))
    }
}

impl<'a, D> IntoFuture for Decide<'a, D>
where
    D: Decision + 'a,
    D::Error: Send,
{
    type Output = Result<Option<Appended>, ExecuteError<D::Error>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<D> fmt::Debug for Decide<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decide")
            .field("command_id", &self.command_id)
            .field("metadata", &self.metadata)
            .finish_non_exhaustive()
    }
}
