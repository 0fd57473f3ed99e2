//! What a recovery does not serve: tails that are cut off, and what is set aside under another name.

use super::format::{FILE_HEADER, FileHeader, PAGE, SEAL, SEAL_AT};
use super::recover::{Aside, Directory};
use super::scan::Scanned;
use super::write::{is_file_of_records, mark_failed_sync};
use crate::disk::{Disk, DiskFile};
use crate::error::StorageError;
use std::io;
use std::path::Path;

/// Bytes that are copied at once.
const PIECE: usize = 1 << 20;

impl Directory<'_> {
    /// Cuts a file after its last whole chunk.
    pub(super) fn cut(
        &mut self,
        name: &str,
        handle: &dyn DiskFile,
        scanned: &Scanned,
        cut: u64,
        len: u64,
    ) -> Result<(), StorageError> {
        let path = self.dir.join(name);
        let io = |operation| Self::failed(operation, &path);
        let used = used_bytes(handle, scanned.position, len).map_err(io("reading"))?;
        // Deleted records are not missed: they need not have been synced.
        let damaged_to = scanned.damaged_to.filter(|&to| to > self.stored_start);
        if let Some(durable) = damaged_to {
            let aside = format!("{name}.rest");
            self.copy_rest(handle, scanned.position, used, &aside)?;
            let reason = format!(
                "{name} is damaged at byte {}: offsets {} to {durable} were durable",
                scanned.position, scanned.end
            );
            self.set_aside(&aside, Some(scanned.end), true, &reason)?;
        }
        self.found.cut_bytes += used - scanned.position;
        // On a page: the one with the end of the last whole chunk may be durable, and is not written
        // again. What is left behind that chunk is no chunk, nor does it become one.
        if self.has_failed_sync {
            // It may be longer on the disk than it seems: it was cut, and that sync has failed. By a
            // change that the system has not seen the length is written again.
            let longer = handle.set_len(len.max(cut) + PAGE);
            longer.map_err(io("making the file longer"))?;
        } else if len <= cut {
            return Ok(());
        }
        handle.set_len(cut).map_err(io("cutting the file"))?;
        if used <= cut && !self.has_failed_sync {
            return Ok(()); // only room that was reserved
        }
        // If a chunk like the one that is missing is appended next, what was behind it would follow
        // that: it must not be back after a power cut.
        handle.sync().map_err(|error| {
            mark_failed_sync(self.disk, self.dir);
            io("syncing")(error)
        })
    }

    /// Erases the seal of a file that is shorter than that says, durably: once more is appended, it
    /// would be that long again.
    pub(super) fn erase_seal(
        &self,
        path: &Path,
        handle: &dyn DiskFile,
    ) -> Result<(), StorageError> {
        let erased = handle.write_at(&[0; SEAL], SEAL_AT);
        erased.map_err(Self::failed("writing", path))?;
        handle.sync().map_err(|error| {
            mark_failed_sync(self.disk, self.dir);
            StorageError::io("syncing", path, &error)
        })
    }

    /// Copies what is behind the last whole chunk to a file of its own, durably.
    pub(super) fn copy_rest(
        &self,
        handle: &dyn DiskFile,
        from: u64,
        to: u64,
        name: &str,
    ) -> Result<(), StorageError> {
        let path = self.dir.join(name);
        match self.disk.remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StorageError::io("removing the file", path, &error));
            }
            _ => {} // what an earlier attempt had copied
        }
        let copy = self.disk.create(&path);
        let copy = copy.map_err(Self::failed("creating the file", &path))?;
        let mut piece = vec![0; PIECE];
        let mut at = from;
        while at < to {
            let wanted = (to - at).min(PIECE as u64) as usize;
            let read = handle.read_at(&mut piece[..wanted], at);
            let read = read.map_err(Self::failed("reading", self.dir))?;
            if read == 0 {
                break;
            }
            copy.write_at(&piece[..read], at - from)
                .map_err(Self::failed("writing", &path))?;
            at += read as u64;
        }
        copy.sync().map_err(Self::failed("syncing", &path))
    }

    /// Gives a file a name under which it is not served, and reports it.
    pub(super) fn set_aside(
        &mut self,
        name: &str,
        from: Option<u64>,
        was_durable: bool,
        reason: &str,
    ) -> Result<(), StorageError> {
        let path = self.dir.join(name);
        let entries = self.disk.list(self.dir);
        let entries = entries.map_err(Self::failed("listing the directory", self.dir))?;
        let is_taken = |name: &String| entries.iter().any(|entry| entry.name == *name);
        let names = (0..).map(|number| match number {
            0 => format!("{name}.bad"),
            _ => format!("{name}.bad{number}"),
        });
        let mut names = names.skip_while(is_taken);
        let aside = self.dir.join(names.next().unwrap_or_default());
        self.disk
            .rename(&path, &aside)
            .map_err(Self::failed("renaming the file", &path))?;
        self.disk
            .sync_dir(self.dir)
            .map_err(Self::failed("syncing the directory", self.dir))?;
        self.found.set_aside.push(Aside {
            path: aside,
            from,
            was_durable,
            reason: reason.to_owned(),
        });
        Ok(())
    }
}

/// Up to where the file has bytes that are not zero.
fn used_bytes(handle: &dyn DiskFile, from: u64, len: u64) -> io::Result<u64> {
    let mut piece = vec![0; PIECE];
    let (mut at, mut used) = (from, from);
    while at < len {
        let wanted = (len - at).min(PIECE as u64) as usize;
        let read = handle.read_at(&mut piece[..wanted], at)?;
        if read == 0 {
            break;
        }
        if let Some(last) = piece[..read].iter().rposition(|&byte| byte != 0) {
            used = at + last as u64 + 1;
        }
        at += read as u64;
    }
    Ok(used)
}

/// The topic's name, by the first file in a partition's directory that is of the topic with this id.
pub(crate) fn topic_name_in(disk: &dyn Disk, dir: &Path, topic_id: [u8; 16]) -> Option<String> {
    let names = disk.list(dir).ok()?.into_iter().map(|entry| entry.name);
    let mut files = names.filter(|name| is_file_of_records(name));
    files.find_map(|name| {
        let mut bytes = [0; FILE_HEADER];
        disk.open(&dir.join(name), false)
            .ok()?
            .read_at(&mut bytes, 0)
            .ok()?;
        let (header, _) = FileHeader::decode(&bytes).ok()?;
        (header.topic_id == topic_id).then_some(header.topic)
    })
}
