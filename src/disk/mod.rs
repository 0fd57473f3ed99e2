//! The disk as durable topics see it: files, directories, and what a sync promises.
//!
//! Two implementations stand behind [`Disk`]: `file_system.rs`, which is the real one, and, in tests,
//! `model.rs`, which loses what was not synced. Everything that ringlog stores goes through them,
//! so that the simulated power cuts of the tests run the code that ships.
//!
//! # What may be relied on
//!
//! - **D1** What was written to a file before [`DiskFile::sync`] was called is on the disk when it
//!   has returned `Ok`, and so is the file's length.
//! - **D2** A name that was created, renamed or removed before [`Disk::sync_dir`] of its directory
//!   was called is on the disk when it has returned `Ok`.
//! - **D3** Without them, a crash of the machine may leave each sector of 512 bytes as it was, as
//!   it was to be, zero or torn; each name there or not, in any combination; a file's length as it
//!   was or as it was to be. A rename is there or not: never both names, never neither.
//! - **D4** A crash of the process alone loses nothing that was written.
//! - **D5** After a failed sync nothing is known of what was written since the last good one. It is
//!   never tried again: the system may have dropped the pages, and would then report success. Nor
//!   does another process know by reading, unless it calls [`DiskFile::reload`] before.

mod file_system;
#[cfg(unix)]
mod mapping;
#[cfg(any(test, loom))]
pub(crate) mod model;
#[cfg(not(unix))]
mod no_mapping;
mod replace;

pub(crate) use file_system::FileSystem;
#[cfg(unix)]
pub(crate) use mapping::Mapping;
#[cfg(not(unix))]
pub(crate) use no_mapping::Mapping;
pub(crate) use replace::{put_in_place, read_small, replace};

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A place for files.
///
/// [`io::ErrorKind::ResourceBusy`] says that too many files are open to create or open another one.
pub(crate) trait Disk: Debug + Send + Sync {
    /// Creates a file that does not exist, for writing and reading.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading, or for both.
    fn open(&self, path: &Path, for_writing: bool) -> io::Result<Arc<dyn DiskFile>>;

    /// The names of the files and directories in a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;

    /// Creates a directory, and those above it that are missing. Each of their names is durable
    /// after a sync of the directory above it (D2).
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Gives a file or directory another name, in place of what has that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory that is empty.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable (D2).
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the lock of a directory, by a file in it. It is released when the value is dropped,
    /// and when the process ends in whatever way. [`io::ErrorKind::WouldBlock`] if another has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Debug + Send + Sync>>;
}

/// What a directory lists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) is_dir: bool,
}

/// An open file.
pub(crate) trait DiskFile: Debug + Send + Sync {
    /// Writes all of `bytes` at `at`. After an error, any part of them may be written.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Reads up to `out.len()` bytes at `at`; fewer only at the end of the file.
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<usize>;

    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Cuts the file, or makes it longer by zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Reserves room on the disk up to byte `len`, and makes the file that long if it is shorter,
    /// so that writing there cannot fail for want of room. Where the system cannot reserve, it only
    /// makes the file longer. After an error, the file may have become longer by a part.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Makes the contents and the length durable (D1).
    fn sync(&self) -> io::Result<()>;

    /// Drops what the system has in memory of the contents and takes for written, so that what is read
    /// then is on the disk, or will be after the next sync (D5). Where the system cannot, this does
    /// nothing.
    fn reload(&self) -> io::Result<()> {
        Ok(())
    }

    /// Maps the first `len` bytes for reading; more than the file has is allowed, and the bytes
    /// past its end must not be read. `None` where files are not mapped.
    fn map(&self, len: u64) -> io::Result<Option<Mapping>> {
        let _ = len;
        Ok(None)
    }
}
