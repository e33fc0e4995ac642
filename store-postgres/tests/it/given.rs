//! What tests begin with: a database, a store in it, something to append.

use std::path::Path;
use std::time::{Duration, Instant};

use factum_core::store::{Append, Filter, ReadAll, ReadStream};
use factum_core::{
    EventId, EventName, EventStore, Expected, Metadata, NewEvent, Position, RecordedEvent, StoreErrorKind,
    StreamId, Version,
};
use factum_postgres::PostgresStore;
use factum_testkit::{Database, Postgres};
use sqlx::migrate::Migrator;
use sqlx::{Connection as _, PgConnection};

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
    let checksums: Vec<_> = migrations().await.iter().map(|migration| migration.checksum.to_vec()).collect();
    let key = format!("factum-postgres {checksums:?}");
    let server = server();
    let filled = server.database_like(&key, async |url| {
        let store = PostgresStore::connect(url).await?;
        store.migrate().await?;
        store.close().await;
        Ok(())
    });
    filled.await.unwrap_or_else(|error| panic!("{error}"))
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

/// Takes the lock of appends, as a process does that is slow to append.
pub(crate) async fn take_the_lock(connection: &mut PgConnection) {
    run(connection, "BEGIN; SELECT pg_advisory_xact_lock(x'66616374'::int, 1)").await;
}

/// That as many backends wait for the lock of appends.
pub(crate) const ONE_WAITS_FOR_THE_LOCK: &str = "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' \
    AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

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
    let read = ReadStream { stream: stream(id), after: Version::NONE, limit: usize::MAX };
    store.read_stream(read).await.expect("reads").events
}

pub(crate) async fn all_events(store: &PostgresStore) -> Vec<RecordedEvent> {
    let read = ReadAll { after: Position::START, filter: Filter::all(), limit: usize::MAX };
    store.read_all(read).await.expect("reads").events
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
