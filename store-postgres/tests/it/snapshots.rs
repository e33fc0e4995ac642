//! Snapshots that are not of the log beside them, or not what was kept, and streams that are set apart while one is taken.

use factum_core::snapshot::{Footing, Found, PageFrom, ReadFrom, Snapshot, Start};
use factum_core::store::{Append, ReadStream};
use factum_core::{EventStore, Expected, RecordedEvent, Snapshots, Version};
use factum_postgres::PostgresStore;
use factum_testkit::Database;

use crate::given::{
    SOMEBODY_WAITS_FOR_THE_LOCK, database, event, run, store, stranger, stream, take_the_lock, until,
};

/// What the log has of a stream.
async fn events(store: &PostgresStore) -> Vec<RecordedEvent> {
    store.read_stream(ReadStream::new(stream("1"))).await.expect("reads").events
}

/// A snapshot after so many events, whose state is a number.
fn after(events: &[RecordedEvent], count: usize) -> Snapshot {
    let last = &events[count - 1];
    let (version, position, event_id) = (last.version, last.position, last.id);
    let footing = Footing { version, position, event_id, begins: Version::NONE };
    Snapshot::new(stream("1"), 1, footing, "json", count.to_string())
}

async fn read(store: &PostgresStore) -> PageFrom {
    let start = Start::Snapshot { shape: 1, up_to: Version::END };
    store
        .read_from(ReadFrom::new(stream("1"), start))
        .await
        .expect("what is wrong with a snapshot is no error")
}

/// A store with five events, and a snapshot after the fourth.
async fn given(database: &Database) -> (PostgresStore, Vec<RecordedEvent>) {
    let store = store(database).await;
    let five = std::iter::repeat_with(event).take(5).collect();
    store.append(Append::to(stream("1"), Expected::NoStream, five)).await.expect("appends");
    let events = events(&store).await;
    assert!(store.save_snapshot(after(&events, 4)).await.expect("keeps"));
    (store, events)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_ahead_of_the_log_is_passed_over_and_gives_way() {
    let database = database().await;
    let (store, before) = given(&database).await;
    // A log that has lost its end.
    run(&mut stranger(&database).await, "DELETE FROM factum_events WHERE version > 2").await;
    let PageFrom { found, page } = read(&store).await;
    assert_eq!((found, &page.events[..], page.end), (Found::Fallen(Version(4)), &before[..2], true));
    // It goes on differently, past where the snapshot was.
    let three = std::iter::repeat_with(event).take(3).collect();
    store.append(Append::to(stream("1"), Expected::Exactly(Version(2)), three)).await.expect("appends");
    let PageFrom { found, page } = read(&store).await;
    assert_eq!((found, page.events), (Found::Fallen(Version(4)), events(&store).await));
    assert!(
        !store.save_snapshot(after(&before, 5)).await.expect("answers"),
        "it is of the log that was lost"
    );
    // An older one that stands takes its place.
    assert!(store.save_snapshot(after(&before, 2)).await.expect("keeps"));
    assert_eq!(read(&store).await.found, Found::Snapshot(after(&before, 2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_was_changed_is_known_as_such() {
    for change in [
        "UPDATE factum_snapshots SET version = 3",
        "UPDATE factum_snapshots SET position = 3",
        "UPDATE factum_snapshots SET event_id = gen_random_uuid()",
        "UPDATE factum_snapshots SET begins = 1",
        "UPDATE factum_snapshots SET codec = 'yaml'",
        "UPDATE factum_snapshots SET checksum = checksum + 1",
        "UPDATE factum_snapshots SET state = ''",
        "UPDATE factum_snapshots SET state = '5'",
    ] {
        let database = database().await;
        let (store, before) = given(&database).await;
        run(&mut stranger(&database).await, change).await;
        let PageFrom { found, page } = read(&store).await;
        match found {
            Found::Fallen(_) => assert_eq!(page.events, before, "{change}"),
            Found::Snapshot(snapshot) => assert!(!snapshot.is_intact(), "{change}"),
            other => panic!("{change}: {other:?}"),
        }
        assert!(store.save_snapshot(after(&before, 5)).await.expect("keeps"), "{change}");
        assert_eq!(read(&store).await.found, Found::Snapshot(after(&before, 5)), "{change}");
    }
}

/// Whoever takes a snapshot waits for a stream that is being set apart, and looks at the log afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn none_is_kept_of_a_stream_that_is_deleted_meanwhile() {
    let database = database().await;
    let (store, before) = given(&database).await;
    let (mut deleting, mut onlooker) = (stranger(&database).await, stranger(&database).await);
    take_the_lock(&mut deleting).await;
    let saving = tokio::spawn({
        let (store, snapshot) = (store.clone(), after(&before, 5));
        async move { store.save_snapshot(snapshot).await }
    });
    until(&mut onlooker, SOMEBODY_WAITS_FOR_THE_LOCK).await;
    run(
        &mut deleting,
        "SELECT factum_close_and_forget(0, 'order', '1', -2, gen_random_uuid(), 'factum.deleted'); COMMIT",
    )
    .await;
    assert!(!saving.await.expect("no panic").expect("answers"));
    let left: i64 = crate::given::ask(&mut onlooker, "SELECT count(*) FROM factum_snapshots").await;
    assert_eq!(left, 0);
}

/// Whoever deletes a stream waits for a snapshot that is being taken, and forgets that, too.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_kept_while_a_deletion_waits_is_forgotten() {
    let database = database().await;
    let (_store, _) = given(&database).await;
    let (mut saving, mut deleting) = (stranger(&database).await, stranger(&database).await);
    let mut onlooker = stranger(&database).await;
    run(
        &mut saving,
        "BEGIN; SELECT factum_save_snapshot(0, 'order', '1', 1, 5, position, event_id, 0, 'json', 0, '5')
         FROM factum_events WHERE version = 5",
    )
    .await;
    let deletion = tokio::spawn(async move {
        let delete =
            "SELECT factum_close_and_forget(0, 'order', '1', -2, gen_random_uuid(), 'factum.deleted')";
        run(&mut deleting, delete).await;
    });
    until(&mut onlooker, SOMEBODY_WAITS_FOR_THE_LOCK).await;
    run(&mut saving, "COMMIT").await;
    deletion.await.expect("no panic");
    let left: i64 = crate::given::ask(&mut onlooker, "SELECT count(*) FROM factum_snapshots").await;
    assert_eq!(left, 0);
}
