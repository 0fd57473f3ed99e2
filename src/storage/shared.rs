//! What the threads and all handles of a storage share: what the copier is to do, the syncs, the
//! errors.

use super::catalog::{self, TopicRecord};
use super::commits;
use super::config::{OnWriteError, StorageConfig};
use super::copier::PartitionCopier;
use super::durable::Durable;
use crate::error::StorageError;
use crate::log::files::{Faults, FileOptions, PartitionFiles, PartitionName};
use crate::sync::{Count, lock_std};
use crate::wait::EventCount;
use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
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
    /// Whether a sync is under way.
    pub(super) is_syncing: Mutex<bool>,
    pub(super) sync_ended: Condvar,
    pub(super) faults: Arc<Faults>,
    pub(super) commits: commits::Commits,
    /// 1 once the threads have ended.
    pub(super) ended: Count,
    /// Held until the storage is closed, when the files may have another owner.
    pub(super) lock: Mutex<Option<Box<dyn Debug + Send + Sync>>>,
}

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
    pub(super) fn new(config: StorageConfig, lock: Box<dyn Debug + Send + Sync>) -> StorageShared {
        StorageShared {
            config,
            inbox: Mutex::default(),
            inbox_changed: Condvar::new(),
            wake: Arc::new(EventCount::new(true)),
            progress: Arc::new(EventCount::new(true)),
            is_syncing: Mutex::new(false),
            sync_ended: Condvar::new(),
            faults: Arc::default(),
            commits: commits::Commits::default(),
            ended: Count::default(),
            lock: Mutex::new(Some(lock)),
        }
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

    /// The files of a new partition.
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
        record.store(&*self.config.disk, dir)
    }

    /// Removes a topic's files.
    pub(crate) fn remove_topic(&self, dir: &Path, id: [u8; 16]) -> Result<(), StorageError> {
        catalog::remove(&*self.config.disk, &self.config.dir.join("topics"), dir, id)
    }

    // ---- the copier ---------------------------------------------------------------------

    /// Has the copier copy these partitions from now on.
    pub(crate) fn start_copying(&self, partitions: impl IntoIterator<Item = PartitionCopier>) {
        let partitions: Vec<_> = partitions.into_iter().collect();
        self.change(|inbox| {
            // A closed storage has no copier, and so copies nothing more.
            if !inbox.is_closing {
                inbox.added.extend(partitions);
            }
        });
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

    /// Whether the threads have ended: nothing more becomes durable.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.get() == 1
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

    /// Nothing more is written to a partition's files.
    pub(super) fn stop(&self, durable: &Durable, error: StorageError) {
        // A topic that was deleted has no files to write: that is no fault.
        if durable.is_dropped() {
            return;
        }
        if !durable.files.stop(error.clone()) {
            return;
        }
        self.report(error);
        if self.config.on_write_error == OnWriteError::Close {
            durable.close_topic();
        }
        durable.waiting_for_records.notify();
        self.progress.notify();
        self.wake_copier();
    }
}
