//! The real file system.
//!
//! Each error says which operation failed on which path; [`io::Error::kind`] is that of the
//! system's error.

#[cfg(unix)]
use super::Mapping;
use super::{Disk, DiskFile, Entry};
use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The system's files.
#[derive(Debug, Default)]
pub(crate) struct FileSystem;

impl Disk for FileSystem {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        open_file(path, &options, "create")
    }

    fn open(&self, path: &Path, for_writing: bool) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(for_writing);
        open_file(path, &options, "open")
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        entries(dir).map_err(|e| failed(e, "list", dir))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir).map_err(|e| failed(e, "create the directory", dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
            .map_err(|e| failed(e, format_args!("rename to {} the file", to.display()), from))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path).map_err(|e| failed(e, "remove", path))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir).map_err(|e| failed(e, "remove the directory", dir))
    }

    /// A file system that cannot sync a directory is reported as an error: names there would not be
    /// durable. On Windows a directory cannot be synced by a call; NTFS writes its names to a log,
    /// in order, and this does nothing.
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if cfg!(windows) {
            return Ok(());
        }
        File::open(dir)
            .and_then(|opened| opened.sync_all())
            .map_err(|e| failed(e, "sync the directory", dir))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Debug + Send + Sync>> {
        match system::lock(path) {
            Ok(file) => Ok(Box::new(DirectoryLock { _file: file })),
            Err(e) => Err(failed(e, "lock", path)),
        }
    }
}

/// Holds the lock of a directory by holding its file open.
#[derive(Debug)]
struct DirectoryLock {
    _file: File,
}

/// A file of the system's.
#[derive(Debug)]
struct SystemFile {
    file: File,
    /// For errors. A rename does not change it.
    path: PathBuf,
}

impl DiskFile for SystemFile {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        write_all(&self.file, bytes, at).map_err(|e| {
            let what = format_args!("write {} bytes at {at} of", bytes.len());
            failed(e, what, &self.path)
        })
    }

    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<usize> {
        let len = out.len();
        read_full(&self.file, out, at)
            .map_err(|e| failed(e, format_args!("read {len} bytes at {at} of"), &self.path))
    }

    fn len(&self) -> io::Result<u64> {
        match self.file.metadata() {
            Ok(metadata) => Ok(metadata.len()),
            Err(e) => Err(failed(e, "read the length of", &self.path)),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file
            .set_len(len)
            .map_err(|e| failed(e, format_args!("set to {len} bytes"), &self.path))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        allocate(&self.file, len)
            .map_err(|e| failed(e, format_args!("reserve {len} bytes for"), &self.path))
    }

    /// `sync_data`: unlike `sync_all` it leaves out the times. The length is metadata that reading
    /// needs, so that every system's `fdatasync` includes it.
    fn sync(&self) -> io::Result<()> {
        self.file
            .sync_data()
            .map_err(|e| failed(e, "sync", &self.path))
    }

    #[cfg(unix)]
    fn map(&self, len: u64) -> io::Result<Option<Mapping>> {
        Mapping::new(&self.file, len)
            .map_err(|e| failed(e, format_args!("map {len} bytes of"), &self.path))
    }
}

/// The system's error with what failed on which path.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}: {cause}", path.display())]
struct FileError {
    operation: String,
    path: PathBuf,
    /// Part of the message, so that it is not the `source` too.
    cause: io::Error,
}

fn failed(cause: io::Error, operation: impl ToString, path: &Path) -> io::Error {
    let error = FileError {
        operation: operation.to_string(),
        path: path.to_owned(),
        cause,
    };
    io::Error::new(error.cause.kind(), error)
}

fn open_file(path: &Path, options: &OpenOptions, operation: &str) -> io::Result<Arc<dyn DiskFile>> {
    match options.open(path) {
        Ok(file) => Ok(Arc::new(SystemFile {
            file,
            path: path.to_owned(),
        })),
        Err(e) => Err(failed(e, operation, path)),
    }
}

