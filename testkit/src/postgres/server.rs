//! The server's data and its process. Whoever calls holds the folder's start lock.

use std::{
    fmt::Write as _,
    fs::{self, DirBuilder, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::{Error, account::Account, binaries::Binaries, home::at};
use crate::random;

/// How long a server may take to get ready. A slow machine needs seconds; a minute means that something is wrong.
const START_SECONDS_MAX: u64 = 60;

/// Between the choice of a free port and the server's use of it somebody else may take it, though seldom.
const PORT_ATTEMPTS_MAX: usize = 5;

/// A standby has to come back soon after its primary did, and to find there what it has missed meanwhile.
const OWN_SETTINGS: &str = "-c wal_level=replica -c max_prepared_transactions=10 -c hot_standby=on \
                            -c wal_keep_size=1GB -c wal_retrieve_retry_interval=200ms";

pub(super) struct Server<'a> {
    pub(super) home: &'a Path,
    pub(super) binaries: &'a Binaries,
    pub(super) account: Account,
    pub(super) kind: Kind,
}

/// What a server is for, which decides its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Shared, and forgets everything in a power cut.
    Fast,
    /// Shared, and loses no commit.
    Durable,
    /// One test's own, to be broken: durable, and may have a standby.
    Own,
}

/// What `postmaster.pid` tells about a server that really runs.
struct Running {
    pid: u32,
    /// `None` until it takes connections.
    port: Option<u16>,
}

