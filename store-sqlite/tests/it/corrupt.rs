//! Files that are not what they should be.

use std::error::Error as _;
use std::fs;

use factum_core::retention::Retention;
use factum_core::store::{Append, Page, ReadAll, ReadStream};
use factum_core::{AppendError, EventStore, Expected, Invalid, Position, StoreError, StoreErrorKind};
use factum_sqlite::SqliteStore;
use sqlx::{AssertSqlSafe, Executor};

use crate::support::{event, file, one, ready, stranger, stream};

async fn read(store: &SqliteStore) -> Result<Page, StoreError> {
    store.read_all(ReadAll::after(Position::START).limit(1000)).await
}

#[tokio::test]
async fn a_file_that_is_no_database_is_corrupt() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(file(&dir), "once upon a time ".repeat(1000)).expect("writes");
    let error = SqliteStore::connect(file(&dir)).await.expect_err("no database");
    assert_eq!(error.kind(), &StoreErrorKind::Corrupt);
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_damaged_file_is_corrupt() {
    let (store, dir) = ready().await;
    for _ in 0..100 {
        store.append(one("a")).await.expect("appends");
    }
    let roots = "SELECT rootpage FROM sqlite_schema WHERE tbl_name = 'factum_events'";
    let roots: Vec<i64> = sqlx::query_scalar(roots).fetch_all(store.pool()).await.expect("reads");
    store.close().await;
    let mut bytes = fs::read(file(&dir)).expect("reads");
    // The pages of the schema stay readable.
    for root in roots {
        let begin = 4096 * (usize::try_from(root).expect("a page") - 1);
        bytes[begin..begin + 4096].fill(0xa5);
    }
    fs::write(file(&dir), bytes).expect("writes");

    let store = SqliteStore::connect(file(&dir)).await.expect("opens: it does not look at every page");
    assert_eq!(read(&store).await.expect_err("damaged").kind(), &StoreErrorKind::Corrupt);
    let error = store.append(one("a")).await.expect_err("damaged");
    assert!(matches!(&error, AppendError::Store(e) if *e.kind() == StoreErrorKind::Corrupt), "{error:?}");
}

#[tokio::test]
async fn a_row_that_is_no_event_is_corrupt_and_its_column_is_named() {
    let bad = [
        ("event_id", "event_id = x'0102'"),
        ("version", "version = -1"),
        ("category", "category = 'a/b'"),
        ("stream", "stream = ''"),
        ("name", "name = 'two' || char(10) || 'lines'"),
        ("schema_version", "schema_version = 5000000000"),
        ("recorded_at", "recorded_at = 9223372036854775807"),
        ("metadata", "metadata = '{'"),
        ("position", "position = -7"),
    ];
    for (column, change) in bad {
        let (store, dir) = ready().await;
        store.append(one("a")).await.expect("appends");
        let mut stranger = stranger(&file(&dir)).await;
        stranger.execute("PRAGMA ignore_check_constraints = ON").await.expect("sets");
        stranger.execute(AssertSqlSafe(format!("UPDATE factum_events SET {change}"))).await.expect(change);

        let everywhere = ReadAll::after(Position::START).limit(10);
        let answer = store.read_all(everywhere).await;
        if column == "position" {
            // Below the start: nobody reads there, and the head says so.
            assert_eq!(answer.expect_err("a negative head").kind(), &StoreErrorKind::Corrupt);
            continue;
        }
        let error = answer.expect_err(column);
        assert_eq!(error.kind(), &StoreErrorKind::Corrupt, "{column}");
        let text = error.source().expect("says why").to_string();
        let named = if column == "category" { "stream" } else { column };
        assert_eq!(text, format!("column `{named}` of the event at position 1 cannot be read"));
    }
}

#[tokio::test]
async fn what_a_stranger_wrote_on_several_lines_is_read() {
    let (store, dir) = ready().await;
    for _ in 0..3 {
        store.append(one("a")).await.expect("appends");
    }
    let written = read(&store).await.expect("reads");
    let change = "UPDATE factum_events SET metadata = '{' || char(10) || '}' WHERE position = 2";
    stranger(&file(&dir)).await.execute(change).await.expect("writes");
    assert_eq!(read(&store).await.expect("it is still JSON"), written);
    let of_stream = store.read_stream(ReadStream::new(stream("a"))).await.expect("it is still JSON");
    assert_eq!(of_stream.events, written.events);
}

#[tokio::test]
async fn a_place_without_a_file_is_unavailable() {
    let dir = tempfile::tempdir().expect("a folder");
    let error = SqliteStore::connect(dir.path().join("no/such/folder.db")).await.expect_err("no folder");
    assert_eq!(error.kind(), &StoreErrorKind::Unavailable);

    let builder = SqliteStore::builder(file(&dir)).create_if_missing(false);
    assert_eq!(builder.connect().await.expect_err("no file").kind(), &StoreErrorKind::Unavailable);
    assert!(!file(&dir).exists());
}

#[tokio::test]
async fn memory_is_no_file() {
    let error = SqliteStore::connect(":memory:").await.expect_err("no log");
    assert_eq!(error.kind(), &StoreErrorKind::Other);
    assert!(error.source().expect("says why").to_string().starts_with("the journal mode is memory"));
}

#[tokio::test]
async fn a_position_of_the_archive_is_not_used_again_either() {
    let (store, dir) = ready().await;
    store.append(one("a")).await.expect("appends");
    // As an import of an older program could leave it, that was cut off.
    let apart = "INSERT INTO factum_archive (position, event_id, category, stream, version, recorded_at)
                 VALUES (7, x'00190000000007000800000000000007', 'test', 'b', 1, 0)";
    stranger(&file(&dir)).await.execute(apart).await.expect("writes");
    assert_eq!(store.append(one("c")).await.expect("appends").position, Position(8));

    let apart = apart.replace("(7, x'0019", "(20, x'0119");
    stranger(&file(&dir)).await.execute(AssertSqlSafe(apart.replace("'b'", "'d'"))).await.expect("writes");
    let closed = store.archive_stream(&stream("a"), Expected::Any).await.expect("is there");
    assert_eq!(closed.position, Position(21));
}

#[tokio::test]
async fn a_position_is_above_all_events_though_nobody_counts_any_more() {
    let (store, dir) = ready().await;
    store.append(one("a")).await.expect("appends");
    stranger(&file(&dir)).await.execute("DELETE FROM sqlite_sequence").await.expect("writes");
    assert_eq!(store.append(one("a")).await.expect("appends").position, Position(2));
    stranger(&file(&dir)).await.execute("DELETE FROM sqlite_sequence").await.expect("writes");
    let two = one("a").and(stream("b"), Expected::Any, vec![event()]);
    assert_eq!(store.append(two).await.expect("appends").position, Position(4));
}

#[tokio::test]
async fn a_stream_whose_versions_are_used_up_takes_no_more() {
    let (store, dir) = ready().await;
    store.append(one("a")).await.expect("appends");
    let last = "UPDATE factum_events SET version = 9223372036854775807";
    stranger(&file(&dir)).await.execute(last).await.expect("writes");
    let two = Append::to(stream("a"), Expected::Any, vec![event(), event()]);
    for append in [one("a"), two] {
        let error = store.append(append).await.expect_err("there is no version left");
        assert!(matches!(error, AppendError::Invalid(Invalid::VersionOverflow { .. })), "{error:?}");
    }
}
