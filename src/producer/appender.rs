//! Claiming a frame: first in the segment of the last claim, and where that has no room, by way
//! of the partition.

use crate::error::SendError;
use crate::events::event;
use crate::log::partition::Blocked;
use crate::log::segment::{ClaimMode, ClaimTarget, FrameClaim, Segment, SegmentState, UNIT};
use crate::topic::TopicShared;
use crate::wait::{Attempt, EventCount, Patience, WaitFor, Waited, Waiter, wait};
use core::iter;
use core::marker::PhantomData;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

/// What a producer remembers of one partition: on a line of its own, which a shift finds.
#[repr(align(64))]
pub(crate) struct PartitionAppender {
    /// The segment of the last claim. (A copy: the topic keeps its memory.)
    target: ClaimTarget,
    full: SegmentState,
    /// Where the last claim has left the segment's head; none where that is not known. For the
    /// exclusive producer alone, who is the only one to write it ([`ClaimMode::look`]).
    last: SegmentState,
}

/// A lane for each partition.
pub(crate) struct Appenders {
    /// That of the only partition: in the producer itself. Where that lies on the caller's stack, as
    /// most do, nothing has to be looked up, and what was just stored need not be waited for.
    ///
    /// Where there are more partitions it is nobody's: it has no head to claim from, and gets none.
    only: PartitionAppender,
    /// Those of all partitions; empty where there is one.
    many: Box<[PartitionAppender]>,
}

impl Appenders {
    pub(crate) fn new(topic: &TopicShared, partitions: u32) -> Appenders {
        let mut appenders = Appenders {
            only: PartitionAppender::new(topic, 0),
            many: Box::default(),
        };
        appenders.grow(topic, partitions);
        appenders
    }

    /// Adds lanes until there is one for each of so many partitions.
    pub(crate) fn grow(&mut self, topic: &TopicShared, partitions: u32) {
        if partitions as usize <= self.len() {
            return;
        }
        let mut known = core::mem::take(&mut self.many).into_vec();
        if known.is_empty() {
            known.push(core::mem::replace(
                &mut self.only,
                PartitionAppender::new(topic, 0),
            ));
        }
        let more = (known.len() as u32..partitions).map(|p| PartitionAppender::new(topic, p));
        self.many = known.into_iter().chain(more).collect();
    }

    /// Forgets where the heads are: the segments are sealed, or about to be.
    pub(crate) fn forget(&mut self) {
        for appender in self.many.iter_mut().chain([&mut self.only]) {
            appender.last = SegmentState::NONE;
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.many.len().max(1)
    }

    /// The lane of the only partition, for who knows that it is the only one.
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

impl PartitionAppender {
    pub(crate) fn new(topic: &TopicShared, partition: u32) -> PartitionAppender {
        let log = topic.partition(partition);
        PartitionAppender {
            target: ClaimTarget {
                // Any will do: nothing is known of its head, and a head says whose it is.
                segment: topic.pool().get(0).clone(),
                readers: log.readers().waiting_for_records().clone(),
                counts: log.counts().clone(),
            },
            full: topic.pool().shape().full(log.id()),
            last: SegmentState::NONE,
        }
    }

    /// Claims a frame, if the segment of the last claim has room for it.
    #[inline(always)]
    pub(crate) fn try_claim<S: ClaimMode>(
        &mut self,
        records: u32,
        units: u32,
    ) -> Option<FrameClaim<'_>> {
        let segment = self.target.segment.clone();
        let head = segment
            .try_claim::<S>(self.last, self.full, records, units)
            .ok()?;
        self.last = head.after(records, units);
        let claim = FrameClaim::new::<S>(&self.target, segment, head, records, units);
        Some(claim)
    }
}

/// Claims a frame: a record, or records that fit a segment. Apart from `self`, so that what
/// else a producer has stays free to use while the claim lives.
#[inline(always)]
pub(crate) fn claim_frame<'p, S: ClaimMode>(
    topic: &TopicShared,
    appenders: &'p mut Appenders,
    waiter: &mut Waiter,
    partition: u32,
    (records, units): (u32, u32),
    when_full: WhenFull<'_>,
) -> Result<FrameClaim<'p>, Refusal> {
    let partitions = appenders.len() as u32;
    let Some(appender) = appenders.get(partition) else {
        return Err(Refusal::Error(SendError::PartitionOutOfRange {
            partition,
            partitions,
        }));
    };
    let segment = &mut appender.target.segment;
    let head = match segment.try_claim::<S>(appender.last, appender.full, records, units) {
        Ok(head) => head,
        Err(_) => {
            // What follows may seal the segment, and find no other.
            appender.last = SegmentState::NONE;
            claim_slowly::<S>(
                topic,
                partition,
                segment,
                waiter,
                (records, units),
                when_full,
            )?
        }
    };
    appender.last = head.after(records, units);
    let segment = appender.target.segment.clone();
    let claim = FrameClaim::new::<S>(&appender.target, segment, head, records, units);
    Ok(claim)
}

/// Claims a frame where the segment of the last claim has no room for it.
#[cold]
#[inline(never)]
fn claim_slowly<S: ClaimMode>(
    topic: &TopicShared,
    partition: u32,
    cached: &mut Segment,
    waiter: &mut Waiter,
    (records, units): (u32, u32),
    when_full: WhenFull<'_>,
) -> Result<SegmentState, Refusal> {
    if units > topic.pool().shape().units {
        return Err(too_large(topic, units as usize * UNIT).into());
    }
    let claimed = topic.partition(partition).claim::<S>(records, units);
    let claimed = claimed.or_else(|blocked| {
        let room = Room::<S> {
            topic,
            partition,
            size: (records, units),
            waiter,
            blocked: Some(blocked),
            mode: PhantomData,
        };
        room.wait(when_full)
    });
    if S::EXCLUSIVE && matches!(claimed, Err(Refusal::Error(SendError::Closed { .. }))) {
        topic.end_logs();
    }
    let (segment, head) = claimed?;
    *cached = segment.clone();
    Ok(head)
}

/// Room for a frame in a partition that had none.
struct Room<'t, 'w, S> {
    topic: &'t TopicShared,
    partition: u32,
    /// Records and units.
    size: (u32, u32),
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
        let (records, units) = self.size;
        self.topic
            .partition(self.partition)
            .claim::<S>(records, units)
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
    topic.partition(partition).counts().blocked.add(1);
    event!(
        debug,
        "producer blocked",
        topic = &**topic.name(),
        partition = partition,
    );
}

/// A send is refused because there is no room.
fn report_refused(topic: &TopicShared, partition: u32, waited: Duration) {
    topic.partition(partition).counts().refused.add(1);
    event!(
        warn,
        "producer refused",
        topic = &**topic.name(),
        partition = partition,
        waited_ms = waited.as_millis() as u64,
    );
}

#[cold]
pub(crate) fn too_large(topic: &TopicShared, bytes: usize) -> SendError {
    SendError::RecordTooLarge {
        size: bytes as u64,
        max: topic.pool().shape().data_bytes() as u64,
    }
}
