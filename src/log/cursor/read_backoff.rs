//! How a reader keeps its distance from a producer that it is faster than.
//!
//! Such a reader comes to stand right behind the producer, finds a few records at each look, and
//! takes the line of descriptors from it each time: the producer has to fetch the line back for
//! its next record, and both go at the speed of that line's way between the cores
//! (`docs/performance.md`, "Two ways of going"). If it looks later it finds many at once, and
//! each line goes over once or twice.
//!
//! So after some polls in a row that found little and the end behind it, and no look
//! between that found nothing, the next look comes some spin hints later. Where that brings
//! much, and twice of what came without, it goes on so. Where it does not, a longer wait is tried; where that does not either, the
//! stream is slow, or what is read is sent by this very thread, and nothing is waited for until twice
//! as many such polls have gone by as the time before. A record that comes alone is never waited
//! with: a look that found nothing was before it. Nor is any by who asked for the least latency
//! (`WaitStrategy::BusySpin`), or who has read another partition meanwhile: that takes time as well.
//!
//! Of long records few are written while one is read, and where the cores are far from each other a
//! look behind the last of them often finds nothing, though they come without a pause. With them
//! such a look only makes up for one poll that found little.

use crate::sync::pass_time;

/// Polls that find little, before the first wait.
const FIRST: u32 = 4;

/// And at most, after waits in vain: so the delay is no matter where waiting does not help.
const LAST: u32 = 1 << 14;

/// Records, or bytes of them, that are much.
const MANY: u32 = 64;

const MUCH: usize = 4096;

/// Records that a wait is worth. One that does not bring so many, nor [`MUCH`], was in vain; so was
/// one that does not bring twice the records of the poll before the first.
const WORTH: u32 = 16;

/// Bytes of a record that is long.
const LONG: usize = 256;

/// Spin hints of a wait: 0.8 microseconds where it was measured. Where a hint takes much less, a wait
/// brings little, and is soon given up.
const HINTS: u32 = 32;

/// The same after a wait in vain.
const MORE_HINTS: u32 = 64;

#[derive(Clone, Copy, Debug)]
pub(super) struct ReadBackoff {
    /// Polls in a row that found little; 1 if the last one found much.
    streak: u32,
    /// With such a streak the next look comes later; with a longer one that was in vain.
    patience: u32,
    /// Spin hints of the next wait.
    hints: u32,
    /// Records that the poll before the first wait found; none if the next wait is the first.
    before: u32,
    /// What the last look found, and of how many bytes.
    records: u32,
    bytes: usize,
}

impl ReadBackoff {
    pub(super) const fn new() -> ReadBackoff {
        ReadBackoff {
            streak: 1,
            patience: FIRST,
            hints: HINTS,
            before: 0,
            records: 1,
            bytes: 0,
        }
    }

    /// The last look found nothing.
    #[inline(always)]
    pub(super) fn stands(self) -> bool {
        self.records == 0
    }

    /// What was found last is long records.
    fn is_long(self) -> bool {
        self.bytes >= self.records as usize * LONG
    }

    /// Before the next look there is something to do.
    #[inline(always)]
    pub(super) fn is_due(self) -> bool {
        self.streak >= self.patience
    }

    /// Passes the time of a wait before the next look, if that makes sense: `again`. Answers whether
    /// it did.
    #[cold]
    #[inline(never)]
    pub(super) fn wait(&mut self, again: bool) -> bool {
        if again && self.streak == self.patience {
            if self.before == 0 {
                self.before = self.records;
            }
            pass_time(self.hints);
            return true;
        }
        if again {
            self.was_in_vain();
        }
        self.begin_anew(1);
        false
    }

    fn begin_anew(&mut self, streak: u32) {
        self.streak = streak;
        self.before = 0;
    }

    fn was_in_vain(&mut self) {
        if self.hints == HINTS {
            self.hints = MORE_HINTS;
        } else {
            self.hints = HINTS;
            self.patience = (self.patience * 2).min(LAST);
        }
    }

