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

use super::retry::backoff;
use super::{Append, Appended};
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
    /// How long the waits may be, in sum, after which a group is tried again that failed because the store could not be
    /// reached or because the outcome was unknown.
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
    closed: bool,
}

/// Where an append's outcome is waited for.
type Answer = oneshot::Sender<Result<Appended, AppendError>>;

struct Waiting {
    append: Append,
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
        {
            let mut queue = self.shared.queue();
            if queue.closed {
                return Err(closed().into());
            }
            queue.waiting.push_back(Waiting { append, answer, _place: place });
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
        let (mut events, mut bytes) = (0, 0);
        if limits.streams_are_shared {
            while let Some(next) = queue.waiting.front() {
                if !group.has_room(&next.append, limits, &mut events, &mut bytes) {
                    break;
                }
                let next = queue.waiting.pop_front().expect("there is a first");
                group.push(next);
            }
        } else {
            // Whoever is passed over keeps the later ones of its streams from overtaking it.
            let mut passed_over: HashSet<StreamId> = HashSet::new();
            let mut rest = VecDeque::with_capacity(queue.waiting.len());
            while let Some(next) = queue.waiting.pop_front() {
                let is_free =
                    next.append.streams().iter().all(|part| {
                        !queue.busy.contains(&part.stream) && !passed_over.contains(&part.stream)
                    });
                let streams = next.append.streams().iter().map(|part| part.stream.clone());
                if !is_free {
                    passed_over.extend(streams);
                    rest.push_back(next);
                } else if group.has_room(&next.append, limits, &mut events, &mut bytes) {
                    queue.busy.extend(streams);
                    group.push(next);
                } else {
                    rest.push_back(next);
                    break;
                }
            }
            rest.append(&mut queue.waiting);
            queue.waiting = rest;
        }
        (!group.appends.is_empty()).then_some(group)
    }

    /// Whether `append` goes into the group. The first one always does.
    fn has_room(&self, append: &Append, limits: &GroupLimits, events: &mut usize, bytes: &mut usize) -> bool {
        let (more_events, more_bytes) = size(append);
        *events += more_events;
        *bytes += more_bytes;
        self.appends.is_empty() || (*events <= limits.events_max && *bytes <= limits.bytes_max)
    }

    fn push(&mut self, next: Waiting) {
        self.appends.push(next.append);
        self.answers.push(next.answer);
    }

    /// Commits the group and answers its appends; in parts, if it cannot be committed as a whole.
    async fn settle(mut self) {
        let mut waits = backoff(self.shared.limits.patience);
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
            if self.turn == Turn::Lane && !may_pass && (self.appends.len() > 1 || is_held_up) {
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
            let Some(wait) = waits.next().filter(|_| error.is_transient()) else {
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
                for part in self.appends.iter().flat_map(Append::streams) {
                    queue.busy.remove(&part.stream);
                }
            }
            // Somebody may have waited for just these.
            self.shared.start_lane();
        }
    }
}

