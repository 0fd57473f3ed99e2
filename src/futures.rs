//! Waiting without a thread: the polls and sends of tasks, on any executor.
//!
//! Each future does what the blocking call does, look by look, and is woken where that would sleep
//! (`wait.rs`): there is one protocol. None of them knows of time: wrap them in the executor's own
//! timeout. All may be dropped at any moment.

use crate::batch::Batch;
use crate::consumer::Consumer;
use crate::error::{BatchError, ConsumeError, SendError};
use crate::lane::{Patience, report_blocked};
use crate::producer::Producer;
use crate::record::{Destination, FrameMetadata, Record, RecordMetadata};
use crate::segment::ClaimMode;
use crate::send_batch::BatchMetadata;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use zerocopy::{Immutable, IntoBytes};

impl Consumer {
    /// Reads the next records of one partition, as soon as there are some. As
    /// [`poll`](Self::poll) for a task, and the batch is never empty. (A task that reads a long log
    /// in a loop never has to wait: it should give way to others now and then.)
    ///
    /// Dropped before it is ready, it has read nothing, and the position is where it was.
    ///
    /// A member of a group is alive to its group only while it polls: a task that waits here is
    /// woken by its group's changes, but does not find out by itself that *another* member is dead.
    /// Where members may die, have the task poll now and then (`tokio::time::timeout`).
    ///
    /// ```
    /// use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let broker = Broker::new();
    /// let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// let mut consumer = broker.consumer(ConsumerConfig::new());
    /// consumer.subscribe(&["orders"])?;
    ///
    /// tokio::spawn(async move { topic.producer().send_async(Record::new("login")).await });
    /// let batch = consumer.poll_async().await?;
    /// assert_eq!(batch.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    pub fn poll_async(&mut self) -> PollAsync<'_> {
        PollAsync {
            consumer: Some(self),
        }
    }
}

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
        route: Destination<'a>,
        values: &'a [T],
    ) -> SendValuesAsync<'a, S> {
        SendValuesAsync {
            producer: Some(self),
            waits_for: None,
            route,
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

/// The future of [`Consumer::poll_async`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct PollAsync<'c> {
    /// None when it is done. Polled again, it stays pending.
    consumer: Option<&'c mut Consumer>,
}

impl<'c> Future for PollAsync<'c> {
    type Output = Result<Batch<'c>, ConsumeError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(consumer) = self.consumer.as_deref_mut() else {
            return Poll::Pending;
        };
        let Poll::Ready(found) = consumer.find_for(context.waker()) else {
            return Poll::Pending;
        };
        match (self.consumer.take(), found) {
            (Some(consumer), Ok(i)) => Poll::Ready(Ok(consumer.batch(i))),
            (_, Err(error)) => Poll::Ready(Err(error)),
            (None, Ok(_)) => Poll::Pending,
        }
    }
}

impl Drop for PollAsync<'_> {
    fn drop(&mut self) {
        if let Some(consumer) = &mut self.consumer {
            consumer.waiter.withdraw();
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
        attempt(producer, waits_for, context, |producer, how| {
            producer.append(&this.record, how)
        })
    }
}

/// The future of [`Producer::send_values_async`].
#[allow(private_bounds)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct SendValuesAsync<'a, S: ClaimMode> {
    producer: Option<&'a mut Producer<S>>,
    waits_for: Option<u32>,
    route: Destination<'a>,
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
        attempt(producer, waits_for, context, |producer, how| {
            producer.append_values(this.route, this.values, this.records, this.value, how)
        })
    }
}

/// One attempt at a send that goes as a whole.
fn attempt<S: ClaimMode, T>(
    producer: &mut Option<&mut Producer<S>>,
    waits_for: &mut Option<u32>,
    context: &mut Context<'_>,
    append: impl FnOnce(&mut Producer<S>, Patience<'_>) -> Result<T, SendError>,
) -> Poll<Result<T, SendError>> {
    let Some(waiting) = producer.as_deref_mut() else {
        return Poll::Pending;
    };
    waiting.waiter.withdraw();
    match append(waiting, Patience::Task(context.waker())) {
        Err(SendError::Full { partition, .. }) => {
            wait_for(waits_for, partition, waiting);
            Poll::Pending
        }
        done => {
            *producer = None;
            Poll::Ready(done)
        }
    }
}

/// A future waits for room in a partition: it counts once, however often it is polled.
fn wait_for<S: ClaimMode>(waits_for: &mut Option<u32>, partition: u32, producer: &Producer<S>) {
    if waits_for.replace(partition) != Some(partition) {
        report_blocked(&producer.topic, partition);
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
        producer.waiter.withdraw();
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
        let how = Patience::Task(context.waker());
        match producer.append_shares(this.records, time, this.next, how) {
            Ok(()) => Poll::Ready(Ok(producer.appended(this.records, time))),
            Err((partition, SendError::Full { .. })) => {
                wait_for(&mut this.waits_for, partition as u32, producer);
                this.next = partition;
                this.producer = Some(producer);
                Poll::Pending
            }
            Err((partition, cause)) => {
                Poll::Ready(Err(producer.batch_plan.refused(cause, partition)))
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
                    producer.waiter.withdraw();
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

impl fmt::Debug for PollAsync<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollAsync")
            .field("consumer", &self.consumer)
            .finish()
    }
}
