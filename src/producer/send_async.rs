//! The futures of the sends: waiting for room without blocking a thread, on any executor.
//!
//! A poll of a future takes the path of the blocking call, except that it never blocks. If the
//! partition is full, the task is enrolled in the event count in which a thread would sleep
//! (`wait/wait_loop.rs`), so both follow one protocol.
//!
//! The futures know no time limit; combine them with the executor's timeout. All of them may be
//! dropped at any moment: dropping withdraws the enrolment. A future that was ready and is polled
//! again stays pending.

use super::{Producer, ProducerMode};
use super::appender::{Refusal, WhenFull, report_blocked};
use super::batch::{BatchMetadata, RefusedShare};
use crate::error::{BatchError, SendError};
use crate::record::{Destination, FrameMetadata, Record, RecordMetadata};
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use zerocopy::{Immutable, IntoBytes};

impl<M: ProducerMode> Producer<M> {
    /// Appends a record as soon as there is room: [`send`](Self::send) for a task.
    /// [`max_block`](crate::TopicConfig::max_block) does not apply.
    ///
    /// If the future is dropped before it is ready, nothing was appended.
    ///
    /// # Errors
    /// See [`Producer`]; never `Full`.
    pub fn send_async<'a>(&'a mut self, record: Record<'a>) -> SendAsync<'a, M> {
        SendAsync {
            producer: Some(self),
            full_partition: None,
            record,
        }
    }

    /// Appends fixed-size values as one frame, as soon as there is room:
    /// [`send_values`](Self::send_values) for a task. [`max_block`](crate::TopicConfig::max_block)
    /// does not apply.
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
            full_partition: None,
            destination,
            values: values.as_bytes(),
            records: values.len(),
            value_size: size_of::<T>(),
        }
    }

    /// Appends a batch, each partition's share as soon as there is room for it:
    /// [`send_batch`](Self::send_batch) for a task. [`max_block`](crate::TopicConfig::max_block)
    /// does not apply.
    ///
    /// If the future is dropped before it is ready, the shares of some partitions may have been
    /// appended, each as a whole.
    ///
    /// # Errors
    /// As [`send_batch`](Self::send_batch); never `Full`.
    pub fn send_batch_async<'a>(&'a mut self, records: &'a [Record<'a>]) -> SendBatchAsync<'a, M> {
        SendBatchAsync {
            producer: Some(self),
            full_partition: None,
            records,
            timestamp: None,
            next_partition: 0,
        }
    }
}

/// The future of [`Producer::send_async`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct SendAsync<'a, M: ProducerMode> {
    /// `None` once the future was ready.
    producer: Option<&'a mut Producer<M>>,
    /// The full partition for whose room this future last waited.
    full_partition: Option<u32>,
    record: Record<'a>,
}

impl<M: ProducerMode> Future for SendAsync<'_, M> {
    type Output = Result<RecordMetadata, SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let (producer, full_partition) = (&mut this.producer, &mut this.full_partition);
        poll_send(producer, full_partition, context, |producer, waker| {
            producer.append_for_task(&this.record, waker)
        })
    }
}

/// The future of [`Producer::send_values_async`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct SendValuesAsync<'a, M: ProducerMode> {
    producer: Option<&'a mut Producer<M>>,
    full_partition: Option<u32>,
    destination: Destination<'a>,
    /// All values, back to back.
    values: &'a [u8],
    records: usize,
    /// Bytes of one value.
    value_size: usize,
}

impl<M: ProducerMode> Future for SendValuesAsync<'_, M> {
    type Output = Result<FrameMetadata, SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let (producer, full_partition) = (&mut this.producer, &mut this.full_partition);
        poll_send(producer, full_partition, context, |producer, waker| {
            let when_full = WhenFull::Enrol(waker);
            producer.append_values(
                this.destination,
                this.values,
                this.records,
                this.value_size,
                when_full,
            )
        })
    }
}

/// One attempt at a send that is appended as a whole or not at all.
fn poll_send<M: ProducerMode, T>(
    producer: &mut Option<&mut Producer<M>>,
    full_partition: &mut Option<u32>,
    context: &mut Context<'_>,
    append: impl FnOnce(&mut Producer<M>, &Waker) -> Result<T, Refusal>,
) -> Poll<Result<T, SendError>> {
    let Some(present) = producer.as_deref_mut() else {
        return Poll::Pending;
    };
    // An earlier poll may have enrolled the task. A send on the fast path would leave it enrolled.
    present.appenders.waiter.withdraw();
    let sent = match append(present, context.waker()) {
        Err(Refusal::Pending { partition }) => {
            report_wait(full_partition, partition, present);
            return Poll::Pending;
        }
        Err(Refusal::Error(error)) => Err(error),
        Ok(sent) => Ok(sent),
    };
    *producer = None;
    Poll::Ready(sent)
}

/// Reports that a future waits for room in `partition`: once, however often it is polled.
fn report_wait<M: ProducerMode>(
    full_partition: &mut Option<u32>,
    partition: u32,
    producer: &Producer<M>,
) {
    if full_partition.replace(partition) != Some(partition) {
        report_blocked(&producer.appenders.topic, partition);
    }
}

/// The future of [`Producer::send_batch_async`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct SendBatchAsync<'a, M: ProducerMode> {
    producer: Option<&'a mut Producer<M>>,
    full_partition: Option<u32>,
    records: &'a [Record<'a>],
    /// The timestamp of the records without one, taken when the batch is planned; `None` before.
    timestamp: Option<i64>,
    /// The first partition whose share is still to be appended.
    next_partition: usize,
}

impl<'a, M: ProducerMode> Future for SendBatchAsync<'a, M> {
    type Output = Result<BatchMetadata<'a>, BatchError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(producer) = this.producer.take() else {
            return Poll::Pending;
        };
        producer.appenders.waiter.withdraw();
        let timestamp = match this.timestamp {
            Some(timestamp) => match producer.check_topic() {
                Ok(()) => timestamp,
                Err(cause) => {
                    let error = producer.batch_plan.batch_error(cause, this.next_partition);
                    return Poll::Ready(Err(error));
                }
            },
            None => {
                if let Err(error) = producer.plan_batch(this.records) {
                    return Poll::Ready(Err(error));
                }
                *this.timestamp.insert(producer.default_timestamp())
            }
        };
        let when_full = WhenFull::Enrol(context.waker());
        let sent = producer.append_shares(this.records, timestamp, this.next_partition, when_full);
        let Err(RefusedShare { partition, refusal }) = sent else {
            return Poll::Ready(Ok(producer.batch_metadata(this.records, timestamp)));
        };
        match refusal {
            Refusal::Pending { partition: full } => {
                report_wait(&mut this.full_partition, full, producer);
                this.next_partition = partition;
                this.producer = Some(producer);
                Poll::Pending
            }
            Refusal::Error(cause) => {
                Poll::Ready(Err(producer.batch_plan.batch_error(cause, partition)))
            }
        }
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
