//! Polling: the fast round over the partitions, the full poll behind it, and the wait for records.
//!
//! ```text
//! poll ── quick_round ── Records ───────────────────────────► batch
//!              │ Empty, Undecided
//!              └─ wait ── full_poll ── found, or an error ──► batch, error
//!                  ▲          │ nothing, or too few (`fetch_min.rs`)
//!                  └──────────┘ spin, sleep                 ► empty batch: out of time
//! ```
//!
//! A quick round only reads what it takes to find a frame at a cursor. Everything else that can end
//! a poll (a wake-up, the group, a closed topic, a lost position) is left to the full poll.

use super::assigned_partition::AssignedPartition;
use super::batch::Batch;
use super::fetch_min::MayRead;
use super::membership::Membership;
use super::poll_order::next_in_round;
use super::{Consumer, MANY_PARTITIONS};
use crate::error::ConsumeError;
use crate::log::cursor::QuickPoll;
use crate::wait::{Attempt, EventCount, Patience, WaitFor, WaitStrategy, Waited, Waiter, wait};
use core::iter;
use std::sync::Arc;
use std::time::Duration;

/// Among many partitions, the descriptor of the one this many checks ahead is prefetched: they are
/// too many for the caches.
const PREFETCH_DISTANCE: usize = 8;

/// What a quick round over the partitions found.
pub(super) enum QuickRound {
    /// Records of the partition at this index, which are its cursor's run.
    Records(usize),
    Empty,
    /// Only a full poll can decide.
    Undecided,
}

/// Only a full poll can decide what a partition has.
struct Undecided;

