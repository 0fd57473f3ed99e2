//! The files of one durable partition: appending chunks, reading them, recovery and retention.
//!
//! One [`PartitionFiles`] for each durable partition. The copier appends to it, the syncer makes it
//! durable, cursors read it, and retention removes its oldest files, all at the same time.
//!
//! | file | its one job |
//! |---|---|
//! | `format.rs` | the bytes of headers, seals and indexes |
//! | `chunk.rs` | a chunk that is filled in, and one that was read |
//! | `file.rs`, `memory.rs` | one file: what is known of it, and reading it |
//! | `write.rs` | appending, rolling to the next file, syncing, sealing |
//! | `recover.rs`, `scan.rs`, `aside.rs` | what is in a directory; what is whole in a file; what is not served |
//! | `remove.rs` | retention, and deleted records |
//! | `faults.rs` | what has gone wrong with a storage's files |
//!
//! # Locks
//!
//! The lock of the **removal** is held by what removes files, for as long as that takes, with its
//! syncs. The **writer**'s lock is held by what appends, and for a moment by what has removed a file:
//! appending does not wait for the syncs of a removal. The lock of the **state** is held for some
//! instructions, under the others or alone; readers take only that. A file's own lock is the last.
//!
//! A chunk is published in the state after it was written, so a reader that finds an offset there
//! finds its chunk in the file.

mod aside;
mod chunk;
mod faults;
mod file;
mod format;
mod memory;
mod recover;
mod remove;
mod scan;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use aside::topic_name_in;
pub(crate) use chunk::{Chunk, ChunkBuffer};
pub(crate) use faults::Faults;
pub(crate) use recover::Recovery;
pub(crate) use write::{SyncJob, is_file_of_records};

use crate::disk::Disk;
use crate::error::StorageError;
use crate::log::waiting_readers::WaitingReaders;
use crate::sync::lock_std;
use file::{InFile, StoredFile};
use remove::Removal;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use write::Writer;

/// Names a partition in its files.
#[derive(Clone, Debug)]
pub(crate) struct PartitionName {
    pub(crate) topic: Arc<str>,
    pub(crate) topic_id: [u8; 16],
    pub(crate) partition: u32,
}

/// How files are written.
#[derive(Clone, Debug)]
pub(crate) struct FileOptions {
    /// A file that has records gets no chunk that would make it longer than this.
    pub(crate) file_bytes: u64,
    /// Where what cannot be read is reported.
    pub(crate) faults: Arc<Faults>,
}

/// The files of one durable partition.
#[derive(Debug)]
pub(crate) struct PartitionFiles {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    name: PartitionName,
    options: FileOptions,
    state: Mutex<State>,
    writer: Mutex<Writer>,
    removal: Mutex<Removal>,
}

#[derive(Debug)]
struct State {
    /// By offset, without gaps. The last is the one that is written, unless it is sealed.
    files: Vec<Arc<StoredFile>>,
    /// The first offset that is kept.
    start: u64,
    written_end: u64,
    durable_end: u64,
    /// A sync of the directory that has failed. It is never tried again (D5 of
    /// `disk/mod.rs`): the next append and the next sync return it, and their caller stops the
    /// partition.
    failed_sync: Option<StorageError>,
    /// Why nothing more is written.
    fault: Option<StorageError>,
}

/// How far a partition is stored.
#[derive(Debug, Default)]
pub(crate) struct StoredEnds {
    /// Everything before this offset is in the files.
    pub(crate) written: u64,
    /// Everything before this offset is synced.
    pub(crate) durable: u64,
    /// Why nothing more is written.
    pub(crate) fault: Option<StorageError>,
}

/// The outcome of a look for an offset.
pub(crate) enum Found {
    Chunk(Chunk),
    /// The offsets before `next` were overwritten before they were copied.
    Gap {
        next: u64,
    },
    /// The offsets before `next` cannot be read.
    Damaged {
        next: u64,
        fault: StorageError,
    },
    /// The system failed to open or to read the file. What is in it may be whole: the same offset
    /// is to be tried again.
    Unreadable {
        fault: StorageError,
    },
    /// The files do not have the offset.
    Outside,
}

