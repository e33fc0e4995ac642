//! Export and import of a whole store, between any two stores: every event with its bytes, numbers, ids and times.
//!
//! The form is NDJSON: a line that says what it is, a line for each event in the order of positions, and a line that says
//! how many there were, so that a file that was cut off is known. Payloads that are UTF-8 are texts, others are Base64; both
//! come back byte for byte. Archived events say so, and of erased ones there are the id and the numbers. Checkpoints and
//! read models are not part of it: they are built anew.
//!
//! ```
//! use factum::memory::MemoryStore;
//! use factum::transfer::{export, import};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let orders = MemoryStore::new();
//! let mut file = Vec::new();
//! export(&orders, &mut file).await?;
//! let copy = MemoryStore::new();
//! import(&copy, &file[..]).await?;
//! # Ok(())
//! # }
//! ```

pub mod check;

use std::collections::HashMap;
use std::fmt;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::future;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt};

use crate::codec::Encoding;
#[cfg(feature = "privacy")]
use crate::codec::Sealing;
use crate::decoded::Decoded;
use crate::envelope::RecordedEvent;
use crate::error::{BoxError, DecodeError, Invalid, StoreError};
use crate::event::{Event, EventName, EventType};
use crate::metadata::{EventId, Metadata};
use crate::store::EventStore;
use crate::stream::{Position, StreamId, Version};
use crate::upcast::fault_of;

/// How many events are moved at a time, at most.
const PAGE_EVENTS: usize = 5_000;
/// How many bytes of payload are moved at a time, at most, unless one event has more.
const PAGE_BYTES: usize = 8 << 20;
/// After how many events what a server has answered is looked at.
const TURN_EVENTS: u64 = 100;

/// What a store holds of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An event in use.
    Live(RecordedEvent),
    /// An event of an archived stream.
    Archived(RecordedEvent),
    /// What is left of an event whose content was erased.
    Erased(Place),
}

/// The numbers and the id of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its id.
    pub id: EventId,
    /// In which stream it was.
    pub stream: StreamId,
    /// Its version.
    pub version: Version,
    /// Its position.
    pub position: Position,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
}

impl Record {
    /// Where it is in the store's one order.
    pub fn position(&self) -> Position {
        match self {
            Self::Live(event) | Self::Archived(event) => event.position,
            Self::Erased(place) => place.position,
        }
    }

    /// In which stream it is, or was.
    pub fn stream(&self) -> &StreamId {
        match self {
            Self::Live(event) | Self::Archived(event) => &event.stream,
            Self::Erased(place) => &place.stream,
        }
    }

    /// How many bytes its payload has.
    pub fn payload_bytes(&self) -> usize {
        match self {
            Self::Live(event) | Self::Archived(event) => event.payload.len(),
            Self::Erased(_) => 0,
        }
    }
}

/// A store whose whole content can be read and written as it is.
#[async_trait]
pub trait Transfer: EventStore {
    /// What the store holds after a position, in order, up to so many records and bytes of payload, and at least one if
    /// there is one. An empty answer is the end.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill.
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    async fn read_records(
        &self,
        after: Position,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// How many times a stream was deleted, archived, restored or truncated. The number grows in the transaction that does
    /// it, so between two equal answers nothing of the kind became visible.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is ill.
    ///
    /// # Cancel safety
    ///
    /// Reading changes nothing.
    async fn changes(&self) -> Result<u64, StoreError>;

    /// Begins to write the whole of another store into this one, which must be empty.
    ///
    /// Others may read meanwhile, and see an empty store. They had better not append: what they do waits, and fails as
    /// [`Busy`](crate::StoreErrorKind::Busy) after a while.
    ///
    /// # Errors
    ///
    /// [`TransferError::NotEmpty`], or that the store is ill.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future begins nothing.
    async fn begin_import(&self) -> Result<Box<dyn Import>, TransferError>;
}

/// An import that has begun: one transaction. Nobody sees anything of it until it is finished; if it is dropped before, or an
/// error comes of it, it never was.
#[async_trait]
pub trait Import: Send {
    /// Writes the next records as they are.
    ///
    /// # Errors
    ///
    /// [`TransferError`]. Nothing can be done then but to drop the import.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing to be done but to drop the import.
    async fn write(&mut self, records: Vec<Record>) -> Result<(), TransferError>;

