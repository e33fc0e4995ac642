//! Group commit: appends that wait at the same time share a transaction, each with an answer of its own.
//!
//! A lane takes what is waiting, commits it, answers, and looks again. So a lone append waits for nobody, and the busier
//! the store is the larger its groups are, without a timer or a tuned delay.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, iter, mem};

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::Instant;

use super::claims::Tally;
use super::retry::backoff;
use super::{Append, Appended, Claims};
use crate::error::{AppendError, StoreError, StoreErrorKind};
use crate::stream::StreamId;

/// Commits a group of appends in one transaction.
#[async_trait]
pub trait CommitGroup: Send + Sync + 'static {
    /// Judges and writes the appends in order, and answers each.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the transaction as a whole failed.
    async fn commit_group(
        &self,
        group: &[Append],
        turn: Turn,
    ) -> Result<Vec<Result<Appended, AppendError>>, StoreError>;
}

/// Whether others wait behind a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The group is in a lane. It had better fail, as [`Busy`](StoreErrorKind::Busy), than wait for somebody else.
    Lane,
    /// It is a single append, beside the lanes, and may wait as long as a call may take.
    Alone,
}

/// How groups are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupLimits {
    /// The most appends that wait; the next one waits for a place.
    pub waiting_max: usize,
    /// The most events in a group, unless a single append has more.
    pub events_max: usize,
    /// The most bytes of payload in a group, unless a single append has more.
    pub bytes_max: usize,
    /// How many groups are committed at the same time.
    pub lanes: usize,
    /// How many appends are committed alone, beside the lanes, after their groups have failed.
    pub alone_max: usize,
    /// Whether a stream may be in a group twice, and in two groups that are committed at the same time. If not, appends
    /// to one stream are committed one after the other, in the order in which they came.
    pub streams_are_shared: bool,
    /// The most [claims](Claims) of a group, unless a single append has more. Where streams are not shared, appends that exclude
    /// each other are committed one after the other, too.
    pub claims_max: usize,
    /// For how long a group is tried again that failed because the store could not be reached or because the outcome was
    /// unknown. After this time no attempt begins.
    pub patience: Duration,
}

impl Default for GroupLimits {
    /// One lane that takes whatever waits, and tries once.
    fn default() -> Self {
        Self {
            waiting_max: 1024,
            events_max: 1000,
            bytes_max: 4 << 20,
            lanes: 1,
            alone_max: 1,
            streams_are_shared: true,
            claims_max: usize::MAX,
            patience: Duration::ZERO,
        }
    }
}

/// The queue in front of those who commit. Clones are the same queue.
pub struct GroupCommit<C> {
    shared: Arc<Shared<C>>,
}

struct Shared<C> {
    committer: C,
    limits: GroupLimits,
    runtime: Handle,
    /// One permit for each append that may wait.
    places: Arc<Semaphore>,
    /// One permit for each append that may be committed alone.
    alone: Semaphore,
    queue: Mutex<Queue>,
    /// How many appends have no answer yet.
    unanswered: watch::Sender<usize>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    lanes_running: usize,
    /// The streams that are being committed, where they are not shared.
    busy: HashSet<StreamId>,
    /// What is claimed by those that are being committed, where streams are not shared.
    claimed: Tally,
    closed: bool,
}

/// Where an append's outcome is waited for.
type Answer = oneshot::Sender<Result<Appended, AppendError>>;

struct Waiting {
    append: Append,
    claims: Claims,
    answer: Answer,
    /// Makes room in the queue when the append is taken from it.
    _place: OwnedSemaphorePermit,
}

impl<C: CommitGroup> GroupCommit<C> {
    /// A queue in front of `committer`.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, in which the queue does its work from then on.
    pub fn new(committer: C, limits: GroupLimits) -> Self {
        let shared = Shared {
            committer,
            limits,
            runtime: Handle::current(),
            places: Arc::new(Semaphore::new(limits.waiting_max)),
            alone: Semaphore::new(limits.alone_max),
            queue: Mutex::default(),
            unanswered: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Waits for a place in a group, and for its answer.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; of kind [`Closed`](StoreErrorKind::Closed) if the queue was closed before it took the append,
    /// and [`OutcomeUnknown`](StoreErrorKind::OutcomeUnknown) if the runtime ended afterwards.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown; the group goes on.
    pub async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let closed = || StoreError::new(StoreErrorKind::Closed, "append");
        let place = Arc::clone(&self.shared.places).acquire_owned().await.map_err(|_| closed())?;
        let (answer, answered) = oneshot::channel();
        let claims =
            if self.shared.limits.streams_are_shared { Claims::default() } else { Claims::of(&append) };
        {
            let mut queue = self.shared.queue();
            if queue.closed {
                return Err(closed().into());
            }
            queue.waiting.push_back(Waiting { append, claims, answer, _place: place });
            self.shared.unanswered.send_modify(|unanswered| *unanswered += 1);
        }
        self.shared.start_lane();
        answered
            .await
            .unwrap_or_else(|_| Err(StoreError::new(StoreErrorKind::OutcomeUnknown, "append").into()))
    }

    /// Takes no more appends, and returns when those that wait were answered.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the queue closed; closing it again goes on waiting.
    pub async fn close(&self) {
        self.shared.queue().closed = true;
        self.shared.places.close();
        let mut unanswered = self.shared.unanswered.subscribe();
        // The sender lives as long as this queue.
        let _ = unanswered.wait_for(|unanswered| *unanswered == 0).await;
    }
}

impl<C> Clone for GroupCommit<C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<C> fmt::Debug for GroupCommit<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupCommit")
            .field("unanswered", &*self.shared.unanswered.borrow())
            .finish_non_exhaustive()
    }
}

