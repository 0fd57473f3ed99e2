//! Claims frames in a topic's partitions, and waits for room.
//!
//! A [`PartitionAppender`] remembers the segment of its last claim and claims there first. It needs
//! no check that the segment still belongs to the partition: the state word that the claim compares
//! says so (S2). If that segment has no room, [`Appenders::claim`] claims through the partition,
//! which rolls to its next segment. If the partition is full, the producer waits until a reader
//! moves its gate. The handshake that loses no wake-up (P15) is in `wait/wait_loop.rs`; here is the
//! attempt that the loop repeats.
//!
//! A frame's size is checked in this file alone ([`FrameSize`], and the fast path).

use crate::error::SendError;
use crate::events::event;
use crate::log::partition::Blocked;
use crate::log::segment::{
    ClaimMode, ClaimTarget, FrameClaim, MAX_UNITS, Segment, SegmentState, UNIT, record_size,
};
use crate::record::Record;
use crate::topic::TopicShared;
use crate::wait::{Attempt, EventCount, Patience, WaitFor, WaitStrategy, Waited, Waiter, wait};
use core::iter;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

/// The most bytes that a segment of any topic can have.
const MAX_BYTES: usize = MAX_UNITS as usize * UNIT;

/// What a frame takes up in its segment.
#[derive(Clone, Copy)]
pub(super) struct FrameSize {
    records: u32,
    units: u32,
}

impl FrameSize {
    /// The size of a frame of one record of `bytes` bytes.
    ///
    /// # Errors
    /// [`SendError::RecordTooLarge`] if no topic's segments could hold it. This topic's segments
    /// may be smaller: then the segment of the last claim has no room, and `claim_slowly` refuses.
    #[inline]
    pub(super) fn of_record(topic: &TopicShared, bytes: usize) -> Result<FrameSize, SendError> {
        if bytes > MAX_BYTES {
            return Err(record_too_large(topic, bytes));
        }
        let units = (bytes / UNIT) as u32;
        Ok(FrameSize { records: 1, units })
    }

