//! Waiting without a thread: the polls and sends of tasks, on any executor.
//!
//! Each future does what the blocking call does, look by look, and is woken where that would sleep
//! (`wait.rs`): there is one protocol. None of them knows of time: wrap them in the executor's own
//! timeout. All may be dropped at any moment.

use super::Producer;
use super::appender::{Refusal, WhenFull, report_blocked};
use super::batch::BatchMetadata;
use crate::error::{BatchError, SendError};
use crate::log::segment::ClaimMode;
use crate::record::{Destination, FrameMetadata, Record, RecordMetadata};
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use zerocopy::{Immutable, IntoBytes};

#[allow(private_bounds)]
impl<S: ClaimMode> Producer<S> {
    /// Sends a record, as soon as there is room. As [`send`](Self::send) for a task, without
    /// [`max_block`](crate::TopicConfig::max_block).
    ///
    /// Dropped before it is ready, it has sent nothing.
    ///
    /// # Errors
    /// See [`Producer`]; never `Full`.
    pub fn send_async<'a>(&'a mut self, record: Record<'a>) -> SendAsync<'a, S> {
        SendAsync {
            producer: Some(self),
            waits_for: None,
            record,
        }
    }

    /// Sends fixed-size values as one frame, as soon as there is room. As
    /// [`send_values`](Self::send_values) for a task.
    ///
    /// Dropped before it is ready, it has sent nothing.
    ///
    /// # Errors
    /// See [`Producer`]; never `Full`.
    pub fn send_values_async<'a, T: IntoBytes + Immutable>(
        &'a mut self,
        destination: Destination<'a>,
        values: &'a [T],
    ) -> SendValuesAsync<'a, S> {
        SendValuesAsync {
            producer: Some(self),
            waits_for: None,
            destination,
            values: values.as_bytes(),
            records: values.len(),
            value: size_of::<T>(),
        }
    }

    /// Sends a batch, each partition's share as soon as there is room for it. As
    /// [`send_batch`](Self::send_batch) for a task.
    ///
    /// Dropped before it is ready, it may have sent the shares of some partitions, each as a whole.
    ///
    /// # Errors
    /// As [`send_batch`](Self::send_batch); never `Full`.
    pub fn send_batch_async<'a>(&'a mut self, records: &'a [Record<'a>]) -> SendBatchAsync<'a, S> {
        SendBatchAsync {
            producer: Some(self),
            waits_for: None,
            records,
            time: None,
            next: 0,
        }
    }
}

/// The future of [`Producer::send_async`].
#[allow(private_bounds)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct SendAsync<'a, S: ClaimMode> {
    producer: Option<&'a mut Producer<S>>,
    waits_for: Option<u32>,
    record: Record<'a>,
}

#[allow(private_bounds)]
impl<S: ClaimMode> Future for SendAsync<'_, S> {
    type Output = Result<RecordMetadata, SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let (producer, waits_for) = (&mut this.producer, &mut this.waits_for);
        attempt(producer, waits_for, context, |producer, waker| {
            producer.append_for_task(&this.record, waker)
        })
    }
}

/// The future of [`Producer::send_values_async`].
#[allow(private_bounds)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct SendValuesAsync<'a, S: ClaimMode> {
    producer: Option<&'a mut Producer<S>>,
    waits_for: Option<u32>,
    destination: Destination<'a>,
    values: &'a [u8],
    records: usize,
    /// Bytes of each.
    value: usize,
}

#[allow(private_bounds)]
impl<S: ClaimMode> Future for SendValuesAsync<'_, S> {
    type Output = Result<FrameMetadata, SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let (producer, waits_for) = (&mut this.producer, &mut this.waits_for);
        attempt(producer, waits_for, context, |producer, waker| {
            let when_full = WhenFull::Enrol(waker);
            producer.append_values(
                this.destination,
                this.values,
                this.records,
                this.value,
                when_full,
            )
        })
    }
}

/// One attempt at a send that goes as a whole.
fn attempt<S: ClaimMode, T>(
    producer: &mut Option<&mut Producer<S>>,
    waits_for: &mut Option<u32>,
    context: &mut Context<'_>,
    append: impl FnOnce(&mut Producer<S>, &Waker) -> Result<T, Refusal>,
) -> Poll<Result<T, SendError>> {
    let Some(waiting) = producer.as_deref_mut() else {
        return Poll::Pending;
    };
    waiting.appenders.waiter.withdraw();
    let sent = match append(waiting, context.waker()) {
        Err(Refusal::Pending { partition }) => {
            wait_for(waits_for, partition, waiting);
            return Poll::Pending;
        }
        Err(Refusal::Error(error)) => Err(error),
        Ok(sent) => Ok(sent),
    };
    *producer = None;
    Poll::Ready(sent)
}

/// A future waits for room in a partition: it counts once, however often it is polled.
fn wait_for<S: ClaimMode>(waits_for: &mut Option<u32>, partition: u32, producer: &Producer<S>) {
    if waits_for.replace(partition) != Some(partition) {
        report_blocked(&producer.appenders.topic, partition);
    }
}

/// The future of [`Producer::send_batch_async`].
#[allow(private_bounds)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct SendBatchAsync<'a, S: ClaimMode> {
    producer: Option<&'a mut Producer<S>>,
    waits_for: Option<u32>,
    records: &'a [Record<'a>],
    /// Of the records that were given none; none before the batch is planned.
    time: Option<i64>,
    /// The first partition whose share is still to be appended.
    next: usize,
}

#[allow(private_bounds)]
impl<'a, S: ClaimMode> Future for SendBatchAsync<'a, S> {
    type Output = Result<BatchMetadata<'a>, BatchError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(producer) = this.producer.take() else {
            return Poll::Pending;
        };
        producer.appenders.waiter.withdraw();
        let time = match this.time {
            Some(time) => match producer.check() {
                Ok(()) => time,
                Err(cause) => {
                    return Poll::Ready(Err(producer.batch_plan.refused(cause, this.next)));
                }
            },
            None => {
                if let Err(error) = producer.plan_batch(this.records) {
                    return Poll::Ready(Err(error));
                }
                *this.time.insert(producer.time())
            }
        };
        let when_full = WhenFull::Enrol(context.waker());
        match producer.append_shares(this.records, time, this.next, when_full) {
            Ok(()) => Poll::Ready(Ok(producer.appended(this.records, time))),
            Err((next, Refusal::Pending { partition })) => {
                wait_for(&mut this.waits_for, partition, producer);
                this.next = next;
                this.producer = Some(producer);
                Poll::Pending
            }
            Err((next, Refusal::Error(cause))) => {
                Poll::Ready(Err(producer.batch_plan.refused(cause, next)))
            }
        }
    }
}

/// Leaves the lists of those who are to be woken, and is shown, as what it is.
macro_rules! send_future {
    ($($name:ident),*) => {$(
        #[allow(private_bounds)]
        impl<S: ClaimMode> Drop for $name<'_, S> {
            fn drop(&mut self) {
                if let Some(producer) = &mut self.producer {
                    producer.appenders.waiter.withdraw();
                }
            }
        }

        #[allow(private_bounds)]
        impl<S: ClaimMode> fmt::Debug for $name<'_, S> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("producer", &self.producer)
                    .finish_non_exhaustive()
            }
        }
    )*};
}

send_future!(SendAsync, SendValuesAsync, SendBatchAsync);
