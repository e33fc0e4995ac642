//! Pages of events: all of a page in one value, or a row for each event.
//!
//! SQLite copies each value of each row, so that sqlx can hand it from the connection's thread to the reader: of eleven values
//! that takes six times as long as to write them behind those of the row before. So a page is one value, which `packed.sql`
//! writes and [`Unpacked`] reads. What cannot be written or read that way is read again, row by row, and that is the truth: pages
//! that are larger than SQLite lets a value be, what others wrote with line feeds, and all of a file whose texts are UTF-16.

use std::cmp::Ordering;
use std::str::{self, FromStr};

use chrono::DateTime;
use factum_core::codec;
use factum_core::store::Recent;
use factum_core::{
    EventId, Metadata, Position, RecordedEvent, StoreError, StoreErrorKind, StreamId, Version,
};
use memchr::memchr;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use uuid::Uuid;

use crate::checkpoint::SqliteTx;
use crate::database::Database;
use crate::error::is_too_big;
use crate::row;
use crate::script;

/// A statement that reads a page of events, in both forms.
pub(crate) struct PageQuery {
    pub(crate) packed: &'static str,
    pub(crate) plain: &'static str,
}

/// The query of a file that says what `page` and `facts` are.
macro_rules! page_query {
    ($file:literal) => {
        $crate::pack::PageQuery {
            packed: concat!(include_str!($file), include_str!("sql/packed.sql")),
            plain: concat!(include_str!($file), include_str!("sql/plain.sql")),
        }
    };
}
pub(crate) use page_query;

/// Where a page is read.
pub(crate) enum Reader<'c> {
    Any(&'c SqlitePool),
    In(&'c mut SqliteTx),
}

impl Reader<'_> {
    async fn rows(
        &mut self,
        sql: &'static str,
        values: SqliteArguments,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        match self {
            Self::Any(pool) => script::rows(pool, sql, values).await,
            Self::In(tx) => match script::run(tx, sql, values).await {
                Ok(mut answers) => Ok(answers.pop().unwrap_or_default()),
                Err(fault) => Err(fault.error),
            },
        }
    }
}

/// Reads a page, and makes of it what `read` does.
pub(crate) async fn page<T>(
    database: &Database,
    mut reader: Reader<'_>,
    query: &PageQuery,
    values: SqliteArguments,
    read: impl Fn(&Answer) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    match reader.rows(query.packed, values.clone()).await {
        Ok(rows) => match read(&Answer::Packed(rows)) {
            Ok(page) => return Ok(page),
            Err(error) => tracing::debug!(%error, "a page is read again, row by row"),
        },
        Err(error) if is_too_big(&error) => {
            tracing::debug!(%error, "a page is read again, row by row");
        }
        Err(error) => return Err(database.explain("read", error).await),
    }
    match reader.rows(query.plain, values).await {
        Ok(rows) => read(&Answer::Plain(rows)),
        Err(error) => Err(database.explain("read", error).await),
    }
}

/// The answer to a page query.
pub(crate) enum Answer {
    /// A row of `packed.sql`, and one with the facts.
    Packed(Vec<SqliteRow>),
    /// The rows of `plain.sql`.
    Plain(Vec<SqliteRow>),
}

impl Answer {
    /// What it says of the log.
    pub(crate) fn facts(&self) -> Result<Option<&SqliteRow>, StoreError> {
        match self {
            Self::Packed(rows) => Ok(rows.get(1)),
            Self::Plain(rows) => match rows.last() {
                Some(last) if row::is_event(last)? => Ok(None),
                last => Ok(last),
            },
        }
    }

    /// How many events there are.
    pub(crate) fn count(&self) -> Result<usize, StoreError> {
        match self {
            Self::Packed(rows) => rows.first().map_or(Err(no_answer()), row::packed_count),
            Self::Plain(rows) => Ok(rows.len() - usize::from(self.facts()?.is_some())),
        }
    }

