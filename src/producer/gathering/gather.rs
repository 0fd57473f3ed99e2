//! The steps of a send: one body for a [`GatheringProducer`](super::GatheringProducer) and a
//! [`SharedGatheringProducer`](super::SharedGatheringProducer). `flush.rs` has those of a flush.
//!
//! The two handles differ in how a call reaches a partition's buffer ([`Buffers`]): by `&mut`, or
//! by the buffer's lock. A lock is held for one attempt, which never waits and runs none of the
//! user's code: the record is routed and the clock is read before, and readers that the attempt
//! notifies are woken after ([`defer_wakes`](crate::wait::defer_wakes)). A call that finds a
//! partition full waits without the lock, by the wait loop of all sends
//! (`producer/appender.rs`), whose attempts take the lock again.
//!
//! ```text
//! send    plan: check the topic and the record, route it           (the buffers are untouched)
//!         append the buffers whose records have lingered, of all partitions
//!         attempt, with the buffer: no room in it -> append it -> gather the record
//!                                   full now     -> append it, if there is room in the log
//! ```
//!
//! All of the user's code that can panic has run before the record is gathered. So a send that
//! panics has gathered nothing.
//!
//! **Order.** A partition's records are gathered in the order of the calls, and leave the buffer as
//! one frame, in that order. A record that is not gathered (too large, `send_now`) is appended after
//! what is in the buffer. So a thread's records of one key are in the log in the order in which it
//! sent them.
//!
//! **A thread that stops** holds at most one buffer's lock, and only if the handle is shared. Then
//! other calls of that handle wait for it when they come to that partition. No other producer, and
//! no reader, waits for a gathered record: it has no place in the log yet. While its frame is
//! written it is a claim as any other.

use super::buffer::{GatherBuffer, Planned};
use super::config::GatherLimits;
use super::ticket::{Completion, Follower, Ticket};
use crate::error::SendError;
use crate::log::segment::{SimpleRecord, record_size};
use crate::producer::appender::{Refusal, WaitForRoom, WhenFull, record_too_large};
use crate::producer::{FastPath, Producer, ProducerMode};
use crate::record::{Destination, NO_TIMESTAMP, Record, RecordMetadata, check_timestamp};
use crate::sync::Count;
use crate::topic::Timestamps;
use core::mem::{replace, take};
use std::time::{Duration, Instant};

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
    pub(super) earliest: Count,
}

impl Schedule {
    pub(super) fn new(limits: GatherLimits) -> Schedule {
        Schedule {
            limits,
            earliest: Count::default(),
        }
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
    /// It was not gathered, but appended at once. Its follower is unchanged.
    Appended(RecordMetadata),
}

impl<M: ProducerMode> Producer<M> {
    /// The partition of a record in the producer's present view of the topic, if its destination
    /// alone fixes that.
    #[inline(always)]
    fn choose_fixed(&self, destination: Destination<'_>) -> Option<u32> {
        match self.fast_path {
            FastPath::Unavailable => None,
            FastPath::Timed | FastPath::Untimed => self.router.choose_fixed(destination),
        }
    }

    /// The time of a frame that is appended `now`, or [`NO_TIMESTAMP`].
    pub(super) fn gathered_timestamp(&self, now: i64) -> i64 {
        match self.appenders.topic.config().timestamps {
            Timestamps::Given => NO_TIMESTAMP,
            Timestamps::Append => now,
        }
    }
}

/// One call of a gathering producer: the producer that it runs on, and the handle's buffers.
pub(super) struct Gathering<'g, M: ProducerMode, B> {
    pub(super) producer: &'g mut Producer<M>,
    pub(super) buffers: B,
    pub(super) schedule: &'g Schedule,
    /// When the call began to wait for room, if it did. All its waits together take `max_block` at
    /// most.
    waiting_since: Option<Instant>,
}

