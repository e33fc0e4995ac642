//! A copy that is made while the store is in use is a store of its own, whole as of one moment.

use factum_core::retention::Retention;
use factum_core::store::{Append, ReadStream};
use factum_core::transfer::export;
use factum_core::{EventStore, Expected, Version};
use factum_sqlite::SqliteStore;

use crate::support::{everything, file, one, ready};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_whole_while_others_write() {
    let (store, dir) = ready().await;
    let writing = tokio::spawn({
        let store = store.clone();
        async move {
            // Two streams that always grow together.
            for version in 0..300 {
                let expected = Expected::Exactly(Version(version));
                let [left, right] = ["left", "right"].map(|id| one(id).into_streams().remove(0));
                let both =
                    Append::to(left.stream, expected, left.events).and(right.stream, expected, right.events);
                store.append(both).await.expect("nobody else writes");
            }
        }
    });
    let mut sizes = Vec::new();
    for turn in 0..5 {
        while everything(&store).await.len() < turn * 100 {
            tokio::task::yield_now().await;
        }
        let path = dir.path().join(format!("copy-{turn}.db"));
        store.backup(&path).await.expect("it is copied");
        let copy = SqliteStore::connect(&path).await.expect("it is a store");
        let events = everything(&copy).await;
        assert!(events.len() >= turn * 100 && events.len().is_multiple_of(2), "{}", events.len());
        let mut last = Vec::new();
        for id in ["left", "right"] {
            let read = ReadStream::last(one(id).streams()[0].stream.clone());
            last.extend(
                copy.read_stream(read).await.expect("reads").events.iter().map(|event| event.version),
            );
        }
        assert!(last.windows(2).all(|pair| pair[0] == pair[1]), "{last:?}");
        sizes.push(events.len());
        copy.append(one("more")).await.expect("it takes events");
        copy.close().await;
    }
    writing.await.expect("no panic");
    assert!(sizes.is_sorted());
    assert_eq!(everything(&store).await.len(), 600);
}

#[tokio::test]
async fn a_backup_has_the_archive_and_overwrites_nothing() {
    let (store, dir) = ready().await;
    store.append(one("a")).await.expect("appends");
    store.append(one("b")).await.expect("appends");
    store.archive_stream(&one("a").streams()[0].stream, Expected::Any).await.expect("it is there");
    let path = dir.path().join("copy.db");
    store.backup(&path).await.expect("it is copied");
    let copy = SqliteStore::connect(&path).await.expect("it is a store");
    let (mut here, mut there) = (Vec::new(), Vec::new());
    export(&store, &mut here).await.expect("exports");
    export(&copy, &mut there).await.expect("exports");
    assert_eq!(here, there);
    copy.close().await;
    store.backup(&path).await.expect_err("there is a file");
    store.backup(file(&dir)).await.expect_err("there is the store itself");
    assert_eq!(everything(&store).await.len(), 3);
}
