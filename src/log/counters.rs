//! What is counted to be shown, off the hot path: `stats/mod.rs` says what is counted where.
//!
//! Whoever counts is on a path that has just failed to be short: it found no room, gave a claim
//! up, or moved to another segment. The words lie apart from all that such calls look at
//! otherwise, so that nobody who sends or reads ever finds one of these lines taken away.

use crate::sync::Count;
use crossbeam_utils::CachePadded;
use std::sync::Arc;

/// Of one partition, by its producers.
#[derive(Default)]
pub(crate) struct PartitionCounters {
    /// The latest segment for which a roll found a gate in its way.
    stalled: Count,
    /// Rolls that a reader held up.
    pub(crate) reader_stalls: Count,
    /// Sends that had to wait for room.
    pub(crate) blocked_sends: Count,
    /// Sends that were refused because there was none.
    pub(crate) refused_sends: Count,
    /// Claims that were given up, and the offsets that went with them.
    pub(crate) aborted_frames: Count,
    pub(crate) aborted_records: Count,
}

/// On cache lines of its own, apart from the partition: who counts need not know that.
pub(crate) type SharedCounters = Arc<CachePadded<PartitionCounters>>;

impl PartitionCounters {
    /// The roll to segment `next` found a gate in its way. It counts once, however often it is
    /// tried.
    pub(crate) fn count_stall(&self, next: u64) {
        if self.stalled.raise(next) {
            self.reader_stalls.add(1);
        }
    }

    /// A claim of so many records was given up.
    pub(crate) fn count_abort(&self, records: u64) {
        self.aborted_records.add(records);
        self.aborted_frames.add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roll_that_is_tried_again_is_one_stall() {
        let counts = PartitionCounters::default();
        for next in [1, 1, 1, 2, 1, 7, 7] {
            counts.count_stall(next);
        }
        assert_eq!(counts.reader_stalls.get(), 3);
    }
}
