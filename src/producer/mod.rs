//! Sending: from a record to a published frame.
//!
//! Shared and exclusive producers are one type with one step different
//! ([`ClaimMode`]). A send takes no lock, allocates nothing, and
//! looks at nothing that consumers write, except when a segment is full.

mod appender;
mod batch;
mod batch_plan;
mod in_place;
mod router;
mod send_async;
mod values;

pub use batch::{BatchMetadata, BatchMetadataIter};
pub use in_place::Claim;
pub use send_async::{SendAsync, SendBatchAsync, SendValuesAsync};

pub(crate) use router::Router;

use crate::clock;
use crate::error::{SendError, TopicError};
use crate::log::segment::{ClaimMode, ExclusiveMode, SharedMode, record_size};
use crate::log::segment_pool::SpareSegment;
use crate::record::{NO_TIMESTAMP, Record, RecordMetadata, check_timestamp};
use crate::topic::{Timestamps, Topic, TopicShared, TopicState};
use appender::{Appenders, FrameSize, Refusal, WhenFull};
use batch_plan::BatchPlan;
use core::fmt;
use core::marker::PhantomData;
use std::sync::Arc;
use std::task::Waker;

impl Topic {
    /// A producer beside any number of others.
    ///
    /// It brings a spare segment to the topic's pool (see [`TopicConfig`]). While an
    /// exclusive producer lives, it can be made but not send.
    pub fn producer(&self) -> Producer<SharedMode> {
        Producer::shared(self.inner().clone())
    }

    /// A producer that has the topic for itself, and appends for less: its claims are plain
    /// stores.
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
    /// [`TopicError::ProducersExist`] while any other producer of the topic lives, and
    /// [`TopicError::Closed`] after the topic was closed or deleted.
    pub fn exclusive_producer(&self) -> Result<Producer<ExclusiveMode>, TopicError> {
        let topic = self.inner();
        if topic.is_closed() {
            return Err(topic.closed_error());
        }
        topic.enter_exclusive()?;
        if topic.is_closed() {
            topic.leave_producer(true); // it was closed meanwhile
            return Err(topic.closed_error());
        }
        Ok(Producer::exclusive(topic.clone()))
    }
}

/// A producer that has its topic for itself: see
/// [`Topic::exclusive_producer`](crate::Topic::exclusive_producer).
pub type ExclusiveProducer = Producer<ExclusiveMode>;

/// Sends records to one topic.
///
/// Each thread has its own: clone it. A clone is a producer of its own, with a place of its
/// own in the topic.
///
/// ```
/// # use ringlog::{Broker, Record, TopicConfig};
/// # let broker = Broker::new();
/// let topic = broker.create_topic("orders", TopicConfig::new().partitions(3))?;
/// let mut producer = topic.producer();
/// let first = producer.send(Record::new(b"login").key(b"user-001"))?;
/// let second = producer.send(Record::new(b"purchase").key(b"user-001"))?;
/// assert_eq!(first.partition, second.partition);
/// assert_eq!(first.offset + 1, second.offset);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// All sending calls refuse with [`SendError`]: `RecordTooLarge` or `BatchTooLarge` when the
/// frame could never fit; `PartitionOutOfRange`; `InvalidTimestamp`; `Full` when there was
/// no room within [`max_block`](crate::TopicConfig::max_block), or at once for the `try_`
/// calls; `Closed` after the topic was [closed](crate::Topic::close) or deleted; `ExclusiveProducer` while another producer
/// has the topic for itself; `Exhausted` at the end of all offsets. A refused record was
/// not appended, and is still the caller's.
#[allow(private_bounds)]
pub struct Producer<S: ClaimMode = SharedMode> {
    appenders: Appenders,
    router: Router,
    /// The topic's state when this was last brought up to it; none before it was admitted: when
    /// no exclusive producer was there, which stays so.
    seen: TopicState,
    /// The same where records that name nothing go to partition 0 and have no time; none elsewhere.
    plain: TopicState,
    fast_path: FastPath,
    batch_plan: BatchPlan,
    step: PhantomData<fn() -> S>,
    _spare: SpareSegment,
}

