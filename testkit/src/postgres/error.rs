//! What can go wrong with a throwaway server, said so that the reader knows what to do.

use std::{error::Error as _, fmt, io, path::PathBuf};

/// Why there is no server or no database.
///
/// `Debug` prints the same text as `Display`, with its sources: a test that unwraps shows what to do, too.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server's programs are not on this machine, or not where they were looked for.
    #[error(
        "no Postgres server (initdb, pg_ctl and postgres) found in {}; install the Debian package `postgresql` \
         (apt-get install postgresql), or set FACTUM_PG_BINDIR to the folder with these programs, \
         or run ./test.sh, which installs what is missing",
        list(.searched)
    )]
    Missing {
        /// The folders that were searched.
        searched: Vec<PathBuf>,
    },

    /// `PgBouncer` is not on this machine, or not where it was looked for.
    #[error(
        "no PgBouncer found in {}; install the Debian package `pgbouncer` (apt-get install pgbouncer), \
         or set FACTUM_PGBOUNCER to the program, or run ./test.sh, which installs what is missing",
        list(.searched)
    )]
    MissingBouncer {
        /// The places that were searched.
        searched: Vec<PathBuf>,
    },

    /// Postgres refuses to run as root, and `/etc/passwd` names nobody to run it as.
    #[error(
        "postgres does not run as root, and /etc/passwd has neither `postgres` nor `nobody` to run it as"
    )]
    NoAccount,

    /// The folder in `/tmp` is not a folder of ours, so somebody else could tamper with the server.
    #[error("{} is not a folder that belongs to uid {uid}; remove it", .path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Whom it should belong to.
        uid: u32,
    },

    /// A file of the server cannot be used.
    #[error("cannot use {}", .path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A program cannot be run at all.
    #[error(
        "cannot run {}{}",
        .program.display(),
        .uid.map_or_else(String::new, |uid| format!(" as uid {uid}, who must be able to reach it"))
    )]
    Run {
        /// The program.
        program: PathBuf,
        /// Whom it should run as, if not as ourselves.
        uid: Option<u32>,
        /// What the system said.
        source: io::Error,
    },

    /// A program of the server ran, and gave up.
    #[error("{} gave up: {output}", .program.display())]
    GaveUp {
        /// The program.
        program: PathBuf,
        /// What it said, and the end of the server's log.
        output: String,
    },

    /// A URL leads to a server that nothing can be put in front of.
    #[error("the URL names no host that is reached by TCP")]
    NoAddress,

    /// Something that has to happen soon did not.
    #[error("waited too long until {what}")]
    TooSlow {
        /// What did not happen.
        what: &'static str,
    },

    /// The server of `FACTUM_DATABASE_URL` would lose commits in a power cut, where a durable one is needed.
    #[error(
        "the server of FACTUM_DATABASE_URL has `{setting}` off; switch it on, or unset FACTUM_DATABASE_URL"
    )]
    NotDurable {
        /// The setting that is off.
        setting: &'static str,
    },

    /// The server refused a connection or a statement of ours.
    #[error("the server did not {action}")]
    Sql {
        /// What it was asked to do.
        action: &'static str,
        /// What it answered.
        source: sqlx::Error,
    },

    /// The caller's setup of a template returned an error. The next caller tries again, from an empty database.
    #[error("the setup of the template `{key}` returned an error")]
    Setup {
        /// The caller's key.
        key: String,
        /// The caller's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The caller's setup of a template returned, and left a connection open.
    #[error("the setup of the template `{key}` left a connection open; close its pool before it returns")]
    SetupStillConnected {
        /// The caller's key.
        key: String,
    },
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
