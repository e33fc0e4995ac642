//! What can go wrong, sorted by what the caller does next: change the input, try again, or wake somebody.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::checkpoint::Checkpoint;
use crate::event::EventName;
use crate::metadata::EventId;
use crate::name::InvalidName;
use crate::retention::Closing;
use crate::stream::{Expected, Position, StreamId, Version};

/// Any error, as a cause.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// Somebody else appended first: the stream is not at the version the append demanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("conflict on {stream}: expected {expected}, found {}", actual.map_or_else(|| "no stream".into(), |v| format!("version {v}")))]
pub struct Conflict {
    /// The stream that was to be appended to.
    pub stream: StreamId,
    /// What the append demanded.
    pub expected: Expected,
    /// The version of the stream's last event, if it has one.
    pub actual: Option<Version>,
}

/// Somebody else recorded an event that the decision would have wanted to know: it has to be made again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {name} at position {position} was recorded meanwhile, which the decision has not seen")]
pub struct Overtaken {
    /// The stored name of the first such event.
    pub name: EventName,
    /// Where it is.
    pub position: Position,
}

/// Event ids of an append were used before, and not by the same append: some are recorded and some are not, or they
/// are recorded elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "event id {id} of an append to {stream} is already recorded at version {recorded_version} of {recorded_stream}, by another append"
)]
pub struct IdReused {
    /// The first id that is out of place.
    pub id: EventId,
    /// The stream that was to be appended to.
    pub stream: StreamId,
    /// The stream that has the id.
    pub recorded_stream: StreamId,
    /// The version it has there.
    pub recorded_version: Version,
}

/// A stream that takes no more events, because it was deleted or archived as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{stream} was {closing}, and takes no more events")]
pub struct StreamClosed {
    /// Which stream.
    pub stream: StreamId,
    /// By what.
    pub closing: Closing,
}

/// Input that no store accepts. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// A name is none.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Only the framework records events of this name.
    #[error("event {name}: names that begin with `factum.` are the framework's own")]
    Reserved {
        /// Which name.
        name: EventName,
    },
    /// The content of an event cannot be written as bytes.
    #[error("event {name} cannot be encoded")]
    Encode {
        /// Which event.
        name: EventName,
        /// What serde said.
        source: BoxError,
    },
    /// Something in the event is personal, and it was given to a store that seals nothing.
    #[error("event {name} holds personal data: append it through a vault")]
    NotSealed {
        /// Which event.
        name: EventName,
    },
    /// The event is about a person who was forgotten.
    #[error("event {name} holds personal data of {subject}, who was forgotten")]
    Forgotten {
        /// Which event.
        name: EventName,
        /// Who.
        subject: String,
    },
    /// The content of an event has too many bytes.
    #[error("the payload of event {name} has {bytes} bytes, more than the store's limit of {bytes_max}")]
    PayloadTooLarge {
        /// Which event.
        name: EventName,
        /// How many it has.
        bytes: usize,
        /// How many it may have, see [`Limits`](crate::store::Limits).
        bytes_max: usize,
    },
    /// The metadata of an event has too many bytes.
    #[error(
        "the metadata of event {name} has {bytes} bytes as JSON, more than the store's limit of {bytes_max}"
    )]
    MetadataTooLarge {
        /// Which event.
        name: EventName,
        /// How many it has.
        bytes: usize,
        /// How many it may have, see [`Limits`](crate::store::Limits).
        bytes_max: usize,
    },
    /// An append names no stream, or has no event for one it names.
    #[error("an append has at least one event for every stream it names")]
    NoEvents,
    /// An append has too many events.
    #[error("an append of {events} events is more than the {events_max} a store takes at once")]
    TooManyEvents {
        /// How many it has, over all its streams.
        events: usize,
        /// How many it may have, see [`Limits`](crate::store::Limits).
        events_max: usize,
    },
    /// An append names a stream twice.
    #[error("an append names the stream {stream} twice")]
    StreamTwice {
        /// Which.
        stream: StreamId,
    },
    /// An append has an event id twice.
    #[error("an append has the event id {id} twice")]
    IdTwice {
        /// Which.
        id: EventId,
    },
    /// An event id of an append is that of an event which another tenant has, or nobody.
    #[error("the event id {id} is taken by an event that is not this tenant's")]
    IdTaken {
        /// Which.
        id: EventId,
    },
    /// The version of an event's shape is 0 or over `i32::MAX`.
    #[error("event {name} has schema version {schema_version}: they count from 1 to 2147483647")]
    SchemaVersion {
        /// Which event.
        name: EventName,
        /// The version it has.
        schema_version: u32,
    },
    /// A query has too many items, names and tags.
    #[error("a query of {parts} items, names and tags is more than the {parts_max} a store takes")]
    QueryTooLarge {
        /// How many it has in all.
        parts: usize,
        /// How many it may have.
        parts_max: usize,
    },
    /// An expected version, or the versions of the new events, are past [`Version::MAX`].
    #[error("the versions of stream {stream} end at {}", Version::MAX)]
    VersionOverflow {
        /// Which stream.
        stream: StreamId,
    },
}

