//! One partition's work: does what the machine says, and tells it what came of it.

use std::error::Error as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::machine::{Commit, End, Input, Machine, ParkedStreams, Settings, Step, Until};
use super::pages::{Pages, Reader};
use super::{Subscription, SubscriptionError};
use crate::checkpoint::{Advance, Checkpoint};
use crate::dead_letter::Failure;
use crate::dispatcher::HandlerError;
use crate::error::{StoreError, StoreErrorKind};
use crate::handler::Context;
use crate::lease::Token;
use crate::partition::Partition;
use crate::stream::Position;

/// After how long a batch ends, where what was handled may come again.
const BATCH_TIME: Duration = Duration::from_millis(100);
/// How many dead letters that are due are taken up at a time.
const DUE_MAX: usize = 100;

pub(super) struct Runner<'s, Cx: Send + 'static> {
    subscription: &'s Subscription<Cx>,
    partition: Partition,
    token: Option<Token>,
    reader: Reader,
    /// The batch at hand.
    context: Option<Context<Cx>>,
    /// What a handler or the store said last.
    failure: Option<HandlerError>,
    illness: Option<StoreError>,
}

impl<'s, Cx: Send + 'static> Runner<'s, Cx> {
    pub(super) fn new(
        subscription: &'s Subscription<Cx>,
        partition: Partition,
        token: Option<Token>,
        pages: &Arc<Pages>,
    ) -> Self {
        let reader = Reader::new(Arc::clone(pages), partition.clone());
        Self { subscription, partition, token, reader, context: None, failure: None, illness: None }
    }

    /// Not past this checkpoint, at which it has caught up.
    pub(super) fn not_past(mut self, until: Checkpoint) -> Self {
        self.reader = self.reader.not_past(until);
        self
    }

    /// Works until the machine says that it is over, or as soon after `stop` as the event at hand is done.
    pub(super) async fn run(
        mut self,
        until: Until,
        mut stop: watch::Receiver<bool>,
    ) -> Result<Position, SubscriptionError> {
        let Subscription { work, on_failure, batch_events, board, .. } = self.subscription;
        let mut machine = Machine::new(Settings {
            until,
            on_failure: *on_failure,
            outlives_a_failure: work.outlives_a_failure(),
            batch_events: *batch_events,
        });
        let mut seat = board.take(self.partition.index());
        let mut batch_begun = None;
        loop {
            if *stop.borrow_and_update() {
                machine.stop();
            }
            let step = machine.next();
            let is_handling = matches!(step, Step::Handle { .. });
            if matches!(step, Step::Commit(_)) {
                batch_begun = None;
            } else if is_handling {
                batch_begun = batch_begun.or_else(|| Some(Instant::now()));
            }
            let input = match step {
                Step::Finish(end) => return self.finish(end, machine.at().position),
                Step::Rest(time) => {
                    seat.note_trouble(self.trouble());
                    unless_stopped(&mut stop, tokio::time::sleep(lengthened(time))).await;
                    Input::Rested
                }
                Step::Wait { after, at_most } => self.wait(after, at_most, &mut stop).await,
                step => self.take(step, &machine).await,
            };
            let is_handled = is_handling && matches!(input, Input::Handled);
            let is_trouble = matches!(input, Input::Ill(_) | Input::Rested);
            machine.tell(input);
            if is_handled {
                if batch_begun.is_some_and(|begun| begun.elapsed() >= BATCH_TIME) {
                    machine.end_batch();
                }
                seat.note_handled();
            } else if !is_handling && !is_trouble {
                seat.note_progress(machine.reached(), machine.parked_count());
            }
        }
    }

    /// Does a step that waits for nothing but the store and the handlers.
    async fn take(&mut self, step: Step, machine: &Machine) -> Input {
        let outcome = match step {
            Step::Load => self.load().await,
            Step::Read(after) => self.reader.read(after).await.map(Input::Page),
            Step::Handle { turn } => self.handle(turn, machine).await,
            Step::Commit(commit) => self.commit(commit).await,
            Step::RollBack => self.roll_back().await,
            Step::LookForDue => self.look_for_due().await,
            Step::Rest(_) | Step::Wait { .. } | Step::Finish(_) => unreachable!("taken by `run`"),
        };
        if outcome.is_ok() {
            self.illness = None;
        }
        outcome.unwrap_or_else(|error| {
            let name = &self.partition;
            if *error.kind() == StoreErrorKind::LeaseLost {
                tracing::info!(partition = %name, "another node has taken over");
            } else if error.is_transient() {
                tracing::warn!(%error, partition = %name, "the subscription waits for its store");
            }
            // Whatever is open is undone, so that nothing is held while the store is waited for.
            self.context = None;
            self.illness = Some(error.clone());
            Input::Ill(error)
        })
    }

    async fn load(&mut self) -> Result<Input, StoreError> {
        let books = self.subscription.work.books();
        let checkpoint = books.checkpoint_of(&self.partition).await?;
        let parked = books.parked(self.partition.subscription(), 0).await?;
        Ok(Input::Loaded { checkpoint, parked: self.own(parked.streams, parked.count) })
    }

    fn own(&self, streams: Vec<crate::StreamId>, count: u64) -> ParkedStreams {
        ParkedStreams {
            streams: streams.into_iter().filter(|stream| self.partition.has(stream)).collect(),
            count,
        }
    }

    async fn handle(&mut self, turn: usize, machine: &Machine) -> Result<Input, StoreError> {
        let Subscription { work, dispatcher, is_rebuilding, .. } = self.subscription;
        let cx = match &mut self.context {
            Some(cx) => cx,
            none => none.insert(Context::under(work.begin().await?, self.token, *is_rebuilding)),
        };
        Ok(match dispatcher.dispatch_from(turn, machine.event(), cx).await {
            Ok(()) => Input::Handled,
            Err((turn, error)) => Input::Failed { turn, failure: self.note(error) },
        })
    }

    async fn commit(&mut self, commit: Commit) -> Result<Input, StoreError> {
        let Subscription { work, dispatcher, .. } = self.subscription;
        let Commit { from, to, parked, settled } = commit;
        let step =
            Advance { partition: self.partition.clone(), from, to, token: self.token, parked, settled };
        let Some(mut cx) = self.context.take() else {
            work.advance(step).await?;
            return Ok(Input::Committed);
        };
        if let Err(error) = dispatcher.flush(&mut cx).await {
            self.context = Some(cx);
            return Ok(Input::FlushFailed(self.note(error)));
        }
        work.commit(cx.into_tx(), step).await?;
        Ok(Input::Committed)
    }

    async fn roll_back(&mut self) -> Result<Input, StoreError> {
        if let Some(cx) = self.context.take() {
            // A connection that is broken shows here, and then it was no handler's fault.
            self.subscription.work.roll_back(cx.into_tx()).await?;
        }
        Ok(Input::RolledBack)
    }

    async fn look_for_due(&mut self) -> Result<Input, StoreError> {
        let parked = self.subscription.work.books().parked(self.partition.subscription(), DUE_MAX).await?;
        let mut due = Vec::new();
        for letter in parked.due {
            if self.partition.has(&letter.letter.event.stream) {
                let event = self.subscription.store.find_event(letter.letter.event.id).await?;
                due.push((letter, event));
            }
        }
        Ok(Input::Due { due, parked: self.own(parked.streams, parked.count) })
    }

    async fn wait(
        &mut self,
        after: Position,
        at_most: Option<Duration>,
        stop: &mut watch::Receiver<bool>,
    ) -> Input {
        let store = &self.subscription.store;
        let waiting = async {
            match at_most {
                Some(time) => match tokio::time::timeout(time, store.wait(after)).await {
                    Ok(waited) => waited.map(|()| Input::Woken),
                    Err(_) => Ok(Input::Rested),
                },
                None => store.wait(after).await.map(|()| Input::Woken),
            }
        };
        match unless_stopped(stop, waiting).await {
            None => Input::Woken,
            Some(Ok(input)) => input,
            Some(Err(error)) => {
                self.illness = Some(error.clone());
                Input::Ill(error)
            }
        }
    }

    fn note(&mut self, error: HandlerError) -> Failure {
        let failure = Failure::from(&error);
        let source = error.source().map(ToString::to_string);
        tracing::warn!(%error, source, partition = %self.partition, "a handler failed");
        self.failure = Some(error);
        failure
    }

    /// What is wrong, for those who ask.
    fn trouble(&self) -> Option<String> {
        let failure = self.failure.as_ref().map(|error| {
            let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            format!("{error}{source}")
        });
        self.illness.as_ref().map(ToString::to_string).or(failure)
    }

    fn finish(self, end: End, at: Position) -> Result<Position, SubscriptionError> {
        let error = match end {
            End::Stopped | End::CaughtUp => return Ok(at),
            End::Failed => return Err(self.failure.expect("the machine has heard of it").into()),
            End::Ill => self.illness.expect("the machine has heard of it"),
            End::Moved { expected, actual } => {
                StoreError::new(StoreErrorKind::CheckpointMoved { expected, actual }, "move checkpoint")
            }
            End::Stuck(position) => {
                let text = format!("nothing after position {position}, and not the end");
                StoreError::because(StoreErrorKind::Corrupt, "read all", text)
            }
        };
        Err(error.into())
    }
}

/// What comes of `work`, unless it is stopped before.
async fn unless_stopped<T>(stop: &mut watch::Receiver<bool>, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        // If nobody can stop it any more, it goes on.
        Ok(_) = stop.wait_for(|stopped| *stopped) => None,
        outcome = work => Some(outcome),
    }
}

/// By chance up to half as long again.
fn lengthened(time: Duration) -> Duration {
    // The last bits of a fresh id are what this crate has of chance.
    let (_, chance) = uuid::Uuid::now_v7().as_u64_pair();
    let share = u32::try_from(chance % 1000).expect("less than a thousand");
    time + time / 2 * share / 1000
}