/// What is known beforehand of the records that name neither partition nor time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FastPath {
    /// Their key tells the partition, and they have no time.
    Keyed,
    /// Their key tells the partition, and their time is that of the append.
    Timed,
    /// Nothing: the producer is not admitted yet, or has a partitioner of the user's.
    No,
}

/// What a send returns of a record that was appended.
#[inline(always)]
fn metadata(partition: u32, offset: u64, time: Option<i64>) -> RecordMetadata {
    RecordMetadata {
        partition,
        offset,
        timestamp: time.unwrap_or(NO_TIMESTAMP),
    }
}

impl Producer<SharedMode> {
    pub(crate) fn shared(topic: Arc<TopicShared>) -> Self {
        let admission = topic.enter_shared();
        Self::new(topic, admission.others as u32, admission.admitted)
    }
}

impl Producer<ExclusiveMode> {
    /// The topic has let its caller in as the only producer.
    pub(crate) fn exclusive(topic: Arc<TopicShared>) -> Self {
        Self::new(topic, 0, true)
    }
}

#[allow(private_bounds)]
impl<S: ClaimMode> Producer<S> {
    /// A producer beside `others`. Without keys, they begin at different partitions.
    fn new(topic: Arc<TopicShared>, others: u32, admitted: bool) -> Self {
        let partitioner = topic.config().partitioner.clone();
        let partitions = topic.partitions();
        let mut producer = Producer {
            router: Router::new(partitioner, partitions, others),
            _spare: topic.pool().spare(),
            appenders: Appenders::new(topic, partitions),
            seen: TopicState::NONE,
            plain: TopicState::NONE,
            fast_path: FastPath::No,
            batch_plan: BatchPlan::default(),
            step: PhantomData,
        };
        if admitted {
            producer.admit();
        }
        producer
    }

    /// Sends nothing any more. The same as dropping it: what it has sent is published, and nothing
    /// is kept back.
    pub fn close(self) {}

    /// The topic's name.
    pub fn topic(&self) -> &str {
        self.appenders.topic.name()
    }

    /// Sends a record, waiting up to [`max_block`](crate::TopicConfig::max_block) for room.
    ///
    /// # Errors
    /// See [`Producer`].
    #[inline(always)]
    pub fn send(&mut self, record: Record<'_>) -> Result<RecordMetadata, SendError> {
        self.append(&record, WhenFull::Block)
    }

    /// Sends a record if there is room at once.
    ///
    /// # Errors
    /// See [`Producer`].
    #[inline(always)]
    pub fn try_send(&mut self, record: Record<'_>) -> Result<RecordMetadata, SendError> {
        self.append(&record, WhenFull::Fail)
    }

    /// Appends a record, or says why not. Compiled into the caller, where most of it falls away: what
    /// a record has is known there.
    #[inline(always)]
    fn append(
        &mut self,
        record: &Record<'_>,
        when_full: WhenFull<'_>,
    ) -> Result<RecordMetadata, SendError> {
        if let Some(metadata) = self.append_quickly(record) {
            return Ok(metadata);
        }
        // A copy, made here: the record itself then need not lie in memory for the usual sends.
        let record = *record;
        self.append_waiting(&record, when_full)
    }

    /// The same for a task, which is enrolled when the partition is full.
    pub(super) fn append_for_task(
        &mut self,
        record: &Record<'_>,
        waker: &Waker,
    ) -> Result<RecordMetadata, Refusal> {
        match self.append_quickly(record) {
            Some(metadata) => Ok(metadata),
            None => self.append_any(record, WhenFull::Enrol(waker)),
        }
    }

    /// Appends a record without headers and time, where the segment of the last claim has room for
    /// it. Everything else is for [`append_any`](Self::append_any).
    #[inline(always)]
    fn append_quickly(&mut self, record: &Record<'_>) -> Option<RecordMetadata> {
        if !record.is_simple() {
            return None;
        }
        let state = self.appenders.topic.state();
        if state == self.plain && record.given_partition().is_none() {
            let offset = self.appenders.only().try_append::<S>(record, None)?;
            Some(metadata(0, offset, None))
        } else if state == self.seen {
            self.append_keyed(record)
        } else {
            None
        }
    }

