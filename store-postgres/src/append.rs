//! Appending: one writer at a time, so that the order of positions is the order in which they become visible.
//!
//! A sequence gives out its numbers before the transactions that draw them commit. Left alone, a reader can see
//! position 7 before 6, and lose 6 when it goes on after 7. Here it cannot, and this is why:
//!
//! 1. Every append of every process takes the same *exclusive* advisory lock, in a statement of its own, before it
//!    reads or draws anything. The lock belongs to the transaction: only its end lets go of it.
//! 2. Under the lock a new statement, and at READ COMMITTED that means a new snapshot, looks up versions and ids. All
//!    that was committed under the lock before is in that snapshot, so what is judged by it is still so at the commit.
//! 3. Under the lock the positions are drawn, by the statement that inserts the events. So of two appends the one that
//!    had the lock first has the smaller positions.
//! 4. Postgres makes a transaction visible first and releases its locks afterwards. So whoever has the lock begins
//!    after all that had it before are visible or dead, and **events become visible in the order of their positions**.
//!
//! Hence a snapshot that has an event has all events of smaller positions that there are or ever will be. A reader may
//! take the greatest position it sees for the head of the log and read up to it: nothing will appear below. Positions
//! that were drawn by a transaction that did not commit stay holes for ever. A transaction of somebody else does not
//! take the lock, so it can stop neither writers nor readers.
//!
//! The price is that appends of different processes wait for each other's commits. Those of one process share them
//! (see [`GroupCommit`](factum_core::store::group::GroupCommit)). The next version replaces the lock by a shared one:
//! then several commit at once, and a reader that meets a hole asks who still holds the lock.
//!
//! Somebody who writes into the table without the lock meets the constraints: no law about versions and ids can be
//! broken, but the order of visibility can.

use std::collections::HashMap;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use factum_core::store::group::CommitGroup;
use factum_core::store::verdict::{KnownHistory, Place, judge};
use factum_core::store::{Append, Appended};
use factum_core::{AppendError, EventId, Position, RecordedEvent, StoreError, StreamId, Version};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::database::Database;
use crate::error::{Fault, is_clash};
use crate::row::{column, number};

const APPEND: &str = "append";

/// The key of the lock, in the space of keys of two integers: the letters `fact`, and 1 for the log.
///
/// It is the same in all versions of this crate that use an exclusive lock.
const LOCK: (i32, i32) = (0x6661_6374, 1);

/// How often a group is begun that somebody disturbs who writes without the lock.
const ATTEMPTS_MAX: u32 = 3;

/// How much one statement inserts, in the transaction of several: a message of Postgres ends at 1 GiB.
const INSERT_EVENTS_MAX: usize = 1000;
/// See [`INSERT_EVENTS_MAX`].
const INSERT_BYTES_MAX: usize = 16 << 20;

/// Until its position is drawn, an event has one above all that can be.
const UNDRAWN: Position = Position(Version::MAX.0);

/// Commits groups of appends.
pub(crate) struct Committer {
    database: Arc<Database>,
    begin: String,
    /// Tells, when dropped, that the last group was answered.
    _answered: oneshot::Sender<()>,
}

impl Committer {
    pub(crate) fn new(database: Arc<Database>, answered: oneshot::Sender<()>) -> Self {
        let begin = begin_and_lock(database.answer_timeout());
        Self { database, begin, _answered: answered }
    }
}

#[async_trait]
impl CommitGroup for Committer {
    async fn commit_group(
        &mut self,
        group: &[Append],
    ) -> Result<Vec<Result<Appended, AppendError>>, StoreError> {
        for attempt in 1..ATTEMPTS_MAX {
            match self.try_commit(group).await {
                Err(error) if is_clash(&error) => {
                    tracing::warn!(attempt, "somebody writes to factum_events without the lock of appends");
                }
                outcome => return outcome,
            }
        }
        self.try_commit(group).await
    }
}

impl Committer {
    async fn try_commit(&self, group: &[Append]) -> Result<Vec<Result<Appended, AppendError>>, StoreError> {
        let mut lease = self.database.lease(APPEND).await?;
        let begun = lease.begin_with(AssertSqlSafe(self.begin.clone()));
        let mut tx = self.database.within(APPEND, begun).await?;
        let log = look_up(&self.database, &mut tx, group).await?;
        let head = log.head;
        let mut judged = judge_all(group, log);
        if judged.events.is_empty() {
            // The answers stand on what is committed already; the rollback lets go of the lock.
            if self.database.within(APPEND, tx.rollback()).await.is_ok() {
                lease.put_back();
            }
            return Ok(judged.outcomes);
        }
        let drawn = insert_all(&self.database, &mut tx, &judged.events, head).await?;
        self.database.within_commit(APPEND, tx.commit()).await?;
        lease.put_back();
        judged.settle(&drawn);
        self.database.wake.wake(drawn.last().copied().unwrap_or(head));
        Ok(judged.outcomes)
    }
}

