//! Export and import: a copy is the same store, byte for byte and number for number.

use chrono::TimeDelta;
use factum_core::retention::Retention;
use factum_core::store::{Append, ReadStream};
use factum_core::transfer::{Record, Transfer, TransferError, export, import};
use factum_core::{EventId, EventStore, Expected, NewEvent, Position, RecordedEvent, Version};
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

async fn text(store: &impl Transfer) -> String {
    String::from_utf8(exported(store).await).expect("an export is UTF-8")
}

/// That an import has left nothing behind.
async fn assert_holds_nothing(store: &impl Transfer) {
    assert_eq!(text(store).await.lines().count(), 2, "a line before, and one after");
}

/// What is exported, imported and exported again is the same bytes; and the copy is read, repeated and continued like the
/// store that it was made of.
pub async fn a_copy_is_the_same_store<F: Fixture>(fixture: F) {
    assert_copied(fixture.store(), F::empty().await.store()).await;
}

/// That a store of one kind and its copy in a store of another are the same: what is exported of them is the same bytes, and
/// they are read, repeated and continued alike. For those who have two kinds of stores.
///
/// ```
/// # use factum_conformance::Fixture;
/// # use factum_memory::MemoryStore;
/// # struct Memory(MemoryStore);
/// # impl Fixture for Memory {
/// #     type Store = MemoryStore;
/// #     async fn empty() -> Self { Self(MemoryStore::new()) }
/// #     fn store(&self) -> &MemoryStore { &self.0 }
/// # }
/// # type Mine = Memory;
/// use factum_conformance::copy_from_to;
///
/// copy_from_to::<Memory, Mine>();
/// copy_from_to::<Mine, Memory>();
/// ```
///
/// # Panics
///
/// If they are not.
pub fn copy_from_to<From: Fixture, To: Fixture>() {
    crate::__private::run::<From, _>(async |from: From| {
        assert_copied(from.store(), To::empty().await.store()).await;
    });
}

async fn assert_copied<From, To>(store: &From, copy: &To)
where
    From: Retention + Transfer,
    To: Retention + Transfer,
{
    fill(store).await;
    let file = exported(store).await;
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

/// Half an export, one that goes on after its end, or one that was tampered with, is known, and an empty store stays empty.
pub async fn a_torn_export_is_refused<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 3)).await;
    let file = text(store).await;
    let other = F::empty().await;
    let lines: Vec<&str> = file.lines().collect();
    for kept in 0..lines.len() {
        let torn = lines[..kept].join("\n");
        let refused = import(other.store(), torn.as_bytes()).await.expect_err("it is torn");
        assert!(matches!(refused, TransferError::Incomplete { .. }), "{refused:?} after {kept} lines");
    }
    let missing = [lines[0], lines[1], lines[3], lines[4]].join("\n");
    let refused = import(other.store(), missing.as_bytes()).await.expect_err("an event is missing");
    assert!(matches!(refused, TransferError::Incomplete { .. }), "{refused:?}");
    for more in ["\n", lines[0], lines[1], lines[4], "more"] {
        let longer = format!("{file}{more}");
        let refused = import(other.store(), longer.as_bytes()).await.expect_err("it goes on after its end");
        assert!(
            matches!(refused, TransferError::Line { line: 6, .. }),
            "{refused:?}, with {more:?} after it"
        );
    }
    assert_holds_nothing(other.store()).await;
    import(other.store(), file.as_bytes()).await.expect("as it was, it is an export");
}