    /// Makes sure that the records are a log, see [`check::LogCheck`], and lets everybody see them.
    ///
    /// # Errors
    ///
    /// [`TransferError`]; of kind [`OutcomeUnknown`](crate::StoreErrorKind::OutcomeUnknown) if the connection broke during the
    /// commit: another import tells, which finds the store empty or not.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the outcome unknown: all of the records, or none.
    async fn finish(self: Box<Self>) -> Result<(), TransferError>;
}

/// Why a store was not exported or imported as a whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The store is ill.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An event cannot be brought to today's shape.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// An event cannot be written in today's shape.
    #[error(transparent)]
    Encode(#[from] Invalid),
    /// The file, or whatever stands for it.
    #[error("the export cannot be read or written")]
    Io(#[from] std::io::Error),
    /// A stream was deleted, archived, restored or truncated meanwhile, so that what was read before and after belongs to
    /// two different stores. What was written is known to be incomplete: begin again.
    #[error(
        "a stream was deleted, archived, restored or truncated while the store was exported: export it again"
    )]
    Changed,
    /// A line that no export has.
    #[error("line {line} of the export cannot be read")]
    Line {
        /// Which line, counted from 1.
        line: usize,
        /// What is wrong with it.
        source: BoxError,
    },
    /// The export ends too early. Nothing was imported.
    #[error(
        "the export is incomplete: it ends after {records} events, without the line that says that it is the end"
    )]
    Incomplete {
        /// How many there were.
        records: u64,
    },
    /// The store holds something already.
    #[error("an import needs an empty store, and this one has something at position {found}")]
    NotEmpty {
        /// The last position that it has.
        found: Position,
    },
    /// A number, a name or a time that no store has.
    #[error("the record at position {at} is none that a store can have")]
    Invalid {
        /// Where.
        at: Position,
        /// What is wrong with it.
        source: BoxError,
    },
    /// The records are no log: positions or versions do not grow, versions have a hole, an id is there twice, or a stream was
    /// deleted, archived or truncated in part. See [`check`].
    #[error("the records to be written break the laws of a log at position {at}")]
    Unordered {
        /// Where it shows.
        at: Position,
    },
}

/// Writes all that `store` holds to `out`, as it is, and says how many records that were: [`Export::write`].
///
/// # Errors
///
/// [`TransferError`]; of these [`Changed`](TransferError::Changed) asks to export again.
///
/// # Cancel safety
///
/// Dropping the future leaves an export that is known to be incomplete.
pub async fn export(
    store: &impl Transfer,
    out: impl AsyncWrite + Unpin + Send,
) -> Result<u64, TransferError> {
    Export::of(store).write(out).await
}

/// An export that is about to be written.
///
/// ```
/// # use factum::{memory::MemoryStore, Event};
/// # use serde::{Deserialize, Serialize};
/// use factum::transfer::Export;
///
/// # #[derive(Event, Serialize, Deserialize)]
/// # #[event(name = "order.shipped", version = 2, upcast(from = 1, typed = shipped_v1))]
/// # struct OrderShipped { parcel: String }
/// # #[derive(Deserialize)]
/// # struct OrderShippedV1 { packet: String }
/// # fn shipped_v1(old: OrderShippedV1) -> OrderShipped { OrderShipped { parcel: old.packet } }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new();
/// let mut file = Vec::new();
/// Export::of(&store).today::<OrderShipped>().write(&mut file).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "an export is written when `write` is awaited"]
pub struct Export<'a, S: ?Sized> {
    store: &'a S,
    /// By stored name.
    today: HashMap<&'static str, Bring>,
    #[cfg(feature = "privacy")]
    opener: Option<&'a dyn crate::privacy::Open>,
}

