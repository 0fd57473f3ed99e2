//! Removing what is not kept: retention, and deleted records.
//!
//! Only whole files are removed, the oldest first, and never the last one: its base is where the
//! partition goes on after a start, also when no record is left. Readers that have mapped a file
//! keep it.
//!
//! A partition's `log-start` is a small file: the offset before which records were deleted, and a
//! checksum of it, the topic's id and the partition. So that of another partition is not taken.

use super::file::StoredFile;
use super::write::{Writer, mark_failed_sync};
use super::{PartitionFiles, PartitionName};
use crate::error::StorageError;
use crate::sync::lock_std;
use std::io;
use std::sync::Arc;

/// The name of the file with the first offset that is kept.
pub(super) const LOG_START: &str = "log-start";

/// What is known by what removes files.
#[derive(Debug, Default)]
pub(super) struct Removal {
    /// Recovery has found a `log-start` that may not be synced: the process that wrote it may have
    /// died before.
    pub(super) start_may_be_lost: bool,
}

const MAGIC: &[u8; 8] = b"RLOGSTRT";

/// The contents of `log-start`.
pub(super) fn encode_start(name: &PartitionName, start: u64) -> [u8; 20] {
    let mut out = [0; 20];
    out[..8].copy_from_slice(MAGIC);
    out[8..16].copy_from_slice(&start.to_le_bytes());
    let mut crc = crc32c::crc32c(&name.topic_id);
    crc = crc32c::crc32c_append(crc, &name.partition.to_le_bytes());
    crc = crc32c::crc32c_append(crc, &out[..16]);
    out[16..].copy_from_slice(&crc.to_le_bytes());
    out
}

/// The offset in a `log-start`; `None` if it is damaged.
pub(super) fn decode_start(name: &PartitionName, bytes: &[u8]) -> Option<u64> {
    let start = bytes.get(8..16)?.try_into().ok()?;
    let start = u64::from_le_bytes(start);
    (bytes == encode_start(name, start)).then_some(start)
}

impl PartitionFiles {
    /// Removes the files that are not kept: those whose successor was begun more than `keep_ms`
    /// ago, and those before the last `keep_bytes`. Returns the first offset that is kept then.
    pub(crate) fn apply_retention(
        &self,
        keep_ms: Option<u64>,
        keep_bytes: Option<u64>,
        now_ms: u64,
    ) -> Result<u64, StorageError> {
        let _removal = lock_std(&self.removal);
        self.refuse_stopped()?;
        let is_old =
            |created_at: u64| keep_ms.is_some_and(|keep| now_ms.saturating_sub(created_at) >= keep);
        // A file that is written still may have records that are too old: it is ended first.
        {
            let mut writer = lock_std(&self.writer);
            let last = lock_std(&self.state).files.last().cloned();
            let is_old = |last: &Arc<StoredFile>| last.end() > last.base && is_old(last.created_at);
            if let Some(last) = last.filter(is_old) {
                self.begin_next_file(&mut writer, last.end())?;
            }
        }
        loop {
            let next = {
                let state = lock_std(&self.state);
                let [_, next, ..] = &state.files[..] else {
                    return Ok(state.start);
                };
                let rest: u64 = state.files[1..].iter().map(|file| file.bytes()).sum();
                let is_full = keep_bytes.is_some_and(|keep| rest >= keep);
                (is_full || is_old(next.created_at)).then(|| next.clone())
            };
            let Some(next) = next else {
                return Ok(self.start());
            };
            self.remove_first_durably(&next)?;
        }
    }

    /// Makes room by the oldest file. `false` if it has to stay: it is the only one, or the next one
    /// is not sealed yet.
    pub(crate) fn remove_oldest(&self) -> Result<bool, StorageError> {
        let _removal = lock_std(&self.removal);
        self.refuse_stopped()?;
        let next = lock_std(&self.state).files.get(1).cloned();
        let Some(next) = next.filter(|next| next.is_sealed()) else {
            return Ok(false);
        };
        self.remove_first_durably(&next)?;
        Ok(true)
    }

