//! What `send_batch` works out before it appends: each partition's share of the batch.

use super::appender::FrameSize;
use super::router::Router;
use crate::error::{BatchError, SendError};
use crate::log::segment::BatchShare;
use crate::record::{Record, check_timestamp};
use crate::topic::TopicShared;

/// The plan of a batch. It is kept from call to call, so that it need not allocate.
#[derive(Default)]
pub(crate) struct BatchPlan {
    /// For each partition: its share, where its records begin in `order`, and the base
    /// offset of its frame.
    shares: Vec<BatchShare>,
    starts: Vec<u32>,
    bases: Vec<u64>,
    /// For each record: its partition, and its rank in the partition's share.
    partitions: Vec<u32>,
    ranks: Vec<u32>,
    /// The indices of the records, partition by partition.
    order: Vec<u32>,
}

impl BatchPlan {
    /// Works out each partition's share of a batch.
    ///
    /// # Errors
    /// For a record or a share that could never be appended.
    pub(super) fn plan(
        &mut self,
        topic: &TopicShared,
        router: &mut Router,
        partitions: usize,
        records: &[Record<'_>],
    ) -> Result<(), SendError> {
        self.shares.clear();
        self.shares.resize(partitions, BatchShare::default());
        self.bases.resize(partitions, 0);
        self.partitions.clear();
        self.ranks.clear();
        for record in records {
            if let Some(time) = record.given_timestamp() {
                check_timestamp(time)?;
            }
            let partition = router.choose(record.destination(), record.value().len())?;
            let share = &mut self.shares[partition as usize];
            self.partitions.push(partition);
            self.ranks.push(share.records as u32);
            share.add(record);
        }
        let mut start = 0;
        self.starts.clear();
        for (partition, share) in self.shares.iter().enumerate() {
            self.starts.push(start);
            start += share.records as u32;
            FrameSize::of_batch(topic, partition as u32, share.records, share.size())?;
        }
        self.order.resize(records.len(), 0);
        let ranked = self.partitions.iter().zip(&self.ranks);
        for (i, (&partition, &rank)) in ranked.enumerate() {
            self.order[(self.starts[partition as usize] + rank) as usize] = i as u32;
        }
        Ok(())
    }

    /// The number of partitions.
    pub(super) fn partitions(&self) -> usize {
        self.shares.len()
    }

    pub(super) fn share(&self, partition: usize) -> BatchShare {
        self.shares[partition]
    }

    /// The records of a partition's share, out of those of the batch.
    pub(super) fn records_of<'r>(
        &self,
        partition: usize,
        records: &'r [Record<'r>],
    ) -> impl Iterator<Item = &'r Record<'r>> {
        let first = self.starts[partition] as usize;
        let order = &self.order[first..][..self.shares[partition].records];
        order.iter().map(|&i| &records[i as usize])
    }

    /// The partition's share was appended at this offset.
    pub(super) fn set_base_offset(&mut self, partition: usize, offset: u64) {
        self.bases[partition] = offset;
    }

    /// Partition and offset of record `i` of the batch, after its share was appended.
    pub(super) fn location(&self, i: usize) -> (u32, u64) {
        let (partition, rank) = (self.partitions[i], self.ranks[i]);
        (partition, self.bases[partition as usize] + u64::from(rank))
    }

    /// The error of a batch whose shares from `partition` on were not appended.
    #[cold]
    pub(super) fn refused(&self, cause: SendError, partition: usize) -> BatchError {
        let appended = self.starts[partition] as usize;
        let mut refused: Vec<usize> = self.order[appended..].iter().map(|&i| i as usize).collect();
        refused.sort_unstable();
        BatchError {
            cause,
            appended,
            refused,
        }
    }
}