    /// The first events, up to so many: of `stream`, or of the stream that each says.
    pub(crate) fn events<'a>(
        &'a self,
        stream: Option<&'a StreamId>,
        limit: usize,
    ) -> Result<Events<'a>, StoreError> {
        let limit = limit.min(self.count()?);
        match self {
            Self::Packed(rows) => {
                let pack = rows.first().map_or(Err(no_answer()), row::pack)?;
                Ok(Box::new(Unpacked::new(pack, stream).take(limit)))
            }
            Self::Plain(rows) => {
                let mut recent = Recent::default();
                let read = move |row| match stream {
                    Some(stream) => row::event_of(stream, row, &mut recent),
                    None => row::event(row, &mut recent),
                };
                Ok(Box::new(rows.iter().map(read).take(limit)))
            }
        }
    }
}

type Events<'a> = Box<dyn Iterator<Item = Result<RecordedEvent, StoreError>> + 'a>;

fn no_answer() -> StoreError {
    StoreError::because(StoreErrorKind::Corrupt, "read", "no answer to a read of a page")
}

/// The events in a value as `packed.sql` writes it.
///
/// Before the id are numbers, names and JSON, in which there is no line feed unless somebody else wrote them. Then a field
/// is taken for the next, and sooner or later one is not what it must be.
struct Unpacked<'p> {
    rest: &'p [u8],
    stream: Option<&'p StreamId>,
    recent: Recent,
    last: Option<Position>,
    /// How the position before the last compares with it.
    way: Option<Ordering>,
}

impl<'p> Unpacked<'p> {
    fn new(pack: &'p [u8], stream: Option<&'p StreamId>) -> Self {
        Self { rest: pack, stream, recent: Recent::default(), last: None, way: None }
    }

    /// The next event, unless it cannot be read.
    fn event(&mut self) -> Option<RecordedEvent> {
        let position = Position(self.parsed()?);
        let version = Version(self.parsed()?);
        let schema_version = self.parsed()?;
        let recorded_at = DateTime::from_timestamp_micros(self.parsed()?)?;
        let name = self.text()?;
        let name = self.recent.name(name).ok()?;
        let codec = codec::stored_name(self.text()?);
        let (category, id) = (self.text()?, self.text()?);
        let stream = match self.stream {
            Some(stream) => stream.clone(),
            None => self.recent.stream(category, id).ok()?,
        };
        let metadata = Metadata::from_json(self.text()?).ok()?;
        let payload_bytes = self.parsed()?;
        let id = EventId(Uuid::from_slice(self.bytes(16)?).ok()?);
        let payload = self.bytes(payload_bytes)?.to_vec().into();
        self.is_in_order(position).then_some(RecordedEvent {
            position,
            id,
            stream,
            version,
            name,
            schema_version,
            codec,
            recorded_at,
            metadata,
            payload,
        })
    }

    fn parsed<T: FromStr>(&mut self) -> Option<T> {
        self.text()?.parse().ok()
    }

    /// What is up to the next line feed.
    fn text(&mut self) -> Option<&'p str> {
        let bytes = self.bytes(memchr(b'\n', self.rest)?)?;
        str::from_utf8(bytes).ok()
    }

    /// So many bytes, behind which there is a line feed.
    fn bytes(&mut self, count: usize) -> Option<&'p [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest.strip_prefix(b"\n")?;
        Some(bytes)
    }

    /// Whether the events still go in one direction: SQLite packs them as they come, and does not promise it.
    fn is_in_order(&mut self, next: Position) -> bool {
        let way = self.last.map(|last| last.cmp(&next));
        let is_in_order = way != Some(Ordering::Equal) && (self.way.is_none() || way == self.way);
        (self.last, self.way) = (Some(next), way);
        is_in_order
    }
}

