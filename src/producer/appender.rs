//! Claiming frames: first in the segment of the last claim, and where that has no room, by way of
//! the partition, which may roll to its next segment or have the producer wait.

use crate::error::SendError;
use crate::events::event;
use crate::log::partition::Blocked;
use crate::log::segment::{
    ClaimMode, ClaimTarget, FrameClaim, MAX_UNITS, Segment, SegmentState, UNIT, record_size,
};
use crate::record::Record;
use crate::topic::TopicShared;
use crate::wait::{Attempt, EventCount, Patience, WaitFor, Waited, Waiter, wait};
use core::iter;
use core::marker::PhantomData;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

/// The most bytes that a segment of any topic can hold.
const MAX_BYTES: usize = MAX_UNITS as usize * UNIT;

/// What a frame takes of its segment.
#[derive(Clone, Copy)]
pub(crate) struct FrameSize {
    records: u32,
    units: u32,
}

impl FrameSize {
    /// The size of a record of this many bytes, if a segment of some topic could hold it. Whether a
    /// segment of this topic can is checked where the segment of the last claim has no room.
    #[inline]
    pub(crate) fn of_record(topic: &TopicShared, bytes: usize) -> Result<FrameSize, SendError> {
        if bytes > MAX_BYTES {
            return Err(record_too_large(topic, bytes));
        }
        let units = (bytes / UNIT) as u32;
        Ok(FrameSize { records: 1, units })
    }

    /// The size of a frame of several records, if a segment of this topic can hold it.
    #[inline]
    pub(crate) fn of_batch(
        topic: &TopicShared,
        partition: u32,
        records: usize,
        bytes: usize,
    ) -> Result<FrameSize, SendError> {
        let shape = topic.pool().shape();
        if bytes > shape.data_bytes() || records > shape.records as usize {
            return Err(SendError::BatchTooLarge {
                partition,
                records: records as u64,
                size: bytes as u64,
                max_records: shape.records.into(),
                max: shape.data_bytes() as u64,
            });
        }
        Ok(FrameSize {
            records: records as u32,
            units: (bytes / UNIT) as u32,
        })
    }
}

#[cold]
fn record_too_large(topic: &TopicShared, bytes: usize) -> SendError {
    SendError::RecordTooLarge {
        size: bytes as u64,
        max: topic.pool().shape().data_bytes() as u64,
    }
}

/// What a producer remembers of one partition. It fills a cache line, so that a shift finds it.
#[repr(align(64))]
pub(crate) struct PartitionAppender {
    /// The segment of the last claim. (A copy: the topic keeps its memory.)
    target: ClaimTarget,
    /// The state of a segment of this partition that is full.
    full: SegmentState,
    /// The state in which the last claim left the segment; none where that is not known. Only an
    /// exclusive producer uses it, since no other thread writes the word ([`ClaimMode::current`]).
    last: SegmentState,
}

impl PartitionAppender {
    fn new(topic: &TopicShared, partition: u32) -> PartitionAppender {
        let log = topic.partition(partition);
        PartitionAppender {
            target: ClaimTarget {
                // Any segment will do: its state word says to which partition it belongs.
                segment: topic.pool().get(0).clone(),
                waiting_readers: log.readers().waiting_for_records().clone(),
                counters: log.counters().clone(),
            },
            full: topic.pool().shape().full_state(log.id()),
            last: SegmentState::NONE,
        }
    }

    /// Appends a record if the segment of the last claim has room for it; returns its offset.
    #[inline(always)]
    pub(crate) fn try_append<S: ClaimMode>(
        &mut self,
        record: &Record<'_>,
        time: Option<i64>,
    ) -> Option<u64> {
        let bytes = record_size(record, time.is_some());
        if bytes > MAX_BYTES {
            return None;
        }
        let units = (bytes / UNIT) as u32;
        let size = FrameSize { records: 1, units };
        // A copy before the claim: it stays in registers, whatever is stored in between.
        let segment = self.target.segment.clone();
        let start = segment
            .try_claim::<S>(self.last, self.full, 1, units)
            .ok()?;
        Some(
            self.frame::<S>(segment, start, size)
                .publish_record(record, time),
        )
    }

    /// Claims a frame if the segment of the last claim has room for it; returns the segment's state
    /// before the claim, where the frame begins.
    #[inline(always)]
    fn try_claim<S: ClaimMode>(&mut self, size: FrameSize) -> Option<SegmentState> {
        let segment = &self.target.segment;
        let claimed = segment.try_claim::<S>(self.last, self.full, size.records, size.units);
        claimed.ok()
    }

    /// The frame that was claimed at `start` in `segment`, which is the target's.
    #[inline(always)]
    fn frame<S: ClaimMode>(
        &mut self,
        segment: Segment,
        start: SegmentState,
        size: FrameSize,
    ) -> FrameClaim<'_> {
        self.last = start.after(size.records, size.units);
        FrameClaim::new::<S>(&self.target, segment, start, size.records, size.units)
    }
}

