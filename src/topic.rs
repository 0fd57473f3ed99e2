//! A topic: its partitions, their segments, and who produces.

use crate::assigned::Seat;
use crate::config::{Overflow, TopicConfig, name_fault};
use crate::error::TopicError;
use crate::grow::Grow;
use crate::head::{MAX_NUMBER, MAX_PARTITIONS};
use crate::memory::Shape;
use crate::partition::Partition;
use crate::pool::{MAX_SEGMENTS, NoSegments, Pool};
use crate::producer::Producer;
use crate::readers::{Hold, NOTHING};
use crate::segment::{Exclusive, Shared};
use crate::sync::{AtomicU64, Mutex, MutexGuard, ord};
use crate::times::{self, OffsetAndTimestamp};
use core::fmt;
use std::sync::Arc;

/// Set in the producers' word while an exclusive producer lives; the rest counts shared ones.
const EXCLUSIVE: u64 = 1 << 63;

/// The topic's state: `changes:48 | partitions:15 | closed:1`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct State(u64);

impl State {
    /// That of no topic.
    pub(crate) const NONE: State = State(u64::MAX);
    const CLOSED: u64 = 1;
    const PARTITION: u64 = 1 << 1;
    const CHANGE: u64 = 1 << 16;

    fn of(partitions: u32) -> State {
        State(u64::from(partitions) * Self::PARTITION)
    }

    pub(crate) fn partitions(self) -> u32 {
        ((self.0 % Self::CHANGE) / Self::PARTITION) as u32
    }
}

/// What a subscribed consumer has still to take in: partitions that were added, each with its
/// hold, in force since before anybody could send there.
pub(crate) type Inbox = Mutex<Vec<(u32, Arc<Hold>)>>;

/// What all handles of a topic share.
pub(crate) struct TopicInner {
    name: Arc<str>,
    config: TopicConfig,
    pool: Pool,
    partitions: Grow<Partition>,
    /// Read by every send and poll, written seldom: whether the topic is closed, how many
    /// partitions it has, and how often something was changed that a handle must look at (P13).
    state: AtomicU64,
    /// Consumers that are to have the partitions that are added.
    subscribers: Mutex<Vec<Arc<Inbox>>>,
    /// Who produces (row P9).
    producers: AtomicU64,
}

impl TopicInner {
    fn new(name: &str, config: TopicConfig) -> Result<TopicInner, TopicError> {
        if let Some(reason) = name_fault(name) {
            return Err(TopicError::InvalidName {
                name: name.to_owned(),
                reason,
            });
        }
        let (shape, segments) = config.validate()?;
        let partitions = config.partitions as usize;
        let out_of_memory = || TopicError::OutOfMemory {
            bytes: (shape.block_bytes() as u64).saturating_mul(segments as u64),
        };
        let pool =
            Pool::new(shape, segments, partitions, config.prefault).ok_or_else(out_of_memory)?;
        let gated = config.overflow == Overflow::Backpressure;
        let first = first(&config, shape);
        let partitions = (0..config.partitions as u16)
            .map(|id| {
                let (segments, kept) = (config.segments as usize, config.limits());
                let near = usize::from(id) * (segments + 1);
                let index = pool.take(near as u16)?;
                Some(Partition::new(
                    id, segments, gated, kept, &pool, index, first,
                ))
            })
            .collect::<Option<_>>()
            .ok_or_else(out_of_memory)?;
        let state = AtomicU64::new(State::of(config.partitions).0);
        Ok(TopicInner {
            name: name.into(),
            config,
            pool,
            partitions: Grow::new(partitions),
            state,
            subscribers: Mutex::new(Vec::new()),
            producers: AtomicU64::new(0),
        })
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The first offset that each partition ever had.
    pub(crate) fn first_offset(&self) -> u64 {
        first(&self.config, self.pool.shape()).1
    }

    pub(crate) fn config(&self) -> &TopicConfig {
        &self.config
    }

    #[inline]
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// A partition whose number has been checked.
    #[inline]
    pub(crate) fn partition(&self, partition: u32) -> &Partition {
        match self.partitions.get(partition as usize) {
            Some(partition) => partition,
            None => unreachable!("a partition whose number was not checked"),
        }
    }

    /// How many partitions there are; those may be used.
    pub(crate) fn partitions(&self) -> u32 {
        self.refreshed().partitions()
    }

    /// Whether the topic was deleted. A hint: it takes nothing back.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.state().0 & State::CLOSED != 0
    }

    pub(crate) fn close(&self) {
        self.state.fetch_or(State::CLOSED, ord!(Relaxed));
    }

    /// What every handle remembers, to see at a glance that nothing has changed.
    #[inline]
    pub(crate) fn state(&self) -> State {
        State(self.state.load(ord!(Relaxed)))
    }

