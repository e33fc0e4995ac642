//! The end of a store.

use std::fs;

use factum_core::store::{Append, ReadAll};
use factum_core::{AppendError, Checkpoints, EventStore, Expected, Position, StoreErrorKind, Transactional};
use factum_sqlite::SqliteStore;

use crate::support::{event, everything, file, one, ready, stream};

fn waiting_appends(
    store: &SqliteStore,
    count: usize,
) -> Vec<tokio::task::JoinHandle<Result<factum_core::store::Appended, AppendError>>> {
    (0..count)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.append(one(&n.to_string())).await })
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_finishes_what_is_queued_and_refuses_what_comes_later() {
    let (store, dir) = ready().await;
    store.append(one("before")).await.expect("appends");
    let tx = store.begin().await.expect("begins");
    let queued = waiting_appends(&store, 50);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let closing = tokio::spawn({
        let store = store.clone();
        async move { store.close().await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let late = store.append(one("late")).await.expect_err("closed");
    assert!(matches!(late, AppendError::Store(error) if *error.kind() == StoreErrorKind::Closed));
    assert!(!closing.is_finished());

    drop(tx);
    closing.await.expect("no panic");
    for append in queued {
        append.await.expect("no panic").expect("was queued");
    }
    let wal = file(&dir).with_extension("db-wal");
    assert!(fs::metadata(wal).map_or(true, |wal| wal.len() == 0), "the log was written back");

    let read = ReadAll::after(Position::START).limit(1);
    let closed = &StoreErrorKind::Closed;
    assert_eq!(store.read_all(read).await.expect_err("closed").kind(), closed);
    assert_eq!(store.checkpoint("mails").await.expect_err("closed").kind(), closed);
    assert_eq!(store.begin().await.expect_err("closed").kind(), closed);
    assert_eq!(store.wait(Position(99)).await.expect_err("closed").kind(), closed);
    store.close().await;

    let store = SqliteStore::connect(file(&dir)).await.expect("opens");
    assert_eq!(everything(&store).await.len(), 51);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_queued_is_committed_though_all_handles_and_callers_are_gone() {
    let (store, dir) = ready().await;
    let tx = store.begin().await.expect("begins");
    let queued = waiting_appends(&store, 20);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    for append in queued {
        append.abort();
        assert!(append.await.expect_err("aborted").is_cancelled());
    }
    drop(store);
    drop(tx);

    let store = SqliteStore::connect(file(&dir)).await.expect("opens");
    for _ in 0..100 {
        if everything(&store).await.len() == 20 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{} of 20", everything(&store).await.len());
}

#[test]
fn a_store_may_be_dropped_after_its_runtime() {
    let dir = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let store = runtime.block_on(async {
        let store = SqliteStore::connect(file(&dir)).await.expect("opens");
        store.migrate().await.expect("migrates");
        let three = (0..3).map(|_| event()).collect();
        store.append(Append::to(stream("a"), Expected::NoStream, three)).await.expect("appends");
        store
    });
    drop(runtime);
    drop(store);

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = SqliteStore::connect(file(&dir)).await.expect("opens");
        assert_eq!(everything(&store).await.len(), 3);
    });
}
