//! Where a consumer is, and where it might be: seeking, and asking about partitions.

use crate::consumer::{Consumer, TopicPartition};
use crate::cursor::Cursor;
use crate::error::ConsumeError;
use crate::partition::Partition;
use crate::pool::SegmentPool;
use crate::times::{self, OffsetAndTimestamp};
use std::collections::BTreeMap;

fn check_time(time: i64) -> Result<i64, ConsumeError> {
    if time < 0 {
        return Err(ConsumeError::InvalidTimestamp { timestamp: time });
    }
    Ok(time)
}

impl Consumer {
    pub(crate) fn position_of(&self, topic: &str, partition: u32) -> Result<usize, ConsumeError> {
        let mut assigned = self.assigned.iter();
        assigned
            .position(|a| a.is(topic, partition))
            .ok_or_else(|| ConsumeError::NotAssigned {
                topic: topic.to_owned(),
                partition,
            })
    }

    /// Reads on from `offset` in this partition. An offset outside what is retained shows at
    /// the next poll, by the [`OffsetReset`](crate::OffsetReset) policy. One that is retained now is read under
    /// `Backpressure`; under `DropOldest` it may be gone by the next poll, and then counts as
    /// lost.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`].
    pub fn seek(&mut self, topic: &str, partition: u32, offset: u64) -> Result<(), ConsumeError> {
        self.seek_by(topic, partition, offset, Cursor::seek)
    }

    fn seek_by(
        &mut self,
        topic: &str,
        partition: u32,
        offset: u64,
        go: impl FnOnce(&mut Cursor, &Partition, &SegmentPool, u64),
    ) -> Result<(), ConsumeError> {
        let i = self.position_of(topic, partition)?;
        let assigned = &mut self.assigned[i];
        let log = assigned.topic.partition(partition);
        if let Some(owned) = &mut assigned.owned {
            owned.hold_back_to(offset);
        }
        go(&mut assigned.cursor, log, assigned.topic.pool(), offset);
        assigned.positioned = true;
        assigned.closed_reported = false;
        Ok(())
    }

    /// Reads on from the first record that this partition retains now.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`].
    pub fn seek_to_beginning(&mut self, topic: &str, partition: u32) -> Result<(), ConsumeError> {
        let i = self.position_of(topic, partition)?;
        if let Some(owned) = &mut self.assigned[i].owned {
            owned.hold_all();
        }
        self.seek_with(topic, partition, Cursor::go_to_start)
    }

    /// Reads on past the last record that this partition has now.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`].
    pub fn seek_to_end(&mut self, topic: &str, partition: u32) -> Result<(), ConsumeError> {
        self.seek_with(topic, partition, Cursor::go_to_end)
    }

    /// Reads on from the first record of `time` or later, in milliseconds since 1970 UTC; when
    /// there is none, from where the records that can be read now end. Answers the position. What
    /// is found is what [`offsets_for_times`](Self::offsets_for_times) finds.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`]; [`ConsumeError::InvalidTimestamp`] for a time below zero.
    pub fn seek_to_time(
        &mut self,
        topic: &str,
        partition: u32,
        time: i64,
    ) -> Result<u64, ConsumeError> {
        let i = self.position_of(topic, partition)?;
        let offset = match times::find(&self.assigned[i].topic, partition, check_time(time)?) {
            Ok(found) => found.offset,
            Err(end) => end,
        };
        // It was retained, or the end: what goes by before the next poll counts as lost.
        self.seek_by(topic, partition, offset, Cursor::resume_at)?;
        Ok(offset)
    }

    fn seek_with(
        &mut self,
        topic: &str,
        partition: u32,
        go: impl FnOnce(&mut Cursor, &Partition, &SegmentPool),
    ) -> Result<(), ConsumeError> {
        let i = self.position_of(topic, partition)?;
        self.pin_only(i);
        let assigned = &mut self.assigned[i];
        let log = assigned.topic.partition(assigned.partition);
        go(&mut assigned.cursor, log, assigned.topic.pool());
        assigned.positioned = true;
        assigned.closed_reported = false;
        Ok(())
    }

    /// The next offset that this consumer reads in this partition.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`].
    pub fn position(&self, topic: &str, partition: u32) -> Result<u64, ConsumeError> {
        let i = self.position_of(topic, partition)?;
        Ok(self.assigned[i].cursor.position())
    }

    /// How many offsets this partition has from the position on: `log_end_offset - position`.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`].
    pub fn lag(&self, topic: &str, partition: u32) -> Result<u64, ConsumeError> {
        let i = self.position_of(topic, partition)?;
        let assigned = &self.assigned[i];
        let log = assigned.topic.partition(partition);
        let end = log.log_end_offset(assigned.topic.pool());
        Ok(end.saturating_sub(assigned.cursor.position()))
    }

    /// How many offsets this partition retains before the position: `position - log_start_offset`
    /// (Kafka's `records-lead`). Under `DropOldest` a lead near zero says that the consumer is
    /// about to lose records; one that was overtaken has none.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`].
    pub fn lead(&self, topic: &str, partition: u32) -> Result<u64, ConsumeError> {
        let i = self.position_of(topic, partition)?;
        let assigned = &self.assigned[i];
        let log = assigned.topic.partition(partition);
        let start = log.log_start_offset(assigned.topic.pool());
        Ok(assigned.cursor.position().saturating_sub(start))
    }

    /// Does not read this partition until [`resume`](Self::resume). It stays assigned, and
    /// under `Backpressure` still holds back its producers.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`].
    pub fn pause(&mut self, topic: &str, partition: u32) -> Result<(), ConsumeError> {
        let i = self.position_of(topic, partition)?;
        self.assigned[i].paused = true;
        Ok(())
    }

    /// Reads this partition again.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`].
    pub fn resume(&mut self, topic: &str, partition: u32) -> Result<(), ConsumeError> {
        let i = self.position_of(topic, partition)?;
        self.assigned[i].paused = false;
        Ok(())
    }

    // ---- partitions that need not be its own --------------------------------------------

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
        bound: fn(&Partition, &SegmentPool) -> u64,
    ) -> Result<BTreeMap<TopicPartition, u64>, ConsumeError> {
        let bound_of = |wanted: &TopicPartition| {
            let topic = self.find_partition(wanted)?;
            let topic = topic.inner();
            let offset = bound(topic.partition(wanted.partition), topic.pool());
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
            topics.push((self.find_partition(wanted)?, check_time(*time)?));
        }
        let find = |((wanted, _), (topic, time)): (&(TopicPartition, i64), &(_, i64))| {
            let topic: &crate::topic::Topic = topic;
            let found = times::find(topic.inner(), wanted.partition, *time);
            (wanted.clone(), found.ok())
        };
        Ok(times.iter().zip(&topics).map(find).collect())
    }
}
