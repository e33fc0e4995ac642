//! Process managers: workflows over several aggregates that go on for as long as they take.

mod runner;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;

use chrono::{DateTime, Utc};

pub use self::runner::Process;
use crate::aggregate::{Aggregate, Events, Handle};
use crate::checkpoint::Transactional;
use crate::codec::Encoding;
use crate::command::CommandId;
use crate::envelope::{Envelope, RecordedEvent};
use crate::error::{
    Conflict, DecodeError, DecodeFault, ExecuteError, IdReused, Invalid, Overtaken, StoreError, StreamClosed,
};
use crate::event::{Event, EventName};
use crate::handler::Interest;
use crate::metadata::EventId;
use crate::repository::Repository;
use crate::store::{EventStore, ReadStream};
use crate::upcast::fault_of;

/// A process: an aggregate of its own, to which the events of others happen, and which acts by commands and deadlines.
/// Derived by `#[derive(ProcessManager)]`.
///
/// What a process decides, it records: its state is the fold of its own events, as that of any aggregate, and everything it
/// does follows from one of them.
///
/// - It [reacts](React) to an event of another aggregate by recording events of its own.
/// - Its own event can [issue](Issue) a command to any aggregate. If that says no, the process records what follows.
/// - Its own event can set a [deadline](Deadline). When the time has come, the process records what follows.
///
/// All of these are pure. A [`Process`] does the rest, each step in one transaction of the store with the checkpoint that
/// says that it was done: a reaction, a command and a deadline have their effect exactly once, whatever crashes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a process manager",
    label = "not a process manager",
    note = "write `#[derive(Aggregate, ProcessManager, Default)]` and `#[process(name = \"..\", on(..))]`"
)]
pub trait ProcessManager: Aggregate {
    /// The key of its checkpoints and timers. Never changes.
    const NAME: &'static str;
    /// The events of others to which it reacts.
    const REACTIONS: &'static [Interest];
    /// Its own events that issue commands.
    const ISSUES: &'static [Interest] = &[];
    /// Its own events that set deadlines.
    const DEADLINES: &'static [Interest] = &[];

    /// Which processes an event concerns that it wants for its reaction number `reaction`, and what those decide: at most one,
    /// but for the parts of an old event that was split.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the event cannot be read.
    fn react_to(reaction: usize, event: &RecordedEvent) -> Result<Vec<Reaction<Self>>, DecodeError>;

    /// Executes the command that an event issues for issue number `issue`, as part of `tx`, and records what follows if
    /// it is rejected.
    fn issue_for<S: EventStore + Transactional + Clone>(
        issue: usize,
        event: &RecordedEvent,
        store: &S,
        encoding: Encoding,
        tx: &mut S::Tx,
    ) -> impl Future<Output = Result<(), ProcessError>> + Send {
        let _ = (issue, event, store, encoding, tx);
        async { unreachable!("it has no issues") }
    }

    /// When the time comes that an event sets for deadline number `deadline`, if ever, and what the process decides then.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the event cannot be read.
    fn wait_for(
        deadline: usize,
        event: &RecordedEvent,
    ) -> Result<(Option<DateTime<Utc>>, Choice<Self>), DecodeError> {
        let _ = (deadline, event);
        unreachable!("it has no deadlines")
    }
}

/// That an event concerns a process, and what that decides.
#[derive(Debug)]
pub struct Reaction<P: Aggregate> {
    /// The id of the event, or of the part of it.
    pub event_id: EventId,
    /// Which process.
    pub process: P::Id,
    /// What it decides.
    pub choice: Choice<P>,
}

/// What a process decides on an event, given its state. Pure, so that it can be decided again after a conflict.
pub struct Choice<P: Aggregate>(Decide<P>);

type Decide<P> = Box<dyn Fn(&P) -> Events<<P as Aggregate>::Event> + Send + Sync>;

impl<P: Aggregate> Choice<P> {
    pub(crate) fn new(decide: impl Fn(&P) -> Events<P::Event> + Send + Sync + 'static) -> Self {
        Self(Box::new(decide))
    }

    /// What a process in this state records.
    pub fn on(&self, process: &P) -> Events<P::Event> {
        (self.0)(process)
    }
}

