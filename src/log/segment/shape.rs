//! The shape of a topic's segments: how many records and bytes each can hold, and the layout of a
//! block.

use super::descriptor::UNIT;
use super::state::{MAX_RECORDS, MAX_UNITS, SegmentState};
use crate::log::partition_id::PartitionId;

/// Bytes before the index: the words of [`memory`](super::memory).
pub(super) const HEADER_BYTES: usize = 256;

/// Alignment of a block: a pair of cache lines, which some processors prefetch together.
pub(super) const ALIGN: usize = 128;

/// Slots of the index that share a cache line, and are scanned together. One in the models, whose
/// segments are short: the code is the same.
pub(super) const SLOTS_PER_LINE: u32 = if cfg!(loom) { 1 } else { 8 };

/// The shape of a segment, the same for all of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentShape {
    /// Slots for records. The index has one more, for END.
    pub(crate) records: u32,
    /// Units of 8 bytes of data.
    pub(crate) units: u32,
}

impl SegmentShape {
    /// Whether both are within the limits of the words. Then nothing that follows overflows.
    pub(crate) fn is_valid(self) -> bool {
        (1..=MAX_RECORDS).contains(&self.records) && (1..=MAX_UNITS).contains(&self.units)
    }

    /// Bytes of data.
    pub(crate) fn data_bytes(self) -> usize {
        self.units as usize * UNIT
    }

    /// The state word of such a segment, open in `partition` and full: claims compare with it.
    #[inline]
    pub(crate) fn full_state(self, partition: PartitionId) -> SegmentState {
        SegmentState::full(partition, self.records, self.units)
    }

    /// Where the data begins in a block.
    pub(super) fn data_start(self) -> usize {
        HEADER_BYTES + ((self.records as usize + 1) * 8).next_multiple_of(64)
    }

    /// Bytes of a block.
    pub(crate) fn block_bytes(self) -> usize {
        (self.data_start() + self.data_bytes().next_multiple_of(64)).next_multiple_of(ALIGN)
    }
}
