//! What tests begin with: a database, a store in it, something to append.

use std::path::Path;
use std::time::{Duration, Instant};

use factum_core::store::{Append, ReadAll, ReadStream};
use factum_core::{
    EventId, EventName, EventStore, Expected, Metadata, NewEvent, Position, RecordedEvent, StoreErrorKind,
    StreamId,
};
use factum_postgres::PostgresStore;
use factum_testkit::{Database, OwnServer, Postgres};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// No step of a test takes longer, unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn server() -> Postgres {
    Postgres::shared().unwrap_or_else(|error| panic!("{error}"))
}

/// A database without tables.
pub(crate) async fn empty_database() -> Database {
    server().database().await.unwrap_or_else(|error| panic!("{error}"))
}

/// A database with the tables of this crate.
pub(crate) async fn database() -> Database {
    database_prepared_by("").await
}

/// The same, with a log as of one that has been there for long: the next position is a great one.
pub(crate) async fn long_database() -> Database {
    database_prepared_by("SELECT setval('factum_position', 1000000); CREATE TABLE notes (note text NOT NULL)")
        .await
}

/// The same, after these statements.
async fn database_prepared_by(sql: &'static str) -> Database {
    let checksums: Vec<_> = migrations().await.iter().map(|migration| migration.checksum.to_vec()).collect();
    let key = format!("factum-postgres {checksums:?} {sql}");
    let server = server();
    let filled = server.database_like(&key, async |url| {
        let store = PostgresStore::connect(url).await?;
        store.migrate().await?;
        sqlx::raw_sql(sql).execute(store.pool()).await?;
        store.close().await;
        Ok(())
    });
    filled.await.unwrap_or_else(|error| panic!("{error}"))
}

/// A server that the test may break, and a store in it.
pub(crate) async fn migrated_server() -> (OwnServer, PostgresStore) {
    let server = tokio::task::spawn_blocking(OwnServer::start).await.expect("no panic");
    let server = server.unwrap_or_else(|error| panic!("{error}"));
    let store = PostgresStore::connect(server.url()).await.expect("the server is there");
    store.migrate().await.expect("migrates");
    (server, store)
}

/// The URL of the database, with a setting for every connection.
pub(crate) fn url_with(database: &Database, setting: &str) -> String {
    let joint = if database.url().contains('?') { '&' } else { '?' };
    format!("{}{joint}options=-c{setting}", database.url())
}

/// The number of the last file in `migrations/`.
pub(crate) async fn last_migration() -> i64 {
    migrations().await.iter().map(|migration| migration.version).max().expect("there are some")
}

/// The files in `migrations/`, as `sqlx migrate run` reads them.
pub(crate) async fn migrations() -> Migrator {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut migrator = Migrator::new(folder).await.expect("the folder is readable");
    migrator.dangerous_set_table_name("_factum_migrations");
    migrator
}

pub(crate) async fn store(database: &Database) -> PostgresStore {
    PostgresStore::connect(database.url()).await.expect("the database is there")
}

/// A store that tries everything once.
pub(crate) async fn hasty_store(database: &Database) -> PostgresStore {
    let builder = PostgresStore::builder().retry_for(Duration::ZERO);
    builder.connect(database.url()).await.expect("the database is there")
}

/// A store that commits one group of appends at a time.
pub(crate) async fn store_with_one_lane(database: &Database) -> PostgresStore {
    let builder = PostgresStore::builder().append_lanes(1);
    builder.connect(database.url()).await.expect("the database is there")
}

/// A connection of somebody else.
pub(crate) async fn stranger(database: &Database) -> PgConnection {
    PgConnection::connect(database.url()).await.expect("the database is there")
}

