//! The futures of the sends: waiting for room without blocking a thread, on any executor.
//!
//! A poll of a future takes the path of the blocking call, except that it never blocks. If the
//! partition is full, the task is enrolled in the event count in which a thread would sleep
//! (`wait/wait_loop.rs`), so both follow one protocol.
//!
//! What a send keeps between two polls is a [`PendingRecord`], [`PendingValues`] or
//! [`PendingBatch`]. A record is routed once: the first poll that finds its partition full fixes the
//! destination, so the task waits for room in that partition and no other. These types hold no
//! producer. The futures in this file keep the one that they borrow; those of a
//! [`SharedProducer`](super::SharedProducer) take one for each poll.
//!
//! The futures know no time limit; combine them with the executor's timeout. All of them may be
//! dropped at any moment: dropping withdraws the enrolment. A future that was ready and is polled
//! again stays pending.

use super::appender::{Refusal, WhenFull, report_blocked};
use super::batch::{BatchMetadata, RefusedShare};
use super::{Producer, ProducerMode};
use crate::error::{BatchError, SendError};
use crate::record::{Destination, FrameMetadata, Record, RecordMetadata};
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use zerocopy::{Immutable, IntoBytes};

impl<M: ProducerMode> Producer<M> {
    /// Appends a record as soon as there is room: [`send`](Self::send) for a task.
    /// [`max_block`](Self::max_block) does not apply.
    ///
    /// The record is routed once. If its partition is full, the future waits for room there.
    /// Sends that wait are not queued: when a segment becomes free, all of them are woken, and a new
    /// send may take the room before one that has waited. Where a deadline matters, smaller and more
    /// segments make room come more often.
    ///
    /// If the future is dropped before it is ready, nothing was appended.
    ///
    /// # Errors
    /// See [`Producer`]; never `Full`.
    pub fn send_async<'a>(&'a mut self, record: Record<'a>) -> SendAsync<'a, M> {
        SendAsync {
            producer: Some(self),
            pending: PendingRecord::new(record),
        }
    }

    /// Appends fixed-size values as one frame, as soon as there is room:
    /// [`send_values`](Self::send_values) for a task. [`max_block`](Self::max_block) does not apply.
    ///
    /// The frame is routed once. If its partition is full, the future waits for room there.
    ///
    /// If the future is dropped before it is ready, nothing was appended.
    ///
    /// # Errors
    /// See [`Producer`]; never `Full`.
    pub fn send_values_async<'a, T: IntoBytes + Immutable>(
        &'a mut self,
        destination: Destination<'a>,
        values: &'a [T],
    ) -> SendValuesAsync<'a, M> {
        SendValuesAsync {
            producer: Some(self),
            pending: PendingValues::new(destination, values),
        }
    }

    /// Appends a batch, each partition's share as soon as there is room for it:
    /// [`send_batch`](Self::send_batch) for a task. [`max_block`](Self::max_block) does not apply.
    ///
    /// If the future is dropped before it is ready, the shares of some partitions may have been
    /// appended, each as a whole.
    ///
    /// # Errors
    /// As [`send_batch`](Self::send_batch); never `Full`.
    pub fn send_batch_async<'a>(&'a mut self, records: &'a [Record<'a>]) -> SendBatchAsync<'a, M> {
        SendBatchAsync {
            producer: Some(self),
            pending: PendingBatch::new(records),
        }
    }
}

/// The future of [`Producer::send_async`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct SendAsync<'a, M: ProducerMode> {
    /// `None` once the future was ready.
    producer: Option<&'a mut Producer<M>>,
    pending: PendingRecord<'a>,
}

impl<M: ProducerMode> Future for SendAsync<'_, M> {
    type Output = Result<RecordMetadata, SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        poll_until_ready(&mut this.producer, |producer| {
            this.pending.poll(producer, context.waker())
        })
    }
}

/// The future of [`Producer::send_values_async`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct SendValuesAsync<'a, M: ProducerMode> {
    producer: Option<&'a mut Producer<M>>,
    pending: PendingValues<'a>,
}

impl<M: ProducerMode> Future for SendValuesAsync<'_, M> {
    type Output = Result<FrameMetadata, SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        poll_until_ready(&mut this.producer, |producer| {
            this.pending.poll(producer, context.waker())
        })
    }
}

/// The future of [`Producer::send_batch_async`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct SendBatchAsync<'a, M: ProducerMode> {
    producer: Option<&'a mut Producer<M>>,
    pending: PendingBatch<'a>,
}

impl<'a, M: ProducerMode> Future for SendBatchAsync<'a, M> {
    type Output = Result<BatchMetadata<'a>, BatchError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(producer) = this.producer.as_deref_mut() else {
            return Poll::Pending;
        };
        let Poll::Ready(sent) = this.pending.poll(producer, context.waker()) else {
            return Poll::Pending;
        };
        let Some(producer) = this.producer.take() else {
            return Poll::Pending;
        };
        let records = this.pending.records;
        Poll::Ready(sent.map(|timestamp| producer.batch_metadata(records, timestamp)))
    }
}

/// Polls with the future's producer, which it gives up when it is ready.
fn poll_until_ready<M: ProducerMode, T>(
    producer: &mut Option<&mut Producer<M>>,
    poll: impl FnOnce(&mut Producer<M>) -> Poll<T>,
) -> Poll<T> {
    let Some(present) = producer.as_deref_mut() else {
        return Poll::Pending;
    };
    let polled = poll(present);
    if polled.is_ready() {
        *producer = None;
    }
    polled
}

// ---- what is kept between two polls -----------------------------------------------------

