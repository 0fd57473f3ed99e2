//! Claiming a frame: first in the segment of the last claim, and where that has no room, by way
//! of the partition.

use crate::error::SendError;
use crate::events::event;
use crate::log::partition::Blocked;
use crate::log::segment::{ClaimMode, ClaimTarget, FrameClaim, Segment, SegmentState, UNIT};
use crate::topic::TopicShared;
use crate::wait::{NextStep, WaitSchedule, Waiter};
use std::task::Waker;
use std::time::Duration;

/// What a producer remembers of one partition: on a line of its own, which a shift finds.
#[repr(align(64))]
pub(crate) struct PartitionAppender {
    /// The segment of the last claim. (A copy: the topic keeps its memory.)
    target: ClaimTarget,
    full: SegmentState,
    /// Where the last claim has left the segment's head; none where that is not known. For the
    /// exclusive producer alone, who is the only one to write it ([`ClaimMode::current`]).
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

/// What a send does where there is no room.
#[derive(Clone, Copy)]
pub(crate) enum Patience<'w> {
    /// Gives up at once.
    Try,
    /// Waits, up to `max_block`.
    Wait,
    /// Gives up, and has this task woken when it is worth another try.
    Task(&'w Waker),
}

impl PartitionAppender {
    pub(crate) fn new(topic: &TopicShared, partition: u32) -> PartitionAppender {
        let log = topic.partition(partition);
        PartitionAppender {
            target: ClaimTarget {
                // Any will do: nothing is known of its head, and a head says whose it is.
                segment: topic.pool().get(0).clone(),
                waiting_readers: log.readers().waiting_for_records().clone(),
                counters: log.counts().clone(),
            },
            full: topic.pool().shape().full_state(log.id()),
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
    how: Patience<'_>,
) -> Result<FrameClaim<'p>, SendError> {
    let partitions = appenders.len() as u32;
    let Some(appender) = appenders.get(partition) else {
        return Err(SendError::PartitionOutOfRange {
            partition,
            partitions,
        });
    };
    let segment = &mut appender.target.segment;
    let head = match segment.try_claim::<S>(appender.last, appender.full, records, units) {
        Ok(head) => head,
        Err(_) => {
            // What follows may seal the segment, and find no other.
            appender.last = SegmentState::NONE;
            claim_slowly::<S>(topic, partition, segment, waiter, (records, units), how)?
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
    how: Patience<'_>,
) -> Result<SegmentState, SendError> {
    let pool = topic.pool();
    if units > pool.shape().units {
        return Err(too_large(topic, units as usize * UNIT));
    }
    let claim = || topic.partition(partition).claim::<S>(records, units);
    let claimed = match claim() {
        Err(blocked) => wait_for_room(topic, partition, waiter, how, blocked, claim),
        Ok(claimed) => Ok(claimed),
    };
    if S::EXCLUSIVE && matches!(claimed, Err(SendError::Closed { .. })) {
        topic.end_logs();
    }
    let (index, head) = claimed?;
    *cached = pool.get(index).clone();
    Ok(head)
}

/// Claims again and again, as long as the producer is to wait. A task that is to wait is told that
/// the partition is full, and is on the list of those who are woken.
fn wait_for_room<T>(
    topic: &TopicShared,
    partition: u32,
    waiter: &mut Waiter,
    how: Patience<'_>,
    mut blocked: Blocked,
    claim: impl Fn() -> Result<T, Blocked>,
) -> Result<T, SendError> {
    let config = topic.config();
    let limit = match how {
        Patience::Wait => config.max_block,
        Patience::Try | Patience::Task(_) => Duration::ZERO,
    };
    let room = [topic
        .partition(partition)
        .readers()
        .waiting_for_room()
        .clone()];
    // What a wait before this has left there (a future that was leaked, a panic of the user's) is not
    // this thread or task.
    waiter.withdraw();
    let is_full = matches!(blocked, Blocked::Reader | Blocked::Segments);
    if is_full && !limit.is_zero() {
        report_blocked(topic, partition);
    }
    let mut schedule = WaitSchedule::new(config.wait.clone(), limit);
    let result = loop {
        match blocked {
            Blocked::Reader | Blocked::Segments => {}
            Blocked::Exhausted => {
                break Err(SendError::Exhausted {
                    topic: topic.name().clone(),
                    partition,
                });
            }
            Blocked::Closed => break Err(closed(topic)),
        }
        // A segment that comes free is not told to anybody; nor is it often waited for.
        let told = blocked == Blocked::Reader;
        let full = |waited| SendError::Full {
            topic: topic.name().clone(),
            partition,
            waited,
        };
        match (how, schedule.next()) {
            (Patience::Task(waker), _) if waiter.is_enrolled(room.iter()) => {
                if waiter.is_unsure() || !told {
                    waker.wake_by_ref();
                }
                return Err(full(Duration::ZERO));
            }
            (Patience::Task(waker), _) => waiter.enrol(waker, room.iter()),
            (_, NextStep::TimeUp) => {
                let waited = schedule.waited();
                report_refused(topic, partition, waited);
                break Err(full(waited));
            }
            (_, NextStep::Look) => {}
            (_, NextStep::Sleep(limit)) if waiter.is_enrolled(room.iter()) => {
                waiter.sleep(limit, told);
            }
            (_, NextStep::Sleep(_)) => waiter.enrol_thread(room.iter()),
        }
        if topic.is_closed() {
            break Err(closed(topic));
        }
        match claim() {
            Ok(claimed) => break Ok(claimed),
            Err(again) => blocked = again,
        }
    };
    waiter.withdraw();
    result
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
pub(crate) fn closed(topic: &TopicShared) -> SendError {
    SendError::Closed {
        topic: topic.name().clone(),
    }
}

#[cold]
pub(crate) fn too_large(topic: &TopicShared, bytes: usize) -> SendError {
    SendError::RecordTooLarge {
        size: bytes as u64,
        max: topic.pool().shape().data_bytes() as u64,
    }
}
