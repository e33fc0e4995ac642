//! What a category, a stream's id, an event or an actor may be called.

use std::fmt;

/// The longest name, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 255;

/// A name that no store accepts: it is empty, too long, or has a character that some store or tool would change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} {name:?}: {fault}")]
pub struct InvalidName {
    /// What was to be named: `"category"`, `"stream id"`, `"event name"`, `"actor"`.
    pub what: &'static str,
    /// The name, cut after 80 characters.
    pub name: String,
    /// What is wrong with it.
    pub fault: NameFault,
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameFault {
    /// It has no characters.
    Empty,
    /// It has more than [`NAME_BYTES_MAX`] bytes.
    TooLong {
        /// How many it has.
        bytes: usize,
    },
    /// It has a control character (NUL, a line feed, …).
    ControlCharacter {
        /// Where, in bytes.
        at: usize,
    },
    /// It is a category and has a slash, which ends the category in the text of a stream.
    Slash {
        /// Where, in bytes.
        at: usize,
    },
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a name has at least one character"),
            Self::TooLong { bytes } => {
                write!(f, "a name has at most {NAME_BYTES_MAX} bytes, this one has {bytes}")
            }
            Self::ControlCharacter { at } => write!(f, "control character at byte {at}"),
            Self::Slash { at } => write!(f, "a category has no slash, this one has one at byte {at}"),
        }
    }
}

/// Refuses `name` if it is no name for a `what`.
pub(crate) fn check(what: &'static str, name: &str) -> Result<(), InvalidName> {
    let fault = if name.is_empty() {
        NameFault::Empty
    } else if name.len() > NAME_BYTES_MAX {
        NameFault::TooLong { bytes: name.len() }
    } else if let Some(at) = control_character(name) {
        NameFault::ControlCharacter { at }
    } else {
        return Ok(());
    };
    Err(InvalidName { what, name: name.chars().take(80).collect(), fault })
}

/// Where the first control character is, in bytes.
fn control_character(name: &str) -> Option<usize> {
    // Most names are ASCII, and every row that is read has three.
    let is_plain = name.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    if is_plain { None } else { name.find(char::is_control) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_people_write() {
        for name in ["a", "order.placed", "Größe 42", &"x".repeat(255)] {
            assert_eq!(check("event name", name), Ok(()));
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let fault = |name: &str| check("event name", name).expect_err(name).fault;
        assert_eq!(fault(""), NameFault::Empty);
        assert_eq!(fault(&"x".repeat(256)), NameFault::TooLong { bytes: 256 });
        assert_eq!(fault("a\0b"), NameFault::ControlCharacter { at: 1 });
        assert_eq!(fault("ab\u{85}"), NameFault::ControlCharacter { at: 2 });
    }
}