/// Runs statements for their effect.
pub(crate) async fn run(connection: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(connection).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Waits until the query says `true`.
pub(crate) async fn until(connection: &mut PgConnection, query: &'static str) {
    let begin = Instant::now();
    loop {
        let is_so: Option<bool> = sqlx::query_scalar(query)
            .fetch_one(&mut *connection)
            .await
            .unwrap_or_else(|error| panic!("{query}: {error}"));
        if is_so == Some(true) {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "never became true: {query}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Takes the lock of appends for itself alone, which no append does: so they all wait, until the transaction ends.
pub(crate) async fn take_the_lock(connection: &mut PgConnection) {
    run(
        connection,
        "BEGIN; SELECT pg_advisory_xact_lock(1717658484, 'factum_events'::regclass::oid::integer)",
    )
    .await;
}

/// That one backend waits for the lock of appends.
pub(crate) const SOMEBODY_WAITS_FOR_THE_LOCK: &str = "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' \
    AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Makes appends to `order/slow` stop between the insert and the commit, the first so many of them.
pub(crate) async fn pause_in_the_insert(connection: &mut PgConnection, times: u32, seconds: f64) {
    pause(connection, times, seconds, "TRIGGER pause AFTER INSERT ON factum_events").await;
}

/// The same in the commit.
pub(crate) async fn pause_in_the_commit(connection: &mut PgConnection, times: u32, seconds: f64) {
    let when = "CONSTRAINT TRIGGER pause AFTER INSERT ON factum_events DEFERRABLE INITIALLY DEFERRED";
    pause(connection, times, seconds, when).await;
}

async fn pause(connection: &mut PgConnection, times: u32, seconds: f64, when: &str) {
    // A sequence counts also what is rolled back.
    let sql = format!(
        "CREATE SEQUENCE pauses;
         CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN
             IF nextval(''pauses'') <= {times} THEN PERFORM pg_sleep({seconds}); END IF;
             RETURN NULL;
         END';
         CREATE {when} FOR EACH ROW WHEN (NEW.stream = 'slow') EXECUTE FUNCTION pause()"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.expect("makes the trigger");
}

/// That one append has stopped so.
pub(crate) const ONE_SLEEPS: &str =
    "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";

/// That nothing of anybody but the asking connection is open in the database.
pub(crate) const ALL_IS_QUIET: &str = "SELECT \
    NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
        AND pid <> pg_backend_pid() AND state <> 'idle') \
    AND NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' \
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";

pub(crate) fn stream(id: &str) -> StreamId {
    StreamId::new("order", id).expect("tests use valid names")
}

pub(crate) fn event() -> NewEvent {
    event_named("tested")
}

pub(crate) fn event_named(name: &str) -> NewEvent {
    NewEvent {
        id: EventId::new(),
        name: EventName::new(name.to_owned()).expect("tests use valid names"),
        schema_version: 1,
        codec: "json".into(),
        payload: r#"{"a":1}"#.into(),
        metadata: Metadata::default(),
    }
}

/// One event for `stream/<id>`.
pub(crate) fn one(id: &str, expected: Expected) -> Append {
    Append::to(stream(id), expected, vec![event()])
}

pub(crate) async fn events_of(store: &PostgresStore, id: &str) -> Vec<RecordedEvent> {
    let read = ReadStream::new(stream(id)).limit(usize::MAX);
    store.read_stream(read).await.expect("reads").events
}

/// What the feed has, to its end.
pub(crate) async fn all_events(store: &PostgresStore) -> Vec<RecordedEvent> {
    let (mut events, mut after) = (Vec::new(), Position::START);
    loop {
        let page = store.read_all(ReadAll::after(after)).await.expect("reads");
        events.extend(page.events);
        after = page.checkpoint.position;
        if page.end {
            return events;
        }
    }
}

/// Reads on until it has seen as many events.
pub(crate) async fn follow(store: PostgresStore, events: usize) -> Vec<RecordedEvent> {
    let (mut seen, mut after) = (Vec::new(), Position::START);
    while seen.len() < events {
        store.wait(after).await.expect("waits");
        let page = store.read_all(ReadAll::after(after).limit(50)).await.expect("reads");
        assert!(page.checkpoint.position >= after);
        after = page.checkpoint.position;
        seen.extend(page.events);
    }
    seen
}

pub(crate) fn positions(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.position.0).collect()
}

/// The answer to a query that has one.
pub(crate) async fn ask<T>(connection: &mut PgConnection, query: &'static str) -> T
where
    T: sqlx::Type<sqlx::Postgres> + for<'r> sqlx::Decode<'r, sqlx::Postgres> + Send + Unpin,
{
    sqlx::query_scalar(query).fetch_one(connection).await.unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// What is wrong with the store, if the append failed for that.
pub(crate) fn kind_of(
    outcome: Result<factum_core::store::Appended, factum_core::AppendError>,
) -> StoreErrorKind {
    match outcome {
        Err(factum_core::AppendError::Store(error)) => error.kind().clone(),
        other => panic!("expected an ill store, got {other:?}"),
    }
}
