//! `kill -9` in the middle of appends. (It is the process that dies here, not the machine: what the disk was told to
//! keep is not put to the test.)

use factum_core::EventStore;
use factum_sqlite::SqliteStore;

use crate::processes::{acknowledged, assert_kept, spawn_child};
use crate::support::{everything, file, one, ready};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_a_kill() {
    let (store, dir) = ready().await;
    store.close().await;
    let mut all = Vec::new();
    for round in 0..6 {
        let mut child = spawn_child(&file(&dir), u64::MAX);
        // At another moment each time.
        let enough = 20 + round * 17;
        let (mut child, seen) = tokio::task::spawn_blocking(move || {
            let mut acknowledged = acknowledged(&mut child);
            let mut seen: Vec<_> = acknowledged.by_ref().take(enough).collect();
            child.kill().expect("kills");
            // What it had printed before it died counts too.
            seen.extend(acknowledged);
            (child, seen)
        })
        .await
        .expect("no panic");
        assert!(!child.wait().expect("ends").success());
        assert!(seen.len() >= enough);
        all.extend(seen);

        let store = SqliteStore::connect(file(&dir)).await.expect("opens");
        assert_kept(&store, &all).await;
        store.append(one("after")).await.expect("goes on");
        store.close().await;
    }
    let store = SqliteStore::connect(file(&dir)).await.expect("opens");
    assert!(everything(&store).await.len() >= all.len() + 6);
}
