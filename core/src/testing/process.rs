//! Given a process, when an event comes or time passes, then it records this.

use std::fmt::{self, Debug};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::handler::{record, record_stored};
use crate::aggregate::{Aggregate, Events, Handle};
use crate::cause::Cause;
use crate::envelope::{Envelope, RecordedEvent};
use crate::error::DecodeError;
use crate::event::{Event, EventType, Route};
use crate::handler::Interest;
use crate::metadata::Metadata;
use crate::process::{Issue, ProcessManager};
use crate::stream::{Position, StreamId, Version};

/// A process, the events that come to it, and a clock that stands still until the test moves it.
///
/// ```
/// # use std::time::Duration;
/// # use chrono::{DateTime, TimeDelta, Utc};
/// # use factum::{Aggregate, Apply, Deadline, Envelope, Event, Events, Handle, Issue, ProcessManager, React};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize)]
/// # #[event(name = "order.placed")]
/// # struct OrderPlaced { cents: u64 }
/// # #[derive(Event, Serialize, Deserialize, Debug, PartialEq)]
/// # #[event(name = "invoice.sent")]
/// # struct InvoiceSent;
/// # #[derive(Aggregate, Default)]
/// # #[aggregate(category = "invoice", id = String, event = InvoiceSent)]
/// # struct Invoice;
/// # impl Apply<InvoiceSent> for Invoice { fn apply(&mut self, _: InvoiceSent) {} }
/// # #[derive(Debug, PartialEq)]
/// # struct Send { cents: u64 }
/// # #[derive(Debug, PartialEq)]
/// # struct NothingToPay;
/// # impl Handle<Send> for Invoice {
/// #     type Error = NothingToPay;
/// #     fn handle(&self, _: &Send) -> Result<Events<InvoiceSent>, NothingToPay> { Ok(Events::one(InvoiceSent)) }
/// # }
/// # #[derive(Event, Serialize, Deserialize, Debug, PartialEq)]
/// # #[event(name = "collection.begun")]
/// # struct Begun { cents: u64 }
/// # #[derive(Event, Serialize, Deserialize, Debug, PartialEq)]
/// # #[event(name = "collection.ended")]
/// # struct Ended { is_paid: bool }
/// # #[derive(Event, Debug, PartialEq)]
/// # enum CollectionEvent { Begun(Begun), Ended(Ended) }
/// # #[derive(Aggregate, ProcessManager, Default)]
/// # #[aggregate(category = "collection", id = String, event = CollectionEvent)]
/// # #[process(name = "collection", on(OrderPlaced), issues(Begun), deadline(Begun))]
/// # struct Collection { has_ended: bool }
/// # impl Apply<Begun> for Collection { fn apply(&mut self, _: Begun) {} }
/// # impl Apply<Ended> for Collection { fn apply(&mut self, _: Ended) { self.has_ended = true; } }
/// # impl React<OrderPlaced> for Collection {
/// #     fn process(event: &Envelope<OrderPlaced>) -> Option<String> { Some(event.stream.id().to_owned()) }
/// #     fn react(&self, event: &Envelope<OrderPlaced>) -> Events<CollectionEvent> {
/// #         Events::one(Begun { cents: event.event.cents })
/// #     }
/// # }
/// # impl Issue<Begun> for Collection {
/// #     type Target = Invoice;
/// #     type Command = Send;
/// #     fn issue(event: &Envelope<Begun>) -> (String, Send) {
/// #         (event.stream.id().to_owned(), Send { cents: event.event.cents })
/// #     }
/// #     fn rejected(&self, _: &Envelope<Begun>, _: &NothingToPay) -> Events<CollectionEvent> {
/// #         Events::one(Ended { is_paid: true })
/// #     }
/// # }
/// # impl Deadline<Begun> for Collection {
/// #     fn due(event: &Envelope<Begun>) -> Option<DateTime<Utc>> {
/// #         Some(event.recorded_at + TimeDelta::days(14))
/// #     }
/// #     fn elapsed(&self, _: &Envelope<Begun>) -> Events<CollectionEvent> {
/// #         if self.has_ended { Events::none() } else { Events::one(Ended { is_paid: false }) }
/// #     }
/// # }
/// use factum::testing::ProcessScenario;
///
/// let days = |days: u64| Duration::from_hours(24 * days);
///
/// // An order is placed, so an invoice is sent, and after fourteen days nobody waits for the money any longer.
/// let collection = ProcessScenario::<Collection>::new()
///     .when("order/42".parse()?, OrderPlaced { cents: 1999 })
///     .of(&"42".to_owned())
///     .then(Begun { cents: 1999 });
/// assert_eq!(collection.issued::<Begun>(), ("42".to_owned(), Send { cents: 1999 }));
/// collection.after(days(13)).then_nothing().after(days(1)).then(Ended { is_paid: false });
///
/// // Nothing has to be paid.
/// ProcessScenario::<Collection>::new()
///     .given(Begun { cents: 0 })
///     .when_rejected::<Begun>(&NothingToPay)
///     .then(Ended { is_paid: true })
///     .after(days(14))
///     .then_nothing();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ProcessScenario<P> {
    process: P,
    /// Which one it is, as far as anybody has said.
    id: Option<String>,
    now: DateTime<Utc>,
    /// How many events there are, of the process and of others.
    position: Position,
    /// What it has recorded, from the beginning.
    recorded: Vec<RecordedEvent>,
    /// How much of that was checked.
    checked: usize,
    /// The deadlines that are set, in that order, each by which event.
    deadlines: Vec<(DateTime<Utc>, RecordedEvent)>,
    /// What the last event that came concerns.
    came_to: CameTo,
}