    /// A look found nothing, and the one before it did.
    #[cold]
    #[inline(never)]
    pub(super) fn found_nothing(&mut self) {
        let due = self.is_due();
        if due && self.is_long() {
            // They would be waited for again soon. (Short ones may be held up on their way.)
            self.was_in_vain();
        }
        self.begin_anew(match self.is_long() {
            true if !due => self.streak.saturating_sub(1),
            _ => 0,
        });
        self.records = 0;
    }

    /// A poll found so many records, of so many bytes in all, and the end behind them.
    #[inline(always)]
    pub(super) fn found(&mut self, records: u32, bytes: usize) {
        (self.records, self.bytes) = (records, bytes);
        if records < MANY && bytes < MUCH && !self.is_due() {
            self.streak += 1;
        } else {
            self.judge();
        }
    }

    /// What was found is much, or was waited for.
    #[cold]
    #[inline(never)]
    fn judge(&mut self) {
        if !self.is_due() {
            self.begin_anew(1);
        } else if (self.records >= WORTH || self.bytes >= MUCH) && self.records / 2 >= self.before {
            // Not in vain: and so it is to go on.
            self.patience = FIRST;
            self.streak = FIRST;
        } else {
            self.streak = self.patience + 1;
        }
    }

    /// A poll found records up to a segment's end, which says nothing of who comes behind: there is no
    /// wait before the next one, which may lead to one again.
    #[cold]
    #[inline(never)]
    pub(super) fn found_end(&mut self) {
        self.records = self.records.max(1);
        self.streak = self.streak.min(self.patience - 1);
    }

