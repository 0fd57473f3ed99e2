//! The real file system.
//!
//! Errors are the system's: the callers add the operation and the path
//! ([`StorageError::io`](crate::StorageError)).

#[cfg(test)]
mod tests;

use super::{Disk, DiskFile, Entry};
use std::fmt::Debug;
use std::fs::{self, DirEntry, File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The system's files.
#[derive(Debug, Default)]
pub(crate) struct FileSystem;

/// An open file.
#[derive(Debug)]
struct SystemFile(File);

impl Disk for FileSystem {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true);
        let file = options.open(path).map_err(busy_if_too_many)?;
        Ok(Arc::new(SystemFile(file)))
    }

    fn open(&self, path: &Path, for_writing: bool) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(for_writing)
            .open(path)
            .map_err(busy_if_too_many)?;
        Ok(Arc::new(SystemFile(file)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // Ringlog's own names are ASCII; others are not its files.
            if let Ok(name) = entry.file_name().into_string() {
                let is_dir = is_dir(&entry)?;
                entries.push(Entry { name, is_dir });
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        // A topic may have been moved to another disk (`is_dir`).
        if fs::symlink_metadata(dir)?.is_symlink() {
            return fs::remove_file(dir);
        }
        fs::remove_dir(dir)
    }

    /// On Windows the names in a directory are written through with the files: there is no such
    /// call.
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if cfg!(windows) {
            return Ok(());
        }
        open_patiently(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Debug + Send + Sync>> {
        Ok(Box::new(lock_file(path)?))
    }
}

/// Says of an error that the process or the system has too many files open: another time it may be
/// otherwise.
fn busy_if_too_many(error: io::Error) -> io::Error {
    #[cfg(unix)]
    let too_many = {
        use rustix::io::Errno;
        [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error)
    };
    #[cfg(windows)]
    let too_many = [4];
    match error.raw_os_error() {
        Some(code) if too_many.contains(&code) => {
            io::Error::new(io::ErrorKind::ResourceBusy, error)
        }
        _ => error,
    }
}

/// How often opening a directory to sync it is tried while too many files are open, and how long
/// after the try before: 2 s in all. A sync that has failed is not tried again, so this is no reason
/// for it to fail.
const OPEN_TRIES: u32 = 200;
const OPEN_PAUSE: Duration = Duration::from_millis(10);

fn open_patiently(dir: &Path) -> io::Result<File> {
    let mut tries = 0;
    loop {
        match File::open(dir).map_err(busy_if_too_many) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && tries < OPEN_TRIES => {
                tries += 1;
                std::thread::sleep(OPEN_PAUSE);
            }
            opened => return opened,
        }
    }
}

/// A link to a directory is one: a topic may have been moved to another disk.
fn is_dir(entry: &DirEntry) -> io::Result<bool> {
    let listed = entry.file_type()?;
    if !listed.is_symlink() {
        return Ok(listed.is_dir());
    }
    // One that leads nowhere is none.
    Ok(fs::metadata(entry.path()).is_ok_and(|found| found.is_dir()))
}

/// Opens the file with a lock that ends with the file, or with the process. The lock belongs to the
/// open file, so that it excludes a second one in the same process too.
#[cfg(unix)]
fn lock_file(path: &Path) -> io::Result<File> {
    use rustix::fs::{FlockOperation, flock};
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    if !is_named(&file, path)? {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    Ok(file)
}

/// Whether `path` leads to this open file. If the file was removed between its opening and its
/// locking, the lock excludes only the processes that opened it before: others create a new one.
#[cfg(unix)]
fn is_named(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let opened = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((opened.dev(), opened.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(windows)]
fn lock_file(path: &Path) -> io::Result<File> {
    use std::os::windows::fs::OpenOptionsExt;
    /// What opening a file says that another process has open for itself alone.
    const SHARING_VIOLATION: i32 = 32;
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(false);
    options
        .share_mode(0)
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(SHARING_VIOLATION) => io::ErrorKind::WouldBlock.into(),
            _ => error,
        })
}

impl SystemFile {
    #[cfg(unix)]
    fn write_some(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(&self.0, bytes, at)
    }

    #[cfg(windows)]
    fn write_some(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_write(&self.0, bytes, at)
    }

    #[cfg(unix)]
    fn read_some(&self, out: &mut [u8], at: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.0, out, at)
    }

    #[cfg(windows)]
    fn read_some(&self, out: &mut [u8], at: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.0, out, at)
    }

    /// Whether room was reserved, and the file made that long: not every file system can, and Miri
    /// cannot.
    #[cfg(all(target_os = "linux", not(miri)))]
    fn reserve(&self, len: u64) -> io::Result<bool> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        uninterrupted(
            || match fallocate(&self.0, FallocateFlags::empty(), 0, len) {
                Ok(()) => Ok(true),
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(false),
                Err(error) => Err(error.into()),
            },
        )
    }

    #[cfg(not(all(target_os = "linux", not(miri))))]
    fn reserve(&self, _len: u64) -> io::Result<bool> {
        Ok(false)
    }

    /// Makes the file longer, and never shorter.
    fn lengthen(&self, len: u64) -> io::Result<()> {
        if self.len()? < len {
            self.set_len(len)?;
        }
        Ok(())
    }
}

/// Repeats a call that a signal has interrupted.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Writes all, by calls that may write less.
fn write_fully(
    mut bytes: &[u8],
    mut at: u64,
    mut write_some: impl FnMut(&[u8], u64) -> io::Result<usize>,
) -> io::Result<()> {
    while !bytes.is_empty() {
        match uninterrupted(|| write_some(bytes, at))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => {
                bytes = bytes.get(written..).unwrap_or_default();
                at += written as u64;
            }
        }
    }
    Ok(())
}

/// Fills `out`, by calls that may read less. One that reads nothing is at the end of the file.
fn read_fully(
    out: &mut [u8],
    at: u64,
    mut read_some: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = out.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match uninterrupted(|| read_some(rest, at + read as u64))? {
            0 => break,
            some => read += some,
        }
    }
    Ok(read)
}

impl DiskFile for SystemFile {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        write_fully(bytes, at, |bytes, at| self.write_some(bytes, at))
    }

    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<usize> {
        read_fully(out, at, |out, at| self.read_some(out, at))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        // Also in a file that is long enough: it may have been made longer by `set_len`.
        match self.reserve(len)? {
            true => Ok(()),
            false => self.lengthen(len),
        }
    }

    /// `fdatasync` writes a changed length too, and whatever else is needed to read the contents.
    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    #[cfg(target_os = "linux")]
    fn reload(&self) -> io::Result<()> {
        use rustix::fs::{Advice, fadvise};
        Ok(fadvise(&self.0, 0, None, Advice::DontNeed)?)
    }

    #[cfg(unix)]
    fn map(&self, len: u64) -> io::Result<Option<super::Mapping>> {
        // Miri has no mappings.
        if cfg!(miri) {
            return Ok(None);
        }
        super::Mapping::new(&self.0, len).map(Some)
    }
}
