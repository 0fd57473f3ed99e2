use super::inbox::Inbox;
use super::shared::TopicShared;
use crate::log::holds::Hold;
use crate::log::segment_pool::SpareSegment;
use crate::sync::lock;
use std::sync::Arc;

/// A consumer's place among the handles of a topic: it can keep one segment out of reach, by
/// its pin, or by a gate that it has not yet found to be in force (pool.rs).
pub(crate) struct TopicSubscription {
    topic: Arc<TopicShared>,
    /// Where it gets the partitions that are added, if it is subscribed.
    inbox: Option<Arc<Inbox>>,
    _spare: SpareSegment,
}

impl TopicSubscription {
    pub(crate) fn new(topic: &Arc<TopicShared>) -> TopicSubscription {
        TopicSubscription {
            topic: topic.clone(),
            inbox: None,
            _spare: topic.pool().spare(),
        }
    }

    pub(crate) fn topic(&self) -> &Arc<TopicShared> {
        &self.topic
    }

    /// Is to get the partitions that are added from now on; answers how many there are.
    pub(crate) fn subscribe(&mut self) -> u32 {
        if self.inbox.is_some() {
            return self.topic.partitions();
        }
        let inbox = Arc::new(Inbox::new(Vec::new()));
        let partitions = self.topic.subscribe(&inbox);
        self.inbox = Some(inbox);
        partitions
    }

    /// The partitions that were added since the last time, each with its hold.
    pub(crate) fn take_holds(&self) -> Vec<(u32, Arc<Hold>)> {
        let Some(inbox) = &self.inbox else {
            return Vec::new();
        };
        core::mem::take(&mut *lock(inbox))
    }
}

impl Drop for TopicSubscription {
    fn drop(&mut self) {
        if let Some(inbox) = &self.inbox {
            self.topic.unsubscribe(inbox);
            // Partitions that it never took in leave their holds here.
            for (partition, hold) in self.take_holds() {
                self.topic.partition(partition).readers().leave(&hold);
            }
        }
    }
}