    /// The state to be remembered by a handle that looks at everything afterwards. It is never
    /// that of a closed topic.
    pub(crate) fn refreshed(&self) -> State {
        // Acquire, from whoever has changed it: the change.
        let state = self.state.load(ord!("topic.refreshed", P13, Acquire));
        State(state & !State::CLOSED)
    }

    /// Has every handle look, and tells of so many more partitions.
    fn change(&self, added: u32) {
        let change = State::CHANGE + State::of(added).0;
        self.state
            .fetch_add(change, ord!("topic.change", P13, Release));
    }

    fn subscribers(&self) -> MutexGuard<'_, Vec<Arc<Inbox>>> {
        self.subscribers.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// From now on this inbox gets the partitions that are added: all beyond those that the answer
    /// says.
    pub(crate) fn subscribe(&self, inbox: &Arc<Inbox>) -> u32 {
        let mut subscribers = self.subscribers();
        subscribers.push(inbox.clone());
        self.partitions()
    }

    pub(crate) fn unsubscribe(&self, inbox: &Arc<Inbox>) {
        self.subscribers()
            .retain(|other| !Arc::ptr_eq(other, inbox));
    }

    /// Adds partitions, up to `total`. All or nothing.
    fn add_partitions(&self, total: u32) -> Result<(), TopicError> {
        // One at a time, and no subscription in between.
        let subscribers = self.subscribers();
        if self.is_closed() {
            return Err(TopicError::Closed {
                topic: self.name.clone(),
            });
        }
        let before = self.partitions();
        if total <= before || total > MAX_PARTITIONS {
            return Err(TopicError::InvalidConfig {
                setting: "partitions",
                value: total.into(),
                min: u64::from(before) + 1,
                max: MAX_PARTITIONS.into(),
            });
        }
        let (config, pool) = (&self.config, &self.pool);
        let added = (total - before) as usize;
        let segments = added * (config.segments as usize + 1);
        let grown = pool.add_partitions(added, segments, config.prefault);
        let index = grown.map_err(|refused| match refused {
            NoSegments::TooMany(segments) => TopicError::TooManySegments {
                segments: segments as u64,
                max: MAX_SEGMENTS as u64,
            },
            NoSegments::OutOfMemory => TopicError::OutOfMemory {
                bytes: (pool.shape().block_bytes() as u64).saturating_mul(segments as u64),
            },
        })?;
        let gated = config.overflow == Overflow::Backpressure;
        for (id, index) in (before..total).zip(index..) {
            let segments = config.segments as usize;
            let (kept, first) = (config.limits(), first(config, pool.shape()));
            let new = Partition::new(id as u16, segments, gated, kept, pool, index, first);
            self.partitions.add(id as usize, new);
            // Before anybody can send there: nothing that is sent is missed.
            let number = if gated { first.0 } else { NOTHING };
            for inbox in subscribers.iter() {
                let hold = pool.readers(id as u16).join(number);
                let mut inbox = inbox.lock().unwrap_or_else(|e| e.into_inner());
                inbox.push((id, hold));
            }
        }
        self.change(total - before);
        Ok(())
    }

    /// Counts a shared producer in. Answers how many were there, and whether it may send: not
    /// while an exclusive producer lives.
    pub(crate) fn enter_shared(&self) -> (u64, bool) {
        self.pool.enter();
        let before = self
            .producers
            .fetch_add(1, ord!("topic.enter_shared", P9, Acquire));
        (before & !EXCLUSIVE, before & EXCLUSIVE == 0)
    }

    /// Whether the exclusive producer that was there is gone. None can come any more while
    /// the caller is counted in.
    pub(crate) fn is_shared(&self) -> bool {
        self.producers.load(ord!("topic.is_shared", P9, Acquire)) & EXCLUSIVE == 0
    }

    /// Makes the caller the only producer, or tells how many shared and exclusive there are.
    fn enter_exclusive(&self) -> Result<(), (u64, u64)> {
        // Acquire, from the producers that left: their last claims.
        self.producers
            .compare_exchange(
                0,
                EXCLUSIVE,
                ord!("topic.enter_exclusive", P9, Acquire),
                ord!(Relaxed),
            )
            .map_err(|word| (word & !EXCLUSIVE, word / EXCLUSIVE))?;
        self.pool.enter();
        Ok(())
    }

    /// Counts a producer out. Release, to the next: its last claims.
    pub(crate) fn leave_producer(&self, exclusive: bool) {
        let one = if exclusive { EXCLUSIVE } else { 1 };
        self.producers
            .fetch_sub(one, ord!("topic.leave_producer", P9, Release));
        self.pool.leave();
    }
}

