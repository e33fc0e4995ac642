//! What a category, a stream's id, an event or an actor may be called.

use std::fmt;

/// The longest name, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 255;

/// What stands between a tenant and what it calls something.
pub(crate) const TENANT_END: char = '~';

/// The longest name with that of a tenant before it, in bytes.
const TENANTS_NAME_BYTES_MAX: usize = 2 * NAME_BYTES_MAX + 1;

/// A name that no store accepts: it is empty, too long, or has a character that some store or tool would change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} {name:?}: {fault}")]
pub struct InvalidName {
    /// What was to be named: `"category"`, `"stream id"`, `"event name"`, `"tag"`, `"tenant"`, `"actor"`.
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
    /// It is a category or a tenant and has a slash, which ends the category in the text of a stream.
    Slash {
        /// Where, in bytes.
        at: usize,
    },
    /// It is a tenant and has a tilde, which ends it in the category of a stream.
    Tilde {
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
            Self::Slash { at } => write!(f, "it may have no slash, and has one at byte {at}"),
            Self::Tilde { at } => write!(f, "it may have no tilde, and has one at byte {at}"),
        }
    }
}

/// Refuses `name` if it is no name for a `what`.
pub(crate) fn check(what: &'static str, name: &str) -> Result<(), InvalidName> {
    check_up_to(NAME_BYTES_MAX, what, name)
}

/// Refuses `name` if it is no name for a `what`, before which there may be the name of a tenant.
pub(crate) fn check_of_tenant(what: &'static str, name: &str) -> Result<(), InvalidName> {
    let bytes_max = if name.len() > NAME_BYTES_MAX && name.contains(TENANT_END) {
        TENANTS_NAME_BYTES_MAX
    } else {
        NAME_BYTES_MAX
    };
    check_up_to(bytes_max, what, name)
}

fn check_up_to(bytes_max: usize, what: &'static str, name: &str) -> Result<(), InvalidName> {
    let fault = if name.is_empty() {
        NameFault::Empty
    } else if name.len() > bytes_max {
        NameFault::TooLong { bytes: name.len() }
    } else if let Some(at) = control_character(name) {
        NameFault::ControlCharacter { at }
    } else {
        return Ok(());
    };
    Err(invalid(what, name, fault))
}

/// Refuses `name` if it has a character that ends what it stands in.
pub(crate) fn check_has_no(
    end: char,
    fault: impl FnOnce(usize) -> NameFault,
    what: &'static str,
    name: &str,
) -> Result<(), InvalidName> {
    name.find(end).map_or(Ok(()), |at| Err(invalid(what, name, fault(at))))
}

fn invalid(what: &'static str, name: &str, fault: NameFault) -> InvalidName {
    InvalidName { what, name: name.chars().take(80).collect(), fault }
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
