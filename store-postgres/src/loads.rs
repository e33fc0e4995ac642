//! Loads that share a statement, where many wait.
//!
//! A load that finds a free lane is a statement of its own. The others wait, and those that wait go together: what is read of
//! a short stream costs less than the statement that reads it.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use factum_core::store::{Cursor, ReadStream, Recent, StreamPage};
use factum_core::{StoreError, StreamId, Version};
use sqlx::{Executor as _, Row as _};
use tokio::sync::{Semaphore, oneshot};

use crate::database::Database;
use crate::page::{self, Budget, Prepared};
use crate::read::{READ, limit_column};
use crate::row::EventRow;

/// How many streams one statement reads at most. The more there are, the longer each waits for the others.
const STREAMS_MAX: usize = 16;

/// How many events of each. A longer stream goes on for itself, so that nobody waits for it.
const EVENTS_MAX: usize = 200;

/// How long a load waits for a lane, or for somebody who reads for it: he may have stopped polling his own load.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whose loads have a lane, and whose wait for one.
pub(crate) struct Loads {
    lanes: Semaphore,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// How many have ever waited.
    count: u64,
}

struct Waiting {
    number: u64,
    stream: StreamId,
    bytes: usize,
    answer: oneshot::Sender<StreamPage>,
}

impl Loads {
    pub(crate) fn new(lanes: usize) -> Self {
        Self { lanes: Semaphore::new(lanes), queue: Mutex::default() }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes of `alone`, which reads a page of a stream; or what a statement brings that reads it together with others.
    ///
    /// Whoever is dropped while it reads for others leaves them without an answer, and then they read for themselves. So they do
    /// where the statement fails, and each has the error that is its own.
    pub(crate) async fn read<F: Future<Output = Result<StreamPage, StoreError>>>(
        &self,
        database: &Database,
        read: &ReadStream,
        alone: impl FnOnce() -> F,
    ) -> Result<StreamPage, StoreError> {
        let is_load = read.cursor == Cursor::After(Version::NONE) && read.limit > EVENTS_MAX;
        if !is_load {
            return alone().await;
        }
        // Never a lane for which somebody is waiting.
        if let Ok(_lane) = self.lanes.try_acquire() {
            return alone().await;
        }
        match self.read_with_others(database, read).await {
            Some(page) => Ok(page),
            None => alone().await,
        }
    }

    async fn read_with_others(&self, database: &Database, read: &ReadStream) -> Option<StreamPage> {
        let (number, mut answered) = self.wait(read);
        let mut patience = pin!(tokio::time::sleep(PATIENCE));
        tokio::select! {
            biased;
            answer = &mut answered => return answer.ok(),
            lane = self.lanes.acquire() => {
                read_together(database, self.take_with(number)).await;
                drop(lane);
            }
            () = &mut patience => return None,
        }
        // It was among those, or somebody else reads for it already.
        tokio::select! {
            biased;
            answer = answered => answer.ok(),
            () = patience => None,
        }
    }

    fn wait(&self, read: &ReadStream) -> (u64, oneshot::Receiver<StreamPage>) {
        let (answer, answered) = oneshot::channel();
        let mut queue = self.queue();
        let number = queue.count;
        queue.count += 1;
        queue.waiting.push_back(Waiting { number, stream: read.stream.clone(), bytes: read.bytes, answer });
        (number, answered)
    }

    /// The one with this number, with as many others as may go with it; nobody, if that one is not waiting any more.
    fn take_with(&self, number: u64) -> Vec<Waiting> {
        let mut queue = self.queue();
        // Dropped meanwhile.
        queue.waiting.retain(|waiting| !waiting.answer.is_closed());
        let Some(place) = queue.waiting.iter().position(|waiting| waiting.number == number) else {
            return Vec::new();
        };
        // It is among the first, unless others came in between.
        queue.waiting.swap(0, place);
        let count = queue.waiting.len().min(STREAMS_MAX);
        queue.waiting.drain(..count).collect()
    }
}

/// Reads for all of a group, and answers.
async fn read_together(database: &Database, group: Vec<Waiting>) {
    if group.is_empty() {
        return;
    }
    let pages = match read_pages(database, &group).await {
        Ok(pages) => pages.unwrap_or_default(),
        Err(error) => {
            tracing::debug!(%error, loads = group.len(), "loads are read one by one, because together they failed");
            return;
        }
    };
    for (waiting, page) in group.into_iter().zip(pages) {
        // Whoever is not there any more wants no answer.
        let _ = waiting.answer.send(page);
    }
}

/// A page for each of a group; `None`, if there is too much, or something that cannot be read.
async fn read_pages(database: &Database, group: &[Waiting]) -> Result<Option<Vec<StreamPage>>, StoreError> {
    let bytes = group.iter().map(|waiting| waiting.bytes).min().unwrap_or_default();
    let budget = Budget::new(EVENTS_MAX * group.len(), bytes, &database.payload_bytes);
    let events_max = (budget.rows() / group.len()).max(1);
    let categories: Vec<&str> = group.iter().map(|waiting| waiting.stream.category()).collect();
    let ids: Vec<&str> = group.iter().map(|waiting| waiting.stream.id()).collect();
    let mut lease = database.lease(READ).await?;
    let rows = sqlx::query_file!(
        "src/sql/read_streams.sql",
        &categories as &[&str],
        &ids as &[&str],
        // One more tells whether the stream goes on.
        limit_column(events_max + 1)
    );
    let mut rows = lease.fetch_many(Prepared(rows));
    let read = async {
        let mut pages: Vec<_> = group.iter().map(|_| StreamPage { events: Vec::new(), end: true }).collect();
        let (mut recent, mut bytes_found) = (Recent::default(), 0_usize);
        while let Some(row) = page::next(&mut rows).await? {
            let place: i64 = row.try_get_unchecked(0)?;
            let page = usize::try_from(place - 1).ok().and_then(|place| pages.get_mut(place));
            let Some(page) = page else { return Ok(None) };
            if page.events.len() == events_max {
                page.end = false;
                continue;
            }
            let row = EventRow::at(1, &row)?;
            bytes_found += row.payload.len();
            match row.into_event(READ, &mut recent) {
                Ok(event) if bytes_found <= bytes => page.events.push(event),
                _ => return Ok(None),
            }
        }
        Ok(Some(pages))
    };
    let pages = database.within(READ, read).await?;
    drop(rows);
    lease.put_back_if(pages.is_some());
    Ok(pages)
}
