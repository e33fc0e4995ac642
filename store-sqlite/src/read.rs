//! Reading: pages of a stream, pages of the whole, and whether there is more.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use factum_core::store::{Filter, Page, ReadAll, ReadStream, StreamPage};
use factum_core::{EventName, Position, RecordedEvent, StoreError};
use serde_json::json;
use sqlx::sqlite::{SqliteArguments, SqliteRow};

use crate::database::Database;
use crate::row;
use crate::script::{self, Values};

/// How many positions a filtered read looks at, at most: what bounds its time when little or nothing passes. One
/// page's walk takes about 1.5 ms.
const WINDOW: u64 = 20_000;

/// How long a write of another process can go unnoticed by those who wait.
pub(crate) const POLL: Duration = Duration::from_millis(100);

/// See [`EventStore::read_stream`](factum_core::EventStore::read_stream).
pub(crate) async fn read_stream(database: &Database, read: ReadStream) -> Result<StreamPage, StoreError> {
    let ReadStream { stream, after, limit } = read;
    let limit = limit.max(1);
    let values = Values::default()
        .and(stream.category())
        .and(stream.id())
        .and(column(after.0))
        // One more than wanted tells whether there is more.
        .and(rows_max(limit.saturating_add(1)))
        .done();
    let rows = select(database, include_str!("sql/read_stream.sql"), values).await?;
    let events = rows.iter().take(limit).map(|row| row::event_of(&stream, row)).collect::<Result<_, _>>()?;
    Ok(StreamPage { events, end: rows.len() <= limit })
}

/// See [`EventStore::read_all`](factum_core::EventStore::read_all).
pub(crate) async fn read_all(database: &Database, read: ReadAll) -> Result<Page, StoreError> {
    let ReadAll { after, filter, limit } = read;
    let limit = limit.max(1);
    let values = Values::default().and(column(after.0)).and(rows_max(limit));
    let (rows, looked_at) = if filter.is_all() {
        (select(database, include_str!("sql/read_all.sql"), values.done()).await?, u64::MAX)
    } else {
        let window_end = after.0.saturating_add(WINDOW);
        let values = values
            .and(column(window_end))
            .and(json_categories(&filter))
            .and(json_streams(&filter))
            .and(json_names(&filter))
            .done();
        (select(database, include_str!("sql/read_all_filtered.sql"), values).await?, window_end)
    };

    let mut events: Vec<RecordedEvent> = Vec::with_capacity(rows.len().saturating_sub(1));
    let mut head = Position::START;
    for row in &rows {
        match row::head(row)? {
            Some(position) => head = position,
            None => events.push(row::event(row)?),
        }
    }
    debug_assert!(
        events.is_sorted_by_key(|event| event.position),
        "SQLite runs the parts of UNION ALL in turn"
    );
    let position = match events.last() {
        Some(last) if events.len() == limit => last.position,
        // Everything up to the head, or to the end of the window, was looked at.
        _ => head.min(Position(looked_at)).max(after),
    };
    Ok(Page { events, position, end: position >= head })
}

/// See [`EventStore::wait`](factum_core::EventStore::wait).
pub(crate) async fn wait(database: &Database, after: Position) -> Result<(), StoreError> {
    let mut told = pin!(database.wake.wait(after, POLL));
    let known = poll_fn(|context| Poll::Ready(told.as_mut().poll(context).is_ready())).await;
    if known {
        return Ok(());
    }
    // This process knows of nothing after `after`, but others may have written.
    if head(database).await? <= after {
        told.await;
    }
    Ok(())
}

/// The position of the last event.
async fn head(database: &Database) -> Result<Position, StoreError> {
    let sql = "SELECT coalesce(max(position), 0), NULL FROM factum_events";
    let rows = select(database, sql, Values::default().done()).await?;
    let head = rows.first().map(row::head).transpose()?.flatten();
    Ok(head.unwrap_or_default())
}

async fn select(
    database: &Database,
    sql: &'static str,
    values: SqliteArguments,
) -> Result<Vec<SqliteRow>, StoreError> {
    match script::rows(&database.readers, sql, values).await {
        Ok(rows) => Ok(rows),
        Err(error) => Err(database.explain("read", error).await),
    }
}

/// A number as a column has it. Nothing is recorded past what a column can hold.
fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn rows_max(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// JSON for `json_each`, `None` where everything passes.
fn json_categories(filter: &Filter) -> Option<String> {
    (!filter.categories.is_empty()).then(|| json!(filter.categories).to_string())
}

fn json_streams(filter: &Filter) -> Option<String> {
    let pairs: Vec<_> = filter.streams.iter().map(|stream| [stream.category(), stream.id()]).collect();
    (!pairs.is_empty()).then(|| json!(pairs).to_string())
}

fn json_names(filter: &Filter) -> Option<String> {
    let names: Vec<_> = filter.names.iter().map(EventName::as_str).collect();
    (!names.is_empty()).then(|| json!(names).to_string())
}
