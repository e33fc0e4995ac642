//! What a store settles for its connections, whatever the defaults of the database are.

use std::time::Duration;

use factum_core::retention::Retention;
use factum_core::store::Uncommitted;
use factum_core::{
    AppendError, Checkpoint, Checkpoints, EventStore, Expected, Position, StoreErrorKind, Transactional,
    Version,
};
use factum_postgres::{Builder, PostgresStore};
use factum_testkit::{Database, PgBouncer};
use sqlx::{AssertSqlSafe, PgPool};

use crate::given::{
    PATIENCE, SOMEBODY_WAITS_FOR_THE_LOCK, all_events, database, empty_database, event, events_of, kind_of,
    migrations, one, pause_in_the_insert, positions, run, stranger, stream, take_the_lock, until, url_with,
};

/// That no append has stopped between the insert and the commit.
const NOBODY_SLEEPS: &str =
    "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
    AND wait_event = 'PgSleep')";

/// A database whose connections have a setting by default.
async fn database_with(setting: &str, value: &str) -> Database {
    let database = database().await;
    let alter = format!("ALTER DATABASE \"{}\" SET {setting} = '{value}'", database.name());
    sqlx::raw_sql(AssertSqlSafe(alter)).execute(&mut stranger(&database).await).await.expect("alters");
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn another_isolation_by_default_changes_nothing() {
    for isolation in ["repeatable read", "serializable"] {
        let database = database_with("default_transaction_isolation", isolation).await;
        let store = PostgresStore::connect(database.url()).await.expect("connects");
        store.append(one("1", Expected::NoStream)).await.expect("appends");
        // It waits for the lock, and then sees what was committed meanwhile by the one who had it.
        let mut holder = stranger(&database).await;
        run(&mut holder, "SET default_transaction_isolation = 'read committed'").await;
        take_the_lock(&mut holder).await;
        let waiting = tokio::spawn({
            let store = store.clone();
            async move { store.append(one("1", Expected::Exactly(Version(2)))).await }
        });
        until(&mut stranger(&database).await, SOMEBODY_WAITS_FOR_THE_LOCK).await;
        let append = "SELECT factum_append(1000, NULL, false, '{}', '{}', 'order', '1', 1, NULL, ARRAY[gen_random_uuid()],
                                           ARRAY['tested'], ARRAY[1], ARRAY['json'], ARRAY['{}'::bytea], ARRAY['{}'], '{}',
                                           '{}')";
        run(&mut holder, append).await;
        run(&mut holder, "COMMIT").await;
        let appended = tokio::time::timeout(PATIENCE, waiting).await.expect("in time").expect("no panic");
        assert_eq!(appended.expect("appends").version(), Version(3), "{isolation}");

        let two = one("1", Expected::Any).and(stream("2"), Expected::NoStream, vec![event()]);
        store.append(two).await.expect("appends");
        store.archive_stream(&stream("1"), Expected::Any).await.expect("archives");
        store.move_checkpoint("s", Checkpoint::START, Position(2).into()).await.expect("moves");
        let mut tx = store.begin().await.expect("begins");
        store.append_in(&mut tx, one("2", Expected::Any)).await.expect("appends");
        store.commit(tx).await.expect("commits");
        assert_eq!(positions(&all_events(&store).await), [1, 2, 3, 4, 5, 6, 7]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_whose_isolation_is_another_is_refused_where_something_is_decided() {
    for isolation in ["repeatable read", "serializable"] {
        let database = database_with("default_transaction_isolation", isolation).await;
        let pool = PgPool::connect(database.url()).await.expect("connects");
        let store = PostgresStore::from_pool(pool);
        let two = one("1", Expected::Any).and(stream("2"), Expected::Any, vec![event()]);
        for append in [one("1", Expected::Any), two] {
            let refused = store.append(append).await;
            assert_eq!(kind_of(refused), StoreErrorKind::Other, "{isolation}");
        }
        for refused in [
            store.delete_stream(&stream("1"), Expected::Any).await.map(drop),
            store.truncate_stream(&stream("1"), Version(1)).await,
            store.restore_stream(&stream("1")).await.map(drop),
        ] {
            match refused {
                Err(AppendError::Store(error)) => {
                    assert_eq!(*error.kind(), StoreErrorKind::Other, "{isolation}");
                }
                other => panic!("expected a refusal, got {other:?}"),
            }
        }
        assert_eq!(all_events(&store).await.len(), 0);
        // Its own transactions say for themselves what they are.
        let mut tx = store.begin().await.expect("begins");
        store.append_in(&mut tx, one("1", Expected::Any)).await.expect("appends");
        store.commit(tx).await.expect("commits");
        assert_eq!(events_of(&store, "1").await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_isolation_by_default_changes_nothing_behind_a_pooler() {
    let database = database_with("default_transaction_isolation", "serializable").await;
    let bouncer = PgBouncer::in_front_of(database.url()).expect("pgbouncer is installed");
    let builder = PostgresStore::builder().transaction_pooler(true);
    let store = builder.connect(bouncer.url()).await.expect("sends nothing that a pooler refuses");
    store.append(one("1", Expected::Any)).await.expect("appends");
    store.archive_stream(&stream("1"), Expected::Any).await.expect("archives");
}

/// Nobody waits for the server any longer, and it goes on.
async fn given_up(builder: Builder, url: &str) -> PostgresStore {
    let builder = builder.answer_timeout(Duration::from_millis(400)).retry_for(Duration::ZERO);
    let store = builder.connect(url).await.expect("connects");
    let lost = store.append(one("slow", Expected::Any)).await;
    assert_eq!(kind_of(lost), StoreErrorKind::OutcomeUnknown);
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_gives_up_soon_after_the_client() {
    let database = database().await;
    let bouncer = PgBouncer::in_front_of(database.url()).expect("pgbouncer is installed");
    let mut stranger = stranger(&database).await;
    pause_in_the_insert(&mut stranger, 3, 60.0).await;
    let store = given_up(PostgresStore::builder(), database.url()).await;
    until(&mut stranger, NOBODY_SLEEPS).await;
    given_up(PostgresStore::builder().transaction_pooler(true), bouncer.url()).await;
    until(&mut stranger, NOBODY_SLEEPS).await;
    // And in a transaction.
    let mut tx = store.begin().await.expect("begins");
    let lost = store.append_in(&mut tx, one("slow", Expected::Any)).await;
    assert_eq!(kind_of(lost.map(Uncommitted::committed)), StoreErrorKind::Busy);
    drop(tx);
    until(&mut stranger, NOBODY_SLEEPS).await;
    assert_eq!(events_of(&store, "slow").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_takes_as_long_as_it_takes() {
    let database = empty_database().await;
    let mut holder = stranger(&database).await;
    migrations().await.run_to(2, &mut holder).await.expect("migrates half the way");
    run(&mut holder, "BEGIN; LOCK TABLE factum_checkpoints IN ACCESS SHARE MODE").await;
    let hasty = PostgresStore::builder().answer_timeout(Duration::from_millis(200));
    let store = hasty.connect(database.url()).await.expect("connects");
    let migrating = tokio::spawn(async move { store.migrate().await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!migrating.is_finished());
    run(&mut holder, "COMMIT").await;
    let migrated = tokio::time::timeout(PATIENCE, migrating).await.expect("in time").expect("no panic");
    migrated.expect("was not given up");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_knows_better_sets_the_time_limit_of_the_server() {
    let database = database().await;
    let limit = async |builder: Builder, setting: &str| -> String {
        let store = builder.connect(&url_with(&database, setting)).await.expect("connects");
        let limit = sqlx::query_scalar("SHOW statement_timeout").fetch_one(store.pool()).await;
        limit.expect("answers")
    };
    let of = |seconds| PostgresStore::builder().answer_timeout(Duration::from_secs(seconds));
    assert_eq!(limit(PostgresStore::builder(), "geqo=off").await, "45s");
    assert_eq!(limit(of(2), "geqo=off").await, "3s");
    assert_eq!(limit(of(2), "statement_timeout=7min").await, "7min");
    // Longer than Postgres can count.
    assert_eq!(limit(of(u64::MAX), "geqo=off").await, "2147483647ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_stands_still_holds_its_rows_for_a_limited_time() {
    let database = database().await;
    run(&mut stranger(&database).await, "CREATE TABLE counts (name text PRIMARY KEY, count bigint)").await;
    run(&mut stranger(&database).await, "INSERT INTO counts VALUES ('all', 0)").await;
    let builder = || PostgresStore::builder().answer_timeout(Duration::from_secs(2));
    let paused = builder().connect(database.url()).await.expect("connects");
    let next = builder().connect(database.url()).await.expect("connects");
    let count = "UPDATE counts SET count = count + 1";
    let mut standing = paused.begin().await.expect("begins");
    sqlx::raw_sql(count).execute(&mut *standing).await.expect("counts");

    // Whoever takes over waits for the row, and is not given up before it has it.
    let mut tx = next.begin().await.expect("begins");
    let counted = sqlx::raw_sql(count).execute(&mut *tx);
    tokio::time::timeout(PATIENCE, counted).await.expect("in time").expect("counts");
    next.commit(tx).await.expect("commits");
    // And who stood still has done nothing.
    paused.commit(standing).await.expect_err("it was ended");
    let total: i64 = sqlx::query_scalar("SELECT count FROM counts")
        .fetch_one(&mut stranger(&database).await)
        .await
        .expect("reads");
    assert_eq!(total, 1);
}