/// Names that are not Unicode are left out: ringlog gives none. A link is what it leads to.
fn entries(dir: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for listed in fs::read_dir(dir)? {
        let listed = listed?;
        let Ok(name) = listed.file_name().into_string() else {
            continue;
        };
        let mut file_type = listed.file_type()?;
        if file_type.is_symlink() {
            // One that leads nowhere stays a link, which is not a directory.
            file_type = fs::metadata(listed.path()).map_or(file_type, |m| m.file_type());
        }
        entries.push(Entry {
            name,
            is_dir: file_type.is_dir(),
        });
    }
    entries.sort();
    Ok(entries)
}

fn write_all(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match system::write_some(file, bytes, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                at += written as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Fewer bytes than `out` has only at the end of the file.
fn read_full(file: &File, out: &mut [u8], at: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < out.len() {
        match system::read_some(file, &mut out[read..], at + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(read)
}

fn allocate(file: &File, len: u64) -> io::Result<()> {
    // No system reserves nothing, and a file of no bytes is not longer than any.
    if len == 0 || reserve(file, len)? {
        return Ok(());
    }
    // Only the caller changes the file's length, so that it does not grow in between and is cut.
    if file.metadata()?.len() < len {
        file.set_len(len)?;
    }
    Ok(())
}

/// Reserves room up to byte `len` and makes the file that long. `false` if the file system cannot.
/// Miri knows no such call.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
fn reserve(file: &File, len: u64) -> io::Result<bool> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    loop {
        return match fallocate(file, FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(true),
            Err(Errno::INTR) => continue,
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(false),
            Err(e) => Err(e.into()),
        };
    }
}

/// Elsewhere than on Linux nothing is reserved: macOS would cut a longer file.
#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(miri))))]
fn reserve(_: &File, _: u64) -> io::Result<bool> {
    Ok(false)
}

#[cfg(unix)]
mod system {
    use rustix::fs::{FlockOperation, flock};
    use std::fs::{self, File, OpenOptions};
    use std::io;
    use std::os::unix::fs::{FileExt, MetadataExt};
    use std::path::Path;

    pub(super) fn write_some(file: &File, bytes: &[u8], at: u64) -> io::Result<usize> {
        file.write_at(bytes, at)
    }

    pub(super) fn read_some(file: &File, out: &mut [u8], at: u64) -> io::Result<usize> {
        file.read_at(out, at)
    }

    /// `flock`: the lock belongs to the open file, so that it also excludes this process, and the
    /// system releases it when the file is closed in whatever way. (A child process made by a bare
    /// `fork` shares it; one that executes another program does not.)
    pub(super) fn lock(path: &Path) -> io::Result<File> {
        // For writing too: NFS grants an exclusive lock only then.
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        if !is_named(&file, path)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(file)
    }

    /// Whether `path` leads to this file. If its owner removed it after it was opened here, the lock
    /// is that of a file which no other process finds.
    pub(super) fn is_named(file: &File, path: &Path) -> io::Result<bool> {
        let opened = file.metadata()?;
        match fs::metadata(path) {
            Ok(named) => Ok((opened.dev(), opened.ino()) == (named.dev(), named.ino())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }
}

#[cfg(windows)]
mod system {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::windows::fs::{FileExt, OpenOptionsExt};
    use std::path::Path;

    pub(super) fn write_some(file: &File, bytes: &[u8], at: u64) -> io::Result<usize> {
        file.seek_write(bytes, at)
    }

    pub(super) fn read_some(file: &File, out: &mut [u8], at: u64) -> io::Result<usize> {
        file.seek_read(out, at)
    }

    /// The file is opened without sharing: it cannot be opened again before it is closed.
    pub(super) fn lock(path: &Path) -> io::Result<File> {
        /// `ERROR_SHARING_VIOLATION`.
        const TAKEN: i32 = 32;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.share_mode(0).open(path).map_err(|e| {
            if e.raw_os_error() == Some(TAKEN) {
                io::ErrorKind::WouldBlock.into()
            } else {
                e
            }
        })
    }
}
