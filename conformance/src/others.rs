//! Others, who act while a transaction is open.

use std::time::{Duration, Instant};

use factum_core::store::{Append, Appended, ReadAll};
use factum_core::{EventStore, Position, RecordedEvent, Transactional};
use tokio::task::JoinHandle;

use crate::given::{some, stream};
use crate::seen::{append, page, soon, walk};

/// How long others are given: where they have to wait for the end of the transaction they are not done by then.
const A_MOMENT: Duration = Duration::from_millis(100);

/// Somebody else's doing, who has begun while a transaction is open.
pub(crate) struct Others<T> {
    task: JoinHandle<T>,
    are_done: bool,
}

impl Others<Appended> {
    /// Others append.
    pub(crate) async fn append<S: EventStore + Clone>(store: &S, given: Append) -> Self {
        let store = store.clone();
        Self::wait_for(tokio::spawn(async move { append(&store, given).await })).await
    }

    /// Others append in a transaction that is dropped, and then once more for good.
    pub(crate) async fn append_behind_a_hole<S: Transactional + EventStore + Clone>(
        store: &S,
        given: Append,
    ) -> Self {
        let store = store.clone();
        Self::wait_for(tokio::spawn(async move {
            let mut tx = begin(&store).await;
            store.append_in(&mut tx, some(&stream("gone"), 1)).await.expect("nothing is expected");
            drop(tx);
            append(&store, given).await
        }))
        .await
    }
}

impl<T> Others<T> {
    /// Gives them a moment.
    pub(crate) async fn wait_for(task: JoinHandle<T>) -> Self {
        let begun = Instant::now();
        while !task.is_finished() && begun.elapsed() < A_MOMENT {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let are_done = task.is_finished();
        Self { task, are_done }
    }

    /// Whether they were done within that moment.
    pub(crate) fn are_done(&self) -> bool {
        self.are_done
    }

    /// What it came to: the transaction has ended, so it is done soon.
    pub(crate) async fn done(self) -> T {
        soon("what others do after the end of a transaction", self.task).await.expect("others do not panic")
    }
}

pub(crate) async fn begin<S: Transactional>(store: &S) -> S::Tx {
    soon("the beginning of a transaction", store.begin()).await.expect("a transaction begins")
}

/// An event that is recorded, and in the feed.
pub(crate) async fn one_event(store: &impl EventStore, id: &str) -> Vec<RecordedEvent> {
    let until = append(store, some(&stream(id), 1)).await.position;
    walk(store, ReadAll::after(Position::START), until).await
}

/// The next events that `read` asks for, as many as that, read as a subscription reads.
pub(crate) async fn follow<S: EventStore>(store: S, mut read: ReadAll, count: usize) -> Vec<RecordedEvent> {
    let mut seen = Vec::new();
    while seen.len() < count {
        store.wait(read.after.position).await.expect("waiting is possible");
        let page = page(&store, &read.clone().following()).await;
        read.after = page.checkpoint;
        seen.extend(page.events);
    }
    seen
}