/// How events of a name are brought to today's shape.
#[derive(Clone, Copy)]
struct Bring {
    to: EventType,
    by: fn(&mut RecordedEvent) -> Result<(), TransferError>,
}

impl<'a, S: Transfer + ?Sized> Export<'a, S> {
    /// All that `store` holds, as it is.
    pub fn of(store: &'a S) -> Self {
        Self {
            store,
            today: HashMap::new(),
            #[cfg(feature = "privacy")]
            opener: None,
        }
    }

    /// And brings events of this type, or of these if it is an enum, to today's name and shape, so that whoever reads the export
    /// needs no upcasts. Everything else of an event stays: its place, its id, its times and its metadata.
    ///
    /// An event has one place, so what is several events today, or none, stays as it was stored, for its reader to split or to
    /// drop. What has today's shape stays byte for byte.
    pub fn today<E: Event>(mut self) -> Self {
        for to in E::TYPES {
            for name in std::iter::once(to.name()).chain(to.aliases().iter().copied()) {
                self.today.insert(name, Bring { to: *to, by: bring::<E> });
            }
        }
        self
    }

    /// And has everything personal in the clear, or the fallback where a person was forgotten. An event that cannot be opened stays
    /// as it is stored. Nobody can forget what is in such a file: without this it is sealed, as in the store.
    #[cfg(feature = "privacy")]
    pub fn opened_by(mut self, vault: &'a impl crate::privacy::Open) -> Self {
        self.opener = Some(vault);
        self
    }

    /// Writes it to `out`, and says how many records that were. What is appended meanwhile is part of it, or not.
    ///
    /// # Errors
    ///
    /// [`TransferError`]; of these [`Changed`](TransferError::Changed) asks to export again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves an export that is known to be incomplete.
    pub async fn write(self, mut out: impl AsyncWrite + Unpin + Send) -> Result<u64, TransferError> {
        write_line(&mut out, &Line::begin()).await?;
        let changes = self.store.changes().await?;
        let mut records = 0;
        let mut page = self.page(Position::START, changes).await?;
        while let Some(last) = page.last() {
            let after = last.position();
            // A server reads the next page while this one is written: to its end, so that no line is cut off.
            let (written, next) =
                future::join(self.write_page(&mut out, page), self.page(after, changes)).await;
            records += written?;
            page = next?;
        }
        write_line(&mut out, &Line::end(records)).await?;
        out.flush().await?;
        Ok(records)
    }

    /// What comes after a position, unless the store has changed.
    async fn page(&self, after: Position, changes: u64) -> Result<Vec<Record>, TransferError> {
        let page = self.store.read_records(after, PAGE_EVENTS, PAGE_BYTES).await?;
        // Each page is of a moment of its own. After each and not only after the last, so that nobody waits for the end of an
        // export that is lost already.
        if self.store.changes().await? == changes { Ok(page) } else { Err(TransferError::Changed) }
    }

    /// Writes a line for each record, and says how many they were.
    async fn write_page(
        &self,
        out: &mut (impl AsyncWrite + Unpin),
        page: Vec<Record>,
    ) -> Result<u64, TransferError> {
        let mut records = 0_u64;
        for record in page {
            let record = self.opened(record).await?;
            write_line(out, &Line::record(self.brought(record)?)).await?;
            records += 1;
            if records.is_multiple_of(TURN_EVENTS) {
                tokio::task::yield_now().await;
            }
        }
        Ok(records)
    }

    #[cfg(feature = "privacy")]
    async fn opened(&self, mut record: Record) -> Result<Record, TransferError> {
        if let (Some(opener), Record::Live(event) | Record::Archived(event)) = (self.opener, &mut record) {
            let as_stored = event.clone();
            opener.open(std::slice::from_mut(event)).await?;
            if !Sealing::is_storable(&event.codec) {
                *event = as_stored;
            }
        }
        Ok(record)
    }

