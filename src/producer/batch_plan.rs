//! The plan of a batch: which records go to which partition, decided before any is appended.
//!
//! [`BatchPlan::split`] routes every record and sorts the batch by partition, with a counting sort.
//! Records of one partition keep their order. Everything that can make a record or a share
//! impossible to append is found here, so such a batch is refused as a whole.

use super::appender::FrameSize;
use super::router::Router;
use crate::error::{BatchError, SendError};
use crate::log::segment::{BatchShare, SimpleRecord};
use crate::record::{Destination, Record, check_timestamp};
use crate::topic::TopicShared;

/// How a batch is split, and where its shares were appended. A producer keeps one plan and uses it
/// for every batch, so that a batch allocates nothing once the plan has its size.
///
/// For a batch `[a b c d]` of which partition 0 gets `a` and `c`, and partition 2 `b` and `d`:
///
/// ```text
/// per partition      0      1      2        per record            a b c d
/// shares             2      0      2        locations: partition  0 2 0 2
/// share_starts       0      2      2                   rank       0 0 1 1
/// base_offsets       set when appended      order                 0 2 1 3
/// ```
#[derive(Default)]
pub(super) struct BatchPlan {
    /// For each partition, its share: the number of records, and their bytes.
    shares: Vec<BatchShare>,
    /// For each partition, where its share begins in `order`.
    share_starts: Vec<u32>,
    /// For each partition, the base offset of its frame.
    base_offsets: Vec<u64>,
    /// For each record, its location.
    locations: Vec<Location>,
    /// The positions in the batch of all records, sorted by partition.
    order: Vec<u32>,
}

/// A record's partition, and its position in its partition's share.
#[derive(Clone, Copy, Default)]
struct Location {
    partition: u32,
    rank: u32,
}

/// The partition of a record, whatever it has.
#[inline(never)]
fn choose_other(router: &mut Router, record: &Record<'_>) -> Result<u32, SendError> {
    if let Some(timestamp) = record.timestamp {
        check_timestamp::<SendError>(timestamp)?;
    }
    Ok(router.choose(record.destination(), record.value_bytes().len())?)
}

impl BatchPlan {
    /// Splits a batch: works out each partition's share.
    ///
    /// # Errors
    /// `InvalidTimestamp`, `PartitionOutOfRange` or `BatchTooLarge`, for a record or a share that
    /// could never be appended.
    pub(super) fn split(
        &mut self,
        topic: &TopicShared,
        router: &mut Router,
        partitions: usize,
        records: &[Record<'_>],
    ) -> Result<(), SendError> {
        self.shares.clear();
        self.shares.resize(partitions, BatchShare::default());
        self.base_offsets.resize(partitions, 0);
        self.locations.resize(records.len(), Location::default());
        for (record, location) in records.iter().zip(&mut self.locations) {
            let simple = SimpleRecord::of(record).filter(|_| record.partition.is_none());
            let partition = match simple {
                Some(SimpleRecord { value, key }) => {
                    let destination = key.map_or(Destination::Any, Destination::Key);
                    router.choose(destination, value.len())?
                }
                None => choose_other(router, record)?,
            };
            let share = &mut self.shares[partition as usize];
            *location = Location {
                partition,
                rank: share.records as u32,
            };
            match simple {
                Some(simple) => share.add_simple(simple),
                None => share.add(record),
            }
        }
        let mut start = 0;
        self.share_starts.clear();
        for (partition, share) in self.shares.iter().enumerate() {
            self.share_starts.push(start);
            start += share.records as u32;
            FrameSize::of_batch(topic, partition as u32, share.records, share.size())?;
        }
        self.order.resize(records.len(), 0);
        let (starts, order) = (&self.share_starts[..], &mut self.order[..]);
        for (i, location) in self.locations.iter().enumerate() {
            let start = starts[location.partition as usize];
            order[(start + location.rank) as usize] = i as u32;
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

    /// The records of a partition's share. `records` are those of the whole batch.
    pub(super) fn records_of<'r>(
        &self,
        partition: usize,
        records: &'r [Record<'r>],
    ) -> impl Iterator<Item = &'r Record<'r>> {
        let first = self.share_starts[partition] as usize;
        let order = &self.order[first..][..self.shares[partition].records];
        order.iter().map(|&i| &records[i as usize])
    }

    /// Records that the partition's share was appended, its first record at `offset`.
    pub(super) fn set_base_offset(&mut self, partition: usize, offset: u64) {
        self.base_offsets[partition] = offset;
    }

    /// Partition and offset of record `i` of the batch, after its share was appended.
    pub(super) fn location(&self, i: usize) -> (u32, u64) {
        let Location { partition, rank } = self.locations[i];
        let base_offset = self.base_offsets[partition as usize];
        (partition, base_offset + u64::from(rank))
    }

    /// The error of a batch whose shares were appended up to `first_refused`, the first partition
    /// whose share was not.
    #[cold]
    pub(super) fn batch_error(&self, cause: SendError, first_refused: usize) -> BatchError {
        let appended = self.share_starts[first_refused] as usize;
        let mut refused: Vec<usize> = self.order[appended..].iter().map(|&i| i as usize).collect();
        refused.sort_unstable();
        BatchError {
            cause,
            appended,
            refused,
        }
    }
}
