//! Appending chunks, rolling to the next file, syncing and sealing.
//!
//! The copier appends, and begins syncs; the syncer runs them. A sync covers what was appended
//! before it began: the chunk after that begins on a page of its own, so nothing that the sync
//! makes durable is written again.
//!
//! A file that is full is sealed in two steps (`format.rs`). The copier writes the index; the next
//! sync makes all of it durable, then writes the seal, and makes that durable.

use super::PartitionFiles;
use super::chunk::ChunkBuffer;
use super::file::{FileFacts, StoredFile};
use super::format::{
    CHUNK_ALIGN, ChunkHeader, ChunkKind, FIRST_CHUNK, FileHeader, Index, PAGE, SEAL_AT, Seal,
    encode_index,
};
use crate::disk::{Disk, DiskFile};
use crate::error::StorageError;
use crate::record::NO_TIMESTAMP;
use crate::sync::lock_std;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Room is reserved ahead of the chunks by this part of a file's size, within these bounds: large
/// steps need few calls, and a partition that has little takes little of the disk.
const AHEAD_PART: u64 = 8;
const MIN_AHEAD: u64 = if cfg!(loom) { 4 << 10 } else { 64 << 10 }; // models scan it often
const MAX_AHEAD: u64 = 8 << 20;

/// What the writer knows.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// The file that is appended to; `None` until the next append makes one.
    pub(super) active: Option<Active>,
    /// Files that are full and not sealed yet.
    pub(super) full: Vec<Full>,
    /// Names were created or removed since the last sync began.
    pub(super) names_changed: bool,
}

/// The file that is appended to.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) file: Arc<StoredFile>,
    pub(super) handle: Arc<dyn DiskFile>,
    pub(super) header_crc: u32,
    /// Where the next chunk begins.
    pub(super) position: u64,
    /// Up to where room is reserved.
    pub(super) allocated: u64,
    /// The checksum of the header of the chunk before.
    pub(super) chain: u32,
    /// The number of the next chunk.
    pub(super) number: u32,
    /// It was written since the last sync began.
    pub(super) is_dirty: bool,
}

/// A file that is full, with its index written.
#[derive(Clone, Debug)]
pub(super) struct Full {
    pub(super) file: Arc<StoredFile>,
    pub(super) handle: Arc<dyn DiskFile>,
    pub(super) header_crc: u32,
    /// `None` if there was no room for the index: it is synced, and not sealed.
    pub(super) seal: Option<Seal>,
}

/// The time in milliseconds since 1970 UTC.
pub(super) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// A file's name.
pub(super) fn file_name(base: u64) -> String {
    format!("{base:020}.rl")
}

/// Whether a file in a partition's directory has records, by its name.
pub(crate) fn is_file_of_records(name: &str) -> bool {
    name.ends_with(".rl")
}

