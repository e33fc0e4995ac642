//! Appends: a group of them in one transaction, each with a verdict of its own.
//!
//! A group makes two ways to the connection's thread however large it is: one to begin and to look up, one to write
//! and to commit. One event alone makes one, unless something speaks against it. (Groups of more than [`CHUNK_ROWS_MAX`]
//! events, or of very large ones, make more.)

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound, Utc};
use factum_core::retention::Closing;
use factum_core::store::group::{CommitGroup, Turn};
use factum_core::store::verdict::{KnownHistory, judge};
use factum_core::store::{Append, Appended, Condition, StreamAppend, Uncommitted};
use factum_core::transfer::Record;
use factum_core::{
    AppendError, BoxError, Expected, NewEvent, Position, RecordedEvent, StoreError, StoreErrorKind, StreamId,
    Version,
};
use sqlx::Row;
use sqlx::sqlite::SqliteArguments;

use crate::checkpoint::SqliteTx;
use crate::database::Database;
use crate::error::{commit_error, store_error};
use crate::read;
use crate::row;
use crate::script::{self, Answers, Values};
use crate::writer::Writer;

/// Commits groups of appends.
pub(crate) struct Committer {
    pub(crate) database: Arc<Database>,
}

type Outcome = Result<Appended, AppendError>;

#[async_trait]
impl CommitGroup for Committer {
    async fn commit_group(&self, group: &[Append], _: Turn) -> Result<Vec<Outcome>, StoreError> {
        let mut writer = Writer::acquire(&self.database.writer, "append").await?;
        match commit(&self.database, &mut writer, group).await {
            Ok((outcomes, last)) => {
                writer.ended();
                self.database.wake.wake(last);
                Ok(outcomes)
            }
            Err(error) => {
                writer.abandon().await;
                Err(error)
            }
        }
    }
}

/// The outcomes, and the last position of the store.
async fn commit(
    database: &Database,
    writer: &mut Writer,
    group: &[Append],
) -> Result<(Vec<Outcome>, Position), StoreError> {
    if let Some((part, event)) = lone_event(group)
        && let Some(appended) = append_one(database, writer, part, event).await?
    {
        let last = appended.position;
        return Ok((vec![Ok(appended)], last));
    }
    let (history, last) = look_up(database, writer, group).await?;
    let (outcomes, events) = judge_all(group, history, last, now());
    let last = events.last().map_or(last, |event| event.position);
    write(writer, &events).await?;
    Ok((outcomes, last))
}

/// The event of a group that is nothing but one event, which one statement can append.
fn lone_event(group: &[Append]) -> Option<(&StreamAppend, &NewEvent)> {
    let [append] = group else { return None };
    let [part] = append.streams() else { return None };
    let [event] = &part.events[..] else { return None };
    (append.condition().is_none() && event.metadata.tags.is_empty()).then_some((part, event))
}

/// Appends a lone event; `None`, if something speaks against it, which a look-up tells.
async fn append_one(
    database: &Database,
    writer: &mut Writer,
    part: &StreamAppend,
    event: &NewEvent,
) -> Result<Option<Appended>, StoreError> {
    let recorded_at = now();
    let values = Values::with_capacity(10)
        .and(&event.id.0.as_bytes()[..])
        .and(part.stream.category())
        .and(part.stream.id())
        .and(expectation(part.expected))
        .and(event.name.as_str())
        .and(i64::from(event.schema_version))
        .and(&*event.codec)
        .and(recorded_at.timestamp_micros())
        .and(event.metadata.to_json())
        .and(&event.payload[..])
        .done();
    let answers = match writer.run(APPEND_ONE, values).await {
        Ok(answers) => answers,
        Err(fault) => return Err(database.explain_commit("append", fault.error).await),
    };
    let Some(row) = answers.first().and_then(|rows| rows.first()) else { return Ok(None) };
    let (position, version) = row::appended(row)?;
    Ok(Some(Appended { position, recorded_at, versions: vec![version] }))
}

const APPEND_ONE: &str = include_str!("sql/append_one.sql");

/// An expectation as `append_one.sql` takes it.
fn expectation(expected: Expected) -> i64 {
    match expected {
        Expected::Any => -2,
        Expected::Exists => -1,
        Expected::NoStream => 0,
        Expected::Exactly(version) => read::column(version.0),
    }
}

