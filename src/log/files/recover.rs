//! Recovery: what a partition's directory holds after a crash, or after damage.
//!
//! Nothing is invented, and no data is deleted because something else is damaged:
//!
//! - A sealed file is trusted by its seal. Any other is scanned, and cut after its last whole chunk:
//!   what is behind was not written completely. If it had been durable (`scan.rs`), the file is
//!   damaged, and the rest is first copied to a `.rest.bad` file.
//! - Files must follow each other. What does not is set aside: renamed to `.bad`, and reported. So
//!   the longest valid part from the log start on is served.
//! - A file that is the first shows by itself that all before it was durable (`file.rs`), or
//!   `log-start` says that its base is where records begin. Otherwise a power cut has taken those
//!   before it, and it had nothing durable either.
//! - Appending goes on in the last file if it is not full, on a page of its own.
//!
//! Each step leaves the directory so that recovery finds the same records again. So a crash while
//! recovering changes nothing.

use super::file::{FileFacts, StoredFile};
use super::format::{
    BadHeader, FILE_HEADER, FIRST_CHUNK, FORMAT, FileHeader, PAGE, SEAL, SEAL_AT, Seal,
};
use super::remove::{LOG_START, Removal, decode_start};
use super::scan::{durable_end_shown, scan};
use super::write::{Active, Full, SYNC_FAILED, Writer, file_name, is_file_of_records};
use super::{FileOptions, PartitionFiles, PartitionName, State};
use crate::disk::{Disk, DiskFile, read_small};
use crate::error::StorageError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a recovery has found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recovery {
    /// The first offset that is kept.
    pub(crate) start: u64,
    /// The offset after the last.
    pub(crate) end: u64,
    pub(crate) files: u64,
    /// Bytes of the files that were scanned.
    pub(crate) scanned_bytes: u64,
    /// Bytes that were cut off.
    pub(crate) cut_bytes: u64,
    /// Offsets that were overwritten before they were copied.
    pub(crate) gaps: u64,
    pub(crate) set_aside: Vec<Aside>,
}

/// What is not served, under its new name.
#[derive(Clone, Debug)]
pub(crate) struct Aside {
    pub(crate) path: PathBuf,
    pub(crate) from: Option<u64>,
    /// Whether it may have had records that were durable.
    pub(crate) was_durable: bool,
    pub(crate) reason: String,
}

/// A file whose header is whole.
struct Opened {
    handle: Arc<dyn DiskFile>,
    header: FileHeader,
    header_crc: u32,
    len: u64,
    seal: Option<Seal>,
    /// The end by a seal that is this file's, although the file is shorter than that says.
    lost_end: Option<u64>,
}

/// The directory of one partition, while it is recovered.
pub(super) struct Directory<'d> {
    pub(super) disk: &'d dyn Disk,
    pub(super) dir: &'d Path,
    name: &'d PartitionName,
    /// Records before this offset were deleted.
    pub(super) stored_start: u64,
    /// A sync has failed since the machine was started: see [`SYNC_FAILED`].
    pub(super) has_failed_sync: bool,
    pub(super) found: Recovery,
}

