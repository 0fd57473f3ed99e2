//! The offsets of any partition of the broker: log start, log end, and by time.

use super::Consumer;
use crate::error::ConsumeError;
use crate::log::partition::Partition;
use crate::log::time_lookup;
use crate::log::time_lookup::OffsetAndTimestamp;
use crate::record::check_timestamp;
use crate::topic::TopicPartition;
use std::collections::BTreeMap;

impl Consumer {
    /// The first offset that each of these partitions retains.
    ///
    /// The partitions may be of any topics, whether this consumer reads them or not. No position
    /// moves.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Record, TopicConfig, TopicPartition};
    /// # let broker = Broker::new();
    /// let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// topic.producer().send(Record::new(b"login").timestamp(1_000))?;
    /// topic.producer().send(Record::new(b"order").timestamp(2_000))?;
    ///
    /// let consumer = broker.consumer(ConsumerConfig::new())?;
    /// let orders = TopicPartition::new("orders", 0);
    /// assert_eq!(consumer.beginning_offsets([&orders])?[&orders], 0);
    /// assert_eq!(consumer.end_offsets([&orders])?[&orders], 2);
    /// let found = consumer.offsets_for_times([(&orders, 1_500)])?[&orders];
    /// assert_eq!(found.map(|at| (at.offset, at.timestamp)), Some((1, 2_000)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ConsumeError::UnknownTopic`] and [`ConsumeError::PartitionOutOfRange`] for a partition
    /// that does not exist.
    pub fn beginning_offsets<P: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<BTreeMap<TopicPartition, u64>, ConsumeError> {
        self.bounds(partitions, Partition::log_start_offset)
    }

    /// The offset past the last record of each of these partitions, which the next record gets.
    /// Otherwise as [`beginning_offsets`](Self::beginning_offsets).
    ///
    /// # Errors
    /// [`ConsumeError::UnknownTopic`] and [`ConsumeError::PartitionOutOfRange`] for a partition
    /// that does not exist.
    pub fn end_offsets<P: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<BTreeMap<TopicPartition, u64>, ConsumeError> {
        self.bounds(partitions, Partition::log_end_offset)
    }

    fn bounds<P: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = P>,
        bound: fn(&Partition) -> u64,
    ) -> Result<BTreeMap<TopicPartition, u64>, ConsumeError> {
        let bound_of = |wanted: P| {
            let wanted = wanted.into();
            let found = self.find_partition(&wanted)?;
            Ok((wanted, bound(found.log())))
        };
        partitions.into_iter().map(bound_of).collect()
    }

    /// For each of these partitions and times, the earliest retained record whose timestamp is at
    /// or after the time, in milliseconds since 1970 UTC. `None` if there is no such record.
    ///
    /// Timestamps need not be in order: no record before the one found has such a timestamp.
    /// Records without a timestamp are never found. The search ends where reading would end now:
    /// before a record that another thread is still copying in. If a partition is named twice, its
    /// last time counts. Otherwise as [`beginning_offsets`](Self::beginning_offsets);
    /// [`Topic::offset_for_time`](crate::Topic::offset_for_time) says what it costs.
    ///
    /// # Errors
    /// [`ConsumeError::UnknownTopic`] and [`ConsumeError::PartitionOutOfRange`] for a partition
    /// that does not exist; [`ConsumeError::InvalidTimestamp`] for a time below zero.
    pub fn offsets_for_times<P: Into<TopicPartition>>(
        &self,
        times: impl IntoIterator<Item = (P, i64)>,
    ) -> Result<BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>, ConsumeError> {
        // All arguments are checked before the first search.
        let mut searches = Vec::new();
        for (wanted, time) in times {
            let wanted = wanted.into();
            let found = self.find_partition(&wanted)?;
            searches.push((wanted, found, check_timestamp::<ConsumeError>(time)?));
        }
        let results = searches.into_iter().map(|(wanted, found, time)| {
            let record = time_lookup::find(found.log(), time);
            (wanted, record.found())
        });
        Ok(results.collect())
    }
}