/// A topic, as one producer appends to it: an appender for each partition, and what the producer
/// waits with.
pub(crate) struct Appenders {
    pub(super) topic: Arc<TopicShared>,
    /// The appender of the only partition, in the producer itself. Where that lies on the caller's
    /// stack, as it mostly does, no pointer is followed to it and no store to it is waited for.
    ///
    /// Where there are more partitions it belongs to none: it knows no open segment, and gets none.
    only: PartitionAppender,
    /// The appenders of all partitions; empty where there is one.
    many: Box<[PartitionAppender]>,
    pub(super) waiter: Waiter,
}

impl Appenders {
    pub(crate) fn new(topic: Arc<TopicShared>, partitions: u32) -> Appenders {
        let mut appenders = Appenders {
            only: PartitionAppender::new(&topic, 0),
            many: Box::default(),
            waiter: Waiter::default(),
            topic,
        };
        appenders.grow(partitions);
        appenders
    }

    /// Adds appenders until there is one for each of `partitions`.
    pub(crate) fn grow(&mut self, partitions: u32) {
        if partitions as usize <= self.len() {
            return;
        }
        let topic = &self.topic;
        let mut known = core::mem::take(&mut self.many).into_vec();
        if known.is_empty() {
            let none = PartitionAppender::new(topic, 0);
            known.push(core::mem::replace(&mut self.only, none));
        }
        let more = (known.len() as u32..partitions).map(|p| PartitionAppender::new(topic, p));
        self.many = known.into_iter().chain(more).collect();
    }

    /// Forgets the states of all segments: they are sealed, or about to be.
    pub(crate) fn forget_states(&mut self) {
        for appender in self.many.iter_mut().chain([&mut self.only]) {
            appender.last = SegmentState::NONE;
        }
    }

    /// The number of partitions.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.many.len().max(1)
    }

    /// The appender of the only partition. The caller knows that there is only one.
    #[inline(always)]
    pub(crate) fn only(&mut self) -> &mut PartitionAppender {
        debug_assert!(self.many.is_empty());
        &mut self.only
    }

    #[inline(always)]
    pub(crate) fn get(&mut self, partition: u32) -> Option<&mut PartitionAppender> {
        match self.many.get_mut(partition as usize) {
            None if partition == 0 => Some(&mut self.only),
            appender => appender,
        }
    }

    /// Claims a frame, waiting for room as `when_full` says.
    #[inline(always)]
    pub(crate) fn claim<S: ClaimMode>(
        &mut self,
        partition: u32,
        size: FrameSize,
        when_full: WhenFull<'_>,
    ) -> Result<FrameClaim<'_>, Refusal> {
        let partitions = self.len() as u32;
        let start = self.get(partition).and_then(|a| a.try_claim::<S>(size));
        let start = match start {
            Some(start) => start,
            None => self.claim_slowly::<S>(partition, size, when_full)?,
        };
        match self.get(partition) {
            Some(appender) => {
                let segment = appender.target.segment.clone();
                Ok(appender.frame::<S>(segment, start, size))
            }
            None => Err(out_of_range(partition, partitions)),
        }
    }

    /// Claims a frame where the segment of the last claim has no room for it; from then on that
    /// is the segment of this claim.
    #[cold]
    #[inline(never)]
    fn claim_slowly<S: ClaimMode>(
        &mut self,
        partition: u32,
        size: FrameSize,
        when_full: WhenFull<'_>,
    ) -> Result<SegmentState, Refusal> {
        let (topic, partitions) = (self.topic.clone(), self.len() as u32);
        let Some(appender) = self.get(partition) else {
            return Err(out_of_range(partition, partitions));
        };
        // What follows may seal the segment, and find no other.
        appender.last = SegmentState::NONE;
        if size.units > topic.pool().shape().units {
            return Err(record_too_large(&topic, size.units as usize * UNIT).into());
        }
        let claimed = topic
            .partition(partition)
            .claim::<S>(size.records, size.units);
        let claimed = claimed.or_else(|blocked| {
            let room = Room::<S> {
                topic: &topic,
                partition,
                size,
                waiter: &mut self.waiter,
                blocked: Some(blocked),
                mode: PhantomData,
            };
            room.wait(when_full)
        });
        if S::EXCLUSIVE && matches!(claimed, Err(Refusal::Error(SendError::Closed { .. }))) {
            topic.end_logs();
        }
        let (segment, start) = claimed?;
        if let Some(appender) = self.get(partition) {
            appender.target.segment = segment.clone();
        }
        Ok(start)
    }
}

