//! Counters of a partition's rare events: for statistics, and off the hot path.
//!
//! Only a slow path counts: a send that found no room, a claim that was given up, a roll to
//! another segment. The counters lie on cache lines of their own, apart from everything that
//! sends and polls read otherwise. So counting causes no false sharing: no send or poll ever
//! misses the cache because of it. `stats/mod.rs` lists where each number is counted.

use crate::sync::Count;
use crossbeam_utils::CachePadded;
use std::sync::Arc;

/// The counters of one partition, written by its producers.
#[derive(Default)]
pub(crate) struct PartitionCounters {
    /// The latest segment that a roll could not open because a reader's gate was in the way.
    last_stalled: Count,
    /// Rolls that a reader held up.
    pub(crate) reader_stalls: Count,
    /// Sends that had to wait for room.
    pub(crate) blocked_sends: Count,
    /// Sends that were refused for lack of room.
    pub(crate) refused_sends: Count,
    /// Claims that were given up.
    pub(crate) aborted_frames: Count,
    /// The offsets that those claims used up.
    pub(crate) aborted_records: Count,
}

/// The counters on cache lines of their own, shared with code that does not know the partition.
pub(crate) type SharedCounters = Arc<CachePadded<PartitionCounters>>;

impl PartitionCounters {
    /// Counts that a gate held up the roll to segment `next`: once, however often that roll is
    /// tried.
    pub(super) fn count_stall(&self, next: u64) {
        if self.last_stalled.raise(next) {
            self.reader_stalls.add(1);
        }
    }

    /// Whether a gate has held up the roll to segment `next`.
    pub(crate) fn is_stalled_before(&self, next: u64) -> bool {
        self.last_stalled.get() >= next
    }

    /// Counts a claim of `records` records that was given up.
    pub(super) fn count_abort(&self, records: u64) {
        self.aborted_records.add(records);
        self.aborted_frames.add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roll_that_is_tried_again_is_one_stall() {
        let counters = PartitionCounters::default();
        for next in [1, 1, 1, 2, 1, 7, 7] {
            counters.count_stall(next);
        }
        assert_eq!(counters.reader_stalls.get(), 3);
    }
}