    /// A poll found more than it took, or batches.
    #[cold]
    #[inline(never)]
    pub(super) fn found_more(&mut self) {
        (self.records, self.bytes) = (MANY, MUCH);
        self.begin_anew(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A poll of the only partition that has something: whether it waited.
    fn poll_of(pace: &mut ReadBackoff, records: u32, bytes: usize) -> bool {
        let waited = !pace.stands() && pace.is_due() && pace.wait(true);
        match records {
            0 if pace.stands() => {}
            0 => pace.found_nothing(),
            some => pace.found(some, some as usize * bytes),
        }
        waited
    }

    /// The same of short records.
    fn poll(pace: &mut ReadBackoff, records: u32) -> bool {
        poll_of(pace, records, 8)
    }

    /// Polls until one waits, all of which find so many: how many did not wait.
    fn until_it_waits(pace: &mut ReadBackoff, records: u32) -> usize {
        (0..NEVER).take_while(|_| !poll(pace, records)).count()
    }

    const NEVER: usize = 3 * LAST as usize;

    #[test]
    fn who_finds_few_again_and_again_waits_as_long_as_it_is_worth_it() {
        let mut pace = ReadBackoff::new();
        assert!(!poll(&mut pace, 0));
        let polls = until_it_waits(&mut pace, WORTH - 1);
        assert_eq!(polls, FIRST as usize);
        // That wait was in vain, as it brought no more: a longer one is tried, and then none for a
        // while.
        let polls = until_it_waits(&mut pace, WORTH - 1);
        assert_eq!((polls, pace.hints), (FIRST as usize - 1, MORE_HINTS));
        let polls = until_it_waits(&mut pace, WORTH - 1);
        assert_eq!((polls, pace.hints), (2 * FIRST as usize - 1, HINTS));
        pace = ReadBackoff::new();
        (0..FIRST - 1).for_each(|_| assert!(!poll(&mut pace, 1)));
        (0..100).for_each(|_| assert!(poll(&mut pace, WORTH)));
        // The first that finds few again ends it.
        assert!(poll(&mut pace, WORTH - 1));
        assert!(!poll(&mut pace, WORTH - 1));
    }

    #[test]
    fn waits_in_vain_become_rare() {
        let mut pace = ReadBackoff::new();
        let mut waits = 0;
        for _ in 0..1_000_000 {
            waits += usize::from(poll(&mut pace, 1));
        }
        assert!((70..=90).contains(&waits), "{waits}");
        assert!(pace.patience == LAST);
        // Until one is not.
        while !(pace.is_due() && pace.streak == pace.patience) {
            poll(&mut pace, 1);
        }
        assert!(poll(&mut pace, WORTH));
        assert_eq!(pace.patience, FIRST);
    }

    #[test]
    fn a_wait_for_long_records_that_finds_nothing_was_in_vain() {
        for (bytes, in_vain) in [(8, false), (LONG, true)] {
            let mut pace = ReadBackoff::new();
            while !pace.is_due() {
                assert!(!poll_of(&mut pace, 1, bytes));
            }
            assert!(poll(&mut pace, 0));
            assert_eq!(pace.hints > HINTS, in_vain);
            assert!(!pace.is_due());
        }
    }

    #[test]
    fn a_record_that_comes_alone_is_not_waited_with() {
        for bytes in [8, LONG, 2 * MUCH] {
            let mut pace = ReadBackoff::new();
            for _ in 0..10_000 {
                assert!(!poll_of(&mut pace, 1, bytes));
                assert!(!poll(&mut pace, 0));
            }
            // Nor the first one after a stream.
            for records in [1, 1, 1, 1, MANY, MANY, MANY, 0] {
                poll_of(&mut pace, records, bytes);
            }
            assert!(!poll_of(&mut pace, 1, bytes));
        }
    }

    #[test]
    fn long_records_are_waited_for_though_now_and_then_nothing_is_there() {
        // Two polls that find two each, and a look that finds nothing, again and again.
        let is_due = |pace: &mut ReadBackoff, bytes| {
            [2, 2, 0].iter().cycle().take(300).any(|&records| {
                let due = pace.is_due();
                if !due {
                    poll_of(pace, records, bytes);
                }
                due
            })
        };
        assert!(!is_due(&mut ReadBackoff::new(), LONG - 1));
        let mut pace = ReadBackoff::new();
        assert!(is_due(&mut pace, LONG));
        // And on, as long as it brings much.
        (0..100).for_each(|_| assert!(poll_of(&mut pace, 4, 1024)));
    }

    #[test]
    fn long_batches_are_no_reason_to_wait() {
        assert_eq!(until_it_waits(&mut ReadBackoff::new(), MANY), NEVER);
        let mut pace = ReadBackoff::new();
        assert!((0..NEVER).all(|_| !poll_of(&mut pace, 1, MUCH)));
    }

    #[test]
    fn a_wait_that_brings_no_more_than_came_without_is_not_worth_it() {
        // What is read is sent by this thread, so many at a time.
        for (records, bytes) in [(WORTH, 8), (MANY - 1, 8), (1, MUCH)] {
            let mut pace = ReadBackoff::new();
            (0..FIRST).for_each(|_| _ = poll_of(&mut pace, records.min(MANY - 1), 8));
            let waits = (0..10_000).filter(|_| poll_of(&mut pace, records, bytes));
            assert!(waits.count() < 50, "{records} of {bytes}");
        }
    }

    #[test]
    fn who_reads_what_has_been_there_for_long_does_not_wait() {
        let mut pace = ReadBackoff::new();
        let end: fn(&mut ReadBackoff) = ReadBackoff::found_end;
        for found in [end, ReadBackoff::found_more] {
            while !pace.is_due() {
                poll(&mut pace, 1);
            }
            for _ in 0..100 {
                found(&mut pace);
                assert!(!pace.stands() && !pace.is_due());
            }
        }
        // A segment's end is no reason to begin anew.
        while !poll(&mut pace, 1) {}
        pace.found(MANY, 0);
        pace.found_end();
        assert!(!poll(&mut pace, 1));
        assert!(poll(&mut pace, MANY));
    }

    #[test]
    fn partitions_that_take_turns_are_not_waited_for() {
        let mut pace = ReadBackoff::new();
        for _ in 0..1000 {
            assert!(!(pace.is_due() && pace.wait(false)));
            pace.found(1, 8);
        }
        assert_eq!(pace.patience, FIRST);
    }
}
