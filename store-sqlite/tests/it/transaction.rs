//! Transactions that end in every way they can: the writer is free afterwards, and rows and checkpoint agree.

use std::time::{Duration, Instant};

use factum_core::{AppendError, Checkpoints, EventStore, Position, StoreErrorKind, Transactional};
use factum_sqlite::SqliteStore;
use sqlx::Executor;

use crate::support::{DropWhen, drop_after, everything, execute, file, one, ready, stranger};

async fn notes(store: &SqliteStore) -> u64 {
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM notes").fetch_one(store.pool()).await.expect("reads");
    u64::try_from(count).expect("a count")
}

/// One note, and the checkpoint one further.
async fn project(store: &SqliteStore, from: Position) -> Result<(), factum_core::StoreError> {
    let mut tx = store.begin().await?;
    tx.execute("INSERT INTO notes VALUES ('done')").await.expect("writes");
    store.commit_with_checkpoint(tx, "notes", from.into(), Position(from.0 + 1).into()).await
}

#[tokio::test]
async fn work_and_checkpoint_stay_together_wherever_the_future_is_dropped() {
    let (store, _dir) = ready().await;
    execute(&store, "CREATE TABLE notes (note TEXT)").await;
    let (mut dropped, mut done) = (0, 0);
    for polls in (0..60).chain(0..60) {
        for when in [DropWhen::Waiting, DropWhen::Answered] {
            let from = store.checkpoint("notes").await.expect("reads").position;
            match drop_after(polls, when, project(&store, from)).await {
                Some(outcome) => {
                    outcome.expect("commits");
                    done += 1;
                }
                None => dropped += 1,
            }
            // The writer is free at once, and in no transaction.
            store.append(one("a")).await.expect("appends");
            assert_eq!(notes(&store).await, store.checkpoint("notes").await.expect("reads").position.0);
        }
    }
    assert!(dropped >= 10 && done >= 10, "dropped {dropped}, done {done}");
    assert_eq!(everything(&store).await.len(), 240);
}