/// A record to append as soon as there is room.
pub(super) struct PendingRecord<'a> {
    /// Names its partition once that was found full.
    record: Record<'a>,
    full_partition: Option<u32>,
}

impl<'a> PendingRecord<'a> {
    pub(super) fn new(record: Record<'a>) -> Self {
        PendingRecord {
            record,
            full_partition: None,
        }
    }

    pub(super) fn poll<M: ProducerMode>(
        &mut self,
        producer: &mut Producer<M>,
        waker: &Waker,
    ) -> Poll<Result<RecordMetadata, SendError>> {
        // An earlier poll may have enrolled the task. A send on the fast path would leave it so.
        producer.appenders.waiter.withdraw();
        match producer.append_for_task(&self.record, waker) {
            Ok(sent) => Poll::Ready(Ok(sent)),
            Err(Refusal::Pending { partition }) => {
                report_wait(&mut self.full_partition, partition, producer);
                self.record = self.record.partition(partition);
                Poll::Pending
            }
            Err(refusal) => Poll::Ready(Err(refusal.into())),
        }
    }
}

/// Values to append as one frame, as soon as there is room.
pub(super) struct PendingValues<'a> {
    /// Names the partition once that was found full.
    destination: Destination<'a>,
    /// All values, back to back.
    values: &'a [u8],
    records: usize,
    /// Bytes of one value.
    value_size: usize,
    full_partition: Option<u32>,
}

impl<'a> PendingValues<'a> {
    pub(super) fn new<T: IntoBytes + Immutable>(
        destination: Destination<'a>,
        values: &'a [T],
    ) -> Self {
        PendingValues {
            destination,
            values: values.as_bytes(),
            records: values.len(),
            value_size: size_of::<T>(),
            full_partition: None,
        }
    }

    pub(super) fn poll<M: ProducerMode>(
        &mut self,
        producer: &mut Producer<M>,
        waker: &Waker,
    ) -> Poll<Result<FrameMetadata, SendError>> {
        producer.appenders.waiter.withdraw();
        let sent = producer.append_values(
            self.destination,
            self.values,
            self.records,
            self.value_size,
            WhenFull::Enrol(waker),
        );
        match sent {
            Ok(sent) => Poll::Ready(Ok(sent)),
            Err(Refusal::Pending { partition }) => {
                report_wait(&mut self.full_partition, partition, producer);
                self.destination = Destination::Partition(partition);
                Poll::Pending
            }
            Err(refusal) => Poll::Ready(Err(refusal.into())),
        }
    }
}

/// A batch to append, each share as soon as there is room for it. Its plan, which routes the
/// records, is in the producer, and must be there again at the next poll.
pub(super) struct PendingBatch<'a> {
    pub(super) records: &'a [Record<'a>],
    /// The timestamp of the records without one, taken when the batch is planned; `None` before.
    timestamp: Option<i64>,
    /// The first partition whose share is still to be appended.
    next_partition: usize,
    full_partition: Option<u32>,
}

impl<'a> PendingBatch<'a> {
    pub(super) fn new(records: &'a [Record<'a>]) -> Self {
        PendingBatch {
            records,
            timestamp: None,
            next_partition: 0,
            full_partition: None,
        }
    }

    /// Returns the timestamp of the records that were sent without one.
    pub(super) fn poll<M: ProducerMode>(
        &mut self,
        producer: &mut Producer<M>,
        waker: &Waker,
    ) -> Poll<Result<i64, BatchError>> {
        producer.appenders.waiter.withdraw();
        let timestamp = match self.timestamp {
            Some(timestamp) => match producer.check_topic() {
                Ok(()) => timestamp,
                Err(cause) => {
                    let error = producer.batch_plan.batch_error(cause, self.next_partition);
                    return Poll::Ready(Err(error));
                }
            },
            None => {
                if let Err(error) = producer.plan_batch(self.records) {
                    return Poll::Ready(Err(error));
                }
                *self.timestamp.insert(producer.default_timestamp())
            }
        };
        let when_full = WhenFull::Enrol(waker);
        let sent = producer.append_shares(self.records, timestamp, self.next_partition, when_full);
        let Err(RefusedShare { partition, refusal }) = sent else {
            return Poll::Ready(Ok(timestamp));
        };
        match refusal {
            Refusal::Pending { partition: full } => {
                report_wait(&mut self.full_partition, full, producer);
                self.next_partition = partition;
                Poll::Pending
            }
            refusal => {
                let error = producer.batch_plan.batch_error(refusal.into(), partition);
                Poll::Ready(Err(error))
            }
        }
    }
}

/// Reports that a future waits for room in `partition`: once, however often it is polled.
pub(super) fn report_wait<M: ProducerMode>(
    full_partition: &mut Option<u32>,
    partition: u32,
    producer: &Producer<M>,
) {
    if full_partition.replace(partition) != Some(partition) {
        report_blocked(&producer.appenders.topic, partition);
    }
}

/// What all futures of sends have in common: `Drop`, which withdraws the enrolment, and `Debug`.
macro_rules! send_future {
    ($($name:ident),*) => {$(
        impl<M: ProducerMode> Drop for $name<'_, M> {
            fn drop(&mut self) {
                if let Some(producer) = &mut self.producer {
                    producer.appenders.waiter.withdraw();
                }
            }
        }

        impl<M: ProducerMode> fmt::Debug for $name<'_, M> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("producer", &self.producer)
                    .finish_non_exhaustive()
            }
        }
    )*};
}

send_future!(SendAsync, SendValuesAsync, SendBatchAsync);
