//! From SQLite's result codes to what is wrong with the store. Texts are never looked at.
//!
//! # What a failure says about the outcome
//!
//! Whatever fails before `COMMIT` has written nothing: the transaction is rolled back, at the latest when its
//! connection is closed, and that is done before the caller gets the error.
//!
//! A failed `COMMIT` is known not to have happened, with one exception. In WAL mode a commit is the last frame of
//! the transaction in the log; it is seen by others only after it was written (and, when durable, flushed) in full.
//! * A full disk cuts that frame off, so it does not count, now or after a crash: nothing was written.
//! * `SQLITE_BUSY` cannot happen: the transaction had the write lock from its beginning, and a commit in WAL mode
//!   needs no other.
//! * A violated deferred constraint (of the user's tables) leaves the transaction open; it is rolled back.
//! * An **I/O error** may come from flushing, when the frame is written already. The transaction is rolled back, and
//!   the next writer writes over the frame; but if the process dies before that, recovery finds the frame whole and
//!   takes it. So its outcome is unknown, as it is when the connection's thread is lost during the commit. Repeating
//!   the append with the same ids is safe either way.

use std::borrow::Cow;

use factum_core::{StoreError, StoreErrorKind};

/// The failure of one statement of a script.
#[derive(Debug)]
pub(crate) struct Fault {
    /// Its place in the script, from 0.
    pub(crate) statement: usize,
    pub(crate) error: sqlx::Error,
}

/// A failure before a commit, or in a read.
pub(crate) fn store_error(operation: &'static str, error: sqlx::Error) -> StoreError {
    StoreError::because(kind_of(&error), operation, error)
}

/// A failure of a commit, or of statements that end with one.
pub(crate) fn commit_error(operation: &'static str, error: sqlx::Error) -> StoreError {
    let kind = match kind_of(&error) {
        // An I/O error, or the connection's thread is gone.
        StoreErrorKind::Unavailable => StoreErrorKind::OutcomeUnknown,
        known => known,
    };
    StoreError::because(kind, operation, error)
}

/// Whether SQLite has nothing more exact to say than "error": a missing table is one of its reasons.
pub(crate) fn is_unspecific(error: &sqlx::Error) -> bool {
    code_of(error) == Some(code::ERROR)
}

/// Whether another process has a lock.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    kind_of(error) == StoreErrorKind::Busy
}

/// Whether a value is larger than SQLite lets any be.
pub(crate) fn is_too_big(error: &sqlx::Error) -> bool {
    code_of(error) == Some(code::TOOBIG)
}

/// Whether a row breaks a constraint of its table.
pub(crate) fn is_constraint(error: &sqlx::Error) -> bool {
    code_of(error).is_some_and(|extended| extended & 0xff == code::CONSTRAINT)
}

fn kind_of(error: &sqlx::Error) -> StoreErrorKind {
    use StoreErrorKind::{Busy, Closed, Corrupt, Other, Unavailable};
    match error {
        sqlx::Error::Database(_) => code_of(error).map_or(Other, kind_of_code),
        // Somebody of this process held the connection for too long.
        sqlx::Error::PoolTimedOut => Busy,
        sqlx::Error::PoolClosed => Closed,
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => Unavailable,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Corrupt,
        _ => Other,
    }
}

/// SQLite's extended result code.
fn code_of(error: &sqlx::Error) -> Option<u32> {
    let code: Cow<'_, str> = error.as_database_error()?.code()?;
    code.parse().ok()
}

fn kind_of_code(extended: u32) -> StoreErrorKind {
    use StoreErrorKind::{Busy, Corrupt, Full, Other, ReadOnly, Unavailable};
    if extended == code::IOERR_CORRUPTFS {
        return Corrupt;
    }
    // The lowest byte is the primary code, which the extended ones refine.
    match extended & 0xff {
        code::BUSY | code::LOCKED | code::PROTOCOL => Busy,
        code::FULL => Full,
        code::READONLY | code::PERM => ReadOnly,
        code::CORRUPT | code::NOTADB => Corrupt,
        code::CANTOPEN | code::IOERR => Unavailable,
        _ => Other,
    }
}

/// Result codes, see <https://www.sqlite.org/rescode.html>.
mod code {
    pub(super) const TOOBIG: u32 = 18;
    pub(super) const CONSTRAINT: u32 = 19;
    pub(super) const ERROR: u32 = 1;
    pub(super) const PERM: u32 = 3;
    pub(super) const BUSY: u32 = 5;
    pub(super) const LOCKED: u32 = 6;
    pub(super) const READONLY: u32 = 8;
    pub(super) const IOERR: u32 = 10;
    pub(super) const CORRUPT: u32 = 11;
    pub(super) const FULL: u32 = 13;
    pub(super) const CANTOPEN: u32 = 14;
    /// Two processes raced for the locks of the log, more often than SQLite tries again.
    pub(super) const PROTOCOL: u32 = 15;
    pub(super) const NOTADB: u32 = 26;
    pub(super) const IOERR_CORRUPTFS: u32 = IOERR + 33 * 256;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extended_codes_are_known_by_their_primary_one() {
        const BUSY_SNAPSHOT: u32 = code::BUSY + 2 * 256;
        const IOERR_FSYNC: u32 = code::IOERR + 4 * 256;
        assert_eq!(kind_of_code(BUSY_SNAPSHOT), StoreErrorKind::Busy);
        assert_eq!(kind_of_code(IOERR_FSYNC), StoreErrorKind::Unavailable);
        assert_eq!(kind_of_code(code::IOERR_CORRUPTFS), StoreErrorKind::Corrupt);
        assert_eq!(kind_of_code(code::ERROR), StoreErrorKind::Other);
    }

    #[test]
    fn only_a_commit_leaves_the_outcome_open() {
        let lost = || sqlx::Error::WorkerCrashed;
        assert_eq!(store_error("append", lost()).kind(), &StoreErrorKind::Unavailable);
        assert_eq!(commit_error("append", lost()).kind(), &StoreErrorKind::OutcomeUnknown);
        assert_eq!(commit_error("append", sqlx::Error::PoolTimedOut).kind(), &StoreErrorKind::Busy);
    }
}
