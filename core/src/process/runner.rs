//! What runs a process manager: three subscriptions, and somebody who looks at the clock.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::pin;
use std::time::Duration;

use chrono::SubsecRound;
use tokio::sync::watch;

use super::{ProcessError, ProcessManager, Reaction};
use crate::cause::Cause;
use crate::codec::Encoding;
use crate::command::CommandId;
use crate::dispatcher::{EventFacts, HandlerError, HandlerFault};
use crate::envelope::RecordedEvent;
use crate::error::StoreError;
use crate::event::EventType;
use crate::handler::{Context, EventHandler, HandleError, Interest};
use crate::metadata::EventId;
use crate::repository::Repository;
use crate::store::EventStore;
use crate::stream::Position;
use crate::subscription::{Health, OnFailure, Subscription, SubscriptionError};
use crate::timer::{Timer, Timers};

/// How often a decision is tried when others append to the same stream meanwhile. They do so while a process is busy.
pub(crate) const ATTEMPTS: u32 = 20;

/// How many timers are taken up at a time.
const TIMERS: usize = 100;
/// How long nobody looks at the clock, at most: a timer that is set meanwhile for sooner goes off so much too late. A timer
/// that could not go off is tried again as often.
const LOOK: Duration = Duration::from_secs(1);

/// Runs the processes of one kind.
///
/// Three subscriptions do that, named after the [process manager](ProcessManager::NAME): `name` reacts to events, `name/commands`
/// executes the commands that it issues, and `name/deadlines` sets its timers. A step that fails is tried again, and then
/// stopped at or set aside, as was chosen; see [`subscriptions`](Process::subscriptions) for how they are and for the dead
/// letters' names.
pub struct Process<P, S: Timers> {
    store: S,
    encoding: Encoding,
    reactions: Subscription<S::Tx>,
    commands: Subscription<S::Tx>,
    deadlines: Subscription<S::Tx>,
    kind: PhantomData<fn() -> P>,
}

impl<P, S: Timers> Process<P, S> {
    /// The processes in `store`. What they record, and what follows from their commands, is written as JSON.
    pub fn new(store: S, on_failure: OnFailure) -> Self
    where
        P: ProcessManager,
        S: EventStore + Clone,
    {
        Self::with_codec(store, on_failure, Encoding::default())
    }

    /// The processes in `store`, which write what they record, and what follows from their commands, in this way.
    pub fn with_codec(store: S, on_failure: OnFailure, codec: impl Into<Encoding>) -> Self
    where
        P: ProcessManager,
        S: EventStore + Clone,
    {
        let encoding = codec.into();
        let named =
            |part: &str| Subscription::transactional(format!("{}{part}", P::NAME), store.clone(), on_failure);
        // One step for each transaction. Several could wait for each other's streams in a circle.
        let one = 1;
        Self {
            reactions: named("")
                .handler(Reactions::<P, S>(store.clone(), encoding, PhantomData))
                .batch_events(one),
            commands: named("/commands")
                .category(P::CATEGORY)
                .handler(Commands::<P, S>(store.clone(), encoding, PhantomData))
                .batch_events(one),
            deadlines: named("/deadlines")
                .category(P::CATEGORY)
                .handler(Deadlines::<P, S>(store.clone(), PhantomData)),
            store,
            encoding,
            kind: PhantomData,
        }
    }
}

