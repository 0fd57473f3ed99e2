//! The producer: from a record to a published frame.
//!
//! A send takes no lock and allocates nothing. Unless a segment is full, it also reads nothing that
//! consumers write. Shared and exclusive producers are one type; they differ in one step, the
//! write to the segment's state word ([`ClaimMode`](crate::log::segment::ClaimMode)).
//!
//! One send, from the handle down to the published word:
//!
//! ```text
//! Producer::append                   the handle: inlined into its caller
//! |-- append_fast                    a simple record, in a topic that has not changed
//! |   |                              router: Router::choose_fixed
//! |   `-- PartitionAppender::try_append
//! |       |-- Segment::try_claim         claim in the segment of the last claim
//! |       `-- FrameClaim::publish_record copy the record, publish it
//! `-- append_slowly, append_record   any record: check the topic, timestamp, size
//!     |                              router: Router::choose
//!     |-- Appenders::claim           the segment of the last claim; if it has no room:
//!     |   `-- claim_slowly           Partition::claim, which may roll; or a wait for room
//!     `-- FrameClaim::publish_record
//! ```
//!
//! Batches, values, records written in place, and futures have a file each. They all use the
//! second branch, from the router on.

mod appender;
mod batch;
mod batch_plan;
mod gathering;
mod in_place;
mod mode;
mod producer_pool;
mod router;
mod send_async;
mod shared;
mod values;

pub use batch::{BatchMetadata, BatchMetadataIter};
pub use gathering::{GatheringConfig, GatheringProducer, SharedGatheringProducer, Ticket};
pub use in_place::Claim;
pub use mode::ProducerMode;
pub use send_async::{SendAsync, SendBatchAsync, SendValuesAsync};
pub use shared::SharedProducer;

use crate::error::{SendError, TopicError};
use crate::log::segment::{ExclusiveMode, SharedMode, record_size};
use crate::log::segment_pool::SpareSegment;
use crate::record::{NO_TIMESTAMP, Record, RecordMetadata, check_timestamp};
use crate::topic::{Timestamps, Topic, TopicClock, TopicShared, TopicState};
use appender::{Appenders, FrameSize, Refusal, WhenFull};
use batch_plan::BatchPlan;
use core::fmt;
use core::marker::PhantomData;
use router::Router;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

impl Topic {
    /// Creates a producer. A topic can have any number of them.
    ///
    /// With its first send or claim a producer adds a spare segment to the topic's memory (see
    /// [`TopicConfig`](crate::TopicConfig)), and gives it back when it is dropped. To send from many
    /// tasks, use a [`shared_producer`](Self::shared_producer), which needs as many spares as calls
    /// run at once.
    ///
    /// While an exclusive producer is alive, other producers can be created, but their sends fail
    /// with [`SendError::ExclusiveProducer`].
    pub fn producer(&self) -> Producer<SharedMode> {
        Producer::shared(self.inner().clone())
    }

    /// Creates a producer that is the topic's only one. Its sends cost less, because they claim
    /// with plain stores instead of a compare-and-swap.
    ///
    /// ```
    /// # use ringlog::{Broker, Record, TopicConfig};
    /// # let broker = Broker::new();
    /// let topic = broker.create_topic("ticks", TopicConfig::new())?;
    /// let mut producer = topic.exclusive_producer()?;
    /// assert!(topic.exclusive_producer().is_err());
    /// producer.send(Record::new(b"tick"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// - [`TopicError::ProducersExist`] while any other producer of the topic is alive.
    /// - [`TopicError::Closed`] after the topic was closed or deleted.
    pub fn exclusive_producer(&self) -> Result<Producer<ExclusiveMode>, TopicError> {
        let topic = self.inner();
        if topic.is_closed() {
            return Err(topic.closed_error());
        }
        topic.enter_exclusive()?;
        if topic.is_closed() {
            topic.leave_producer(true); // the topic was closed in between
            return Err(topic.closed_error());
        }
        Ok(Producer::exclusive(topic.clone()))
    }
}

/// A producer that is its topic's only one: see
/// [`Topic::exclusive_producer`](crate::Topic::exclusive_producer).
pub type ExclusiveProducer = Producer<ExclusiveMode>;

