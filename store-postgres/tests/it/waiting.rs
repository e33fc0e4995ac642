//! What waits for the lock of appends looks at the log when it has it, and not before: in a snapshot that is no older.

use std::time::Duration;

use factum_core::retention::Retention;
use factum_core::store::Append;
use factum_core::transfer::{TransferError, export, import};
use factum_core::{EventStore, Expected, Position, Transactional, Version};
use factum_postgres::PostgresStore;
use factum_testkit::Database;

use crate::given::{
    PATIENCE, SOMEBODY_WAITS_FOR_THE_LOCK, all_events, ask, database, event, events_of, one, positions,
    store, stranger, stream, until,
};

/// What comes of `work`, which waits for the lock until an open transaction is committed that has appended to `order/1`.
async fn behind_an_append<T: Send + 'static>(
    database: &Database,
    work: impl AsyncFnOnce(PostgresStore) -> T,
) -> T {
    let (writer, waiting) = (store(database).await, store(database).await);
    // So that it waits for nothing else.
    events_of(&waiting, "1").await;
    let mut tx = writer.begin().await.expect("begins");
    writer.append_in(&mut tx, one("1", Expected::Any)).await.expect("appends");
    let committing = async {
        until(&mut stranger(database).await, SOMEBODY_WAITS_FOR_THE_LOCK).await;
        writer.commit(tx).await.expect("commits");
    };
    let (outcome, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(work(waiting), committing) })
        .await
        .expect("in time");
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_sees_what_was_appended_while_it_waited() {
    let (source, target) = (database().await, database().await);
    let old = store(&source).await;
    for (id, is_kept) in [("a", true), ("b", true), ("dropped", false), ("c", true)] {
        let mut tx = old.begin().await.expect("begins");
        old.append_in(&mut tx, one(id, Expected::Any)).await.expect("appends");
        if is_kept {
            old.commit(tx).await.expect("commits");
        }
    }
    let mut exported = Vec::new();
    export(&old, &mut exported).await.expect("exports");
    assert_eq!(positions(&all_events(&old).await), [1, 2, 4]);
    // The append gets the one position that the export has not, so that no constraint tells the import of it.
    let new = store(&target).await;
    for _ in 0..2 {
        let mut tx = new.begin().await.expect("begins");
        new.append_in(&mut tx, one("gone", Expected::Any)).await.expect("appends");
        tx.rollback().await.expect("rolls back");
    }
    let imported =
        behind_an_append(&target, async move |store| import(&store, exported.as_slice()).await).await;
    match imported {
        Err(TransferError::NotEmpty { found }) => assert_eq!(found, Position(3)),
        other => panic!("expected a refusal, got {other:?}"),
    }
    assert_eq!(positions(&all_events(&new).await), [3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_sees_what_was_appended_while_it_waited() {
    let database = database().await;
    let first = store(&database).await;
    first.append(one("1", Expected::NoStream)).await.expect("appends");
    let deleted = behind_an_append(&database, async |store| {
        store.delete_stream(&stream("1"), Expected::Exactly(Version(2))).await
    });
    assert_eq!(deleted.await.expect("is at version 2").version(), Version(3));
    assert_eq!(positions(&all_events(&first).await), [3], "the tombstone");
    let erased = "SELECT count(*) FROM factum_archive WHERE payload IS NULL";
    assert_eq!(ask::<i64>(&mut stranger(&database).await, erased).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archival_sees_what_was_appended_while_it_waited() {
    let database = database().await;
    let first = store(&database).await;
    let archived =
        behind_an_append(&database, async |store| store.archive_stream(&stream("1"), Expected::Any).await);
    assert_eq!(archived.await.expect("there is a stream").version(), Version(2));
    assert_eq!(events_of(&first, "1").await.len(), 1, "what says that it was archived");
    assert_eq!(positions(&all_events(&first).await), [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restoration_sees_what_was_appended_while_it_waited() {
    let database = database().await;
    let first = store(&database).await;
    first.append(one("1", Expected::NoStream)).await.expect("appends");
    let restored = behind_an_append(&database, async |store| store.restore_stream(&stream("1")).await);
    // It is not archived, so this is its last event.
    assert_eq!(restored.await.expect("there is a stream").version(), Version(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncation_sees_what_was_appended_while_it_waited() {
    let database = database().await;
    let first = store(&database).await;
    let two = Append::to(stream("1"), Expected::NoStream, vec![event(), event()]);
    first.append(two).await.expect("appends");
    let truncated =
        behind_an_append(&database, async |store| store.truncate_stream(&stream("1"), Version(3)).await);
    truncated.await.expect("is at version 3");
    let versions: Vec<u64> = events_of(&first, "1").await.iter().map(|event| event.version.0).collect();
    assert_eq!(versions, [2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_waits_for_an_open_append_and_gives_way_to_others_meanwhile() {
    let database = database().await;
    let (writer, other) = (store(&database).await, store(&database).await);
    other.append(one("1", Expected::NoStream)).await.expect("appends");
    let mut tx = writer.begin().await.expect("begins");
    writer.append_in(&mut tx, one("2", Expected::Any)).await.expect("appends");
    let archiving = tokio::spawn({
        let other = other.clone();
        async move { other.archive_stream(&stream("1"), Expected::Any).await }
    });
    until(&mut stranger(&database).await, SOMEBODY_WAITS_FOR_THE_LOCK).await;
    for _ in 0..3 {
        let append = writer.append(one("3", Expected::Any));
        tokio::time::timeout(Duration::from_secs(2), append).await.expect("in time").expect("appends");
    }
    assert!(!archiving.is_finished());
    writer.commit(tx).await.expect("commits");
    let archived = tokio::time::timeout(PATIENCE, archiving).await.expect("in time").expect("no panic");
    assert_eq!(archived.expect("archives").version(), Version(2));
}