/// Statements that go in one message, so that the lock costs no round trip of its own.
///
/// - READ COMMITTED, whatever the default is: a later statement must see what the holder before has committed.
/// - A process that freezes with the lock, or that the network has cut off, loses its session when it has been silent
///   for too long. Otherwise all others would wait for it.
/// - Half the time that the answer may take is for the wait, so that the server says that it was too long, and not the
///   clock of the client.
/// - With `synchronous_commit = off` a crash of the server forgets transactions that readers have seen, and draws their
///   positions again. Where it is `local` or above it stays.
/// - A plan that was made while the table was small reads all of it, and is kept while the table grows, until the next
///   autovacuum. All that an append looks for is found by an index.
fn begin_and_lock(answer_timeout: Duration) -> String {
    let silence_ms = milliseconds(answer_timeout);
    let lock_ms = milliseconds(answer_timeout / 2);
    let (space, key) = LOCK;
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; \
         SET LOCAL idle_in_transaction_session_timeout = {silence_ms}; \
         SET LOCAL lock_timeout = {lock_ms}; \
         SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'; \
         SET LOCAL enable_seqscan = off; \
         SELECT pg_advisory_xact_lock({space}, {key})"
    )
}

/// As a setting of Postgres, where 0 would mean "no limit".
fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX).max(1)
}

/// What a group has to know of the log.
struct Log {
    history: KnownHistory,
    head: Position,
    now: DateTime<Utc>,
}

async fn look_up(
    database: &Database,
    connection: &mut PgConnection,
    group: &[Append],
) -> Result<Log, StoreError> {
    let streams: Vec<&StreamId> = group.iter().flat_map(Append::streams).map(|part| &part.stream).collect();
    let categories: Vec<&str> = streams.iter().map(|stream| stream.category()).collect();
    let stream_ids: Vec<&str> = streams.iter().map(|stream| stream.id()).collect();
    let ids: Vec<Uuid> = group.iter().flat_map(Append::events).map(|event| event.id.0).collect();
    let found =
        sqlx::query_file!("src/sql/look_up.sql", &categories as &[&str], &stream_ids as &[&str], &ids,)
            .fetch_one(&mut *connection);
    let found = database.within(APPEND, found).await?;

    let mut history = KnownHistory::default();
    for (stream, version) in iter::zip(streams, found.versions) {
        if version > 0 {
            history.note_version(stream.clone(), Version(number(version)));
        }
    }
    if found.repeats {
        let places = sqlx::query_file!("src/sql/places.sql", &ids).fetch_all(connection);
        for place in database.within(APPEND, places).await? {
            let stream = StreamId::new(&place.category, &place.stream).map_err(|source| {
                Fault::BadColumn { column: "stream", position: place.position, source: source.into() }
                    .during(APPEND)
            })?;
            history.note_place(
                EventId(place.event_id),
                Place {
                    stream,
                    version: Version(number(place.version)),
                    position: Position(number(place.position)),
                    recorded_at: place.recorded_at,
                },
            );
        }
    }
    Ok(Log { history, head: Position(number(found.head)), now: found.now })
}

/// What a group comes to.
struct Judged {
    outcomes: Vec<Result<Appended, AppendError>>,
    /// What those that succeed have to write, in order. Positions count from [`UNDRAWN`].
    events: Vec<RecordedEvent>,
}

fn judge_all(group: &[Append], log: Log) -> Judged {
    let Log { mut history, now, head: _ } = log;
    let mut judged = Judged { outcomes: Vec::with_capacity(group.len()), events: Vec::new() };
    for append in group {
        let last = judged.events.last().map_or(UNDRAWN, |event| event.position);
        let outcome = judge(append.clone(), &history, last, now).map(|verdict| {
            history.note_recorded(&verdict.events);
            judged.events.extend(verdict.events);
            verdict.appended
        });
        judged.outcomes.push(outcome);
    }
    judged
}

impl Judged {
    /// Puts the positions that were drawn, in the order of the events, in the place of those that stood for them.
    fn settle(&mut self, drawn: &[Position]) {
        let undrawn = self.events.iter().map(|event| event.position);
        let drawn: HashMap<Position, Position> = undrawn.zip(drawn.iter().copied()).collect();
        for appended in self.outcomes.iter_mut().flatten() {
            // One that happened before, in another transaction, has its position already.
            if let Some(&position) = drawn.get(&appended.position) {
                appended.position = position;
            }
        }
    }
}