    #[inline(always)]
    fn append_keyed(&mut self, record: &Record<'_>) -> Option<RecordMetadata> {
        if self.fast_path == FastPath::No {
            return None;
        }
        let partition = self.router.choose_quickly(record.destination())?;
        let appender = self.appenders.get(partition)?;
        // Two calls: with or without a time is known where each is compiled.
        if self.fast_path == FastPath::Timed {
            let time = Some(clock::now());
            let offset = appender.try_append::<S>(record, time)?;
            Some(metadata(partition, offset, time))
        } else {
            let offset = appender.try_append::<S>(record, None)?;
            Some(metadata(partition, offset, None))
        }
    }

    #[inline(never)]
    fn append_waiting(
        &mut self,
        record: &Record<'_>,
        when_full: WhenFull<'_>,
    ) -> Result<RecordMetadata, SendError> {
        Ok(self.append_any(record, when_full)?)
    }

    /// Any append of one record.
    fn append_any(
        &mut self,
        record: &Record<'_>,
        when_full: WhenFull<'_>,
    ) -> Result<RecordMetadata, Refusal> {
        self.check()?;
        let time = match record.given_timestamp() {
            Some(time) => Some(check_timestamp(time).map_err(SendError::from)?),
            None => self.appenders.topic.config().timestamps.stamp(),
        };
        let bytes = record_size(record, time.is_some());
        let partition = self
            .router
            .choose(record.destination(), record.value().len());
        let partition = partition.map_err(SendError::from)?;
        let size = FrameSize::of_record(&self.appenders.topic, bytes)?;
        let claim = self.appenders.claim::<S>(partition, size, when_full)?;
        let offset = claim.publish_record(record, time);
        Ok(metadata(partition, offset, time))
    }

    // ---- the parts of a send ------------------------------------------------------------

    /// May this producer send at all?
    #[inline]
    pub(crate) fn check(&mut self) -> Result<(), SendError> {
        if self.appenders.topic.state() == self.seen {
            return Ok(());
        }
        self.check_slowly()
    }

    #[cold]
    fn check_slowly(&mut self) -> Result<(), SendError> {
        let topic = self.appenders.topic.name();
        if self.appenders.topic.is_closed() {
            if S::EXCLUSIVE {
                // Nobody else may end what only this producer appends to; and from here on it does not.
                self.appenders.forget_states();
                self.appenders.topic.end_logs();
            }
            return Err(self.appenders.topic.closed_error());
        }
        if self.seen == TopicState::NONE && self.appenders.topic.has_exclusive_producer() {
            return Err(SendError::ExclusiveProducer {
                topic: topic.clone(),
            });
        }
        self.admit();
        Ok(())
    }

    /// From now on no exclusive producer can be there; and the partitions are all known.
    fn admit(&mut self) {
        self.seen = self.appenders.topic.acquire_state();
        let partitions = self.seen.partitions();
        if partitions as usize > self.appenders.len() {
            self.appenders.grow(partitions);
            self.router.grow(partitions);
        }
        self.fast_path = match self.appenders.topic.config().timestamps {
            _ if !self.router.is_default() => FastPath::No,
            Timestamps::Append => FastPath::Timed,
            Timestamps::Given => FastPath::Keyed,
        };
        self.plain = match self.fast_path {
            FastPath::Keyed if partitions == 1 => self.seen,
            _ => TopicState::NONE,
        };
    }

    /// The time of records that were given none.
    pub(crate) fn time(&self) -> i64 {
        let time = self.appenders.topic.config().timestamps.stamp();
        time.unwrap_or(NO_TIMESTAMP)
    }
}

impl Clone for Producer<SharedMode> {
    fn clone(&self) -> Self {
        Self::shared(self.appenders.topic.clone())
    }
}

#[allow(private_bounds)]
impl<S: ClaimMode> Drop for Producer<S> {
    fn drop(&mut self) {
        self.appenders.topic.leave_producer(S::EXCLUSIVE);
    }
}

#[allow(private_bounds)]
impl<S: ClaimMode> fmt::Debug for Producer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("topic", self.appenders.topic.name())
            .field("exclusive", &S::EXCLUSIVE)
            .finish_non_exhaustive()
    }
}
