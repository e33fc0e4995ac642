//! Reading streams and the feed. How far the feed may be read is said in `feed`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use factum_core::store::{
    CategoryPage, Cursor, Filter, Matches, Page, ReadAll, ReadCategory, ReadMatching, ReadStream, Recent,
    StreamPage,
};
use factum_core::{Checkpoint, EventId, EventName, Position, RecordedEvent, StoreError, StreamId, Version};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sqlx::postgres::PgRow;
use sqlx::{Executor as _, PgConnection, Row as _};
use tokio::time::Instant;
use uuid::Uuid;

use crate::database::Database;
use crate::error::{Fault, store_error};
use crate::feed::{Head, Learned, Ticket};
use crate::holders;
use crate::page::{self, Budget, Filled, Prepared};
use crate::row::{EventRow, column, number};

pub(crate) const READ: &str = "read";
const WAIT: &str = "wait";

/// How many positions a page with a filter looks at, at most: enough for the round trip not to matter, and few enough
/// for a page that nothing passes to come at once.
const WINDOW: i64 = 20_000;

/// How many events of a tenant a page with a filter looks at, at most. Each is one look at an index.
const TENANT_WINDOW: i64 = 2_000;

/// And one without a filter: more than any page can hold, and few enough to be added to any position.
const WINDOW_MAX: i64 = 1 << 40;

/// How long a read waits at a hole before it says that there is nothing to be had.
const PATIENCE_AT_A_HOLE: Duration = Duration::from_secs(1);

/// See [`EventStore::read_stream`](factum_core::EventStore::read_stream).
pub(crate) async fn read_stream(database: &Database, read: ReadStream) -> Result<StreamPage, StoreError> {
    let alone = || async {
        let mut lease = database.lease(READ).await?;
        let page = read_stream_on(database, &mut lease, &read).await?;
        lease.put_back_if(page.is_drained);
        Ok(StreamPage { events: page.events, end: page.is_drained && page.is_last })
    };
    database.retrying(READ, || database.loads.read(database, &read, alone)).await
}

/// The same, on a connection that may be in a transaction.
pub(crate) async fn read_stream_on(
    database: &Database,
    connection: &mut PgConnection,
    read: &ReadStream,
) -> Result<Filled, StoreError> {
    let ReadStream { stream, cursor, .. } = read;
    let budget = Budget::new(read.limit, read.bytes, &database.payload_bytes);
    // One more tells whether the stream goes on.
    let limit = limit_column(budget.rows().saturating_add(1));
    let (category, id) = (stream.category(), stream.id());
    match *cursor {
        Cursor::After(version) => {
            let rows = sqlx::query_file!("src/sql/read_stream.sql", category, id, column(version.0), limit);
            page::fill(database, READ, budget, 0, connection.fetch_many(Prepared(rows))).await
        }
        Cursor::Before(version) => {
            let rows = sqlx::query_file!(
                "src/sql/read_stream_back.sql",
                category,
                id,
                // No version is greater than that of a column, so all are before the end.
                column(version.0),
                limit
            );
            page::fill(database, READ, budget, 0, connection.fetch_many(Prepared(rows))).await
        }
    }
}

/// See [`EventStore::read_matching`](factum_core::EventStore::read_matching).
///
/// What was settled before the read began is there in whole. What is above may have holes, of appends that are not committed
/// yet: whoever decides on it says what of it he has seen.
pub(crate) async fn read_matching(database: &Database, read: ReadMatching) -> Result<Matches, StoreError> {
    if !database.tracker.has_looked() {
        // Else nothing is settled, and the condition of every decision names all that it has seen.
        refresh(database, READ).await?;
    }
    let query = read.query.to_json().to_string();
    let matches = database.retrying(READ, || look_for(database, &read, &query)).await?;
    let settled = matches.settled.position;
    let unsettled = matches.events.iter().filter(|event| event.position > settled).count();
    if unsettled > UNSETTLED_MAX {
        // Others append, and nobody in this process reads the feed. The next read names less.
        refresh(database, READ).await?;
    }
    Ok(matches)
}