/// A record that no store of this kind has is refused, and the line is named: nothing is cut to what fits.
pub async fn records_out_of_range_are_refused<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 2)).await;
    let file = text(store).await;
    let other = F::empty().await;
    let last = &file[file.rfind("{\"position\"").expect("there are records")..];
    let recorded_at = format!("\"recorded_at\":{}", get(last, "recorded_at"));
    let position = format!("\"position\":{}", get(last, "position"));
    let past_all = u64::try_from(i64::MAX).expect("it is positive") + 1;
    for (text, wrong) in [
        ("\"version\":2", "\"verzion\":2".to_owned()),
        (&*position, "\"position\":\"2\"".to_owned()),
        (&*position, format!("\"position\":{past_all}")),
        ("\"version\":2", format!("\"version\":{past_all}")),
        ("\"version\":2", "\"version\":0".to_owned()),
        ("\"schema_version\":1", "\"schema_version\":0".to_owned()),
        ("\"schema_version\":1", "\"schema_version\":2147483648".to_owned()),
        ("\"codec\":\"json\"", "\"codec\":\"\"".to_owned()),
        ("\"codec\":\"json\"", "\"codec\":\"js\\u0000on\"".to_owned()),
        ("\"metadata\":{", "\"metadata\":{\"actor\":\"a\\nb\"".to_owned()),
        ("\"name\":\"tested\"", "\"name\":\"\"".to_owned()),
        (&*recorded_at, recorded_at.replace("\":\"", "\":\"-")),
        (&*recorded_at, "\"recorded_at\":\"2026-01-01T00:00:00.000000001Z\"".to_owned()),
        (&*recorded_at, "\"recorded_at\":\"2026-01-01T00:00:00.0000000000001Z\"".to_owned()),
        (&*recorded_at, "\"recorded_at\":\"2026-01-01T00:00:00+00:00\"".to_owned()),
        ("\"payload\"", "\"payload_base64\"".to_owned()),
    ] {
        // In the last record, so that the first one was good.
        let (before, last) = file.rsplit_once("{\"position\"").expect("there are records");
        let last = format!("{{\"position\"{last}");
        let tampered = last.replacen(text, &wrong, 1);
        assert_ne!(tampered, last, "{text} is in {last}");
        let file = format!("{before}{tampered}");
        let refused = import(other.store(), file.as_bytes()).await.expect_err("it is no record");
        assert!(matches!(refused, TransferError::Line { line: 3, .. }), "{refused:?}, with {wrong}");
    }
    // Nor does a store rely on the form.
    let past_all = past_all.max(u64::MAX - 1);
    let changes: [fn(&mut RecordedEvent, u64); 6] = [
        |event, past_all| event.position = Position(past_all),
        |event, past_all| event.version = Version(past_all),
        |event, _| event.schema_version = 0,
        |event, _| event.schema_version = u32::MAX,
        |event, _| event.recorded_at += TimeDelta::nanoseconds(1),
        |event, _| event.codec = "".into(),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let mut records = store.read_records(Position(1), 1, usize::MAX).await.expect("it can be read");
        let Some(Record::Live(event)) = records.first_mut() else { panic!("it has a second event") };
        change(event, past_all);
        let mut import = other.store().begin_import().await.expect("it is empty");
        let refused = import.write(records).await.expect_err("it is no record");
        assert!(matches!(refused, TransferError::Invalid { .. }), "{refused:?}, of change {at}");
    }
    assert_holds_nothing(other.store()).await;
}

/// What is no log is refused as a whole: positions and versions in another order, with holes or twice, and streams that are
/// deleted, archived or truncated in part.
pub async fn records_that_are_no_log_are_refused<F: Fixture>(fixture: F) {
    let store = fixture.store();
    append(store, some(&stream("1"), 3)).await;
    append(store, some(&stream("2"), 2)).await;
    let (whole, before) = (text(store).await, text(store).await);
    let before = Lines::of(&before);
    store.truncate_stream(&stream("2"), Version(2)).await.expect("it has the version");
    let truncated = text(store).await;
    store.archive_stream(&stream("1"), Expected::Any).await.expect("it is there");
    let archived = text(store).await;
    store.delete_stream(&stream("1"), Expected::Any).await.expect("it is there");
    let deleted = text(store).await;
    let (whole, truncated) = (Lines::of(&whole), Lines::of(&truncated));
    let (archived, deleted) = (Lines::of(&archived), Lines::of(&deleted));

    let other = F::empty().await;
    for (what, file) in [
        ("positions go back", whole.with(|lines| lines.swap(0, 1))),
        ("a position is there twice", whole.with(|lines| lines[1] = put(&lines[1], "position", "1"))),
        (
            "versions go back",
            whole.with(|lines| {
                lines[0] = put(&lines[0], "version", "2");
                lines[1] = put(&lines[1], "version", "1");
            }),
        ),
        ("a version is missing", whole.with(|lines| drop(lines.remove(1)))),
        ("the first version is missing", whole.with(|lines| drop(lines.remove(0)))),
        ("a version is there twice", whole.with(|lines| lines[2] = put(&lines[2], "version", "2"))),
        ("an id is there twice", whole.with(|lines| lines[4] = put(&lines[4], "id", &get(&lines[0], "id")))),
        (
            "an id is in use and archived",
            archived.with(|lines| {
                lines[4] = put(&lines[4], "id", &get(&lines[0], "id"));
            }),
        ),
        (
            "a version is in use and archived",
            archived.with(|lines| {
                lines[3] = put(&put(&lines[3], "version", "3"), "stream", "\"order/1\"");
                lines[4] = put(&lines[4], "version", "1");
            }),
        ),
        ("the last event is archived", whole.with(|lines| lines[4] = archive(&lines[4]))),
        (
            "a whole stream is archived, and does not say so",
            whole.with(|lines| {
                (0..3).for_each(|at| lines[at] = archive(&lines[at]));
            }),
        ),
        ("an archived stream has events in use", archived.with(|lines| lines[0] = before.line(0))),
        (
            "an archived stream goes on",
            archived.with(|lines| {
                lines.push(put(&put(&put(&before.line(2), "version", "5"), "position", "7"), "id", ID));
            }),
        ),
        (
            "an archived stream does not say so",
            archived.with(|lines| {
                lines[5] = put(&lines[5], "name", "\"tested\"");
            }),
        ),
        ("the last event is erased", whole.with(|lines| lines[4] = erase(&lines[4]))),
        ("an event is erased amid others", whole.with(|lines| lines[1] = erase(&lines[1]))),
        (
            "the first events are erased, and the stream does not say so",
            whole.with(|lines| {
                lines[0] = erase(&lines[0]);
            }),
        ),
        (
            "a stream is truncated amid its events",
            whole.with(|lines| {
                lines[1] = put(&lines[1], "name", "\"factum.truncated\"");
            }),
        ),
        ("a deleted stream has content", deleted.with(|lines| lines[0] = before.line(0))),
        ("a deleted stream has archived content", deleted.with(|lines| lines[0] = archived.line(0))),
        ("a deleted stream has content further on", deleted.with(|lines| lines[1] = before.line(1))),
        (
            "a deleted stream goes on",
            deleted.with(|lines| {
                lines.push(put(&put(&put(&before.line(2), "version", "6"), "position", "8"), "id", ID));
            }),
        ),
    ] {
        let refused = import(other.store(), file.as_bytes()).await.map(drop).expect_err(what);
        assert!(matches!(refused, TransferError::Unordered { .. }), "{refused:?}, where {what}");
        assert_holds_nothing(other.store()).await;
    }
    // What they were made of is taken, one after the other.
    for lines in [before, whole, truncated, archived, deleted] {
        let other = F::empty().await;
        let file = lines.with(|_| ());
        import(other.store(), file.as_bytes()).await.expect("it is a log");
        assert_eq!(text(other.store()).await, file);
    }
}

