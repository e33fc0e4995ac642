//! Postgres servers that are found or started when a test needs them, and vanish after the last user.

mod account;
mod binaries;
mod bouncer;
mod database;
mod error;
mod home;
mod own;
mod processes;
mod server;
mod standby;

use std::{env, fmt, path::PathBuf, time::Duration};

use account::Account;
use binaries::{Binaries, Search};
pub use bouncer::PgBouncer;
pub use database::Database;
pub use error::Error;
use home::Home;
pub use own::OwnServer;
use server::{Kind, Server};

/// A running Postgres server on which a test makes databases.
///
/// The processes of one user share a server. It stops, and its data is deleted, [`Options::idle`] after the last process
/// that used it has ended, however that process ended. Clones are cheap.
///
/// The server listens on 127.0.0.1 and asks for a password that only this user can read (it is part of the URLs), because
/// a superuser of Postgres can run programs, and other people may use the machine too.
#[derive(Clone)]
pub struct Postgres {
    /// Leads to a database that exists already: to connect here is the way to make others.
    maintenance_url: String,
    /// Whether the server has to be durable, and is not one that we have started so.
    check_durable: bool,
}

/// Which server [`Postgres::start`] joins or starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// Lower-case letters, digits and dashes. Processes that agree on this, on [`Options::durable`] and on the version of
    /// Postgres share a server.
    pub name: String,
    /// Whether a commit survives a power cut (`fsync`, `synchronous_commit` and `full_page_writes` are on).
    pub durable: bool,
    /// How long the server outlives its last user, in whole seconds. Whoever starts the server decides.
    pub idle: Duration,
}

impl Default for Options {
    /// The server of [`Postgres::shared`].
    fn default() -> Self {
        // Long enough for the next test binary to find the server warm, short enough to leave nothing behind.
        Self { name: "shared".to_owned(), durable: false, idle: Duration::from_secs(20) }
    }
}

impl Options {
    /// The folder of the server, whether it runs or not: its data, its log (`data/server.log`) and its locks.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] if there is no Postgres, whose version is a part of the path.
    ///
    /// # Panics
    ///
    /// If [`Options::name`] has a character that it must not have.
    pub fn folder(&self) -> Result<PathBuf, Error> {
        self.folder_of(&Binaries::find(&Search::from_env())?)
    }

    fn folder_of(&self, binaries: &Binaries) -> Result<PathBuf, Error> {
        let (name, kind) = (&self.name, if self.durable { "durable" } else { "fast" });
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(!name.is_empty() && name.chars().all(is_plain), "`{name}` is not a name for a server");
        folder(binaries, &format!("{kind}-{name}"))
    }
}

fn folder(binaries: &Binaries, name: &str) -> Result<PathBuf, Error> {
    // Not below the home folder or the target folder: the account that root steps down to may not go there.
    // Not in TMPDIR: two shells of one user would have two servers.
    let (uid, version) = (account::uid()?, binaries.version()?);
    Ok(PathBuf::from(format!("/tmp/factum-postgres-{uid}-{version}-{name}")))
}

impl Postgres {
    /// The server for tests: fast, because it forgets everything in a power cut.
    ///
    /// If `FACTUM_DATABASE_URL` is set, then databases are made on that server instead. Its role needs `CREATEDB`.
    ///
    /// Blocks for about two seconds when the server has to be started.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] says what to install; the others tell why the server could not be started.
    pub fn shared() -> Result<Self, Error> {
        Self::external_or(&Options::default())
    }

    /// The server for benchmarks and crash tests: a commit is on the disk when it is acknowledged.
    ///
    /// `FACTUM_DATABASE_URL` is respected as in [`Postgres::shared`]; a server with these settings off is refused when the
    /// first database is made there.
    ///
    /// # Errors
    ///
    /// Those of [`Postgres::shared`].
    pub fn durable() -> Result<Self, Error> {
        Self::external_or(&Options { durable: true, ..Options::default() })
    }

    /// Joins or starts the server that `options` describe, whatever `FACTUM_DATABASE_URL` says.
    ///
    /// # Errors
    ///
    /// Those of [`Postgres::shared`].
    ///
    /// # Panics
    ///
    /// If [`Options::name`] has a character that it must not have.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let binaries = Binaries::find(&Search::from_env())?;
        let account = Account::choose()?;
        let home = Home::lock(options.folder_of(&binaries)?)?;
        // Before the server: whatever kills us from here on, the watchdog cleans up.
        home.join()?;
        home.watch(options.idle)?;

        let kind = if options.durable { Kind::Durable } else { Kind::Fast };
        let server = Server { home: home.path(), binaries: &binaries, account, kind };
        let maintenance_url = match server.url_if_running()? {
            Some(url) => url,
            None => server.start_afresh()?,
        };
        Ok(Self { maintenance_url, check_durable: false })
    }

    fn external_or(options: &Options) -> Result<Self, Error> {
        match env::var("FACTUM_DATABASE_URL") {
            Ok(url) if !url.is_empty() => Ok(Self { maintenance_url: url, check_durable: options.durable }),
            _ => Self::start(options),
        }
    }
}

impl fmt::Debug for Postgres {
    /// Without the URL: `FACTUM_DATABASE_URL` may hold a password worth keeping.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").finish_non_exhaustive()
    }
}