#[cold]
fn out_of_range(partition: u32, partitions: u32) -> Refusal {
    Refusal::Error(SendError::PartitionOutOfRange {
        partition,
        partitions,
    })
}

/// What a send does when its partition has no room.
#[derive(Clone, Copy)]
pub(crate) enum WhenFull<'w> {
    /// It fails at once.
    Fail,
    /// It blocks its thread, up to the topic's `max_block`.
    Block,
    /// It enrols this waker, which is woken when another try may succeed.
    Enrol(&'w Waker),
}

/// Why nothing was appended.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The partition is full, and the task is enrolled: only for [`WhenFull::Enrol`].
    Pending {
        partition: u32,
    },
    Error(SendError),
}

impl From<SendError> for Refusal {
    fn from(error: SendError) -> Refusal {
        Refusal::Error(error)
    }
}

/// The error of a call that waits in its thread or not at all.
impl From<Refusal> for SendError {
    #[cold]
    fn from(refusal: Refusal) -> SendError {
        match refusal {
            Refusal::Error(error) => error,
            Refusal::Pending { .. } => unreachable!("only a task is pending"),
        }
    }
}

/// Room for a frame in a partition that had none.
struct Room<'t, 'w, S> {
    topic: &'t TopicShared,
    partition: u32,
    size: FrameSize,
    waiter: &'w mut Waiter,
    /// What the claim before the wait found: the first attempt need not make it again.
    blocked: Option<Blocked>,
    mode: PhantomData<S>,
}

/// The segment in which a frame was claimed, and its state before the claim.
type Claimed<'t> = (&'t Segment, SegmentState);

impl<'t, S: ClaimMode> Room<'t, '_, S> {
    fn wait(mut self, when_full: WhenFull<'_>) -> Result<Claimed<'t>, Refusal> {
        let (topic, partition) = (self.topic, self.partition);
        let patience = match when_full {
            WhenFull::Fail => Patience::UpTo(Duration::ZERO),
            WhenFull::Block => Patience::UpTo(topic.config().max_block),
            WhenFull::Enrol(waker) => Patience::Task(waker),
        };
        let is_full = matches!(self.blocked, Some(Blocked::Reader | Blocked::Segments));
        if is_full && matches!(patience, Patience::UpTo(limit) if !limit.is_zero()) {
            report_blocked(topic, partition);
        }
        match wait(&mut self, topic.config().wait.clone(), patience) {
            Waited::Ready(claimed) => Ok(claimed?),
            Waited::Pending => Err(Refusal::Pending { partition }),
            Waited::TimedOut(waited) => {
                report_refused(topic, partition, waited);
                Err(Refusal::Error(SendError::Full {
                    topic: topic.name().clone(),
                    partition,
                    waited,
                }))
            }
        }
    }

    fn claim(&self) -> Result<Claimed<'t>, Blocked> {
        if self.topic.is_closed() {
            return Err(Blocked::Closed);
        }
        let log = self.topic.partition(self.partition);
        log.claim::<S>(self.size.records, self.size.units)
    }
}

impl<'t, S: ClaimMode> WaitFor for Room<'t, '_, S> {
    type Output = Result<Claimed<'t>, SendError>;

    fn attempt(&mut self) -> Attempt<Self::Output> {
        let claimed = match self.blocked.take() {
            Some(blocked) => Err(blocked),
            None => self.claim(),
        };
        match claimed {
            Ok(claimed) => Attempt::Ready(Ok(claimed)),
            Err(Blocked::Reader) => Attempt::Pending { notified: true },
            // No event count is notified of a segment that comes free, which is seldom waited for.
            Err(Blocked::Segments) => Attempt::Pending { notified: false },
            Err(Blocked::Closed) => Attempt::Ready(Err(self.topic.closed_error())),
            Err(Blocked::Exhausted) => Attempt::Ready(Err(SendError::Exhausted {
                topic: self.topic.name().clone(),
                partition: self.partition,
            })),
        }
    }

    fn enrolment(&mut self) -> (&mut Waiter, impl Iterator<Item = &Arc<EventCount>>) {
        let readers = self.topic.partition(self.partition).readers();
        (self.waiter, iter::once(readers.waiting_for_room()))
    }
}

/// A send has to wait for room.
pub(crate) fn report_blocked(topic: &TopicShared, partition: u32) {
    topic.partition(partition).counters().blocked_sends.add(1);
    event!(
        debug,
        "producer blocked",
        topic = &**topic.name(),
        partition = partition,
    );
}

/// A send is refused because there is no room.
fn report_refused(topic: &TopicShared, partition: u32, waited: Duration) {
    topic.partition(partition).counters().refused_sends.add(1);
    event!(
        warn,
        "producer refused",
        topic = &**topic.name(),
        partition = partition,
        waited_ms = waited.as_millis() as u64,
    );
}
