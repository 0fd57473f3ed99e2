//! One partition that a consumer reads: its cursor, and the topic's state as the consumer knows it.

use super::config::ConsumerConfig;
use super::owned_partition::OwnedPartition;
use super::progress::Publisher;
use super::read_limit::ReadLimit;
use super::registry::{CursorRegistration, RegisteredConsumer, RegisteredCursor};
use crate::error::ConsumeError;
use crate::events::event;
use crate::log::cursor::{Cursor, OffsetReset, OutOfRange, QuickPoll};
use crate::sync::Count;
use crate::topic::{AddedPartition, TopicPartition, TopicShared, TopicState, TopicSubscription};
use crate::wait::EventCount;
use std::sync::Arc;

/// One partition that the consumer reads.
///
/// Its fields are dropped in order: the cursor leaves the list of holds before `owned` gives up the
/// spare segment that stands in for the cursor's pin.
pub(crate) struct AssignedPartition {
    pub(crate) topic: Arc<TopicShared>,
    pub(crate) partition: u32,
    pub(crate) cursor: Cursor,
    /// The topic's state at the last [`refresh`](Self::refresh).
    seen_state: TopicState,
    /// The partition has a position, so that it can be polled. (`OffsetReset::None` gives none.)
    pub(super) positioned: bool,
    pub(super) paused: bool,
    /// A poll has reported that the topic is closed and read to its end, with no seek since.
    pub(super) closed_reported: bool,
    /// The first record that a stream has copied and not returned yet, while its consumer is used
    /// directly: commits stop before it.
    pub(super) unreturned: Option<u64>,
    /// What the consumer has of the partition as a member of a group.
    pub(super) owned: Option<OwnedPartition>,
    /// What the consumer reads after in this partition.
    pub(super) limit: Option<Box<ReadLimit>>,
    /// Quick polls are restricted: the partition is paused, or has a limit.
    restricted: bool,
    /// Publishes what the consumer has read of the partition, for consumers that read after it.
    pub(super) publisher: Option<Publisher>,
    /// The entry by which snapshots see the cursor.
    registration: Option<CursorRegistration>,
}

impl AssignedPartition {
    /// A partition of a consumer outside groups, read from where `config` says. A gated partition's
    /// records are held back from now on, unless the consumer may be lapped.
    pub(super) fn join(
        topic: &Arc<TopicShared>,
        partition: u32,
        config: &ConsumerConfig,
    ) -> AssignedPartition {
        // Loaded first: a later change is then found by a later poll.
        let seen_state = topic.acquire_state();
        let log = topic.partition(partition);
        let mut cursor = match config.holds_back() {
            true => Cursor::join(log),
            false => Cursor::join_ungated(log),
        };
        // A new cursor is at the log start already.
        let reset = config.offset_reset;
        let positioned = reset == OffsetReset::Earliest || cursor.reset(reset);
        Self::new(topic, partition, cursor, seen_state, positioned)
    }

    /// A partition of a group's member. It has no position yet, and its cursor never holds back the
    /// log start.
    pub(super) fn join_ungated(topic: &Arc<TopicShared>, partition: u32) -> AssignedPartition {
        let seen_state = topic.acquire_state();
        let cursor = Cursor::join_ungated(topic.partition(partition));
        Self::new(topic, partition, cursor, seen_state, false)
    }

    fn new(
        topic: &Arc<TopicShared>,
        partition: u32,
        mut cursor: Cursor,
        seen_state: TopicState,
        positioned: bool,
    ) -> AssignedPartition {
        cursor.unpin();
        AssignedPartition {
            topic: topic.clone(),
            partition,
            cursor,
            seen_state,
            positioned,
            paused: false,
            closed_reported: false,
            unreturned: None,
            owned: None,
            limit: None,
            restricted: false,
            publisher: None,
            registration: None,
        }
    }

    /// Registers the cursor with its consumer: for snapshots, and for the consumers that it reads
    /// after, or that read after it.
    pub(super) fn registered_with(
        mut self,
        consumer: &Arc<RegisteredConsumer>,
        commits_each_poll: bool,
    ) -> AssignedPartition {
        let cursor = RegisteredCursor {
            topic: self.topic.clone(),
            partition: self.partition,
            hold: self.cursor.hold().clone(),
            ownership: self.ownership().cloned(),
            commits_each_poll,
            lost: Count::default(),
        };
        self.registration = Some(CursorRegistration::new(consumer, cursor));
        let files = self.cursor.partition().files();
        self.limit = ReadLimit::new(&consumer.upstreams, files, consumer.read_up_to);
        if self.limit.is_some() {
            self.restricted = true;
            self.cursor.set_limit(0);
        }
        self.publisher = consumer.progress.publisher(&self.topic, self.partition);
        self.publish_read();
        self
    }

    pub(super) fn is_of(&self, named: &TopicPartition) -> bool {
        self.partition == named.partition && *self.topic.name() == named.topic
    }

    pub(super) fn topic_partition(&self) -> TopicPartition {
        TopicPartition {
            topic: self.topic.name().clone(),
            partition: self.partition,
        }
    }

    /// The event count that is notified when there is more to read in this partition.
    pub(super) fn waiting_for_records(&self) -> &Arc<EventCount> {
        let waiting = self.cursor.partition().readers().waiting();
        match self.limit.as_ref().is_some_and(|limit| limit.is_by_files()) {
            true => waiting.for_files(),
            false => waiting.for_records(),
        }
    }