    /// The size of a frame of several records, `bytes` bytes in all.
    ///
    /// # Errors
    /// [`SendError::BatchTooLarge`] if a segment of this topic cannot hold it.
    #[inline]
    pub(super) fn of_batch(
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
pub(super) fn record_too_large(topic: &TopicShared, bytes: usize) -> SendError {
    SendError::RecordTooLarge {
        size: bytes as u64,
        max: topic.pool().shape().data_bytes() as u64,
    }
}

/// One producer's way into one partition. It fills a cache line, so that indexing is a shift.
#[repr(align(64))]
pub(super) struct PartitionAppender {
    /// The segment of the last claim. (A copy: the topic keeps its memory.)
    target: ClaimTarget,
    /// The state word of a full open segment of this partition: a claim's room is computed from it.
    full_state: SegmentState,
    /// The state word as the last claim left it; `NONE` if that is not known. Only an exclusive
    /// producer uses it, because no other thread then writes the word (see [`ClaimMode`]).
    last_state: SegmentState,
}

impl PartitionAppender {
    fn new(topic: &TopicShared, partition: u32) -> PartitionAppender {
        let log = topic.partition(partition);
        PartitionAppender {
            target: ClaimTarget {
                // Any segment will do: its state word says which partition it belongs to.
                segment: topic.pool().get(0).clone(),
                waiting_readers: log.readers().waiting().for_records().clone(),
                counters: log.counters().clone(),
            },
            full_state: topic.pool().shape().full_state(log.id()),
            last_state: SegmentState::NONE,
        }
    }

    /// Appends a record if the segment of the last claim has room for it, and no other producer
    /// claims at this moment; returns its offset. Size, claim and publication in one, for the fast
    /// path.
    #[inline(always)]
    pub(super) fn try_append<S: ClaimMode>(
        &mut self,
        record: &Record<'_>,
        timestamp: Option<i64>,
    ) -> Option<u64> {
        let bytes = record_size(record, timestamp.is_some());
        if bytes > MAX_BYTES {
            return None;
        }
        let units = (bytes / UNIT) as u32;
        let size = FrameSize { records: 1, units };
        // Copied before the claim, so that it stays in registers across the stores that follow.
        let segment = self.target.segment.clone();
        let start = segment.claim_at_once::<S>(self.last_state, self.full_state, 1, units)?;
        Some(
            self.frame_claim::<S>(segment, start, size)
                .publish_record(record, timestamp),
        )
    }

    /// Prefetches, for writing, what is `bytes` after the end of this producer's last claim: its next
    /// frame will probably lie there. Not if another producer has claimed since: then those lines
    /// are that producer's.
    #[inline(always)]
    pub(super) fn prefetch_next_frame<S: ClaimMode>(&self, bytes: usize) {
        (self.target.segment).prefetch_after_claim::<S>(self.last_state, bytes);
    }

    /// Claims a frame if the segment of the last claim has room for it. Returns the state word
    /// before the claim: the frame begins there.
    #[inline(always)]
    fn try_claim<S: ClaimMode>(&mut self, size: FrameSize) -> Option<SegmentState> {
        let (segment, FrameSize { records, units }) = (&self.target.segment, size);
        let claimed =
            segment.try_claim::<S>(self.last_state, self.full_state, records, units, true);
        claimed.ok()
    }

    /// The right to fill the frame that was claimed at `start` in `segment`, the target's.
    #[inline(always)]
    fn frame_claim<S: ClaimMode>(
        &mut self,
        segment: Segment,
        start: SegmentState,
        size: FrameSize,
    ) -> FrameClaim<'_> {
        self.last_state = start.after(size.records, size.units);
        FrameClaim::new::<S>(&self.target, segment, start, size.records, size.units)
    }
}

/// One producer's way into all partitions of a topic: an appender for each, and the waiter with
/// which the producer waits for room.
pub(super) struct Appenders {
    pub(super) topic: Arc<TopicShared>,
    /// The appender of the only partition, inside the producer itself. The producer is usually on
    /// the caller's stack. A send then follows no pointer to the appender, and waits for no store
    /// to it.
    ///
    /// If the topic has several partitions this appender belongs to none of them and is not used.
    single: PartitionAppender,
    /// The appenders of all partitions; empty if there is only one partition.
    several: Box<[PartitionAppender]>,
    pub(super) waiter: Waiter,
    /// How long a call that blocks its thread waits for room.
    pub(super) max_block: Duration,
}

impl Appenders {
    pub(super) fn new(topic: Arc<TopicShared>, partitions: u32) -> Appenders {
        let mut appenders = Appenders {
            single: PartitionAppender::new(&topic, 0),
            several: Box::default(),
            waiter: Waiter::default(),
            max_block: topic.config().max_block,
            topic,
        };
        appenders.extend_to(partitions);
        appenders
    }

    /// Adds appenders until there is one for each of `partitions`.
    pub(super) fn extend_to(&mut self, partitions: u32) {
        if partitions as usize <= self.len() {
            return;
        }
        let topic = &self.topic;
        let mut present = core::mem::take(&mut self.several).into_vec();
        if present.is_empty() {
            let unused = PartitionAppender::new(topic, 0);
            present.push(core::mem::replace(&mut self.single, unused));
        }
        let added = (present.len() as u32..partitions).map(|p| PartitionAppender::new(topic, p));
        self.several = present.into_iter().chain(added).collect();
    }

    /// Forgets the remembered state words: the segments are sealed, or about to be.
    pub(super) fn forget_last_states(&mut self) {
        for appender in self.several.iter_mut().chain([&mut self.single]) {
            appender.last_state = SegmentState::NONE;
        }
    }

    /// The number of partitions.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.several.len().max(1)
    }

    /// The appender of the only partition. The caller has made sure that there is only one.
    #[inline(always)]
    pub(super) fn single(&mut self) -> &mut PartitionAppender {
        debug_assert!(self.several.is_empty());
        &mut self.single
    }

    #[inline(always)]
    pub(super) fn get(&mut self, partition: u32) -> Option<&mut PartitionAppender> {
        match self.several.get_mut(partition as usize) {
            None if partition == 0 => Some(&mut self.single),
            appender => appender,
        }
    }

