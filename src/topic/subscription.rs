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
    inbox: Option<OpenInbox>,
    // Dropped after `inbox` has left the holds that it stands in for.
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

    /// The subscription of an inbox that is open already. (Its holds are in force, so that it had
    /// no need of a spare.)
    pub(crate) fn of_inbox(inbox: OpenInbox) -> TopicSubscription {
        TopicSubscription {
            _spare: inbox.topic.pool().spare(),
            topic: inbox.topic.clone(),
            holds_back: inbox.inbox.holds_back,
            inbox: Some(inbox),
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
        let (inbox, partitions) = OpenInbox::of_added(&self.topic, self.holds_back);
        self.inbox = Some(inbox);
        partitions
    }

    /// The partitions that were added since the last call.
    pub(crate) fn take_added(&self) -> Vec<AddedPartition> {
        let inbox = self.inbox.as_ref();
        inbox.map_or_else(Vec::new, OpenInbox::take_added)
    }
}

/// An inbox that is subscribed to a topic. Dropping it releases the holds of the partitions that
/// were never taken in.
pub(crate) struct OpenInbox {
    topic: Arc<TopicShared>,
    inbox: Arc<Inbox>,
}

impl OpenInbox {
    /// The inbox of the partitions that are added from now on. Also returns the number of those
    /// that the topic has already.
    fn of_added(topic: &Arc<TopicShared>, holds_back: bool) -> (OpenInbox, u32) {
        let inbox = Arc::new(Inbox::new(holds_back));
        let partitions = topic.subscribe(&inbox);
        let topic = topic.clone();
        (OpenInbox { topic, inbox }, partitions)
    }

    /// The inbox of all partitions of a topic that no other thread has yet.
    pub(super) fn of_new_topic(topic: &Arc<TopicShared>, holds_back: bool) -> OpenInbox {
        let inbox = Arc::new(Inbox::new(holds_back));
        topic.subscribe_to_all(&inbox);
        let topic = topic.clone();
        OpenInbox { topic, inbox }
    }

    pub(crate) fn topic(&self) -> &Arc<TopicShared> {
        &self.topic
    }

    pub(crate) fn is_of(&self, topic: &Arc<TopicShared>) -> bool {
        Arc::ptr_eq(&self.topic, topic)
    }

    fn take_added(&self) -> Vec<AddedPartition> {
        self.inbox.take()
    }
}

impl Drop for OpenInbox {
    fn drop(&mut self) {
        self.topic.unsubscribe(&self.inbox);
        for AddedPartition { partition, hold } in self.take_added() {
            self.topic.partition(partition).readers().leave(&hold);
        }
    }
}