impl<P, S> Process<P, S>
where
    P: ProcessManager,
    S: EventStore + Timers + Clone,
{
    /// Any number of nodes may run it and share its work, see [`Subscription::shared`].
    pub fn shared(mut self, partitions: u32) -> Self {
        self.reactions = self.reactions.shared(partitions);
        self.commands = self.commands.shared(partitions);
        self.deadlines = self.deadlines.shared(partitions);
        self
    }

    /// How long a node may be silent, see [`Subscription::lease_for`].
    pub fn lease_for(mut self, time: Duration) -> Self {
        self.reactions = self.reactions.lease_for(time);
        self.commands = self.commands.lease_for(time);
        self.deadlines = self.deadlines.lease_for(time);
        self
    }

    /// What it consists of: reactions, commands, deadlines.
    pub fn subscriptions(&self) -> [&Subscription<S::Tx>; 3] {
        [&self.reactions, &self.commands, &self.deadlines]
    }

    /// How each part is, see [`Subscription::health`].
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked how far it goes.
    ///
    /// # Cancel safety
    ///
    /// Asking changes nothing.
    pub async fn health(&self) -> Result<[Health; 3], StoreError> {
        let [reactions, commands, deadlines] = self.subscriptions();
        Ok([reactions.health().await?, commands.health().await?, deadlines.health().await?])
    }

    /// Does all there is to do by now: what it reacts to, what follows from that, and the deadlines whose time has come. It goes
    /// on for as long as anybody appends; where that never ends, [`run_until`](Process::run_until) is better.
    ///
    /// # Errors
    ///
    /// [`SubscriptionError`], from whichever part has stopped, or from the first deadline whose effect failed, after all others
    /// had theirs. Nothing was skipped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future rolls back the step at hand.
    pub async fn catch_up(&self) -> Result<Position, SubscriptionError> {
        let mut before = None;
        loop {
            let mut reached = self.reactions.catch_up().await?;
            reached = reached.min(self.commands.catch_up().await?);
            reached = reached.min(self.deadlines.catch_up().await?);
            let mut failed = Failed::default();
            let mut fired = 0;
            loop {
                let looked = self.fire(&mut failed).await?;
                fired += looked.fired;
                if !looked.is_more {
                    break;
                }
            }
            let head = self.store.head().await?;
            // Each step may have led to another.
            if fired == 0 && before == Some(head) {
                return match failed.first {
                    Some(error) => Err(error.into()),
                    None => Ok(reached),
                };
            }
            before = Some(head);
        }
    }

    /// Runs until `stop` is ready. Then it finishes the steps at hand, and returns.
    ///
    /// A deadline goes off up to a second after its time. If its effect fails, that is logged, and tried again every second for
    /// as long as it takes: it is not set aside.
    ///
    /// # Errors
    ///
    /// [`SubscriptionError`], from whichever part has stopped by itself; the others are stopped, too. Nothing was skipped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future rolls back the steps at hand; `stop` is the graceful way.
    pub async fn run_until(&self, stop: impl Future<Output = ()> + Send) -> Result<(), SubscriptionError> {
        let (tell, told) = watch::channel(false);
        let part = |subscription: &Subscription<S::Tx>| {
            let (subscription, tell, stopped) = (subscription.clone(), tell.clone(), is_set(told.clone()));
            async move {
                let outcome = subscription.run_until(stopped).await;
                // The others do not go on without it.
                tell.send_replace(true);
                outcome
            }
        };
        let parts = async {
            let parts = self.subscriptions().map(part);
            let clock = async {
                let outcome = self.fire_until(is_set(told.clone())).await;
                tell.send_replace(true);
                outcome
            };
            let (outcomes, clock) = tokio::join!(futures_util::future::join_all(parts), clock);
            outcomes.into_iter().collect::<Result<Vec<_>, _>>().and(clock.map_err(Into::into))
        };
        let mut parts = pin!(parts);
        let mut stop = pin!(stop);
        tokio::select! {
            biased;
            () = &mut stop => {
                tell.send_replace(true);
                parts.await
            }
            outcome = &mut parts => outcome,
        }
    }

    async fn fire_until(&self, stopped: impl Future<Output = ()>) -> Result<(), StoreError> {
        let mut stopped = pin!(stopped);
        let mut failed = Failed::default();
        loop {
            let pause = match self.fire(&mut failed).await {
                Ok(looked) if looked.is_more => Duration::ZERO,
                Ok(looked) => {
                    failed = Failed::default();
                    looked.next.map_or(LOOK, |next| next.min(LOOK))
                }
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, process = P::NAME, "the process waits for its store to look at its timers");
                    LOOK
                }
                Err(error) => return Err(error),
            };
            tokio::select! {
                biased;
                () = &mut stopped => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Lets go off some of those that are due. One that fails stays, and is not tried again as long as it is among `failed`.
    async fn fire(&self, failed: &mut Failed) -> Result<Looked, StoreError> {
        // Those that stay must not hide the others.
        let limit = TIMERS + failed.timers.len();
        let due = self.store.due_timers(P::NAME, limit).await?;
        let mut looked = Looked { next: due.next, fired: 0, is_more: due.timers.len() >= limit };
        for timer in due.timers {
            if failed.timers.contains(&timer.event_id) {
                continue;
            }
            let event = self.store.find_event(timer.event_id).await?;
            match self.let_go_off(&timer, event.as_ref()).await {
                Ok(()) => looked.fired += 1,
                Err(ProcessError::Store(error)) => return Err(error),
                Err(error) => {
                    let source = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, source, ?timer, "a deadline has passed and its effect failed: it is tried again");
                    failed.timers.insert(timer.event_id);
                    failed.first.get_or_insert_with(|| HandlerError {
                        handler: P::NAME,
                        event: event.as_ref().map(EventFacts::from),
                        fault: match error {
                            ProcessError::Decode(error) => HandlerFault::Decode(error),
                            error => HandlerFault::Failed(error.into()),
                        },
                    });
                }
            }
        }
        Ok(looked)
    }

    /// Takes the timer, and records what follows, together.
    async fn let_go_off(&self, timer: &Timer, event: Option<&RecordedEvent>) -> Result<(), ProcessError> {
        let mut tx = self.store.begin().await?;
        if !self.store.take_timer(&mut tx, timer).await? {
            // Another node was faster.
            return Ok(self.store.rollback(tx).await?);
        }
        // If the event was erased, the process was, too.
        if let Some(event) = event {
            let is_its = |interest: &Interest| {
                interest.types.iter().flat_map(EventType::names).any(|name| event.name.as_str() == name)
            };
            // It may be on the list of another node, which runs a newer program.
            let number = P::DEADLINES.iter().position(is_its);
            let number = number.ok_or_else(|| ProcessError::UnknownDeadline(event.name.clone()))?;
            let (_, elapsed) = P::wait_for(number, event)?;
            Repository::<P>::new(self.store.clone())
                .codec(self.encoding)
                .on_stream(Ok(event.stream.clone()), elapsed)
                .command_id(command_id::<P>("elapsed", event.id))
                .caused_by(Cause::from(event))
                .attempts(ATTEMPTS)
                .decided_within(&self.store, &mut tx)
                .await?;
        }
        Ok(self.store.commit(tx).await?)
    }
}