/// Begins the transaction, and learns what the verdicts depend on.
async fn look_up(
    database: &Database,
    writer: &mut Writer,
    group: &[Append],
) -> Result<(KnownHistory, Position), StoreError> {
    let streams = distinct_streams(group);
    let conditions = conditions_of(group);
    let values = look_up_values(group, &streams, &conditions);
    let sql = if conditions.is_empty() { LOOK_UP } else { LOOK_UP_WITH_CONDITIONS };
    match writer.run(sql, values).await {
        Ok(answers) => history_of(streams, &conditions, answers),
        Err(fault) => Err(database.explain("append", fault.error).await),
    }
}

/// The look-up of a group.
const LOOK_UP: &str = concat!(include_str!("sql/look_up.sql"), include_str!("sql/look_up_in_tx.sql"));
const LOOK_UP_WITH_CONDITIONS: &str = concat!(
    include_str!("sql/look_up.sql"),
    include_str!("sql/look_up_in_tx.sql"),
    include_str!("sql/breaches.sql")
);
/// The same, in a transaction that has begun.
const LOOK_UP_IN_TX: &str = include_str!("sql/look_up_in_tx.sql");
const LOOK_UP_WITH_CONDITIONS_IN_TX: &str =
    concat!(include_str!("sql/look_up_in_tx.sql"), include_str!("sql/breaches.sql"));

fn look_up_values(group: &[Append], streams: &[&StreamId], conditions: &[&Condition]) -> SqliteArguments {
    let values = Values::with_capacity(3).and(json_streams(streams)).and(json_ids(group));
    if conditions.is_empty() {
        return values.done();
    }
    let conditions: serde_json::Value = conditions.iter().map(|condition| condition.to_json()).collect();
    values.and(conditions.to_string()).done()
}

/// The conditions of the group, each once.
fn conditions_of(group: &[Append]) -> Vec<&Condition> {
    let mut conditions: Vec<&Condition> = Vec::new();
    for condition in group.iter().filter_map(Append::condition) {
        if !conditions.contains(&condition) {
            conditions.push(condition);
        }
    }
    conditions
}

/// What the answers of a look-up say, and the last position ever used.
fn history_of(
    streams: Vec<&StreamId>,
    conditions: &[&Condition],
    mut answers: Answers,
) -> Result<(KnownHistory, Position), StoreError> {
    let breaches = if conditions.is_empty() { Vec::new() } else { answers.pop().unwrap_or_default() };
    if breaches.len() != conditions.len() {
        return Err(corrupt("the look-up of conditions did not answer for each"));
    }
    let places = answers.pop().unwrap_or_default();
    let versions = answers.pop().and_then(|mut rows| rows.pop());
    let versions = versions.ok_or_else(|| corrupt("the look-up of versions answered nothing"))?;
    let last: i64 = versions.try_get(0).map_err(|error| store_error("append", error))?;
    let versions: &str = versions.try_get(1).map_err(|error| store_error("append", error))?;
    let versions: Vec<Option<(u64, Option<String>)>> = serde_json::from_str(versions).map_err(corrupt)?;

    let mut history = KnownHistory::default();
    for (stream, known) in streams.into_iter().zip(versions) {
        let Some((version, closed_by)) = known else { continue };
        history.note_version(stream.clone(), Version(version));
        if let Some(closing) = closed_by.as_deref().and_then(Closing::of_event) {
            history.note_closing(stream.clone(), closing);
        }
    }
    for (condition, row) in conditions.iter().zip(&breaches) {
        if let Some(breach) = row::breach(condition, row)? {
            history.note_breach((*condition).clone(), breach);
        }
    }
    for row in &places {
        let (id, place) = row::place(row)?;
        history.note_place(id, place);
    }
    Ok((history, Position(u64::try_from(last).map_err(corrupt)?)))
}

/// Appends in a transaction that goes on. See [`Transactional::append_in`](factum_core::Transactional::append_in).
pub(crate) async fn append_in(
    database: &Database,
    tx: &mut SqliteTx,
    append: Append,
) -> Result<Uncommitted, AppendError> {
    let group = [append];
    let streams = distinct_streams(&group);
    let conditions = conditions_of(&group);
    let values = look_up_values(&group, &streams, &conditions);
    let sql = if conditions.is_empty() { LOOK_UP_IN_TX } else { LOOK_UP_WITH_CONDITIONS_IN_TX };
    let (history, last) = match script::run(tx, sql, values).await {
        Ok(answers) => history_of(streams, &conditions, answers)?,
        Err(fault) => return Err(database.explain("append", fault.error).await.into()),
    };
    let (mut outcomes, events) = judge_all(&group, history, last, now());
    if let Some(values) = tag_values(&events)? {
        script::run(tx, INSERT_TAGS, values).await.map_err(|fault| store_error("append", fault.error))?;
    }
    for (sql, values) in inserts(&events) {
        script::run(tx, sql, values?).await.map_err(|fault| store_error("append", fault.error))?;
    }
    let appended = outcomes.pop().expect("one append has one outcome")?;
    Ok(if events.is_empty() { Uncommitted::repeated(appended) } else { Uncommitted::new(appended) })
}

