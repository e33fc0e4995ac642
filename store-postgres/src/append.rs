//! Appending: one statement, one round trip, one commit; many appends at once where many wait.
//!
//! The rules are in two functions of the database, `factum_append` and `factum_append_group` (migration 13), which take the
//! lock of appends and then look, in a snapshot that is younger than the lock; and the last word is that of the unique
//! constraints. What they refuse is judged here, by the rule that all stores share.
//!
//! A lone event of which nothing speaks against it, as most are, needs no function: see `sql/append_one.sql`.

use std::iter;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use factum_core::retention::Closing;
use factum_core::store::group::{CommitGroup, Turn};
use factum_core::store::verdict::{Breach, KnownHistory, Place, judge};
use factum_core::store::{Append, Appended, Claims, Condition, StreamAppend};
use factum_core::{
    AppendError, EventId, EventName, Expected, NewEvent, Overtaken, Position, StoreError, StoreErrorKind,
    StreamId, Version,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::database::{Database, milliseconds};
use crate::error::{Fault, is_clash};
use crate::row::{column, number};

pub(crate) const APPEND: &str = "append";

/// How long a group waits for somebody who is writing to one of its streams, in milliseconds: longer than a commit takes.
/// Then its appends go apart, and each waits for itself.
const GROUP_LOCK_MS: i32 = 100;

/// From which position on the log is so long that every plan for it looks into an index. While it is short, to read all of it is
/// the best plan, and a connection may keep that for a minute, in which the log has grown: the functions know how to prevent it,
/// a plain statement does not.
const LONG: Position = Position(1_000);

/// How often an append is tried that others overtake. Each time one of them was recorded.
const ATTEMPTS_MAX: u32 = 20;

type Outcome = Result<Appended, AppendError>;

/// Commits groups of appends.
pub(crate) struct Committer {
    pub(crate) database: Arc<Database>,
}

#[async_trait]
impl CommitGroup for Committer {
    async fn commit_group(&self, group: &[Append], turn: Turn) -> Result<Vec<Outcome>, StoreError> {
        let lock_ms = match turn {
            Turn::Lane => GROUP_LOCK_MS,
            Turn::Alone => lock_ms(self.database.answer_timeout()),
        };
        let database = &self.database;
        let mut lease = database.lease(APPEND).await?;
        let (ticket, begun) = (database.tracker.ticket(), database.tail.begin());
        let run = Run { database, lock_ms, idle_ms: None, is_commit: true };
        let written = match group {
            [append] => run.append(&mut lease, append).await.map(|written| vec![written])?,
            group => run.append_all(&mut lease, group).await?,
        };
        let is_ill = |written: &Written| matches!(written.outcome, Err(AppendError::Store(_)));
        let is_sound = !written.iter().any(is_ill);
        if is_sound {
            lease.commit(database, APPEND).await?;
        }
        lease.put_back_if(is_sound);
        if database.tracker.is_followed() || database.tail.is_wanted() {
            for (append, written) in iter::zip(group, &written) {
                if let Ok(appended) = &written.outcome {
                    // Without positions, if it was appended before.
                    database.tail.keep(begun, append, appended, &written.positions);
                }
            }
        }
        let positions = written.iter().flat_map(|written| &written.positions).copied();
        if positions.clone().any(|position| position >= LONG) {
            database.is_long.store(true, Relaxed);
        }
        database.tracker.committed(ticket, positions);
        if written.iter().any(Written::is_repeated) {
            // Whoever committed it first may not have lived to tell, or was told of it too late.
            database.tracker.hint();
        }
        database.notices.tell();
        Ok(written.into_iter().map(|written| written.outcome).collect())
    }
}

/// For the server to say that the wait was too long, and not the clock of the client.
pub(crate) fn lock_ms(answer_timeout: Duration) -> i32 {
    milliseconds(answer_timeout / 2)
}

/// An append that was answered, and where it was written now.
pub(crate) struct Written {
    pub(crate) outcome: Outcome,
    /// Empty, if nothing was written.
    positions: Vec<Position>,
}

impl Written {
    /// Whether it was answered as before, and nothing was written now.
    pub(crate) fn is_repeated(&self) -> bool {
        self.outcome.is_ok() && self.positions.is_empty()
    }
}

/// How appends are run.
pub(crate) struct Run<'a> {
    database: &'a Database,
    lock_ms: i32,
    /// After how much silence the server ends the session: where the transaction goes on after the append.
    idle_ms: Option<i32>,
    /// Whether the statement commits itself.
    is_commit: bool,
}