async fn look_for(database: &Database, read: &ReadMatching, query: &str) -> Result<Matches, StoreError> {
    let budget = Budget::new(read.limit, read.bytes, &database.payload_bytes);
    // One more tells whether there are further ones.
    let most = i32::try_from(budget.rows().saturating_add(1)).unwrap_or(i32::MAX);
    let mut lease = database.lease(READ).await?;
    // First this, then the look: so what is settled is seen.
    let settled = database.tracker.ticket().settled;
    let rows =
        sqlx::query_file!("src/sql/read_matching.sql", query, column(read.after.0), most, column(settled));
    let mut rows = lease.fetch_many(Prepared(rows));
    let first = database.within(READ, page::next(&mut rows)).await?;
    let first = first.ok_or_else(|| Fault::Headless.during(READ))?;
    let settled_id: Option<Uuid> = first.try_get_unchecked(0).map_err(|error| store_error(READ, error))?;
    let page = page::fill(database, READ, budget, 1, rows).await?;
    lease.put_back_if(page.is_drained);
    let settled = Checkpoint { position: Position(settled), event_id: settled_id.map(EventId) };
    Ok(Matches { events: page.events, settled, end: page.is_drained && page.is_last })
}

/// See [`EventStore::find_event`](factum_core::EventStore::find_event).
pub(crate) async fn find_event(
    database: &Database,
    id: EventId,
) -> Result<Option<RecordedEvent>, StoreError> {
    database
        .retrying(READ, || async {
            let mut lease = database.lease(READ).await?;
            let row = lease.fetch_optional(Prepared(sqlx::query_file!("src/sql/find_event.sql", id.0)));
            let row = database.within(READ, row).await?;
            lease.put_back();
            let Some(row) = row else { return Ok(None) };
            let row = EventRow::at(0, &row).map_err(|error| store_error(READ, error))?;
            row.into_event(READ, &mut Recent::default()).map(Some)
        })
        .await
}

/// See [`EventStore::read_category`](factum_core::EventStore::read_category).
pub(crate) async fn read_category(
    database: &Database,
    read: ReadCategory,
) -> Result<CategoryPage, StoreError> {
    let ReadCategory { category, after, limit } = read;
    let limit = limit.max(1);
    if category.contains('\0') || after.contains('\0') {
        // No name has it, and Postgres refuses a text that does.
        return Ok(CategoryPage { streams: Vec::new(), end: true });
    }
    database
        .retrying(READ, || async {
            let mut lease = database.lease(READ).await?;
            let most = limit_column(limit.saturating_add(1));
            let rows = sqlx::query_file!("src/sql/read_category.sql", &category, &after, most)
                .fetch_all(&mut *lease);
            let rows = database.within(READ, rows).await?;
            lease.put_back();
            let end = rows.len() <= limit;
            let streams = rows.into_iter().take(limit).map(|row| {
                let stream = StreamId::new(&category, &row.stream)
                    .map_err(|source| Fault::BadName { name: row.stream, source }.during(READ))?;
                Ok((stream, Version(number(row.version))))
            });
            Ok(CategoryPage { streams: streams.collect::<Result<_, StoreError>>()?, end })
        })
        .await
}

/// See [`EventStore::read_all`](factum_core::EventStore::read_all).
pub(crate) async fn read_all(database: &Database, read: ReadAll) -> Result<Page, StoreError> {
    if let Some(page) = database.tail.page(&read) {
        return Ok(page);
    }
    let deadline = Instant::now() + PATIENCE_AT_A_HOLE;
    if !read.filter.is_all() && !database.tracker.has_looked() {
        // Else the first pages would be short: what is settled begins at the start.
        refresh(database, READ).await?;
    }
    loop {
        let look = database.retrying(READ, || look(database, &read)).await?;
        let Some(Look { page, last }) = look else { continue };
        let after = read.after.position;
        if page.end || !page.events.is_empty() || page.checkpoint.position > after {
            return Ok(page);
        }
        // There is something, behind a hole that somebody may fill.
        if settle(database, READ, after, deadline).await? == Waited::InVain {
            tracing::debug!(%after, %last, "the feed waits for an append that is not committed yet");
            return Ok(Page { end: true, ..page });
        }
    }
}