/// Sends records to one topic.
///
/// | call | appends | if the partition is full |
/// |---|---|---|
/// | [`send`](Self::send) | one record | waits up to [`max_block`](Self::max_block) |
/// | [`send_batch`](Self::send_batch) | records, one frame per partition | as `send`, per frame |
/// | [`send_values`](Self::send_values) | fixed-size values, as one frame | as `send` |
/// | [`claim`](Self::claim) | one record, written in place by the caller | as `send` |
///
/// Each call but `claim` also exists as `try_..`, which never waits for room, and as `.._async`, a future
/// that is ready as soon as there is room. When a call returns `Ok`, the records are in the log;
/// nothing is buffered.
///
/// A producer is used by one thread or task at a time. To send from several, give each a
/// [clone](Clone): it is another producer of the same topic, with a spare segment and a sticky
/// partition of its own. For many that send now and then, such as the requests of a server, there
/// is [`SharedProducer`].
///
/// A producer takes its spare segment at its first send or claim, under a short lock. Where the
/// first send must not be slower than others, send an empty batch beforehand: it appends nothing.
///
/// ```
/// # use ringlog::{Broker, Record, TopicConfig};
/// # let broker = Broker::new();
/// let topic = broker.create_topic("orders", TopicConfig::new().partitions(3))?;
/// let mut producer = topic.producer();
/// let login = producer.send(Record::new("login").key("user-001"))?;
/// let purchase = producer.send(Record::new("purchase").key("user-001"))?;
/// assert_eq!(login.partition, purchase.partition);
/// assert_eq!(login.offset + 1, purchase.offset);
///
/// let mut clone = producer.clone();
/// let thread = std::thread::spawn(move || clone.send(Record::new("login").key("user-002")));
/// thread.join().unwrap()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Every send returns a [`SendError`] if it fails; `send_batch` returns it as the cause of a
/// [`BatchError`](crate::BatchError). What was refused was not appended. All calls borrow what they
/// send, so the caller still has it.
///
/// - `RecordTooLarge`: the record's frame is larger than a segment (`send`, `claim`).
/// - `BatchTooLarge`: the values, or one partition's share of the batch, exceed a segment's bytes
///   or records (`send_batch`, `send_values`).
/// - `PartitionOutOfRange`: the topic does not have the partition that the record, the destination
///   or the partitioner named.
/// - `InvalidTimestamp`: the record's timestamp is below zero (`send`, `send_batch`).
/// - `Full`: there was no room within [`max_block`](Self::max_block), or at once for
///   the `try_` calls. Futures never return it.
/// - `Closed`: the topic was [closed](crate::Topic::close) or deleted.
/// - `ExclusiveProducer`: an exclusive producer was alive when this producer was created, and still
///   is.
/// - `Exhausted`: the partition has used up its offsets or segment numbers.
pub struct Producer<M: ProducerMode = SharedMode> {
    appenders: Appenders,
    router: Router,
    /// The topic's state at the last [`refresh`](Self::refresh). `NONE` until the first call that
    /// finds the producer admitted: that finds no exclusive producer. From then on none can enter,
    /// and the producer has its spare.
    seen_state: TopicState,
    /// The same state, if a record that names no partition goes to partition 0 without a timestamp.
    /// Otherwise `NONE`. One comparison then replaces the router and the clock.
    direct_state: TopicState,
    fast_path: FastPath,
    /// The topic's.
    clock: TopicClock,
    batch_plan: BatchPlan,
    mode: PhantomData<fn() -> M>,
    /// Taken before the first claim. Dropped last: when the producer is counted out and can claim no
    /// more.
    spare: Option<SpareSegment>,
}

/// What [`Producer::append_fast`] may take for granted of records without a timestamp of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FastPath {
    /// The default partitioner routes them, and they are stored without a timestamp.
    Untimed,
    /// The default partitioner routes them, and their timestamp is the time of the append.
    Timed,
    /// Nothing: the producer is not admitted yet, or the topic has a partitioner of the user's.
    Unavailable,
}

/// The metadata of a record that was appended.
#[inline(always)]
fn metadata(partition: u32, offset: u64, timestamp: Option<i64>) -> RecordMetadata {
    RecordMetadata::new(partition, offset, timestamp)
}

impl Producer<SharedMode> {
    fn shared(topic: Arc<TopicShared>) -> Self {
        let others = topic.enter_shared();
        Self::new(topic, others as u32)
    }
}

impl Producer<ExclusiveMode> {
    /// The caller has entered the topic as its only producer.
    fn exclusive(topic: Arc<TopicShared>) -> Self {
        Self::new(topic, 0)
    }
}

impl<M: ProducerMode> Producer<M> {
    /// A producer beside `others`, whose number is where its sticky partition begins: so the
    /// producers of a topic begin at different partitions.
    fn new(topic: Arc<TopicShared>, others: u32) -> Self {
        let partitioner = topic.config().partitioner.clone();
        let clock = topic.config().clock.clone();
        let partitions = topic.partitions();
        Producer {
            router: Router::new(partitioner, partitions, others),
            clock,
            spare: None,
            appenders: Appenders::new(topic, partitions),
            seen_state: TopicState::NONE,
            direct_state: TopicState::NONE,
            fast_path: FastPath::Unavailable,
            batch_plan: BatchPlan::default(),
            mode: PhantomData,
        }
    }

