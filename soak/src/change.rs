//! What clients do to streams as a whole, and what they are told.

use std::fmt;
use std::str::FromStr;

use factum_core::retention::Retention;
use factum_core::{AppendError, Expected, Position, StreamId, Version};

/// The category of the streams that are set apart and erased. Nothing else is.
pub(crate) const KEPT: &str = "kept";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum What {
    Archive,
    Restore,
    Truncate,
    Delete,
}

/// A change of a stream as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) what: What,
    pub(crate) stream: StreamId,
    /// The version that the stream is to have, or before which it is truncated. To restore it needs none.
    pub(crate) version: Version,
}

/// What was told of a change that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// The event that says so.
    At(Position, Version),
    /// A truncation has none of its own.
    Cut,
}

impl What {
    pub(crate) const ALL: [Self; 4] = [Self::Archive, Self::Restore, Self::Truncate, Self::Delete];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Restore => "restore",
            Self::Truncate => "truncate",
            Self::Delete => "delete",
        }
    }
}

impl Change {
    /// Does it.
    pub(crate) async fn apply(&self, store: &impl Retention) -> Result<Done, AppendError> {
        let Self { what, stream, version } = self;
        let expected = Expected::Exactly(*version);
        let appended = match what {
            What::Archive => store.archive_stream(stream, expected).await?,
            What::Delete => store.delete_stream(stream, expected).await?,
            What::Restore => store.restore_stream(stream).await?,
            What::Truncate => {
                store.truncate_stream(stream, *version).await?;
                return Ok(Done::Cut);
            }
        };
        Ok(Done::At(appended.position, appended.version()))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, stream, version } = self;
        write!(f, "{} {stream} at version {version}", what.name())
    }
}

impl FromStr for What {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|what| what.name() == name).ok_or(())
    }
}
