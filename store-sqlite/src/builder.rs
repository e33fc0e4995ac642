//! How a store is opened, where the defaults are not right.

use std::path::PathBuf;
use std::time::Duration;

use factum_core::StoreError;
use factum_core::store::Limits;

use crate::SqliteStore;

/// What an acknowledged append outlives.
///
/// Either way it outlives the end of the process, `kill -9` included, and nothing that fails leaves half an append
/// or a damaged file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A crash of the operating system, and a loss of power, as far as the disk keeps its own promises. A commit
    /// waits until the disk has it, which takes most of the time of a lone append.
    #[default]
    Full,
    /// The end of the process only. After a crash of the operating system or a loss of power the last appends, of
    /// seconds or even minutes, may be gone **although they were acknowledged**, and their positions are used
    /// again: whoever followed the store from outside (a broker, another database) has then seen events that
    /// never happened, and will pass others by. Right for tests, and for what can be made again.
    Normal,
}

/// A [`SqliteStore`] that is about to be opened.
#[derive(Clone, Debug)]
#[must_use = "nothing is opened before `connect`"]
pub struct Builder {
    pub(crate) path: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) durability: Durability,
    pub(crate) busy_timeout: Duration,
    pub(crate) readers: u32,
    pub(crate) create_if_missing: bool,
    pub(crate) file_bytes_max: Option<u64>,
}

impl Builder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            limits: Limits::default(),
            durability: Durability::default(),
            busy_timeout: Duration::from_secs(5),
            readers: 4,
            create_if_missing: true,
            file_bytes_max: None,
        }
    }

    /// How much the store takes at once.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What an acknowledged append outlives; [`Durability::Full`] unless told otherwise.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How long to wait for others, in this process or in another, before a call fails as
    /// [`Busy`](factum_core::StoreErrorKind::Busy); 5 s unless told otherwise. Those who write wait for the
    /// transaction of another writer, those who read for a free connection.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// How many connections read, at least one; 4 unless told otherwise. Each is a thread, and has up to 2 MiB of
    /// pages cached.
    pub fn readers(mut self, connections: u32) -> Self {
        self.readers = connections.max(1);
        self
    }

    /// Whether to make an empty file where there is none, as is done unless told otherwise. If not, connecting fails
    /// as [`Unavailable`](factum_core::StoreErrorKind::Unavailable).
    pub fn create_if_missing(mut self, create: bool) -> Self {
        self.create_if_missing = create;
        self
    }

    /// How large the file may become through this handle, in bytes, rounded down to whole pages; as large as the disk
    /// has room unless told otherwise. What would make it larger fails as
    /// [`Full`](factum_core::StoreErrorKind::Full). A file that is larger already only does not grow. The
    /// log beside the file, mostly some 16 MiB, is not counted.
    pub fn file_bytes_max(mut self, bytes: u64) -> Self {
        self.file_bytes_max = Some(bytes);
        self
    }

    /// Opens the store.
    ///
    /// No table is made: see [`SqliteStore::migrate`]. The file is set to write-ahead logging if it is not.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the file cannot be opened, is no SQLite database, or is not on a file system that can share
    /// memory between processes.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime. The store works as long as that runtime does.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves at most an empty file, or one that is set to write-ahead logging.
    pub async fn connect(self) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(&self).await
    }
}
