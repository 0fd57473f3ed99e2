//! The registration of one consumer, or of one group, with a topic.

use super::inbox::{AddedPartition, Inbox};
use super::shared::TopicShared;
use crate::log::segment_pool::SpareSegment;
use std::sync::Arc;

/// Registers a consumer, or a group's coordinator, with a topic.
///
/// It brings one spare segment to the topic's pool. The spare stands in for the segment that its
/// owner can keep from reuse: by a pin, or by a gate that is not in force yet (`segment_pool.rs`).
pub(crate) struct TopicSubscription {
    topic: Arc<TopicShared>,
    holds_back: bool,
    /// Where added partitions arrive, once it is subscribed.
    inbox: Option<Arc<Inbox>>,
    // Dropped after `drop` has left the holds that it stands in for.
    _spare: SpareSegment,
}

impl TopicSubscription {
    /// A subscription of a reader that holds back the log start in a gated topic, if `holds_back`;
    /// otherwise it may be lapped.
    pub(crate) fn new(topic: &Arc<TopicShared>, holds_back: bool) -> TopicSubscription {
        TopicSubscription {
            topic: topic.clone(),
            holds_back,
            inbox: None,
            _spare: topic.pool().spare(),
        }
    }

    pub(crate) fn topic(&self) -> &Arc<TopicShared> {
        &self.topic
    }

    pub(crate) fn holds_back(&self) -> bool {
        self.holds_back
    }

    /// Opens the inbox, and returns the number of partitions that the topic has now. Every
    /// partition beyond that number arrives in the inbox.
    pub(crate) fn subscribe(&mut self) -> u32 {
        if self.inbox.is_some() {
            return self.topic.partitions();
        }
        let inbox = Arc::new(Inbox::new(self.holds_back));
        let partitions = self.topic.subscribe(&inbox);
        self.inbox = Some(inbox);
        partitions
    }

    /// The partitions that were added since the last call.
    pub(crate) fn take_added(&self) -> Vec<AddedPartition> {
        let Some(inbox) = &self.inbox else {
            return Vec::new();
        };
        inbox.take()
    }
}

impl Drop for TopicSubscription {
    fn drop(&mut self) {
        if let Some(inbox) = &self.inbox {
            self.topic.unsubscribe(inbox);
            // Releases the holds of partitions that were never taken in.
            for AddedPartition { partition, hold } in self.take_added() {
                self.topic.partition(partition).readers().leave(&hold);
            }
        }
    }
}