    /// Claims a frame: in the segment of the last claim, or else through the partition. If the
    /// partition is full, `when_full` decides.
    #[inline(always)]
    pub(super) fn claim<S: ClaimMode>(
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
                Ok(appender.frame_claim::<S>(segment, start, size))
            }
            None => Err(out_of_range(partition, partitions)),
        }
    }

    /// Claims a frame through the partition, which rolls to its next segment if the active one has
    /// no room. The appender's segment is from then on the one of this claim.
    #[cold]
    #[inline(never)]
    fn claim_slowly<S: ClaimMode>(
        &mut self,
        partition: u32,
        size: FrameSize,
        when_full: WhenFull<'_>,
    ) -> Result<SegmentState, Refusal> {
        let partitions = self.len() as u32;
        let Some(appender) = self.get(partition) else {
            return Err(out_of_range(partition, partitions));
        };
        // The partition's claim may seal the segment, and then find no other.
        appender.last_state = SegmentState::NONE;
        let topic = &*self.topic;
        if size.units > topic.pool().shape().units {
            return Err(record_too_large(topic, size.units as usize * UNIT).into());
        }
        let claim = || {
            if topic.is_closed() {
                return Err(Blocked::Closed);
            }
            let log = topic.partition(partition);
            log.claim::<S>(size.records, size.units)
        };
        let log = topic.partition(partition);
        let claimed = log.claim::<S>(size.records, size.units);
        let claimed = claimed.or_else(|blocked| {
            let room = WaitForRoom {
                topic,
                partition,
                waiter: &mut self.waiter,
                max_block: self.max_block,
                blocked: Some(blocked),
                attempt: claim,
            };
            room.wait(when_full)
        });
        if S::EXCLUSIVE && matches!(claimed, Err(Refusal::Error(SendError::Closed { .. }))) {
            topic.end_logs();
        }
        let (segment, start) = claimed?;
        let segment = segment.clone();
        if let Some(appender) = self.get(partition) {
            appender.target.segment = segment;
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

/// What a send does if its partition has no room.
#[derive(Clone, Copy)]
pub(super) enum WhenFull<'w> {
    /// It fails at once.
    Fail,
    /// It blocks its thread, up to the producer's `max_block`.
    Block,
    /// It blocks its thread, up to this time.
    UpTo(Duration),
    /// It enrols this waker, which is woken when another attempt may succeed.
    Enrol(&'w Waker),
    /// It returns [`Refusal::Blocked`] and counts nothing: it is an attempt of a longer wait.
    Attempt,
}

/// Why nothing was appended.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The partition is full, and the task is enrolled: only with [`WhenFull::Enrol`].
    Pending {
        partition: u32,
    },
    /// The partition is full: only with [`WhenFull::Attempt`].
    Blocked(Blocked),
    Error(SendError),
}

impl From<SendError> for Refusal {
    fn from(error: SendError) -> Refusal {
        Refusal::Error(error)
    }
}

impl From<Blocked> for Refusal {
    fn from(blocked: Blocked) -> Refusal {
        Refusal::Blocked(blocked)
    }
}

/// The error of a call that blocks its thread or fails at once.
impl From<Refusal> for SendError {
    #[cold]
    fn from(refusal: Refusal) -> SendError {
        match refusal {
            Refusal::Error(error) => error,
            Refusal::Pending { .. } => unreachable!("only a task is pending"),
            Refusal::Blocked(_) => unreachable!("an attempt is followed by a wait"),
        }
    }
}

/// A wait for room in a partition that was full.
pub(super) struct WaitForRoom<'t, 'w, F> {
    pub(super) topic: &'t TopicShared,
    pub(super) partition: u32,
    pub(super) waiter: &'w mut Waiter,
    pub(super) max_block: Duration,
    /// Why the attempt before the wait failed. The first attempt takes it instead of trying again.
    pub(super) blocked: Option<Blocked>,
    /// Tries to append, or to claim.
    pub(super) attempt: F,
}

impl<T, E: Into<Refusal>, F: FnMut() -> Result<T, E>> WaitForRoom<'_, '_, F> {
    /// Waits for as long as `when_full` allows, and counts what becomes of it.
    pub(super) fn wait(mut self, when_full: WhenFull<'_>) -> Result<T, Refusal> {
        let (topic, partition) = (self.topic, self.partition);
        let patience = match (when_full, self.blocked) {
            (WhenFull::Attempt, Some(blocked)) => {
                return Err(match self.unblockable(blocked) {
                    Some(error) => error.into(),
                    None => blocked.into(),
                });
            }
            (WhenFull::Fail | WhenFull::Attempt, _) => Patience::UpTo(Duration::ZERO),
            (WhenFull::Block, _) => Patience::UpTo(self.max_block),
            (WhenFull::UpTo(limit), _) => Patience::UpTo(limit),
            (WhenFull::Enrol(waker), _) => Patience::Task(waker),
        };
        let is_full = matches!(self.blocked, Some(Blocked::Reader | Blocked::Segments));
        if is_full && matches!(patience, Patience::UpTo(limit) if !limit.is_zero()) {
            report_blocked(topic, partition);
        }
        match wait(&mut self, patience) {
            Waited::Ready(appended) => appended,
            Waited::Pending => Err(Refusal::Pending { partition }),
            Waited::TimedOut(waited) => Err(report_refused(topic, partition, waited).into()),
        }
    }
}

impl<F> WaitForRoom<'_, '_, F> {
    /// The error of a partition in which waiting would not help.
    fn unblockable(&self, blocked: Blocked) -> Option<SendError> {
        match blocked {
            Blocked::Reader | Blocked::Segments => None,
            Blocked::Closed => Some(self.topic.closed_error()),
            Blocked::Exhausted => Some(SendError::Exhausted {
                topic: self.topic.name().clone(),
                partition: self.partition,
            }),
        }
    }
}

impl<T, E: Into<Refusal>, F: FnMut() -> Result<T, E>> WaitFor for WaitForRoom<'_, '_, F> {
    type Output = Result<T, Refusal>;

    fn attempt(&mut self) -> Attempt<Self::Output> {
        let refusal = match self.blocked.take() {
            Some(blocked) => blocked.into(),
            None => match (self.attempt)() {
                Ok(appended) => return Attempt::Ready(Ok(appended)),
                Err(refusal) => refusal.into(),
            },
        };
        let Refusal::Blocked(blocked) = refusal else {
            return Attempt::Ready(Err(refusal));
        };
        match self.unblockable(blocked) {
            Some(error) => Attempt::Ready(Err(error.into())),
            None => Attempt::Pending {
                // No event count is notified when the pool gets a segment back: that wait is rare.
                notified: blocked == Blocked::Reader,
            },
        }
    }

    fn strategy(&self) -> WaitStrategy {
        self.topic.config().wait.clone()
    }

    fn waiter(&mut self) -> &mut Waiter {
        self.waiter
    }

    fn enrolment(&mut self) -> (&mut Waiter, impl Iterator<Item = &Arc<EventCount>>) {
        let readers = self.topic.partition(self.partition).readers();
        (self.waiter, iter::once(readers.waiting_for_room()))
    }
}

/// Counts and reports that a send has to wait for room.
pub(super) fn report_blocked(topic: &TopicShared, partition: u32) {
    topic.partition(partition).counters().blocked_sends.add(1);
    event!(
        debug,
        "producer blocked",
        topic = &**topic.name(),
        partition = partition,
    );
}

/// Counts and reports that a send was refused for want of room. Returns its error.
#[cold]
pub(super) fn report_refused(topic: &TopicShared, partition: u32, waited: Duration) -> SendError {
    topic.partition(partition).counters().refused_sends.add(1);
    event!(
        warn,
        "producer refused",
        topic = &**topic.name(),
        partition = partition,
        waited_ms = waited.as_millis() as u64,
    );
    SendError::Full {
        topic: topic.name().clone(),
        partition,
        waited,
    }
}
