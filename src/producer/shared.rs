//! [`SharedProducer`]: a producer for many threads and tasks at once, by `&self`.
//!
//! Each call runs on a [`Producer`] of its own, which it takes out of a pool
//! (`producer_pool.rs`). A future takes one for each of its polls and holds none while it waits:
//! what it keeps is its place in the event counts ([`Waiter`]) and what is left to send
//! (`send_async.rs`).

use super::appender::{Refusal, WhenFull};
use super::batch_plan::BatchPlan;
use super::producer_pool::{PooledProducer, ProducerPool};
use super::send_async::{PendingBatch, PendingRecord, PendingValues, report_wait};
use crate::error::{BatchError, SendError};
use crate::record::{Destination, FrameMetadata, Record, RecordMetadata};
use crate::topic::{Topic, TopicShared};
use crate::wait::Waiter;
use core::fmt;
use core::future::{Future, poll_fn};
use core::mem::swap;
use core::task::{Context, Poll};
use std::sync::Arc;
use std::time::Duration;
use zerocopy::{Immutable, IntoBytes};

impl Topic {
    /// Creates a producer that many threads and tasks use at once, by `&self`.
    ///
    /// Clones share their memory, so one can be made for each request. While any of them is alive,
    /// the topic admits no exclusive producer.
    ///
    /// ```
    /// # use ringlog::{Broker, Record, TopicConfig};
    /// # let broker = Broker::new();
    /// let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// let orders = topic.shared_producer();
    /// std::thread::scope(|scope| {
    ///     for id in 0..4u32 {
    ///         let orders = &orders;
    ///         scope.spawn(move || orders.send(Record::new("order").key(&id.to_le_bytes())));
    ///     }
    /// });
    /// assert_eq!(topic.log_end_offset(0)?, 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shared_producer(&self) -> SharedProducer {
        let pool = ProducerPool::new(self.inner().clone());
        SharedProducer {
            max_block: pool.topic().config().max_block,
            pool: Arc::new(pool),
        }
    }
}

/// Sends records to one topic, from any number of threads and tasks at once.
///
/// It has the calls of a [`Producer`](crate::Producer) but for `claim`, with `&self`. Each call
/// uses a producer of the handle's pool while it runs. A future uses one while it is polled, and
/// none while it waits. So the pool has as many producers, each with its spare segment, as calls
/// ever ran at the same time. As many idle ones are kept as the machine has cores (at most 64);
/// the others are dropped at the end of their call. All are dropped with the last clone of the
/// handle.
///
/// A call takes its producer without waiting for another call, even for one whose thread has
/// stopped. That costs a few atomic operations more than a send by a `Producer`. Only a call that
/// finds all producers in use takes a lock, to make one more. A thread that sends all the time is
/// better off with a [`Producer`](crate::Producer) of its own.
///
/// Equal keys go to one partition, whichever clone sends them. Records that a thread or task sends
/// one after the other to the same partition get ascending offsets.
///
/// # A request handler
///
/// Each request of a server sends by a clone of one handle, which waits for room without blocking
/// a thread. Here tasks stand in for the requests:
///
/// ```
/// use ringlog::{Broker, ConsumerConfig, Record, SendError, SharedProducer, TopicConfig};
/// use std::time::Duration;
///
/// /// What the handlers of the server share.
/// #[derive(Clone)]
/// struct App {
///     audit: SharedProducer,
/// }
///
/// async fn handle(app: App, user: u32) -> Result<u64, SendError> {
///     let key = user.to_le_bytes();
///     let sent = app.audit.send_async(Record::new("login").key(&key)).await?;
///     Ok(sent.offset)
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// let broker = Broker::new();
/// let topic = broker.create_topic("audit", TopicConfig::new().partitions(4))?;
/// let mut consumer = broker.consumer(ConsumerConfig::new())?;
/// consumer.subscribe(["audit"])?;
///
/// let app = App { audit: topic.shared_producer() };
/// let requests: Vec<_> = (0..1000).map(|user| tokio::spawn(handle(app.clone(), user))).collect();
/// for request in requests {
///     // A server answers 503 where the time is up or the topic is closed.
///     tokio::time::timeout(Duration::from_secs(60), request).await???;
/// }
/// let mut seen = 0;
/// while seen < 1000 {
///     seen += consumer.poll_async().await?.len();
/// }
/// # Ok(())
/// # })
/// # }
/// ```
///
/// # Errors
///
/// Those of a [`Producer`](crate::Producer#errors).
#[derive(Clone)]
pub struct SharedProducer {
    pool: Arc<ProducerPool>,
    max_block: Duration,
}