impl PartitionFiles {
    fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        name: PartitionName,
        options: FileOptions,
        state: State,
        writer: Writer,
        removal: Removal,
    ) -> PartitionFiles {
        PartitionFiles {
            disk,
            dir,
            name,
            options,
            state: Mutex::new(state),
            writer: Mutex::new(writer),
            removal: Mutex::new(removal),
        }
    }

    /// A new partition, whose first offset is `start`. Its directory exists durably when this
    /// returns.
    pub(crate) fn create(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        name: PartitionName,
        options: FileOptions,
        start: u64,
    ) -> Result<PartitionFiles, StorageError> {
        let failed = |error| StorageError::io("creating the directory", &dir, &error);
        disk.create_dir(&dir).map_err(failed)?;
        if let Some(parent) = dir.parent() {
            disk.sync_dir(parent)
                .map_err(|error| StorageError::io("syncing the directory", parent, &error))?;
        }
        let state = State {
            files: Vec::new(),
            start,
            written_end: start,
            durable_end: start,
            failed_sync: None,
            fault: None,
        };
        let new = Self::new(
            disk,
            dir,
            name,
            options,
            state,
            Writer::default(),
            Removal::default(),
        );
        if start > 0 {
            new.store_start(start)?;
        }
        Ok(new)
    }

    /// The first offset that is kept.
    pub(crate) fn start(&self) -> u64 {
        lock_std(&self.state).start
    }

    /// The offset after the last that was appended: what is before it survives a crash of the
    /// process.
    pub(crate) fn written_end(&self) -> u64 {
        lock_std(&self.state).written_end
    }

    /// What is before this offset survives a power cut.
    pub(crate) fn durable_end(&self) -> u64 {
        lock_std(&self.state).durable_end
    }

    /// How far the partition is stored, as of one moment.
    pub(crate) fn ends(&self) -> StoredEnds {
        let state = lock_std(&self.state);
        StoredEnds {
            written: state.written_end,
            durable: state.durable_end,
            fault: state.fault.clone(),
        }
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        let state = lock_std(&self.state);
        state.files.iter().map(|file| file.bytes()).sum()
    }

    // ---- faults -------------------------------------------------------------------------

    /// Nothing more is written from now on, because of this. `false` if that was so already.
    pub(crate) fn stop(&self, fault: StorageError) -> bool {
        let mut state = lock_std(&self.state);
        let is_first = state.fault.is_none();
        state.fault.get_or_insert(fault);
        is_first
    }

    /// As [`stop`](Self::stop); when it returns, no other thread is changing files any more, and the
    /// one that was written is closed.
    pub(crate) fn end(&self, fault: StorageError) {
        let _removal = lock_std(&self.removal);
        let mut writer = lock_std(&self.writer);
        self.stop(fault);
        *writer = Writer::default();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        lock_std(&self.state).fault.is_some()
    }

    /// Refuses to change the files of a partition that is stopped, or whose directory could not be
    /// synced: files that were removed may be back, and if a later one is removed then, what is left
    /// does not follow itself.
    fn refuse_stopped(&self) -> Result<(), StorageError> {
        let state = lock_std(&self.state);
        match state.fault.as_ref().or(state.failed_sync.as_ref()) {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Remembers that a reader has found damage.
    pub(crate) fn report_damage(&self, fault: StorageError) {
        self.options.faults.report(fault);
    }

    /// Remembers that one of these readers could not read a file, and will try again.
    pub(crate) fn report_unreadable(&self, fault: StorageError, readers: &WaitingReaders) {
        self.report_damage(fault);
        self.options.faults.add_unread(readers);
    }

    // ---- reading ------------------------------------------------------------------------

    /// How much of a file that is written is mapped.
    fn map_bytes(&self) -> u64 {
        self.options.file_bytes.saturating_add(1 << 20)
    }

    /// What holds `offset`.
    pub(crate) fn read(&self, offset: u64) -> Found {
        let file = {
            let state = lock_std(&self.state);
            if offset < state.start || offset >= state.written_end {
                return Found::Outside;
            }
            let after = state.files.partition_point(|file| file.base <= offset);
            match state.files.get(after.wrapping_sub(1)) {
                Some(file) => file.clone(),
                None => return Found::Outside,
            }
        };
        match file.read(&*self.disk, offset, self.map_bytes()) {
            InFile::Chunk(chunk) => Found::Chunk(chunk),
            InFile::Gap { next } => Found::Gap { next },
            // The file was removed meanwhile.
            _ if offset < self.start() => Found::Outside,
            InFile::Damaged { next, fault } => Found::Damaged { next, fault },
            InFile::Unreadable { fault } => Found::Unreadable { fault },
        }
    }

    /// The first offset from `from` on at which a chunk may have a record at or after `time`.
    pub(crate) fn find_time(&self, time: i64, from: u64) -> Option<u64> {
        let files = lock_std(&self.state).files.clone();
        let from = from.max(self.start());
        let mut files = files
            .iter()
            .filter(|file| file.end() > from && file.latest_time() >= time);
        files.find_map(|file| file.find_time(&*self.disk, time, from, self.map_bytes()))
    }
}
