//! Snapshots that are not of the log beside them, or not what was kept.

use factum_core::snapshot::{Footing, Found, PageFrom, ReadFrom, Snapshot, Start};
use factum_core::store::{Append, ReadStream};
use factum_core::transfer::{export, import};
use factum_core::{EventStore, Expected, RecordedEvent, Snapshots, Version};
use factum_sqlite::SqliteStore;
use sqlx::{AssertSqlSafe, Executor};
use tempfile::TempDir;

use crate::support::{event, execute, file, ready, stranger, stream};

/// What the log has of a stream.
async fn events(store: &SqliteStore) -> Vec<RecordedEvent> {
    store.read_stream(ReadStream::new(stream("1"))).await.expect("reads").events
}

/// A snapshot after so many events, whose state is a number.
fn after(events: &[RecordedEvent], count: usize) -> Snapshot {
    let last = &events[count - 1];
    let (version, position, event_id) = (last.version, last.position, last.id);
    let footing = Footing { version, position, event_id, begins: Version::NONE };
    Snapshot::new(stream("1"), 1, footing, "json", count.to_string())
}

async fn read(store: &SqliteStore) -> PageFrom {
    let start = Start::Snapshot { shape: 1, up_to: Version::END };
    store
        .read_from(ReadFrom::new(stream("1"), start))
        .await
        .expect("what is wrong with a snapshot is no error")
}

/// A store with five events, and a snapshot after the fourth.
async fn given() -> (SqliteStore, Vec<RecordedEvent>, TempDir) {
    let (store, dir) = ready().await;
    let five = std::iter::repeat_with(event).take(5).collect();
    store.append(Append::to(stream("1"), Expected::NoStream, five)).await.expect("appends");
    let events = events(&store).await;
    assert!(store.save_snapshot(after(&events, 4)).await.expect("keeps"));
    (store, events, dir)
}

#[tokio::test]
async fn one_that_is_ahead_of_the_log_is_passed_over_and_gives_way() {
    let (store, before, _dir) = given().await;
    // A log that has lost its end.
    execute(&store, "DELETE FROM factum_events WHERE version > 2").await;
    let PageFrom { found, page } = read(&store).await;
    assert_eq!((found, &page.events[..], page.end), (Found::Fallen(Version(4)), &before[..2], true));
    // An older one that stands takes its place.
    assert!(store.save_snapshot(after(&before, 2)).await.expect("keeps"));
    assert_eq!(read(&store).await.found, Found::Snapshot(after(&before, 2)));

    // The log goes on differently, past where the snapshot was.
    let (store, before, _dir) = given().await;
    execute(&store, "DELETE FROM factum_events WHERE version > 2").await;
    let three = std::iter::repeat_with(event).take(3).collect();
    store.append(Append::to(stream("1"), Expected::Exactly(Version(2)), three)).await.expect("appends");
    let PageFrom { found, page } = read(&store).await;
    assert_eq!((found, page.events), (Found::Fallen(Version(4)), events(&store).await));
    assert!(
        !store.save_snapshot(after(&before, 5)).await.expect("answers"),
        "it is of the log that was lost"
    );
}

#[tokio::test]
async fn a_backup_has_them_and_an_export_does_not() {
    let (store, before, dir) = given().await;
    let copy = dir.path().join("copy.db");
    store.backup(&copy).await.expect("copies");
    let restored = SqliteStore::connect(&copy).await.expect("opens");
    let PageFrom { found, page } = read(&restored).await;
    assert_eq!((found, &page.events[..]), (Found::Snapshot(after(&before, 4)), &before[4..]));

    let mut text = Vec::new();
    export(&store, &mut text).await.expect("exports");
    let (imported, _dir) = ready().await;
    import(&imported, &text[..]).await.expect("imports");
    let PageFrom { found, page } = read(&imported).await;
    assert_eq!((found, page.events), (Found::Nothing, before));
}

#[tokio::test]
async fn a_row_that_was_changed_is_known_as_such() {
    let bad = [
        "shape = shape, version = 3",
        "version = -4",
        "position = 3",
        "position = -7",
        "event_id = x'0102'",
        "event_id = randomblob(16)",
        "begins = 1",
        "codec = 'yaml'",
        "codec = CAST(x'ff' AS TEXT)",
        "checksum = checksum + 1",
        "state = x''",
        "state = x'35'",
    ];
    for change in bad {
        let (store, before, dir) = given().await;
        let mut stranger = stranger(&file(&dir)).await;
        stranger.execute("PRAGMA ignore_check_constraints = ON").await.expect("sets");
        stranger.execute(AssertSqlSafe(format!("UPDATE factum_snapshots SET {change}"))).await.expect(change);
        let PageFrom { found, page } = read(&store).await;
        match found {
            Found::Fallen(_) => assert_eq!(page.events, before, "{change}"),
            Found::Snapshot(snapshot) => assert!(!snapshot.is_intact(), "{change}"),
            other => panic!("{change}: {other:?}"),
        }
        // It does not stand in the way of a better one.
        assert!(store.save_snapshot(after(&before, 5)).await.expect("keeps"), "{change}");
        assert_eq!(read(&store).await.found, Found::Snapshot(after(&before, 5)), "{change}");
    }
}