impl<'a> Run<'a> {
    /// In a transaction that goes on.
    pub(crate) fn within_transaction(database: &'a Database) -> Self {
        let (lock_ms, idle_ms) =
            (lock_ms(database.answer_timeout()), milliseconds(database.answer_timeout()));
        Self { database, lock_ms, idle_ms: Some(idle_ms), is_commit: false }
    }

    /// One append. Those who overtake it are looked at, and then it is tried again.
    async fn append(&self, connection: &mut PgConnection, append: &Append) -> Result<Written, StoreError> {
        for _ in 0..ATTEMPTS_MAX {
            match self.try_append(connection, append).await {
                Err(error) if is_clash(&error) && self.is_commit => {
                    if self.database.is_pooled() {
                        self.begin_anew(connection).await?;
                    }
                    if let Some(outcome) = self.look_and_judge(connection, append).await? {
                        return Ok(Written { outcome, positions: Vec::new() });
                    }
                }
                outcome => return outcome,
            }
        }
        Err(StoreError::new(StoreErrorKind::Busy, APPEND))
    }

    /// Behind a pooler, a failure has spoilt the transaction that each statement is in.
    async fn begin_anew(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        self.database.within(APPEND, sqlx::raw_sql("ROLLBACK").execute(&mut *connection)).await?;
        self.database.within(APPEND, sqlx::raw_sql(self.database.begin()).execute(&mut *connection)).await?;
        Ok(())
    }

    /// One append, once.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; one for which [`is_clash`] holds, if somebody else was faster with a version or an id.
    pub(crate) async fn try_append(
        &self,
        connection: &mut PgConnection,
        append: &Append,
    ) -> Result<Written, StoreError> {
        let [part] = append.streams() else {
            let mut written = self.append_all(connection, std::slice::from_ref(append)).await?;
            return Ok(written.pop().expect("one append has one outcome"));
        };
        let claims = ClaimColumns::of(&Claims::of(append));
        if let Some(event) = self.lone_event(append)
            && let [claim] = claims.keys[..]
            && let Some(written) = self.append_one(connection, append, part, event, claim).await?
        {
            return Ok(written);
        }
        let columns = Columns::of(&part.events);
        let rows = sqlx::query_file!(
            "src/sql/append.sql",
            self.lock_ms,
            self.idle_ms as Option<i32>,
            claims.alone,
            &claims.keys,
            &claims.are_exclusive,
            part.stream.category(),
            part.stream.id(),
            expectation(part.expected),
            condition_json(append) as Option<String>,
            &columns.ids,
            &columns.names as &[&str],
            &columns.schema_versions,
            &columns.codecs as &[&str],
            &columns.payloads as &[&[u8]],
            &columns.metadata,
            &columns.tagged,
            &columns.tags as &[&str],
        )
        .fetch_all(&mut *connection);
        let rows = self.answer(rows).await?;
        let first = rows.first().ok_or_else(|| Fault::Unconfirmed.during(APPEND))?;
        let before = first.last_version.ok_or_else(|| Fault::Unconfirmed.during(APPEND))?;
        if first.at_position.is_none() {
            let facts = [Facts::new(before, first.closed_by.as_deref(), first.is_known)];
            let breach =
                BreachColumns { position: first.breach_position, name: first.breach_name.as_deref() };
            return self.refuse(connection, append, &facts, breach).await;
        }
        let positions = rows.iter().map(|row| row.at_position.map(|at| Position(number(at))));
        let positions: Vec<_> = positions.collect::<Option<_>>().unwrap_or_default();
        let time = first.at_time.ok_or_else(|| Fault::Unconfirmed.during(APPEND))?;
        written(append, &[(number(before), positions)], time)
    }

