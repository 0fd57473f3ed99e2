//! The inbox of a subscription: partitions that were added to the topic.

use crate::log::holds::Hold;
use crate::sync::{Mutex, lock};
use std::sync::Arc;

/// A partition that was added, with the subscriber's hold on it.
///
/// The hold is in force before a producer can send to the partition, so the subscriber misses no
/// record, however late it opens its inbox. One that may be lapped holds nothing yet.
pub(crate) struct AddedPartition {
    pub(crate) partition: u32,
    pub(crate) hold: Arc<Hold>,
}

/// Added partitions that the subscriber has not taken in yet.
pub(crate) struct Inbox {
    /// Whether the subscriber holds back the log start in a gated topic.
    pub(super) holds_back: bool,
    added: Mutex<Vec<AddedPartition>>,
}

impl Inbox {
    pub(super) fn new(holds_back: bool) -> Inbox {
        Inbox {
            holds_back,
            added: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn deliver(&self, added: AddedPartition) {
        lock(&self.added).push(added);
    }

    pub(super) fn take(&self) -> Vec<AddedPartition> {
        core::mem::take(&mut *lock(&self.added))
    }
}