/// How many events an append has, and how many bytes of payload.
fn size(append: &Append) -> (usize, usize) {
    append.events().fold((0, 0), |(events, bytes), event| (events + 1, bytes + event.payload.len()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use chrono::DateTime;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::{EventName, Expected, Metadata, NewEvent, Position, StreamId, Version};

    fn append(id: &str) -> Append {
        let event = NewEvent {
            id: crate::EventId::new(),
            name: EventName::new("tested").expect("a name"),
            schema_version: 1,
            codec: "json".into(),
            payload: vec![0; 100].into(),
            metadata: Metadata::default(),
        };
        Append::to(StreamId::new("group", id).expect("a name"), Expected::Any, vec![event])
    }

    /// Commits when allowed to; fails every group that has the stream `group/poison`.
    struct Gate {
        open: Arc<Semaphore>,
        groups: Arc<AtomicUsize>,
    }

    #[async_trait]
    impl CommitGroup for Gate {
        async fn commit_group(
            &self,
            group: &[Append],
            _: Turn,
        ) -> Result<Vec<Result<Appended, AppendError>>, StoreError> {
            self.open.acquire().await.expect("never closed").forget();
            self.groups.fetch_add(1, Ordering::SeqCst);
            if group.iter().any(|append| append.streams()[0].stream.id() == "poison") {
                return Err(StoreError::new(StoreErrorKind::Other, "append"));
            }
            let appended = Appended {
                position: Position(1),
                recorded_at: DateTime::UNIX_EPOCH,
                versions: vec![Version(1)],
            };
            Ok(group.iter().map(|_| Ok(appended.clone())).collect())
        }
    }

    fn gate(limits: GroupLimits) -> (GroupCommit<Gate>, Arc<Semaphore>, Arc<AtomicUsize>) {
        let (open, groups) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let queue = GroupCommit::new(Gate { open: open.clone(), groups: groups.clone() }, limits);
        (queue, open, groups)
    }

    /// The outcomes of appends that all wait before the first may commit.
    async fn outcomes(
        queue: &GroupCommit<Gate>,
        open: &Semaphore,
        ids: &[&'static str],
    ) -> Vec<Result<Appended, AppendError>> {
        let mut waiting = Vec::new();
        for &id in ids {
            let queue = queue.clone();
            waiting.push(tokio::spawn(async move { queue.append(append(id)).await }));
            tokio::task::yield_now().await;
        }
        open.add_permits(100);
        let mut outcomes = Vec::new();
        for task in waiting {
            outcomes.push(task.await.expect("no panic"));
        }
        outcomes
    }

    #[tokio::test]
    async fn what_waits_together_is_committed_together() {
        let (queue, open, groups) = gate(GroupLimits::default());
        let all = outcomes(&queue, &open, &["a", "b", "c", "d"]).await;
        assert!(all.iter().all(Result::is_ok));
        // The first went alone, because nobody waited with it; the other three shared the second.
        assert_eq!(groups.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_poisonous_append_fails_alone() {
        let (queue, open, _) = gate(GroupLimits::default());
        let all = outcomes(&queue, &open, &["a", "b", "poison", "d"]).await;
        let failed: Vec<bool> = all.iter().map(Result::is_err).collect();
        assert_eq!(failed, [false, false, true, false]);
    }

    #[tokio::test]
    async fn a_group_is_bounded_in_bytes() {
        let (queue, open, groups) = gate(GroupLimits { bytes_max: 250, ..GroupLimits::default() });
        let all = outcomes(&queue, &open, &["a", "b", "c", "d", "e"]).await;
        assert!(all.iter().all(Result::is_ok));
        assert_eq!(groups.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn a_caller_that_leaves_disturbs_nobody() {
        let (queue, open, _) = gate(GroupLimits::default());
        let gone = tokio::spawn({
            let queue = queue.clone();
            async move { queue.append(append("gone")).await }
        });
        tokio::task::yield_now().await;
        gone.abort();
        assert!(outcomes(&queue, &open, &["a", "b"]).await.iter().all(Result::is_ok));
    }

    /// Notes what is committed together; every stream named in `trouble` fails once in the way it says.
    #[derive(Default)]
    struct Noted {
        groups: Mutex<Vec<Vec<String>>>,
        trouble: Mutex<Vec<(&'static str, Trouble)>>,
        at_work: AtomicUsize,
        at_work_max: AtomicUsize,
    }

    #[derive(Clone, Copy, PartialEq)]
    enum Trouble {
        Panic,
        Fail(&'static StoreErrorKind),
        Forever(&'static StoreErrorKind),
    }

    struct Troubled(Arc<Noted>);

    #[async_trait]
    impl CommitGroup for Troubled {
        async fn commit_group(
            &self,
            group: &[Append],
            _: Turn,
        ) -> Result<Vec<Result<Appended, AppendError>>, StoreError> {
            let ids: Vec<String> =
                group.iter().map(|append| append.streams()[0].stream.id().to_owned()).collect();
            self.0.groups.lock().expect("lives").push(ids.clone());
            let at_work = self.0.at_work.fetch_add(1, Ordering::SeqCst) + 1;
            self.0.at_work_max.fetch_max(at_work, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.0.at_work.fetch_sub(1, Ordering::SeqCst);
            let trouble = {
                let mut troubles = self.0.trouble.lock().expect("lives");
                let at = troubles.iter().position(|(id, _)| ids.iter().any(|known| known == id));
                at.map(|at| match troubles[at].1 {
                    trouble @ Trouble::Forever(_) => trouble,
                    _ => troubles.remove(at).1,
                })
            };
            match trouble {
                Some(Trouble::Panic) => panic!("as the test wants it"),
                Some(Trouble::Fail(kind) | Trouble::Forever(kind)) => {
                    Err(StoreError::new(kind.clone(), "append"))
                }
                None => {
                    let appended = Appended {
                        position: Position(1),
                        recorded_at: DateTime::UNIX_EPOCH,
                        versions: vec![Version(1)],
                    };
                    Ok(group.iter().map(|_| Ok(appended.clone())).collect())
                }
            }
        }
    }

    fn troubled(
        limits: GroupLimits,
        trouble: &[(&'static str, Trouble)],
    ) -> (GroupCommit<Troubled>, Arc<Noted>) {
        let noted = Arc::new(Noted { trouble: Mutex::new(trouble.to_vec()), ..Noted::default() });
        (GroupCommit::new(Troubled(Arc::clone(&noted)), limits), noted)
    }

    const APART: GroupLimits = GroupLimits {
        waiting_max: 1024,
        events_max: 1000,
        bytes_max: 4 << 20,
        lanes: 2,
        alone_max: 2,
        streams_are_shared: false,
        patience: Duration::from_mins(1),
    };

    async fn all(queue: &GroupCommit<Troubled>, ids: &[&'static str]) -> Vec<Result<Appended, AppendError>> {
        let appends = ids.iter().map(|&id| {
            let queue = queue.clone();
            async move { queue.append(append(id)).await }
        });
        futures_util::future::join_all(appends).await
    }

    #[tokio::test(start_paused = true)]
    async fn streams_that_are_not_shared_are_committed_one_after_the_other() {
        let (queue, noted) = troubled(APART, &[]);
        assert!(all(&queue, &["a", "a", "b", "a", "c", "b"]).await.iter().all(Result::is_ok));
        let groups = noted.groups.lock().expect("lives").clone();
        for group in &groups {
            let distinct: HashSet<_> = group.iter().collect();
            assert_eq!(distinct.len(), group.len(), "{groups:?}");
        }
        assert_eq!(groups.concat().len(), 6);
        assert_eq!(
            noted.at_work_max.load(Ordering::SeqCst),
            2,
            "two lanes work at the same time: {groups:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_an_unknown_outcome_and_stops_nobody_else() {
        let (queue, _) = troubled(APART, &[("a", Trouble::Panic)]);
        let outcomes = all(&queue, &["a", "a", "b"]).await;
        let Err(AppendError::Store(error)) = &outcomes[0] else { panic!("{outcomes:?}") };
        assert_eq!(*error.kind(), StoreErrorKind::OutcomeUnknown);
        assert!(outcomes[1].is_ok() && outcomes[2].is_ok(), "{outcomes:?}");
        queue.close().await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_tried_again_as_it_was() {
        use StoreErrorKind::{OutcomeUnknown, Unavailable};
        let trouble = [("b", Trouble::Fail(&Unavailable)), ("b", Trouble::Fail(&OutcomeUnknown))];
        let (queue, noted) = troubled(GroupLimits { lanes: 1, ..APART }, &trouble);
        assert!(all(&queue, &["a", "b", "c"]).await.iter().all(Result::is_ok));
        let groups = noted.groups.lock().expect("lives").clone();
        assert_eq!(groups, [vec!["a"], vec!["b", "c"], vec!["b", "c"], vec!["b", "c"]]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outcome_that_was_unknown_stays_so_until_it_is_known() {
        use StoreErrorKind::{Full, OutcomeUnknown};
        let trouble = [("a", Trouble::Fail(&OutcomeUnknown)), ("a", Trouble::Forever(&Full))];
        let (queue, _) = troubled(APART, &trouble);
        let outcomes = all(&queue, &["a"]).await;
        let Err(AppendError::Store(error)) = &outcomes[0] else { panic!("{outcomes:?}") };
        assert_eq!(*error.kind(), OutcomeUnknown);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_keeps_failing_stops_no_other() {
        let (queue, noted) =
            troubled(GroupLimits { lanes: 1, ..APART }, &[("b", Trouble::Forever(&StoreErrorKind::Busy))]);
        let stuck = tokio::spawn({
            let queue = queue.clone();
            async move { all(&queue, &["a", "b", "c"]).await }
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        // It is tried again and again meanwhile, beside the lane, and only its own stream waits.
        assert!(all(&queue, &["d", "e"]).await.iter().all(Result::is_ok));
        let behind = queue.append(append("b"));
        assert!(tokio::time::timeout(Duration::from_secs(1), behind).await.is_err());
        noted.trouble.lock().expect("lives").clear();
        assert!(stuck.await.expect("no panic").iter().all(Result::is_ok));
        queue.close().await;
    }

    /// Answers for all but `b`, whose look-up fails the first time.
    struct OneIll(AtomicUsize);

    #[async_trait]
    impl CommitGroup for OneIll {
        async fn commit_group(
            &self,
            group: &[Append],
            _: Turn,
        ) -> Result<Vec<Result<Appended, AppendError>>, StoreError> {
            let appended = Appended {
                position: Position(1),
                recorded_at: DateTime::UNIX_EPOCH,
                versions: vec![Version(1)],
            };
            let of = |append: &Append| {
                if append.streams()[0].stream.id() == "b" && self.0.fetch_add(1, Ordering::SeqCst) == 0 {
                    return Err(StoreError::new(StoreErrorKind::Unavailable, "append").into());
                }
                Ok(appended.clone())
            };
            Ok(group.iter().map(of).collect())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_among_committed_ones_goes_on_by_itself() {
        let queue = GroupCommit::new(OneIll(AtomicUsize::new(0)), APART);
        let appends = ["a", "b", "b", "c"].map(|id| queue.append(append(id)));
        let outcomes = futures_util::future::join_all(appends).await;
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert_eq!(queue.shared.committer.0.load(Ordering::SeqCst), 3);
        queue.close().await;
    }

    #[tokio::test(start_paused = true)]
    async fn closing_waits_for_what_was_taken_and_takes_nothing_more() {
        let (queue, _) = troubled(APART, &[]);
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { all(&queue, &["a", "a", "a"]).await }
        });
        tokio::task::yield_now().await;
        queue.close().await;
        let refused = queue.append(append("b")).await;
        let Err(AppendError::Store(error)) = refused else { panic!("{refused:?}") };
        assert_eq!(*error.kind(), StoreErrorKind::Closed);
        assert!(waiting.await.expect("no panic").iter().all(Result::is_ok));
    }

    #[test]
    fn the_end_of_the_runtime_is_an_unknown_outcome() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (queue, _) = runtime.block_on(async { troubled(APART, &[]) });
        drop(runtime);
        let outcome =
            futures_util::FutureExt::now_or_never(queue.append(append("a"))).expect("answered at once");
        let Err(AppendError::Store(error)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(*error.kind(), StoreErrorKind::OutcomeUnknown);
    }
}