impl SharedProducer {
    /// The topic's name.
    pub fn topic(&self) -> &str {
        self.pool.topic().name()
    }

    /// How long a call of this handle waits for room before it fails with [`SendError::Full`]. The
    /// topic's [`max_block`](crate::TopicConfig::max_block), unless
    /// [`set_max_block`](Self::set_max_block) has set another limit.
    pub fn max_block(&self) -> Duration {
        self.max_block
    }

    /// Sets how long a call of this handle waits for room. Clones made from now on have the same
    /// limit; other clones keep theirs.
    pub fn set_max_block(&mut self, limit: Duration) {
        self.max_block = limit;
    }

    pub(super) fn shared_topic(&self) -> &TopicShared {
        self.pool.topic()
    }

    /// A producer for one call.
    pub(super) fn take(&self) -> PooledProducer<'_> {
        let mut producer = self.pool.take();
        producer.set_max_block(self.max_block);
        producer
    }

    /// Appends a record: [`Producer::send`](crate::Producer::send).
    ///
    /// # Errors
    /// See [`Producer`](crate::Producer#errors).
    pub fn send(&self, record: Record<'_>) -> Result<RecordMetadata, SendError> {
        self.take().send(record)
    }

    /// Appends a record if there is room at once: [`Producer::try_send`](crate::Producer::try_send).
    ///
    /// # Errors
    /// See [`Producer`](crate::Producer#errors).
    pub fn try_send(&self, record: Record<'_>) -> Result<RecordMetadata, SendError> {
        self.take().try_send(record)
    }

    /// Appends a batch, each partition's share as one frame:
    /// [`Producer::send_batch`](crate::Producer::send_batch). Returns the metadata of each record, in
    /// the order of `records`.
    ///
    /// # Errors
    /// As [`Producer::send_batch`](crate::Producer::send_batch).
    pub fn send_batch(&self, records: &[Record<'_>]) -> Result<Vec<RecordMetadata>, BatchError> {
        let mut producer = self.take();
        let sent = producer.send_batch(records)?;
        Ok(sent.iter().collect())
    }

    /// Appends a batch without waiting for room:
    /// [`Producer::try_send_batch`](crate::Producer::try_send_batch).
    ///
    /// # Errors
    /// As [`Producer::send_batch`](crate::Producer::send_batch).
    pub fn try_send_batch(
        &self,
        records: &[Record<'_>],
    ) -> Result<Vec<RecordMetadata>, BatchError> {
        let mut producer = self.take();
        let sent = producer.try_send_batch(records)?;
        Ok(sent.iter().collect())
    }

    /// Appends fixed-size values as one frame:
    /// [`Producer::send_values`](crate::Producer::send_values).
    ///
    /// # Errors
    /// See [`Producer`](crate::Producer#errors).
    pub fn send_values<T: IntoBytes + Immutable>(
        &self,
        destination: Destination<'_>,
        values: &[T],
    ) -> Result<FrameMetadata, SendError> {
        self.take().send_values(destination, values)
    }

    /// Appends fixed-size values if there is room at once:
    /// [`Producer::try_send_values`](crate::Producer::try_send_values).
    ///
    /// # Errors
    /// See [`Producer`](crate::Producer#errors).
    pub fn try_send_values<T: IntoBytes + Immutable>(
        &self,
        destination: Destination<'_>,
        values: &[T],
    ) -> Result<FrameMetadata, SendError> {
        self.take().try_send_values(destination, values)
    }

    // ---- for tasks ----------------------------------------------------------------------

    /// Appends a record as soon as there is room:
    /// [`Producer::send_async`](crate::Producer::send_async). [`max_block`](Self::max_block) does not
    /// apply.
    ///
    /// If the future is dropped before it is ready, nothing was appended.
    ///
    /// # Errors
    /// See [`Producer`](crate::Producer#errors); never `Full`.
    pub fn send_async<'a>(
        &'a self,
        record: Record<'a>,
    ) -> impl Future<Output = Result<RecordMetadata, SendError>> + Send + use<'a> {
        let mut pending = PendingRecord::new(record);
        self.future(move |producer, context| pending.poll(producer, context.waker()))
    }

    /// Appends fixed-size values as one frame, as soon as there is room:
    /// [`Producer::send_values_async`](crate::Producer::send_values_async).
    /// [`max_block`](Self::max_block) does not apply.
    ///
    /// If the future is dropped before it is ready, nothing was appended.
    ///
    /// # Errors
    /// See [`Producer`](crate::Producer#errors); never `Full`.
    pub fn send_values_async<'a, T: IntoBytes + Immutable>(
        &'a self,
        destination: Destination<'a>,
        values: &'a [T],
    ) -> impl Future<Output = Result<FrameMetadata, SendError>> + Send + use<'a, T> {
        let mut pending = PendingValues::new(destination, values);
        self.future(move |producer, context| pending.poll(producer, context.waker()))
    }

    /// Appends a batch, each partition's share as soon as there is room for it:
    /// [`Producer::send_batch_async`](crate::Producer::send_batch_async).
    /// [`max_block`](Self::max_block) does not apply.
    ///
    /// If the future is dropped before it is ready, the shares of some partitions may have been
    /// appended, each as a whole.
    ///
    /// # Errors
    /// As [`Producer::send_batch`](crate::Producer::send_batch); never `Full`.
    pub fn send_batch_async<'a>(
        &'a self,
        records: &'a [Record<'a>],
    ) -> impl Future<Output = Result<Vec<RecordMetadata>, BatchError>> + Send + use<'a> {
        let mut pending = PendingBatch::new(records);
        let mut plan = BatchPlan::default();
        self.future(move |producer, context| {
            // The plan stays with the future: the next poll is on another producer.
            swap(&mut producer.batch_plan, &mut plan);
            let polled = pending.poll(producer, context.waker()).map(|sent| {
                let timestamp = sent?;
                Ok(producer.batch_metadata(records, timestamp).iter().collect())
            });
            swap(&mut producer.batch_plan, &mut plan);
            polled
        })
    }

    /// Appends records to one partition as one frame with a note, as soon as there is room:
    /// [`Producer::send_frame`](crate::Producer::send_frame) for a task.
    /// [`max_block`](Self::max_block) does not apply.
    ///
    /// If the future is dropped before it is ready, nothing was appended.
    ///
    /// # Errors
    /// See [`Producer`](crate::Producer#errors); never `Full`.
    pub fn send_frame_async<'a>(
        &'a self,
        partition: u32,
        records: &'a [Record<'a>],
        note: &'a [u64],
    ) -> impl Future<Output = Result<FrameMetadata, SendError>> + Send + use<'a> {
        let mut full_partition = None;
        self.future(move |producer, context| {
            producer.appenders.waiter.withdraw();
            let when_full = WhenFull::Enrol(context.waker());
            match producer.append_frame(partition, records, note, when_full) {
                Ok(sent) => Poll::Ready(Ok(sent)),
                Err(Refusal::Pending { partition }) => {
                    report_wait(&mut full_partition, partition, producer);
                    Poll::Pending
                }
                Err(refusal) => Poll::Ready(Err(refusal.into())),
            }
        })
    }

    /// A future whose polls run on a producer of the pool, with the future's own enrolment. Once it
    /// was ready it stays pending.
    pub(super) fn future<'a, T>(
        &'a self,
        mut poll: impl FnMut(&mut super::Producer, &mut Context<'_>) -> Poll<T> + 'a,
    ) -> impl Future<Output = T> {
        let mut waiter = Some(Waiter::default());
        poll_fn(move |context| {
            let Some(own) = &mut waiter else {
                return Poll::Pending;
            };
            let mut producer = self.take();
            swap(&mut producer.appenders.waiter, own);
            let polled = poll(&mut producer, context);
            swap(&mut producer.appenders.waiter, own);
            if polled.is_ready() {
                waiter = None;
            }
            polled
        })
    }
}

impl fmt::Debug for SharedProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedProducer")
            .field("topic", &self.topic())
            .finish_non_exhaustive()
    }
}
