//! `send_batch`: many records at once, each partition's share as one frame.
//!
//! First the whole batch is split by partition and checked ([`BatchPlan`]). Then the shares are
//! appended, in the order of their partitions. So a batch that could never be appended appends
//! nothing. A share that finds no room ends the call, with the shares before it appended.

use super::appender::{FrameSize, Refusal, WhenFull};
use super::batch_plan::BatchPlan;
use super::{Producer, ProducerMode};
use crate::error::{BatchError, SendError};
use crate::log::segment::BatchShare;
use crate::record::{
    Destination, FrameMetadata, Record, RecordMetadata, check_timestamp, known_timestamp,
};
use core::fmt;

impl<M: ProducerMode> Producer<M> {
    /// Appends a batch of records, each partition's share as one frame. Readers see all of a share
    /// or none of it.
    ///
    /// Within a partition the records keep their order. For each share the call waits for room, up
    /// to [`max_block`](Self::max_block).
    ///
    /// Returns each record's partition, offset and timestamp, in the order of `records`. The
    /// producer can send again once that is dropped.
    ///
    /// ```
    /// # use ringlog::{Broker, Record, TopicConfig};
    /// # let broker = Broker::new();
    /// # let topic = broker.create_topic("orders", TopicConfig::new().partitions(3))?;
    /// # let mut producer = topic.producer();
    /// let batch = [Record::new(b"a").key("k1"), Record::new(b"b").key("k2")];
    /// let sent = producer.send_batch(&batch)?;
    /// assert_eq!(sent.len(), 2);
    /// for metadata in &sent {
    ///     println!("partition {} offset {}", metadata.partition, metadata.offset);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`BatchError`], whose cause is described at [`Producer`].
    ///
    /// - If a record or a share could never be appended, or the producer may not send, nothing is
    ///   appended.
    /// - If a share is refused later, the shares of lower partitions stay appended, and
    ///   [`BatchError::refused`] lists the records that are not in the log.
    pub fn send_batch<'a>(
        &'a mut self,
        records: &'a [Record<'a>],
    ) -> Result<BatchMetadata<'a>, BatchError> {
        self.append_batch(records, WhenFull::Block)
    }

    /// Appends a batch, without waiting for room. Otherwise as [`send_batch`](Self::send_batch).
    ///
    /// # Errors
    /// As [`send_batch`](Self::send_batch).
    pub fn try_send_batch<'a>(
        &'a mut self,
        records: &'a [Record<'a>],
    ) -> Result<BatchMetadata<'a>, BatchError> {
        self.append_batch(records, WhenFull::Fail)
    }

    fn append_batch<'a>(
        &'a mut self,
        records: &'a [Record<'a>],
        when_full: WhenFull<'_>,
    ) -> Result<BatchMetadata<'a>, BatchError> {
        self.plan_batch(records)?;
        let timestamp = self.default_timestamp();
        self.append_shares(records, timestamp, 0, when_full)
            .map_err(|RefusedShare { partition, refusal }| {
                self.batch_plan.batch_error(refusal.into(), partition)
            })?;
        Ok(self.batch_metadata(records, timestamp))
    }

    /// Appends records to one partition as one frame, with a note: words that stay with the frame,
    /// and are part of no record. [`Batch::notes`](crate::Batch::notes) returns them. So a program
    /// can keep beside the records what it must not lose or have without them, such as the id of
    /// the request that has sent them: in a durable topic the note is in the files if the records
    /// are.
    ///
    /// Partitions that the records name are not looked at. If `records` is empty nothing is
    /// appended, and `base_offset` is the end of the partition's log. Waits for room up to
    /// [`max_block`](Self::max_block).
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
    /// # let broker = Broker::new();
    /// # let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// # let mut consumer = broker.consumer(ConsumerConfig::new())?;
    /// # consumer.subscribe(["orders"])?;
    /// let orders = [Record::new("first"), Record::new("second")];
    /// topic.producer().send_frame(0, &orders, &[4711])?;
    /// let batch = consumer.next_batch()?;
    /// let note = batch.notes().next().unwrap();
    /// assert_eq!((note.base_offset, note.records), (0, 2));
    /// assert!(note.words().eq([4711]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`Producer`].
    pub fn send_frame(
        &mut self,
        partition: u32,
        records: &[Record<'_>],
        note: &[u64],
    ) -> Result<FrameMetadata, SendError> {
        Ok(self.append_frame(partition, records, note, WhenFull::Block)?)
    }

    pub(super) fn append_frame(
        &mut self,
        partition: u32,
        records: &[Record<'_>],
        note: &[u64],
        when_full: WhenFull<'_>,
    ) -> Result<FrameMetadata, Refusal> {
        self.check_topic()?;
        let partition = self.router.choose(Destination::Partition(partition), 0);
        let partition = partition.map_err(SendError::from)?;
        let mut share = BatchShare::with_note(note.len());
        for record in records {
            if let Some(timestamp) = record.timestamp {
                check_timestamp::<SendError>(timestamp)?;
            }
            share.add(record);
        }
        let topic = &self.appenders.topic;
        let size = FrameSize::of_batch(topic, partition, share.records, share.size())?;
        let time = self.default_timestamp();
        let base_offset = match records.len() {
            0 => self.appenders.topic.partition(partition).log_end_offset(),
            _ => {
                let claim = self.appenders.claim::<M>(partition, size, when_full)?;
                claim.publish_with_note(&share, records.iter(), time, note)
            }
        };
        let (records, time) = (records.len() as u64, known_timestamp(time));
        Ok(FrameMetadata::new(partition, base_offset, records, time))
    }

    /// Checks that this producer may send, and splits the batch. Appends nothing.
    pub(super) fn plan_batch(&mut self, records: &[Record<'_>]) -> Result<(), BatchError> {
        self.try_plan_batch(records).map_err(|cause| BatchError {
            cause,
            appended: 0,
            refused: (0..records.len()).collect(),
        })
    }

    fn try_plan_batch(&mut self, records: &[Record<'_>]) -> Result<(), SendError> {
        self.check_topic()?;
        let (topic, partitions) = (&self.appenders.topic, self.appenders.len());
        self.batch_plan
            .split(topic, &mut self.router, partitions, records)
    }

    /// Appends the planned shares, beginning with that of `first_partition`, until one is refused.
    pub(super) fn append_shares(
        &mut self,
        records: &[Record<'_>],
        timestamp: i64,
        first_partition: usize,
        when_full: WhenFull<'_>,
    ) -> Result<(), RefusedShare> {
        for partition in first_partition..self.batch_plan.partitions() {
            let share = self.batch_plan.share(partition);
            if share.records == 0 {
                continue;
            }
            let refused = |refusal| RefusedShare { partition, refusal };
            let topic = &self.appenders.topic;
            let size = FrameSize::of_batch(topic, partition as u32, share.records, share.size());
            let size = size.map_err(|error| refused(error.into()))?;
            let claim = self.appenders.claim::<M>(partition as u32, size, when_full);
            let claim = claim.map_err(refused)?;
            let records = self.batch_plan.records_of(partition, records);
            let offset = claim.publish_batch(&share, records, timestamp);
            self.batch_plan.set_base_offset(partition, offset);
        }
        Ok(())
    }

    /// The metadata of a batch whose shares were all appended.
    pub(super) fn batch_metadata<'a>(
        &'a self,
        records: &'a [Record<'a>],
        timestamp: i64,
    ) -> BatchMetadata<'a> {
        BatchMetadata {
            plan: &self.batch_plan,
            records,
            timestamp,
        }
    }
}

/// The first share of a batch that was not appended, and why. The shares of lower partitions were.
pub(super) struct RefusedShare {
    pub(super) partition: usize,
    pub(super) refusal: Refusal,
}

/// Where the records of a batch were appended, in the order of the batch.
#[derive(Clone, Copy)]
pub struct BatchMetadata<'a> {
    plan: &'a BatchPlan,
    records: &'a [Record<'a>],
    /// The timestamp of the records that were sent without one.
    timestamp: i64,
}

