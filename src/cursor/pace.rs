//! How a reader keeps its distance from a producer that it is faster than.
//!
//! Such a reader comes to stand right behind the producer, finds a few records at each look, and
//! takes the line of descriptors from it each time: the producer has to fetch the line back for
//! its next record, and both go at the speed of that line's way between the cores
//! (`docs/performance.md`, "Two ways of going"). If it looks later it finds many at once, and
//! each line goes over once or twice.
//!
//! So after some polls in a row that found few records and the end behind them, and no look
//! between that found nothing, the next look comes some spin hints later. Where that brings many
//! records it goes on so. Where it does not, the stream is slow, or what is read is sent by this
//! very thread; then nothing is waited for until twice as many such polls have gone by as the
//! time before. A record that comes alone is never waited with: a look that found nothing was
//! before it. Nor is any by who asked for the least latency (`WaitStrategy::BusySpin`), or who has
//! read another partition meanwhile: that takes time as well.

use crate::sync::pass_time;

/// Polls in a row that find few records, before the first wait.
const FIRST: u32 = 4;

/// And at most, after waits in vain: so the delay is no matter where waiting does not help.
const LAST: u32 = 1 << 14;

/// Records that are few. A wait that does not bring more was in vain.
const FEW: u32 = 16;

/// Spin hints of a wait: 0.9 microseconds where it was measured. Where a hint takes much less, a wait
/// brings few, and is soon given up.
const HINTS: u32 = 32;

#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Polls in a row that found few; 1 if the last one found many. 0: the last look found nothing.
    streak: u32,
    /// With such a streak the next look comes later; with a longer one that was in vain.
    patience: u32,
}

impl Pace {
    pub(super) const fn new() -> Pace {
        Pace {
            streak: 1,
            patience: FIRST,
        }
    }

    /// The last look found nothing.
    #[inline(always)]
    pub(super) fn stands(self) -> bool {
        self.streak == 0
    }

    /// Before the next look there is something to do.
    #[inline(always)]
    pub(super) fn is_due(self) -> bool {
        self.streak >= self.patience
    }

    /// Whether to [`wait`] before the next look. `again`: it is one for which that makes sense.
    #[cold]
    pub(super) fn waits(&mut self, again: bool) -> bool {
        if again && self.streak == self.patience {
            return true;
        }
        if again {
            self.patience = (self.patience * 2).min(LAST);
        }
        self.streak = 1;
        false
    }

    /// A look found nothing.
    #[inline(always)]
    pub(super) fn found_nothing(&mut self) {
        self.streak = 0;
    }

    /// A poll found so many records.
    #[inline(always)]
    pub(super) fn found(&mut self, records: u32) {
        if records < FEW {
            self.streak += 1;
        } else {
            self.found_many();
        }
    }

    #[cold]
    #[inline(never)]
    fn found_many(&mut self) {
        if self.is_due() {
            // Not in vain: and so it is to go on.
            self.patience = FIRST;
            self.streak = FIRST;
        } else {
            self.streak = 1;
        }
    }
}

/// Passes the time of a wait.
#[cold]
#[inline(never)]
pub(super) fn wait() {
    pass_time(HINTS);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A poll of the only partition that has something: whether it waited.
    fn poll(pace: &mut Pace, records: u32) -> bool {
        let waited = pace.is_due() && pace.waits(true);
        match records {
            0 => pace.found_nothing(),
            some => pace.found(some),
        }
        waited
    }

    /// Polls until one waits, all of which find so many: how many did not wait.
    fn until_it_waits(pace: &mut Pace, records: u32) -> usize {
        (0..3 * LAST as usize)
            .take_while(|_| !poll(pace, records))
            .count()
    }

    const NEVER: usize = 3 * LAST as usize;

    #[test]
    fn who_finds_few_again_and_again_waits_as_long_as_it_brings_many() {
        let mut pace = Pace::new();
        assert!(!poll(&mut pace, 0));
        let polls = until_it_waits(&mut pace, FEW - 1);
        assert_eq!(polls, FIRST as usize);
        // That wait was in vain, as it brought no more.
        let polls = until_it_waits(&mut pace, FEW - 1);
        assert_eq!(polls, 2 * FIRST as usize - 1);
        pace = Pace::new();
        (0..FIRST - 1).for_each(|_| assert!(!poll(&mut pace, 1)));
        (0..100).for_each(|_| assert!(poll(&mut pace, FEW)));
        // The first that finds few again ends it.
        assert!(poll(&mut pace, FEW - 1));
        assert!(!poll(&mut pace, FEW - 1));
    }

    #[test]
    fn waits_in_vain_become_rare() {
        let mut pace = Pace::new();
        let mut waits = 0;
        for _ in 0..1_000_000 {
            waits += usize::from(poll(&mut pace, 1));
        }
        assert!((60..=80).contains(&waits), "{waits}");
        assert!(pace.patience == LAST);
        // Until one is not.
        while !(pace.is_due() && pace.streak == pace.patience) {
            poll(&mut pace, 1);
        }
        assert!(poll(&mut pace, FEW));
        assert_eq!(pace.patience, FIRST);
    }

    #[test]
    fn a_record_that_comes_alone_is_not_waited_with() {
        let mut pace = Pace::new();
        for _ in 0..10_000 {
            assert!(!poll(&mut pace, 1));
            assert!(!poll(&mut pace, 0));
        }
        // Nor the first one after a stream.
        for records in [1, 1, 1, 1, FEW, FEW, FEW, 0] {
            poll(&mut pace, records);
        }
        assert!(!poll(&mut pace, 1));
    }

    #[test]
    fn long_batches_are_no_reason_to_wait() {
        assert_eq!(until_it_waits(&mut Pace::new(), FEW), NEVER);
    }

    #[test]
    fn partitions_that_take_turns_are_not_waited_for() {
        let mut pace = Pace::new();
        for _ in 0..1000 {
            assert!(!(pace.is_due() && pace.waits(false)));
            pace.found(1);
        }
        assert_eq!(pace.patience, FIRST);
    }
}
