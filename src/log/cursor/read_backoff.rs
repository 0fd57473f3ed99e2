//! Read back-off: how a reader keeps its distance from a producer that it is faster than.
//!
//! Such a reader stands right behind the producer and finds a few records at each look. Each time
//! it takes the cache line of descriptors, which the producer has to fetch back for its next
//! record. Both then run at the speed at which that line travels between the cores
//! (`docs/performance.md`). If the reader looks later it finds many records at once, and each line
//! travels once or twice.
//!
//! So the next look comes some spin hints later after several polls in a row that found few
//! records and the end of the log after them, with no look between that found nothing.
//!
//! - Where such a wait brings many records or bytes, and at least twice the records that came
//!   without it, the reader keeps waiting.
//! - Where it does not, a longer wait is tried.
//! - Where that does not pay either, the stream is slow, or this very thread sends what it reads.
//!   Then there is no wait until twice as many such polls have passed as the last time.
//!
//! A record that comes alone is never delayed: a look that found nothing was before it. There is
//! also no wait for a consumer configured for the least latency (`WaitStrategy::BusySpin`), or for
//! one that has read another partition meanwhile: that takes time as well.
//!
//! Few long records are written while one is read. Where the cores are far from each other, a look
//! after the last of them often finds nothing, although they come without a pause. Among long
//! records such a look therefore only cancels one poll that found few.

use crate::sync::pass_time;

/// Polls in a row that find few records, before the first wait.
const MIN_STREAK: u32 = 4;

/// The most such polls, after waits that did not pay: there, waiting delays almost nothing.
const MAX_STREAK: u32 = 1 << 14;

/// A poll that finds this many records needs no wait.
const MANY_RECORDS: u32 = 64;

/// Nor does one that finds this many bytes.
const MANY_BYTES: usize = 4096;

/// Records that a wait must bring to pay, unless it brings [`MANY_BYTES`]. It must also bring twice
/// the records of the poll before the first wait.
const WORTHWHILE_RECORDS: u32 = 16;

/// Bytes of a record that counts as long.
const LONG_RECORD: usize = 256;

/// Spin hints of a wait: 0.8 microseconds where it was measured. Where a hint takes much less time,
/// a wait brings little, and is soon given up.
const SPIN_HINTS: u32 = 32;

/// Spin hints of the next wait after one that did not pay.
const LONGER_SPIN_HINTS: u32 = 64;

/// The state of the back-off of one cursor.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadBackoff {
    /// Polls in a row that found few records; 1 if the last one found many.
    streak: u32,
    /// At this streak the next look is delayed; a longer streak means that a wait did not pay.
    threshold: u32,
    /// Spin hints of the next wait.
    spin_hints: u32,
    /// Records that the poll before the first wait found; 0 if the next wait is the first.
    records_before: u32,
    /// Records that the last look found.
    records: u32,
    /// Bytes of those records.
    bytes: usize,
}

impl ReadBackoff {
    pub(super) const fn new() -> ReadBackoff {
        ReadBackoff {
            streak: 1,
            threshold: MIN_STREAK,
            spin_hints: SPIN_HINTS,
            records_before: 0,
            records: 1,
            bytes: 0,
        }
    }

    /// Whether the last look found nothing.
    #[inline(always)]
    pub(super) fn is_idle(self) -> bool {
        self.records == 0
    }

    /// Whether the records found last are long ones.
    fn is_long(self) -> bool {
        self.bytes >= self.records as usize * LONG_RECORD
    }

    /// Whether [`wait`](Self::wait) must be called before the next look.
    #[inline(always)]
    pub(super) fn is_due(self) -> bool {
        self.streak >= self.threshold
    }

    /// Delays the next look, if that makes sense: `allowed` says whether the caller permits it.
    /// Returns whether it did.
    #[cold]
    #[inline(never)]
    pub(super) fn wait(&mut self, allowed: bool) -> bool {
        if allowed && self.streak == self.threshold {
            if self.records_before == 0 {
                self.records_before = self.records;
            }
            pass_time(self.spin_hints);
            return true;
        }
        if allowed {
            self.did_not_pay();
        }
        self.restart(1);
        false
    }

    fn restart(&mut self, streak: u32) {
        self.streak = streak;
        self.records_before = 0;
    }

    /// After a wait that did not pay: tries a longer one, and then fewer of them.
    fn did_not_pay(&mut self) {
        if self.spin_hints == SPIN_HINTS {
            self.spin_hints = LONGER_SPIN_HINTS;
        } else {
            self.spin_hints = SPIN_HINTS;
            self.threshold = (self.threshold * 2).min(MAX_STREAK);
        }
    }

