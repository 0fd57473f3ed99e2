//! [`Topic`], the public handle: adding partitions, closing, offsets, deletion, retention.

use super::config::TopicConfig;
use super::shared::TopicShared;
use crate::error::TopicError;
use crate::events::event;
use crate::log::partition::Partition;
use crate::log::time_lookup::{self, OffsetAndTimestamp};
use crate::record::check_timestamp;
use crate::storage::{Storage, StoredTopic, TopicRecord};
use core::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A topic: a set of partitions, to which records are appended and from which they are read.
///
/// This is a handle: clones refer to the same topic. It stays usable after
/// [`Broker::delete_topic`](crate::Broker::delete_topic), but the topic's producers and consumers
/// then report `Closed`.
///
/// ```
/// use ringlog::{Broker, Record, TopicConfig};
///
/// let broker = Broker::new();
/// let topic = broker.create_topic("orders", TopicConfig::new().partitions(2))?;
/// topic.producer().send(Record::new("login").partition(1))?;
/// assert_eq!(topic.log_end_offset(0)?, 0);
/// assert_eq!(topic.log_end_offset(1)?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Topic {
    inner: Arc<TopicShared>,
}

#[cfg(loom)]
impl Topic {
    /// Asserts that every segment is live or free, so that none is lost. For models, when no other
    /// thread runs any more and readers hold only live segments.
    pub fn assert_no_segment_is_lost(&self) {
        let partitions = (0..self.partitions()).map(|p| self.inner.partition(p));
        let live: usize = partitions.map(|log| log.live_segments()).sum();
        let (all, free) = self.inner.pool().take_all();
        assert_eq!(live + free, all, "{live} live, {free} free, {all} in all");
    }
}

impl Topic {
    /// A new topic. Its records are kept in `storage` too, if there is one.
    pub(crate) fn new(
        name: &str,
        config: TopicConfig,
        storage: Option<&Storage>,
    ) -> Result<Topic, TopicError> {
        Ok(Self::start(TopicShared::new(name, config, storage, None)?))
    }

    /// A topic that was found in `storage`. `configure` may change its stored configuration.
    pub(crate) fn recovered(
        storage: &Storage,
        stored: StoredTopic,
        configure: impl FnOnce(&str, TopicConfig) -> TopicConfig,
    ) -> Result<Topic, TopicError> {
        let TopicRecord {
            name,
            partitions,
            closed,
            ref settings,
            ..
        } = stored.record.clone();
        let config = TopicConfig::from_settings(partitions, settings);
        let config = configure(&name, config).partitions(partitions);
        let topic = Self::start(TopicShared::new(
            &name,
            config,
            Some(storage),
            Some(stored),
        )?);
        if closed {
            topic.close();
        }
        Ok(topic)
    }

    /// From now on its records are copied, if it is durable.
    fn start(shared: TopicShared) -> Topic {
        let inner = Arc::new(shared);
        let partitions = (0..inner.partitions()).map(|p| inner.partition(p).clone());
        inner.start_copying(&partitions.collect::<Vec<_>>());
        Topic { inner }
    }

    pub(crate) fn inner(&self) -> &Arc<TopicShared> {
        &self.inner
    }

    /// The topic's name.
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// The number of partitions.
    pub fn partitions(&self) -> u32 {
        self.inner.partitions()
    }

    /// Adds partitions until the topic has `total`, and allocates all their memory, as Kafka's
    /// `createPartitions` does.
    ///
    /// Producers use the new partitions from their next call on. **Keys are then mapped to all
    /// partitions again**: most keys map to another partition than before, and the records that
    /// were sent for them stay where they are.
    ///
    /// Consumers that are subscribed to the topic read the new partitions from their next poll on.
    /// They begin at the first record, regardless of their [`OffsetReset`](crate::OffsetReset).
    /// Under [`Overflow::Backpressure`](crate::Overflow::Backpressure) no record there is
    /// overwritten before they have read it, even if they poll much later. A group as a whole has
    /// the same guarantees. Consumers that were assigned partitions keep their assignment.
    ///
    /// The first call of each producer afterwards allocates a little, and so does the first poll
    /// of each consumer.
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
    /// - [`TopicError::InvalidConfig`] if `total` is not greater than the current number, or is
    ///   greater than 16,384.
    /// - [`TopicError::NoMorePartitions`] if the topic has 16,384 already.
    /// - [`TopicError::TooManySegments`] and [`TopicError::OutOfMemory`], as for
    ///   [`Broker::create_topic`](crate::Broker::create_topic).
    /// - [`TopicError::Closed`] after the topic was closed or deleted.
    ///
    /// On an error nothing has changed.
    pub fn add_partitions(&self, total: u32) -> Result<(), TopicError> {
        self.inner.add_partitions(total)?;
        event!(
            info,
            "partitions added",
            topic = self.name(),
            partitions = total,
        );
        Ok(())
    }