impl Server<'_> {
    /// The URL of the server if it runs. Waits for one that a process, killed since, has begun to start.
    pub(super) fn url_if_running(&self) -> Result<Option<String>, Error> {
        if let Some(port) = self.wait_until_ready() {
            return self.url(port).map(Some);
        }
        self.give_up_on_it();
        Ok(None)
    }

    /// The port of the server, once it takes connections. `None` if it does not run, or does not get there.
    pub(super) fn wait_until_ready(&self) -> Option<u16> {
        let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        while let Some(running) = self.running() {
            if running.port.is_some() || Instant::now() > deadline {
                return running.port;
            }
            thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// Starts a server on new data. What is there is the rest of a crash or a reboot: worth nothing, so not repaired.
    pub(super) fn start_afresh(&self) -> Result<String, Error> {
        self.delete_leftovers()?;
        self.initialise()?;
        let port = self.start()?;
        self.url(port)
    }

    /// The server's first process, the parent of all others.
    pub(super) fn pid(&self) -> Option<u32> {
        self.running().map(|running| running.pid)
    }

    pub(super) fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn password_file(&self) -> PathBuf {
        self.home.join("password")
    }

    pub(super) fn password(&self) -> Result<String, Error> {
        let path = self.password_file();
        fs::read_to_string(&path).map_err(at(&path))
    }

    pub(super) fn url(&self, port: u16) -> Result<String, Error> {
        let password = self.password()?;
        // Without `sslmode`, clients would ask for TLS first, or take the word of PGSSLMODE.
        Ok(format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres?sslmode=disable"))
    }

    fn running(&self) -> Option<Running> {
        let data = self.data();
        let file = fs::read_to_string(data.join("postmaster.pid")).ok()?;
        let mut lines = file.lines();
        let pid: u32 = lines.next()?.trim().parse().ok()?;
        // The file may be older than the last reboot, and its number another process by now: so ask that process. Its
        // command line is open even to root in a container, who may not read its working directory.
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let data = data.as_os_str().as_encoded_bytes();
        if !command.split(|byte| *byte == 0).any(|argument| argument == data) {
            return None;
        }
        // The fourth line and the eighth.
        let port = lines.nth(2).and_then(|line| line.trim().parse().ok());
        let is_ready = lines.nth(3).is_some_and(|line| line.trim() == "ready");
        Some(Running { pid, port: port.filter(|_| is_ready) })
    }

    fn delete_leftovers(&self) -> Result<(), Error> {
        let data = self.data();
        if fs::exists(&data).map_err(at(&data))? {
            // Moved first, so that no process that still writes there can make the deletion fail. What resists goes with the
            // whole folder in the end.
            let old = self.home.join(format!("old-{}", random::text()?));
            fs::rename(&data, &old).map_err(at(&data))?;
            let _ = fs::remove_dir_all(&old);
        }
        Ok(())
    }

    pub(super) fn initialise(&self) -> Result<(), Error> {
        self.set_password(&random::text()?)?;
        let new = self.new_folder()?;
        let mut initdb = self.account.command(&self.binaries.initdb());
        initdb.arg("--pgdata").arg(&new).arg("--pwfile").arg(self.password_file());
        // A plain password: SCRAM's hashing, in a debug build, makes connecting nine times as slow, and nobody can listen to
        // the loopback device who could not read the file as well.
        initdb.args(["--username=postgres", "--auth=password"]);
        initdb.args(["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]);
        self.run(initdb)?;
        let data = self.data();
        fs::rename(&new, &data).map_err(at(&new))
    }

    pub(super) fn set_password(&self, password: &str) -> Result<(), Error> {
        let path = self.password_file();
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(at(&path))?;
        file.write_all(password.as_bytes()).map_err(at(&path))?;
        self.account.give(&path)
    }

    /// A folder to fill and to move into place: after a kill, a program that lives on cannot spoil the next one's work.
    pub(super) fn new_folder(&self) -> Result<PathBuf, Error> {
        let new = self.home.join(format!("new-{}", random::text()?));
        DirBuilder::new().mode(0o700).create(&new).map_err(at(&new))?;
        self.account.give(&new)?;
        Ok(new)
    }

    /// Starts the server on a port that is free.
    pub(super) fn start(&self) -> Result<u16, Error> {
        let mut attempts = 1;
        loop {
            let port = random::port()?;
            match self.start_on(port) {
                Ok(()) => return Ok(port),
                Err(error) if attempts == PORT_ATTEMPTS_MAX => return Err(error),
                Err(_) => {
                    // It may be slow instead of dead.
                    self.give_up_on_it();
                    attempts += 1;
                }
            }
        }
    }

    /// Starts the server, and waits until it has recovered from whatever ended it.
    pub(super) fn start_on(&self, port: u16) -> Result<(), Error> {
        let mut pg_ctl = self.pg_ctl("start");
        pg_ctl.arg("--log").arg(self.log()).arg("--options").arg(self.settings(port));
        self.run(pg_ctl)
    }

    /// A command to the server, to be waited for.
    pub(super) fn pg_ctl(&self, verb: &str) -> Command {
        let mut pg_ctl = self.account.command(&self.binaries.pg_ctl());
        pg_ctl.arg(verb).arg("--pgdata").arg(self.data());
        pg_ctl.args(["--silent", "--wait", "--timeout", &START_SECONDS_MAX.to_string()]);
        pg_ctl
    }

    /// Arguments of `postgres`, as one that a shell splits.
    fn settings(&self, port: u16) -> String {
        let switch = if self.kind == Kind::Fast { "off" } else { "on" };
        let max_connections = if self.kind == Kind::Own { "200" } else { "300" };
        let mut settings = String::new();
        for (name, value) in [
            ("port", port.to_string().as_str()),
            ("listen_addresses", "127.0.0.1"),
            // Debian's default is a folder that only `postgres` may write to.
            ("unix_socket_directories", ""),
            // Many test processes with a pool each.
            ("max_connections", max_connections),
            ("timezone", "UTC"),
            // In the data folder, where it is deleted after a crash, too. /dev/shm is small in many containers.
            ("dynamic_shared_memory_type", "mmap"),
            ("fsync", switch),
            ("synchronous_commit", switch),
            ("full_page_writes", switch),
        ] {
            write!(settings, "-c {name}={value} ").expect("a string takes any text");
        }
        if self.kind == Kind::Own {
            settings.push_str(OWN_SETTINGS);
        }
        settings
    }

    pub(super) fn log(&self) -> PathBuf {
        self.data().join("server.log")
    }

    /// Stops the server, if it runs at all: whoever calls cannot use it either way.
    fn give_up_on_it(&self) {
        if self.running().is_some() {
            let mut pg_ctl = self.pg_ctl("stop");
            pg_ctl.arg("--mode=immediate");
            let _ = self.run(pg_ctl);
        }
    }

    pub(super) fn run(&self, mut command: Command) -> Result<(), Error> {
        let program = PathBuf::from(command.get_program());
        // The server itself writes to its log, not to this output, so that the wait for the output's end is short.
        let output = command.output().map_err(|source| Error::Run {
            program: program.clone(),
            uid: self.account.uid(),
            source,
        })?;
        if output.status.success() {
            return Ok(());
        }
        let mut text = String::from_utf8_lossy(&output.stderr).into_owned();
        if let Ok(log) = fs::read_to_string(self.log()) {
            let lines: Vec<&str> = log.lines().collect();
            text.push_str(&lines[lines.len().saturating_sub(20)..].join("\n"));
        }
        Err(Error::GaveUp { program, output: text.trim().to_owned() })
    }
}