/// The statements that insert events in a transaction that goes on, with their arguments.
pub(crate) fn inserts(
    mut events: &[RecordedEvent],
) -> impl Iterator<Item = (&'static str, Result<SqliteArguments, StoreError>)> {
    std::iter::from_fn(move || {
        if events.is_empty() {
            return None;
        }
        let (chunk, rest) = events.split_at(chunk_len(events));
        events = rest;
        Some((&*Insert::of(chunk.len()).sql, values_of(chunk)))
    })
}

/// The arguments of `set_apart.sql`.
pub(crate) fn values_apart(record: &Record) -> Result<SqliteArguments, StoreError> {
    match record {
        Record::Live(event) | Record::Archived(event) => values_of(std::slice::from_ref(event)),
        Record::Erased(place) => Ok(Values::with_capacity(ROW_COLUMNS)
            .and(column(place.position.0)?)
            .and(&place.id.0.as_bytes()[..])
            .and(place.stream.category())
            .and(place.stream.id())
            .and(column(place.version.0)?)
            .and(None::<&str>)
            .and(None::<i64>)
            .and(None::<&str>)
            .and(place.recorded_at.timestamp_micros())
            .and(None::<&str>)
            .and(None::<&[u8]>)
            .done()),
    }
}

fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// Judges the appends in order, each as if those before it were recorded.
fn judge_all(
    group: &[Append],
    mut history: KnownHistory,
    mut last: Position,
    now: DateTime<Utc>,
) -> (Vec<Outcome>, Vec<RecordedEvent>) {
    let mut outcomes = Vec::with_capacity(group.len());
    let mut events = Vec::with_capacity(group.len());
    let has_conditions = group.iter().any(|append| append.condition().is_some());
    for append in group {
        outcomes.push(judge(append.clone(), &history, last, now).map(|verdict| {
            // An append that happened before has nothing to write, and its position is not the last.
            last = verdict.events.last().map_or(last, |event| event.position);
            history.note_recorded(&verdict.events);
            if has_conditions {
                history.note_for_conditions(&verdict.events);
            }
            events.extend(verdict.events);
            verdict.appended
        }));
    }
    (outcomes, events)
}

/// Writes the events, and commits.
async fn write(writer: &mut Writer, mut events: &[RecordedEvent]) -> Result<(), StoreError> {
    if let Some(values) = tag_values(events)? {
        writer.run(INSERT_TAGS, values).await.map_err(|fault| store_error("append", fault.error))?;
    }
    loop {
        let (chunk, rest) = events.split_at(chunk_len(events));
        let insert = Insert::of(chunk.len());
        if rest.is_empty() {
            let committed = writer.run(&insert.last, values_of(chunk)?).await;
            return committed.map(drop).map_err(|fault| commit_error("append", fault.error));
        }
        writer
            .run(&insert.sql, values_of(chunk)?)
            .await
            .map_err(|fault| store_error("append", fault.error))?;
        events = rest;
    }
}

/// The most rows of one statement. A group has no more, unless an append alone has.
const CHUNK_ROWS_MAX: usize = 1024;
/// The most bytes of payload in one statement, unless an event alone has more: sqlx copies them.
const CHUNK_BYTES_MAX: usize = 8 << 20;

/// How many of the events go into the next statement.
fn chunk_len(events: &[RecordedEvent]) -> usize {
    let mut bytes = 0;
    let fits = |event: &&RecordedEvent| {
        bytes += event.payload.len();
        bytes <= CHUNK_BYTES_MAX
    };
    let fitting = events.iter().take(CHUNK_ROWS_MAX).take_while(fits).count();
    fitting.max(1).min(events.len())
}

/// The statement that inserts up to so many rows. There are few of them, so that all stay prepared.
struct Insert {
    rows_max: usize,
    sql: String,
    /// The same, and then `COMMIT`.
    last: String,
}

