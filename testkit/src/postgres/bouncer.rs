//! A `PgBouncer` in front of a server, as many installations have one.

use std::{
    env,
    ffi::OsString,
    fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io::Write as _,
    net::TcpStream,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::{self, Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{
    Error,
    account::{self, Account},
    home::{Home, at},
};
use crate::{random, url};

/// How long it may take to get ready. It takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// A `PgBouncer` of one test in front of a server, in transaction mode: a client has the same session of the server only until
/// its transaction ends.
///
/// Prepared statements that have a name work only where the version is 1.21 or later and told to keep them, which Debian's
/// is not. It is ended when this is dropped, or soon after the process has been killed.
pub struct PgBouncer {
    process: Child,
    home: PathBuf,
    url: String,
    port: u16,
    /// Locked: this is what the watchdog waits for.
    _user: File,
}

impl PgBouncer {
    /// Starts a `PgBouncer` in front of the server of a URL, for all of its databases and the role in the URL.
    ///
    /// Blocks for some milliseconds.
    ///
    /// # Errors
    ///
    /// [`Error::MissingBouncer`] says what to install, [`Error::NoAddress`] that the URL names no host; the others tell why
    /// it could not be started.
    pub fn in_front_of(url: &str) -> Result<Self, Error> {
        let target = url::target(url).ok_or(Error::NoAddress)?;
        let program = find()?;
        let account = Account::choose()?;
        let name = format!("/tmp/factum-pgbouncer-{}-{}-{}", account::uid()?, process::id(), random::text()?);
        let home = Home::lock(PathBuf::from(name))?;
        // Before the process: whatever kills us from here on, the watchdog cleans up.
        let user = home.use_it()?;
        home.watch(Duration::from_secs(1))?;

        let port = random::port()?;
        let data = home.path().join("data");
        DirBuilder::new().mode(0o700).create(&data).map_err(at(&data))?;
        account.give(&data)?;
        let users = data.join("users.txt");
        write(account, &users, &users_file(&target))?;
        // The watchdog knows it by this name.
        let configuration = data.join("pgbouncer.ini");
        write(account, &configuration, &configuration_file(&target, port, &users))?;
        let log = data.join("server.log");
        let log_file = write(account, &log, "")?;
        let process = account
            .command(&program)
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file)
            .spawn()
            .map_err(|source| Error::Run { program: program.clone(), uid: account.uid(), source })?;
        let url = url::with_port(url, port);
        let mut bouncer = Self { process, home: home.path().to_owned(), url, port, _user: user };
        bouncer.wait_until_ready(&program, &log)?;
        Ok(bouncer)
    }

    /// Where to connect: the URL of [`PgBouncer::in_front_of`], through it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Another URL of the same server and role, through it.
    pub fn url_through(&self, url: &str) -> String {
        url::with_port(url, self.port)
    }

    /// Its folder, with its settings and its log (`data/server.log`).
    pub fn folder(&self) -> &Path {
        &self.home
    }

    fn wait_until_ready(&mut self, program: &Path, log: &Path) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let has_ended = self.process.try_wait().map_err(at(program))?.is_some();
            if has_ended || Instant::now() > deadline {
                let output = fs::read_to_string(log).map_err(at(log))?;
                return Err(Error::GaveUp { program: program.to_owned(), output: output.trim().to_owned() });
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // It has nothing to lose, and the watchdog deletes its folder.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl fmt::Debug for PgBouncer {
    /// Without the URL, which may hold a password worth keeping.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgBouncer")
            .field("folder", &self.home)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// `FACTUM_PGBOUNCER`, and only that if it is set; else what is on `PATH`, or where Debian puts it.
fn find() -> Result<PathBuf, Error> {
    let searched = match env::var_os("FACTUM_PGBOUNCER").filter(|program| !program.is_empty()) {
        Some(program) => vec![PathBuf::from(program)],
        None => on_path(&env::var_os("PATH").unwrap_or_default()),
    };
    match searched.iter().find(|program| program.is_file()) {
        Some(program) => Ok(program.clone()),
        None => Err(Error::MissingBouncer { searched }),
    }
}

fn on_path(path: &OsString) -> Vec<PathBuf> {
    // A folder that only root has on its path.
    let folders = env::split_paths(path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join("pgbouncer")).collect()
}

fn configuration_file(target: &url::Target<'_>, port: u16, users: &Path) -> String {
    let (host, server_port, users) = (target.host, target.port, users.display());
    // `extra_float_digits` is what every second driver sends when it connects, and harmless.
    format!(
        "[databases]\n\
         * = host={host} port={server_port}\n\
         [pgbouncer]\n\
         pool_mode = transaction\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         auth_type = plain\n\
         auth_file = {users}\n\
         max_client_conn = 500\n\
         ignore_startup_parameters = extra_float_digits\n"
    )
}

fn users_file(target: &url::Target<'_>) -> String {
    let quoted = |text: &str| format!("\"{}\"", url::decoded(text).replace('"', "\"\""));
    format!("{} {}\n", quoted(target.user), quoted(target.password))
}

/// Writes a file that only the account can read.
fn write(account: Account, path: &Path, text: &str) -> Result<File, Error> {
    let mut file =
        OpenOptions::new().create_new(true).append(true).mode(0o600).open(path).map_err(at(path))?;
    file.write_all(text.as_bytes()).map_err(at(path))?;
    account.give(path)?;
    Ok(file)
}
