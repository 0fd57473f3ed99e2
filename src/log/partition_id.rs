//! A partition's number within its topic, checked once where it enters the log.

/// The most partitions a topic can have: a partition's number fits its field of a segment's state
/// word (`segment/state.rs`).
pub(crate) const MAX_PARTITIONS: u32 = 1 << 14;

/// A partition of a topic, by its number: less than [`MAX_PARTITIONS`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct PartitionId(u16);

impl PartitionId {
    /// The partition of this number, which the caller has checked.
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
