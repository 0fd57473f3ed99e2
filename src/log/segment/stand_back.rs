//! Standing back: what a producer does that keeps losing its claims to another one.
//!
//! A claim is one exchange of the state word, and it fails because another producer has claimed
//! meanwhile. Two producers that send without a pause pass the line of the state word, and the
//! lines that they write, back and forth with almost every record. It is faster if one of them
//! appends a run of records as if it were alone. So a claim that has lost [`LOSSES`] times waits.
//!
//! The wait is an exponential backoff that watches the state word, within two limits:
//!
//! - It goes on only while others append fast, at least a record for each [`HINTS_PER_RECORD`] spin
//!   hints. Beside a producer that has stopped it takes one short step.
//! - It ends after [`MOST_RECORDS`], and a claim waits once: not again in the next segment, where it
//!   goes on if this one ends. When it loses after that, it tries again at once, until it succeeds. A
//!   producer that keeps winning meanwhile soon loses as often in one claim, and then waits itself.
//!
//! A single loss is no reason to wait: producers that pause between their sends meet now and then,
//! and waiting would only delay them. (`docs/performance-log.md` has the figures.)
//!
//! Claims stay lock-free: the wait has a bound, whatever other threads do. It writes nothing and
//! keeps no state from one claim to the next.

use super::claim::ClaimMode;
use super::state::SegmentState;
use crate::sync::{AtomicU64, ord, spin_loop};

/// A claim waits when it has lost this often. A single send has lost once before, on its fast path.
const LOSSES: u32 = 2;

/// Spin hints before the first look at the state word. A hint takes 10 to 140 cycles on the
/// processors that have one (some have none: there the wait is one look). Where hints are short, only
/// a very fast stream makes a claim wait; where they are long, a wait takes up to 100 µs.
const FIRST_STEP: u32 = if cfg!(loom) { 1 } else { 16 };

/// Spin hints of the longest step. Each look takes the line of the state word from the producer
/// that appends, so looks should be rare.
const LONGEST_STEP: u32 = 256;

/// The wait goes on while others append at least a record for this many spin hints.
const HINTS_PER_RECORD: u32 = 4;

/// A waiting claim lets about this many records go before it: enough that the lines which then
/// change hands cost little for each of them. Up to twice as many with long steps.
const MOST_RECORDS: u32 = if cfg!(loom) { 1 } else { 512 };

/// Goes on with a claim whose first exchange has found `now`. Out of line: a claim seldom fails.
#[cold]
#[inline(never)]
pub(super) fn claim_beside_others<S: ClaimMode>(
    word: &AtomicU64,
    now: u64,
    full: SegmentState,
    (records, units): (u32, u32),
    may_wait: bool,
) -> Result<SegmentState, SegmentState> {
    let mut seen = now;
    let mut losses = 1;
    spin_loop();
    loop {
        let state = SegmentState(seen);
        if !state.has_room(full, records, units) {
            return Err(state);
        }
        match S::advance(word, seen, state.after(records, units).0) {
            Ok(()) => return Ok(state),
            // Lock-free: another producer's claim succeeded, or the segment has ended.
            Err(now) if now != seen => {
                losses += 1;
                seen = now;
                if may_wait && losses == LOSSES && SegmentState(now).has_room(full, records, units)
                {
                    seen = stand_back(word, now);
                }
            }
            // It failed for no reason, as a weak exchange may.
            Err(_) => spin_loop(),
        }
    }
}

/// Waits after an exchange that found `now`, as the [module](self) says. Returns the state word to try
/// from.
#[cold]
#[inline(never)]
fn stand_back(word: &AtomicU64, now: u64) -> u64 {
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
    use std::cell::RefCell;

    fn open(records: u32) -> SegmentState {
        SegmentState::open(PartitionId::new(3)).after(records, records)
    }

    /// Stands back from a segment of 100 records, while others append `records(step)` at each
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
    fn it_returns_what_the_word_is_after_the_wait() {
        let word = AtomicU64::new(open(101).0);
        assert_eq!(stand_back(&word, open(100).0), open(101).0);
    }

    #[test]
    fn beside_a_producer_that_has_stopped_it_takes_one_short_step() {
        assert_eq!(steps(|_| 0), (vec![FIRST_STEP], 100));
    }

    #[test]
    fn it_goes_on_for_as_long_as_others_append_fast() {
        let (hints, last) = steps(|hints| hints / HINTS_PER_RECORD);
        assert_eq!(hints[..6], [16, 32, 64, 128, 256, 256]);
        assert!(hints[5..].iter().all(|&step| step == LONGEST_STEP));
        let longest = LONGEST_STEP / HINTS_PER_RECORD;
        assert!((100 + MOST_RECORDS..100 + MOST_RECORDS + longest).contains(&last));

        let slower = |hints| match hints {
            64 => 15, // one too few
            hints => hints / HINTS_PER_RECORD,
        };
        assert_eq!(steps(slower), (vec![16, 32, 64], 100 + 4 + 8 + 15));
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

    thread_local! {
        /// The states from which [`LosingMode`] has tried to advance.
        static TRIED_FROM: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    }

    /// Loses five exchanges to producers of one record each, and then succeeds.
    struct LosingMode;

    impl ClaimMode for LosingMode {
        const EXCLUSIVE: bool = false;

        fn current(_: &AtomicU64, last: u64) -> u64 {
            last
        }

        fn advance(_: &AtomicU64, seen: u64, _: u64) -> Result<(), u64> {
            let seen = SegmentState(seen);
            let tried = TRIED_FROM.with_borrow_mut(|tried| {
                tried.push(seen.records());
                tried.len()
            });
            if tried < 6 {
                Err(seen.after(1, 1).0)
            } else {
                Ok(())
            }
        }
    }

    /// The states from which a claim tries whose first exchange found one record.
    fn tries(may_wait: bool) -> Vec<u32> {
        // What only a claim that waits looks at.
        let word = AtomicU64::new(open(50).0);
        TRIED_FROM.take();
        let full = SegmentState::full(PartitionId::new(3), 100, 100);
        let claimed = claim_beside_others::<LosingMode>(&word, open(1).0, full, (1, 1), may_wait);
        assert!(claimed.is_ok());
        TRIED_FROM.take()
    }

    #[test]
    fn a_claim_waits_once_after_its_second_loss() {
        assert_eq!(tries(true), [1, 50, 51, 52, 53, 54]);
    }

    #[test]
    fn a_claim_that_may_not_wait_tries_again_at_once() {
        assert_eq!(tries(false), [1, 2, 3, 4, 5, 6]);
    }
}
