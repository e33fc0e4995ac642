//! Reading streams and the feed.
//!
//! `append` makes the order in which positions become visible the order of the positions. So a reader that has seen
//! the head, and looks for the events up to it afterwards, sees all of them.

use std::time::Duration;

use factum_core::store::{Filter, Page, ReadAll, ReadStream, StreamPage};
use factum_core::{EventName, Position, RecordedEvent, StoreError, StreamId};

use crate::database::Database;
use crate::row::{EventRow, column, number};

const READ: &str = "read";
const WAIT: &str = "wait";

/// How many positions a page with a filter looks at, at most: enough for the round trip not to matter, and few enough
/// for a page that nothing passes to come at once.
const WINDOW: i64 = 20_000;

/// How long the events of another process can go unnoticed by those who wait.
const POLL: Duration = Duration::from_millis(200);

/// See [`EventStore::read_stream`](factum_core::EventStore::read_stream).
pub(crate) async fn read_stream(database: &Database, read: ReadStream) -> Result<StreamPage, StoreError> {
    let ReadStream { stream, after, limit } = read;
    let limit = limit.max(1);
    let mut lease = database.lease(READ).await?;
    let rows = sqlx::query_file_as!(
        EventRow,
        "src/sql/read_stream.sql",
        stream.category(),
        stream.id(),
        column(after.0),
        // One more tells whether the stream goes on.
        limit_column(limit.saturating_add(1)),
    )
    .fetch_all(&mut *lease);
    let mut rows = database.within(READ, rows).await?;
    lease.put_back();
    let end = rows.len() <= limit;
    rows.truncate(limit);
    Ok(StreamPage { events: into_events(rows)?, end })
}

/// See [`EventStore::read_all`](factum_core::EventStore::read_all).
pub(crate) async fn read_all(database: &Database, read: ReadAll) -> Result<Page, StoreError> {
    let ReadAll { after, filter, limit } = read;
    let limit = limit.max(1);
    let mut lease = database.lease(READ).await?;
    let bounds = sqlx::query_file!("src/sql/bounds.sql", column(after.0)).fetch_one(&mut *lease);
    let bounds = database.within(READ, bounds).await?;
    let Some(next) = bounds.next else {
        lease.put_back();
        return Ok(Page { events: Vec::new(), position: after, end: true });
    };
    // The window begins at an event, so a hole however wide takes no page of its own. Without a filter it is no larger
    // than it has to be, because Postgres may choose to sort all of it.
    let window = if filter.is_all() { limit_column(limit) } else { WINDOW };
    let last = bounds.head.min(next.saturating_add(window - 1));
    let columns = FilterColumns::of(&filter);
    let rows = sqlx::query_file_as!(
        EventRow,
        "src/sql/read_all.sql",
        column(after.0),
        last,
        columns.categories.as_deref() as Option<&[&str]>,
        columns.stream_categories.as_deref() as Option<&[&str]>,
        columns.stream_ids.as_deref() as Option<&[&str]>,
        columns.names.as_deref() as Option<&[&str]>,
        limit_column(limit),
    )
    .fetch_all(&mut *lease);
    let rows = database.within(READ, rows).await?;
    lease.put_back();
    let last = match rows.last() {
        Some(row) if rows.len() == limit => row.position,
        _ => last,
    };
    Ok(Page { events: into_events(rows)?, position: Position(number(last)), end: last >= bounds.head })
}

/// See [`EventStore::wait`](factum_core::EventStore::wait).
pub(crate) async fn wait(database: &Database, after: Position) -> Result<(), StoreError> {
    loop {
        let head = head(database).await?;
        if head > after {
            // Whoever else waits in this process need not ask.
            database.wake.wake(head);
            return Ok(());
        }
        database.wake.wait(after, POLL).await;
    }
}

/// The position of the last event.
async fn head(database: &Database) -> Result<Position, StoreError> {
    let mut lease = database.lease(WAIT).await?;
    let head = sqlx::query_file_scalar!("src/sql/head.sql").fetch_one(&mut *lease);
    let head = database.within(WAIT, head).await?;
    lease.put_back();
    Ok(head.map_or(Position::START, |head| Position(number(head))))
}

/// A filter as arrays, `None` where everything passes. A stream is a pair: equal ids in two categories are two streams.
struct FilterColumns<'a> {
    categories: Option<Vec<&'a str>>,
    stream_categories: Option<Vec<&'a str>>,
    stream_ids: Option<Vec<&'a str>>,
    names: Option<Vec<&'a str>>,
}

impl<'a> FilterColumns<'a> {
    fn of(filter: &'a Filter) -> Self {
        // No stream has a category with NUL, and Postgres refuses a text that has one.
        let possible =
            filter.categories.iter().map(String::as_str).filter(|category| !category.contains('\0'));
        let streams = (!filter.streams.is_empty()).then_some(&filter.streams);
        Self {
            categories: (!filter.categories.is_empty()).then(|| possible.collect()),
            stream_categories: streams.map(|streams| streams.iter().map(StreamId::category).collect()),
            stream_ids: streams.map(|streams| streams.iter().map(StreamId::id).collect()),
            names: (!filter.names.is_empty()).then(|| filter.names.iter().map(EventName::as_str).collect()),
        }
    }
}

fn into_events(rows: Vec<EventRow>) -> Result<Vec<RecordedEvent>, StoreError> {
    rows.into_iter().map(|row| row.into_event(READ)).collect()
}

fn limit_column(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