    /// The event of an append that is nothing but one event, where a plain statement may append it.
    fn lone_event<'e>(&self, append: &'e Append) -> Option<&'e NewEvent> {
        let [part] = append.streams() else { return None };
        let [event] = &part.events[..] else { return None };
        let is_plain = append.condition().is_none() && event.metadata.tags.is_empty();
        // Behind a pooler a statement is planned whenever it is run.
        let is_quick = self.is_commit && !self.database.is_pooled() && self.database.is_long.load(Relaxed);
        (is_plain && is_quick).then_some(event)
    }

    /// A lone event; `None`, if nothing was written, because something speaks against it or may.
    async fn append_one(
        &self,
        connection: &mut PgConnection,
        append: &Append,
        part: &StreamAppend,
        event: &NewEvent,
        claim: i32,
    ) -> Result<Option<Written>, StoreError> {
        let row = sqlx::query_file!(
            "src/sql/append_one.sql",
            self.lock_ms,
            claim,
            part.stream.category(),
            part.stream.id(),
            expectation(part.expected),
            event.id.0,
            event.name.as_str(),
            schema_version(event),
            &*event.codec,
            &*event.payload,
            event.metadata.to_json(),
        )
        .fetch_optional(&mut *connection);
        let Some(row) = self.answer(row).await? else { return Ok(None) };
        let before = number(row.version).saturating_sub(1);
        written(append, &[(before, vec![Position(number(row.position))])], row.recorded_at).map(Some)
    }

    /// Several appends, of which no two go to the same stream; none, if one of them clashes with somebody else's.
    async fn append_all(
        &self,
        connection: &mut PgConnection,
        group: &[Append],
    ) -> Result<Vec<Written>, StoreError> {
        let parts: Vec<(usize, &StreamAppend)> = group
            .iter()
            .enumerate()
            .flat_map(|(index, append)| append.streams().iter().map(move |part| (index, part)))
            .collect();
        let each = |of: fn(&StreamAppend) -> &str| parts.iter().map(|(_, part)| of(part)).collect::<Vec<_>>();
        let events = parts.iter().enumerate().flat_map(|(index, (_, part))| {
            part.events.iter().enumerate().map(move |(number, event)| (place(index), place(number), event))
        });
        let (of_part, numbers): (Vec<i32>, Vec<i32>) = events.map(|(part, number, _)| (part, number)).unzip();
        let columns = Columns::of(parts.iter().flat_map(|(_, part)| &part.events));
        let mut claims = Claims::default();
        for append in group {
            claims.join(&Claims::of(append));
        }
        let claims = ClaimColumns::of(&claims);
        let conditions: Vec<_> = group.iter().map(condition_json).collect();
        let rows = sqlx::query_file!(
            "src/sql/append_group.sql",
            self.lock_ms,
            self.idle_ms as Option<i32>,
            claims.alone,
            &claims.keys,
            &claims.are_exclusive,
            &parts.iter().map(|&(append, _)| place(append)).collect::<Vec<_>>(),
            &each(|part| part.stream.category()) as &[&str],
            &each(|part| part.stream.id()) as &[&str],
            &parts.iter().map(|(_, part)| expectation(part.expected)).collect::<Vec<_>>(),
            &parts.iter().map(|(_, part)| length(part.events.len())).collect::<Vec<_>>(),
            &conditions as &[Option<String>],
            &of_part,
            &numbers,
            &columns.ids,
            &columns.names as &[&str],
            &columns.schema_versions,
            &columns.codecs as &[&str],
            &columns.payloads as &[&[u8]],
            &columns.metadata,
            &columns.tagged,
            &columns.tags as &[&str],
        )
        .fetch_all(&mut *connection);
        let rows = self.answer(rows).await?;
        if rows.len() != parts.len() {
            return Err(Fault::Unconfirmed.during(APPEND));
        }
        let mut rows = rows.into_iter();
        let mut outcomes = Vec::with_capacity(group.len());
        for append in group {
            let rows: Vec<_> = rows.by_ref().take(append.streams().len()).collect();
            let befores = rows.iter().map(|row| row.last_version).collect::<Option<Vec<_>>>();
            let befores = befores.ok_or_else(|| Fault::Unconfirmed.during(APPEND))?;
            let time =
                rows.first().and_then(|row| row.at_time).ok_or_else(|| Fault::Unconfirmed.during(APPEND))?;
            let places: Option<Vec<_>> = iter::zip(&rows, &befores)
                .map(|(row, &before)| {
                    let positions = row.at_positions.as_ref()?;
                    Some((number(before), positions.iter().map(|&at| Position(number(at))).collect()))
                })
                .collect();
            if let Some(places) = places {
                outcomes.push(written(append, &places, time)?);
                continue;
            }
            let facts: Vec<_> = iter::zip(&rows, befores)
                .map(|(row, before)| Facts::new(before, row.closed_by.as_deref(), row.is_known))
                .collect();
            let first = rows.first().ok_or_else(|| Fault::Unconfirmed.during(APPEND))?;
            let breach =
                BreachColumns { position: first.breach_position, name: first.breach_name.as_deref() };
            let refused = self.refuse(connection, append, &facts, breach).await;
            outcomes.push(match refused {
                // The others are committed already: this one alone was not, and its fault is not theirs.
                Err(error) if self.is_commit && !self.database.is_pooled() => {
                    Written { outcome: Err(error.into()), positions: Vec::new() }
                }
                refused => refused?,
            });
        }
        Ok(outcomes)
    }

    async fn answer<T>(
        &self,
        statement: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        if !self.is_commit {
            return self.database.within(APPEND, statement).await;
        }
        self.database.within_commit(APPEND, statement).await
    }

    /// The answer to an append that the database has refused, for these facts of its streams.
    async fn refuse(
        &self,
        connection: &mut PgConnection,
        append: &Append,
        facts: &[Facts],
        breach: BreachColumns<'_>,
    ) -> Result<Written, StoreError> {
        let mut history = KnownHistory::default();
        if let (Some(condition), Some(position)) = (append.condition(), breach.position) {
            let breach = self.breach(connection, condition, position, breach.name).await?;
            history.note_breach(condition.clone(), breach);
        }
        for (part, facts) in iter::zip(append.streams(), facts) {
            facts.note(&mut history, &part.stream);
        }
        if facts.iter().any(|facts| facts.is_known) {
            self.look_up_places(connection, append, &mut history).await?;
        }
        match decide(append, &history) {
            Some(outcome) => Ok(Written { outcome, positions: Vec::new() }),
            // Two descriptions of one rule, and they disagree.
            None => Err(Fault::Unconfirmed.during(APPEND)),
        }
    }

    /// What has broken a condition, from what the database says of it.
    async fn breach(
        &self,
        connection: &mut PgConnection,
        condition: &Condition,
        position: i64,
        name: Option<&str>,
    ) -> Result<Breach, StoreError> {
        if let Some(name) = name {
            let name = EventName::new(name.to_owned())
                .map_err(|source| Fault::BadName { name: name.to_owned(), source }.during(APPEND))?;
            return Ok(Breach::Overtaken(Overtaken { name, position: Position(number(position)) }));
        }
        let found = sqlx::query_file_scalar!("src/sql/event_at.sql", position).fetch_one(connection);
        let found = self.database.within(APPEND, found).await?;
        match condition.after.check(found.map(EventId), APPEND) {
            Err(error) => {
                self.database.doubt();
                Ok(Breach::OtherLog(error))
            }
            // The two looks were not at one log.
            Ok(()) => Err(StoreError::new(StoreErrorKind::Busy, APPEND)),
        }
    }

    /// The answer to an append that clashed with somebody else's, unless it may be tried again.
    pub(crate) async fn look_and_judge(
        &self,
        connection: &mut PgConnection,
        append: &Append,
    ) -> Result<Option<Outcome>, StoreError> {
        let streams: Vec<&StreamId> = append.streams().iter().map(|part| &part.stream).collect();
        let categories: Vec<&str> = streams.iter().map(|stream| stream.category()).collect();
        let ids: Vec<&str> = streams.iter().map(|stream| stream.id()).collect();
        let found = sqlx::query_file!("src/sql/look_up.sql", &categories as &[&str], &ids as &[&str])
            .fetch_all(&mut *connection);
        let mut history = KnownHistory::default();
        for (stream, row) in iter::zip(streams, self.database.within(APPEND, found).await?) {
            let closed_by = row.name.as_deref().filter(|name| Closing::of_event(name).is_some());
            Facts::new(row.version, closed_by, None).note(&mut history, stream);
        }
        self.look_up_places(connection, append, &mut history).await?;
        // Its condition is looked at when it is tried again.
        Ok(decide(append, &history))
    }

    async fn look_up_places(
        &self,
        connection: &mut PgConnection,
        append: &Append,
        history: &mut KnownHistory,
    ) -> Result<(), StoreError> {
        let ids: Vec<Uuid> = append.events().map(|event| event.id.0).collect();
        let places = sqlx::query_file!("src/sql/places.sql", &ids).fetch_all(connection);
        for place in self.database.within(APPEND, places).await? {
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
        Ok(())
    }
}

