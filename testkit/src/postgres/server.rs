//! The server's data and its process. Whoever calls holds the folder's start lock.

use std::{
    fmt::Write as _,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::{Error, account::Account, binaries::Binaries, home::at};

/// How long a server may take to get ready. A slow machine needs seconds; a minute means that something is wrong.
const START_SECONDS_MAX: u64 = 60;

/// Between the choice of a free port and the server's use of it somebody else may take it, though seldom.
const PORT_ATTEMPTS_MAX: usize = 5;

pub(super) struct Server<'a> {
    pub(super) home: &'a Path,
    pub(super) binaries: &'a Binaries,
    pub(super) account: Account,
    pub(super) durable: bool,
}

/// What `postmaster.pid` tells about a server that really runs.
struct Running {
    /// `None` until it takes connections.
    port: Option<u16>,
}

impl Server<'_> {
    /// The URL of the server if it runs. Waits for one that a process, killed since, has begun to start.
    pub(super) fn url_if_running(&self) -> Result<Option<String>, Error> {
        let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        while let Some(running) = self.running() {
            if let Some(port) = running.port {
                return self.url(port).map(Some);
            }
            if Instant::now() > deadline {
                self.stop();
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(None)
    }

    /// Starts a server on new data. What is there is the rest of a crash or a reboot: worth nothing, so not repaired.
    pub(super) fn start_afresh(&self) -> Result<String, Error> {
        self.delete_leftovers()?;
        self.initialise()?;
        let port = self.start()?;
        self.url(port)
    }

    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn password_file(&self) -> PathBuf {
        self.home.join("password")
    }

    fn url(&self, port: u16) -> Result<String, Error> {
        let path = self.password_file();
        let password = fs::read_to_string(&path).map_err(at(&path))?;
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
        Some(Running { port: port.filter(|_| is_ready) })
    }

    fn delete_leftovers(&self) -> Result<(), Error> {
        let data = self.data();
        if fs::exists(&data).map_err(at(&data))? {
            // Moved first, so that no process that still writes there can make the deletion fail. What resists goes with the
            // whole folder in the end.
            let old = self.home.join(format!("old-{}", random()?));
            fs::rename(&data, &old).map_err(at(&data))?;
            let _ = fs::remove_dir_all(&old);
        }
        Ok(())
    }

    fn initialise(&self) -> Result<(), Error> {
        let password_file = self.password_file();
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&password_file)
            .map_err(at(&password_file))?;
        file.write_all(random()?.as_bytes()).map_err(at(&password_file))?;
        self.account.give(&password_file)?;

        // Built beside and moved into place: after a kill, an `initdb` that lives on cannot spoil the next one's work.
        let new = self.home.join(format!("new-{}", random()?));
        DirBuilder::new().mode(0o700).create(&new).map_err(at(&new))?;
        self.account.give(&new)?;
        let mut initdb = self.command(&self.binaries.initdb());
        initdb.arg("--pgdata").arg(&new).arg("--pwfile").arg(&password_file);
        // A plain password: SCRAM's hashing, in a debug build, makes connecting nine times as slow, and nobody can listen to
        // the loopback device who could not read the file as well.
        initdb.args(["--username=postgres", "--auth=password"]);
        initdb.args(["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]);
        self.run(initdb)?;
        let data = self.data();
        fs::rename(&new, &data).map_err(at(&new))
    }

    fn start(&self) -> Result<u16, Error> {
        let mut attempts = 1;
        loop {
            let port = free_port().map_err(|source| Error::File { path: "127.0.0.1".into(), source })?;
            let mut pg_ctl = self.command(&self.binaries.pg_ctl());
            pg_ctl.arg("start").arg("--pgdata").arg(self.data()).arg("--log").arg(self.log());
            pg_ctl.args(["--silent", "--wait", "--timeout", &START_SECONDS_MAX.to_string()]);
            pg_ctl.arg("--options").arg(self.settings(port));
            match self.run(pg_ctl) {
                Ok(()) => return Ok(port),
                Err(error) if attempts == PORT_ATTEMPTS_MAX => return Err(error),
                Err(_) => {
                    // It may be slow instead of dead.
                    self.stop();
                    attempts += 1;
                }
            }
        }
    }

    /// Arguments of `postgres`, as one that a shell splits.
    fn settings(&self, port: u16) -> String {
        let switch = if self.durable { "on" } else { "off" };
        let mut settings = String::new();
        for (name, value) in [
            ("port", port.to_string().as_str()),
            ("listen_addresses", "127.0.0.1"),
            // Debian's default is a folder that only `postgres` may write to.
            ("unix_socket_directories", ""),
            // Many test processes with a pool each.
            ("max_connections", "300"),
            ("timezone", "UTC"),
            // In the data folder, where it is deleted after a crash, too. /dev/shm is small in many containers.
            ("dynamic_shared_memory_type", "mmap"),
            ("fsync", switch),
            ("synchronous_commit", switch),
            ("full_page_writes", switch),
        ] {
            write!(settings, "-c {name}={value} ").expect("a string takes any text");
        }
        settings
    }

    fn log(&self) -> PathBuf {
        self.data().join("server.log")
    }

    /// Stops the server, if it runs at all: whoever calls cannot use it either way.
    fn stop(&self) {
        if self.running().is_none() {
            return;
        }
        let mut pg_ctl = self.command(&self.binaries.pg_ctl());
        pg_ctl.arg("stop").arg("--pgdata").arg(self.data()).args(["--silent", "--mode=immediate"]);
        let _ = self.run(pg_ctl);
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        self.account.run(&mut command);
        // The variables of Postgres and of the language would change what these programs do; the working directory may
        // be closed to the account.
        command.env_clear().env("LC_ALL", "C").current_dir("/");
        for name in ["PATH", "LD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    fn run(&self, mut command: Command) -> Result<(), Error> {
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

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Text that nobody guesses, of 32 hexadecimal digits.
pub(super) fn random() -> Result<String, Error> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; 16];
    File::open(path).and_then(|mut file| file.read_exact(&mut bytes)).map_err(at(path))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