impl PartitionFiles {
    fn failed(
        operation: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(io::Error) -> StorageError + use<> {
        let path = path.to_owned();
        move |error| StorageError::io(operation, path, &error)
    }

    /// Appends a chunk of records. Its first offset is [`written_end`](Self::written_end). On an
    /// error nothing was appended, and the same chunk may be tried again.
    pub(crate) fn append(&self, chunk: &mut ChunkBuffer) -> Result<(), StorageError> {
        let header = ChunkHeader {
            kind: ChunkKind::Records,
            payload_crc: 0,
            first: chunk.first,
            offsets: chunk.slots.into(),
            payload: chunk.payload_bytes(),
            latest_time: chunk.latest_time,
            chain: 0,
            number: 0,
            undurable: 0,
            salt: 0,
        };
        let payload_crc = crc32c::crc32c(chunk.payload());
        self.append_chunk(
            ChunkHeader {
                payload_crc,
                ..header
            },
            |header, write| write(chunk.with_header(header)),
        )
    }

    /// Appends that the offsets up to `to` were overwritten before they were copied.
    pub(crate) fn append_gap(&self, to: u64) -> Result<(), StorageError> {
        let first = self.written_end();
        if to <= first {
            return Ok(());
        }
        let header = ChunkHeader {
            kind: ChunkKind::Gap,
            payload_crc: 0,
            first,
            offsets: to - first,
            payload: 0,
            latest_time: NO_TIMESTAMP,
            chain: 0,
            number: 0,
            undurable: 0,
            salt: 0,
        };
        self.append_chunk(header, |header, write| write(header))
    }

    fn append_chunk(
        &self,
        mut header: ChunkHeader,
        bytes: impl FnOnce(
            &[u8; super::format::CHUNK_HEADER],
            &mut dyn FnMut(&[u8]) -> Result<(), StorageError>,
        ) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let mut writer = lock_std(&self.writer);
        let (written_end, durable_end) = {
            self.refuse_stopped()?;
            let state = lock_std(&self.state);
            (state.written_end, state.durable_end)
        };
        if header.first != written_end {
            let error = io::Error::from(io::ErrorKind::InvalidInput);
            return Err(StorageError::io(
                "appending out of order",
                &self.dir,
                &error,
            ));
        }
        let is_full = |active: &Active| {
            active.number > 0
                && active.position.saturating_add(header.stride()) > self.options.file_bytes
        };
        if writer.active.as_ref().is_some_and(is_full) {
            self.finish_active(&mut writer)?;
        }
        let active = match &mut writer.active {
            Some(active) => active,
            None => {
                let new = self.create_file(written_end)?;
                lock_std(&self.state).files.push(new.file.clone());
                writer.names_changed = true;
                writer.active.insert(new)
            }
        };
        let end = active.position + header.stride();
        if end > active.allocated {
            let ahead = (self.options.file_bytes / AHEAD_PART).clamp(MIN_AHEAD, MAX_AHEAD);
            let wanted = end.saturating_add(ahead).next_multiple_of(PAGE);
            active
                .handle
                .allocate(wanted)
                .map_err(Self::failed("reserving room", &active.file.path))?;
            active.allocated = wanted;
        }
        header.chain = active.chain;
        header.number = active.number;
        header.undurable = (header.first - durable_end).try_into().unwrap_or(u32::MAX);
        header.salt = active.file.file_id;
        let (encoded, crc) = header.encode();
        bytes(&encoded, &mut |bytes| {
            active
                .handle
                .write_at(bytes, active.position)
                .map_err(Self::failed("writing", &active.file.path))
        })?;
        active.file.add_chunk(&header, active.position);
        active.position = end;
        active.chain = crc;
        active.number += 1;
        active.is_dirty = true;
        lock_std(&self.state).written_end = header.end();
        Ok(())
    }

    /// Creates the file that begins at `base`.
    pub(super) fn create_file(&self, base: u64) -> Result<Active, StorageError> {
        let path = self.dir.join(file_name(base));
        let header = FileHeader {
            topic_id: self.name.topic_id,
            partition: self.name.partition,
            base,
            created_at: now_ms(),
            file_id: RandomState::new().hash_one((base, now_ms())),
            topic: self.name.topic.to_string(),
        };
        let handle = match self.disk.create(&path) {
            // What an attempt has left that failed: no file that is served begins at the end.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let left = self.disk.open(&path, true);
                left.and_then(|file| file.set_len(0).map(|()| file))
            }
            created => created,
        }
        .map_err(Self::failed("creating the file", &path))?;
        let (bytes, header_crc) = header.encode();
        let written = handle
            .allocate(FIRST_CHUNK)
            .and_then(|()| handle.write_at(&bytes, 0));
        if let Err(error) = written {
            // It has no record. If it stays, the next attempt uses it.
            let _ = self.disk.remove_file(&path);
            return Err(StorageError::io("writing", path, &error));
        }
        let known = FileFacts {
            end: base,
            bytes: FIRST_CHUNK,
            latest_time: NO_TIMESTAMP,
            gaps: 0,
            durable_end: 0,
            index: Some(Index::default()),
            seal: None,
        };
        let file = StoredFile::new(path, base, header.created_at, header.file_id, known);
        Ok(Active {
            file: Arc::new(file),
            handle,
            header_crc,
            position: FIRST_CHUNK,
            allocated: FIRST_CHUNK,
            chain: header_crc,
            number: 0,
            is_dirty: true,
        })
    }

    /// Ends the file that is appended to: the next append makes another.
    pub(super) fn finish_active(&self, writer: &mut Writer) -> Result<(), StorageError> {
        let Some(active) = &writer.active else {
            return Ok(());
        };
        let full = Self::write_index(
            active.file.clone(),
            active.handle.clone(),
            active.header_crc,
            active.position,
        )?;
        writer.full.push(full);
        writer.active = None;
        Ok(())
    }