impl<C> Shared<C> {
    /// No code that holds this lock can leave the queue half changed.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: CommitGroup> Shared<C> {
    /// Starts a lane if there is one to start and something to take.
    fn start_lane(self: &Arc<Self>) {
        let mut queue = self.queue();
        if queue.lanes_running == self.limits.lanes {
            return;
        }
        let Some(group) = Group::take(self, &mut queue) else { return };
        queue.lanes_running += 1;
        // A runtime that is at its end drops what it is given, at once, and that takes the lock.
        drop(queue);
        self.runtime.spawn(Lane(Arc::clone(self)).run(group));
    }
}

/// One of those who commit. Dropped, by its end or by a panic, it lets another one start.
struct Lane<C: CommitGroup>(Arc<Shared<C>>);

impl<C: CommitGroup> Lane<C> {
    async fn run(self, first: Group<C>) {
        let mut next = Some(first);
        while let Some(group) = next {
            group.settle().await;
            next = Group::take(&self.0, &mut self.0.queue());
        }
    }
}

impl<C: CommitGroup> Drop for Lane<C> {
    fn drop(&mut self) {
        self.0.queue().lanes_running -= 1;
        // For what came between the last look and now.
        self.0.start_lane();
    }
}

/// Appends that are committed together. Dropped, it lets go of its streams.
struct Group<C: CommitGroup> {
    shared: Arc<Shared<C>>,
    appends: Vec<Append>,
    answers: Vec<Answer>,
    turn: Turn,
    /// Why the outcome of an earlier attempt is not known.
    doubt: Option<StoreError>,
}

impl<C: CommitGroup> Group<C> {
    /// What of the waiting may go together, in their order, up to the limits; `None` if there is nothing.
    fn take(shared: &Arc<Shared<C>>, queue: &mut Queue) -> Option<Self> {
        let limits = &shared.limits;
        let mut group = Self {
            shared: Arc::clone(shared),
            appends: Vec::new(),
            answers: Vec::new(),
            turn: Turn::Lane,
            doubt: None,
        };
        let mut size = Size::default();
        // Whoever is passed over keeps the later ones of its streams, and those that it excludes, from overtaking it.
        let mut passed_over: HashSet<StreamId> = HashSet::new();
        let mut claims_passed_over = Claims::default();
        let mut left = VecDeque::new();
        while let Some(next) = queue.waiting.pop_front() {
            let mut streams = next.append.streams().iter().map(|part| &part.stream);
            let is_free = limits.streams_are_shared
                || (streams.all(|stream| !queue.busy.contains(stream) && !passed_over.contains(stream))
                    && !queue.claimed.excludes(&next.claims)
                    && !claims_passed_over.exclude(&next.claims));
            if !is_free {
                passed_over.extend(next.append.streams().iter().map(|part| part.stream.clone()));
                claims_passed_over.join(&next.claims);
                left.push_back(next);
            } else if group.has_room(&next, limits, &mut size) {
                if !limits.streams_are_shared {
                    queue.claimed.add(&next.claims);
                    queue.busy.extend(next.append.streams().iter().map(|part| part.stream.clone()));
                }
                group.push(next);
            } else {
                left.push_back(next);
                break;
            }
        }
        left.append(&mut queue.waiting);
        queue.waiting = left;
        (!group.appends.is_empty()).then_some(group)
    }

    /// Whether the next one goes into the group, which has this size by now. The first one always does.
    fn has_room(&self, next: &Waiting, limits: &GroupLimits, size: &mut Size) -> bool {
        for event in next.append.events() {
            size.events += 1;
            size.bytes += event.payload.len();
        }
        size.claims += next.claims.len();
        let fits = size.events <= limits.events_max
            && size.bytes <= limits.bytes_max
            && size.claims <= limits.claims_max;
        self.appends.is_empty() || fits
    }

    fn push(&mut self, next: Waiting) {
        self.appends.push(next.append);
        self.answers.push(next.answer);
    }