/// Writes the events, and returns the positions they have got.
async fn insert_all(
    database: &Database,
    connection: &mut PgConnection,
    events: &[RecordedEvent],
    head: Position,
) -> Result<Vec<Position>, StoreError> {
    let mut drawn = Vec::with_capacity(events.len());
    let mut last = column(head.0);
    for part in parts(events) {
        let places = database.within(APPEND, insert(connection, part)).await?;
        if !places.iter().map(|&(id, _)| id).eq(part.iter().map(|event| event.id.0)) {
            return Err(Fault::Unconfirmed.during(APPEND));
        }
        for (_, position) in places {
            if position <= last {
                return Err(Fault::DrawnTwice { drawn: position, last }.during(APPEND));
            }
            last = position;
            drawn.push(Position(number(position)));
        }
    }
    Ok(drawn)
}

/// The ids of `events`, with the positions that were drawn for them.
async fn insert(
    connection: &mut PgConnection,
    events: &[RecordedEvent],
) -> Result<Vec<(Uuid, i64)>, sqlx::Error> {
    fn each<'a, T>(events: &'a [RecordedEvent], of: impl Fn(&'a RecordedEvent) -> T) -> Vec<T> {
        events.iter().map(of).collect()
    }
    let schema_version = |event: &RecordedEvent| {
        i32::try_from(event.schema_version).expect("checked before: no schema version is greater")
    };
    let places = sqlx::query_file!(
        "src/sql/insert.sql",
        &each(events, |event| event.id.0),
        &each(events, |event| event.stream.category()) as &[&str],
        &each(events, |event| event.stream.id()) as &[&str],
        &each(events, |event| column(event.version.0)),
        &each(events, |event| event.name.as_str()) as &[&str],
        &each(events, schema_version),
        &each(events, |event| &*event.codec) as &[&str],
        &each(events, |event| &*event.payload) as &[&[u8]],
        &each(events, |event| event.metadata.to_json()),
        events.first().map(|event| event.recorded_at),
    )
    .fetch_all(connection)
    .await?;
    Ok(places.into_iter().map(|place| (place.event_id, place.position)).collect())
}

/// `events` in parts, each as large as one statement may be.
fn parts(mut events: &[RecordedEvent]) -> impl Iterator<Item = &[RecordedEvent]> {
    iter::from_fn(move || {
        let mut bytes = 0;
        let fitting = events.iter().take(INSERT_EVENTS_MAX).take_while(|event| {
            bytes += event.payload.len() + metadata_bytes(event);
            bytes <= INSERT_BYTES_MAX
        });
        // One event that is larger than that goes alone.
        let count = fitting.count().max(1).min(events.len());
        let (part, rest) = events.split_at(count);
        events = rest;
        (!part.is_empty()).then_some(part)
    })
}

/// About as many bytes as the metadata have that the user's own fields can make large.
fn metadata_bytes(event: &RecordedEvent) -> usize {
    event.metadata.fields.iter().map(|(name, value)| name.len() + value.len()).sum()
}

#[cfg(test)]
mod tests {
    use factum_core::{EventName, Metadata};

    use super::*;

    /// Events whose payloads have these sizes.
    fn events(sizes: &[usize]) -> Vec<RecordedEvent> {
        let stream = StreamId::new("parts", "1").expect("a name");
        let event = |&size: &usize| RecordedEvent {
            id: EventId::new(),
            stream: stream.clone(),
            version: Version(1),
            position: UNDRAWN,
            name: EventName::new("tested").expect("a name"),
            schema_version: 1,
            codec: "json".into(),
            payload: vec![0; size].into(),
            metadata: Metadata::default(),
            recorded_at: DateTime::UNIX_EPOCH,
        };
        sizes.iter().map(event).collect()
    }

    fn sizes(events: &[RecordedEvent]) -> Vec<usize> {
        parts(events).map(<[_]>::len).collect()
    }

    #[test]
    fn a_statement_is_bounded() {
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&events(&vec![1; 2500])), [1000, 1000, 500]);
        let (half, large) = (INSERT_BYTES_MAX / 2, INSERT_BYTES_MAX + 1);
        assert_eq!(sizes(&events(&[large, 1, large, half, half])), [1, 1, 1, 2]);
        let mut described = events(&[half, half]);
        described[0].metadata.fields.insert("why".into(), "because".into());
        assert_eq!(sizes(&described), [1, 1]);
    }
}
