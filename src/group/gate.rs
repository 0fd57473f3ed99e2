use crate::log::cursor::Cursor;
use crate::log::holds::Hold;
use crate::topic::{TopicShared, TopicSubscription};
use std::sync::Arc;

/// A group's hold on a partition's log.
pub(crate) struct GroupGate {
    topic: Arc<TopicShared>,
    partition: u32,
    pub(super) cursor: Cursor,
    _subscription: TopicSubscription,
}

impl GroupGate {
    /// A gate at the log start, or none under `DropOldest`.
    pub(crate) fn join(topic: &Arc<TopicShared>, partition: u32) -> Option<GroupGate> {
        let log = topic.partition(partition);
        log.is_gated().then(|| GroupGate {
            _subscription: TopicSubscription::new(topic),
            cursor: Cursor::join(log, topic.pool()),
            topic: topic.clone(),
            partition,
        })
    }

    /// The gate of a partition that was just added, by its hold, which is in force; none under
    /// `DropOldest`. And the partition's first offset.
    pub(crate) fn of_added(
        topic: &Arc<TopicShared>,
        partition: u32,
        hold: Arc<Hold>,
    ) -> (Option<GroupGate>, u64) {
        let log = topic.partition(partition);
        let gate = GroupGate {
            _subscription: TopicSubscription::new(topic),
            cursor: Cursor::with(hold, log, topic.pool()),
            topic: topic.clone(),
            partition,
        };
        let start = gate.from();
        (log.is_gated().then_some(gate), start)
    }

    /// When records were deleted: nothing of them is held any more.
    pub(crate) fn skip_deleted(&mut self) {
        let log = self.topic.partition(self.partition);
        self.cursor.skip_deleted(log, self.topic.pool());
    }

    /// Holds what is retained from `offset` on.
    pub(crate) fn go(&mut self, offset: u64) {
        let log = self.topic.partition(self.partition);
        self.cursor.seek(log, self.topic.pool(), offset);
    }

    /// Holds all that is retained; answers the first offset.
    pub(crate) fn go_to_start(&mut self) -> u64 {
        let log = self.topic.partition(self.partition);
        self.cursor.go_to_start(log, self.topic.pool());
        self.cursor.position()
    }

    /// Holds the last segment; answers the end of the log.
    pub(crate) fn go_to_end(&mut self) -> u64 {
        let log = self.topic.partition(self.partition);
        self.cursor.go_to_end(log, self.topic.pool());
        self.cursor.position()
    }

    /// The offset that it was sent to: it holds what is retained from there on.
    pub(crate) fn from(&self) -> u64 {
        self.cursor.position()
    }

    /// The segment it holds, as far as it is known.
    pub(crate) fn held(&self) -> u64 {
        self.cursor.held()
    }
}

impl Drop for GroupGate {
    fn drop(&mut self) {
        let log = self.topic.partition(self.partition);
        self.cursor.leave(log, self.topic.pool());
    }
}