impl Iterator for Unpacked<'_> {
    type Item = Result<RecordedEvent, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let unreadable =
            || StoreError::because(StoreErrorKind::Corrupt, "read", "a packed event cannot be read");
        Some(self.event().ok_or_else(unreadable))
    }
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{ConnectOptions, Executor};

    use super::*;

    /// As `packed.sql` writes an event, of which the id is sixteen times `#`.
    fn packed(position: u64, payload: &[u8]) -> Vec<u8> {
        let head = format!(
            "{position}\n7\n1\n1700000000000000\norder.placed\njson\norder\n42\n{{}}\n{}\n################\n",
            payload.len()
        );
        [head.as_bytes(), payload, b"\n"].concat()
    }

    fn positions(pack: &[u8]) -> Vec<Option<u64>> {
        let mut unpacked = Unpacked::new(pack, None);
        std::iter::from_fn(|| (!unpacked.rest.is_empty()).then(|| unpacked.event()))
            .map(|event| event.map(|event| event.position.0))
            .take(10)
            .collect()
    }

    #[test]
    fn events_are_read_as_they_were_packed() {
        let pack = [packed(3, b""), packed(4, b"two\nlines\n"), packed(9, &[0, 10, 255])].concat();
        let events: Vec<_> = Unpacked::new(&pack, None).take(3).map(|event| event.expect("whole")).collect();
        let payloads: Vec<_> = events.iter().map(|event| event.payload.to_vec()).collect();
        assert_eq!(payloads, [&b""[..], b"two\nlines\n", &[0, 10, 255]]);
        let last = &events[2];
        assert_eq!((last.position, last.version, last.schema_version), (Position(9), Version(7), 1));
        assert_eq!(
            (last.name.as_str(), last.stream.as_str(), &*last.codec),
            ("order.placed", "order/42", "json")
        );
        assert_eq!(last.recorded_at.timestamp_micros(), 1_700_000_000_000_000);
        assert_eq!(last.id.0.as_bytes(), b"################");
    }

    #[test]
    fn what_lacks_a_byte_or_has_one_too_many_is_not_taken_for_events() {
        let pack = [packed(3, b"{}"), packed(4, b"{}")].concat();
        let is_whole = |pack: &[u8]| {
            let mut unpacked = Unpacked::new(pack, None);
            unpacked.event().is_some() && unpacked.event().is_some()
        };
        assert!(is_whole(&pack));
        for cut in 0..pack.len() {
            assert!(!is_whole(&pack[..cut]), "{cut} bytes");
        }
        // An id of another length, before a payload that is as long as it says.
        let id = pack.iter().position(|byte| *byte == b'#').expect("an id");
        let short = [&pack[..id], &pack[id + 1..]].concat();
        let long = [&pack[..id], b"#", &pack[id..]].concat();
        assert_eq!(positions(&short)[0], None);
        assert_eq!(positions(&long)[0], None);
    }

    #[test]
    fn what_goes_back_and_forth_is_not_taken_for_a_page() {
        let in_order = |order: &[u64]| {
            let pack: Vec<_> = order.iter().flat_map(|position| packed(*position, b"{}")).collect();
            positions(&pack)
        };
        assert_eq!(in_order(&[1, 2, 5]), [Some(1), Some(2), Some(5)]);
        assert_eq!(in_order(&[5, 2, 1]), [Some(5), Some(2), Some(1)]);
        assert_eq!(in_order(&[1, 5, 2]), [Some(1), Some(5), None]);
        assert_eq!(in_order(&[5, 1, 2]), [Some(5), Some(1), None]);
        assert_eq!(in_order(&[1, 1]), [Some(1), None]);
    }

    #[tokio::test]
    async fn a_pack_that_sqlite_cannot_hold_is_known_as_such() {
        let mut connection = SqliteConnectOptions::new().connect().await.expect("a database in memory");
        let error = connection.fetch_one("SELECT zeroblob(2000000000)").await.expect_err("too big");
        assert!(is_too_big(&error), "{error}");
        let error = connection.fetch_one("SELECT 1 FROM nothing").await.expect_err("no table");
        assert!(!is_too_big(&error), "{error}");
    }
}
