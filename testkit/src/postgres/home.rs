//! The folder of a server, and the locks by which processes agree about it.
//!
//! Three files are locked, always in this order:
//!
//! - `start.lock`, exclusively, by whoever starts, joins or ends the server. Nothing in the folder changes without it, unless
//!   there is only one user, who may do with it as it likes.
//! - `users.lock`, shared, by each process that uses the server, as long as it lives, or as it has the server.
//! - `watchdog.lock`, exclusively, by the watchdog (`watchdog.sh`), as long as it lives. It ends the server once it gets
//!   `users.lock` for itself.
//!
//! The kernel releases the locks of a process however it dies, so no crash leaves a server behind or locks anybody out.
//! (Tying the server's life to its starter with `PDEATHSIG` fails: it fires when the *thread* ends, and other processes
//! would lose their server.)

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::{Error, account};

/// The shared locks of this process, which are released when it ends.
static JOINED: Mutex<BTreeMap<PathBuf, File>> = Mutex::new(BTreeMap::new());

const WATCHDOG: &str = include_str!("watchdog.sh");

/// A server's folder whose `start.lock` is ours until this is dropped.
#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    _start: File,
}

impl Home {
    /// Opens or makes the folder, and waits until no other process starts or ends its server.
    pub(super) fn lock(path: PathBuf) -> Result<Self, Error> {
        let uid = account::uid()?;
        let start = path.join("start.lock");
        loop {
            make_folder(&path, uid)?;
            let file = match open(&start) {
                // A watchdog has just deleted the folder.
                Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            file.lock().map_err(at(&start))?;
            // While we waited, a watchdog may have deleted the folder: then we hold a lock that nobody else can see.
            if is_still_at(&file, &start)? {
                return Ok(Self { path, _start: file });
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes this process a user of the server until it ends.
    pub(super) fn join(&self) -> Result<(), Error> {
        let user = self.use_it()?;
        JOINED.lock().unwrap_or_else(PoisonError::into_inner).insert(self.path.clone(), user);
        Ok(())
    }

    /// Makes whoever has the file a user of the server.
    pub(super) fn use_it(&self) -> Result<File, Error> {
        let path = self.path.join("users.lock");
        let file = open(&path)?;
        // Only a watchdog ever takes it exclusively, for an instant, to see whether there are users.
        file.lock_shared().map_err(at(&path))?;
        Ok(file)
    }

    /// Starts the watchdog unless it is there.
    pub(super) fn watch(&self, idle: Duration) -> Result<(), Error> {
        let path = self.path.join("watchdog.lock");
        let lock = open(&path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(()),
            Err(TryLockError::Error(source)) => return Err(Error::File { path, source }),
        }
        let log = open(&self.path.join("watchdog.log"))?;
        let same_log = log.try_clone().map_err(at(&path))?;
        // A session of its own, so that neither Ctrl-C nor the end of the terminal reaches it, and no pipe of ours, so
        // that nobody waits for it. The lock is handed over as its input: it is never free in between.
        let setsid = PathBuf::from("setsid");
        let status = Command::new(&setsid)
            .args(["--fork", "sh", "-c", WATCHDOG, "factum-watchdog"])
            .arg(&self.path)
            .arg(idle.as_secs().max(1).to_string())
            .current_dir("/")
            .stdin(lock)
            .stdout(log)
            .stderr(same_log)
            .status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Error::GaveUp { program: setsid, output: status.to_string() }),
            Err(source) => Err(Error::Run { program: setsid, uid: None, source }),
        }
    }
}

fn make_folder(path: &Path, uid: u32) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(at(path)(error)),
        _ => {}
    }
    // Anybody may make folders in /tmp, also under our name, also as a link to elsewhere: hence no following of links.
    let metadata = match fs::symlink_metadata(path) {
        // A watchdog has just deleted it; the caller finds out, too.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(at(path))?,
    };
    if !metadata.is_dir() || metadata.uid() != uid {
        return Err(Error::Foreign { path: path.to_owned(), uid });
    }
    // The account that root steps down to has to pass through to its data, but not to look around.
    let mode = if uid == 0 { 0o711 } else { 0o700 };
    match fs::set_permissions(path, Permissions::from_mode(mode)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}

fn open(path: &Path) -> Result<File, Error> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(at(path))
}

fn is_still_at(file: &File, path: &Path) -> Result<bool, Error> {
    let held = file.metadata().map_err(at(path))?;
    match fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(at(path)(error)),
    }
}

/// Adds the path that the standard library leaves out.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}
