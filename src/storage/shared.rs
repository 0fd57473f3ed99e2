//! What the threads and all handles of a storage share: what the copier is to do, the syncs, the
//! errors.

use super::catalog::{self, TopicRecord};
use super::commits;
use super::config::{OnWriteError, StorageConfig};
use super::copier::PartitionCopier;
use super::durable::Durable;
use crate::error::StorageError;
use crate::log::files::{Faults, FileOptions, PartitionFiles, PartitionName};
use crate::sync::lock_std;
use crate::wait::EventCount;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// A file is at least this long. Models need files that are full after a few records.
const MIN_FILE_BYTES: u64 = if cfg!(loom) { 1 } else { 64 << 10 };

/// What the threads and all handles of a storage share.
pub(crate) struct StorageShared {
    pub(super) config: StorageConfig,
    pub(super) inbox: Mutex<Inbox>,
    /// Wakes the copier while records come.
    pub(super) inbox_changed: Condvar,
    /// Wakes the copier while it waits for records as well.
    pub(super) wake: Arc<EventCount>,
    /// Notified after each sync, and when a partition stops.
    pub(super) progress: Arc<EventCount>,
    /// Notified when something was written, and when a partition stops.
    pub(super) written: Arc<EventCount>,
    /// Whether a sync is under way.
    pub(super) is_syncing: Mutex<bool>,
    pub(super) sync_ended: Condvar,
    pub(super) faults: Arc<Faults>,
    pub(super) commits: commits::Commits,
    /// The ids of the topics whose files this process has open.
    served: Mutex<BTreeSet<[u8; 16]>>,
    /// Held while topics are created, deleted and found.
    topics: Mutex<()>,
    /// The directory's lock, until the storage is closed, when it may have another owner. This mutex
    /// is held by what changes the directory, besides the two threads.
    directory: Mutex<Option<DirectoryLock>>,
}

/// The lock of a directory (`disk/mod.rs`).
pub(super) type DirectoryLock = Box<dyn Debug + Send + Sync>;

/// A topic's files have one owner: while this exists, nothing else in the process opens them.
pub(crate) struct Served {
    storage: Arc<StorageShared>,
    id: [u8; 16],
}

impl Drop for Served {
    fn drop(&mut self) {
        lock_std(&self.storage.served).remove(&self.id);
    }
}

/// See [`StorageShared::directory`].
pub(crate) struct DirectoryAccess<'s>(
    #[expect(dead_code, reason = "held, not read")] MutexGuard<'s, Option<DirectoryLock>>,
);

/// What other threads want of the copier.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) added: Vec<PartitionCopier>,
    /// Something has changed that the copier has not taken in.
    pub(super) is_changed: bool,
    /// Calls that wait for a sync.
    pub(super) waiting: u32,
    pub(super) is_closing: bool,
}

impl StorageShared {
    pub(super) fn new(config: StorageConfig, lock: DirectoryLock) -> StorageShared {
        StorageShared {
            config,
            inbox: Mutex::default(),
            inbox_changed: Condvar::new(),
            wake: Arc::new(EventCount::new(true)),
            progress: Arc::new(EventCount::new(true)),
            written: Arc::new(EventCount::new(true)),
            is_syncing: Mutex::new(false),
            sync_ended: Condvar::new(),
            faults: Arc::default(),
            commits: commits::Commits::default(),
            served: Mutex::default(),
            topics: Mutex::default(),
            directory: Mutex::new(Some(lock)),
        }
    }

    // ---- the directory ------------------------------------------------------------------