    #[cfg(not(feature = "privacy"))]
    #[expect(clippy::unused_async, reason = "with the feature it asks for keys")]
    async fn opened(&self, record: Record) -> Result<Record, TransferError> {
        Ok(record)
    }

    /// The record in the shape that it is to have.
    fn brought(&self, mut record: Record) -> Result<Record, TransferError> {
        if let Record::Live(event) | Record::Archived(event) = &mut record
            && let Some(Bring { to, by }) = self.today.get(event.name.as_str())
            && (event.name.as_str(), event.schema_version) != (to.name(), to.schema_version())
        {
            by(event)?;
        }
        Ok(record)
    }
}

impl<S: ?Sized> fmt::Debug for Export<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export").field("today", &self.today.keys()).finish_non_exhaustive()
    }
}

fn bring<E: Event>(recorded: &mut RecordedEvent) -> Result<(), TransferError> {
    let Decoded::Whole(event) = E::decode_all(recorded)? else { return Ok(()) };
    let encoding = Encoding::of_stored(&recorded.codec).map_err(|fault| fault_of(recorded, fault))?;
    let name = EventName::from(event.event_type());
    let payload =
        event.encode(encoding.codec()).map_err(|source| Invalid::Encode { name: name.clone(), source })?;
    let (codec, payload) = encoding.pack(payload);
    recorded.codec = codec;
    recorded.schema_version = event.event_type().schema_version();
    recorded.name = name;
    recorded.payload = payload.into();
    Ok(())
}

/// Writes an export to an empty `store`, all of it or nothing, and says how many records that were. Positions, versions, ids
/// and times are those of the store that was exported.
///
/// It is one transaction, however long it takes: the memory that it needs does not grow with the export, but the store's
/// write-ahead log does.
///
/// # Errors
///
/// [`TransferError`]. The store is as empty as before.
///
/// # Cancel safety
///
/// Dropping the future leaves the store empty, unless the import was about to end: then all of it may be there.
pub async fn import(
    store: &impl Transfer,
    input: impl AsyncBufRead + Unpin + Send,
) -> Result<u64, TransferError> {
    let mut lines = NumberedLines { lines: input.lines(), number: 0, records: 0, has_ended: false };
    match lines.next().await? {
        None => return Err(lines.incomplete()),
        Some(line) if line == Line::begin() => {}
        Some(_) => return Err(lines.wrong("it does not begin as an export of this version does")),
    }
    let mut import = store.begin_import().await?;
    let mut page = lines.page().await?;
    while !page.is_empty() {
        // A server writes one page while the next is read.
        ((), page) = future::try_join(import.write(page), lines.page()).await?;
    }
    import.finish().await?;
    Ok(lines.records)
}

