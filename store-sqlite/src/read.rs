//! Reading: pages of a stream, pages of the whole, and whether there is more.

use std::time::{Duration, Instant};

use factum_core::store::{
    CategoryPage, Cursor, Filter, Matches, Page, ReadAll, ReadCategory, ReadMatching, ReadStream, Recent,
    StreamPage,
};
use factum_core::{
    Checkpoint, EventId, EventName, Position, RecordedEvent, StoreError, StoreErrorKind, StreamId,
};
use serde_json::json;
use sqlx::sqlite::{SqliteArguments, SqliteRow};

use crate::database::Database;
use crate::pack::{self, Answer, PageQuery, Reader, page_query};
use crate::row::{self, Bounds};
use crate::script::{self, Values};

/// How many positions a filtered read looks at, at most: what bounds its time when little or nothing passes. One
/// page's walk takes about 1.5 ms.
const WINDOW: u64 = 20_000;

/// How many events of a tenant a read with a filter looks at, at most. Each is one look at an index.
const TENANT_WINDOW: i64 = 2_000;

/// How long a write of another process can go unnoticed by those who wait. A look takes about 50 µs, however many wait.
const POLL: Duration = Duration::from_millis(10);

const STREAM: PageQuery = page_query!("sql/read_stream.sql");
const STREAM_BACK: PageQuery = page_query!("sql/read_stream_back.sql");
const MATCHING: PageQuery = page_query!("sql/read_matching.sql");
const ALL: PageQuery = page_query!("sql/read_all.sql");
const ALL_FILTERED: PageQuery = page_query!("sql/read_all_filtered.sql");
const ALL_OF_TENANT: PageQuery = page_query!("sql/read_all_of_tenant.sql");

/// See [`EventStore::read_stream`](factum_core::EventStore::read_stream).
pub(crate) async fn read_stream(
    database: &Database,
    reader: Reader<'_>,
    read: ReadStream,
) -> Result<StreamPage, StoreError> {
    let query = match read.cursor {
        Cursor::After(_) => &STREAM,
        Cursor::Before(_) => &STREAM_BACK,
    };
    read_stream_by(database, reader, query, read).await
}

/// A page of a stream, wherever that is kept.
pub(crate) async fn read_stream_by(
    database: &Database,
    reader: Reader<'_>,
    query: &PageQuery,
    read: ReadStream,
) -> Result<StreamPage, StoreError> {
    let wanted = database.wanted(read.limit, read.bytes);
    let (Cursor::After(version) | Cursor::Before(version)) = read.cursor;
    let values = Values::default()
        .and(read.stream.category())
        .and(read.stream.id())
        .and(column(version.0))
        // One more than wanted tells whether there is more.
        .and(rows_max(wanted.saturating_add(1)))
        .done();
    pack::page(database, reader, query, values, |answer| {
        stream_page(database, &read.stream, read.bytes, wanted, answer)
    })
    .await
}

/// The page of a stream that was answer.
pub(crate) fn stream_page(
    database: &Database,
    stream: &StreamId,
    bytes: usize,
    wanted: usize,
    answer: &Answer,
) -> Result<StreamPage, StoreError> {
    let (events, is_cut) = database.up_to(bytes, answer.events(Some(stream), wanted)?)?;
    Ok(StreamPage { events, end: !is_cut && answer.count()? <= wanted })
}

/// See [`EventStore::read_matching`](factum_core::EventStore::read_matching).
pub(crate) async fn read_matching(database: &Database, read: ReadMatching) -> Result<Matches, StoreError> {
    let wanted = database.wanted(read.limit, read.bytes);
    let values = Values::default()
        .and(read.query.to_json().to_string())
        .and(column(read.after.0))
        // One more than wanted tells whether there is more.
        .and(rows_max(wanted.saturating_add(1)))
        .done();
    pack::page(database, Reader::Any(&database.readers), &MATCHING, values, |answer| {
        // An empty log has no last event, and none that matches.
        let settled = answer.facts()?.map_or(Ok(Checkpoint::START), row::settled)?;
        let (events, is_cut) = database.up_to(read.bytes, answer.events(None, wanted)?)?;
        Ok(Matches { events, settled, end: !is_cut && answer.count()? <= wanted })
    })
    .await
}

/// See [`EventStore::find_event`](factum_core::EventStore::find_event).
pub(crate) async fn find_event(
    database: &Database,
    id: EventId,
) -> Result<Option<RecordedEvent>, StoreError> {
    let values = Values::default().and(&id.0.as_bytes()[..]).done();
    let rows = select(database, include_str!("sql/find_event.sql"), values).await?;
    rows.first().map(|row| row::event(row, &mut Recent::default())).transpose()
}