    // ---- the position -------------------------------------------------------------------

    /// Continues at an offset where an earlier reader stopped: see [`Cursor::resume_at`].
    pub(super) fn resume_at(&mut self, offset: u64) {
        self.cursor.resume_at(offset);
        self.positioned = true;
    }

    /// The cursor was sent to another position.
    pub(super) fn has_sought(&mut self) {
        self.positioned = true;
        self.closed_reported = false;
        self.unreturned = None;
        self.publish_read();
    }

    pub(super) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        self.restricted = paused || self.limit.is_some();
    }

    /// The position that a commit commits: the cursor's, or that of the first record that a stream
    /// has not returned yet.
    pub(super) fn returned_position(&self) -> u64 {
        self.unreturned.unwrap_or_else(|| self.cursor.position())
    }

    /// Stores the exact position for snapshots: see [`Cursor::report_position`].
    pub(crate) fn publish_position(&self) {
        self.cursor.report_position();
    }

    /// Whether all that is retained is read and no more can come. A paused partition may have a
    /// position before the log start.
    pub(super) fn is_drained(&self) -> bool {
        let log = self.cursor.partition();
        self.final_end_offset().is_some_and(|end| {
            let position = self.cursor.position();
            position >= end || log.log_start_offset() >= end
        })
    }

    /// One past the last offset that the consumer can get; `None` while that may still grow.
    pub(super) fn final_end_offset(&self) -> Option<u64> {
        let log = self.cursor.partition();
        let limit = self.limit.as_ref();
        match limit.is_some_and(|limit| limit.is_durable()) {
            true => log.final_durable_end(),
            false => log.final_end_offset(),
        }
    }

    /// Offsets that were dropped unread, as far as polls have found it.
    pub(crate) fn lost(&self) -> u64 {
        let registration = self.registration.as_ref();
        registration.map_or(0, CursorRegistration::lost)
    }

    /// The cursor was overtaken, and `lost` offsets were dropped unread.
    #[cold]
    fn report_lost(&self, lost: u64) {
        let Some(registration) = self.registration.as_ref().filter(|_| lost > 0) else {
            return;
        };
        registration.add_lost(lost);
        let to = self.cursor.position();
        event!(
            warn,
            "consumer lapped",
            client_id = registration.client_id(),
            topic = &**self.topic.name(),
            partition = self.partition,
            from = to - lost,
            to = to,
            lost = lost,
        );
    }

    // ---- polling ------------------------------------------------------------------------

    /// The fast path of a poll: see [`Cursor::quick_poll`].
    #[inline(always)]
    pub(super) fn quick_poll(&mut self, prefetch_value: bool, max: u32) -> QuickPoll {
        if self.topic_has_changed() || !self.positioned {
            return QuickPoll::Undecided; // the full poll refreshes, or reports the missing position
        }
        if self.restricted {
            return self.restricted_quick_poll(prefetch_value, max);
        }
        self.cursor.quick_poll(prefetch_value, max)
    }

    /// Whether the topic's state differs from the one last seen.
    #[inline]
    pub(super) fn topic_has_changed(&self) -> bool {
        self.topic.state() != self.seen_state
    }

    /// Follows a change of the topic's state. Returns whether there was one.
    pub(super) fn refresh(&mut self) -> bool {
        let changed = self.topic_has_changed();
        if changed {
            self.seen_state = self.topic.acquire_state();
            self.cursor.skip_deleted();
            if let Some(owned) = &mut self.owned {
                owned.skip_deleted();
            }
        }
        changed
    }

    /// Reads the next records. Returns whether there were any; they are the cursor's run.
    ///
    /// Errors: `OffsetOutOfRange`, under `OffsetReset::None` only.
    pub(super) fn poll(&mut self, config: &ConsumerConfig) -> Result<bool, ConsumeError> {
        loop {
            let out_of_range = match self.cursor.poll(config.max_poll_records) {
                Ok(found) => return Ok(found),
                Err(out_of_range) => out_of_range,
            };
            match (config.offset_reset, out_of_range) {
                (OffsetReset::None, _) => {
                    let position = self.cursor.position();
                    if out_of_range == OutOfRange::Overtaken
                        && self.cursor.partition().log_start_offset() <= position
                    {
                        // The cursor had read its segment to the end before that was retired, so
                        // it has missed nothing.
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
                (reset, OutOfRange::SeekTarget) => self.reset(reset),
            }
        }
    }

    /// Sets back a position that is outside what is retained.
    fn reset(&mut self, reset: OffsetReset) {
        if let (OffsetReset::Earliest, Some(owned)) = (reset, &mut self.owned) {
            owned.hold_all(); // the gate may be past the new position
        }
        self.cursor.reset(reset);
    }
}

/// The partitions that were added to the topic since the last call, read from their first offset
/// and registered with `consumer`.
pub(super) fn added_partitions(
    subscription: &TopicSubscription,
    consumer: &Arc<RegisteredConsumer>,
) -> impl Iterator<Item = AssignedPartition> {
    let topic = subscription.topic();
    let added = subscription.take_added().into_iter();
    let holds_back = subscription.holds_back();
    added.map(move |AddedPartition { partition, hold }| {
        let seen_state = topic.acquire_state();
        let (log, first) = (topic.partition(partition), topic.origin().offset);
        let cursor = Cursor::resume_with_hold(hold, holds_back, log, first);
        AssignedPartition::new(topic, partition, cursor, seen_state, true)
            .registered_with(consumer, false)
    })
}
