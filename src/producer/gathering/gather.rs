//! The steps of gathering: one body for a [`GatheringProducer`](super::GatheringProducer) and a
//! [`SharedGatheringProducer`](super::SharedGatheringProducer).
//!
//! They differ in how a call reaches a partition's buffer ([`Buffers`]): by `&mut`, or by the
//! buffer's lock. A lock is held for one attempt, which never waits and runs none of the user's
//! code: the record is routed and the clock is read before. A call that finds a partition full
//! waits without the lock, by the wait loop of all sends (`producer/appender.rs`), whose attempts
//! take the lock again.
//!
//! ```text
//! send    plan: check the topic and the record, route it           (the buffers are untouched)
//!         attempt, with the buffer: no room in it -> append it -> gather the record
//!                                   full now     -> append it, if there is room in the log
//!         then: append the buffers of all partitions whose records have lingered
//! flush   for each partition: attempt, with the buffer: append it
//!         then, with patience, once more for those that were blocked
//! ```
//!
//! **Order.** A partition's records are gathered in the order of the calls, and leave the buffer as
//! one frame, in that order. A record that is not gathered (too large, `send_now`) is appended after
//! what is in the buffer. So a thread's records of one key are in the log in the order in which it
//! sent them.
//!
//! **A thread that stops** holds at most one buffer's lock, and only if the handle is shared. Then
//! other calls of that handle wait for it when they come to that partition. No other producer, and
//! no reader, waits for a gathered record: it has no place in the log yet. While its frame is written it is
//! a claim as any other.

use super::buffer::{GatherBuffer, Planned};
use super::config::GatherLimits;
use super::ticket::{Completion, Follower, Ticket};
use crate::error::{FlushError, SendError};
use crate::log::segment::{SimpleRecord, record_size};
use crate::owned_record::UnsentRecord;
use crate::producer::appender::{Refusal, WaitForRoom, WhenFull, report_refused};
use crate::producer::{FastPath, Producer, ProducerMode};
use crate::record::{Destination, NO_TIMESTAMP, Record, RecordMetadata, check_timestamp};
use crate::sync::Count;
use crate::topic::{Timestamps, TopicClock};
use core::mem::take;
use std::time::Duration;

/// The buffers of a handle.
pub(super) trait Buffers {
    /// Runs `step` with a partition's buffer, which no other call uses meanwhile.
    fn with<R>(&mut self, partition: u32, step: impl FnOnce(&mut GatherBuffer) -> R) -> R;

    /// The number of partitions that may have gathered records.
    fn partitions(&self) -> u32;
}

/// When the buffers of a handle are appended.
pub(super) struct Schedule {
    pub(super) limits: GatherLimits,
    /// No record that is gathered was gathered before this time. A hint: a call that runs at the
    /// same time may have begun a little earlier.
    earliest: Count,
    /// Whether to read the clock at each call, although nothing lingers.
    always_timed: bool,
}

impl Schedule {
    pub(super) fn new(limits: GatherLimits, always_timed: bool) -> Schedule {
        Schedule {
            limits,
            earliest: Count::default(),
            always_timed,
        }
    }

    /// The time, if this call needs it.
    #[inline(always)]
    fn now(&self, clock: &TopicClock) -> Option<i64> {
        (self.always_timed || self.limits.linger != i64::MAX).then(|| clock.now())
    }

    #[inline(always)]
    fn may_be_due(&self, now: i64) -> bool {
        self.limits.has_lingered(self.earliest.get() as i64, now)
    }
}

/// How a record was sent.
pub(super) enum Sent {
    /// It was gathered; with a ticket, if it was asked for one.
    Gathered(Option<Ticket>),
    /// It went into the log by itself. Its follower is unchanged.
    Appended(RecordMetadata),
}

impl<M: ProducerMode> Producer<M> {
    /// The partition of a record in the producer's present view of the topic, if its destination alone
    /// fixes that.
    #[inline(always)]
    fn choose_fixed(&self, destination: Destination<'_>) -> Option<u32> {
        match self.fast_path {
            FastPath::Unavailable => None,
            FastPath::Timed | FastPath::Untimed => self.router.choose_fixed(destination),
        }
    }

    /// The checks of a record that is to be gathered, and its partition.
    fn plan_gathered(&mut self, record: &Record<'_>) -> Result<Planned, SendError> {
        self.check_topic()?;
        if let Some(timestamp) = record.timestamp {
            check_timestamp::<SendError>(timestamp)?;
        }
        let body = record_size(record, record.timestamp.is_some());
        let destination = record.destination();
        let partition = self
            .router
            .choose(destination, record.value_bytes().len())?;
        Ok(Planned { partition, body })
    }

