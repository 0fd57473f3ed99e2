//! Replacing the contents of a small file as a whole.

use super::Disk;
use crate::error::StorageError;
use std::io;
use std::path::Path;

/// What a name has while its file is being written.
const TEMPORARY: &str = "tmp";

/// Replaces the contents of `path` by `bytes`, durably. A crash leaves the old contents or the new
/// ones.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    put_in_place(disk, path, bytes)?;
    match path.parent() {
        Some(dir) => disk
            .sync_dir(dir)
            .map_err(|error| StorageError::io("syncing the directory", dir, &error)),
        None => Ok(()),
    }
}

/// As [`replace`], by a temporary file, which is synced and renamed; but the directory is not synced
/// yet.
pub(crate) fn put_in_place(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    let temporary = path.with_extension(TEMPORARY);
    let failed = |operation, path: &Path| {
        let path = path.to_owned();
        move |error: io::Error| StorageError::io(operation, path, &error)
    };
    let file = match disk.create(&temporary) {
        // A crash may have left one behind.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let left = disk.open(&temporary, true);
            left.and_then(|file| file.set_len(0).map(|()| file))
        }
        created => created,
    }
    .map_err(failed("creating the file", &temporary))?;
    let written = file
        .write_at(bytes, 0)
        .map_err(failed("writing", &temporary))
        .and_then(|()| file.sync().map_err(failed("syncing", &temporary)));
    if let Err(error) = written {
        // What was written takes room, which a full disk has none of. If it stays, the next call
        // uses the file.
        let _ = disk.remove_file(&temporary);
        return Err(error);
    }
    disk.rename(&temporary, path)
        .map_err(failed("renaming the file", &temporary))
}

/// All of a small file; `None` if there is none.
pub(crate) fn read_small(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
    let file = match disk.open(path, false) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::io("opening the file", path, &error)),
    };
    let failed = |error| StorageError::io("reading", path, &error);
    let mut bytes = vec![0; file.len().map_err(failed)? as usize];
    let read = file.read_at(&mut bytes, 0).map_err(failed)?;
    bytes.truncate(read);
    Ok(Some(bytes))
}
