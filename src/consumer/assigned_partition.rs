//! What a consumer has of one topic and of one partition.

use super::config::ConsumerConfig;
use super::owned_partition::OwnedPartition;
use super::registry::{CursorRegistration, RegisteredConsumer, RegisteredCursor};
use crate::error::ConsumeError;
use crate::events::event;
use crate::group::{Grant, GroupGate, Ownership, PartitionKey};
use crate::log::cursor::{Cursor, OffsetReset, OutOfRange, QuickPoll};
use crate::sync::Count;
use crate::topic::{AddedPartition, TopicPartition, TopicShared, TopicState, TopicSubscription};
use crate::wait::EventCount;
use std::sync::Arc;

/// One partition that the consumer reads.
pub(crate) struct AssignedPartition {
    pub(crate) topic: Arc<TopicShared>,
    pub(crate) partition: u32,
    pub(crate) cursor: Cursor,
    /// The topic's state when this was last brought up to it.
    seen: TopicState,
    /// It has a position, so that polling is meaningful (`OffsetReset::None` gives none).
    pub(crate) positioned: bool,
    pub(crate) paused: bool,
    /// A poll has said that the topic is closed and read to its end, and no seek came since.
    pub(crate) closed_reported: bool,
    /// What it has of it as a member of a group.
    pub(crate) owned: Option<OwnedPartition>,
    /// What others may know of it.
    watch: Option<CursorRegistration>,
}

impl AssignedPartition {
    pub(crate) fn join(
        topic: &Arc<TopicShared>,
        partition: u32,
        reset: OffsetReset,
    ) -> AssignedPartition {
        let seen = topic.acquire_state(); // first: what is changed later is looked at later
        let mut cursor = Cursor::join(topic.partition(partition));
        // A new cursor is at the log start already.
        let positioned = reset == OffsetReset::Earliest || cursor.reset(reset);
        Self::new(topic, partition, cursor, seen, positioned)
    }

    pub(super) fn new(
        topic: &Arc<TopicShared>,
        partition: u32,
        mut cursor: Cursor,
        seen: TopicState,
        positioned: bool,
    ) -> AssignedPartition {
        cursor.unpin();
        AssignedPartition {
            topic: topic.clone(),
            partition,
            cursor,
            seen,
            positioned,
            paused: false,
            closed_reported: false,
            owned: None,
            watch: None,
        }
    }

    /// Puts it on its consumer's card, for who wants to see where that is.
    pub(crate) fn watched(
        mut self,
        consumer: &Arc<RegisteredConsumer>,
        commits: bool,
    ) -> AssignedPartition {
        let cursor = RegisteredCursor {
            topic: self.topic.clone(),
            partition: self.partition,
            hold: self.cursor.hold().clone(),
            ownership: self.owned.as_ref().map(|owned| owned.ownership().clone()),
            commits,
            lost: Count::default(),
        };
        self.watch = Some(CursorRegistration::new(consumer, cursor));
        self
    }

    /// Leaves word of its position: see [`Cursor::report_position`].
    pub(crate) fn show(&self) {
        self.cursor.report_position();
    }

    /// How many offsets went by unread, as far as its polls have found it.
    pub(crate) fn lost(&self) -> u64 {
        self.watch.as_ref().map_or(0, CursorRegistration::lost)
    }

    /// It was overtaken, and so many offsets have gone by unread.
    #[cold]
    fn report_lost(&self, lost: u64) {
        let Some(watch) = self.watch.as_ref().filter(|_| lost > 0) else {
            return;
        };
        watch.lose(lost);
        let to = self.cursor.position();
        event!(
            warn,
            "consumer lapped",
            client_id = watch.client_id(),
            topic = &**self.topic.name(),
            partition = self.partition,
            from = to - lost,
            to = to,
            lost = lost,
        );
    }

    /// The same for a member of a group: nowhere yet, and it never holds back the log start.
    pub(crate) fn join_ungated(topic: &Arc<TopicShared>, partition: u32) -> AssignedPartition {
        let seen = topic.acquire_state();
        let cursor = Cursor::join_ungated(topic.partition(partition));
        Self::new(topic, partition, cursor, seen, false)
    }

    /// Goes on where another was: see [`Cursor::resume_at`].
    pub(crate) fn resume_at(&mut self, offset: u64) {
        self.cursor.resume_at(offset);
        self.positioned = true;
    }

    pub(crate) fn is(&self, topic: &str, partition: u32) -> bool {
        self.partition == partition && &**self.topic.name() == topic
    }

    /// Who sleeps until something is published here.
    pub(crate) fn waiting_for_records(&self) -> &Arc<EventCount> {
        self.cursor.partition().readers().waiting_for_records()
    }

