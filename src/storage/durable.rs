//! What the copier, the syncer and a topic share of one durable partition.

use super::{StorageError, StorageShared};
use crate::log::files::PartitionFiles;
use crate::log::retention::RetentionLimits;
use crate::sync::Count;
use crate::wait::EventCount;
use std::sync::Arc;

/// One durable partition.
pub(crate) struct Durable {
    pub(crate) storage: Arc<StorageShared>,
    pub(crate) files: Arc<PartitionFiles>,
    /// The partition's readers: those of durable records wait for a sync.
    pub(crate) waiting_for_records: Arc<EventCount>,
    /// How long the files are kept.
    retention: Arc<RetentionLimits>,
    /// Closes the topic, after an error.
    close: Box<dyn Fn() + Send + Sync>,
    /// 1 once the topic was deleted.
    dropped: Count,
}

impl Durable {
    pub(crate) fn new(
        storage: Arc<StorageShared>,
        files: Arc<PartitionFiles>,
        waiting_for_records: Arc<EventCount>,
        retention: Arc<RetentionLimits>,
        close: impl Fn() + Send + Sync + 'static,
    ) -> Durable {
        Durable {
            storage,
            files,
            waiting_for_records,
            retention,
            close: Box::new(close),
            dropped: Count::default(),
        }
    }

    pub(super) fn close_topic(&self) {
        (self.close)();
    }

    /// The topic was deleted: nothing more is copied.
    pub(crate) fn drop_from_copier(&self) {
        self.dropped.set(1);
        self.storage.wake_copier();
        // Calls that wait for what is not copied any more.
        self.storage.progress.notify();
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.dropped.get() == 1
    }

    /// Removes the files that retention does not keep, now.
    pub(crate) fn apply_retention_now(&self) -> Result<(), StorageError> {
        self.apply_retention(super::now_ms())
    }

    /// Removes the files that retention does not keep.
    pub(super) fn apply_retention(&self, now_ms: u64) -> Result<(), StorageError> {
        let (time, bytes) = (self.retention.time_ms(), self.retention.bytes());
        if time.is_some() || bytes.is_some() {
            self.files.apply_retention(time, bytes, now_ms)?;
        }
        Ok(())
    }
}