/// See [`EventStore::read_category`](factum_core::EventStore::read_category).
pub(crate) async fn read_category(
    database: &Database,
    read: ReadCategory,
) -> Result<CategoryPage, StoreError> {
    let ReadCategory { category, after, limit } = read;
    let limit = limit.max(1);
    let values = Values::default().and(&*category).and(&*after).and(rows_max(limit.saturating_add(1))).done();
    let rows = select(database, include_str!("sql/read_category.sql"), values).await?;
    let streams = rows.iter().take(limit).map(|row| row::stream_of(&category, row));
    Ok(CategoryPage { streams: streams.collect::<Result<_, _>>()?, end: rows.len() <= limit })
}

/// See [`EventStore::read_all`](factum_core::EventStore::read_all).
pub(crate) async fn read_all(database: &Database, read: ReadAll) -> Result<Page, StoreError> {
    let ReadAll { after: Checkpoint { position: after, .. }, filter, .. } = read;
    let limit = database.wanted(read.limit, read.bytes);
    let values = Values::default().and(column(after.0)).and(rows_max(limit));
    let parts = |values: Values| {
        values
            .and(json_categories(&filter))
            .and(json_streams(&filter))
            .and(json_names(&filter))
            .and((!filter.fields.is_empty()).then(|| json!(filter.fields).to_string()))
    };
    let (query, values, looked_at) = if let Some(tenant) = &filter.tenant {
        let is_whole = Filter { tenant: None, ..filter.clone() }.is_all();
        let window = if is_whole { rows_max(limit) } else { TENANT_WINDOW };
        let values = parts(values.and(window)).and(tenant.outermost()).and(tenant.prefix());
        (&ALL_OF_TENANT, values, u64::MAX)
    } else if filter.is_all() {
        (&ALL, values, u64::MAX)
    } else {
        let window_end = after.0.saturating_add(WINDOW);
        (&ALL_FILTERED, parts(values.and(column(window_end))), window_end)
    };
    pack::page(database, Reader::Any(&database.readers), query, values.done(), |answer| {
        let Some(facts) = answer.facts()? else {
            return Err(StoreError::because(
                StoreErrorKind::Corrupt,
                "read",
                "no answer to a read of the feed",
            ));
        };
        let Bounds { head, at_begin, at_window_end, window_end } = row::bounds(facts)?;
        read.after.check(at_begin, "read")?;
        let (events, is_cut) = database.up_to(read.bytes, answer.events(None, limit)?)?;
        debug_assert!(
            events.is_sorted_by_key(|event| event.position),
            "SQLite runs the parts of UNION ALL in turn"
        );
        let end_of_window = head.min(window_end.unwrap_or(Position(looked_at)));
        let checkpoint = match events.last() {
            Some(last) if is_cut || events.len() == limit || last.position == end_of_window => {
                Checkpoint::from(last)
            }
            // Everything up to the head, or to the end of the window, was looked at.
            _ if end_of_window > after => Checkpoint { position: end_of_window, event_id: at_window_end },
            _ => Checkpoint { position: after, event_id: at_begin },
        };
        Ok(Page { events, checkpoint, end: checkpoint.position >= head })
    })
    .await
}

/// See [`EventStore::wait`](factum_core::EventStore::wait).
pub(crate) async fn wait(database: &Database, after: Position) -> Result<(), StoreError> {
    loop {
        if database.wake.last() > after {
            return Ok(());
        }
        // Others may have written. One look serves all who wait.
        let mut looked = database.looking.lock().await;
        if looked.is_none_or(|looked| looked.elapsed() >= POLL / 2) {
            let begun = Instant::now();
            database.wake.wake(head(database).await?);
            *looked = Some(begun);
        }
        drop(looked);
        database.wake.wait(after, POLL).await;
    }
}

/// Tells those who wait in this process what a transaction may have appended.
pub(crate) async fn tell(database: &Database) {
    match head(database).await {
        Ok(head) => database.wake.wake(head),
        // They look for themselves, soon.
        Err(error) => tracing::debug!(%error, "nobody was told of a transaction"),
    }
}

/// The position of the last event.
pub(crate) async fn head(database: &Database) -> Result<Position, StoreError> {
    let sql = "SELECT coalesce(max(position), 0) FROM factum_events";
    let rows = select(database, sql, Values::default().done()).await?;
    Ok(rows.first().map(|row| row::position(row, "wait")).transpose()?.unwrap_or_default())
}

pub(crate) async fn select(
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
pub(crate) fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn rows_max(limit: usize) -> i64 {
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
