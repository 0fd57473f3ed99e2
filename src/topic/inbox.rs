//! The inbox of a subscription: partitions that were added to the topic.

use crate::log::holds::Hold;
use crate::sync::Mutex;
use std::sync::Arc;

/// A partition that was added, with the subscriber's hold on it.
///
/// The hold is in force before a producer can send to the partition, so the subscriber misses no
/// record, however late it opens its inbox.
pub(crate) struct AddedPartition {
    pub(crate) partition: u32,
    pub(crate) hold: Arc<Hold>,
}

/// Added partitions that the subscriber has not taken in yet.
pub(crate) type Inbox = Mutex<Vec<AddedPartition>>;
