//! Standing back: what a producer does after it has lost a claim to another one.
//!
//! A claim is one exchange of the state word, which fails because another producer has claimed
//! meanwhile. If both tried again at once, they would pass the line of the state word, and the lines
//! that they write, back and forth with every record. So the one that lost waits, and the other
//! appends a run of records as if it were alone.
//!
//! The wait is an exponential backoff that watches the state word, with two limits:
//!
//! - It goes on only while others append: at least a record for each [`HINTS_PER_RECORD`] spin hints.
//!   So a producer that sends now and then, or that stops after its claim, costs another one short
//!   step.
//! - It ends after [`MOST_RECORDS`], and a claim stands back once. Whenever it loses after that, it
//!   tries again at once, until it succeeds. A producer that keeps winning meanwhile loses its next
//!   claim, and then stands back itself.
//!
//! Claims stay lock-free: nothing that another thread does or fails to do makes the wait longer than
//! that. It writes nothing and keeps no state.

use super::state::SegmentState;
use crate::sync::{AtomicU64, ord, spin_loop};

/// Spin hints before the state word is looked at for the first time. A hint takes 10 to 140 cycles,
/// depending on the processor.
const FIRST_STEP: u32 = if cfg!(loom) { 1 } else { 16 };

/// Spin hints of the longest step. Each look takes the line of the state word from the producer
/// that appends, so looks should be rare.
const LONGEST_STEP: u32 = 256;

/// While others append at least a record for this many spin hints, it pays to wait.
const HINTS_PER_RECORD: u32 = 16;

/// A claim lets at most about this many records go before it.
const MOST_RECORDS: u32 = if cfg!(loom) { 0 } else { 1024 };

/// Waits after an exchange that found `now`, and returns what the state word is then.
#[cold]
#[inline(never)]
pub(super) fn stand_back(word: &AtomicU64, now: u64) -> u64 {
    let look = |hints| {
        for _ in 0..hints {
            spin_loop();
        }
        // Relaxed: the exchange that follows acquires what it needs.
        SegmentState(word.load(ord!(Relaxed)))
    };
    while_others_append(SegmentState(now), look).0
}

/// Calls `look`, which waits for as many hints and returns the state, for as long as it pays.
fn while_others_append(
    begun: SegmentState,
    mut look: impl FnMut(u32) -> SegmentState,
) -> SegmentState {
    let mut seen = begun;
    let mut hints = FIRST_STEP;
    loop {
        let now = look(hints);
        let appended = match now.records_since(seen) {
            Some(appended) => appended,
            None => return now,
        };
        let all = now.record_field() - begun.record_field();
        if appended < hints.div_ceil(HINTS_PER_RECORD) || all >= MOST_RECORDS {
            return now;
        }
        seen = now;
        hints = LONGEST_STEP.min(2 * hints);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::partition_id::PartitionId;

    fn open(records: u32) -> SegmentState {
        SegmentState::open(PartitionId::new(3)).after(records, records)
    }

    /// Stands back from a segment of 100 records, while others append `record(hints)` records a
    /// step. Returns the steps, in hints, and the records seen last.
    fn steps(records: impl Fn(u32) -> u32) -> (Vec<u32>, u32) {
        let mut steps = Vec::new();
        let mut now = 100;
        let last = while_others_append(open(now), |hints| {
            steps.push(hints);
            now += records(hints);
            open(now)
        });
        assert_eq!(last, open(now));
        (steps, now)
    }

    #[test]
    fn beside_a_producer_that_has_stopped_it_takes_one_short_step() {
        assert_eq!(steps(|_| 0), (vec![FIRST_STEP], 100));
    }

    #[test]
    fn it_goes_on_for_as_long_as_others_append_fast() {
        let (hints, last) = steps(|hints| hints / HINTS_PER_RECORD);
        assert_eq!(hints[..6], [16, 32, 64, 128, 256, 256]);
        assert!(hints[5..].iter().all(|&h| h == LONGEST_STEP));
        let longest = LONGEST_STEP / HINTS_PER_RECORD;
        assert!((100 + MOST_RECORDS..100 + MOST_RECORDS + longest).contains(&last));

        let slower = |hints| match hints {
            64 => 3, // one too few
            hints => hints / HINTS_PER_RECORD,
        };
        assert_eq!(steps(slower), (vec![16, 32, 64], 100 + 1 + 2 + 3));
    }

    #[test]
    fn a_frame_of_many_records_ends_it() {
        assert_eq!(steps(|_| MOST_RECORDS), (vec![16], 100 + MOST_RECORDS));
    }

    #[test]
    fn it_ends_when_the_segment_is_no_longer_open_or_in_another_life() {
        let sealed = open(200).sealed();
        let other = SegmentState::open(PartitionId::new(4)).after(200, 200);
        let fresh = SegmentState::fresh(PartitionId::new(3), 1 << 40);
        for end in [sealed, other, fresh, open(99)] {
            let mut looks = 0;
            let last = while_others_append(open(100), |_| {
                looks += 1;
                end
            });
            assert_eq!((last, looks), (end, 1));
        }
    }
}
