//! Where the readers of a partition sleep until there is more for them.
//!
//! A send wakes the readers that may read it at once. A reader that reads only what is stored would
//! be woken by each send of the millisecond or more until the record is in a file, and find nothing
//! each time. So there are two event counts:
//!
//! | event count | sleep there | notified |
//! |---|---|---|
//! | `for_records` | readers of what is sent, and the copier | by each send, and by [`notify`](WaitingReaders::notify) |
//! | `for_files` | readers of what is written or durable | by [`notify`](WaitingReaders::notify) |
//!
//! [`notify`](WaitingReaders::notify) follows each other change that may let a reader go on: more is
//! written or synced, files have failed, retention has taken some, an upstream has read on, the topic
//! has changed. A file that could not be read may be readable later without a notification: then the
//! copier notifies its readers a second later, so that they try again.
//!
//! When a partition's files have failed, readers of what is written read what is sent. The failure is
//! recorded, and then `for_files` is notified. A reader that it wakes looks for a failure before it
//! chooses where to sleep, so the first send after that finds the reader at `for_records`.

use crate::wait::EventCount;
use core::fmt;
use std::sync::Arc;

/// See the head of this file.
#[derive(Clone)]
pub(crate) struct WaitingReaders {
    for_records: Arc<EventCount>,
    for_files: Arc<EventCount>,
}

impl WaitingReaders {
    /// For `fence` see [`EventCount::new`].
    pub(super) fn new(fence: bool) -> WaitingReaders {
        WaitingReaders {
            for_records: Arc::new(EventCount::new(fence)),
            for_files: Arc::new(EventCount::new(fence)),
        }
    }

    /// Notified when a record is sent, too.
    pub(crate) fn for_records(&self) -> &Arc<EventCount> {
        &self.for_records
    }

    /// Not notified when a record is sent.
    pub(crate) fn for_files(&self) -> &Arc<EventCount> {
        &self.for_files
    }

    pub(super) fn is_same(&self, other: &WaitingReaders) -> bool {
        Arc::ptr_eq(&self.for_files, &other.for_files)
    }

    /// Wakes all readers of the partition that sleep.
    pub(crate) fn notify(&self) {
        self.for_records.notify();
        self.for_files.notify();
    }
}

impl fmt::Debug for WaitingReaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitingReaders").finish_non_exhaustive()
    }
}