enum CameTo {
    /// No event has come yet.
    Nothing,
    AProcess,
    NoProcess,
}

impl<P: ProcessManager> ProcessScenario<P> {
    /// A process to which nothing has happened yet. The clock stands at the beginning of 1970, UTC.
    #[must_use = "a scenario checks something only when it ends in `then`"]
    pub fn new() -> Self {
        Self {
            process: P::default(),
            id: None,
            now: DateTime::UNIX_EPOCH,
            position: Position::START,
            recorded: Vec::new(),
            checked: 0,
            deadlines: Vec::new(),
            came_to: CameTo::Nothing,
        }
    }

    /// The clock stands at `time`.
    ///
    /// # Panics
    ///
    /// If something has happened already: then the clock can only be moved on.
    #[must_use = "a scenario checks something only when it ends in `then`"]
    #[track_caller]
    pub fn at(mut self, time: DateTime<Utc>) -> Self {
        assert!(self.position == Position::START, "the clock is set before anything happens");
        self.now = time;
        self
    }

    /// It is the process with this id: the one that the event concerned which has come last, and that all later ones will.
    ///
    /// # Panics
    ///
    /// If it is another one, or if the last event concerned none.
    #[must_use = "a scenario checks something only when it ends in `then`"]
    #[track_caller]
    pub fn of(mut self, id: &P::Id) -> Self {
        assert!(!matches!(self.came_to, CameTo::NoProcess), "the event concerns no process");
        self.is(&id.to_string());
        self
    }

    /// The process has recorded this, now.
    ///
    /// # Panics
    ///
    /// If the event does not survive being stored, or if what was recorded before it was not checked.
    #[must_use = "a scenario checks something only when it ends in `then`"]
    #[track_caller]
    pub fn given(mut self, event: impl Into<P::Event>) -> Self {
        assert!(
            self.checked == self.recorded.len(),
            "what the process has recorded is checked before more is given"
        );
        self.record(&event.into(), Metadata::default());
        self.checked = self.recorded.len();
        self
    }