/// What an append comes to that is not written; `None`, if it is one that may be.
fn decide(append: &Append, history: &KnownHistory) -> Option<Outcome> {
    match judge(append.clone(), history, Position::START, DateTime::UNIX_EPOCH) {
        Ok(verdict) if verdict.events.is_empty() => Some(Ok(verdict.appended)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    }
}

/// The answer to an append that was written: for each stream the version before, and the positions of its events.
fn written(
    append: &Append,
    places: &[(u64, Vec<Position>)],
    time: DateTime<Utc>,
) -> Result<Written, StoreError> {
    let mut positions = Vec::new();
    let mut versions = Vec::with_capacity(places.len());
    for (part, (before, of_part)) in iter::zip(append.streams(), places) {
        if of_part.len() != part.events.len() {
            return Err(Fault::Unconfirmed.during(APPEND));
        }
        versions.push(Version(before + of_part.len() as u64));
        positions.extend(of_part);
    }
    if !positions.is_sorted_by(|one, next| one < next) {
        return Err(Fault::Unordered.during(APPEND));
    }
    let position = positions.last().copied().ok_or_else(|| Fault::Unconfirmed.during(APPEND))?;
    Ok(Written { outcome: Ok(Appended { position, recorded_at: time, versions }), positions })
}

/// What the database knows of a stream that an append went to.
struct Facts {
    version: u64,
    closing: Option<Closing>,
    /// Whether an event of the append is recorded already.
    is_known: bool,
}

impl Facts {
    fn new(version: i64, closed_by: Option<&str>, is_known: Option<bool>) -> Self {
        let closing = closed_by.and_then(Closing::of_event);
        Self { version: number(version), closing, is_known: is_known.unwrap_or_default() }
    }

    fn note(&self, history: &mut KnownHistory, stream: &StreamId) {
        if self.version > 0 {
            history.note_version(stream.clone(), Version(self.version));
        }
        if let Some(closing) = self.closing {
            history.note_closing(stream.clone(), closing);
        }
    }
}

/// What has broken the condition of an append, as the functions of the database say it: without a name if the log is another one.
struct BreachColumns<'a> {
    position: Option<i64>,
    name: Option<&'a str>,
}