    /// A look found nothing, and the one before it found something.
    #[cold]
    #[inline(never)]
    pub(super) fn found_nothing(&mut self) {
        let due = self.is_due();
        if due && self.is_long() {
            // Otherwise there would soon be a wait for them again. (Short records may be held up
            // on their way.)
            self.did_not_pay();
        }
        self.restart(match self.is_long() {
            true if !due => self.streak.saturating_sub(1),
            _ => 0,
        });
        self.records = 0;
    }

    /// A poll found `records` records, of `bytes` bytes in all, and the end of the log after them.
    #[inline(always)]
    pub(super) fn found(&mut self, records: u32, bytes: usize) {
        (self.records, self.bytes) = (records, bytes);
        if records < MANY_RECORDS && bytes < MANY_BYTES && !self.is_due() {
            self.streak += 1;
        } else {
            self.evaluate();
        }
    }

    /// Evaluates a poll that found many records, or that came after a wait.
    #[cold]
    #[inline(never)]
    fn evaluate(&mut self) {
        if !self.is_due() {
            self.restart(1);
        } else if (self.records >= WORTHWHILE_RECORDS || self.bytes >= MANY_BYTES)
            && self.records / 2 >= self.records_before
        {
            // The wait paid, so there is one before the next look too.
            self.threshold = MIN_STREAK;
            self.streak = MIN_STREAK;
        } else {
            self.streak = self.threshold + 1;
        }
    }

    /// A poll found records up to a segment's end. That says nothing of what follows, so there is
    /// no wait before the next poll, which may lead to one again.
    #[cold]
    #[inline(never)]
    pub(super) fn found_end(&mut self) {
        self.records = self.records.max(1);
        self.streak = self.streak.min(self.threshold - 1);
    }