    /// Deletes the records before `offset`, which is not past the end of the log. They are gone
    /// durably when it returns; their files go as far as they have no other record.
    pub(crate) fn delete_before(&self, offset: u64) -> Result<(), StorageError> {
        let mut removal = lock_std(&self.removal);
        self.refuse_stopped()?;
        if offset <= self.start() {
            if core::mem::take(&mut removal.start_may_be_lost) {
                self.sync_names()?;
            }
            return Ok(());
        }
        self.store_start(offset)?;
        removal.start_may_be_lost = false;
        {
            let mut state = lock_std(&self.state);
            state.start = state.start.max(offset);
        }
        loop {
            {
                let state = lock_std(&self.state);
                match &state.files[..] {
                    [_, next, ..] if next.base <= offset => {}
                    _ => return Ok(()),
                }
            }
            self.remove_first()?;
        }
    }

    /// Begins a file at `base`, which is durable before the one before it can be removed.
    fn begin_next_file(&self, writer: &mut Writer, base: u64) -> Result<(), StorageError> {
        self.finish_active(writer)?;
        let new = self.create_file(base)?;
        // If it fails, the file has nothing, and the next attempt makes another.
        new.handle.sync().map_err(|error| {
            mark_failed_sync(&*self.disk, &self.dir);
            StorageError::io("syncing", &new.file.path, &error)
        })?;
        lock_std(&self.state).files.push(new.file.clone());
        writer.active = Some(new);
        self.sync_names()
    }

    fn sync_file(&self, file: &StoredFile) -> Result<(), StorageError> {
        let failed = |operation| move |error| StorageError::io(operation, &file.path, &error);
        let handle = self.disk.open(&file.path, true);
        let handle = handle.map_err(failed("opening the file"))?;
        handle.sync().map_err(|error| {
            mark_failed_sync(&*self.disk, &self.dir);
            let error = failed("syncing")(error);
            let failed_sync = &mut lock_std(&self.state).failed_sync;
            failed_sync.get_or_insert(error).clone()
        })
    }

    /// Makes the names in the directory durable. If that fails, nothing more is appended: what a
    /// later sync would report is not known to be so (D5 of `disk/mod.rs`).
    pub(super) fn sync_names(&self) -> Result<(), StorageError> {
        self.disk.sync_dir(&self.dir).map_err(|error| {
            mark_failed_sync(&*self.disk, &self.dir);
            let error = StorageError::io("syncing the directory", &self.dir, &error);
            let failed_sync = &mut lock_std(&self.state).failed_sync;
            failed_sync.get_or_insert(error).clone()
        })
    }

    /// Removes the first file, durably; `next` is the one after it.
    ///
    /// A power cut may take a file that is not sealed, and bring back some of the files that were
    /// removed before without a sync. So where records begin is stored first. On a full disk there is
    /// no room for that: then `next` has to be sealed durably, and the names be synced.
    fn remove_first_durably(&self, next: &StoredFile) -> Result<(), StorageError> {
        // Not before records that were deleted: the removal of their files may have failed.
        match self.store_start(next.base.max(self.start())) {
            Err(error) if error.is_full() && next.is_sealed() => {
                // By its seal recovery knows that records begin there. A seal that was found by
                // recovery may not be on the disk: the process that wrote it may have died before
                // it had synced it.
                self.sync_file(next)?;
                self.sync_names()?;
            }
            stored => stored?,
        }
        self.remove_first()?;
        self.sync_names()
    }

    /// Removes the first of at least two files. It may be back after a power cut.
    fn remove_first(&self) -> Result<(), StorageError> {
        let first = lock_std(&self.state).files.first().cloned();
        let Some(first) = first else {
            return Ok(());
        };
        match self.disk.remove_file(&first.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StorageError::io("removing the file", &first.path, &error));
            }
            _ => {}
        }
        let mut writer = lock_std(&self.writer);
        writer.names_changed = true;
        // It is not to be sealed any more.
        writer.full.retain(|full| full.file.base != first.base);
        let mut state = lock_std(&self.state);
        state.files.remove(0);
        if let Some(next) = state.files.first().map(|file| file.base) {
            state.start = state.start.max(next);
            state.durable_end = state.durable_end.max(next);
        }
        Ok(())
    }

    /// Stores the first offset that is kept, durably.
    pub(super) fn store_start(&self, start: u64) -> Result<(), StorageError> {
        let path = self.dir.join(LOG_START);
        let bytes = encode_start(&self.name, start);
        crate::disk::put_in_place(&*self.disk, &path, &bytes)?;
        self.sync_names()
    }
}
