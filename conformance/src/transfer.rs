//! Export and import: a copy is the same store, byte for byte and number for number.

use factum_core::retention::Retention;
use factum_core::store::{Append, ReadStream};
use factum_core::transfer::{Record, Transfer, TransferError, export, import};
use factum_core::{EventStore, Expected, NewEvent, Position, Version};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::Fixture;
use crate::given::{event, events, some, stream, stream_of};
use crate::seen::{append, everything, id_reused, whole};

/// A store in which there is all that can be in one: gaps, archived, erased and truncated events, and odd bytes.
async fn fill(store: &impl Retention) {
    for id in ["live", "deleted", "archived", "truncated", "restored"] {
        append(store, some(&stream(id), 3)).await;
        append(store, some(&stream_of("cart", id), 1)).await;
        append(store, some(&stream(id), 2)).await;
    }
    let mut odd = NewEvent { payload: vec![0xff, 0, b'"', b'\n', 0xfe].into(), ..event() };
    odd.metadata.actor = Some("Ada \"ü\"".into());
    odd.metadata.fields.insert("nul\0".into(), "\u{1f600}\n".into());
    let text = NewEvent { payload: "{ \"a\" :\t1,\r\n \"ü\": \"\\u0000\" }".into(), ..event() };
    let empty = NewEvent { payload: Vec::new().into(), codec: "none".into(), schema_version: 7, ..event() };
    append(store, Append::to(stream("odd"), Expected::Any, vec![odd, text, empty])).await;
    store.truncate_stream(&stream("truncated"), Version(4)).await.expect("it has the version");
    store.delete_stream(&stream("deleted"), Expected::Any).await.expect("it is there");
    store.archive_stream(&stream("restored"), Expected::Any).await.expect("it is there");
    store.restore_stream(&stream("restored")).await.expect("it is archived");
    store.archive_stream(&stream("archived"), Expected::Any).await.expect("it is there");
    append(store, some(&stream("live"), 1)).await;
}

async fn exported(store: &impl Transfer) -> Vec<u8> {
    let mut file = Vec::new();
    let records = export(store, &mut file).await.expect("it can be exported");
    let lines = file.split(|&byte| byte == b'\n').count() as u64 - 1;
    assert_eq!(lines, records + 2, "a line for each record, one before and one after");
    file
}

/// What is exported, imported and exported again is the same bytes; and the copy is read, repeated and continued like the
/// store that it was made of.
pub async fn a_copy_is_the_same_store<F: Fixture>(fixture: F) {
    let store = fixture.store();
    fill(store).await;
    let file = exported(store).await;
    let other = F::empty().await;
    let copy = other.store();
    import(copy, &file[..]).await.expect("it can be imported");
    assert_eq!(exported(copy).await.escape_ascii().to_string(), file.escape_ascii().to_string());

    for id in ["live", "deleted", "archived", "truncated", "restored", "odd"] {
        assert_eq!(whole(copy, &stream(id)).await, whole(store, &stream(id)).await, "in stream {id}");
        let read = ReadStream::new(stream(id));
        let archived = store.read_archived(read.clone()).await.expect("it can be read");
        assert_eq!(copy.read_archived(read).await.expect("it can be read"), archived, "in stream {id}");
    }
    let last = store.read_stream(ReadStream::last(stream("live"))).await.expect("it can be read").events;
    let appended = append(copy, some(&stream("live"), 1)).await;
    assert!(appended.position > last[0].position && appended.version() == Version(last[0].version.0 + 1));
    copy.append(some(&stream("deleted"), 1)).await.expect_err("it was deleted");
    copy.restore_stream(&stream("archived")).await.expect("it is archived");
    let mut feed = everything(store).await;
    feed.retain(|event| event.stream.category() == "order");
    let mut copied = everything(copy).await;
    copied.retain(|event| event.stream.category() == "order");
    assert_eq!(copied[..feed.len()], feed[..]);
}

/// The ids of what was erased are known in the copy, too.
pub async fn a_copy_knows_erased_ids<F: Fixture>(fixture: F) {
    let store = fixture.store();
    let given = some(&stream("1"), 2);
    let answer = append(store, given.clone()).await;
    store.delete_stream(&stream("1"), Expected::Any).await.expect("it is there");
    let file = exported(store).await;
    let other = F::empty().await;
    import(other.store(), &file[..]).await.expect("it can be imported");
    assert_eq!(append(other.store(), given.clone()).await, answer);
    let elsewhere = Append::to(stream("2"), Expected::Any, given.into_streams().remove(0).events);
    id_reused(other.store().append(elsewhere).await);
}

/// A store that holds something at or after the first record is refused and stays as it is.
pub async fn an_import_needs_an_empty_store<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 3)).await;
    let file = exported(store).await;
    let refused = import(store, &file[..]).await.expect_err("it is not empty");
    assert!(matches!(refused, TransferError::NotEmpty { .. }), "{refused:?}");
    assert_eq!(exported(store).await, file);
}