impl<P: Aggregate> fmt::Debug for Choice<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Choice").field("category", &P::CATEGORY).finish_non_exhaustive()
    }
}

/// How a process reacts to an event of another aggregate. One for each event it lists. Of an old event that was split into
/// several, each part has a reaction of its own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` lists `{E}` but does not say how it reacts",
    label = "`impl React<{E}> for {Self}` is missing",
    note = "write `impl React<{E}> for {Self}`, or remove it from the list"
)]
pub trait React<E: Event>: Aggregate {
    /// Which process the event concerns; `None` if it concerns none.
    fn process(event: &Envelope<E>) -> Option<Self::Id>;

    /// What the process records. Pure, as a [decision](Handle) is.
    fn react(&self, event: &Envelope<E>) -> Events<Self::Event>;
}

/// The command that an event of a process issues. One for each event it lists.
#[diagnostic::on_unimplemented(
    message = "`{Self}` lists `{E}` but does not say which command it issues",
    label = "`impl Issue<{E}> for {Self}` is missing",
    note = "write `impl Issue<{E}> for {Self}`, or remove it from the list"
)]
pub trait Issue<E: Event>: Aggregate {
    /// The aggregate that is given the command.
    type Target: Handle<Self::Command, Error: Send + Sync>;
    /// The command.
    type Command: Send + Sync + 'static;

    /// To which one, and what.
    fn issue(event: &Envelope<E>) -> (<Self::Target as Aggregate>::Id, Self::Command);

    /// What the process records if the domain says no: how it makes good what it has done before.
    ///
    /// Where it records something, the command is done with. A rejection of which it records nothing leaves no trace: where a
    /// checkpoint is set back, the command is given once more.
    fn rejected(
        &self,
        event: &Envelope<E>,
        error: &<Self::Target as Handle<Self::Command>>::Error,
    ) -> Events<Self::Event>;
}

/// The deadline that an event of a process sets. One for each event it lists.
#[diagnostic::on_unimplemented(
    message = "`{Self}` lists `{E}` but does not say which deadline it sets",
    label = "`impl Deadline<{E}> for {Self}` is missing",
    note = "write `impl Deadline<{E}> for {Self}`, or remove it from the list"
)]
pub trait Deadline<E: Event>: Aggregate {
    /// When, in whole microseconds; `None` for no deadline. The time of the event is [`recorded_at`](Envelope::recorded_at), by
    /// the store's clock, which also says when the time has come. A process that runs sees that up to a second later.
    ///
    /// Of the parts of an old event that was split, at most one may set a deadline: where more do, the event cannot be read.
    fn due(event: &Envelope<E>) -> Option<DateTime<Utc>>;

    /// What the process records when the time has come; nothing, if what it waited for has happened.
    fn elapsed(&self, event: &Envelope<E>) -> Events<Self::Event>;
}