    /// All of it is read, and nothing more will come.
    pub(crate) fn is_drained(&self) -> bool {
        let end = self.cursor.partition().final_end_offset();
        end.is_some_and(|end| self.cursor.position() >= end)
    }

    /// The usual poll: see [`Cursor::quick_poll`].
    #[inline(always)]
    pub(crate) fn glance(
        &mut self,
        again: impl FnOnce() -> bool,
        ahead: bool,
        max: u32,
    ) -> QuickPoll {
        if self.is_behind() || !self.positioned {
            return QuickPoll::Undecided; // to be told so
        }
        if self.paused {
            return QuickPoll::Empty;
        }
        self.cursor.quick_poll(again, ahead, max)
    }

    /// Something may have changed in the topic.
    #[inline]
    pub(crate) fn is_behind(&self) -> bool {
        self.topic.state() != self.seen
    }

    /// Looks at what has changed in the topic, if anything has.
    pub(crate) fn refresh(&mut self) -> bool {
        let behind = self.is_behind();
        if behind {
            self.seen = self.topic.acquire_state();
            self.cursor.skip_deleted();
            if let Some(owned) = &mut self.owned {
                owned.skip_deleted();
            }
        }
        behind
    }

    /// Whether there was something to read: then it is the cursor's run.
    pub(crate) fn poll(&mut self, config: &ConsumerConfig) -> Result<bool, ConsumeError> {
        loop {
            let outside = match self.cursor.poll(config.max_poll_records) {
                Ok(found) => return Ok(found),
                Err(outside) => outside,
            };
            match (config.offset_reset, outside) {
                (OffsetReset::None, _) => {
                    let position = self.cursor.position();
                    if outside == OutOfRange::Overtaken
                        && self.cursor.partition().log_start_offset() <= position
                    {
                        // It had read its segment to the end before that was retired, and has
                        // missed nothing.
                        self.cursor.seek(position);
                        continue;
                    }
                    let log = self.cursor.partition();
                    return Err(ConsumeError::OffsetOutOfRange {
                        topic: self.topic.name().clone(),
                        partition: self.partition,
                        position,
                        log_start: log.log_start_offset(),
                        log_end: log.log_end_offset(),
                    });
                }
                (_, OutOfRange::Overtaken) => {
                    let lost = self.cursor.catch_up();
                    self.report_lost(lost);
                }
                (reset, OutOfRange::SeekTarget) => _ = self.cursor.reset(reset),
            }
        }
    }
}

impl AssignedPartition {
    /// What a member has come to own.
    pub(super) fn own(grant: Grant) -> AssignedPartition {
        let spare = grant.topic.pool().spare();
        let mut assigned = AssignedPartition::join_ungated(&grant.topic, grant.partition);
        if let Some(start) = grant.start {
            assigned.resume_at(start);
        }
        assigned.owned = Some(OwnedPartition {
            gate_at: grant
                .gate
                .as_ref()
                .map_or(u64::MAX, GroupGate::held_segment),
            ownership: grant.ownership,
            gate: grant.gate,
            _spare: spare,
        });
        assigned
    }

    /// Commits the position, if that is to be; `false` if the gate can move on.
    #[inline(always)]
    pub(super) fn keep_up(&self, commit: bool) -> bool {
        // Where it was sent and has not come to yet is nothing to commit.
        let (Some(owned), Some(position), true) = (
            &self.owned,
            self.cursor.resolved_position(),
            self.positioned,
        ) else {
            return true;
        };
        if commit {
            owned.ownership.commit(position);
        }
        self.cursor.segment_number() <= owned.gate_at
    }

    pub(super) fn is_in(&self, ownership: &Arc<Ownership>) -> bool {
        let owned = self.owned.as_ref();
        owned.is_some_and(|owned| Arc::ptr_eq(&owned.ownership, ownership))
    }

    pub(super) fn key(&self) -> PartitionKey {
        PartitionKey::new(&self.topic, self.partition)
    }

    pub(super) fn named(&self) -> TopicPartition {
        TopicPartition::new(&**self.topic.name(), self.partition)
    }
}

/// The partitions that were added to the topic since the last call, to be read from their start.
pub(super) fn take_added(subscription: &TopicSubscription) -> Vec<AssignedPartition> {
    let topic = subscription.topic();
    let added = subscription.take_added().into_iter();
    let added = added.map(|AddedPartition { partition, hold }| {
        let seen = topic.acquire_state();
        let cursor =
            Cursor::resume_with_hold(hold, topic.partition(partition), topic.origin().offset);
        AssignedPartition::new(topic, partition, cursor, seen, true)
    });
    added.collect()
}