impl Insert {
    fn of(rows: usize) -> &'static Self {
        static INSERTS: LazyLock<Vec<Insert>> =
            LazyLock::new(|| [0, 1, 4, 16, 64, 256, CHUNK_ROWS_MAX].map(Insert::new).into());
        let fits = |insert: &&Insert| insert.rows_max >= rows;
        INSERTS.iter().find(fits).expect("a chunk has at most CHUNK_ROWS_MAX rows")
    }

    fn new(rows_max: usize) -> Self {
        let sql = match rows_max {
            0 => String::new(),
            1 => format!("{INSERT} VALUES {ROW};"),
            // What is not bound is null: rows that are not needed are skipped.
            _ => {
                let rows = vec![ROW; rows_max].join(", ");
                format!("{INSERT} SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL;")
            }
        };
        let last = format!("{sql} COMMIT;");
        Self { rows_max, sql, last }
    }
}

/// `OR ROLLBACK`, because otherwise SQLite copies each page before changing it, to be able to undo this one statement;
/// here a failure ends the transaction anyway. Without the copies a group takes a fifth less time.
const INSERT: &str = "INSERT OR ROLLBACK INTO factum_events (position, event_id, category, stream, version, name, \
    schema_version, codec, recorded_at, metadata, payload)";
const ROW: &str = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const ROW_COLUMNS: usize = 11;

/// The arguments of an [`Insert`].
fn values_of(events: &[RecordedEvent]) -> Result<SqliteArguments, StoreError> {
    let mut values = Values::with_capacity(events.len() * ROW_COLUMNS);
    for event in events {
        values = values
            .and(column(event.position.0)?)
            .and(&event.id.0.as_bytes()[..])
            .and(event.stream.category())
            .and(event.stream.id())
            .and(column(event.version.0)?)
            .and(event.name.as_str())
            .and(i64::from(event.schema_version))
            .and(&*event.codec)
            .and(event.recorded_at.timestamp_micros())
            .and(event.metadata.to_json())
            .and(&event.payload[..]);
    }
    Ok(values.done())
}

/// What events are about. ?1: a JSON array of arrays with tag, name and position.
pub(crate) const INSERT_TAGS: &str = "INSERT OR ROLLBACK INTO factum_tags (tag, name, position) \
    SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?1)";

/// The arguments of [`INSERT_TAGS`], if there is a tag.
pub(crate) fn tag_values<'e>(
    events: impl IntoIterator<Item = &'e RecordedEvent>,
) -> Result<Option<SqliteArguments>, StoreError> {
    let mut rows = Vec::new();
    for event in events {
        for tag in &event.metadata.tags {
            rows.push((tag.as_str(), event.name.as_str(), column(event.position.0)?));
        }
    }
    if rows.is_empty() {
        return Ok(None);
    }
    let rows = serde_json::to_string(&rows).expect("texts and numbers always have a JSON form");
    Ok(Some(Values::with_capacity(1).and(rows).done()))
}

/// A number as a column has it.
fn column(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|error| StoreError::because(StoreErrorKind::Full, "append", error))
}

fn corrupt(source: impl Into<BoxError>) -> StoreError {
    StoreError::because(StoreErrorKind::Corrupt, "append", source)
}

/// The streams of the group, each once.
fn distinct_streams(group: &[Append]) -> Vec<&StreamId> {
    let mut streams: Vec<_> = group.iter().flat_map(Append::streams).map(|part| &part.stream).collect();
    streams.sort_unstable();
    streams.dedup();
    streams
}

fn json_streams(streams: &[&StreamId]) -> String {
    let streams: Vec<_> = streams.iter().map(|stream| stream.as_str()).collect();
    serde_json::to_string(&streams).expect("texts always have a JSON form")
}

/// A JSON array of ids, in hexadecimal digits.
fn json_ids(group: &[Append]) -> String {
    let mut json = String::from("[");
    for event in group.iter().flat_map(Append::events) {
        let comma = if json.len() > 1 { "," } else { "" };
        write!(json, "{comma}\"{}\"", event.id.0.simple()).expect("a string takes all there is");
    }
    json.push(']');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_goes_into_the_smallest_statement_that_takes_it() {
        let rows_max = |rows| Insert::of(rows).rows_max;
        assert_eq!((rows_max(0), rows_max(1), rows_max(2)), (0, 1, 4));
        assert_eq!((rows_max(257), rows_max(CHUNK_ROWS_MAX)), (1024, 1024));
    }

    #[test]
    fn the_largest_statement_keeps_sqlites_limit_of_arguments() {
        const SQLITE_MAX_VARIABLE_NUMBER: usize = 32766;
        const { assert!(CHUNK_ROWS_MAX * ROW_COLUMNS <= SQLITE_MAX_VARIABLE_NUMBER) };
        assert_eq!(ROW.matches('?').count(), ROW_COLUMNS);
    }
}