    /// An event of another aggregate comes, now.
    ///
    /// # Panics
    ///
    /// If the process does not list the event, if it does not survive being stored, or if it concerns another process than
    /// those before.
    #[must_use = "a scenario checks something only when it ends in `then`"]
    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "an event is written where it is given")]
    pub fn when<E: Event>(mut self, stream: StreamId, event: E) -> Self {
        self.position.0 += 1;
        let recorded = record(&event, stream, self.position, self.now, Metadata::default());
        self.react(&recorded)
    }

    /// An event of another aggregate comes, now, that was stored under this name in this version of its shape: as a program of
    /// long ago has written it.
    ///
    /// # Panics
    ///
    /// As [`when`](ProcessScenario::when), or if the event cannot be read today.
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
        let recorded = record_stored(name, schema_version, &payload, stream, self.position, self.now);
        self.react(&recorded)
    }

    #[track_caller]
    fn react(mut self, recorded: &RecordedEvent) -> Self {
        let name = recorded.name.as_str();
        let numbers: Vec<_> = numbers(P::REACTIONS, name).collect();
        assert!(!numbers.is_empty(), "process `{}` does not list event {name}: `on(..)`", P::NAME);
        self.came_to = CameTo::NoProcess;
        for number in numbers {
            for reaction in P::react_to(number, recorded).unwrap_or_else(|error| unreadable(&error)) {
                self.came_to = CameTo::AProcess;
                self.is(&reaction.process.to_string());
                let events = reaction.choice.on(&self.process);
                self.record_all(events, recorded);
            }
        }
        self
    }

    /// The command that the process has issued by its last `E` is rejected.
    ///
    /// # Panics
    ///
    /// If it has recorded no `E`, or does not list it as one that issues a command.
    #[must_use = "a scenario checks something only when it ends in `then`"]
    #[track_caller]
    pub fn when_rejected<E: Event>(
        mut self,
        error: &<<P as Issue<E>>::Target as Handle<<P as Issue<E>>::Command>>::Error,
    ) -> Self
    where
        P: Issue<E>,
    {
        let (recorded, event) = self.last::<E>();
        let events = self.process.rejected(&event, error);
        self.record_all(events, &recorded);
        self
    }

    /// The command that the process has issued by its last `E`, and to whom.
    ///
    /// # Panics
    ///
    /// If it has recorded no `E`, or does not list it as one that issues a command.
    #[must_use = "what was issued is to be checked"]
    #[track_caller]
    pub fn issued<E: Event>(&self) -> (<<P as Issue<E>>::Target as Aggregate>::Id, <P as Issue<E>>::Command)
    where
        P: Issue<E>,
    {
        P::issue(&self.last::<E>().1)
    }

    /// Time passes. Every deadline that is due by then goes off, in the order of their times, also those that are set
    /// meanwhile.
    ///
    /// # Panics
    ///
    /// If an event does not survive being stored, or if the clock does not go as far.
    #[must_use = "a scenario checks something only when it ends in `then`"]
    #[track_caller]
    pub fn after(mut self, time: Duration) -> Self {
        let passed = TimeDelta::from_std(time).ok();
        let until = passed.and_then(|passed| self.now.checked_add_signed(passed));
        let until = until.expect("the clock goes as far");
        while let Some(event) = self.next_due(until) {
            let deadline = number(P::DEADLINES, event.name.as_str()).expect("it was found when it was set");
            let (_, elapsed) = P::wait_for(deadline, &event).unwrap_or_else(|error| unreadable(&error));
            let events = elapsed.on(&self.process);
            self.record_all(events, &event);
        }
        self.now = until;
        self
    }

    /// Takes out the deadline that is due first, and moves the clock to its time.
    fn next_due(&mut self, until: DateTime<Utc>) -> Option<RecordedEvent> {
        // Of several, `min_by_key` takes the one that was set first.
        let due = self.deadlines.iter().enumerate().filter(|(_, (due_at, _))| *due_at <= until);
        let (index, _) = due.min_by_key(|(_, (due_at, _))| *due_at)?;
        let (due_at, event) = self.deadlines.remove(index);
        self.now = self.now.max(due_at);
        Some(event)
    }

    /// The process is the one with this id.
    #[track_caller]
    fn is(&mut self, id: &str) {
        if let Some(known) = &self.id {
            assert_eq!(known, id, "it is another process");
            return;
        }
        self.id = Some(id.to_owned());
        let stream = self.stream();
        let set = self.deadlines.iter_mut().map(|(_, event)| event);
        for event in self.recorded.iter_mut().chain(set) {
            event.stream = stream.clone();
        }
    }

    fn stream(&self) -> StreamId {
        let id = self.id.as_deref().unwrap_or("of the scenario");
        StreamId::new(P::CATEGORY, id).expect("the id is one that a stream can have")
    }

    #[track_caller]
    fn record_all(&mut self, events: Events<P::Event>, cause: &RecordedEvent) {
        let Cause { correlation_id, causation_id } = Cause::from(cause);
        for event in events {
            let metadata = Metadata {
                correlation_id: Some(correlation_id),
                causation_id: Some(causation_id),
                ..Metadata::default()
            };
            self.record(&event, metadata);
        }
    }

    /// Takes an event into the state, as it comes back from a store, and sets its deadline.
    #[track_caller]
    fn record(&mut self, event: &P::Event, metadata: Metadata) {
        self.position.0 += 1;
        let mut recorded = record(event, self.stream(), self.position, self.now, metadata);
        recorded.version = Version(self.recorded.len() as u64 + 1);
        read::<P>(&recorded).route(&mut self.process);
        if let Some(deadline) = number(P::DEADLINES, recorded.name.as_str()) {
            let (due_at, _) = P::wait_for(deadline, &recorded).unwrap_or_else(|error| unreadable(&error));
            self.deadlines.extend(due_at.map(|due_at| (due_at, recorded.clone())));
        }
        self.recorded.push(recorded);
    }

    /// The last `E` that it has recorded, which issues a command.
    #[track_caller]
    fn last<E: Event>(&self) -> (RecordedEvent, Envelope<E>)
    where
        P: Issue<E>,
    {
        let is_wanted =
            |recorded: &&RecordedEvent| E::TYPES.iter().any(|wanted| wanted.is_named(recorded.name.as_str()));
        let Some(recorded) = self.recorded.iter().rev().find(is_wanted) else {
            let names: Vec<_> = E::TYPES.iter().map(EventType::name).collect();
            panic!("the process has recorded no {}", names.join(" or "));
        };
        let event = Envelope::decode(recorded).unwrap_or_else(|error| unreadable(&error));
        listed::<P>(P::ISSUES, "issues", &event.event);
        (recorded.clone(), event)
    }

    /// What it has recorded and nobody has checked.
    fn unchecked(&mut self) -> Vec<P::Event> {
        let unchecked = self.recorded[self.checked..].iter().map(read::<P>).collect();
        self.checked = self.recorded.len();
        unchecked
    }

    /// Then the state is like this.
    ///
    /// # Panics
    ///
    /// If `check` does.
    #[track_caller]
    pub fn then_state(self, check: impl FnOnce(&P)) -> Self {
        check(&self.process);
        self
    }
}

