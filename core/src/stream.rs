//! Streams, and the numbers that place an event: its version in its stream, its position in the store.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::name::{self, InvalidName, NameFault};

/// The name of a stream: a category (`order`) and an id (`42`), written `order/42`.
///
/// Both parts are valid names by construction, so a store need not look again. Cloning copies a pointer.
///
/// ```
/// use factum::StreamId;
///
/// let stream = StreamId::new("order", "42")?;
/// assert_eq!(stream.to_string(), "order/42");
/// assert_eq!("order/42".parse::<StreamId>()?, stream);
/// # Ok::<(), factum::InvalidName>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    text: Arc<str>,
    /// Where the slash is. A category has at most 255 bytes, and a tenant before it as many.
    category_bytes: u16,
}

impl StreamId {
    /// The stream of `category` with the given id.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] if a part is empty, has more than 255 bytes or a control character, or if the category has
    /// a slash. A category of a [tenant](crate::tenant) may have as many bytes more.
    pub fn new(category: &str, id: &str) -> Result<Self, InvalidName> {
        name::check_of_tenant("category", category)?;
        name::check_has_no('/', |at| NameFault::Slash { at }, "category", category)?;
        name::check("stream id", id)?;
        let category_bytes = u16::try_from(category.len()).expect("a name has at most 511 bytes");
        // And not by `format!`, which is slower, because each row that is read has a stream.
        let mut text = String::with_capacity(category.len() + 1 + id.len());
        text.push_str(category);
        text.push('/');
        text.push_str(id);
        Ok(Self { text: text.into(), category_bytes })
    }

    /// What kind of thing the stream is about: `order`.
    pub fn category(&self) -> &str {
        &self.text[..usize::from(self.category_bytes)]
    }

    /// Which one of its kind: `42`.
    pub fn id(&self) -> &str {
        &self.text[usize::from(self.category_bytes) + 1..]
    }

    /// Both parts, as they are written: `order/42`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl FromStr for StreamId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (category, id) = text.split_once('/').unwrap_or((text, ""));
        Self::new(category, id)
    }
}

/// The place of an event in its stream: 1 for the first, then 2, 3, … without holes.
///
/// As the version of a *stream* or of an aggregate it is the version of the last event, and 0 where there is none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u64);

impl Version {
    /// Before the first event.
    pub const NONE: Self = Self(0);
    /// The last version there can be: what a signed 64-bit column holds.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// Past every version: where a stream is read backward from.
    pub const END: Self = Self(u64::MAX);

    /// The version `count` places later, or `None` past [`Version::MAX`].
    pub fn forward(self, count: usize) -> Option<Self> {
        let sum = self.0.checked_add(u64::try_from(count).ok()?)?;
        (sum <= Self::MAX.0).then_some(Self(sum))
    }

    /// The version after this one, or `None` past [`Version::MAX`].
    pub fn next(self) -> Option<Self> {
        self.forward(1)
    }
}

/// The place of an event in its store's one order.
///
/// Positions only grow and are never used twice, but not every number is a position: treat the number as opaque.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// Before the first event: where a new subscription begins.
    pub const START: Self = Self(0);
}

macro_rules! number {
    ($type:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self.0)
            }
        }
    };
}
number!(Version);
number!(Position);

/// What an append demands of its stream. It succeeds if and only if this holds at the moment of commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expected {
    /// Nothing is demanded.
    Any,
    /// The stream has no event.
    NoStream,
    /// The stream has at least one event.
    Exists,
    /// The last event of the stream has this version; 0 means the same as [`Expected::NoStream`].
    Exactly(Version),
}

impl Expected {
    /// Whether a stream whose last version is `actual` meets the demand.
    pub fn is_met_by(self, actual: Option<Version>) -> bool {
        match self {
            Self::Any => true,
            Self::NoStream => actual.is_none(),
            Self::Exists => actual.is_some(),
            Self::Exactly(version) => actual.unwrap_or_default() == version,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any version"),
            Self::NoStream => f.write_str("no stream"),
            Self::Exists => f.write_str("an existing stream"),
            Self::Exactly(version) => write!(f, "version {version}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_keeps_its_two_parts_apart() {
        let stream = StreamId::new("order", "a/b/c").expect("valid");
        assert_eq!((stream.category(), stream.id()), ("order", "a/b/c"));
        assert_eq!(stream.to_string().parse(), Ok(stream));
    }

    #[test]
    fn a_category_without_id_is_refused() {
        assert_eq!("order".parse::<StreamId>().expect_err("no id").what, "stream id");
        assert_eq!(StreamId::new("a/b", "c").expect_err("slash").fault, NameFault::Slash { at: 1 });
        assert!(StreamId::new(&"ü".repeat(127), &"x".repeat(255)).is_ok());
        assert!(StreamId::new(&"ü".repeat(128), "x").is_err());
    }

    #[test]
    fn versions_end_where_a_column_ends() {
        assert_eq!(Version::MAX.next(), None);
        assert_eq!(Version(41).next(), Some(Version(42)));
        assert_eq!(Version(1).forward(usize::MAX), None);
    }

    #[test]
    fn expectations_are_met_by_exactly_what_they_say() {
        let (none, one) = (None, Some(Version(1)));
        let met = |expected: Expected| (expected.is_met_by(none), expected.is_met_by(one));
        assert_eq!(met(Expected::Any), (true, true));
        assert_eq!(met(Expected::NoStream), (true, false));
        assert_eq!(met(Expected::Exists), (false, true));
        assert_eq!(met(Expected::Exactly(Version(1))), (false, true));
        assert_eq!(met(Expected::Exactly(Version(2))), (false, false));
        assert_eq!(met(Expected::Exactly(Version::NONE)), (true, false));
    }
}