/// Why an append did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Somebody else appended first.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// Somebody else recorded what the [condition](crate::store::Condition) of the append forbids.
    #[error(transparent)]
    Overtaken(#[from] Overtaken),
    /// Ids were used before, by another append.
    #[error(transparent)]
    IdReused(#[from] IdReused),
    /// A stream was deleted or archived.
    #[error(transparent)]
    Closed(#[from] StreamClosed),
    /// The input is one that no store accepts.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The store is ill.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The store is ill. Cloning copies a pointer.
///
/// Whether to try again is the error's own knowledge: [`is_transient`](StoreError::is_transient).
#[derive(Clone)]
pub struct StoreError(Arc<StoreFault>);

struct StoreFault {
    kind: StoreErrorKind,
    operation: &'static str,
    source: Option<BoxError>,
}

/// What is wrong with a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// It cannot be reached now. Nothing was written.
    Unavailable,
    /// It was too busy to answer in time. Nothing was written.
    Busy,
    /// The connection broke during the commit: whether the append happened is not known. The same append, with the
    /// same ids, may be repeated and will tell.
    OutcomeUnknown,
    /// Its disk, or its quota, is full. Nothing was written.
    Full,
    /// Its tables are missing or old. Run `migrate()` of the store, or `sqlx migrate run` with its migrations.
    NotMigrated {
        /// The last migration the database has.
        found: Option<i64>,
        /// The last migration this program needs.
        needed: i64,
    },
    /// A newer program has migrated it. Update this program.
    NewerThanProgram {
        /// The last migration the database has.
        found: i64,
        /// The last migration this program knows.
        known: i64,
    },
    /// It may not be written to, or not by this user.
    ReadOnly,
    /// What it holds breaks a law of stores: events are missing, or a row cannot be read.
    Corrupt,
    /// Another process has moved the checkpoint meanwhile: the same subscription runs twice.
    CheckpointMoved {
        /// Where this process last put it.
        expected: Position,
        /// Where it is.
        actual: Position,
    },
    /// Somebody else holds the lease of the partition: this process was taken for gone, or the subscription runs elsewhere.
    LeaseLost,
    /// The work of the subscription is split into another number of partitions. It stays as it was when it began.
    OtherPartitions {
        /// How many partitions it has.
        found: u32,
        /// How many this program wants it to have.
        wanted: u32,
    },
    /// A checkpoint was made from another log than this one: a log that was restored from a backup, or that failed over to
    /// a copy without its last events, and has gone on differently. Going on would skip events in silence.
    ForeignCheckpoint {
        /// The checkpoint.
        checkpoint: Checkpoint,
        /// The last event of this log at or below its position.
        found: Option<EventId>,
    },
    /// A projection in the transaction of an append failed, see [`Inline`](crate::Inline). Nothing was written; the source is
    /// a [`HandlerError`](crate::HandlerError).
    ProjectionFailed,
    /// A key for personal data was wrapped by a master key that this program does not have.
    WrongMasterKey,
    /// It was closed.
    Closed,
    /// Something else: see the source.
    Other,
}

impl StoreError {
    /// The store is ill in the way of `kind`, which showed during `operation`, a verb such as `"append"`.
    pub fn new(kind: StoreErrorKind, operation: &'static str) -> Self {
        Self(Arc::new(StoreFault { kind, operation, source: None }))
    }

    /// As [`new`](StoreError::new), and because of `source`.
    pub fn because(kind: StoreErrorKind, operation: &'static str, source: impl Into<BoxError>) -> Self {
        Self(Arc::new(StoreFault { kind, operation, source: Some(source.into()) }))
    }

    /// What is wrong.
    pub fn kind(&self) -> &StoreErrorKind {
        &self.0.kind
    }

    /// What the store was doing.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// Whether the same call may succeed later without anybody's help.
    pub fn is_transient(&self) -> bool {
        use StoreErrorKind::{Busy, OutcomeUnknown, Unavailable};
        matches!(self.0.kind, Unavailable | Busy | OutcomeUnknown)
    }
}

impl fmt::Display for StoreErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable => f.write_str("the store cannot be reached"),
            Self::Busy => f.write_str("the store was too busy to answer in time"),
            Self::OutcomeUnknown => f.write_str(
                "the connection broke during the commit, so the outcome is unknown: repeat it with the same ids",
            ),
            Self::Full => f.write_str("the store's disk or quota is full, nothing was written"),
            Self::NotMigrated { found: None, .. } => {
                f.write_str("the database has no factum tables: run the store's `migrate()` or `sqlx migrate run`")
            }
            Self::NotMigrated { found: Some(found), needed } => write!(
                f,
                "the database is at migration {found} and this program needs {needed}: \
                 run the store's `migrate()` or `sqlx migrate run`"
            ),
            Self::NewerThanProgram { found, known } => write!(
                f,
                "the database is at migration {found} and this program knows only {known}: update the program"
            ),
            Self::ReadOnly => f.write_str("the store may not be written to"),
            Self::Corrupt => f.write_str("the store holds something that breaks its own laws"),
            Self::CheckpointMoved { expected, actual } => write!(
                f,
                "the checkpoint is at position {actual} and not at {expected}: another process runs this subscription"
            ),
            Self::LeaseLost => f.write_str("another node holds the lease of this partition"),
            Self::OtherPartitions { found, wanted } => write!(
                f,
                "the work of the subscription is split into {found} partitions and not into {wanted}: \
                 that is decided before its first event"
            ),
            Self::ForeignCheckpoint { checkpoint: Checkpoint { position, event_id }, found } => {
                write!(f, "the checkpoint at position {position} is not one of this log: ")?;
                let name = |id: &Option<EventId>| id.map_or_else(|| "nothing".into(), |id| format!("event {id}"));
                write!(f, "the last event up to there was {} and is {}", name(event_id), name(found))
            }
            Self::ProjectionFailed => {
                f.write_str("a projection in the transaction of the append failed, nothing was written")
            }
            Self::WrongMasterKey => f.write_str("a key is wrapped by a master key that this program does not have"),
            Self::Closed => f.write_str("the store was closed"),
            Self::Other => f.write_str("the store failed"),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.operation, self.0.kind)
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreError")
            .field("kind", &self.0.kind)
            .field("operation", &self.0.operation)
            .field("source", &self.0.source)
            .finish()
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// A recorded event that this program cannot read. It is never skipped.
#[derive(Debug)]
pub struct DecodeError {
    /// Its stored name.
    pub name: EventName,
    /// The stream it belongs to.
    pub stream: StreamId,
    /// Its place in the stream.
    pub version: Version,
    /// Its place in the store.
    pub position: Position,
    /// Why it cannot be read.
    pub fault: DecodeFault,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, stream, version, position, fault } = self;
        write!(f, "event {name} (version {version} of {stream}, position {position}): {fault}")
    }
}