#[tokio::test]
async fn moving_a_checkpoint_may_be_dropped_anywhere() {
    let (store, _dir) = ready().await;
    let mut dropped = 0;
    for polls in 0..30 {
        for when in [DropWhen::Waiting, DropWhen::Answered] {
            let from = store.checkpoint("mails").await.expect("reads").position;
            let to = Position(from.0 + 1);
            let moved = drop_after(polls, when, store.move_checkpoint("mails", from.into(), to.into())).await;
            store.append(one("a")).await.expect("appends");
            let at = store.checkpoint("mails").await.expect("reads").position;
            if let Some(moved) = moved {
                moved.expect("moves");
                assert_eq!(at, to);
            } else {
                dropped += 1;
                assert!(at == from || at == to);
            }
        }
    }
    assert!(dropped >= 3, "dropped {dropped}");
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_and_transactions_that_are_dropped_leave_the_writer_usable() {
    let (store, _dir) = ready().await;
    execute(&store, "CREATE TABLE notes (note TEXT)").await;
    let mut tasks = Vec::new();
    for n in 0..400_u64 {
        let store = store.clone();
        let patience = Duration::from_micros((n * 7919) % 4000);
        tasks.push(tokio::spawn(async move {
            if n % 4 == 0 {
                let work = async {
                    let mut tx = store.begin().await.expect("begins");
                    tx.execute("INSERT INTO notes VALUES ('lost')").await.expect("writes");
                    tokio::time::sleep(Duration::from_micros(300)).await;
                };
                let _ = tokio::time::timeout(patience, work).await;
                None
            } else {
                let append = one(&(n % 10).to_string());
                let gone = tokio::time::timeout(patience, store.append(append.clone())).await.is_err();
                gone.then_some(append)
            }
        }));
    }
    let mut given_up = Vec::new();
    for task in tasks {
        given_up.extend(task.await.expect("no panic"));
    }
    assert!(!given_up.is_empty());

    // The outcome of what was given up is unknown; repeating it tells, and makes it certain.
    for append in given_up {
        let first = store.append(append.clone()).await.expect("appends");
        assert_eq!(store.append(append).await.expect("repeats"), first);
    }
    assert_eq!(everything(&store).await.len(), 300);
    assert_eq!(notes(&store).await, 0);
}

#[tokio::test]
async fn a_commit_that_fails_moves_nothing_and_frees_the_writer() {
    let (store, _dir) = ready().await;
    execute(
        &store,
        "CREATE TABLE parents (id INTEGER PRIMARY KEY);
         CREATE TABLE children (parent INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)",
    )
    .await;
    for _ in 0..3 {
        let mut tx = store.begin().await.expect("begins");
        tx.execute("INSERT INTO children VALUES (7)").await.expect("is looked at when committing");
        let error = store
            .commit_with_checkpoint(tx, "mails", Position(0).into(), Position(1).into())
            .await
            .expect_err("no parent");
        assert_eq!(error.kind(), &StoreErrorKind::Other);
        assert_eq!(store.checkpoint("mails").await.expect("reads").position, Position(0));
        store.append(one("a")).await.expect("appends");
    }
}

#[tokio::test]
async fn a_transaction_that_was_ended_by_hand_is_not_committed() {
    let (store, _dir) = ready().await;
    execute(&store, "CREATE TABLE notes (note TEXT)").await;
    for by_hand in ["ROLLBACK", "COMMIT", "ROLLBACK; BEGIN"] {
        let mut tx = store.begin().await.expect("begins");
        tx.execute(by_hand).await.expect("ends");
        let error = store
            .commit_with_checkpoint(tx, "notes", Position(0).into(), Position(1).into())
            .await
            .expect_err(by_hand);
        assert_eq!(error.kind(), &StoreErrorKind::Other);
        assert_eq!(store.checkpoint("notes").await.expect("reads").position, Position(0), "{by_hand}");
        store.append(one("a")).await.expect(by_hand);
        drop(store.begin().await.expect(by_hand));
    }
}

#[tokio::test]
async fn a_moved_checkpoint_has_the_facts_and_rolls_the_work_back() {
    let (store, _dir) = ready().await;
    execute(&store, "CREATE TABLE notes (note TEXT)").await;
    project(&store, Position(0)).await.expect("commits");

    let moved = StoreErrorKind::CheckpointMoved { expected: Position(0), actual: Position(1) };
    assert_eq!(project(&store, Position(0)).await.expect_err("moved").kind(), &moved);
    assert_eq!(notes(&store).await, 1);
    let error =
        store.move_checkpoint("notes", Position(0).into(), Position(9).into()).await.expect_err("moved");
    assert_eq!(error.kind(), &moved);
    assert_eq!(store.checkpoint("notes").await.expect("reads").position, Position(1));
    let never_moved = StoreErrorKind::CheckpointMoved { expected: Position(3), actual: Position(0) };
    let error = store
        .move_checkpoint("other", Position(3).into(), Position(9).into())
        .await
        .expect_err("never moved");
    assert_eq!(error.kind(), &never_moved);
}

#[tokio::test]
async fn those_who_wait_too_long_are_told_that_it_is_busy() {
    let (_, dir) = ready().await;
    let builder = SqliteStore::builder(file(&dir)).busy_timeout(Duration::from_millis(200));
    let store = builder.connect().await.expect("opens");
    let busy = |outcome: Result<_, AppendError>| match outcome {
        Err(AppendError::Store(error)) => error.kind() == &StoreErrorKind::Busy && error.is_transient(),
        _ => false,
    };

    let started = Instant::now();

    // By a transaction of this process, ...
    let tx = store.begin().await.expect("begins");
    assert!(busy(store.append(one("a")).await));
    assert_eq!(store.begin().await.expect_err("busy").kind(), &StoreErrorKind::Busy);
    drop(tx);
    store.append(one("a")).await.expect("is free again");

    // ... and by another program.
    let mut stranger = stranger(&file(&dir)).await;
    stranger.execute("BEGIN IMMEDIATE").await.expect("begins");
    assert!(busy(store.append(one("a")).await));
    assert_eq!(store.begin().await.expect_err("busy").kind(), &StoreErrorKind::Busy);
    let error =
        store.move_checkpoint("mails", Position(0).into(), Position(1).into()).await.expect_err("busy");
    assert_eq!(error.kind(), &StoreErrorKind::Busy);
    assert_eq!(everything(&store).await.len(), 1, "reading goes on");
    assert!(started.elapsed() < Duration::from_secs(4), "five times 200 ms");
    stranger.execute("ROLLBACK").await.expect("ends");
    store.append(one("a")).await.expect("is free again");
    assert_eq!(everything(&store).await.len(), 2);
}

#[tokio::test]
async fn the_pool_reads_and_does_not_write() {
    let (store, _dir) = ready().await;
    execute(&store, "CREATE TABLE notes (note TEXT)").await;
    let error = store.pool().execute("INSERT INTO notes VALUES ('x')").await.expect_err("only reads");
    assert_eq!(error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref(), Some("8"));
    assert_eq!(notes(&store).await, 0);
}

#[tokio::test]
async fn a_store_that_may_not_write_says_so() {
    let (store, _dir) = ready().await;
    let mut tx = store.begin().await.expect("begins");
    tx.execute("PRAGMA query_only = ON").await.expect("sets");
    drop(tx);
    let error = store.append(one("a")).await.expect_err("read only");
    assert!(matches!(error, AppendError::Store(error) if *error.kind() == StoreErrorKind::ReadOnly));
    // The transaction that could not write is not left behind: its connection was closed, and the next may write.
    store.append(one("a")).await.expect("appends");
}
