//! What Postgres says of a failure, in the words of the store.
//!
//! A failure is known by its SQLSTATE and by the name of a constraint, never by its text, which depends on the
//! server's language and version.

use factum_core::{BoxError, InvalidName, StoreError, StoreErrorKind};
use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::migrate;

/// Of two appends that write the same version, or the same event id, the database lets one through.
const CLASHES: [&str; 2] = ["factum_events_stream_version_key", "factum_events_event_id_key"];

const UNIQUE_VIOLATION: &str = "23505";

/// `error` showed before anything was committed.
pub(crate) fn store_error(operation: &'static str, error: sqlx::Error) -> StoreError {
    let kind = match &error {
        // What rustls says of a certificate comes as invalid data; it stays so until somebody changes something.
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => StoreErrorKind::Other,
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => {
            StoreErrorKind::Unavailable
        }
        sqlx::Error::PoolClosed => StoreErrorKind::Closed,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => StoreErrorKind::Corrupt,
        sqlx::Error::Database(database) => {
            database.try_downcast_ref().map_or(StoreErrorKind::Other, |error: &PgDatabaseError| {
                kind_of(error.code(), error.constraint())
            })
        }
        _ => StoreErrorKind::Other,
    };
    StoreError::because(kind, operation, error)
}

/// `error` is the answer to COMMIT, or stands in its place.
///
/// An ordinary error there means that the transaction was rolled back. Where the session ended instead, the commit may
/// be on disk without having been acknowledged.
pub(crate) fn commit_error(operation: &'static str, error: sqlx::Error) -> StoreError {
    let is_rolled_back = match &error {
        sqlx::Error::Database(database) => {
            database.try_downcast_ref().is_some_and(|error: &PgDatabaseError| {
                error.severity() == PgSeverity::Error && !leaves_commit_open(error.code())
            })
        }
        // It did not get as far as the server.
        sqlx::Error::Encode(_) => true,
        _ => false,
    };
    if is_rolled_back {
        store_error(operation, error)
    } else {
        StoreError::because(StoreErrorKind::OutcomeUnknown, operation, error)
    }
}

/// `error` showed while migrating.
pub(crate) fn migration_error(operation: &'static str, error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            store_error(operation, error)
        }
        error => StoreError::because(StoreErrorKind::Other, operation, error),
    }
}

/// Whether `error` says that somebody wrote what this append was about to write, past its lock.
pub(crate) fn is_clash(error: &StoreError) -> bool {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<sqlx::Error>())
        .and_then(sqlx::Error::as_database_error)
        .is_some_and(|error| {
            error.code().as_deref() == Some(UNIQUE_VIOLATION)
                && error.constraint().is_some_and(|name| CLASHES.contains(&name))
        })
}

/// The codes are those of the appendix on error codes of the manual of Postgres.
fn kind_of(code: &str, constraint: Option<&str>) -> StoreErrorKind {
    match code {
        // It looks again and knows better: a conflict, a repetition, or a version further on.
        UNIQUE_VIOLATION if constraint.is_some_and(|name| CLASHES.contains(&name)) => StoreErrorKind::Busy,
        // A position is taken, so the sequence stands before the end of the log.
        UNIQUE_VIOLATION if constraint == Some("factum_events_pkey") => StoreErrorKind::Corrupt,
        // Serialization failure, deadlock, lock timeout, cancelled (by a time limit), transaction timeout, too many
        // connections.
        "40001" | "40P01" | "55P03" | "57014" | "25P04" | "53300" => StoreErrorKind::Busy,
        "53100" => StoreErrorKind::Full,
        // A read-only transaction, which is what a standby has, too; or a user without the right.
        "25006" | "42501" => StoreErrorKind::ReadOnly,
        // Readers may have passed the position: see `factum_refuse_position`.
        "FA001" => StoreErrorKind::Corrupt,
        // No such table, no such function, no such schema.
        "42P01" | "42883" | "3F000" => {
            StoreErrorKind::NotMigrated { found: None, needed: migrate::last_known() }
        }
        // Killed while idle in a transaction.
        "25P03" => StoreErrorKind::Unavailable,
        // Broken connections; the server stops, or starts, or ended this session.
        code if code.starts_with("08") || code.starts_with("57P") => StoreErrorKind::Unavailable,
        _ => StoreErrorKind::Other,
    }
}

/// A code that says of itself that the outcome is unknown, or that interrupted the commit somewhere.
fn leaves_commit_open(code: &str) -> bool {
    code == "40003" || code.starts_with("08") || code.starts_with("57")
}

/// How the log breaks the laws of stores.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// A value that no event has.
    #[error("column `{column}` of the event at position {position} cannot be read")]
    BadColumn {
        /// Which column.
        column: &'static str,
        /// Of which row.
        position: i64,
        /// What is wrong with it.
        source: BoxError,
    },
    /// A name that no stream has.
    #[error("the stream {name:?} cannot be read")]
    BadName {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: InvalidName,
    },
    /// Migrations take a lock of the session.
    #[error("migrations need a direct connection, past a pooler in transaction mode")]
    Pooled,
    /// Whoever began a savepoint in a transaction did not wait until it was there.
    #[error(
        "the transaction was rolled back, because the beginning of a savepoint in it failed or was abandoned"
    )]
    GivenUp,
    /// A page of the feed without its first row.
    #[error("the database did not say how far the log goes")]
    Headless,
    /// Positions that do not grow with the events.
    #[error("the database drew positions that do not grow with the events of an append")]
    Unordered,
    /// The database did not answer for each event that it was given.
    #[error("the database did not confirm the events as they were given")]
    Unconfirmed,
}

impl Fault {
    pub(crate) fn during(self, operation: &'static str) -> StoreError {
        StoreError::because(StoreErrorKind::Corrupt, operation, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_failure_by_its_code() {
        use StoreErrorKind::{Busy, Corrupt, Full, Other, ReadOnly, Unavailable};
        for (code, kind) in [
            ("40001", Busy),
            ("40P01", Busy),
            ("55P03", Busy),
            ("57014", Busy),
            ("53300", Busy),
            ("53100", Full),
            ("25006", ReadOnly),
            ("42501", ReadOnly),
            ("25P03", Unavailable),
            ("08006", Unavailable),
            ("57P01", Unavailable),
            ("57P03", Unavailable),
            ("22P02", Other),
            ("23505", Other),
            ("FA001", Corrupt),
        ] {
            assert_eq!(kind_of(code, None), kind, "{code}");
        }
        assert_eq!(kind_of("23505", Some("factum_events_event_id_key")), Busy);
        assert_eq!(kind_of("23505", Some("factum_events_pkey")), Corrupt);
        assert_eq!(kind_of("23505", Some("orders_pkey")), Other);
        let missing = StoreErrorKind::NotMigrated { found: None, needed: migrate::last_known() };
        assert_eq!(kind_of("42P01", None), missing);
    }

    #[test]
    fn only_an_ordinary_error_settles_a_commit() {
        assert!(!leaves_commit_open("40001"));
        assert!(!leaves_commit_open("53100"));
        assert!(!leaves_commit_open("23503"));
        for code in ["40003", "08006", "08007", "57P01", "57014"] {
            assert!(leaves_commit_open(code), "{code}");
        }
    }
}