/// Number and offset of every partition's first segment.
fn first(config: &TopicConfig, shape: Shape) -> (u64, u64) {
    let (number, offset) = config.first();
    (
        number.min(MAX_NUMBER - 1),
        offset.min(u64::MAX - u64::from(shape.records)),
    )
}

/// A topic: partitions that records are appended to and read from.
///
/// A handle: clones are the same topic. It stays usable after
/// [`Broker::delete_topic`](crate::Broker::delete_topic), but its producers and consumers
/// then report `Closed`.
#[derive(Clone)]
pub struct Topic {
    inner: Arc<TopicInner>,
}

#[cfg(loom)]
impl Topic {
    /// In a model, when nothing else happens any more, and readers hold only what is live: every
    /// segment is live, or can be taken. None is lost.
    pub fn assert_no_segment_is_lost(&self) {
        let partitions = (0..self.partitions()).map(|p| self.inner.partition(p));
        let live: usize = partitions.map(Partition::live).sum();
        let (all, free) = self.inner.pool.take_all();
        assert_eq!(live + free, all, "{live} live, {free} free, {all} in all");
    }
}

impl Topic {
    pub(crate) fn new(name: &str, config: TopicConfig) -> Result<Topic, TopicError> {
        Ok(Topic {
            inner: Arc::new(TopicInner::new(name, config)?),
        })
    }

    pub(crate) fn inner(&self) -> &Arc<TopicInner> {
        &self.inner
    }

    /// The topic's name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// How many partitions it has.
    pub fn partitions(&self) -> u32 {
        self.inner.partitions()
    }

    /// Adds partitions, so that there are `total`, with all their memory, as Kafka's
    /// `createPartitions` does.
    ///
    /// Producers use them from their next call on: **keys are spread over all partitions anew**, so
    /// most keys go elsewhere from then on, and what was sent for them stays where it is.
    /// Consumers that are subscribed to the topic have the new partitions from their next poll on,
    /// and read them from the first record,
    /// whatever their [`OffsetReset`](crate::OffsetReset); under
    /// [`Overflow::Backpressure`] nothing that is sent there is overwritten before they have
    /// read it, also when they poll much later. The same goes for a group as a whole. Consumers that
    /// were assigned partitions keep to those. (A producer's first call afterwards allocates a little, and a consumer's poll as well.)
    ///
    /// ```
    /// # use ringlog::{Broker, Record, TopicConfig};
    /// # let broker = Broker::new();
    /// let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// let mut producer = topic.producer();
    /// topic.add_partitions(3)?;
    /// assert_eq!(topic.partitions(), 3);
    /// producer.send(Record::new("order").partition(2))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`TopicError::InvalidConfig`] when `total` is not more than there are, or over 16,384;
    /// [`TopicError::TooManySegments`]; [`TopicError::OutOfMemory`]; [`TopicError::Closed`] after
    /// the topic was deleted. Nothing is changed then.
    pub fn add_partitions(&self, total: u32) -> Result<(), TopicError> {
        self.inner.add_partitions(total)
    }

