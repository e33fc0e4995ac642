//! Group commit: appends that wait at the same time share a transaction, each with an answer of its own.
//!
//! One task takes what is waiting, commits it, answers, and looks again. So a lone append waits for nobody, and the
//! busier the store is the larger its groups are, without a timer or a tuned delay.

use std::ops::ControlFlow;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use super::{Append, Appended};
use crate::error::{AppendError, StoreError, StoreErrorKind};

/// Commits a group of appends in one transaction.
#[async_trait]
pub trait CommitGroup: Send + 'static {
    /// Judges and writes the appends in order, and answers each.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the transaction as a whole failed.
    async fn commit_group(
        &mut self,
        group: &[Append],
    ) -> Result<Vec<Result<Appended, AppendError>>, StoreError>;
}

/// How large a group may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupLimits {
    /// The most appends that wait; the next one waits for a place.
    pub waiting_max: usize,
    /// The most events in a group, unless a single append has more.
    pub events_max: usize,
    /// The most bytes of payload in a group, unless a single append has more.
    pub bytes_max: usize,
}

impl Default for GroupLimits {
    fn default() -> Self {
        Self { waiting_max: 1024, events_max: 1000, bytes_max: 4 << 20 }
    }
}

/// The queue in front of the task that commits.
#[derive(Clone, Debug)]
pub struct GroupCommit {
    queue: mpsc::Sender<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    append: Append,
    answer: oneshot::Sender<Result<Appended, AppendError>>,
}

impl GroupCommit {
    /// Starts the task, which ends when the last clone of the queue is dropped and everything in it was answered.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(commit: impl CommitGroup, limits: GroupLimits) -> Self {
        let (queue, waiting) = mpsc::channel(limits.waiting_max);
        tokio::spawn(run(waiting, commit, limits));
        Self { queue }
    }

    /// Waits for a place in a group, and for its answer.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; of kind [`Closed`](StoreErrorKind::Closed) if the task has ended before it took the append,
    /// and [`OutcomeUnknown`](StoreErrorKind::OutcomeUnknown) if it ended (with its runtime) afterwards.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown; the group goes on.
    pub async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let (answer, answered) = oneshot::channel();
        self.queue
            .send(Waiting { append, answer })
            .await
            .map_err(|_| StoreError::new(StoreErrorKind::Closed, "append"))?;
        answered
            .await
            .unwrap_or_else(|_| Err(StoreError::new(StoreErrorKind::OutcomeUnknown, "append").into()))
    }
}

async fn run(mut queue: mpsc::Receiver<Waiting>, mut commit: impl CommitGroup, limits: GroupLimits) {
    let mut held_back = None;
    loop {
        let first = match held_back.take() {
            Some(waiting) => waiting,
            None => match queue.recv().await {
                Some(waiting) => waiting,
                None => return,
            },
        };
        let mut group = Group::of(first);
        while let Ok(next) = queue.try_recv() {
            if let ControlFlow::Break(next) = group.take(next, &limits) {
                held_back = Some(next);
                break;
            }
        }
        group.commit(&mut commit).await;
    }
}

struct Group {
    appends: Vec<Append>,
    answers: Vec<oneshot::Sender<Result<Appended, AppendError>>>,
    events: usize,
    bytes: usize,
}

impl Group {
    fn of(first: Waiting) -> Self {
        let (events, bytes) = size(&first.append);
        Self { appends: vec![first.append], answers: vec![first.answer], events, bytes }
    }

    /// Takes `next` in, or gives it back if the group would become too large.
    fn take(&mut self, next: Waiting, limits: &GroupLimits) -> ControlFlow<Waiting> {
        let (events, bytes) = size(&next.append);
        if self.events + events > limits.events_max || self.bytes + bytes > limits.bytes_max {
            return ControlFlow::Break(next);
        }
        self.events += events;
        self.bytes += bytes;
        self.appends.push(next.append);
        self.answers.push(next.answer);
        ControlFlow::Continue(())
    }

    async fn commit(self, commit: &mut impl CommitGroup) {
        match commit.commit_group(&self.appends).await {
            Ok(outcomes) => {
                for (answer, outcome) in self.answers.into_iter().zip(outcomes) {
                    // Nobody waits any more: the append happened all the same, as its documentation says.
                    let _ = answer.send(outcome);
                }
            }
            // What made the group fail may be one of its appends: each is tried alone, which its ids make safe.
            Err(error) if !error.is_transient() && self.appends.len() > 1 => {
                for (answer, append) in self.answers.into_iter().zip(self.appends) {
                    let _ = answer.send(commit_alone(commit, append).await);
                }
            }
            Err(error) => {
                for answer in self.answers {
                    let _ = answer.send(Err(error.clone().into()));
                }
            }
        }
    }
}

async fn commit_alone(commit: &mut impl CommitGroup, append: Append) -> Result<Appended, AppendError> {
    let mut outcomes = commit.commit_group(std::slice::from_ref(&append)).await?;
    outcomes.pop().expect("a group of one append has one outcome")
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
            &mut self,
            group: &[Append],
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

    fn gate(limits: GroupLimits) -> (GroupCommit, Arc<Semaphore>, Arc<AtomicUsize>) {
        let (open, groups) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let queue = GroupCommit::start(Gate { open: open.clone(), groups: groups.clone() }, limits);
        (queue, open, groups)
    }

    /// The outcomes of appends that all wait before the first may commit.
    async fn outcomes(
        queue: &GroupCommit,
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
}
