//! The public handle of a topic.

use super::config::TopicConfig;
use super::shared::TopicShared;
use crate::error::TopicError;
use crate::events::event;
use crate::log::partition::Partition;
use crate::log::time_lookup;
use crate::log::time_lookup::OffsetAndTimestamp;
use core::fmt;
use std::sync::Arc;

/// A topic: partitions that records are appended to and read from.
///
/// A handle: clones are the same topic. It stays usable after
/// [`Broker::delete_topic`](crate::Broker::delete_topic), but its producers and consumers
/// then report `Closed`.
#[derive(Clone)]
pub struct Topic {
    pub(super) inner: Arc<TopicShared>,
}

#[cfg(loom)]
impl Topic {
    /// In a model, when nothing else happens any more, and readers hold only what is live: every
    /// segment is live, or can be taken. None is lost.
    pub fn assert_no_segment_is_lost(&self) {
        let partitions = (0..self.partitions()).map(|p| self.inner.partition(p));
        let live: usize = partitions.map(|log| log.live_segments()).sum();
        let (all, free) = self.inner.pool().take_all();
        assert_eq!(live + free, all, "{live} live, {free} free, {all} in all");
    }
}

impl Topic {
    pub(crate) fn new(name: &str, config: TopicConfig) -> Result<Topic, TopicError> {
        Ok(Topic {
            inner: Arc::new(TopicShared::new(name, config)?),
        })
    }

    pub(crate) fn inner(&self) -> &Arc<TopicShared> {
        &self.inner
    }

    /// The topic's name.
    pub fn name(&self) -> &str {
        self.inner.name()
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
    /// and read them from the first record, whatever their [`OffsetReset`](crate::OffsetReset);
    /// under [`Overflow::Backpressure`](crate::Overflow::Backpressure) nothing that is sent there
    /// is overwritten before they have read it, also when they poll much later. The same goes for a
    /// group as a whole. Consumers that were assigned partitions keep to those. (A producer's first
    /// call afterwards allocates a little, and a consumer's poll as well.)
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
    /// [`TopicError::NoMorePartitions`] when there are 16,384; [`TopicError::TooManySegments`];
    /// [`TopicError::OutOfMemory`]; [`TopicError::Closed`] after the topic was closed or deleted.
    /// Nothing is changed then.
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

    /// Ends the topic: nothing more is appended, and its consumers read on to the end.
    ///
    /// From now on producers are refused with [`SendError::Closed`](crate::SendError::Closed), also
    /// those that are just waiting for room. What was appended before, or was just being appended,
    /// is there to be read; a consumer that has read all of it gets
    /// [`ConsumeError::Closed`](crate::ConsumeError::Closed), and those that wait are woken. Nobody
    /// loses a record by it. Claims that are open when the topic is closed may still be published.
    ///
    /// An exclusive producer ends its topic itself, with the next call that it makes, which is
    /// refused, or when it is dropped: only then are the consumers told. (Its appends are plain
    /// stores, which nobody else can stop.)
    ///
    /// The topic stays in its broker, can be read again from any offset that is retained, and cannot
    /// be opened again. Closing it once more does nothing.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumeError, ConsumerConfig, Record, TopicConfig};
    /// # use std::time::Duration;
    /// # let broker = Broker::new();
    /// let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// let mut consumer = broker.consumer(ConsumerConfig::new());
    /// consumer.subscribe(&["orders"])?;
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

    /// Whether the topic was closed, or deleted.
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

    /// The first offset that the partition retains.
    ///
    /// # Errors
    /// [`TopicError::PartitionOutOfRange`].
    pub fn log_start_offset(&self, partition: u32) -> Result<u64, TopicError> {
        let partition = self.partition(partition)?;
        Ok(partition.log_start_offset())
    }

    /// One past the partition's last offset: what the next record will get. Records that
    /// another thread is just copying in count.
    ///
    /// # Errors
    /// [`TopicError::PartitionOutOfRange`].
    pub fn log_end_offset(&self, partition: u32) -> Result<u64, TopicError> {
        let partition = self.partition(partition)?;
        Ok(partition.log_end_offset())
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
        let log = self.partition(partition)?;
        if time < 0 {
            return Err(TopicError::InvalidTimestamp { timestamp: time });
        }
        Ok(time_lookup::find(log, time).found())
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
    /// [`Overflow::Backpressure`](crate::Overflow::Backpressure) a consumer holds producers back
    /// where it was until its next poll, and a group without members until one comes.
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
        if self.inner.is_deleted() {
            return Err(TopicError::Closed {
                topic: self.inner.name().clone(),
            });
        }
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
        self.inner.change();
        Ok(log.log_start_offset())
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
        let _spare = self.inner.pool().spare();
        for partition in 0..self.partitions() {
            let partition = self.inner.partition(partition);
            partition.apply_retention();
        }
    }

    /// Bytes of all the topic's segments, its handles' spares included: the formula is at
    /// [`TopicConfig`].
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