/// Half an export, or one that was tampered with, is known, and an empty store stays empty.
pub async fn a_torn_export_is_refused<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 3)).await;
    let file = String::from_utf8(exported(store).await).expect("an export is UTF-8");
    let other = F::empty().await;
    let lines: Vec<&str> = file.lines().collect();
    for kept in 0..lines.len() {
        let torn = lines[..kept].join("\n");
        let refused = import(other.store(), torn.as_bytes()).await.expect_err("it is torn");
        assert!(matches!(refused, TransferError::Incomplete { .. }), "{refused:?} after {kept} lines");
    }
    let swapped = [lines[0], lines[1], lines[3], lines[2], lines[4]].join("\n");
    let refused = import(other.store(), swapped.as_bytes()).await.expect_err("it is out of order");
    assert!(matches!(refused, TransferError::Unordered { .. }), "{refused:?}");
    let missing = [lines[0], lines[1], lines[3], lines[4]].join("\n");
    let refused = import(other.store(), missing.as_bytes()).await.expect_err("an event is missing");
    assert!(matches!(refused, TransferError::Incomplete { .. }), "{refused:?}");
    for (text, other_text) in
        [("\"version\"", "\"verzion\""), ("{\"position\":2", "{\"position\":\"2\""), ("tested", "")]
    {
        let wrong = file.replace(text, other_text);
        assert_ne!(wrong, file);
        let refused = import(other.store(), wrong.as_bytes()).await.expect_err("a line is wrong");
        assert!(matches!(refused, TransferError::Line { .. }), "{refused:?}");
    }
    assert!(everything(other.store()).await.is_empty());
}

/// Records are written together, or none of them: what breaks the order of a log is refused.
pub async fn records_that_are_no_log_are_refused<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 2)).await;
    append(store, some(&stream("2"), 1)).await;
    let records = store.read_records(Position::START, 100, usize::MAX).await.expect("it can be read");
    let other = F::empty().await;
    let twice: Vec<Record> = records
        .iter()
        .cloned()
        .chain(records.iter().take(1).cloned().map(|record| match record {
            Record::Live(event) => {
                let position = Position(records[2].position().0 + 1);
                Record::Live(factum_core::RecordedEvent { position, stream: stream("3"), ..event })
            }
            other => other,
        }))
        .collect();
    let refused = other.store().write_records(twice).await.expect_err("an id is there twice");
    assert!(matches!(refused, TransferError::Unordered { .. }), "{refused:?}");
    assert!(other.store().read_records(Position::START, 1, 1).await.expect("it can be read").is_empty());
    other.store().write_records(records.clone()).await.expect("it is a log");
    assert_eq!(
        other.store().read_records(Position::START, 100, usize::MAX).await.expect("it can be read"),
        records
    );
    assert_eq!(
        append(other.store(), Append::to(stream("2"), Expected::Exactly(Version(1)), events(1)))
            .await
            .version(),
        Version(2)
    );
}

/// A copy that was made while a stream was changed as a whole would be of two stores: what was deleted would be in it, or
/// half of what was archived. Such an export is refused, and what was written of it does not pass for one.
pub async fn an_export_of_a_changing_store_is_refused<F: Fixture>(fixture: F) {
    let store = fixture.store();
    // More than is read at once: what is changed is before it and behind it.
    append(store, some(&stream("1"), 2)).await;
    for id in 0..6 {
        append(store, some(&stream_of("filler", &id.to_string()), 1_000)).await;
    }
    append(store, some(&stream("1"), 1)).await;
    for change in [Change::Archive, Change::Restore, Change::Truncate, Change::Delete] {
        let (to_file, from_store) = tokio::io::duplex(64);
        let mut lines = BufReader::new(from_store).lines();
        let changing = async {
            let mut file = Vec::new();
            // The first record was read when it is written, and the last is not before there is room for it.
            while let Some(line) = lines.next_line().await.expect("it is text") {
                file.push(line);
                if file.len() == 2 {
                    change.happen(store).await;
                }
            }
            file.join("\n")
        };
        let (exported, file) = tokio::join!(export(store, to_file), changing);
        let refused = exported.expect_err("the store has changed");
        assert!(matches!(refused, TransferError::Changed), "{refused:?} after {change:?}");
        let other = F::empty().await;
        let refused = import(other.store(), file.as_bytes()).await.expect_err("it is not whole");
        assert!(matches!(refused, TransferError::Incomplete { .. }), "{refused:?} after {change:?}");
    }
    // Whoever exports again has it as it is.
    let file = exported(store).await;
    let other = F::empty().await;
    import(other.store(), &file[..]).await.expect("it can be imported");
    assert_eq!(exported(other.store()).await, file);
}

/// What happens to a stream as a whole.
#[derive(Clone, Copy, Debug)]
enum Change {
    Archive,
    Restore,
    Truncate,
    Delete,
}

impl Change {
    async fn happen(self, store: &impl Retention) {
        let stream = stream("1");
        let changed = match self {
            Self::Archive => store.archive_stream(&stream, Expected::Any).await.map(drop),
            Self::Restore => store.restore_stream(&stream).await.map(drop),
            Self::Truncate => store.truncate_stream(&stream, Version(2)).await,
            Self::Delete => store.delete_stream(&stream, Expected::Any).await.map(drop),
        };
        changed.expect("it is there");
    }
}