    /// A poll found more than it took, or batches.
    #[cold]
    #[inline(never)]
    pub(super) fn found_more(&mut self) {
        (self.records, self.bytes) = (MANY_RECORDS, MANY_BYTES);
        self.restart(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A poll of the only partition that has records: whether it waited.
    fn poll_of(backoff: &mut ReadBackoff, records: u32, bytes: usize) -> bool {
        let waited = !backoff.is_idle() && backoff.is_due() && backoff.wait(true);
        match records {
            0 if backoff.is_idle() => {}
            0 => backoff.found_nothing(),
            some => backoff.found(some, some as usize * bytes),
        }
        waited
    }

    /// The same with short records.
    fn poll(backoff: &mut ReadBackoff, records: u32) -> bool {
        poll_of(backoff, records, 8)
    }

    /// Polls that all find `records` records, until one waits: how many did not wait.
    fn until_it_waits(backoff: &mut ReadBackoff, records: u32) -> usize {
        (0..NEVER).take_while(|_| !poll(backoff, records)).count()
    }

    const NEVER: usize = 3 * MAX_STREAK as usize;

    #[test]
    fn a_reader_that_finds_few_records_in_a_row_waits_while_it_pays() {
        let mut backoff = ReadBackoff::new();
        assert!(!poll(&mut backoff, 0));
        let polls = until_it_waits(&mut backoff, WORTHWHILE_RECORDS - 1);
        assert_eq!(polls, MIN_STREAK as usize);
        // That wait did not pay, as it brought no more: a longer one is tried, and then none for a
        // while.
        let polls = until_it_waits(&mut backoff, WORTHWHILE_RECORDS - 1);
        assert_eq!(
            (polls, backoff.spin_hints),
            (MIN_STREAK as usize - 1, LONGER_SPIN_HINTS)
        );
        let polls = until_it_waits(&mut backoff, WORTHWHILE_RECORDS - 1);
        assert_eq!(
            (polls, backoff.spin_hints),
            (2 * MIN_STREAK as usize - 1, SPIN_HINTS)
        );
        backoff = ReadBackoff::new();
        (0..MIN_STREAK - 1).for_each(|_| assert!(!poll(&mut backoff, 1)));
        (0..100).for_each(|_| assert!(poll(&mut backoff, WORTHWHILE_RECORDS)));
        // The first wait that brings few again is the last.
        assert!(poll(&mut backoff, WORTHWHILE_RECORDS - 1));
        assert!(!poll(&mut backoff, WORTHWHILE_RECORDS - 1));
    }

    #[test]
    fn waits_that_do_not_pay_become_rare() {
        let mut backoff = ReadBackoff::new();
        let mut waits = 0;
        for _ in 0..1_000_000 {
            waits += usize::from(poll(&mut backoff, 1));
        }
        assert!((70..=90).contains(&waits), "{waits}");
        assert!(backoff.threshold == MAX_STREAK);
        // Until one pays.
        while !(backoff.is_due() && backoff.streak == backoff.threshold) {
            poll(&mut backoff, 1);
        }
        assert!(poll(&mut backoff, WORTHWHILE_RECORDS));
        assert_eq!(backoff.threshold, MIN_STREAK);
    }

    #[test]
    fn a_wait_for_long_records_that_finds_nothing_did_not_pay() {
        for (bytes, wasted) in [(8, false), (LONG_RECORD, true)] {
            let mut backoff = ReadBackoff::new();
            while !backoff.is_due() {
                assert!(!poll_of(&mut backoff, 1, bytes));
            }
            assert!(poll(&mut backoff, 0));
            assert_eq!(backoff.spin_hints > SPIN_HINTS, wasted);
            assert!(!backoff.is_due());
        }
    }

    #[test]
    fn a_record_that_comes_alone_is_not_delayed() {
        for bytes in [8, LONG_RECORD, 2 * MANY_BYTES] {
            let mut backoff = ReadBackoff::new();
            for _ in 0..10_000 {
                assert!(!poll_of(&mut backoff, 1, bytes));
                assert!(!poll(&mut backoff, 0));
            }
            // Nor is the first one after a stream.
            for records in [1, 1, 1, 1, MANY_RECORDS, MANY_RECORDS, MANY_RECORDS, 0] {
                poll_of(&mut backoff, records, bytes);
            }
            assert!(!poll_of(&mut backoff, 1, bytes));
        }
    }

    #[test]
    fn a_reader_of_long_records_waits_though_some_looks_find_nothing() {
        // Two polls that find two records each, then a look that finds nothing, repeatedly.
        let is_due = |backoff: &mut ReadBackoff, bytes| {
            [2, 2, 0].iter().cycle().take(300).any(|&records| {
                let due = backoff.is_due();
                if !due {
                    poll_of(backoff, records, bytes);
                }
                due
            })
        };
        assert!(!is_due(&mut ReadBackoff::new(), LONG_RECORD - 1));
        let mut backoff = ReadBackoff::new();
        assert!(is_due(&mut backoff, LONG_RECORD));
        // And it keeps waiting as long as a wait brings much.
        (0..100).for_each(|_| assert!(poll_of(&mut backoff, 4, 1024)));
    }

    #[test]
    fn long_batches_are_no_reason_to_wait() {
        assert_eq!(until_it_waits(&mut ReadBackoff::new(), MANY_RECORDS), NEVER);
        let mut backoff = ReadBackoff::new();
        assert!((0..NEVER).all(|_| !poll_of(&mut backoff, 1, MANY_BYTES)));
    }

    #[test]
    fn a_wait_that_brings_no_more_than_came_without_is_not_worth_it() {
        // This thread sends what it reads, the same number of records each time.
        for (records, bytes) in [
            (WORTHWHILE_RECORDS, 8),
            (MANY_RECORDS - 1, 8),
            (1, MANY_BYTES),
        ] {
            let mut backoff = ReadBackoff::new();
            (0..MIN_STREAK)
                .for_each(|_| _ = poll_of(&mut backoff, records.min(MANY_RECORDS - 1), 8));
            let waits = (0..10_000).filter(|_| poll_of(&mut backoff, records, bytes));
            assert!(waits.count() < 50, "{records} of {bytes}");
        }
    }

    #[test]
    fn a_reader_of_a_backlog_does_not_wait() {
        let mut backoff = ReadBackoff::new();
        let end: fn(&mut ReadBackoff) = ReadBackoff::found_end;
        for found in [end, ReadBackoff::found_more] {
            while !backoff.is_due() {
                poll(&mut backoff, 1);
            }
            for _ in 0..100 {
                found(&mut backoff);
                assert!(!backoff.is_idle() && !backoff.is_due());
            }
        }
        // A segment's end does not restart the streak.
        while !poll(&mut backoff, 1) {}
        backoff.found(MANY_RECORDS, 0);
        backoff.found_end();
        assert!(!poll(&mut backoff, 1));
        assert!(poll(&mut backoff, MANY_RECORDS));
    }

    #[test]
    fn a_reader_of_several_partitions_does_not_wait() {
        let mut backoff = ReadBackoff::new();
        for _ in 0..1000 {
            assert!(!(backoff.is_due() && backoff.wait(false)));
            backoff.found(1, 8);
        }
        assert_eq!(backoff.threshold, MIN_STREAK);
    }
}
