//! A server of one test alone, which may break it.

use std::{
    fmt, fs,
    fs::File,
    path::{Path, PathBuf},
    process::{self, Command},
    time::Duration,
};

use super::{
    Error,
    account::Account,
    binaries::{Binaries, Search},
    folder,
    home::{Home, at},
    processes::{family, is_alive, signal, stopped_family, wait_until},
    server::{Kind, Server},
};
use crate::{random, url};

/// A Postgres server that belongs to one test, which may kill it, pause it, start it again, and give it a standby.
///
/// It is durable, allows 10 prepared transactions, and keeps its port as long as this lives. `FACTUM_DATABASE_URL` has no
/// say. It is ended when this is dropped; its data is deleted some seconds later, also if the process is killed.
///
/// Everything here blocks: in a runtime, call it through `spawn_blocking`.
pub struct OwnServer {
    home: PathBuf,
    binaries: Binaries,
    account: Account,
    port: u16,
    url: String,
    /// Locked: this is what the watchdog waits for.
    _user: File,
}

impl OwnServer {
    /// Starts a server with an empty database, which takes some two seconds.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] says what to install; the others tell why the server could not be started.
    pub fn start() -> Result<Self, Error> {
        Self::start_as_copy_of(None)
    }

    /// Starts a standby of this server: a copy that follows it, and answers queries that only read.
    ///
    /// What is committed here arrives there soon after, in the order of the commits; [`OwnServer::catch_up_with`] waits for
    /// it. A standby that lacks the last commits for sure is made so:
    ///
    /// ```no_run
    /// # use factum_testkit::OwnServer;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let primary = OwnServer::start()?;
    /// let standby = primary.standby()?;
    /// // Commit what the standby shall have.
    /// standby.catch_up_with(&primary)?;
    /// standby.stop_following()?;
    /// // Commit what shall be lost.
    /// primary.kill()?;
    /// standby.promote()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Pausing the standby would not do: the system keeps for it what has arrived, and so would `pg_wal_replay_pause()`, since
    /// a promotion replays first what was received.
    ///
    /// The standby calls itself `standby`, for `synchronous_standby_names`.
    ///
    /// # Errors
    ///
    /// If this server does not answer, or the standby cannot be started.
    pub fn standby(&self) -> Result<Self, Error> {
        Self::start_as_copy_of(Some(self))
    }

    /// Where to connect: a URL with everything in it, also the password. It stays the same over restarts.
    ///
    /// It leads to the database `postgres`, which is the test's own like the whole server.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL of another database on this server, which the test has made or its primary has.
    pub fn url_of(&self, database: &str) -> String {
        url::with_database(&self.url, database)
    }

    /// The folder of the server: its data, and its log (`data/server.log`).
    pub fn folder(&self) -> &Path {
        &self.home
    }

    /// Kills all processes of the server at once, as a crash does (SIGKILL). What was committed is there after
    /// [`OwnServer::start_again`], what was not is gone.
    ///
    /// # Errors
    ///
    /// If they do not die.
    pub fn kill(&self) -> Result<(), Error> {
        let server = self.server();
        let Some(postmaster) = server.pid() else { return Ok(()) };
        // All, and not only the first one: its orphans would go on until they notice. And that one last, because it is
        // stopped and notices nothing.
        let mut processes = stopped_family(postmaster)?;
        processes.reverse();
        signal("KILL", &processes)?;
        wait_until("the server was killed", || !processes.iter().copied().any(is_alive))?;
        self.clear_up_after(postmaster)
    }

    /// Stops the server as an administrator does: connections are ended, transactions rolled back, and all is written.
    ///
    /// # Errors
    ///
    /// If the server does not stop.
    pub fn stop(&self) -> Result<(), Error> {
        if self.server().pid().is_none() {
            return Ok(());
        }
        self.resume()?;
        let server = self.server();
        let mut pg_ctl = server.pg_ctl("stop");
        pg_ctl.arg("--mode=fast");
        server.run(pg_ctl)
    }

    /// Starts the server, on the same data and port, after [`OwnServer::kill`] or [`OwnServer::stop`]. Waits until it has
    /// recovered and accepts connections. A server that runs stays as it is.
    ///
    /// # Errors
    ///
    /// If the server does not start; the error has the end of its log.
    pub fn start_again(&self) -> Result<(), Error> {
        let server = self.server();
        if server.pid().is_none() {
            server.start_on(self.port)?;
        }
        // A standby is started before it accepts connections.
        server
            .wait_until_ready()
            .map(|_| ())
            .ok_or(Error::TooSlow { what: "the server accepted connections" })
    }

    /// Stops all processes of the server where they are (SIGSTOP): it keeps its connections, accepts new ones, and does not
    /// answer.
    ///
    /// # Errors
    ///
    /// If they do not stop.
    pub fn pause(&self) -> Result<(), Error> {
        let Some(postmaster) = self.server().pid() else { return Ok(()) };
        signal("STOP", &stopped_family(postmaster)?)
    }

    /// Lets a server that was paused go on.
    ///
    /// # Errors
    ///
    /// If no signal can be sent.
    pub fn resume(&self) -> Result<(), Error> {
        let Some(postmaster) = self.server().pid() else { return Ok(()) };
        signal("CONT", &family(postmaster))
    }

    pub(super) fn server(&self) -> Server<'_> {
        Server { home: &self.home, binaries: &self.binaries, account: self.account, kind: Kind::Own }
    }

    fn start_as_copy_of(primary: Option<&Self>) -> Result<Self, Error> {
        let binaries = Binaries::find(&Search::from_env())?;
        let account = Account::choose()?;
        let name = format!("own-{}-{}", process::id(), random::text()?);
        let home = Home::lock(folder(&binaries, &name)?)?;
        // Before the server: whatever kills us from here on, the watchdog cleans up.
        let user = home.use_it()?;
        home.watch(Duration::from_secs(1))?;

        let server = Server { home: home.path(), binaries: &binaries, account, kind: Kind::Own };
        match primary {
            Some(primary) => server.copy(primary.port, &primary.server().password()?)?,
            None => server.initialise()?,
        }
        let port = server.start()?;
        let url = server.url(port)?;
        let own = Self { home: home.path().to_owned(), binaries, account, port, url, _user: user };
        own.start_again()?;
        Ok(own)
    }

    /// Deletes what a killed server leaves outside its data.
    fn clear_up_after(&self, postmaster: u32) -> Result<(), Error> {
        let path = self.server().data().join("postmaster.pid");
        let file = fs::read_to_string(&path).map_err(at(&path))?;
        // The seventh line: a key and a number. Postgres would find the segment when it starts again, but may never do so,
        // and a machine has only so many.
        let segment = file.lines().nth(6).and_then(|line| line.split_whitespace().nth(1));
        if let Some(segment) = segment {
            let program = PathBuf::from("ipcrm");
            let status = Command::new(&program).args(["-m", segment]).status();
            let status =
                status.map_err(|source| Error::Run { program: program.clone(), uid: None, source })?;
            if !status.success() {
                return Err(Error::GaveUp { program, output: status.to_string() });
            }
        }
        // Where nobody buries the dead, Postgres would take the number in the file for that of a server that lives.
        debug_assert!(!is_alive(postmaster));
        fs::remove_file(&path).map_err(at(&path))
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // The watchdog ends what is left, and deletes the data.
        let _ = self.kill();
    }
}

impl fmt::Debug for OwnServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnServer")
            .field("folder", &self.home)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}