impl Error for DecodeError {
    /// The text has the fault in it already, so the chain goes on with the fault's own source.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.fault.source()
    }
}

/// Why an event cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeFault {
    /// The reader knows no event of this name.
    #[error(
        "no event of this name is known here; add it to the event enum, or as an `alias` of its new name; or say what it was \
         `split` into, or that it is `dropped`"
    )]
    UnknownName,
    /// A newer program wrote it.
    #[error("its shape has version {found} and this program knows only {known}: update the program")]
    NewerThanProgram {
        /// The stored version.
        found: u32,
        /// The version this program writes.
        known: u32,
    },
    /// It was made by a codec this program does not have.
    #[error("it is encoded as `{codec}`, which this program does not know")]
    UnknownCodec {
        /// The stored name of the codec.
        codec: String,
    },
    /// It was made by a codec that factum has, and that this program was built without.
    #[error("it is encoded as `{codec}`, and this program was built without factum's feature `{feature}`")]
    CodecNotBuilt {
        /// The stored name of the codec.
        codec: String,
        /// The feature of the crate `factum`.
        feature: &'static str,
    },
    /// Something in it is personal and sealed, and it was read without a [`Vault`](crate::privacy).
    #[error("it holds personal data that is sealed, and was read without a vault")]
    Sealed,
    /// There is no key for something personal in it, and no note that there was one: the keys are of another store, or of a time
    /// before.
    #[error(
        "it holds personal data whose key is not there, and was not deleted: are these the keys of this store?"
    )]
    NoKey,
    /// Something personal in it is not what was sealed in this place: it was changed, cut off, or taken from elsewhere.
    #[error("it holds personal data that was changed, or was sealed for another place or with another key")]
    SealBroken,
    /// It is compressed, and would be larger than anything that factum compresses.
    #[error(
        "it is compressed and has more than {bytes_max} bytes, which no payload has that was written here"
    )]
    TooLarge {
        /// How many it may have: [`DECOMPRESSED_BYTES_MAX`](crate::codec::DECOMPRESSED_BYTES_MAX).
        bytes_max: usize,
    },
    /// The step from an old shape to the next failed.
    #[error("the upcast from version {from} failed")]
    Upcast {
        /// The version the step starts from.
        from: u32,
        /// What it said.
        source: BoxError,
    },
    /// The old event could not be split into what it is today.
    #[error("it could not be split into what it is today")]
    Split {
        /// What the function said.
        source: BoxError,
    },
    /// One event was asked for, and it is another number of them today.
    #[error("it is read as {found} events, and one was asked for")]
    NotOne {
        /// How many it is.
        found: usize,
    },
    /// The bytes are not what the type expects.
    #[error("its payload does not decode")]
    Payload(#[source] BoxError),
}