    /// A producer beside any number of others.
    ///
    /// It brings a spare segment to the topic's pool (see [`TopicConfig`]). While an
    /// exclusive producer lives, it can be made but not send.
    pub fn producer(&self) -> Producer<Shared> {
        Producer::shared(self.inner.clone())
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
    /// [`TopicError::Closed`] after the topic was deleted.
    pub fn exclusive_producer(&self) -> Result<Producer<Exclusive>, TopicError> {
        if self.inner.is_closed() {
            return Err(TopicError::Closed {
                topic: self.inner.name.clone(),
            });
        }
        match self.inner.enter_exclusive() {
            Ok(()) => Ok(Producer::exclusive(self.inner.clone())),
            Err((shared, exclusive)) => Err(TopicError::ProducersExist {
                topic: self.inner.name.clone(),
                shared,
                exclusive,
            }),
        }
    }

    fn partition(&self, partition: u32) -> Result<&Partition, TopicError> {
        let partitions = self.partitions();
        if partition >= partitions {
            return Err(TopicError::PartitionOutOfRange {
                topic: self.inner.name.clone(),
                partition,
                partitions,
            });
        }
        Ok(self.inner.partition(partition))
    }

    /// The first offset that the partition retains.
    ///
    /// # Errors
    /// [`TopicError::PartitionOutOfRange`].
    pub fn log_start_offset(&self, partition: u32) -> Result<u64, TopicError> {
        let partition = self.partition(partition)?;
        Ok(partition.log_start_offset(&self.inner.pool))
    }

    /// One past the partition's last offset: what the next record will get. Records that
    /// another thread is just copying in count.
    ///
    /// # Errors
    /// [`TopicError::PartitionOutOfRange`].
    pub fn log_end_offset(&self, partition: u32) -> Result<u64, TopicError> {
        let partition = self.partition(partition)?;
        Ok(partition.log_end_offset(&self.inner.pool))
    }

    /// The earliest retained record whose time is at or after `time`, in milliseconds since 1970
    /// UTC; `None` when there is none. See
    /// [`Consumer::offsets_for_times`](crate::Consumer::offsets_for_times) for what is found where
    /// times are not in order, and where the search ends.
    ///
    /// It reads the times of records, from the log start to the one it finds; of a segment that
    /// is full and was read to its end once, it remembers the latest. While it runs it keeps the
    /// segment that it reads from being used again, and brings a spare for it to the topic's pool,
    /// as handles do. It never holds back the log start.
    ///
    /// # Errors
    /// [`TopicError::PartitionOutOfRange`]; [`TopicError::InvalidTimestamp`] for a time below
    /// zero.
    pub fn offset_for_time(
        &self,
        partition: u32,
        time: i64,
    ) -> Result<Option<OffsetAndTimestamp>, TopicError> {
        self.partition(partition)?;
        if time < 0 {
            return Err(TopicError::InvalidTimestamp { timestamp: time });
        }
        Ok(times::find(&self.inner, partition, time).ok())
    }

    /// Deletes the records of a partition before offset `before`, as Kafka's `deleteRecords` does,
    /// and answers where the log starts then: at `before`, or later if it did already.
    ///
    /// No poll that begins afterwards gives a record before it, whoever polls. A consumer that
    /// had not come so far goes on at `before` and is told in [`Batch::lost`](crate::Batch::lost)
    /// how many offsets it has not read; with [`OffsetReset::None`](crate::OffsetReset::None) it is
    /// told that its position is out of range. A batch that is held stays as it is.
    ///
    /// The memory is used again as it always is, a segment at a time. Under
    /// [`Overflow::Backpressure`] a consumer holds producers back where it was until its next
    /// poll, and a group without members until one comes.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
    /// # let broker = Broker::new();
    /// let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// let mut consumer = broker.consumer(ConsumerConfig::new());
    /// consumer.subscribe(&["orders"])?;
    /// let mut producer = topic.producer();
    /// for order in ["first", "second", "third"] {
    ///     producer.send(Record::new(order))?;
    /// }
    /// assert_eq!(topic.delete_records(0, 2)?, 2);
    /// assert_eq!(topic.log_start_offset(0)?, 2);
    /// let batch = consumer.try_poll()?;
    /// assert_eq!((batch.len(), batch.lost()), (1, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`TopicError::PartitionOutOfRange`]; [`TopicError::OffsetOutOfRange`] for an offset past
    /// the end; [`TopicError::Closed`] after the topic was deleted. Nothing is deleted then.
    pub fn delete_records(&self, partition: u32, before: u64) -> Result<u64, TopicError> {
        let log = self.partition(partition)?;
        if self.inner.is_closed() {
            return Err(TopicError::Closed {
                topic: self.inner.name.clone(),
            });
        }
        let pool = self.inner.pool();
        let log_end = log.log_end_offset(pool);
        if before > log_end {
            return Err(TopicError::OffsetOutOfRange {
                topic: self.inner.name.clone(),
                partition,
                offset: before,
                log_start: log.log_start_offset(pool),
                log_end,
            });
        }
        log.raise_floor(before);
        self.inner.change(0);
        Ok(log.log_start_offset(pool))
    }

    /// Gives up what the topic keeps no longer, by [`TopicConfig::retention`] and
    /// [`TopicConfig::retention_bytes`], in all partitions. The same is done for a partition
    /// whenever one of its segments is full; this is for partitions where that does not happen in
    /// time. While it runs it brings a spare segment, as handles do.
    ///
    /// ```
    /// # use ringlog::{Broker, Record, TopicConfig};
    /// # use std::time::Duration;
    /// # let broker = Broker::new();
    /// let config = TopicConfig::new().segment_records(1).retention(Duration::ZERO);
    /// let topic = broker.create_topic("orders", config)?;
    /// let mut producer = topic.producer();
    /// for order in ["first", "second"] {
    ///     producer.send(Record::new(order))?;
    /// }
    /// topic.apply_retention();
    /// assert_eq!(topic.log_start_offset(0)?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn apply_retention(&self) {
        let seat = Seat::new(&self.inner);
        for partition in 0..self.partitions() {
            let partition = self.inner.partition(partition);
            partition.apply_retention(seat.topic().pool());
        }
    }

    /// Bytes of all the topic's segments, its handles' spares included: the formula is at
    /// [`TopicConfig`].
    pub fn memory_bytes(&self) -> usize {
        self.inner.pool.bytes()
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic")
            .field("name", &self.inner.name)
            .field("config", &self.inner.config)
            .field("closed", &self.inner.is_closed())
            .finish()
    }
}