/// How many events a read may find above what is settled before it looks what is settled by now.
const UNSETTLED_MAX: usize = 100;

struct Look {
    page: Page,
    /// The last position of the log.
    last: Position,
}

/// What can be had now; `None` if it has to be asked again.
async fn look(database: &Database, read: &ReadAll) -> Result<Option<Look>, StoreError> {
    let ReadAll { after: Checkpoint { position: after, event_id: after_id }, filter, .. } = read;
    let budget = Budget::new(read.limit, read.bytes, &database.payload_bytes);
    let limit = budget.rows();
    let columns = FilterColumns::of(filter);
    let mut lease = database.lease(READ).await?;
    let (ticket, begun) = (database.tracker.ticket(), database.tail.begin());
    let mut rows = if let Some(tenant) = &filter.tenant {
        let is_whole = Filter { tenant: None, ..filter.clone() }.is_all();
        let rows = sqlx::query_file!(
            "src/sql/read_all_of_tenant.sql",
            column(ticket.settled),
            column(after.0),
            if is_whole { limit_column(limit) } else { TENANT_WINDOW },
            columns.categories.as_deref() as Option<&[&str]>,
            columns.stream_categories.as_deref() as Option<&[&str]>,
            columns.stream_ids.as_deref() as Option<&[&str]>,
            columns.names.as_deref() as Option<&[&str]>,
            columns.fields,
            limit_column(limit),
            after_id.is_some(),
            tenant.outermost(),
            tenant.prefix(),
        );
        lease.fetch_many(Prepared(rows))
    } else {
        // Without a filter the window is no larger than it has to be, because Postgres may choose to sort all of it.
        let window = if filter.is_all() { limit_column(limit).min(WINDOW_MAX) } else { WINDOW };
        let rows = sqlx::query_file!(
            "src/sql/read_all.sql",
            column(ticket.settled),
            column(after.0),
            window,
            columns.categories.as_deref() as Option<&[&str]>,
            columns.stream_categories.as_deref() as Option<&[&str]>,
            columns.stream_ids.as_deref() as Option<&[&str]>,
            columns.names.as_deref() as Option<&[&str]>,
            columns.fields,
            limit_column(limit),
            after_id.is_some(),
        );
        lease.fetch_many(Prepared(rows))
    };
    let first = database.within(READ, page::next(&mut rows)).await?;
    let first = first.ok_or_else(|| Fault::Headless.during(READ))?;
    let bounds: Bounds = first_row(&first).map_err(|error| store_error(READ, error))?;
    let filled = page::fill(database, READ, budget, 0, rows).await?;
    lease.put_back_if(filled.is_drained);

    if database.learn(ticket, &bounds.head, READ)? == Learned::StartedAnew {
        return Ok(None);
    }
    read.after.check(bounds.after_id.map(EventId), READ)?;
    let last = Position(bounds.head.last);
    let checkpoint = match filled.events.last() {
        Some(event) if !filled.is_drained || filled.events.len() == limit => Checkpoint::from(event),
        _ if bounds.upper > after.0 => {
            Checkpoint { position: Position(bounds.upper), event_id: bounds.upper_id.map(EventId) }
        }
        _ => read.after,
    };
    let mut events = filled.events;
    // The database lets some through that it cannot read.
    events.retain(|event| filter.fields.is_empty() || filter.passes(event));
    let end = checkpoint.position >= last;
    if end {
        database.tail.reached(begun, checkpoint);
    }
    Ok(Some(Look { page: Page { events, checkpoint, end }, last }))
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    Settled,
    InVain,
}

