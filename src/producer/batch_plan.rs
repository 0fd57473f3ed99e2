use crate::error::{BatchError, SendError};
use crate::log::segment::BatchShare;

/// What `send_batch` works out, kept from call to call so that it need not allocate.
#[derive(Default)]
pub(crate) struct BatchPlan {
    /// For each partition: its share, where its records begin in `order`, and the base
    /// offset of its frame.
    pub(super) shares: Vec<BatchShare>,
    pub(super) starts: Vec<u32>,
    pub(super) bases: Vec<u64>,
    /// For each record: its partition, and its place in the partition's share.
    pub(super) partitions: Vec<u32>,
    pub(super) ranks: Vec<u32>,
    /// The records, partition by partition.
    pub(super) order: Vec<u32>,
}

impl BatchPlan {
    /// The shares from `partition` on were not appended.
    #[cold]
    pub(crate) fn refused(&self, cause: SendError, partition: usize) -> BatchError {
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