impl Consumer {
    /// Reads the next records of one partition, and waits for up to `timeout` if there are none.
    /// The batch is empty if none came in time.
    ///
    /// The position moves past the returned records, as Kafka's does. [`seek`](Self::seek) moves it
    /// back. [`next_batch`](Self::next_batch) never returns an empty batch, and
    /// [`try_poll`](Self::try_poll) never waits.
    ///
    /// # Order of the partitions
    /// Partitions that have records take turns. With up to 16 partitions, a poll can check all of
    /// them. With more, it checks the partitions that had records lately and a few of the others,
    /// and all of them only if it finds nothing. So one busy partition among thousands is read as
    /// fast as it would be alone.
    ///
    /// A record in a partition that had none is found after at most a quarter as many polls as
    /// there are partitions, and one more poll for each other partition that gets records
    /// meanwhile. If the other partitions have no records, it is found at once.
    ///
    /// # Pacing
    /// A consumer that is faster than its producers reads each record as soon as it is written, and
    /// slows the producers down by that: the cores take the same cache lines from each other again
    /// and again. Such a consumer pauses for some microseconds when it has read everything, and
    /// then reads up to 64 records a poll. It does so only while records come at four million a
    /// second or more, and at least an eighth faster than without pauses. A slower stream is not
    /// delayed. In a faster one that gains nothing, attempts are short, and soon become rare.
    ///
    /// [`max_poll_pause`](crate::ConsumerConfig::max_poll_pause) is the longest time that a record
    /// may wait for that. With [`WaitStrategy::BusySpin`] there are no pauses, and
    /// [`try_poll`](Self::try_poll) never pauses.
    ///
    /// # Several records
    /// With [`fetch_min_records`](crate::ConsumerConfig::fetch_min_records), the poll waits until
    /// there are that many records in all partitions together, or
    /// [`fetch_max_wait`](crate::ConsumerConfig::fetch_max_wait) or the timeout is over.
    ///
    /// # The end
    /// A topic has ended for a consumer when it was deleted, or [closed](crate::Topic::close) and
    /// all of it is read. For a member of a group that means all of the partitions that it has. A
    /// member that has no partition of the topic waits until the group has committed all of it:
    /// before that, one may still move to it with records to read. A poll then returns [`ConsumeError::Closed`]: once for each topic, and
    /// again at each poll when all the consumer's topics have ended.
    /// [`is_finished`](Self::is_finished) says whether they have. A subscription is to the topics
    /// that exist at that time: one that is created again under the same name has to be
    /// subscribed to again.
    ///
    /// A subscription that follows topics has no end itself: by
    /// [pattern](Self::subscribe_pattern), or with
    /// [`wait_for_topics`](crate::ConsumerConfig::wait_for_topics). `Closed` is then returned once
    /// for each closed topic, and a deleted one is left without an error.
    ///
    /// # Errors
    /// - [`ConsumeError::NotSubscribed`] while the consumer has no
    ///   [subscription](Self::subscribe) and no [assignment](Self::assign).
    /// - [`ConsumeError::Wakeup`] after [`WakeupHandle::wakeup`](crate::WakeupHandle::wakeup).
    /// - [`ConsumeError::Closed`] when a topic has ended: see above.
    /// - [`ConsumeError::OffsetOutOfRange`] if a position is outside what is retained, and
    ///   [`ConsumeError::NoPosition`] before the first seek in a partition. Both only under
    ///   [`OffsetReset::None`](crate::OffsetReset::None).
    ///
    /// - [`ConsumeError::Upstream`] when an upstream of a [dependent
    ///   reader](crate::ConsumerConfig::read_after) has stopped reading, and the consumer has
    ///   returned all that it has read; or does not read a partition. Records of other partitions
    ///   come first.
    ///
    /// A member of a group gets `Closed` for a deleted topic once, unless all its topics are
    /// deleted. It also gets:
    ///
    /// - [`ConsumeError::Fenced`], once, when the group has expelled it. The next poll joins again,
    ///   which can fail with [`ConsumeError::OtherAssignor`]. If another consumer has taken its
    ///   `instance_id`, each poll is `Fenced` until this one subscribes again.
    /// - [`ConsumeError::BadAssignment`] if its assignor has returned an assignment that is not
    ///   valid.
    #[inline]
    pub fn poll(&mut self, timeout: Duration) -> Result<Batch<'_>, ConsumeError> {
        if self.fetch_min.is_on() {
            return self.poll_several(timeout);
        }
        self.poll_once(timeout, true)
    }

    /// Reads the next records of one partition without waiting. The batch is empty if there are
    /// none now.
    ///
    /// It returns at once: unlike `poll` with a timeout of zero, it never
    /// [pauses](Self::poll).
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    #[inline]
    pub fn try_poll(&mut self) -> Result<Batch<'_>, ConsumeError> {
        self.poll_once(Duration::ZERO, false)
    }

    /// Waits for the next records of one partition, and reads them. The batch is never empty.
    ///
    /// The blocking form of [`poll_async`](Self::poll_async). To end the wait from another thread,
    /// use a [`WakeupHandle`](crate::WakeupHandle), or close the topic.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumeError, ConsumerConfig, Record, TopicConfig};
    /// # let broker = Broker::new();
    /// # let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// # let mut consumer = broker.consumer(ConsumerConfig::new())?;
    /// # consumer.subscribe(["orders"])?;
    /// topic.producer().send(Record::new("login"))?;
    /// topic.close();
    /// while let Ok(batch) = consumer.next_batch() {
    ///     assert_eq!(batch.first_offset(), Some(0));
    /// }
    /// assert!(consumer.is_finished());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    #[inline]
    pub fn next_batch(&mut self) -> Result<Batch<'_>, ConsumeError> {
        self.poll(Duration::MAX)
    }

    #[inline(always)]
    fn poll_once(&mut self, timeout: Duration, may_pace: bool) -> Result<Batch<'_>, ConsumeError> {
        let i = match self.quick_round(may_pace) {
            QuickRound::Records(i) => i,
            QuickRound::Empty if timeout.is_zero() => return Ok(Batch::empty()),
            _ => match self.wait_for_records(timeout, false)? {
                Some(i) => i,
                None => return Ok(Batch::empty()),
            },
        };
        Ok(self.batch(i))
    }

    /// The run that was found in partition `i`.
    #[inline(always)]
    pub(super) fn batch(&self, i: usize) -> Batch<'_> {
        Batch::new(self, &self.assigned[i])
    }

    // ---- the fast path ------------------------------------------------------------------

    /// Checks each partition once, beginning after the one read last.
    #[inline(always)]
    pub(super) fn quick_round(&mut self, may_pace: bool) -> QuickRound {
        let count = self.assigned.len();
        self.begin_poll();
        if self.wakeup.is_set() {
            return QuickRound::Undecided;
        }
        if may_pace && self.pacing.begins_poll() {
            self.pause_before_poll();
        }
        if let Some(member) = &mut self.member {
            if !member.begin_poll(&self.assigned, self.next) {
                return QuickRound::Undecided;
            }
        }
        if count >= MANY_PARTITIONS {
            return self.quick_round_of_many(may_pace);
        }
        let (first, max) = (self.next, self.max_records(may_pace));
        let mut i = first;
        loop {
            let next = next_in_round(i, count);
            let Some(assigned) = self.assigned.get_mut(i) else {
                return QuickRound::Undecided; // there are none
            };
            match assigned.quick_poll(true, max) {
                QuickPoll::Records => {
                    self.pacing.found(i, &assigned.cursor);
                    (self.next, self.has_lent) = (next, true);
                    return QuickRound::Records(i);
                }
                QuickPoll::Empty => {}
                QuickPoll::Undecided => return QuickRound::Undecided,
            }
            if next == first {
                return QuickRound::Empty;
            }
            i = next;
        }
    }

    /// Ends the batch of the poll before, if there is one.
    #[inline(always)]
    pub(super) fn begin_poll(&mut self) {
        if self.has_lent {
            self.end_batch();
        }
    }

    /// The batch that the last poll lent out has ended.
    #[inline(always)]
    fn end_batch(&mut self) {
        self.has_lent = false;
        // The partition read last is the one before `next`.
        let after_last = if self.next == 0 {
            self.assigned.len()
        } else {
            self.next
        };
        if let Some(last) = self.assigned.get_mut(after_last.wrapping_sub(1)) {
            last.cursor.advance_gate();
            last.publish_read();
        }
    }

    /// The quick round over many partitions, of which it checks only some unless they have nothing.
    /// A partition about which a quick poll cannot decide is polled in full at once, so that the
    /// others need not be.
    #[inline(never)]
    fn quick_round_of_many(&mut self, may_pace: bool) -> QuickRound {
        let count = self.assigned.len();
        let mut poll_order = core::mem::take(&mut self.poll_order);
        let max = self.max_records(may_pace);
        let found = poll_order.find(count, |i| self.check_one_of_many(i, max));
        self.poll_order = poll_order;
        match found {
            Ok(Some(i)) => {
                self.count_for_pacing(i);
                (self.next, self.has_lent) = (next_in_round(i, count), true);
                QuickRound::Records(i)
            }
            Ok(None) => QuickRound::Empty,
            Err(Undecided) => QuickRound::Undecided,
        }
    }

    /// Reads partition `i`. Returns how many records its cursor's run has.
    #[inline(always)]
    fn check_one_of_many(&mut self, i: usize, max: u32) -> Result<usize, Undecided> {
        if let Some(later) = self.assigned.get(i + PREFETCH_DISTANCE) {
            later.cursor.prefetch_descriptor();
        }
        let assigned = &mut self.assigned[i];
        match assigned.quick_poll(false, max) {
            QuickPoll::Empty => Ok(0),
            QuickPoll::Records => Ok(assigned.cursor.run().0.records as usize),
            QuickPoll::Undecided => self.poll_one_of_many(i),
        }
    }

    #[cold]
    #[inline(never)]
    fn poll_one_of_many(&mut self, i: usize) -> Result<usize, Undecided> {
        if self.assigned[i].topic_has_changed() {
            return Err(Undecided); // the full poll follows all of the change
        }
        let found = self.poll_partition(i).map_err(|_| Undecided)?;
        if !found && self.assigned[i].is_upstream_ended() {
            return Err(Undecided); // the full poll reports it, if nothing else is found
        }
        let (run, _) = self.assigned[i].cursor.run();
        Ok(if found { run.records as usize } else { 0 })
    }

    // ---- the wait and the full poll -----------------------------------------------------

    /// Waits until a partition has records, or with `several` until they are enough
    /// (`fetch_min.rs`), or the time is up (`None`).
    #[cold]
    #[inline(never)]
    pub(super) fn wait_for_records(
        &mut self,
        timeout: Duration,
        several: bool,
    ) -> Result<Option<usize>, ConsumeError> {
        if self.mode.is_none() {
            return Err(ConsumeError::NotSubscribed);
        }
        /// Ends the wait, also if the strategy's policy panics.
        struct Wait<'c>(&'c mut Consumer);
        impl Drop for Wait<'_> {
            fn drop(&mut self) {
                self.0.fetch_min.end();
                self.0.end_wait();
            }
        }
        let waiting = Wait(self);
        if several {
            waiting.0.fetch_min.begin();
        }
        match wait(&mut *waiting.0, Patience::UpTo(timeout)) {
            Waited::Ready(found) => found.map(Some),
            // However few there are.
            _ if waiting.0.fetch_min.end() => waiting.0.full_poll(),
            Waited::TimedOut(_) | Waited::Pending => Ok(None),
        }
    }

    /// A member that waits in a poll is alive: see `group/ownership.rs`.
    fn begin_wait(&self) {
        if let Some(member) = &self.member {
            member.begin_wait();
        }
    }

    /// Ends a wait, if there is one. The member's `max_poll_interval` runs from here.
    pub(super) fn end_wait(&self) {
        if let Some(member) = &self.member {
            member.end_wait();
        }
    }

    /// Checks everything that can end a poll, once. Returns the index of a partition that has
    /// records.
    fn full_poll(&mut self) -> Result<Option<usize>, ConsumeError> {
        if self.wakeup.take() {
            return Err(ConsumeError::Wakeup);
        }
        self.follow_topics();
        self.serve_group()?;
        let changed = self.refresh();
        match self.may_read(changed) {
            MayRead::Yes => {
                if let Some(found) = self.full_round()? {
                    self.count_for_pacing(found);
                    self.poll_order.mark_busy(found);
                    self.next = next_in_round(found, self.assigned.len());
                    self.has_lent = true;
                    return Ok(Some(found));
                }
            }
            MayRead::Nothing => {}
            MayRead::TooFew => return self.report_closed().map(|()| None),
            MayRead::Napping => return Ok(None),
        }
        // With nothing to read, snapshots see the exact position until it moves on.
        for assigned in &self.assigned {
            assigned.publish_position();
            assigned.publish_read();
        }
        self.report_closed()?;
        self.report_upstreams()?;
        Ok(None)
    }

    /// Polls each partition once, beginning after the one read last.
    fn full_round(&mut self) -> Result<Option<usize>, ConsumeError> {
        let count = self.assigned.len();
        if count >= MANY_PARTITIONS {
            self.poll_order.resize(count);
        }
        let mut i = self.next;
        for _ in 0..count {
            if self.poll_partition(i)? {
                return Ok(Some(i));
            }
            i = next_in_round(i, count);
        }
        Ok(None)
    }

    /// Follows the changes of the topics. Returns whether there were any.
    fn refresh(&mut self) -> bool {
        let mut changed = false;
        for assigned in &mut self.assigned {
            changed |= assigned.refresh();
        }
        // After the states were loaded: the partitions that they include are in the inbox by now.
        if changed {
            self.assign_added_partitions();
        }
        changed
    }

    fn poll_partition(&mut self, i: usize) -> Result<bool, ConsumeError> {
        let assigned = &self.assigned[i];
        if let Err(deleted) = assigned.topic.refuse_deleted::<ConsumeError>() {
            // Since this poll began. If topics are followed, the next one leaves this one.
            return if self.is_following() {
                Ok(false)
            } else {
                Err(deleted)
            };
        }
        if assigned.paused {
            return Ok(false);
        }
        if !assigned.positioned {
            return Err(ConsumeError::NoPosition {
                topic: assigned.topic.name().clone(),
                partition: assigned.partition,
            });
        }
        if !assigned.cursor.may_move() {
            return Ok(false);
        }
        self.pin_only(i);
        self.assigned[i].update_limit(&self.groups);
        self.assigned[i].poll(&self.config)
    }

    /// Before partition `i` may pin a segment, the partition that did so last gives up its pin.
    #[inline]
    pub(super) fn pin_only(&mut self, i: usize) {
        // A member has a spare segment for each of its pins.
        if self.pinned != i && self.member.is_none() {
            if let Some(last) = self.assigned.get_mut(self.pinned) {
                last.cursor.unpin();
            }
            self.pinned = i;
        }
    }
}