impl PartitionFiles {
    /// The partition that is in `dir`, which may be missing.
    ///
    /// # Errors
    /// Of the disk; and `NewerFormat`.
    pub(crate) fn recover(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        name: PartitionName,
        options: FileOptions,
    ) -> Result<(PartitionFiles, Recovery), StorageError> {
        disk.create_dir(&dir)
            .map_err(|error| StorageError::io("creating the directory", &dir, &error))?;
        let mut directory = Directory {
            disk: &*disk,
            dir: &dir,
            name: &name,
            stored_start: 0,
            has_failed_sync: false,
            found: Recovery::default(),
        };
        let stored_start = directory.read_start()?;
        directory.stored_start = stored_start;
        let (mut files, mut writer) = directory.files()?;
        let base = files.first().map(|file| file.base);
        let end = files.last().map_or(stored_start, |file| file.end());
        if stored_start > end {
            // All of their records were deleted, before the last of them were durable. No offset is
            // given twice: appending goes on where records were deleted up to.
            for file in core::mem::take(&mut files) {
                let reason = format!(
                    "records before {stored_start} were deleted, but the files end at {end}"
                );
                directory.set_aside(&file_name(file.base), Some(file.base), false, &reason)?;
            }
            writer = Writer::default();
        }
        let mut found = directory.found;
        found.start = base.unwrap_or(0).max(stored_start);
        found.end = end.max(stored_start);
        found.files = files.len() as u64;
        let gaps = files.iter().map(|file| file.gaps());
        found.gaps = gaps.fold(0, u64::saturating_add);
        // What was found and not synced is durable once the next sync ends. That may be `log-start`
        // too, and the files' names.
        let sealed = files.iter().take_while(|file| file.is_sealed());
        let sealed_end = sealed.last().map(|file| file.end());
        let durable_end = sealed_end.or(base).unwrap_or(0);
        let removal = Removal {
            start_may_be_lost: stored_start > 0,
        };
        writer.names_changed =
            writer.active.is_some() || !writer.full.is_empty() || stored_start > durable_end;
        let state = State {
            files,
            start: found.start,
            written_end: found.end,
            durable_end,
            failed_sync: None,
            fault: None,
        };
        let partition = Self::new(disk, dir, name, options, state, writer, removal);
        Ok((partition, found))
    }
}