    /// Writes the index of a full file, whose last chunk ends before `position`, and gives the room
    /// behind it back.
    pub(super) fn write_index(
        file: Arc<StoredFile>,
        handle: Arc<dyn DiskFile>,
        header_crc: u32,
        position: u64,
    ) -> Result<Full, StorageError> {
        let index = encode_index(&file.known_index().entries);
        let index_at = position.next_multiple_of(CHUNK_ALIGN);
        let end = index_at + index.len() as u64;
        handle
            .write_at(&index, index_at)
            // Always whole pages: a file that has to be written further after a crash must not
            // become longer from within a page that may be durable.
            .and_then(|()| handle.set_len(end.next_multiple_of(PAGE)))
            .map_err(Self::failed("writing", &file.path))?;
        file.set_bytes(end);
        let seal = Seal {
            end: file.end(),
            index_at,
            index_bytes: index.len() as u64,
            latest_time: file.latest_time(),
            sealed_at: now_ms(),
            index_crc: crc32c::crc32c(&index),
            gaps: file.gaps(),
        };
        Ok(Full {
            file,
            handle,
            header_crc,
            seal: Some(seal),
        })
    }

    /// Whether a file is full and not sealed.
    pub(crate) fn has_full_file(&self) -> bool {
        !lock_std(&self.writer).full.is_empty()
    }

    // ---- syncing ------------------------------------------------------------------------

    /// Begins a sync of what was appended until now; `None` if all of it is durable.
    pub(crate) fn begin_sync(self: &Arc<Self>) -> Option<SyncJob> {
        let mut writer = lock_std(&self.writer);
        let (end, has_failed) = {
            let state = lock_std(&self.state);
            if state.fault.is_some() {
                return None;
            }
            (state.written_end, state.failed_sync.is_some())
        };
        let full = core::mem::take(&mut writer.full);
        let names_changed = core::mem::take(&mut writer.names_changed);
        let mut dirty = None;
        if let Some(active) = writer.active.as_mut().filter(|active| active.is_dirty) {
            active.is_dirty = false;
            active.position = active.position.next_multiple_of(PAGE);
            dirty = Some((active.handle.clone(), active.file.path.clone()));
        }
        if full.is_empty() && dirty.is_none() && !names_changed && !has_failed {
            return None;
        }
        Some(SyncJob {
            files: self.clone(),
            full,
            dirty,
            names_changed,
            end,
        })
    }
}

/// The name of a file that says that a sync has failed: what was written before may be read although
/// it is not on the disk. It need not be synced, because a power cut ends that.
pub(super) const SYNC_FAILED: &str = "sync-failed";

/// Creates that file. It may exist already. If it cannot be created, the disk takes no changes of the
/// next process either.
pub(super) fn mark_failed_sync(disk: &dyn Disk, dir: &Path) {
    let _ = disk.create(&dir.join(SYNC_FAILED));
}

/// A sync of one partition that has begun.
#[derive(Debug)]
pub(crate) struct SyncJob {
    files: Arc<PartitionFiles>,
    full: Vec<Full>,
    /// The file that is appended to.
    dirty: Option<(Arc<dyn DiskFile>, PathBuf)>,
    names_changed: bool,
    end: u64,
}

impl SyncJob {
    /// Makes durable what was appended before the sync began, and seals the files that are full.
    /// Returns the durable end. After an error the partition must be
    /// [stopped](PartitionFiles::stop): a sync is never tried again.
    pub(crate) fn run(self) -> Result<u64, StorageError> {
        let synced = self.run_once();
        if synced.is_err() {
            mark_failed_sync(&*self.files.disk, &self.files.dir);
        }
        synced
    }

    fn run_once(&self) -> Result<u64, StorageError> {
        for full in &self.full {
            Self::sync(&*full.handle, &full.file.path)?;
        }
        if let Some((handle, path)) = &self.dirty {
            Self::sync(&**handle, path)?;
        }
        if self.names_changed {
            self.files.sync_names()?;
        }
        {
            let mut state = lock_std(&self.files.state);
            // The directory's sync may report success because another one has failed.
            if let Some(error) = &state.failed_sync {
                return Err(error.clone());
            }
            // Of a stopped partition it is final: readers have got the end of the topic by it
            // (`final_durable_end`).
            if state.fault.is_none() {
                state.durable_end = state.durable_end.max(self.end);
            }
        }
        for Full {
            file,
            handle,
            header_crc,
            seal,
        } in &self.full
        {
            let Some(seal) = seal else {
                continue;
            };
            match handle.write_at(&seal.encode(*header_crc), SEAL_AT) {
                // Some file systems need room to write what has room already. The file is whole and
                // durable; without a seal it is scanned at the next start.
                Err(error) if is_full(&error) => continue,
                written => written.map_err(PartitionFiles::failed("writing", &file.path))?,
            }
            Self::sync(&**handle, &file.path)?;
            file.set_sealed(*seal);
        }
        Ok(self.end)
    }

    fn sync(handle: &dyn DiskFile, path: &std::path::Path) -> Result<(), StorageError> {
        handle
            .sync()
            .map_err(PartitionFiles::failed("syncing", path))
    }
}