fn condition_json(append: &Append) -> Option<String> {
    append.condition().map(|condition| condition.to_json().to_string())
}

/// The most claims that are locked one by one: the server has room for some thousands, over all who append.
pub(crate) const CLAIMS_MAX: usize = 256;

/// Claims as the functions of the database take them.
struct ClaimColumns {
    /// Whether it has the log to itself.
    alone: bool,
    keys: Vec<i32>,
    are_exclusive: Vec<bool>,
}

impl ClaimColumns {
    fn of(claims: &Claims) -> Self {
        if claims.has_everything() || claims.len() > CLAIMS_MAX {
            return Self { alone: true, keys: Vec::new(), are_exclusive: Vec::new() };
        }
        let (keys, are_exclusive) = claims.keys().unzip();
        Self { alone: false, keys, are_exclusive }
    }
}

/// An expectation as the functions of the database take it.
pub(crate) fn expectation(expected: Expected) -> i64 {
    match expected {
        Expected::Any => -2,
        Expected::Exists => -1,
        Expected::NoStream => 0,
        Expected::Exactly(version) => column(version.0),
    }
}

/// An index as Postgres counts.
fn place(index: usize) -> i32 {
    length(index + 1)
}

fn schema_version(event: &NewEvent) -> i32 {
    i32::try_from(event.schema_version).expect("checked before: no schema version is greater")
}

fn length(length: usize) -> i32 {
    i32::try_from(length).expect("groups have limits far below this")
}

/// Events as arrays.
struct Columns<'a> {
    ids: Vec<Uuid>,
    names: Vec<&'a str>,
    schema_versions: Vec<i32>,
    codecs: Vec<&'a str>,
    payloads: Vec<&'a [u8]>,
    metadata: Vec<String>,
    /// The tags of all events, and for each the number of its event.
    tagged: Vec<i32>,
    tags: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(events: impl IntoIterator<Item = &'a NewEvent>) -> Self {
        let mut columns = Self {
            ids: Vec::new(),
            names: Vec::new(),
            schema_versions: Vec::new(),
            codecs: Vec::new(),
            payloads: Vec::new(),
            metadata: Vec::new(),
            tagged: Vec::new(),
            tags: Vec::new(),
        };
        for (index, event) in events.into_iter().enumerate() {
            for tag in &event.metadata.tags {
                columns.tagged.push(place(index));
                columns.tags.push(tag.as_str());
            }
            columns.ids.push(event.id.0);
            columns.names.push(event.name.as_str());
            columns.schema_versions.push(schema_version(event));
            columns.codecs.push(&event.codec);
            columns.payloads.push(&event.payload);
            columns.metadata.push(event.metadata.to_json());
        }
        columns
    }
}