/// Waits until something after `after` is settled, at most until `deadline`.
pub(crate) async fn settle(
    database: &Database,
    operation: &'static str,
    after: Position,
    deadline: Instant,
) -> Result<Waited, StoreError> {
    let mut settled = database.tracker.subscribe();
    database.notices.listen();
    loop {
        let pause = loop {
            if *settled.borrow_and_update() > after {
                return Ok(Waited::Settled);
            }
            match database.tracker.rest(database.poll()) {
                Some(pause) => break pause,
                None => refresh(database, operation).await?,
            }
        };
        let until = deadline.min(Instant::now() + pause);
        // Neither a time-out nor a change is a failure: what is settled is looked at again.
        let _ = tokio::time::timeout_at(until, settled.changed()).await;
        if Instant::now() >= deadline && *settled.borrow() <= after {
            return Ok(Waited::InVain);
        }
    }
}

/// How much others had appended when somebody last looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pace {
    /// More than a few events, or with a hole.
    #[default]
    Busy,
    /// A few events without a hole: all that comes next is probably had by [`fetch_next`].
    Calm,
}

/// How many events are a few, and how many bytes of payload: so many that there are not more unless something is wrong, since
/// what is not read of an answer costs its connection.
const FEW: usize = 64;
const FEW_BYTES: usize = 16 << 20;

/// Looks how far the log goes, once for all who want to know.
pub(crate) async fn refresh(database: &Database, operation: &'static str) -> Result<(), StoreError> {
    let mut pace = database.looking.lock().await;
    // Somebody else may have looked while this one waited for its turn.
    if database.tracker.rest(database.poll()).is_some() {
        return Ok(());
    }
    if *pace == Pace::Calm {
        match fetch_next(database, operation).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            // Whoever reads it is told of an event that cannot be read, and so is everybody of a database that cannot.
            Err(error) => tracing::debug!(%error, "what others have appended is looked at once more"),
        }
    }
    *pace = database.retrying(operation, || look_ahead(database, operation)).await?;
    holders::report(database).await;
    Ok(())
}

/// Looks how far the log goes.
async fn look_ahead(database: &Database, operation: &'static str) -> Result<Pace, StoreError> {
    let mut lease = database.lease(operation).await?;
    let ticket: Ticket = database.tracker.ticket();
    let row = sqlx::query_file!("src/sql/head.sql", column(ticket.settled)).fetch_one(&mut *lease);
    let row = database.within(operation, row).await?;
    lease.put_back();
    let head = Head {
        last: number(row.last),
        settled: number(row.settled),
        holders: row.holders,
        server: row.server,
        is_replica: row.is_replica,
    };
    database.learn(ticket, &head, operation)?;
    let is_calm = head.holders.is_none() && head.settled - ticket.settled < FEW as u64;
    Ok(if is_calm { Pace::Calm } else { Pace::Busy })
}

/// Looks how far the log goes, and keeps in memory what it finds, for those who follow. Whether that is all: there may be
/// more than a few events, or a hole.
async fn fetch_next(database: &Database, operation: &'static str) -> Result<bool, StoreError> {
    // What comes says little of how large payloads are: the first event has none here.
    let payload_bytes = AtomicUsize::new(database.payload_bytes.load(Ordering::Relaxed));
    let budget = Budget::new(FEW, FEW_BYTES, &payload_bytes);
    let mut lease = database.lease(operation).await?;
    let (ticket, begun) = (database.tracker.ticket(), database.tail.begin());
    let most = limit_column(budget.rows() + 1);
    let rows = sqlx::query_file!("src/sql/next.sql", column(ticket.settled), most);
    let mut rows = lease.fetch_many(Prepared(rows));
    let first = database.within(operation, page::next(&mut rows)).await?;
    let first = first.ok_or_else(|| Fault::Headless.during(operation))?;
    let Server { server, is_replica } = first_row(&first).map_err(|error| store_error(operation, error))?;
    let filled = page::fill(database, operation, budget, 0, rows).await?;
    lease.put_back_if(filled.is_drained);

    let mut events = filled.events.into_iter();
    let settled = events.next().filter(|event| event.position.0 == ticket.settled);
    let has_no_hole =
        events.as_slice().iter().zip(ticket.settled + 1..).all(|(event, p)| event.position.0 == p);
    let Some(settled) = settled.filter(|_| filled.is_last && has_no_hole) else { return Ok(false) };
    let last = events.as_slice().last().unwrap_or(&settled).position.0;
    let head = Head { last, settled: last, holders: None, server, is_replica };
    if database.learn(ticket, &head, operation)? == Learned::StartedAnew {
        return Ok(false);
    }
    database.tail.reached(begun, Checkpoint::from(&settled));
    database.tail.keep_read(begun, events);
    Ok(true)
}