    /// The time of a frame that is appended `now`, or [`NO_TIMESTAMP`].
    pub(super) fn gathered_timestamp(&self, now: Option<i64>) -> i64 {
        match (self.appenders.topic.config().timestamps, now) {
            (Timestamps::Given, _) => NO_TIMESTAMP,
            (Timestamps::Append, Some(now)) => now,
            (Timestamps::Append, None) => self.clock.now(),
        }
    }

    /// The error of records that have lingered, and are refused without a wait.
    #[cold]
    fn due_error(&self, partition: u32, refusal: Refusal) -> SendError {
        let topic = &self.appenders.topic;
        match refusal {
            Refusal::Blocked(_) => report_refused(topic, partition, Duration::ZERO),
            refusal => refusal.into(),
        }
    }

    /// Waits for room in a partition that was found full, by further attempts.
    #[cold]
    fn wait_for_attempt<T>(
        &mut self,
        partition: u32,
        refusal: Refusal,
        when_full: WhenFull<'_>,
        mut attempt: impl FnMut(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let Refusal::Blocked(blocked) = refusal else {
            return Err(refusal);
        };
        let topic = self.appenders.topic.clone();
        let mut waiter = take(&mut self.appenders.waiter);
        let room = WaitForRoom {
            topic: &topic,
            partition,
            waiter: &mut waiter,
            max_block: self.max_block(),
            blocked: Some(blocked),
            attempt: || attempt(self),
        };
        let attempted = room.wait(when_full);
        self.appenders.waiter = waiter;
        attempted
    }
}

/// One call of a gathering producer: the producer that it runs on, and the handle's buffers.
pub(super) struct Gathering<'g, M: ProducerMode, B> {
    pub(super) producer: &'g mut Producer<M>,
    pub(super) buffers: B,
    pub(super) schedule: &'g Schedule,
}

