//! Sending many records at once: each partition's share as one frame.

use super::appender::{Patience, claim_frame};
use super::batch_plan::BatchPlan;
use super::{Producer, check_time};
use crate::error::{BatchError, SendError};
use crate::log::segment::{BatchShare, ClaimMode, UNIT};
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
        self.append_batch(records, Patience::Wait)
    }

    /// Sends a batch, without waiting for room.
    ///
    /// # Errors
    /// As [`send_batch`](Self::send_batch).
    pub fn try_send_batch<'a>(
        &'a mut self,
        records: &'a [Record<'a>],
    ) -> Result<BatchMetadata<'a>, BatchError> {
        self.append_batch(records, Patience::Try)
    }

    fn append_batch<'a>(
        &'a mut self,
        records: &'a [Record<'a>],
        how: Patience<'_>,
    ) -> Result<BatchMetadata<'a>, BatchError> {
        self.plan_batch(records)?;
        let time = self.time();
        self.append_shares(records, time, 0, how)
            .map_err(|(partition, cause)| self.batch_plan.refused(cause, partition))?;
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

    /// Appends the shares that were planned, from that of partition `first` on. Refused, it answers
    /// of which partition the first is that was not appended.
    pub(crate) fn append_shares(
        &mut self,
        records: &[Record<'_>],
        time: i64,
        first: usize,
        how: Patience<'_>,
    ) -> Result<(), (usize, SendError)> {
        for partition in first..self.batch_plan.shares.len() {
            let share = self.batch_plan.shares[partition];
            if share.records == 0 {
                continue;
            }
            // `plan` has checked that both fit.
            let units = share.size() / UNIT;
            // (Not by way of `self`, whose plan is read while the claim lives.)
            let claim = claim_frame::<S>(
                &self.topic,
                &mut self.appenders,
                &mut self.waiter,
                partition as u32,
                (share.records as u32, units as u32),
                how,
            )
            .map_err(|cause| (partition, cause))?;
            let plan = &self.batch_plan;
            let order = &plan.order[plan.starts[partition] as usize..][..share.records];
            let records = order.iter().map(|&i| &records[i as usize]);
            self.batch_plan.bases[partition] = claim.publish_batch(&share, records, time);
        }
        Ok(())
    }

    /// Works out each partition's share of a batch, and refuses what could never go in.
    fn plan(&mut self, records: &[Record<'_>]) -> Result<(), SendError> {
        self.check()?;
        let partitions = self.appenders.len();
        let plan = &mut self.batch_plan;
        plan.shares.clear();
        plan.shares.resize(partitions, BatchShare::default());
        plan.bases.resize(partitions, 0);
        plan.partitions.clear();
        plan.ranks.clear();
        for record in records {
            if let Some(time) = record.given_timestamp() {
                check_time(time)?;
            }
            let partition = match self.router.record(record) {
                Ok(partition) => partition,
                Err(wrong) => return Err(self.out_of_range(wrong)),
            };
            let share = &mut plan.shares[partition as usize];
            plan.partitions.push(partition);
            plan.ranks.push(share.records as u32);
            share.add(record);
        }
        let mut start = 0;
        plan.starts.clear();
        for (partition, share) in plan.shares.iter().enumerate() {
            plan.starts.push(start);
            start += share.records as u32;
            let shape = self.topic.pool().shape();
            let bytes = share.size();
            if bytes > shape.data_bytes() || share.records > shape.records as usize {
                return Err(SendError::BatchTooLarge {
                    partition: partition as u32,
                    records: share.records as u64,
                    size: bytes as u64,
                    max_records: shape.records.into(),
                    max: shape.data_bytes() as u64,
                });
            }
        }
        plan.order.resize(records.len(), 0);
        let places = plan.partitions.iter().zip(&plan.ranks);
        for (i, (&partition, &rank)) in places.enumerate() {
            plan.order[(plan.starts[partition as usize] + rank) as usize] = i as u32;
        }
        Ok(())
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
        let partition = self.plan.partitions[i];
        let rank = u64::from(self.plan.ranks[i]);
        Some(RecordMetadata {
            partition,
            offset: self.plan.bases[partition as usize] + rank,
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
