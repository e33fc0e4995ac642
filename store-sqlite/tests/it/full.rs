//! When there is no more room: nothing is half written, and it goes on when there is room again.

use factum_core::store::Append;
use factum_core::{AppendError, Checkpoints, EventStore, Expected, Position, StoreErrorKind, Transactional};
use factum_sqlite::SqliteStore;
use sqlx::Executor;
use tempfile::TempDir;

use crate::support::{event_of, everything, execute, file, one, stream};

/// A store in a file of at most 1 MiB, most of it taken by a table of the application.
async fn cramped() -> (SqliteStore, TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::builder(file(&dir)).file_bytes_max(1 << 20).connect().await.expect("opens");
    store.migrate().await.expect("migrates");
    execute(&store, "CREATE TABLE ballast (bytes BLOB); INSERT INTO ballast VALUES (zeroblob(500000))").await;
    (store, dir)
}

fn is_full(error: &AppendError) -> bool {
    matches!(error, AppendError::Store(error) if *error.kind() == StoreErrorKind::Full)
}

#[tokio::test]
async fn a_full_file_takes_whole_appends_or_none_and_recovers() {
    let (store, _dir) = cramped().await;
    let append = || {
        let events = || (0..10).map(|_| event_of(2000)).collect();
        Append::to(stream("a"), Expected::Any, events()).and(stream("b"), Expected::Any, events())
    };
    let mut appended = 0;
    let error = loop {
        match store.append(append()).await {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
    };
    assert!(is_full(&error), "{error:?}");
    assert!(appended > 2, "there was room at first");
    assert_eq!(everything(&store).await.len(), appended * 20);
    assert!(is_full(&store.append(append()).await.expect_err("still full")));

    execute(&store, "DROP TABLE ballast").await;
    let again = store.append(append()).await.expect("there is room again");
    let all = everything(&store).await;
    assert_eq!(all.len(), (appended + 1) * 20);
    assert_eq!(all.last().expect("some").position, again.position);
    let positions: Vec<_> = all.iter().map(|event| event.position.0).collect();
    assert_eq!(positions, (1..=again.position.0).collect::<Vec<_>>(), "failures use up no position");

    // One of several statements, of which the first has room.
    let many = (0..5000).map(|_| event_of(1)).collect();
    let many = Append::to(stream("many"), Expected::NoStream, many);
    assert!(is_full(&store.append(many).await.expect_err("too many")));
    assert_eq!(everything(&store).await, all);
    store.append(append()).await.expect("there is room for less");
}

#[tokio::test]
async fn what_has_room_is_taken_though_its_neighbours_in_the_group_have_none() {
    let (store, _dir) = cramped().await;
    let tx = store.begin().await.expect("begins");
    let mut tasks = Vec::new();
    for n in 0..20 {
        let append = match n % 4 {
            0 => Append::to(stream("large"), Expected::Any, vec![event_of(600_000)]),
            _ => one("small"),
        };
        let store = store.clone();
        tasks.push(tokio::spawn(async move { (n, store.append(append).await) }));
        tokio::task::yield_now().await;
    }
    drop(tx);
    for task in tasks {
        match task.await.expect("no panic") {
            (n, Err(error)) if n % 4 == 0 => assert!(is_full(&error), "{error:?}"),
            (n, outcome) => assert!(outcome.is_ok() && n % 4 != 0, "{n}: {outcome:?}"),
        }
    }
    assert_eq!(everything(&store).await.len(), 15);
}

#[tokio::test]
async fn what_is_left_of_a_transaction_that_sqlite_rolled_back_is_not_committed() {
    let (store, _dir) = cramped().await;
    execute(&store, "CREATE TABLE notes (note TEXT)").await;
    let mut tx = store.begin().await.expect("begins");
    tx.execute("INSERT INTO notes VALUES ('first')").await.expect("writes");
    tx.execute("INSERT INTO ballast VALUES (zeroblob(900000))").await.expect_err("full");

    // A handler that goes on as if nothing had happened.
    let error = store
        .commit_with_checkpoint(tx, "notes", Position(0).into(), Position(5).into())
        .await
        .expect_err("gone");
    assert_eq!(error.kind(), &StoreErrorKind::Other);
    assert_eq!(store.checkpoint("notes").await.expect("reads").position, Position(0));
    let notes: i64 =
        sqlx::query_scalar("SELECT count(*) FROM notes").fetch_one(store.pool()).await.expect("reads");
    assert_eq!(notes, 0);

    // And the writer is free, and in no transaction.
    for position in 0..3 {
        store.append(one("a")).await.expect("appends");
        let mut tx = store.begin().await.expect("begins");
        tx.execute("INSERT INTO notes VALUES ('again')").await.expect("writes");
        let (from, to) = (Position(position), Position(position + 1));
        store.commit_with_checkpoint(tx, "notes", from.into(), to.into()).await.expect("commits");
    }
}
