//! The steps of a flush, and the other ways out of the buffers.
//!
//! ```text
//! flush       a pass over all partitions: attempt, with the buffer: append it
//!             some are full: wait until any of them may have room, and make another pass
//! flush_due   one pass over the partitions whose records have lingered
//! take back   a pass over all partitions: empty the buffer
//! ```
//!
//! A flush waits for all full partitions at once. So it does not matter which of them is read first.

use super::buffer::GatherBuffer;
use super::gather::{Buffers, Gathering, notify};
use crate::error::{FlushError, SendError};
use crate::log::partition::Blocked;
use crate::owned_record::UnsentRecord;
use crate::producer::appender::{Refusal, WhenFull, report_blocked, report_refused};
use crate::producer::{Producer, ProducerMode};
use crate::topic::TopicShared;
use crate::wait::{Attempt, EventCount, Patience, WaitFor, WaitStrategy, Waited, Waiter, wait};
use core::mem::take;
use std::sync::Arc;
use std::time::Duration;

/// What a pass found: the partitions that were full, and whether a reader will notify when each of
/// them has room.
#[derive(Default)]
struct Full {
    partitions: Vec<u32>,
    unnotified: bool,
}

impl<M: ProducerMode, B: Buffers> Gathering<'_, M, B> {
    /// Appends all buffers, for as long as `when_full` allows.
    ///
    /// # Errors
    /// Why some partition refuses its records. Those of the others were appended, as far as they
    /// had room.
    pub(super) fn flush(&mut self, when_full: WhenFull<'_>) -> Result<(), Refusal> {
        let mut full = Full::default();
        append_all(self.producer, &mut self.buffers, &mut full)?;
        let Some(&first) = full.partitions.first() else {
            return Ok(());
        };
        let topic = self.producer.appenders.topic.clone();
        let patience = match when_full {
            WhenFull::Fail | WhenFull::Attempt => {
                return Err(report_refused(&topic, first, Duration::ZERO).into());
            }
            WhenFull::Block => Patience::UpTo(self.time_left()),
            WhenFull::UpTo(limit) => Patience::UpTo(limit),
            WhenFull::Enrol(waker) => Patience::Task(waker),
        };
        if let Patience::UpTo(limit) = patience {
            if !limit.is_zero() {
                report_blocked(&topic, first);
            }
        }
        let mut waiter = take(&mut self.producer.appenders.waiter);
        let mut flush = WaitForFlush {
            topic: &topic,
            waiter: &mut waiter,
            full,
            pass: |full: &mut Full| append_all(self.producer, &mut self.buffers, full),
        };
        let waited = wait(&mut flush, patience);
        let first = flush.full.partitions.first().copied().unwrap_or(first);
        self.producer.appenders.waiter = waiter;
        match waited {
            Waited::Ready(flushed) => Ok(flushed?),
            Waited::Pending => Err(Refusal::Pending { partition: first }),
            Waited::TimedOut(waited) => Err(report_refused(&topic, first, waited).into()),
        }
    }

    /// Appends the buffers whose records have lingered. One that finds its partition full is not
    /// waited for: it lingers once more. Returns the first partition that refused its records.
    pub(super) fn append_due(&mut self, now: i64) -> Result<(), (u32, Refusal)> {
        let (mut earliest, mut refused) = (now, Ok(()));
        for partition in 0..self.buffers.partitions() {
            let (producer, limits) = (&mut *self.producer, &self.schedule.limits);
            let appended = self.buffers.with(partition, |buffer| {
                let Some(started) = buffer.started() else {
                    return Ok(None);
                };
                if !limits.has_lingered(started, now) {
                    earliest = earliest.min(started);
                    return Ok(None);
                }
                let appended = buffer.append(producer, partition, now);
                if appended.is_err() {
                    buffer.linger_again(now);
                }
                appended
            });
            match appended {
                Ok(completion) => notify(completion),
                Err(refusal) => refused = refused.and(Err((partition, refusal))),
            }
        }
        self.schedule.earliest.set(earliest as u64);
        refused
    }

    /// Appends what has lingered, for a timer.
    pub(super) fn flush_due(&mut self) -> Result<(), FlushError> {
        let now = self.producer.clock.now();
        let Err((partition, refusal)) = self.append_due(now) else {
            return Ok(());
        };
        let cause = match refusal {
            Refusal::Blocked(_) => {
                report_refused(&self.producer.appenders.topic, partition, Duration::ZERO)
            }
            refusal => refusal.into(),
        };
        Err(self.flush_error(cause))
    }

    /// Takes all records back, for the reason that their followers learn.
    pub(super) fn take_back(&mut self, reason: &SendError) -> Vec<UnsentRecord> {
        let mut unsent = Vec::new();
        for partition in 0..self.buffers.partitions() {
            let before = unsent.len();
            let take = |buffer: &mut GatherBuffer| buffer.take_back(partition, reason, &mut unsent);
            notify(self.buffers.with(partition, take));
            if unsent.len() > before {
                // A send of another thread or task may wait for room in this buffer.
                let log = self.producer.appenders.topic.partition(partition);
                log.readers().waiting_for_room().notify();
            }
        }
        unsent
    }

    /// The number of records in all buffers.
    pub(super) fn gathered(&mut self) -> usize {
        let partitions = 0..self.buffers.partitions();
        let length = |p| self.buffers.with(p, |buffer| buffer.len());
        partitions.map(length).sum()
    }

    /// How long until a record has lingered.
    pub(super) fn linger_left(&mut self) -> Option<Duration> {
        let partitions = 0..self.buffers.partitions();
        let started = |p| self.buffers.with(p, |buffer| buffer.started());
        let earliest = partitions.filter_map(started).min()?;
        let limits = self.schedule.limits;
        if limits.linger == i64::MAX {
            return Some(Duration::MAX);
        }
        let now = self.producer.clock.now();
        let left = match limits.has_lingered(earliest, now) {
            true => 0,
            false => earliest.saturating_add(limits.linger).saturating_sub(now),
        };
        Some(Duration::from_millis(left.max(0) as u64))
    }

    /// The error of a flush that was refused.
    #[cold]
    pub(super) fn flush_error(&mut self, cause: SendError) -> FlushError {
        FlushError {
            cause,
            unsent: self.gathered(),
        }
    }
}

