//! Tags: what an event is about, so that decisions can ask for it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::name::{self, InvalidName};

/// Something that an event is about, such as `course:42`. An event may have several, whichever stream it is in: so what
/// concerns a thing can be found without a stream for it, see [`EventQuery`](crate::EventQuery).
///
/// Usually derived: `#[event(tag)]` on a field `course` of an event gives it the tag `course:` with the text of the field.
/// Cloning copies a pointer.
///
/// ```
/// # use factum::Tag;
/// let course = Tag::of("course", &42)?;
/// assert_eq!(course.as_str(), "course:42");
/// assert_eq!(course, Tag::new("course:42")?);
/// # Ok::<(), factum::InvalidName>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Tag(Arc<str>);

impl Tag {
    /// The tag with this text.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] if it is empty or has more than 255 bytes or a control character. A tag of a [tenant](crate::tenant) may have
    /// as many bytes more.
    pub fn new(text: impl Into<Arc<str>>) -> Result<Self, InvalidName> {
        let text = text.into();
        name::check_of_tenant("tag", &text)?;
        Ok(Self(text))
    }

    /// The tag `key:value`, in which the key says what kind of thing the value is.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] if the whole is empty or has more than 255 bytes or a control character.
    pub fn of(key: &str, value: &(impl fmt::Display + ?Sized)) -> Result<Self, InvalidName> {
        Self::new(format!("{key}:{value}"))
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.as_str().to_owned()
    }
}

impl TryFrom<String> for Tag {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
