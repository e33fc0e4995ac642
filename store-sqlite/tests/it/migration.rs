//! The schema is made when asked for, checked before the first use, and never guessed at.

use std::path::Path;

use factum_core::store::{Filter, ReadAll};
use factum_core::{AppendError, Checkpoints, EventStore, Position, StoreErrorKind, Transactional};
use factum_sqlite::SqliteStore;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Executor, SqlSafeStr};

use crate::support::{everything, execute, file, one, ready, stranger};

/// The last migration in the folder.
const NEEDED: i64 = 2;

/// Why an append does not happen.
async fn refusal(store: &SqliteStore) -> StoreErrorKind {
    match store.append(one("a")).await {
        Err(AppendError::Store(error)) => error.kind().clone(),
        other => panic!("a refusal, not {other:?}"),
    }
}

/// What `sqlx migrate run` does in the folder of the crate.
async fn run_folder(connection: &mut SqliteConnection, target: Option<i64>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut migrator = Migrator::new(folder).await.expect("reads the folder");
    migrator.dangerous_set_table_name("_factum_migrations");
    match target {
        Some(target) => migrator.run_to(target, connection).await,
        None => migrator.run(connection).await,
    }
    .expect("migrates");
}

/// The definitions of all tables and indexes.
async fn schema(connection: &mut SqliteConnection) -> Vec<(String, Option<String>)> {
    sqlx::query_as("SELECT name, sql FROM sqlite_schema ORDER BY name")
        .fetch_all(connection)
        .await
        .expect("reads")
}

#[tokio::test]
async fn connecting_makes_no_tables_and_using_says_what_is_missing() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::connect(file(&dir)).await.expect("opens");
    let missing = StoreErrorKind::NotMigrated { found: None, needed: NEEDED };
    let read = ReadAll { after: Position::START, filter: Filter::all(), limit: 1 };

    assert_eq!(refusal(&store).await, missing);
    assert_eq!(store.read_all(read).await.expect_err("no tables").kind(), &missing);
    assert_eq!(store.checkpoint("mails").await.expect_err("no tables").kind(), &missing);
    assert_eq!(store.wait(Position::START).await.expect_err("no tables").kind(), &missing);
    let tx = store.begin().await.expect("needs no table");
    let error =
        store.commit_with_checkpoint(tx, "mails", Position(0), Position(1)).await.expect_err("no tables");
    assert_eq!(error.kind(), &missing);
    assert_eq!(schema(&mut stranger(&file(&dir)).await).await, []);

    store.migrate().await.expect("migrates");
    store.append(one("a")).await.expect("appends");
}

#[tokio::test]
async fn an_old_database_is_refused_until_it_is_migrated() {
    let dir = tempfile::tempdir().expect("a folder");
    run_folder(&mut stranger(&file(&dir)).await, Some(1)).await;
    let store = SqliteStore::connect(file(&dir)).await.expect("opens");

    assert_eq!(refusal(&store).await, StoreErrorKind::NotMigrated { found: Some(1), needed: NEEDED });
    store.migrate().await.expect("migrates");
    store.append(one("a")).await.expect("appends");
}

#[tokio::test]
async fn a_newer_database_is_refused() {
    let (store, dir) = ready().await;
    execute(&store, "INSERT INTO _factum_migrations VALUES (99, 'later', 0, TRUE, x'00', 0)").await;
    store.close().await;

    let store = SqliteStore::connect(file(&dir)).await.expect("opens");
    let newer = StoreErrorKind::NewerThanProgram { found: 99, known: NEEDED };
    assert_eq!(refusal(&store).await, newer);
    assert_eq!(store.migrate().await.expect_err("newer").kind(), &newer);
}

#[tokio::test]
async fn the_folder_and_the_program_make_the_same_schema() {
    let (store, dir) = ready().await;
    let by_folder = tempfile::tempdir().expect("a folder");
    let mut connection = stranger(&file(&by_folder)).await;
    run_folder(&mut connection, None).await;

    let by_program = schema(&mut stranger(&file(&dir)).await).await;
    assert!(by_program.iter().any(|(name, _)| name == "factum_events"));
    assert_eq!(schema(&mut connection).await, by_program);

    // Each takes over from the other, checksums included.
    run_folder(&mut stranger(&file(&dir)).await, None).await;
    store.append(one("a")).await.expect("appends");
    let other = SqliteStore::connect(file(&by_folder)).await.expect("opens");
    other.append(one("a")).await.expect("appends");
    other.migrate().await.expect("has nothing to do");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_open_and_migrate_a_new_file_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let path = file(&dir);
            tokio::spawn(async move {
                let store = SqliteStore::connect(path).await.expect("opens");
                store.migrate().await.expect("migrates");
                store.append(one("a")).await.expect("appends");
                store
            })
        })
        .collect();
    let mut store = None;
    for task in tasks {
        store = Some(task.await.expect("no panic"));
    }
    assert_eq!(everything(&store.expect("there are 8")).await.len(), 8);
}

#[tokio::test]
async fn tables_that_are_lost_on_the_way_are_told() {
    let (store, _dir) = ready().await;
    store.append(one("a")).await.expect("appends");
    execute(&store, "DROP TABLE factum_events; DROP TABLE factum_checkpoints; DROP TABLE _factum_migrations")
        .await;

    let missing = StoreErrorKind::NotMigrated { found: None, needed: NEEDED };
    let read = ReadAll { after: Position::START, filter: Filter::all(), limit: 1 };
    assert_eq!(refusal(&store).await, missing);
    assert_eq!(store.read_all(read).await.expect_err("no table").kind(), &missing);
    let error = store.move_checkpoint("mails", Position(0), Position(1)).await.expect_err("no table");
    assert_eq!(error.kind(), &missing);
}

#[tokio::test]
async fn the_applications_own_migrations_live_beside_ours() {
    let (store, _dir) = ready().await;
    let sql = "CREATE TABLE orders (id TEXT PRIMARY KEY)".into_sql_str();
    let own = Migrator::with_migrations(vec![Migration::new(
        1,
        "orders".into(),
        MigrationType::Simple,
        sql,
        false,
    )]);

    let mut tx = store.begin().await.expect("begins");
    own.run(&mut *tx).await.expect("migrates");
    tx.execute("INSERT INTO orders VALUES ('42')").await.expect("writes");
    tx.commit().await.expect("commits");

    let orders: i64 =
        sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(store.pool()).await.expect("reads");
    assert_eq!(orders, 1);
    store.migrate().await.expect("has nothing to do");
    store.append(one("a")).await.expect("appends");
}