/// One pass over all buffers: appends each that its partition has room for. `full` is replaced.
///
/// # Errors
/// The first partition's error, where waiting would not help.
fn append_all<M: ProducerMode>(
    producer: &mut Producer<M>,
    buffers: &mut impl Buffers,
    full: &mut Full,
) -> Result<(), SendError> {
    full.partitions.clear();
    full.unnotified = false;
    let mut refused = Ok(());
    let now = producer.clock.now();
    for partition in 0..buffers.partitions() {
        let append = |buffer: &mut GatherBuffer| buffer.append(producer, partition, now);
        match buffers.with(partition, append) {
            Ok(completion) => notify(completion),
            Err(Refusal::Blocked(blocked)) => {
                full.partitions.push(partition);
                full.unnotified |= blocked != Blocked::Reader;
            }
            Err(refusal) => refused = refused.and(Err(refusal.into())),
        }
    }
    refused
}

/// A flush that waits until all buffers are appended, or one is refused for good.
struct WaitForFlush<'t, 'w, F> {
    topic: &'t TopicShared,
    waiter: &'w mut Waiter,
    full: Full,
    /// [`append_all`].
    pass: F,
}

impl<F: FnMut(&mut Full) -> Result<(), SendError>> WaitFor for WaitForFlush<'_, '_, F> {
    type Output = Result<(), SendError>;

    fn attempt(&mut self) -> Attempt<Self::Output> {
        match (self.pass)(&mut self.full) {
            Ok(()) if !self.full.partitions.is_empty() => Attempt::Pending {
                notified: !self.full.unnotified,
            },
            flushed => Attempt::Ready(flushed),
        }
    }

    fn strategy(&self) -> WaitStrategy {
        self.topic.config().wait.clone()
    }

    fn waiter(&mut self) -> &mut Waiter {
        self.waiter
    }

    fn enrolment(&mut self) -> (&mut Waiter, impl Iterator<Item = &Arc<EventCount>>) {
        let readers = |&partition: &u32| self.topic.partition(partition).readers();
        let full = self.full.partitions.iter().map(readers);
        (self.waiter, full.map(|readers| readers.waiting_for_room()))
    }
}
