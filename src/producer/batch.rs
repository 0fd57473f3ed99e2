//! Sending many records at once: each partition's share as one frame.

use super::Producer;
use super::appender::{FrameSize, Refusal, WhenFull};
use super::batch_plan::BatchPlan;
use crate::error::{BatchError, SendError};
use crate::log::segment::ClaimMode;
use crate::record::{Record, RecordMetadata};
use core::fmt;

#[allow(private_bounds)]
impl<S: ClaimMode> Producer<S> {
    /// Sends a batch: each partition's share as one frame, which readers see all of or
    /// nothing. Waits for room up to `max_block` for each share.
    ///
    /// Within a partition the records keep their order.
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
    /// See [`Producer`]. Records that could never be appended refuse the whole batch
    /// beforehand; a share that finds no room leaves earlier shares appended, and
    /// [`BatchError`] says which records are not.
    pub fn send_batch<'a>(
        &'a mut self,
        records: &'a [Record<'a>],
    ) -> Result<BatchMetadata<'a>, BatchError> {
        self.append_batch(records, WhenFull::Block)
    }

    /// Sends a batch, without waiting for room.
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
        let time = self.time();
        self.append_shares(records, time, 0, when_full)
            .map_err(|(partition, refusal)| self.batch_plan.refused(refusal.into(), partition))?;
        Ok(self.appended(records, time))
    }

    /// What is known of a batch all of whose shares were appended.
    pub(crate) fn appended<'a>(
        &'a self,
        records: &'a [Record<'a>],
        time: i64,
    ) -> BatchMetadata<'a> {
        BatchMetadata {
            plan: &self.batch_plan,
            records,
            time,
        }
    }

    pub(crate) fn plan_batch(&mut self, records: &[Record<'_>]) -> Result<(), BatchError> {
        self.plan(records).map_err(|cause| BatchError {
            cause,
            appended: 0,
            refused: (0..records.len()).collect(),
        })
    }

    /// Appends the planned shares, from that of partition `first` on. Refused, it returns the first
    /// partition whose share was not appended, and why.
    pub(super) fn append_shares(
        &mut self,
        records: &[Record<'_>],
        time: i64,
        first: usize,
        when_full: WhenFull<'_>,
    ) -> Result<(), (usize, Refusal)> {
        for partition in first..self.batch_plan.partitions() {
            let share = self.batch_plan.share(partition);
            if share.records == 0 {
                continue;
            }
            let topic = &self.appenders.topic;
            let size = FrameSize::of_batch(topic, partition as u32, share.records, share.size());
            let size = size.map_err(|error| (partition, error.into()))?;
            let claim = self.appenders.claim::<S>(partition as u32, size, when_full);
            let claim = claim.map_err(|refusal| (partition, refusal))?;
            let records = self.batch_plan.records_of(partition, records);
            let offset = claim.publish_batch(&share, records, time);
            self.batch_plan.set_base_offset(partition, offset);
        }
        Ok(())
    }

    fn plan(&mut self, records: &[Record<'_>]) -> Result<(), SendError> {
        self.check()?;
        let (topic, partitions) = (&self.appenders.topic, self.appenders.len());
        self.batch_plan
            .plan(topic, &mut self.router, partitions, records)
    }
}

/// Where the records of a batch went, in the order they were given.
#[derive(Clone, Copy)]
pub struct BatchMetadata<'a> {
    plan: &'a BatchPlan,
    records: &'a [Record<'a>],
    time: i64,
}

impl<'a> BatchMetadata<'a> {
    /// How many records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether the batch was empty.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Where record `i` of the batch went.
    pub fn get(&self, i: usize) -> Option<RecordMetadata> {
        let record = self.records.get(i)?;
        let (partition, offset) = self.plan.location(i);
        Some(RecordMetadata {
            partition,
            offset,
            timestamp: record.given_timestamp().unwrap_or(self.time),
        })
    }

    /// Where each record went.
    pub fn iter(&self) -> BatchMetadataIter<'a> {
        BatchMetadataIter {
            all: *self,
            next: 0,
        }
    }
}

impl<'a> IntoIterator for &BatchMetadata<'a> {
    type Item = RecordMetadata;
    type IntoIter = BatchMetadataIter<'a>;

    fn into_iter(self) -> BatchMetadataIter<'a> {
        BatchMetadataIter {
            all: *self,
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
    all: BatchMetadata<'a>,
    next: usize,
}

impl Iterator for BatchMetadataIter<'_> {
    type Item = RecordMetadata;

    fn next(&mut self) -> Option<RecordMetadata> {
        let metadata = self.all.get(self.next)?;
        self.next += 1;
        Some(metadata)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.all.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for BatchMetadataIter<'_> {}