fn text_of(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// The lines of an export, and which one it is.
struct NumberedLines<R> {
    lines: tokio::io::Lines<R>,
    number: usize,
    /// How many records there were so far.
    records: u64,
    /// Whether the last line was there.
    has_ended: bool,
}

impl<R: AsyncBufRead + Unpin> NumberedLines<R> {
    async fn next(&mut self) -> Result<Option<Line>, TransferError> {
        let Some(text) = self.lines.next_line().await? else { return Ok(None) };
        self.number += 1;
        serde_json::from_str(&text).map(Some).map_err(|error| self.wrong(error))
    }

    /// The next records; none, if all have come, and the end.
    async fn page(&mut self) -> Result<Vec<Record>, TransferError> {
        let (mut page, mut bytes) = (Vec::new(), 0);
        while !self.has_ended && page.len() < PAGE_EVENTS && bytes < PAGE_BYTES {
            let Some(line) = self.next().await? else { return Err(self.incomplete()) };
            if line.end_after.is_none() {
                let record = line.into_record().map_err(|source| self.wrong(source))?;
                bytes += record.payload_bytes();
                page.push(record);
                self.records += 1;
                if self.records.is_multiple_of(TURN_EVENTS) {
                    tokio::task::yield_now().await;
                }
            } else if line != Line::end(self.records) {
                return Err(self.incomplete());
            } else if self.next().await?.is_some() {
                return Err(self.wrong("it comes after the end"));
            } else {
                self.has_ended = true;
            }
        }
        Ok(page)
    }

    fn incomplete(&self) -> TransferError {
        TransferError::Incomplete { records: self.records }
    }

    fn wrong(&self, source: impl Into<BoxError>) -> TransferError {
        TransferError::Line { line: self.number, source: source.into() }
    }
}

async fn write_line(out: &mut (impl AsyncWrite + Unpin), line: &Line) -> Result<(), TransferError> {
    let mut text = serde_json::to_vec(line).map_err(std::io::Error::from)?;
    text.push(b'\n');
    Ok(out.write_all(&text).await?)
}

/// The version of the form.
const FORMAT: u32 = 1;

/// Any line. Which fields it has says what it is.
#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    factum_export: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Version>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded_at: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    archived: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    codec: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

impl Line {
    fn begin() -> Self {
        Self { factum_export: Some(FORMAT), ..Self::default() }
    }

    fn end(records: u64) -> Self {
        Self { end_after: Some(records), ..Self::default() }
    }

    fn record(record: Record) -> Self {
        let (event, archived) = match record {
            Record::Live(event) => (event, false),
            Record::Archived(event) => (event, true),
            Record::Erased(place) => return Self::place(&place),
        };
        let place = Place {
            id: event.id,
            stream: event.stream,
            version: event.version,
            position: event.position,
            recorded_at: event.recorded_at,
        };
        let (payload, payload_base64) = match std::str::from_utf8(&event.payload) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(BASE64.encode(&event.payload))),
        };
        Self {
            archived,
            name: Some(event.name.as_str().to_owned()),
            schema_version: Some(event.schema_version),
            codec: Some(event.codec.into_owned()),
            metadata: Some(event.metadata),
            payload,
            payload_base64,
            ..Self::place(&place)
        }
    }

    fn place(place: &Place) -> Self {
        Self {
            position: Some(place.position),
            stream: Some(place.stream.as_str().to_owned()),
            version: Some(place.version),
            id: Some(place.id),
            recorded_at: Some(text_of(place.recorded_at)),
            ..Self::default()
        }
    }

    fn into_record(self) -> Result<Record, BoxError> {
        let record = self.into_any_record()?;
        record.check()?;
        Ok(record)
    }

    /// The record, whatever its numbers are.
    fn into_any_record(self) -> Result<Record, BoxError> {
        let (Some(position), Some(stream), Some(version), Some(id), Some(recorded_at)) =
            (self.position, self.stream, self.version, self.id, self.recorded_at)
        else {
            return Err("an event has position, stream, version, id and recorded_at".into());
        };
        let stream: StreamId = stream.parse()?;
        let text = recorded_at;
        let recorded_at = DateTime::parse_from_rfc3339(&text)?.to_utc();
        if text_of(recorded_at) != text {
            return Err("a time is not written as an export writes it".into());
        }
        let payload: Option<Bytes> = match (self.payload, self.payload_base64) {
            (Some(text), None) => Some(text.into()),
            (None, Some(text)) => Some(BASE64.decode(text)?.into()),
            (None, None) => None,
            (Some(_), Some(_)) => return Err("an event has one payload".into()),
        };
        match (self.name, self.schema_version, self.codec, self.metadata, payload) {
            (Some(name), Some(schema_version), Some(codec), Some(metadata), Some(payload)) => {
                let event = RecordedEvent {
                    id,
                    stream,
                    version,
                    position,
                    name: EventName::new(name)?,
                    schema_version,
                    codec: codec.into(),
                    payload,
                    metadata,
                    recorded_at,
                };
                Ok(if self.archived { Record::Archived(event) } else { Record::Live(event) })
            }
            (None, None, None, None, None) if !self.archived => {
                Ok(Record::Erased(Place { id, stream, version, position, recorded_at }))
            }
            _ => Err("an event has all of its content, or none".into()),
        }
    }
}