/// A consumer waits for records of its partitions, and for everything else that ends a poll.
impl WaitFor for Consumer {
    type Output = Result<usize, ConsumeError>;

    fn attempt(&mut self) -> Attempt<Self::Output> {
        match self.full_poll() {
            Ok(Some(i)) => Attempt::Ready(Ok(i)),
            Ok(None) => {
                self.begin_wait();
                Attempt::Pending { notified: true }
            }
            Err(error) => Attempt::Ready(Err(error)),
        }
    }

    fn strategy(&self) -> WaitStrategy {
        self.wait.clone()
    }

    fn waiter(&mut self) -> &mut Waiter {
        &mut self.waiter
    }

    /// The consumer's own event count and that of each partition, unless it waits for some time to
    /// pass. A member also waits for changes of its topics: an added partition may be assigned to
    /// it, whichever member reads the others.
    fn enrolment(&mut self) -> (&mut Waiter, impl Iterator<Item = &Arc<EventCount>>) {
        let topics = self.member.as_deref().map_or(&[][..], Membership::topics);
        let topics = topics.iter().map(|topic| topic.waiting_for_changes());
        let partitions = match self.fetch_min.is_napping() {
            true => &[],
            false => &self.assigned[..],
        };
        let partitions = partitions.iter();
        let partitions = partitions.map(AssignedPartition::waiting_for_records);
        let own = iter::once(self.wakeup.event_count());
        (&mut self.waiter, own.chain(topics).chain(partitions))
    }

    /// A member wakes now and then to check whether the other members are alive.
    fn longest_park(&self) -> Duration {
        let member = self.member.as_ref();
        let member = member.map_or(Duration::MAX, |member| member.longest_park());
        member.min(self.fetch_min.longest_park())
    }
}