    /// Commits the group and answers its appends; in parts, if it cannot be committed as a whole.
    async fn settle(mut self) {
        let patience = self.shared.limits.patience;
        let (begun, mut waits) = (Instant::now(), backoff(patience));
        loop {
            let error = match self.shared.committer.commit_group(&self.appends, self.turn).await {
                Ok(outcomes) => return self.answer(outcomes),
                Err(error) => error,
            };
            if *error.kind() == StoreErrorKind::OutcomeUnknown {
                self.doubt = Some(error.clone());
            }
            let may_pass =
                matches!(error.kind(), StoreErrorKind::Unavailable | StoreErrorKind::OutcomeUnknown);
            let is_held_up = *error.kind() == StoreErrorKind::Busy;
            // One writer holds up all of them, whatever their streams are, and they have waited for it as long as a call may.
            let holds_up_all = is_held_up && self.shared.limits.streams_are_shared;
            if self.turn == Turn::Lane && !may_pass && !holds_up_all && (self.appends.len() > 1 || is_held_up)
            {
                if self.appends.len() > 1 {
                    // What made the group fail may be one of its appends: each is tried by itself, which its ids make
                    // safe. Only those that are held up again go beside the lane, so that they hold up nobody.
                    for single in self.split() {
                        Box::pin(single.settle()).await;
                    }
                    return;
                }
                return self.step_aside();
            }
            // Only what may get better by itself is worth another attempt.
            let is_in_time = |wait: &Duration| begun.elapsed() + *wait < patience;
            let Some(wait) = waits.next().filter(is_in_time).filter(|_| error.is_transient()) else {
                // Whatever a later attempt came to, an earlier one may have been committed.
                let error = self.doubt.clone().unwrap_or(error);
                let outcomes = self.appends.iter().map(|_| Err(error.clone().into())).collect();
                self.turn = Turn::Alone;
                return self.answer(outcomes);
            };
            tracing::warn!(%error, ?wait, "an append is tried again");
            tokio::time::sleep(wait).await;
        }
    }

    /// Answers the appends. One that failed for the moment, where the others did not, goes on by itself.
    fn answer(mut self, outcomes: Vec<Result<Appended, AppendError>>) {
        debug_assert_eq!(outcomes.len(), self.answers.len(), "every append has an outcome");
        let goes_on = |outcome: &Result<Appended, AppendError>| {
            self.turn == Turn::Lane
                && matches!(outcome, Err(AppendError::Store(error)) if error.is_transient())
        };
        let (unsettled, settled): (Vec<_>, Vec<_>) =
            iter::zip(iter::zip(mem::take(&mut self.appends), mem::take(&mut self.answers)), outcomes)
                .partition(|(_, outcome)| goes_on(outcome));
        let mut answered = Vec::with_capacity(settled.len());
        for ((append, answer), outcome) in settled {
            self.appends.push(append);
            answered.push((answer, outcome));
        }
        let unsettled: Vec<_> = unsettled.into_iter().map(|(append, _)| self.single(append)).collect();
        // First the streams, so that whoever hears an answer finds its streams free.
        let shared = Arc::clone(&self.shared);
        drop(self);
        shared.unanswered.send_modify(|unanswered| *unanswered -= answered.len());
        for (answer, outcome) in answered {
            // Nobody waits any more: the append happened all the same, as its documentation says.
            let _ = answer.send(outcome);
        }
        unsettled.into_iter().for_each(Self::step_aside);
    }

    /// A group of its own for each append.
    fn split(mut self) -> Vec<Self> {
        let parts = iter::zip(mem::take(&mut self.appends), mem::take(&mut self.answers));
        parts.map(|part| self.single(part)).collect()
    }

    fn single(&self, (append, answer): (Append, Answer)) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            appends: vec![append],
            answers: vec![answer],
            turn: self.turn,
            doubt: self.doubt.clone(),
        }
    }

    /// Goes on beside the lanes.
    fn step_aside(mut self) {
        self.turn = Turn::Alone;
        let shared = Arc::clone(&self.shared);
        let runtime = shared.runtime.clone();
        runtime.spawn(async move {
            let _turn = shared.alone.acquire().await;
            self.settle().await;
        });
    }
}

impl<C: CommitGroup> Drop for Group<C> {
    fn drop(&mut self) {
        if self.appends.is_empty() {
            return;
        }
        // Only after a panic or at the end of the runtime: those who wait learn it from the dropped answers.
        if !self.answers.is_empty() {
            self.shared.unanswered.send_modify(|unanswered| *unanswered -= self.answers.len());
        }
        if !self.shared.limits.streams_are_shared {
            {
                let mut queue = self.shared.queue();
                for append in &self.appends {
                    queue.claimed.remove(&Claims::of(append));
                    append.streams().iter().for_each(|part| _ = queue.busy.remove(&part.stream));
                }
            }
            // Somebody may have waited for just these.
            self.shared.start_lane();
        }
    }
}

/// How large a group is.
#[derive(Default)]
struct Size {
    events: usize,
    bytes: usize,
    claims: usize,
}

#[cfg(test)]
mod tests;
