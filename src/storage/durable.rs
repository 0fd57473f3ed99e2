//! What the copier, the syncer and a topic share of one durable partition.

use super::{Served, StorageError, StorageShared};
use crate::log::cursor::Cursor;
use crate::log::files::PartitionFiles;
use crate::log::retention::RetentionLimits;
use crate::log::segment_pool::SpareSegment;
use crate::log::waiting_readers::WaitingReaders;
use crate::sync::lock_std;
use std::sync::{Arc, Mutex};

/// One durable partition.
pub(crate) struct Durable {
    pub(crate) storage: Arc<StorageShared>,
    pub(crate) files: Arc<PartitionFiles>,
    /// The partition's readers: those of durable records wait for a sync.
    pub(crate) readers: WaitingReaders,
    /// How long the files are kept.
    retention: Arc<RetentionLimits>,
    /// Closes the topic, after an error.
    close: Box<dyn Fn() + Send + Sync>,
    /// What the copier held of the ring when it ended. Under `Backpressure` it goes on to hold back
    /// what is not in the files.
    parked: Mutex<Option<(Cursor, SpareSegment)>>,
    /// As long as something may be written to the files.
    _served: Arc<Served>,
}

impl Durable {
    pub(crate) fn new(
        storage: Arc<StorageShared>,
        files: Arc<PartitionFiles>,
        readers: WaitingReaders,
        retention: Arc<RetentionLimits>,
        served: Arc<Served>,
        close: impl Fn() + Send + Sync + 'static,
    ) -> Durable {
        Durable {
            storage,
            files,
            readers,
            retention,
            close: Box::new(close),
            parked: Mutex::default(),
            _served: served,
        }
    }

    pub(super) fn close_topic(&self) {
        (self.close)();
    }

    /// Nothing more is written, which is no error: the topic is deleted, or the storage closed.
    /// Returns when no thread is changing the files any more.
    pub(crate) fn end(&self, reason: StorageError) {
        self.files.end(reason);
        self.readers.notify();
        self.storage.notify_waits();
    }

    /// Keeps what the copier holds of the ring, for as long as the topic exists.
    pub(super) fn park(&self, cursor: Cursor, spare: SpareSegment) {
        *lock_std(&self.parked) = Some((cursor, spare));
    }

    /// Whether files are removed by time or by size.
    pub(super) fn is_retained(&self) -> bool {
        self.retention.time_ms().is_some() || self.retention.bytes().is_some()
    }

    /// Removes the files that retention does not keep.
    pub(crate) fn apply_retention_now(&self) -> Result<(), StorageError> {
        let (time, bytes) = (self.retention.time_ms(), self.retention.bytes());
        if !self.is_retained() {
            return Ok(());
        }
        let start = self.files.start();
        let applied = self.files.apply_retention(time, bytes, super::now_ms());
        // What was removed need not become durable: readers that wait for it go on behind it. Also
        // after an error: files before it were removed.
        if self.files.start() != start {
            self.readers.notify();
        }
        applied.map(drop)
    }
}
