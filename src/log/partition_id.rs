//! A partition's number within its topic, checked once where it enters the log.

/// The most partitions that a topic can have. A partition's number must fit its field of a
/// segment's state word (`segment/state.rs`).
pub(crate) const MAX_PARTITIONS: u32 = 1 << 14;

/// The number of a partition within its topic: less than [`MAX_PARTITIONS`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct PartitionId(u16);

impl PartitionId {
    /// The partition with this number. The caller has checked that it is below
    /// [`MAX_PARTITIONS`].
    #[inline]
    pub(crate) fn new(number: u32) -> PartitionId {
        debug_assert!(number < MAX_PARTITIONS);
        PartitionId(number as u16)
    }

    #[inline]
    pub(crate) fn number(self) -> u32 {
        self.0.into()
    }

    #[inline]
    pub(crate) fn index(self) -> usize {
        self.0.into()
    }
}