/// What came of a look at the clock.
struct Looked {
    /// How long until the next timer is due.
    next: Option<Duration>,
    /// How many went off, here or elsewhere.
    fired: usize,
    /// Whether there may be more that are due.
    is_more: bool,
}

/// The timers that could not go off.
#[derive(Default)]
struct Failed {
    timers: HashSet<EventId>,
    first: Option<HandlerError>,
}

/// Two steps that an event leads to are two commands.
pub(crate) fn command_id<P: ProcessManager>(step: &str, event_id: EventId) -> CommandId {
    CommandId::from_key(&format!("{} {step} {event_id}", P::NAME))
}

async fn is_set(mut told: watch::Receiver<bool>) {
    // Whoever could tell is gone only when it is over.
    let _ = told.wait_for(|told| *told).await;
}

impl<P, S: Timers + Clone> Clone for Process<P, S> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            encoding: self.encoding,
            reactions: self.reactions.clone(),
            commands: self.commands.clone(),
            deadlines: self.deadlines.clone(),
            kind: PhantomData,
        }
    }
}

impl<P: ProcessManager, S: Timers> fmt::Debug for Process<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("name", &P::NAME).finish_non_exhaustive()
    }
}

/// Records what the processes decide on events of others.
struct Reactions<P, S>(S, Encoding, PhantomData<fn() -> P>);

impl<P, S> EventHandler<S::Tx> for Reactions<P, S>
where
    P: ProcessManager,
    S: EventStore + Timers + Clone,
{
    const NAME: &'static str = P::NAME;
    const INTERESTS: &'static [Interest] = P::REACTIONS;
    type Error = ProcessError;

    async fn handle(
        &self,
        interest: usize,
        event: &RecordedEvent,
        cx: &mut Context<S::Tx>,
    ) -> Result<(), HandleError<ProcessError>> {
        let reactions = P::react_to(interest, event).map_err(HandleError::Decode)?;
        for Reaction { event_id, process, choice } in reactions {
            Repository::<P>::new(self.0.clone())
                .codec(self.1)
                .on_stream(Repository::<P>::stream(&process), choice)
                .command_id(command_id::<P>("reaction", event_id))
                .attempts(ATTEMPTS)
                .decided_within(&self.0, cx.tx())
                .await
                .map_err(|error| HandleError::Handler(error.into()))?;
        }
        Ok(())
    }
}

/// Executes the commands that processes issue.
struct Commands<P, S>(S, Encoding, PhantomData<fn() -> P>);

impl<P, S> EventHandler<S::Tx> for Commands<P, S>
where
    P: ProcessManager,
    S: EventStore + Timers + Clone,
{
    const NAME: &'static str = P::NAME;
    const INTERESTS: &'static [Interest] = P::ISSUES;
    type Error = ProcessError;

    async fn handle(
        &self,
        interest: usize,
        event: &RecordedEvent,
        cx: &mut Context<S::Tx>,
    ) -> Result<(), HandleError<ProcessError>> {
        match P::issue_for(interest, event, &self.0, self.1, cx.tx()).await {
            Ok(()) => Ok(()),
            Err(ProcessError::Decode(error)) => Err(HandleError::Decode(error)),
            Err(error) => Err(HandleError::Handler(error)),
        }
    }
}

/// Sets the timers of processes.
struct Deadlines<P, S>(S, PhantomData<fn() -> P>);

impl<P, S> EventHandler<S::Tx> for Deadlines<P, S>
where
    P: ProcessManager,
    S: EventStore + Timers + Clone,
{
    const NAME: &'static str = P::NAME;
    const INTERESTS: &'static [Interest] = P::DEADLINES;
    type Error = ProcessError;

    async fn handle(
        &self,
        interest: usize,
        event: &RecordedEvent,
        cx: &mut Context<S::Tx>,
    ) -> Result<(), HandleError<ProcessError>> {
        let (due_at, _) = P::wait_for(interest, event).map_err(HandleError::Decode)?;
        let Some(due_at) = due_at else { return Ok(()) };
        let due_at = due_at.trunc_subsecs(6);
        let timer = Timer { process: P::NAME.to_owned(), event_id: event.id, due_at };
        self.0.set_timer(cx.tx(), timer).await.map_err(|error| HandleError::Handler(error.into()))
    }
}