impl<'g, M: ProducerMode, B: Buffers> Gathering<'g, M, B> {
    #[inline(always)]
    pub(super) fn new(
        producer: &'g mut Producer<M>,
        buffers: B,
        schedule: &'g Schedule,
    ) -> Gathering<'g, M, B> {
        Gathering {
            producer,
            buffers,
            schedule,
            waiting_since: None,
        }
    }

    /// Checks a record, and routes it. It is routed once, however long it waits.
    pub(super) fn plan(&mut self, record: &Record<'_>) -> Result<Planned, SendError> {
        let producer = &mut *self.producer;
        producer.check_topic()?;
        if let Some(timestamp) = record.timestamp {
            check_timestamp::<SendError>(timestamp)?;
        }
        let topic = &producer.appenders.topic;
        let stamped = topic.config().timestamps == Timestamps::Append;
        let size = record_size(record, stamped || record.timestamp.is_some());
        if size > topic.pool().shape().data_bytes() {
            return Err(record_too_large(topic, size));
        }
        let (destination, bytes) = (record.destination(), record.value_bytes().len());
        Ok(Planned {
            partition: producer.router.choose(destination, bytes)?,
            body: record_size(record, record.timestamp.is_some()),
        })
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
        // Where records linger without end the clock need not be read.
        let lingers = self.schedule.limits.linger != i64::MAX;
        if lingers && self.schedule.may_be_due(producer.clock.now()) {
            return false;
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
            let sent = self.send_alone(planned, record, when_full)?;
            return Ok(Sent::Appended(sent));
        }
        let now = self.append_lingering();
        let Planned { partition, body } = planned;
        let gathered = self.buffers.with(partition, |buffer| {
            buffer.has_room(body).then(|| {
                let follower = replace(follower, Follower::Nothing);
                let ticket = buffer.push(record, body, now, follower);
                // If there is no room for it in the log, the partition's next record appends it, or
                // returns why that cannot be done.
                let appended = match buffer.is_full() {
                    true => buffer.append(self.producer, partition, now),
                    false => Ok(None),
                };
                (ticket, appended.unwrap_or_default())
            })
        });
        let (ticket, completion) = match gathered {
            Some(gathered) => gathered,
            None => self.make_room(planned, record, now, follower, when_full)?,
        };
        notify(completion);
        Ok(Sent::Gathered(ticket))
    }

    /// Gathers a record for which its partition's buffer has no room: appends the buffer first.
    fn make_room(
        &mut self,
        planned: Planned,
        record: &Record<'_>,
        now: i64,
        follower: &mut Follower,
        when_full: WhenFull<'_>,
    ) -> Result<(Option<Ticket>, Option<Completion>), Refusal> {
        let Planned { partition, body } = planned;
        let limits = &self.schedule.limits;
        self.attempt_until_room(partition, now, when_full, |producer, buffer, now| {
            // Another call may have made room since.
            let completion = match buffer.has_room(body) {
                true => None,
                false => buffer.append(producer, partition, now)?,
            };
            if !buffer.has_room(body) {
                buffer.allocate(limits);
            }
            let follower = replace(follower, Follower::Nothing);
            Ok((buffer.push(record, body, now, follower), completion))
        })
    }

    /// Appends a record without gathering it, after those that are gathered for its partition.
    pub(super) fn send_alone(
        &mut self,
        planned: Planned,
        record: &Record<'_>,
        when_full: WhenFull<'_>,
    ) -> Result<RecordMetadata, Refusal> {
        let partition = planned.partition;
        let now = self.append_lingering();
        let append = |producer: &mut Producer<M>, buffer: &mut GatherBuffer, now| {
            buffer.append(producer, partition, now)
        };
        notify(self.attempt_until_room(partition, now, when_full, append)?);
        let record = record.partition(partition);
        let when_full = match (when_full, self.waiting_since) {
            (WhenFull::Block, Some(_)) => WhenFull::UpTo(self.time_left()),
            (when_full, _) => when_full,
        };
        let appended = self.producer.append_record(&record, when_full);
        match (appended, self.waiting_since) {
            // Both waits.
            (
                Err(Refusal::Error(SendError::Full {
                    topic, partition, ..
                })),
                Some(since),
            ) => {
                let waited = since.elapsed();
                Err(SendError::Full {
                    topic,
                    partition,
                    waited,
                }
                .into())
            }
            (appended, _) => appended,
        }
    }

    /// Appends the buffers whose records have lingered. Returns the time.
    fn append_lingering(&mut self) -> i64 {
        let now = self.producer.clock.now();
        if self.schedule.may_be_due(now) {
            // Why other records are refused, the next send to their partition returns.
            let _ = self.append_due(now);
        }
        now
    }

    /// Makes attempts with a partition's buffer, for as long as `when_full` allows. The first one is
    /// made `now`; each has its time.
    fn attempt_until_room<T>(
        &mut self,
        partition: u32,
        now: i64,
        when_full: WhenFull<'_>,
        mut attempt: impl FnMut(&mut Producer<M>, &mut GatherBuffer, i64) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let producer = &mut *self.producer;
        let first = (self.buffers).with(partition, |buffer| attempt(producer, buffer, now));
        let Err(Refusal::Blocked(blocked)) = first else {
            return first;
        };
        let when_full = match when_full {
            WhenFull::Block => WhenFull::UpTo(self.time_left()),
            when_full => when_full,
        };
        let (producer, buffers) = (&mut *self.producer, &mut self.buffers);
        let topic = producer.appenders.topic.clone();
        let mut waiter = take(&mut producer.appenders.waiter);
        let room = WaitForRoom {
            topic: &topic,
            partition,
            waiter: &mut waiter,
            max_block: Duration::ZERO, // `when_full` has the limit
            blocked: Some(blocked),
            attempt: || {
                let now = producer.clock.now();
                buffers.with(partition, |buffer| attempt(producer, buffer, now))
            },
        };
        let attempted = room.wait(when_full);
        self.producer.appenders.waiter = waiter;
        attempted
    }

    /// What is left of `max_block` for this call.
    pub(super) fn time_left(&mut self) -> Duration {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        self.producer.max_block().saturating_sub(since.elapsed())
    }
}

/// Runs callbacks and wakes tasks, when no lock is held.
pub(super) fn notify(completion: Option<Completion>) {
    if let Some(completion) = completion {
        completion.notify();
    }
}
