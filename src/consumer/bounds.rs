use super::Consumer;
use crate::error::ConsumeError;
use crate::log::partition::Partition;
use crate::log::time_lookup;
use crate::log::time_lookup::OffsetAndTimestamp;
use crate::record::check_timestamp;
use crate::topic::{Topic, TopicPartition};
use std::collections::BTreeMap;

impl Consumer {
    /// The first offset that each of these partitions retains.
    ///
    /// The partitions may be of any topics, whether this consumer reads them or not; nothing is
    /// moved.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Record, TopicConfig, TopicPartition};
    /// # let broker = Broker::new();
    /// let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// topic.producer().send(Record::new(b"login").timestamp(1_000))?;
    /// topic.producer().send(Record::new(b"order").timestamp(2_000))?;
    ///
    /// let consumer = broker.consumer(ConsumerConfig::new());
    /// let orders = TopicPartition::new("orders", 0);
    /// assert_eq!(consumer.beginning_offsets(&[orders.clone()])?[&orders], 0);
    /// assert_eq!(consumer.end_offsets(&[orders.clone()])?[&orders], 2);
    /// let found = consumer.offsets_for_times(&[(orders.clone(), 1_500)])?[&orders];
    /// assert_eq!(found.map(|at| (at.offset, at.timestamp)), Some((1, 2_000)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ConsumeError::UnknownTopic`] and [`ConsumeError::PartitionOutOfRange`].
    pub fn beginning_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, u64>, ConsumeError> {
        self.bounds(partitions, Partition::log_start_offset)
    }

    /// One past the last offset of each of these partitions: what the next record will get.
    /// Otherwise as [`beginning_offsets`](Self::beginning_offsets).
    ///
    /// # Errors
    /// [`ConsumeError::UnknownTopic`] and [`ConsumeError::PartitionOutOfRange`].
    pub fn end_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, u64>, ConsumeError> {
        self.bounds(partitions, Partition::log_end_offset)
    }

    fn bounds(
        &self,
        partitions: &[TopicPartition],
        bound: fn(&Partition) -> u64,
    ) -> Result<BTreeMap<TopicPartition, u64>, ConsumeError> {
        let bound_of = |wanted: &TopicPartition| {
            let topic = self.find_partition(wanted)?;
            let topic = topic.inner();
            let offset = bound(topic.partition(wanted.partition));
            Ok((wanted.clone(), offset))
        };
        partitions.iter().map(bound_of).collect()
    }

    /// For each of these partitions, the earliest retained record whose time is at or after the
    /// one given, in milliseconds since 1970 UTC; `None` when there is none.
    ///
    /// Times need not be in order: whatever they are, no record before the one found has such a
    /// time. Records without a time are never found. The search ends where a consumer's reading
    /// would end now: before a record that another thread is just copying in. A partition asked
    /// for twice is answered for the last time given. Otherwise as
    /// [`beginning_offsets`](Self::beginning_offsets);
    /// [`Topic::offset_for_time`](crate::Topic::offset_for_time) says what it costs.
    ///
    /// # Errors
    /// [`ConsumeError::UnknownTopic`], [`ConsumeError::PartitionOutOfRange`], and
    /// [`ConsumeError::InvalidTimestamp`] for a time below zero.
    pub fn offsets_for_times(
        &self,
        times: &[(TopicPartition, i64)],
    ) -> Result<BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>, ConsumeError> {
        let mut topics = Vec::new();
        for (wanted, time) in times {
            topics.push((self.find_partition(wanted)?, check_timestamp(*time)?));
        }
        let find = |((wanted, _), (topic, time)): (&(TopicPartition, i64), &(_, i64))| {
            let topic: &Topic = topic;
            let found = time_lookup::find(topic.inner().partition(wanted.partition), *time);
            (wanted.clone(), found.found())
        };
        Ok(times.iter().zip(&topics).map(find).collect())
    }
}