impl<P> ProcessScenario<P>
where
    P: ProcessManager,
    P::Event: Debug + PartialEq,
{
    /// Then it has recorded just this since it was checked last.
    ///
    /// # Panics
    ///
    /// If it has recorded something else.
    #[track_caller]
    pub fn then(self, event: impl Into<P::Event>) -> Self {
        self.then_all(Events::one(event))
    }

    /// Then it has recorded just these since it was checked last, in this order.
    ///
    /// # Panics
    ///
    /// If it has recorded something else.
    #[track_caller]
    pub fn then_all(mut self, events: impl Into<Events<P::Event>>) -> Self {
        let (actual, expected) = (Events::from(self.unchecked()), events.into());
        assert_eq!(actual, expected, "the process has recorded other events");
        self
    }

    /// Then it has recorded nothing since it was checked last.
    ///
    /// # Panics
    ///
    /// If it has recorded something.
    #[track_caller]
    pub fn then_nothing(self) -> Self {
        self.then_all(Events::none())
    }
}

impl<P: ProcessManager> Default for ProcessScenario<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: ProcessManager> Debug for ProcessScenario<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessScenario")
            .field("process", &P::NAME)
            .field("id", &self.id)
            .field("now", &self.now)
            .field("recorded", &self.recorded.iter().map(|event| event.name.as_str()).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// The numbers of the entries that have events of this name, or parts of them.
fn numbers(list: &[Interest], name: &str) -> impl Iterator<Item = usize> {
    let has = move |interest: &Interest| interest.types.iter().any(|listed| listed.is_found_as(name));
    list.iter().enumerate().filter(move |(_, interest)| has(interest)).map(|(number, _)| number)
}

fn number(list: &[Interest], name: &str) -> Option<usize> {
    numbers(list, name).next()
}

#[track_caller]
fn listed<P: ProcessManager>(list: &[Interest], key: &str, event: &impl Event) -> usize {
    let name = event.event_type().name();
    number(list, name)
        .unwrap_or_else(|| panic!("process `{}` does not list event {name}: `{key}(..)`", P::NAME))
}

#[track_caller]
fn read<P: ProcessManager>(recorded: &RecordedEvent) -> P::Event {
    P::Event::decode(recorded).unwrap_or_else(|error| unreadable(&error))
}

#[track_caller]
fn unreadable(error: &DecodeError) -> ! {
    panic!("the event does not survive being stored: {error}")
}