    /// The right to change the directory, to be kept meanwhile.
    ///
    /// # Errors
    /// `Closed`; and if it was removed: one that is created again is not the one that is locked.
    pub(crate) fn directory(&self) -> Result<DirectoryAccess<'_>, StorageError> {
        let directory = lock_std(&self.directory);
        if directory.is_none() {
            return Err(self.closed());
        }
        let dir = &self.config.dir;
        match self.config.disk.list(dir) {
            Ok(_) => Ok(DirectoryAccess(directory)),
            Err(error) => Err(StorageError::io("listing the directory", dir, &error)),
        }
    }

    /// Gives the directory up, once nothing changes it any more.
    pub(super) fn leave_directory(&self) {
        *lock_std(&self.directory) = None;
    }

    pub(super) fn closed(&self) -> StorageError {
        StorageError::Closed {
            dir: self.config.dir.clone(),
        }
    }

    /// One thread at a time creates and deletes topics.
    pub(super) fn lock_topics(&self) -> MutexGuard<'_, ()> {
        lock_std(&self.topics)
    }

    /// Takes a topic's files for the caller; `None` if they have an owner already.
    pub(super) fn serve(self: &Arc<Self>, id: [u8; 16]) -> Option<Served> {
        let is_free = lock_std(&self.served).insert(id);
        // Not before: dropping one takes the id back, and the lock.
        is_free.then(|| Served {
            storage: self.clone(),
            id,
        })
    }

    pub(super) fn is_served(&self, id: [u8; 16]) -> bool {
        lock_std(&self.served).contains(&id)
    }

    pub(super) fn partition_name(&self, record: &TopicRecord, partition: u32) -> PartitionName {
        PartitionName {
            topic: record.name.as_str().into(),
            topic_id: record.id,
            partition,
        }
    }

    pub(super) fn file_options(&self) -> FileOptions {
        FileOptions {
            file_bytes: self.config.file_bytes.max(MIN_FILE_BYTES),
            faults: self.faults.clone(),
        }
    }

    /// The files of a new partition. The caller has the [directory](Self::directory).
    pub(crate) fn create_partition(
        &self,
        dir: &Path,
        record: &TopicRecord,
        partition: u32,
        first_offset: u64,
    ) -> Result<Arc<PartitionFiles>, StorageError> {
        let files = PartitionFiles::create(
            self.config.disk.clone(),
            catalog::partition_dir(dir, partition),
            self.partition_name(record, partition),
            self.file_options(),
            first_offset,
        )?;
        Ok(Arc::new(files))
    }

    /// Stores what has changed of a topic.
    pub(crate) fn store_topic(&self, dir: &Path, record: &TopicRecord) -> Result<(), StorageError> {
        let _access = self.directory()?;
        record.store(&*self.config.disk, dir)
    }

    /// Removes a topic's files.
    pub(crate) fn remove_topic(&self, dir: &Path, id: [u8; 16]) -> Result<(), StorageError> {
        let _access = self.directory()?;
        catalog::remove(&*self.config.disk, &self.config.dir.join("topics"), dir, id)
    }

    // ---- the copier ---------------------------------------------------------------------

    /// Has the copier copy these partitions from now on.
    pub(crate) fn start_copying(&self, mut partitions: Vec<PartitionCopier>) {
        self.change(|inbox| {
            if !inbox.is_closing {
                inbox.added.append(&mut partitions);
            }
        });
        // A closed storage has no copier, and so copies nothing more.
        let closed = self.closed();
        partitions.into_iter().for_each(|one| one.end(&closed));
    }

    /// Takes no more partitions. Returns the ones that the copier has not taken yet.
    pub(super) fn refuse_partitions(&self) -> Vec<PartitionCopier> {
        let mut inbox = lock_std(&self.inbox);
        inbox.is_closing = true;
        std::mem::take(&mut inbox.added)
    }

    /// Changes what the copier is to do, and wakes it.
    pub(super) fn change(&self, change: impl FnOnce(&mut Inbox)) {
        let mut inbox = lock_std(&self.inbox);
        change(&mut inbox);
        inbox.is_changed = true;
        drop(inbox);
        self.inbox_changed.notify_all();
        self.wake.notify();
    }

    /// Wakes the copier: it looks at everything again.
    pub(crate) fn wake_copier(&self) {
        self.change(|_| {});
    }

    pub(super) fn take_changes(&self) -> (Vec<PartitionCopier>, bool) {
        let mut inbox = lock_std(&self.inbox);
        inbox.is_changed = false;
        (std::mem::take(&mut inbox.added), inbox.is_closing)
    }

    pub(super) fn has_changes(&self) -> bool {
        lock_std(&self.inbox).is_changed
    }

    /// Waits until something has changed for the copier, at most for `limit`.
    pub(super) fn wait_for_changes(&self, limit: Duration) {
        let inbox = lock_std(&self.inbox);
        if !inbox.is_changed {
            // Woken for no reason, the copier looks a little early.
            drop(self.inbox_changed.wait_timeout(inbox, limit));
        }
    }

    pub(super) fn is_sync_wanted(&self) -> bool {
        lock_std(&self.inbox).waiting > 0
    }

    pub(super) fn is_closed(&self) -> bool {
        lock_std(&self.inbox).is_closing
    }

    // ---- syncs --------------------------------------------------------------------------

    /// Whether a sync may begin: there is none under way.
    pub(super) fn begin_sync(&self) -> bool {
        !std::mem::replace(&mut *lock_std(&self.is_syncing), true)
    }

    pub(super) fn end_sync(&self) {
        *lock_std(&self.is_syncing) = false;
        self.sync_ended.notify_all();
        self.progress.notify();
        self.wake_copier();
    }

    pub(super) fn is_syncing(&self) -> bool {
        *lock_std(&self.is_syncing)
    }

    pub(super) fn wait_for_syncer(&self) {
        let mut syncing = lock_std(&self.is_syncing);
        while *syncing {
            syncing = match self.sync_ended.wait(syncing) {
                Ok(syncing) => syncing,
                Err(poisoned) => poisoned.into_inner(),
            };
        }
    }

    // ---- faults -------------------------------------------------------------------------

    pub(super) fn report(&self, error: StorageError) {
        self.faults.report(error);
    }

    /// Wakes the calls that wait: a partition has stopped.
    pub(super) fn notify_waits(&self) {
        self.written.notify();
        self.progress.notify();
    }

    /// Nothing more is written to a partition's files.
    pub(super) fn stop(&self, durable: &Durable, error: StorageError) {
        if !durable.files.stop(error.clone()) {
            return;
        }
        self.report(error);
        if self.config.on_write_error == OnWriteError::Close {
            durable.close_topic();
        }
        durable.readers.notify();
        self.notify_waits();
        self.wake_copier();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::disk::model::ModelDisk;
    use crate::storage::Storage;
    use std::sync::Arc;

    #[test]
    fn a_topics_files_are_taken_by_one_owner_until_that_gives_them_back() {
        let config = Storage::dir("/data").disk(Arc::new(ModelDisk::new(1)));
        let storage = config.open().unwrap();
        let shared = storage.shared();
        let owner = shared.serve([1; 16]).unwrap();
        assert!(shared.serve([1; 16]).is_none());
        assert!(shared.is_served([1; 16]));
        drop(owner);
        assert!(shared.serve([1; 16]).is_some());
    }
}