    /// Closes the topic: nothing more is appended, and its consumers read on to the end.
    ///
    /// Producers are refused with [`SendError::Closed`](crate::SendError::Closed) from now on,
    /// even while they wait for room. Records that were appended before, or are being
    /// appended at this moment, stay readable. A consumer that has read all of them gets
    /// [`ConsumeError::Closed`](crate::ConsumeError::Closed); waiting consumers are woken. Closing
    /// loses no record. Claims that are open when the topic is closed may still be published.
    ///
    /// If an exclusive producer lives, the logs end only with its next call, which is refused, or
    /// when it is dropped. Consumers see the end only then. (Its appends are plain stores, which no
    /// other thread can stop.)
    ///
    /// The topic stays in its broker and can be read again from any retained offset. It cannot be
    /// reopened. Closing it again has no effect.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumeError, ConsumerConfig, Record, TopicConfig};
    /// # use std::time::Duration;
    /// # let broker = Broker::new();
    /// let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// let mut consumer = broker.consumer(ConsumerConfig::new())?;
    /// consumer.subscribe(["orders"])?;
    /// let mut producer = topic.producer();
    /// producer.send(Record::new("the last"))?;
    ///
    /// topic.close();
    /// assert!(producer.send(Record::new("too late")).is_err());
    /// assert_eq!(consumer.poll(Duration::from_secs(60))?.len(), 1);
    /// let end = consumer.poll(Duration::from_secs(60));
    /// assert!(matches!(end, Err(ConsumeError::Closed { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(&self) {
        self.inner.close();
    }

    /// Whether the topic was closed or deleted.
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn partition(&self, partition: u32) -> Result<&Partition, TopicError> {
        let partitions = self.partitions();
        if partition >= partitions {
            return Err(TopicError::PartitionOutOfRange {
                topic: self.inner.name().clone(),
                partition,
                partitions,
            });
        }
        Ok(self.inner.partition(partition))
    }

    /// The first offset that the partition retains (Kafka's log start offset).
    ///
    /// # Errors
    /// [`TopicError::PartitionOutOfRange`].
    pub fn log_start_offset(&self, partition: u32) -> Result<u64, TopicError> {
        let partition = self.partition(partition)?;
        Ok(partition.log_start_offset())
    }

    /// The offset after the partition's last one, which the next record will get. Records that
    /// another thread has claimed room for and not published yet count.
    ///
    /// # Errors
    /// [`TopicError::PartitionOutOfRange`].
    pub fn log_end_offset(&self, partition: u32) -> Result<u64, TopicError> {
        let partition = self.partition(partition)?;
        Ok(partition.log_end_offset())
    }

    /// Finds the earliest retained record whose timestamp is at or after `time`, in milliseconds
    /// since 1970 UTC. Returns `None` if there is none. See
    /// [`Consumer::offsets_for_times`](crate::Consumer::offsets_for_times) for what is found if
    /// timestamps are not in order, and for where the search ends.
    ///
    /// It reads the timestamps from the log start to the record that it finds. The maximum
    /// timestamp of a complete segment that was read to its end is cached, so later lookups skip
    /// it. While it runs, it keeps the segment that it reads from being reused, and brings a spare
    /// segment to the topic's pool, as handles do. It never holds back the log start.
    ///
    /// ```
    /// # use ringlog::{Broker, Record, TopicConfig};
    /// # let topic = Broker::new().create_topic("orders", TopicConfig::new())?;
    /// let mut producer = topic.producer();
    /// for time in [1000, 2000, 3000] {
    ///     producer.send(Record::new("order").timestamp(time))?;
    /// }
    /// let found = topic.offset_for_time(0, 1500)?;
    /// assert_eq!(found.map(|found| (found.offset, found.timestamp)), Some((1, 2000)));
    /// assert!(topic.offset_for_time(0, 4000)?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`TopicError::PartitionOutOfRange`]; [`TopicError::InvalidTimestamp`] for a time below
    /// zero.
    pub fn offset_for_time(
        &self,
        partition: u32,
        time: i64,
    ) -> Result<Option<OffsetAndTimestamp>, TopicError> {
        let log = self.partition(partition)?;
        let time = check_timestamp::<TopicError>(time)?;
        Ok(time_lookup::find(log, time).found())
    }

    /// Deletes the records of a partition before offset `before`, as Kafka's `deleteRecords` does.
    /// Returns the new log start offset: `before`, or a later one if the log started later already.
    ///
    /// No poll of any consumer that begins afterwards returns a record before that offset. A
    /// consumer with an earlier position continues at `before`;
    /// [`Batch::lost`](crate::Batch::lost) reports how many offsets it has not read. With
    /// [`OffsetReset::None`](crate::OffsetReset::None) its poll fails with
    /// [`ConsumeError::OffsetOutOfRange`](crate::ConsumeError::OffsetOutOfRange). A batch that is
    /// already held is not affected.
    ///
    /// Deletion frees no memory at once: memory is reused a segment at a time, as always. Under
    /// [`Overflow::Backpressure`](crate::Overflow::Backpressure) a consumer holds producers back at
    /// its old position until its next poll, and a group without members until one joins.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
    /// # let broker = Broker::new();
    /// let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// let mut consumer = broker.consumer(ConsumerConfig::new())?;
    /// consumer.subscribe(["orders"])?;
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
    /// the end; [`TopicError::Closed`] after the topic was deleted: nothing is deleted then.
    /// [`TopicError::Storage`] if the files of a durable topic cannot be changed: no reader gets the
    /// records any more, but they may be back after a restart.
    pub fn delete_records(&self, partition: u32, before: u64) -> Result<u64, TopicError> {
        let log = self.partition(partition)?;
        self.inner.refuse_deleted::<TopicError>()?;
        let log_end = log.log_end_offset();
        if before > log_end {
            return Err(TopicError::OffsetOutOfRange {
                topic: self.inner.name().clone(),
                partition,
                offset: before,
                log_start: log.log_start_offset(),
                log_end,
            });
        }
        log.raise_deleted_before(before);
        self.inner.announce_change();
        if let Some(files) = log.files() {
            files.delete_before(before)?;
        }
        Ok(log.log_start_offset())
    }

    /// Evicts the segments of all partitions that [`TopicConfig::retention`] and
    /// [`TopicConfig::retention_bytes`] no longer retain.
    ///
    /// A partition does the same by itself whenever one of its segments is full. Call this for
    /// partitions where that happens too seldom. While it runs, it brings a spare segment to the
    /// topic's pool, as handles do.
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
        let _spare = self.inner.pool().spare();
        for partition in 0..self.partitions() {
            let partition = self.inner.partition(partition);
            partition.apply_retention();
        }
        // What fails is in the storage's list of faults, and is tried again a second later.
        let _ = self.inner.apply_retention_to_files();
    }

    /// Changes how long records are kept while there is room: [`TopicConfig::retention`] of a topic
    /// that exists. `None` stands for as long as there is room.
    ///
    /// The records that are there already have the new limit too. It is applied as the configured
    /// one is: when a segment is full, and by [`apply_retention`](Self::apply_retention). A durable
    /// topic has it again after a restart; so this waits for the disk.
    ///
    /// ```
    /// # use ringlog::{Broker, Record, TopicConfig};
    /// # use std::time::Duration;
    /// # let broker = Broker::new();
    /// let topic = broker.create_topic("orders", TopicConfig::new().segment_records(1))?;
    /// let mut producer = topic.producer();
    /// for order in ["first", "second"] {
    ///     producer.send(Record::new(order))?;
    /// }
    /// topic.set_retention(Some(Duration::ZERO));
    /// topic.apply_retention();
    /// assert_eq!(topic.log_start_offset(0)?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_retention(&self, time: Option<Duration>) {
        // Consumers that wait for several records wait for fewer where records may be evicted. They
        // look at the limits after each of their naps.
        self.inner.set_retention_time(time);
    }

    /// Changes how many bytes a partition keeps at least: [`TopicConfig::retention_bytes`] of a
    /// topic that exists. `None` stands for as many as there is room for. It is applied as
    /// [`set_retention`](Self::set_retention) says.
    pub fn set_retention_bytes(&self, bytes: Option<u64>) {
        self.inner.set_retention_bytes(bytes);
    }

    /// How many records a segment holds ([`TopicConfig::segment_records`]). A batch of more is
    /// refused.
    pub fn segment_records(&self) -> u32 {
        self.inner.pool().shape().records
    }

    /// The bytes that are reserved for all segments of the topic, including the spares that handles
    /// have needed so far. The formula is at [`TopicConfig`]. Pages that were never used count, and
    /// take no memory.
    pub fn memory_bytes(&self) -> usize {
        self.inner.pool().bytes()
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic")
            .field("name", self.inner.name())
            .field("config", self.inner.config())
            .field("closed", &self.inner.is_closed())
            .finish()
    }
}