/// Until an import has come to its end there is nothing to be seen of it; if it does not, there never was, and the next one
/// begins anew.
pub async fn an_import_happens_whole_or_not_at_all<F: Fixture>(fixture: F) {
    let store = fixture.store();
    for _ in 0..8 {
        // Together more than is written at once.
        append(store, some(&stream("1"), 900)).await;
    }
    let file = exported(store).await;
    let other = F::empty().await;
    let half: Vec<&[u8]> = file.split_inclusive(|&byte| byte == b'\n').take(6_000).collect();
    let refused = import(other.store(), &half.concat()[..]).await.expect_err("it is cut off");
    assert!(matches!(refused, TransferError::Incomplete { records: 5_999 }), "{refused:?}");
    assert_holds_nothing(other.store()).await;

    let records = store.read_records(Position::START, 100, usize::MAX).await.expect("it can be read");
    let mut import_of_some = other.store().begin_import().await.expect("it is empty");
    import_of_some.write(records.clone()).await.expect("it is a log");
    assert_holds_nothing(other.store()).await;
    let first = other.store().find_event(id_of(&records[0])).await.expect("it can be looked for");
    assert!(first.is_none() && whole(other.store(), &stream("1")).await.is_empty());
    drop(import_of_some);
    assert_holds_nothing(other.store()).await;

    import(other.store(), &file[..]).await.expect("nothing is in the way");
    assert_eq!(exported(other.store()).await, file);
    let next = Append::to(stream("1"), Expected::Exactly(Version(7_200)), events(1));
    assert_eq!(append(other.store(), next).await.version(), Version(7_201));
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

fn id_of(record: &Record) -> EventId {
    match record {
        Record::Live(event) | Record::Archived(event) => event.id,
        Record::Erased(place) => place.id,
    }
}

/// The records of an export, a line for each.
struct Lines(Vec<String>);

impl Lines {
    fn of(file: &str) -> Self {
        let lines: Vec<_> = file.lines().map(str::to_owned).collect();
        Self(lines[1..lines.len() - 1].to_vec())
    }

    fn line(&self, at: usize) -> String {
        self.0[at].clone()
    }

    /// The export of what `change` makes of them.
    fn with(&self, change: impl FnOnce(&mut Vec<String>)) -> String {
        let mut lines = self.0.clone();
        change(&mut lines);
        let end = format!("{{\"end_after\":{}}}", lines.len());
        lines.insert(0, "{\"factum_export\":1}".to_owned());
        lines.push(end);
        lines.join("\n") + "\n"
    }
}

/// An id that no event has.
const ID: &str = "\"019b0000-0000-7000-8000-00000000f00d\"";

/// Where the value of a field begins and ends in a line.
fn place_of(line: &str, field: &str) -> std::ops::Range<usize> {
    let key = format!("\"{field}\":");
    let start = line.find(&key).expect("the line has the field") + key.len();
    let length = line[start..].find([',', '}']).expect("the line goes on");
    start..start + length
}

fn get(line: &str, field: &str) -> String {
    line[place_of(line, field)].to_owned()
}

/// The line with another value.
fn put(line: &str, field: &str, value: &str) -> String {
    let mut line = line.to_owned();
    line.replace_range(place_of(&line, field), value);
    line
}

/// The line of an event, as if it were archived.
fn archive(line: &str) -> String {
    line.replacen("\"name\"", "\"archived\":true,\"name\"", 1)
}

/// The line of an event, as if it were erased.
fn erase(line: &str) -> String {
    let (place, _) = line.split_once(",\"name\"").expect("an event has a name");
    format!("{place}}}")
}