    /// Ends the producer. The same as dropping it: everything it has sent is already published, so
    /// there is nothing to flush.
    pub fn close(self) {}

    /// The topic's name.
    pub fn topic(&self) -> &str {
        self.appenders.topic.name()
    }

    /// How long a call of this producer waits for room before it fails with [`SendError::Full`].
    /// The topic's [`max_block`](crate::TopicConfig::max_block), unless
    /// [`set_max_block`](Self::set_max_block) has set another limit.
    pub fn max_block(&self) -> Duration {
        self.appenders.max_block
    }

    /// Sets how long a call of this producer waits for room, in place of the topic's
    /// [`max_block`](crate::TopicConfig::max_block). Clones made from now on have the same limit.
    ///
    /// ```
    /// # use ringlog::{Broker, Record, SendError, TopicConfig};
    /// # use std::time::Duration;
    /// # let broker = Broker::new();
    /// let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// let mut producer = topic.producer();
    /// assert_eq!(producer.max_block(), Duration::from_secs(60));
    /// producer.set_max_block(Duration::from_millis(5));
    /// producer.send(Record::new("order"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_max_block(&mut self, limit: Duration) {
        self.appenders.max_block = limit;
    }

    /// Appends a record, and returns its partition, offset and timestamp.
    ///
    /// The partition is the one that the record names, or else the partitioner's choice. If it is
    /// full, the call waits for room, up to [`max_block`](Self::max_block).
    ///
    /// A thread that holds a batch of the same topic, or is its only reader, waits for itself when
    /// the ring is full under [`Overflow::Backpressure`](crate::Overflow::Backpressure): it waits
    /// all of `max_block`, 60 s by default, and the send fails. Let it poll on before it sends, use
    /// [`try_send`](Self::try_send), or send from another thread.
    ///
    /// # Errors
    /// See [`Producer`].
    #[inline(always)]
    pub fn send(&mut self, record: Record<'_>) -> Result<RecordMetadata, SendError> {
        self.append(&record, WhenFull::Block)
    }

    /// Appends a record if there is room at once. Otherwise as [`send`](Self::send).
    ///
    /// # Errors
    /// See [`Producer`].
    #[inline(always)]
    pub fn try_send(&mut self, record: Record<'_>) -> Result<RecordMetadata, SendError> {
        self.append(&record, WhenFull::Fail)
    }

    // ---- the path of a send -------------------------------------------------------------

    /// Appends a record. Inlined into the caller, where the record's parts are known: the compiler
    /// then removes most of it.
    #[inline(always)]
    fn append(
        &mut self,
        record: &Record<'_>,
        when_full: WhenFull<'_>,
    ) -> Result<RecordMetadata, SendError> {
        if let Some(metadata) = self.append_fast(record) {
            return Ok(metadata);
        }
        // The slow path borrows a copy. Otherwise the record itself would have to be in memory, on
        // the fast path too.
        let record = *record;
        self.append_slowly(&record, when_full)
    }

    /// Appends a record for a task, which is enrolled if the partition is full.
    fn append_for_task(
        &mut self,
        record: &Record<'_>,
        waker: &Waker,
    ) -> Result<RecordMetadata, Refusal> {
        match self.append_fast(record) {
            Some(metadata) => Ok(metadata),
            None => self.append_record(record, WhenFull::Enrol(waker)),
        }
    }

    /// Appends a record with a value and neither headers nor a timestamp, if the topic has not changed and
    /// the segment of the last claim has room. Otherwise appends nothing:
    /// [`append_record`](Self::append_record) has to.
    #[inline(always)]
    fn append_fast(&mut self, record: &Record<'_>) -> Option<RecordMetadata> {
        if !record.is_simple() {
            return None;
        }
        let state = self.appenders.topic.state();
        if state == self.direct_state && record.partition.is_none() {
            let offset = self.appenders.single().try_append::<M>(record, None)?;
            Some(metadata(0, offset, None))
        } else if state == self.seen_state {
            self.append_routed(record)
        } else {
            None
        }
    }

    /// The fast path for a record that the router sends to its partition.
    #[inline(always)]
    fn append_routed(&mut self, record: &Record<'_>) -> Option<RecordMetadata> {
        if self.fast_path == FastPath::Unavailable {
            return None;
        }
        let partition = self.router.choose_fixed(record.destination())?;
        let appender = self.appenders.get(partition)?;
        // Two calls, so that each is compiled for a record with, or without, a timestamp.
        if self.fast_path == FastPath::Timed {
            // By a match, so that the system's clock is read without a call by pointer.
            let timestamp = Some(self.clock.now());
            let offset = appender.try_append::<M>(record, timestamp)?;
            Some(metadata(partition, offset, timestamp))
        } else {
            let offset = appender.try_append::<M>(record, None)?;
            Some(metadata(partition, offset, None))
        }
    }

    /// The slow path of a thread, which is never enrolled when the call returns.
    #[inline(never)]
    fn append_slowly(
        &mut self,
        record: &Record<'_>,
        when_full: WhenFull<'_>,
    ) -> Result<RecordMetadata, SendError> {
        Ok(self.append_record(record, when_full)?)
    }

    /// Appends any record: the whole path, with every check.
    fn append_record(
        &mut self,
        record: &Record<'_>,
        when_full: WhenFull<'_>,
    ) -> Result<RecordMetadata, Refusal> {
        self.check_topic()?;
        let timestamp = match record.timestamp {
            Some(timestamp) => Some(check_timestamp::<SendError>(timestamp)?),
            None => self.appenders.topic.config().stamp(),
        };
        let bytes = record_size(record, timestamp.is_some());
        let partition = self
            .router
            .choose(record.destination(), record.value_bytes().len());
        let partition = partition.map_err(SendError::from)?;
        let size = FrameSize::of_record(&self.appenders.topic, bytes)?;
        let claim = self.appenders.claim::<M>(partition, size, when_full)?;
        let offset = claim.publish_record(record, timestamp);
        Ok(metadata(partition, offset, timestamp))
    }

    /// The timestamp that this send gives to records without one, or [`NO_TIMESTAMP`].
    fn default_timestamp(&self) -> i64 {
        let timestamp = self.appenders.topic.config().stamp();
        timestamp.unwrap_or(NO_TIMESTAMP)
    }

    // ---- the topic's state --------------------------------------------------------------

    /// Checks that this producer may send, and acts on changes of the topic.
    #[inline]
    fn check_topic(&mut self) -> Result<(), SendError> {
        if self.appenders.topic.state() == self.seen_state {
            return Ok(());
        }
        self.check_topic_slowly()
    }

    #[cold]
    fn check_topic_slowly(&mut self) -> Result<(), SendError> {
        let topic = self.appenders.topic.name();
        if self.appenders.topic.is_closed() {
            if M::EXCLUSIVE {
                // No other thread may end logs in which this producer claims (row P17). It claims
                // no more, so it ends them itself.
                self.appenders.forget_last_states();
                self.appenders.topic.end_logs();
            }
            return Err(self.appenders.topic.closed_error());
        }
        if self.spare.is_none() {
            if !M::EXCLUSIVE && self.appenders.topic.has_exclusive_producer() {
                return Err(SendError::ExclusiveProducer {
                    topic: topic.clone(),
                });
            }
            self.spare = Some(self.appenders.topic.pool().spare());
        }
        self.refresh();
        Ok(())
    }

    /// Takes over the topic's present state (row P13): its partitions, and what the fast path may
    /// take for granted. The caller has made sure that the producer is admitted.
    fn refresh(&mut self) {
        self.seen_state = self.appenders.topic.acquire_state();
        let partitions = self.seen_state.partitions();
        if partitions as usize > self.appenders.len() {
            self.appenders.extend_to(partitions);
            self.router.extend_to(partitions);
        }
        self.fast_path = match self.appenders.topic.config().timestamps {
            _ if !self.router.is_default() => FastPath::Unavailable,
            Timestamps::Append => FastPath::Timed,
            Timestamps::Given => FastPath::Untimed,
        };
        self.direct_state = match self.fast_path {
            FastPath::Untimed if partitions == 1 => self.seen_state,
            _ => TopicState::NONE,
        };
    }
}

impl Clone for Producer<SharedMode> {
    fn clone(&self) -> Self {
        let mut clone = Self::shared(self.appenders.topic.clone());
        clone.set_max_block(self.max_block());
        clone
    }
}

impl<M: ProducerMode> Drop for Producer<M> {
    fn drop(&mut self) {
        self.appenders.topic.leave_producer(M::EXCLUSIVE);
    }
}

impl<M: ProducerMode> fmt::Debug for Producer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("topic", self.appenders.topic.name())
            .field("exclusive", &M::EXCLUSIVE)
            .finish_non_exhaustive()
    }
}