/// Why a step of a process could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// An event cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Others were faster, again and again.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// Others recorded what a decision depends on, again and again.
    #[error(transparent)]
    Overtaken(#[from] Overtaken),
    /// What was to be recorded is not what a store accepts.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// An id was used before, for something else.
    #[error(transparent)]
    IdReused(#[from] IdReused),
    /// An event has set a deadline that this program does not know: a newer one may, or it was taken from the list too
    /// early.
    #[error("{0} has set a deadline and is not on the list of those that do")]
    UnknownDeadline(EventName),
    /// A stream was deleted or archived.
    #[error(transparent)]
    Closed(#[from] StreamClosed),
    /// The store is ill.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ProcessError {
    /// What kept a command from being decided, or what the domain said.
    fn or_rejection<E>(error: ExecuteError<E>) -> Result<E, Self> {
        Err(match error {
            ExecuteError::Rejected(error) => return Ok(error),
            ExecuteError::Conflict(error) => error.into(),
            ExecuteError::Overtaken(error) => error.into(),
            ExecuteError::Decode(error) => error.into(),
            ExecuteError::Invalid(error) => error.into(),
            ExecuteError::IdReused(error) => error.into(),
            ExecuteError::Closed(error) => error.into(),
            ExecuteError::Store(error) => error.into(),
        })
    }
}

/// From what never says no.
impl From<ExecuteError<Infallible>> for ProcessError {
    fn from(error: ExecuteError<Infallible>) -> Self {
        match Self::or_rejection(error) {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }
}

/// Reads an event that a process reacts to.
pub(crate) fn react<P, E>(recorded: &RecordedEvent) -> Result<Vec<Reaction<P>>, DecodeError>
where
    P: React<E>,
    E: Event,
{
    let reaction = |event: Envelope<E>| {
        let process = P::process(&event)?;
        Some(Reaction {
            event_id: event.id,
            process,
            choice: Choice::new(move |process: &P| process.react(&event)),
        })
    };
    Ok(Envelope::<E>::decode_all(recorded)?.into_iter().filter_map(reaction).collect())
}

/// Executes the command that an event issues, or each of its parts, as part of `tx`, and records what follows if it is rejected.
pub(crate) async fn issue<P, E, S>(
    recorded: &RecordedEvent,
    store: &S,
    encoding: Encoding,
    tx: &mut S::Tx,
) -> Result<(), ProcessError>
where
    P: ProcessManager + Issue<E>,
    E: Event,
    S: EventStore + Transactional + Clone,
{
    for event in Envelope::<E>::decode_all(recorded)? {
        let rejection_id = runner::command_id::<P>("rejection", event.id);
        if was_rejected::<S>(rejection_id, recorded, store, tx).await? {
            continue;
        }
        let (id, command) = P::issue(&event);
        let executed = Repository::<P::Target>::new(store.clone())
            .codec(encoding)
            .execute(&id, command)
            .command_id(runner::command_id::<P>("command", event.id))
            .attempts(runner::ATTEMPTS)
            .within(store, tx)
            .await;
        let Err(error) = executed else { continue };
        let error = ProcessError::or_rejection(error)?;
        let rejected = Choice::new(move |process: &P| process.rejected(&event, &error));
        Repository::<P>::new(store.clone())
            .codec(encoding)
            .on_stream(Ok(recorded.stream.clone()), rejected)
            .command_id(rejection_id)
            .attempts(runner::ATTEMPTS)
            .decided_within(store, tx)
            .await?;
    }
    Ok(())
}

/// Whether the command was rejected before and the process has recorded what follows. Where a checkpoint is set back, a
/// command that was executed is known by its events, and one that was rejected has none: it could have its effect after
/// all, although it was made good that it had not.
///
/// Asked in the transaction: who holds a connection must not wait for another.
async fn was_rejected<S: Transactional>(
    rejection_id: CommandId,
    recorded: &RecordedEvent,
    store: &S,
    tx: &mut S::Tx,
) -> Result<bool, StoreError> {
    let first = rejection_id.event_id(&recorded.stream, 0);
    let mut after = recorded.version;
    loop {
        let read = ReadStream::new(recorded.stream.clone()).after(after);
        let page = store.read_stream_in(tx, read).await?;
        if page.events.iter().any(|event| event.id == first) {
            return Ok(true);
        }
        match page.events.last() {
            Some(last) if !page.end => after = last.version,
            _ => return Ok(false),
        }
    }
}

/// Reads an event that sets a deadline.
pub(crate) fn wait<P, E>(recorded: &RecordedEvent) -> Result<(Option<DateTime<Utc>>, Choice<P>), DecodeError>
where
    P: Deadline<E>,
    E: Event,
{
    let due = |event: Envelope<E>| (P::due(&event), event);
    let mut events: Vec<_> = Envelope::<E>::decode_all(recorded)?.into_iter().map(due).collect();
    if events.len() > 1 {
        events.retain(|(due_at, _)| due_at.is_some());
    }
    match (events.len(), events.pop()) {
        (_, None) => Ok((None, Choice::new(|_: &P| Events::none()))),
        (1, Some((due_at, event))) => Ok((due_at, Choice::new(move |process: &P| process.elapsed(&event)))),
        // A timer belongs to the recorded event, which has one.
        (found, Some(_)) => Err(fault_of(recorded, DecodeFault::NotOne { found })),
    }
}
