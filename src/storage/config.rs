//! How a storage writes its files: [`StorageConfig`], [`Flush`], [`DiskFull`], [`OnSyncError`].

use super::Storage;
use crate::disk::{Disk, FileSystem};
use crate::error::StorageError;
use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// When what was written to the files is made durable, so that it survives a power cut.
///
/// Whatever the policy, records are written to the files within about a millisecond; what is
/// written survives a crash of the process. [`Topic::wait_durable`](crate::Topic::wait_durable) and
/// [`Topic::flush`](crate::Topic::flush) ask for a sync at once under every policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flush {
    /// When this much time has passed since the first record that is not durable, or this many
    /// bytes have been written since the last sync, whichever comes first.
    Within {
        /// The longest time.
        time: Duration,
        /// The most bytes, of all topics of the storage together.
        bytes: u64,
    },
    /// When a file is full.
    OnSeal,
    /// Only when asked for.
    Manual,
    /// Only when asked for, and not when the storage is closed either: the system writes the pages
    /// when it likes.
    Never,
}

impl Default for Flush {
    /// Within 5 ms, or 4 MiB.
    fn default() -> Self {
        Flush::Within {
            time: Duration::from_millis(5),
            bytes: 4 << 20,
        }
    }
}

/// What happens when the disk is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DiskFull {
    /// The copier waits until there is room, and tries again ten times a second. Under
    /// [`Backpressure`](crate::Overflow::Backpressure) sends wait once the ring is full; under
    /// [`DropOldest`](crate::Overflow::DropOldest) the files miss what is overwritten meanwhile.
    #[default]
    Block,
    /// The partition gives up its oldest file, as retention does, and so on until there is room.
    /// Its last file stays: then the copier waits.
    ForgetOldest,
}

/// What happens to a topic whose file could not be written or synced. (A full disk is no such
/// error: see [`DiskFull`].)
///
/// The system may have dropped what it could not write, and a second sync would report success all
/// the same. So a sync that has failed is never tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnWriteError {
    /// The topic is closed: sends are refused, and consumers read on to the end of what was sent.
    #[default]
    Close,
    /// The topic goes on in memory alone. Its `durable_end` stands still.
    GoOn,
}

/// A directory for durable topics, and how it is written. [`Storage::dir`] begins one.
///
/// ```no_run
/// use ringlog::{Broker, Flush, Storage};
/// use std::time::Duration;
///
/// let config = Storage::dir("data").flush(Flush::Within {
///     time: Duration::from_millis(1),
///     bytes: 1 << 20,
/// });
/// let (broker, report) = Broker::open(config)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct StorageConfig {
    pub(super) dir: PathBuf,
    pub(super) flush: Flush,
    pub(super) file_bytes: u64,
    pub(super) disk_full: DiskFull,
    pub(super) on_write_error: OnWriteError,
    pub(super) on_thread_start: Option<ThreadHook>,
    pub(super) disk: Arc<dyn Disk>,
}

/// What each thread of a storage calls first.
pub(super) type ThreadHook = Arc<dyn Fn() + Send + Sync>;

impl StorageConfig {
    pub(super) fn new(dir: &Path) -> StorageConfig {
        StorageConfig {
            dir: dir.to_owned(),
            flush: Flush::default(),
            file_bytes: 64 << 20,
            disk_full: DiskFull::default(),
            on_write_error: OnWriteError::default(),
            on_thread_start: None,
            disk: Arc::new(FileSystem),
        }
    }

    /// When what was written is made durable. Default: within 5 ms, or 4 MiB.
    pub fn flush(mut self, flush: Flush) -> Self {
        self.flush = flush;
        self
    }

    /// About how large a file becomes before the next one begins, in bytes. Default: 64 MiB; at
    /// least 64 KiB. Retention removes whole files.
    pub fn file_bytes(mut self, bytes: u64) -> Self {
        self.file_bytes = bytes;
        self
    }

    /// What happens when the disk is full. Default: [`DiskFull::Block`].
    pub fn disk_full(mut self, policy: DiskFull) -> Self {
        self.disk_full = policy;
        self
    }

    /// What happens to a topic whose file could not be written or synced. Default:
    /// [`OnWriteError::Close`].
    pub fn on_write_error(mut self, policy: OnWriteError) -> Self {
        self.on_write_error = policy;
        self
    }

    /// Calls `hook` in each of the storage's threads when it starts: to pin them to the cores that
    /// are not the producers', or to lower their priority.
    pub fn on_thread_start(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.on_thread_start = Some(Arc::new(hook));
        self
    }

    /// Another disk than the system's.
    #[cfg(any(test, loom))]
    pub(crate) fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    /// Opens the directory, which is created if it is missing, and starts the threads that write
    /// it. The topics in it are not read: [`Broker::attach`](crate::Broker::attach) does that, and
    /// [`Broker::open`](crate::Broker::open) does both.
    ///
    /// # Errors
    /// [`StorageError::Locked`] if another `Storage` has the directory, of this process or another;
    /// [`StorageError::Io`] if it cannot be created or written;
    /// [`StorageError::NewerFormat`] if a newer version has written it.
    pub fn open(self) -> Result<Storage, StorageError> {
        Storage::open(self)
    }
}

impl<P: AsRef<Path>> From<P> for StorageConfig {
    fn from(dir: P) -> StorageConfig {
        StorageConfig::new(dir.as_ref())
    }
}

impl fmt::Debug for StorageConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageConfig")
            .field("dir", &self.dir)
            .field("flush", &self.flush)
            .field("file_bytes", &self.file_bytes)
            .field("disk_full", &self.disk_full)
            .field("on_write_error", &self.on_write_error)
            .finish_non_exhaustive()
    }
}
