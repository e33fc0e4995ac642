//! Checkpoints, when two processes run the same subscription.

use factum_core::{Checkpoints, Position, StoreErrorKind, Transactional};
use sqlx::Connection as _;

use crate::given::{ALL_IS_QUIET, database, run, store, stranger, until};

#[tokio::test(flavor = "multi_thread")]
async fn of_racing_moves_exactly_one_wins() {
    let database = database().await;
    let stores = [store(&database).await, store(&database).await];
    // The first move makes the row, the others change it.
    for from in 0..10 {
        let moves: Vec<_> = (0..16)
            .map(|racer| {
                let store = stores[racer % 2].clone();
                tokio::spawn(async move {
                    store.move_checkpoint("s", Position(from).into(), Position(from + 1).into()).await
                })
            })
            .collect();
        let mut won = 0;
        for racer in moves {
            match racer.await.expect("no panic") {
                Ok(()) => won += 1,
                Err(error) => assert_eq!(
                    *error.kind(),
                    StoreErrorKind::CheckpointMoved { expected: Position(from), actual: Position(from + 1) }
                ),
            }
        }
        assert_eq!(won, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_can_be_put_back_to_the_start() {
    let database = database().await;
    let store = store(&database).await;
    store.move_checkpoint("s", Position(0).into(), Position(5).into()).await.expect("moves");
    store.move_checkpoint("s", Position(5).into(), Position(0).into()).await.expect("moves back");
    store.move_checkpoint("s", Position(0).into(), Position(3).into()).await.expect("moves on");
    assert_eq!(store.checkpoint("s").await.expect("reads").position, Position(3));
}

#[tokio::test]
async fn a_refused_transaction_is_over_when_the_refusal_is_told() {
    let database = database().await;
    let store = store(&database).await;
    let mut stranger = stranger(&database).await;
    run(&mut stranger, "CREATE TABLE notes (note text)").await;
    let mut tx = store.begin().await.expect("begins");
    sqlx::raw_sql("INSERT INTO notes VALUES ('written')").execute(&mut *tx).await.expect("writes");
    let refused = store
        .commit_with_checkpoint(tx, "s", Position(1).into(), Position(2).into())
        .await
        .expect_err("never was there");
    let moved = StoreErrorKind::CheckpointMoved { expected: Position(1), actual: Position(0) };
    assert_eq!(*refused.kind(), moved);
    // Asked while this thread stands still, so that nobody can tidy up behind it.
    let url = database.url().to_owned();
    let open = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut connection = sqlx::PgConnection::connect(&url).await.expect("connects");
            let query = "SELECT EXISTS (SELECT FROM pg_stat_activity
                         WHERE datname = current_database() AND state LIKE 'idle in%')";
            sqlx::query_scalar::<_, bool>(query).fetch_one(&mut connection).await.expect("asks")
        })
    });
    assert!(!open.join().expect("no panic"));
    until(&mut stranger, "SELECT NOT EXISTS (SELECT FROM notes)").await;
    until(&mut stranger, ALL_IS_QUIET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_the_database_refuses_is_known_to_have_failed() {
    let database = database().await;
    let store = store(&database).await;
    let deferred = "CREATE TABLE a (id int PRIMARY KEY);
                    CREATE TABLE b (id int REFERENCES a DEFERRABLE INITIALLY DEFERRED)";
    run(&mut stranger(&database).await, deferred).await;
    let mut tx = store.begin().await.expect("begins");
    sqlx::raw_sql("INSERT INTO b VALUES (1)").execute(&mut *tx).await.expect("is checked at the commit only");
    let refused = store
        .commit_with_checkpoint(tx, "s", Position(0).into(), Position(1).into())
        .await
        .expect_err("refused");
    assert_eq!(*refused.kind(), StoreErrorKind::Other);
    assert_eq!(store.checkpoint("s").await.expect("reads").position, Position(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_past_every_position_is_refused() {
    let database = database().await;
    let store = store(&database).await;
    let refused =
        store.move_checkpoint("s", Position(0).into(), Position(u64::MAX).into()).await.expect_err("refused");
    assert_eq!(*refused.kind(), StoreErrorKind::Other);
    let moved =
        store.move_checkpoint("s", Position(u64::MAX).into(), Position(1).into()).await.expect_err("refused");
    let expected = StoreErrorKind::CheckpointMoved { expected: Position(u64::MAX), actual: Position(0) };
    assert_eq!(*moved.kind(), expected);
}
