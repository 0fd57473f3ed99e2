//! The small files of a storage: lines of text under a checksum, replaced as a whole.
//!
//! A file is written under a temporary name, synced, renamed and its directory synced. So a crash
//! leaves the old contents or the new ones. The last line has the checksum of those before it:
//!
//! ```text
//! ringlog-topic 1
//! name orders
//! partitions 4
//! crc32c 8f3b00c1
//! ```

use crate::disk::Disk;
use crate::error::StorageError;
use std::io;
use std::path::Path;

/// What a name has while its file is being written.
const TEMPORARY: &str = "tmp";

/// Replaces the contents of `path` by `lines`, durably.
pub(super) fn replace(disk: &dyn Disk, path: &Path, lines: &str) -> Result<(), StorageError> {
    let crc = crc32c::crc32c(lines.as_bytes());
    replace_bytes(disk, path, format!("{lines}crc32c {crc:08x}\n").as_bytes())
}

/// Replaces the contents of `path`, durably.
pub(super) fn replace_bytes(
    disk: &dyn Disk,
    path: &Path,
    bytes: &[u8],
) -> Result<(), StorageError> {
    let temporary = path.with_extension(TEMPORARY);
    let failed = |operation, path: &Path| {
        let path = path.to_owned();
        move |error: io::Error| StorageError::io(operation, path, &error)
    };
    match disk.remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(StorageError::io("removing the file", temporary, &error));
        }
        _ => {}
    }
    let file = disk
        .create(&temporary)
        .map_err(failed("creating the file", &temporary))?;
    file.write_at(bytes, 0)
        .map_err(failed("writing", &temporary))?;
    file.sync().map_err(failed("syncing", &temporary))?;
    disk.rename(&temporary, path)
        .map_err(failed("renaming the file", &temporary))?;
    match path.parent() {
        Some(dir) => disk
            .sync_dir(dir)
            .map_err(failed("syncing the directory", dir)),
        None => Ok(()),
    }
}

/// What was found under a name.
pub(super) enum Contents {
    /// No such file.
    Missing,
    /// The lines before the checksum's.
    Lines(String),
    /// The checksum is wrong, or there is none.
    Damaged,
}

/// The lines of `path`, checked.
pub(super) fn read(disk: &dyn Disk, path: &Path) -> Result<Contents, StorageError> {
    let Some(bytes) = read_bytes(disk, path)? else {
        return Ok(Contents::Missing);
    };
    let checked = String::from_utf8(bytes).ok().and_then(|text| {
        let last = text.trim_end_matches('\n').rfind('\n')? + 1;
        let (lines, crc) = text.split_at(last);
        let crc = crc.strip_prefix("crc32c ")?.trim_end();
        let crc = u32::from_str_radix(crc, 16).ok()?;
        (crc == crc32c::crc32c(lines.as_bytes())).then(|| lines.to_owned())
    });
    Ok(checked.map_or(Contents::Damaged, Contents::Lines))
}

/// All of a small file; `None` if there is none.
pub(super) fn read_bytes(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
    let failed = |error| StorageError::io("reading", path, &error);
    let file = match disk.open(path, false) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::io("opening the file", path, &error)),
    };
    let mut bytes = vec![0; file.len().map_err(failed)? as usize];
    let read = file.read_at(&mut bytes, 0).map_err(failed)?;
    bytes.truncate(read);
    Ok(Some(bytes))
}

/// The value of a line `key value`, if the line has that key.
pub(super) fn value_of<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    line.strip_prefix(key)?.strip_prefix(' ')
}