impl Directory<'_> {
    pub(super) fn failed(
        operation: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> StorageError + use<> {
        let path = path.to_owned();
        move |error| StorageError::io(operation, path, &error)
    }

    /// The offset before which records were deleted.
    fn read_start(&mut self) -> Result<u64, StorageError> {
        let path = self.dir.join(LOG_START);
        let Some(bytes) = read_small(self.disk, &path)? else {
            return Ok(0);
        };
        if let Some(start) = decode_start(self.name, &bytes) {
            return Ok(start);
        }
        let reason = "it is damaged: deleted records may be back";
        self.set_aside(LOG_START, None, true, reason)?;
        Ok(0)
    }

    /// The files that can be served, by offset; and what the writer goes on with.
    fn files(&mut self) -> Result<(Vec<Arc<StoredFile>>, Writer), StorageError> {
        let entries = self.disk.list(self.dir);
        let entries = entries.map_err(Self::failed("listing the directory", self.dir))?;
        self.has_failed_sync = entries.iter().any(|entry| entry.name == SYNC_FAILED);
        let names = entries.into_iter().filter(|entry| !entry.is_dir);
        // Twenty digits: sorted by name is sorted by offset.
        let mut names: Vec<String> = names
            .map(|entry| entry.name)
            .filter(|name| is_file_of_records(name))
            .collect();
        self.remove_again(&mut names)?;
        let (mut files, mut writer): (Vec<Arc<StoredFile>>, _) = (Vec::new(), Writer::default());
        for name in names {
            let Some(opened) = self.open(&name)? else {
                continue;
            };
            if let Some(before) = files.last() {
                let (end, base) = (before.end(), opened.header.base);
                if end != base {
                    let reason = format!("it begins at {base}, but the file before ends at {end}");
                    let was_durable = self.was_durable(&name, &opened, end)?;
                    self.set_aside(&name, Some(base), was_durable, &reason)?;
                    continue;
                }
            }
            // The one before is not the last, so nothing is appended to it any more.
            if let Some(last) = writer.active.take() {
                self.end_file(last, &mut writer)?;
            }
            let (file, active) = self.take(&name, opened)?;
            if files.is_empty() && file.base > self.stored_start && !file.proves_start() {
                let base = file.base;
                let reason = format!("it begins at {base}, and the files before it are missing");
                self.set_aside(&name, Some(base), false, &reason)?;
                continue;
            }
            match (file, active) {
                (file, None) => files.push(file),
                (file, Some(active)) => {
                    files.push(file);
                    writer.active = Some(active);
                }
            }
        }
        if self.has_failed_sync {
            let path = self.dir.join(SYNC_FAILED);
            self.disk
                .remove_file(&path)
                .map_err(Self::failed("removing the file", &path))?;
        }
        Ok((files, writer))
    }

    /// Removes the files without a record that is kept: their removals may have been lost, in any
    /// order. That they have none is shown by the header of a later file that begins at
    /// `stored_start` or before. A name alone shows nothing.
    fn remove_again(&mut self, names: &mut Vec<String>) -> Result<(), StorageError> {
        let is_before = |name: &String| {
            let base = name.strip_suffix(".rl").and_then(|base| base.parse().ok());
            base.is_some_and(|base: u64| base <= self.stored_start)
        };
        let before = names.iter().take_while(|name| is_before(name)).count();
        let mut first = 0;
        for number in (1..before).rev() {
            if self.open(&names[number])?.is_some() {
                first = number;
                break;
            }
            names.remove(number); // it was set aside
        }
        if first > 0 {
            // The process may have died before it had synced `log-start`: a power cut must not leave
            // the old one and the removals.
            self.disk
                .sync_dir(self.dir)
                .map_err(Self::failed("syncing the directory", self.dir))?;
        }
        for name in names.drain(..first) {
            if self.open(&name)?.is_some() {
                let path = self.dir.join(name);
                let removed = self.disk.remove_file(&path);
                removed.map_err(Self::failed("removing the file", &path))?;
            }
        }
        Ok(())
    }

    /// Opens a file, and reads its first pages. `None` if it is not one of this partition's: then it
    /// is set aside.
    fn open(&mut self, name: &str) -> Result<Option<Opened>, StorageError> {
        let path = self.dir.join(name);
        let handle = self.disk.open(&path, true);
        let handle = handle.map_err(Self::failed("opening the file", &path))?;
        if self.has_failed_sync {
            handle.reload().map_err(Self::failed("reading", &path))?;
        }
        let len = handle.len().map_err(Self::failed("reading", &path))?;
        let mut bytes = [0; FILE_HEADER];
        let read = handle.read_at(&mut bytes, 0);
        read.map_err(Self::failed("reading", &path))?;
        let (header, header_crc) = match FileHeader::decode(&bytes) {
            Ok(decoded) => decoded,
            Err(BadHeader::Newer(found)) => {
                return Err(StorageError::NewerFormat {
                    path,
                    found,
                    supported: FORMAT,
                });
            }
            Err(BadHeader::Damaged(reason)) => {
                // A file that was being created when the machine stopped has nothing yet.
                let is_empty = bytes.iter().all(|&byte| byte == 0) && len <= FIRST_CHUNK;
                if is_empty {
                    self.disk
                        .remove_file(&path)
                        .map_err(Self::failed("removing the file", &path))?;
                } else {
                    let was_durable = Self::shows_durable(&handle, name);
                    let was_durable = was_durable.map_err(Self::failed("reading", &path))?;
                    self.set_aside(name, None, was_durable, reason)?;
                }
                return Ok(None);
            }
        };
        let is_ours =
            header.topic_id == self.name.topic_id && header.partition == self.name.partition;
        if !is_ours {
            let (topic, partition) = (&header.topic, header.partition);
            let reason = format!("it is of partition {partition} of topic {topic:?}");
            self.set_aside(name, Some(header.base), true, &reason)?;
            return Ok(None);
        }
        if name != file_name(header.base) {
            let reason = format!("its name is not that of its first offset, {}", header.base);
            self.set_aside(name, Some(header.base), true, &reason)?;
            return Ok(None);
        }
        let mut seal = [0; SEAL];
        let read = handle.read_at(&mut seal, SEAL_AT);
        read.map_err(Self::failed("reading", &path))?;
        let seal = Seal::decode(&seal, header_crc);
        let is_whole = |seal: &Seal| {
            let end = seal.index_at.checked_add(seal.index_bytes);
            seal.end >= header.base && end.is_some_and(|end| end <= len)
        };
        Ok(Some(Opened {
            lost_end: seal.filter(|seal| !is_whole(seal)).map(|seal| seal.end),
            seal: seal.filter(is_whole),
            handle,
            header,
            header_crc,
            len,
        }))
    }

    /// Whether offsets from `end` on were durable, by what a file says that begins later. A power cut
    /// may leave such a file behind that never was.
    fn was_durable(&self, name: &str, opened: &Opened, end: u64) -> Result<bool, StorageError> {
        let header = &opened.header;
        if opened.seal.is_some() {
            return Ok(true);
        }
        let scanned = scan(
            &opened.handle,
            header.base,
            header.file_id,
            opened.header_crc,
        )
        .map_err(Self::failed("reading", &self.dir.join(name)))?;
        let durable = scanned.durable_end.max(scanned.damaged_to.unwrap_or(0));
        Ok(durable > end.max(self.stored_start))
    }

    /// Whether a file whose header is damaged shows that records in it were durable. A power cut leaves
    /// such a header too, of a file that was never synced.
    fn shows_durable(handle: &Arc<dyn DiskFile>, name: &str) -> io::Result<bool> {
        let mut seal = [0; SEAL];
        handle.read_at(&mut seal, SEAL_AT)?;
        let base = name.trim_end_matches(".rl").parse::<u64>();
        let durable = durable_end_shown(handle)?;
        Ok(Seal::is_begun(&seal) || base.is_ok_and(|base| durable > base))
    }

    /// A file that follows the one before: trusted if it is sealed, scanned otherwise.
    fn take(
        &mut self,
        name: &str,
        opened: Opened,
    ) -> Result<(Arc<StoredFile>, Option<Active>), StorageError> {
        let path = self.dir.join(name);
        let Opened {
            handle,
            header,
            header_crc,
            len,
            seal,
            lost_end,
        } = opened;
        let stored = |path: &Path, known| {
            let (base, created_at) = (header.base, header.created_at);
            Arc::new(StoredFile::new(
                path.to_owned(),
                base,
                created_at,
                header.file_id,
                known,
            ))
        };
        if let Some(seal) = seal {
            let known = FileFacts {
                end: seal.end,
                bytes: seal.index_at + seal.index_bytes,
                latest_time: seal.latest_time,
                gaps: seal.gaps,
                durable_end: seal.end,
                index: None,
                seal: Some(seal),
            };
            return Ok((stored(&path, known), None));
        }
        let mut scanned = scan(&handle, header.base, header.file_id, header_crc)
            .map_err(Self::failed("reading", &path))?;
        // What a seal covers was durable.
        let was_durable = lost_end.filter(|&end| end > scanned.end);
        scanned.damaged_to = scanned.damaged_to.max(was_durable);
        self.found.scanned_bytes += len;
        let cut = scanned.position.next_multiple_of(PAGE);
        self.cut(name, &*handle, &scanned, cut, len)?;
        if lost_end.is_some() {
            self.erase_seal(&path, &*handle)?;
        }
        let known = FileFacts {
            end: scanned.end,
            bytes: scanned.position,
            latest_time: scanned.latest_time,
            gaps: scanned.gaps,
            durable_end: scanned.durable_end,
            index: Some(scanned.index),
            seal: None,
        };
        let file = stored(&path, known);
        let active = Active {
            file: file.clone(),
            handle,
            header_crc,
            position: cut,
            allocated: cut.min(len),
            chain: scanned.chain,
            number: scanned.number,
            is_dirty: true,
        };
        Ok((file, Some(active)))
    }

    /// A file that was not sealed, and is not the last: it is sealed with the next sync.
    fn end_file(&mut self, active: Active, writer: &mut Writer) -> Result<(), StorageError> {
        let Active {
            file,
            handle,
            header_crc,
            position,
            number,
            ..
        } = active;
        if number == 0 {
            return Ok(()); // it has nothing to be found
        }
        let indexed =
            PartitionFiles::write_index(file.clone(), handle.clone(), header_crc, position);
        let full = match indexed {
            // It is scanned again the next time. A full disk must not keep the storage closed.
            Err(error) if error.is_full() => Full {
                file,
                handle,
                header_crc,
                seal: None,
            },
            indexed => indexed?,
        };
        writer.full.push(full);
        Ok(())
    }
}