/// Why an aggregate could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The id is not one a stream can have.
    #[error(transparent)]
    Invalid(#[from] InvalidName),
    /// Nothing ever happened to it. (An aggregate whose events leave it in its default state is found.)
    #[error("{stream} does not exist")]
    NotFound {
        /// Its stream.
        stream: StreamId,
    },
    /// It never was at the version asked for.
    #[error("{stream} has no version {asked}, its last is {last}")]
    NoSuchVersion {
        /// Its stream.
        stream: StreamId,
        /// The version asked for.
        asked: Version,
        /// The version of its last event.
        last: Version,
    },
    /// The stream was deleted or archived.
    #[error(transparent)]
    Closed(#[from] StreamClosed),
    /// One of its events cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The store is ill.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a command changed nothing.
///
/// Four questions, four answers: did the domain say no, did somebody else win, is stored data unreadable, is the
/// store ill? The other two say that the input is at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError<E> {
    /// The domain said no.
    #[error("rejected: {0}")]
    Rejected(E),
    /// Somebody else won, as often as was to be tried, or the aggregate is not at the version the caller saw.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// Others recorded what a decision across streams depends on, as often as was to be tried.
    #[error(transparent)]
    Overtaken(#[from] Overtaken),
    /// One of the events that the state is folded from cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The input is one that no store accepts.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The command's id was used before, for something else.
    #[error(transparent)]
    IdReused(#[from] IdReused),
    /// A stream was deleted or archived.
    #[error(transparent)]
    Closed(#[from] StreamClosed),
    /// The store is ill.
    #[error(transparent)]
    Store(#[from] StoreError),
}