/// See [`EventStore::head`](factum_core::EventStore::head).
pub(crate) async fn head(database: &Database) -> Result<Position, StoreError> {
    database
        .retrying(READ, || async {
            let mut lease = database.lease(READ).await?;
            let row = sqlx::query_file!("src/sql/head_position.sql").fetch_one(&mut *lease);
            let row = database.within(READ, row).await?;
            lease.put_back();
            Ok(Position(number(row.head)))
        })
        .await
}

/// See [`EventStore::wait`](factum_core::EventStore::wait).
pub(crate) async fn wait(database: &Database, after: Position) -> Result<(), StoreError> {
    // Far enough away to be no deadline.
    let deadline = Instant::now() + Duration::from_hours(24);
    settle(database, WAIT, after, deadline).await.map(drop)
}

/// What the first row of `read_all.sql`, and of `read_all_of_tenant.sql`, has in place of metadata.
#[derive(Deserialize)]
struct Bounds {
    #[serde(flatten)]
    head: Head,
    /// Up to here this page looks.
    upper: u64,
    /// The last event at or below that.
    upper_id: Option<Uuid>,
    /// The last event at or below where the page begins, if it was asked for.
    after_id: Option<Uuid>,
}

/// What the first row of `next.sql` has in place of metadata.
#[derive(Deserialize)]
struct Server {
    server: DateTime<Utc>,
    is_replica: bool,
}

/// What the first row has in place of metadata.
fn first_row<T: DeserializeOwned>(row: &PgRow) -> Result<T, sqlx::Error> {
    let text: &str = row.try_get_unchecked("metadata")?;
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// A filter as arrays, `None` where everything passes. A stream is a pair: equal ids in two categories are two streams.
struct FilterColumns<'a> {
    categories: Option<Vec<&'a str>>,
    stream_categories: Option<Vec<&'a str>>,
    stream_ids: Option<Vec<&'a str>>,
    names: Option<Vec<&'a str>>,
    /// JSON. `None` also where Postgres cannot be asked: its JSON has no NUL.
    fields: Option<String>,
}

impl<'a> FilterColumns<'a> {
    fn of(filter: &'a Filter) -> Self {
        // No stream has a category with NUL, and Postgres refuses a text that has one.
        let possible =
            filter.categories.iter().map(String::as_str).filter(|category| !category.contains('\0'));
        let streams = (!filter.streams.is_empty()).then_some(&filter.streams);
        let can_ask = !filter.fields.iter().any(|(name, value)| name.contains('\0') || value.contains('\0'));
        Self {
            categories: (!filter.categories.is_empty()).then(|| possible.collect()),
            stream_categories: streams.map(|streams| streams.iter().map(StreamId::category).collect()),
            stream_ids: streams.map(|streams| streams.iter().map(StreamId::id).collect()),
            names: (!filter.names.is_empty()).then(|| filter.names.iter().map(EventName::as_str).collect()),
            fields: (can_ask && !filter.fields.is_empty())
                .then(|| serde_json::to_string(&filter.fields).expect("texts always have a JSON form")),
        }
    }
}

pub(crate) fn limit_column(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
