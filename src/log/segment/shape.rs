use super::descriptor::UNIT;
use super::state::{MAX_RECORDS, MAX_UNITS, SegmentState};
use crate::log::partition_id::PartitionId;

pub(super) const HEADER_BYTES: usize = 256;

pub(super) const ALIGN: usize = 128;

/// Slots that share a line of the index, where many are looked at at once. In the models, whose
/// segments are short, one: all the same is done with it.
pub(crate) const SLOTS_IN_LINE: u32 = if cfg!(loom) { 1 } else { 8 };

/// The measures of a segment, the same for all of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentShape {
    /// Slots for records; the index has one more, for END.
    pub(crate) records: u32,
    /// Units of 8 bytes of data.
    pub(crate) units: u32,
}

impl SegmentShape {
    /// Within the limits of the words, and never overflowing in what follows.
    pub(crate) fn is_valid(self) -> bool {
        (1..=MAX_RECORDS).contains(&self.records) && (1..=MAX_UNITS).contains(&self.units)
    }

    pub(crate) fn data_bytes(self) -> usize {
        self.units as usize * UNIT
    }

    /// What the head of such a segment is compared with by those who claim in it.
    #[inline]
    pub(crate) fn full(self, partition: PartitionId) -> SegmentState {
        SegmentState::full(partition, self.records, self.units)
    }

    pub(super) fn data_start(self) -> usize {
        HEADER_BYTES + ((self.records as usize + 1) * 8).next_multiple_of(64)
    }

    /// Bytes of one block.
    pub(crate) fn block_bytes(self) -> usize {
        (self.data_start() + self.data_bytes().next_multiple_of(64)).next_multiple_of(ALIGN)
    }
}