impl<M: ProducerMode, B: Buffers> Gathering<'_, M, B> {
    /// Checks a record, and routes it. It is routed once, however long it waits.
    pub(super) fn plan(&mut self, record: &Record<'_>) -> Result<Planned, SendError> {
        self.producer.plan_gathered(record)
    }

    /// Gathers a simple record that nothing follows, if its partition's buffer has gathered others,
    /// has room for it and then for another record, nothing has lingered, and the topic has not
    /// changed. Otherwise does nothing: [`send`](Self::send) has to.
    #[inline(always)]
    pub(super) fn try_send(&mut self, record: &Record<'_>) -> bool {
        let producer = &*self.producer;
        if !record.is_simple() || producer.appenders.topic.state() != producer.seen_state {
            return false;
        }
        let (Some(simple), Some(partition)) = (
            SimpleRecord::of(record),
            producer.choose_fixed(record.destination()),
        ) else {
            return false;
        };
        if let Some(now) = self.schedule.now(&producer.clock) {
            if self.schedule.may_be_due(now) {
                return false;
            }
        }
        self.buffers.with(partition, |buffer| {
            let pushed = buffer.try_push(simple);
            if let Some(appender) = self.producer.appenders.get(partition) {
                appender.prefetch_next_frame::<M>(buffer.size());
            }
            pushed
        })
    }

    /// Gathers a record. If it is refused it was neither gathered nor appended, and its follower is
    /// unchanged.
    pub(super) fn send(
        &mut self,
        planned: Planned,
        record: &Record<'_>,
        follower: &mut Follower,
        when_full: WhenFull<'_>,
    ) -> Result<Sent, Refusal> {
        if self.schedule.limits.is_alone(planned.body) {
            let sent = self.send_alone(planned.partition, record, when_full)?;
            return Ok(Sent::Appended(sent));
        }
        let now = self.schedule.now(&self.producer.clock);
        let (Planned { partition, body }, buffers) = (planned, &mut self.buffers);
        let gathered = buffers.with(partition, |buffer| {
            buffer.has_room(body).then(|| {
                let follower = core::mem::replace(follower, Follower::Nothing);
                let ticket = buffer.push(record, body, now.unwrap_or(0), follower);
                // If there is no room for it in the log, the partition's next record appends it, or
                // returns why that cannot be done.
                let appended = match buffer.is_full() {
                    true => buffer.append(self.producer, partition, now),
                    false => Ok(None),
                };
                (ticket, appended.unwrap_or_default())
            })
        });
        let ticket = match gathered {
            Some((ticket, completion)) => {
                notify(completion);
                ticket
            }
            None => self.make_room(planned, record, now, follower, when_full)?,
        };
        if let Some(now) = now {
            if self.schedule.may_be_due(now) {
                // Why another record is refused, its own partition's next send returns.
                let _ = self.append_due(now);
            }
        }
        Ok(Sent::Gathered(ticket))
    }

    /// Gathers a record for which its partition's buffer has no room: appends the buffer first.
    #[inline(never)]
    fn make_room(
        &mut self,
        planned: Planned,
        record: &Record<'_>,
        now: Option<i64>,
        follower: &mut Follower,
        when_full: WhenFull<'_>,
    ) -> Result<Option<Ticket>, Refusal> {
        let Planned { partition, body } = planned;
        let (buffers, limits) = (&mut self.buffers, &self.schedule.limits);
        let mut attempt = |producer: &mut Producer<M>| {
            buffers.with(partition, |buffer| {
                // Another call may have made room since.
                let completion = match buffer.has_room(body) {
                    true => None,
                    false => buffer.append(producer, partition, now)?,
                };
                if !buffer.has_room(body) {
                    buffer.allocate(limits);
                }
                let follower = core::mem::replace(follower, Follower::Nothing);
                let ticket = buffer.push(record, body, now.unwrap_or(0), follower);
                Ok((ticket, completion))
            })
        };
        let gathered = match attempt(self.producer) {
            Err(refusal) => self
                .producer
                .wait_for_attempt(partition, refusal, when_full, attempt),
            gathered => gathered,
        };
        let (ticket, completion) = gathered?;
        notify(completion);
        Ok(ticket)
    }

    /// Appends a record by itself, after those that are gathered for its partition.
    #[inline(never)]
    pub(super) fn send_alone(
        &mut self,
        partition: u32,
        record: &Record<'_>,
        when_full: WhenFull<'_>,
    ) -> Result<RecordMetadata, Refusal> {
        self.append(partition, when_full)?;
        let record = record.partition(partition);
        self.producer.append_record(&record, when_full)
    }

    /// Appends a partition's buffer.
    fn append(&mut self, partition: u32, when_full: WhenFull<'_>) -> Result<(), Refusal> {
        let now = self.schedule.now(&self.producer.clock);
        let buffers = &mut self.buffers;
        let mut attempt = |producer: &mut Producer<M>| {
            buffers.with(partition, |buffer| buffer.append(producer, partition, now))
        };
        let appended = match attempt(self.producer) {
            Err(refusal) => self
                .producer
                .wait_for_attempt(partition, refusal, when_full, attempt),
            appended => appended,
        };
        notify(appended?);
        Ok(())
    }

    /// Appends all buffers: first those that need not wait, so that a full partition does not hold
    /// up the others.
    pub(super) fn flush(&mut self, when_full: WhenFull<'_>) -> Result<(), Refusal> {
        let (mut blocked, mut refused) = (false, Ok(()));
        for partition in 0..self.buffers.partitions() {
            match self.append(partition, WhenFull::Attempt) {
                Ok(()) => {}
                Err(Refusal::Blocked(_)) => blocked = true,
                Err(refusal) => refused = refused.and(Err(refusal)),
            }
        }
        if !blocked {
            return refused;
        }
        (0..self.buffers.partitions()).try_for_each(|partition| self.append(partition, when_full))
    }

    /// Appends the buffers whose records have lingered. One that finds its partition full is not
    /// waited for: it lingers once more.
    #[inline(never)]
    pub(super) fn append_due(&mut self, now: i64) -> Result<(), SendError> {
        let (mut earliest, mut refused) = (now, Ok(()));
        for partition in 0..self.buffers.partitions() {
            let (producer, limits) = (&mut *self.producer, &self.schedule.limits);
            let completion = self.buffers.with(partition, |buffer| {
                let started = buffer.started()?;
                if !limits.has_lingered(started, now) {
                    earliest = earliest.min(started);
                    return None;
                }
                match buffer.append(producer, partition, Some(now)) {
                    Ok(completion) => completion,
                    Err(refusal) => {
                        buffer.linger_again(now);
                        if refused.is_ok() {
                            refused = Err(producer.due_error(partition, refusal));
                        }
                        None
                    }
                }
            });
            notify(completion);
        }
        self.schedule.earliest.set(earliest as u64);
        refused
    }

    /// Takes all records back, for the reason that their followers learn.
    pub(super) fn take_back(&mut self, reason: &SendError) -> Vec<UnsentRecord> {
        let mut unsent = Vec::new();
        for partition in 0..self.buffers.partitions() {
            let take = |buffer: &mut GatherBuffer| buffer.take_back(partition, reason, &mut unsent);
            let completion = self.buffers.with(partition, take);
            notify(completion);
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
        let (now, linger) = (
            self.schedule.now(&self.producer.clock),
            self.schedule.limits.linger,
        );
        let left = match now {
            _ if linger == i64::MAX => return Some(Duration::MAX),
            Some(now) if !self.schedule.limits.has_lingered(earliest, now) => {
                earliest.saturating_add(linger) - now
            }
            _ => 0,
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

fn notify(completion: Option<Completion>) {
    if let Some(completion) = completion {
        completion.notify();
    }
}