impl<'a> BatchMetadata<'a> {
    /// The number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether the batch was empty.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The metadata of record `i` of the batch; `None` if the batch has no such record.
    pub fn get(&self, i: usize) -> Option<RecordMetadata> {
        let record = self.records.get(i)?;
        let (partition, offset) = self.plan.location(i);
        let timestamp = record.timestamp.or(known_timestamp(self.timestamp));
        Some(RecordMetadata::new(partition, offset, timestamp))
    }

    /// Iterates over the records' metadata.
    pub fn iter(&self) -> BatchMetadataIter<'a> {
        BatchMetadataIter {
            batch: *self,
            next: 0,
        }
    }
}

impl<'a> IntoIterator for &BatchMetadata<'a> {
    type Item = RecordMetadata;
    type IntoIter = BatchMetadataIter<'a>;

    fn into_iter(self) -> BatchMetadataIter<'a> {
        BatchMetadataIter {
            batch: *self,
            next: 0,
        }
    }
}

impl fmt::Debug for BatchMetadata<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// Iterates over a [`BatchMetadata`].
#[derive(Clone, Debug)]
pub struct BatchMetadataIter<'a> {
    batch: BatchMetadata<'a>,
    next: usize,
}

impl Iterator for BatchMetadataIter<'_> {
    type Item = RecordMetadata;

    fn next(&mut self) -> Option<RecordMetadata> {
        let metadata = self.batch.get(self.next)?;
        self.next += 1;
        Some(metadata)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.batch.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for BatchMetadataIter<'_> {}
