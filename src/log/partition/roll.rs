use super::{Blocked, Partition, TableEntry, last_base};
use crate::log::segment::{ClaimMode, MAX_NUMBER, RetentionMark, Segment, SegmentState};
use crate::sync::{ord, spin_loop};

/// Tries to find a free segment before saying that there is none. One is always there
/// (`segment_pool.rs`), but it may move behind the search while others take and give back.
const TRIES: u32 = 64;

impl Partition {
    /// Claims a frame in the active segment, rolling to the next one when it is full; answers
    /// where, and what the head was ([`Segment::try_claim`]). The frame must fit an empty
    /// segment. What a producer does when the segment of its last claim has no more room.
    #[cold]
    #[inline(never)]
    pub(crate) fn claim<S: ClaimMode>(
        &self,
        records: u32,
        units: u32,
    ) -> Result<(u16, SegmentState), Blocked> {
        debug_assert!(records <= self.pool.shape().records && units <= self.pool.shape().units);
        let mut tries = 0;
        loop {
            let number = self.active();
            let Some(index) = self.find(number) else {
                spin_loop(); // `active` has moved on, or its news is faster than the entry's
                continue;
            };
            let segment = self.pool.get(index);
            let head = segment.state();
            if head.is_fresh_as(self.id, number) {
                segment.open(self.id, number);
            } else if head.is_open_in(self.id) {
                let full = self.pool.shape().full_state(self.id);
                match segment.try_claim::<S>(head, full, records, units) {
                    Ok(head) => return Ok((index, head)),
                    Err(head) if head.is_open_in(self.id) => segment.seal(head),
                    Err(_) => {}
                }
            } else if head.is_sealed_in(self.id) {
                match self.roll(number, index, head) {
                    Ok(()) => {}
                    Err(Blocked::Segments) if tries < TRIES => {
                        tries += 1;
                        spin_loop();
                    }
                    Err(blocked) => return Err(blocked),
                }
            } else {
                spin_loop(); // the segment has another life by now, so `active` has moved on
            }
        }
    }

    /// Ends the log, with what is claimed by then. Not while an exclusive producer may claim.
    pub(crate) fn close(&self) {
        loop {
            let number = self.active();
            let next = number + 1;
            let entry = self.entry(next);
            if entry.number() >= next && !entry.is_none() {
                // It is there, and the news of it is late. Failing means that somebody has helped.
                let _ =
                    self.live
                        .active
                        .compare_exchange(number, next, ord!(Relaxed), ord!(Relaxed));
                spin_loop();
                continue;
            }
            if !entry.is_end() {
                // The mark is all there is to see.
                let marked = self.slot(next).compare_exchange(
                    entry.0,
                    entry.0 | TableEntry::END,
                    ord!(Relaxed),
                    ord!(Relaxed),
                );
                if marked.is_err() {
                    spin_loop();
                    continue;
                }
            }
            let Some(index) = self.find(number) else {
                spin_loop(); // the news of `active` is faster than the entry's
                continue;
            };
            let segment = self.pool.get(index);
            let head = segment.state();
            if head.is_sealed_in(self.id) {
                return;
            }
            if head.is_open_in(self.id) {
                segment.seal(head);
            } else if head.is_fresh_as(self.id, number) {
                segment.open(self.id, number);
            } else {
                spin_loop();
            }
        }
    }

    /// The end of a log that is closed: one past its last offset, which is final. `None` while it
    /// may still grow.
    pub(crate) fn end(&self) -> Option<u64> {
        let number = self.active();
        if !self.entry(number + 1).is_end() {
            return None;
        }
        // The last segment is never retired, so it has the life that is meant (T5).
        let segment = self.pool.get(self.find(number)?);
        let head = segment.state_unheld();
        let end = segment.base_unheld() + u64::from(head.records());
        head.is_sealed_in(self.id).then_some(end)
    }

    /// Steps 2 to 4 of the roll from segment `number`, sealed as `head`.
    fn roll(&self, number: u64, index: u16, head: SegmentState) -> Result<(), Blocked> {
        let next = number + 1;
        if next >= MAX_NUMBER {
            return Err(Blocked::Exhausted);
        }
        let old = self.entry(next);
        if old.is_end() {
            return Err(Blocked::Closed);
        }
        if old.is_none() || old.number() < next {
            // Before anything is given up for it.
            let full: &Segment = self.pool.get(index);
            let base = full.base().saturating_add(u64::from(head.records()));
            if base > last_base(self.pool.shape().records) {
                return Err(Blocked::Exhausted);
            }
            // The segment just retired, if any, is the first choice for the next: it is in
            // the caches.
            let hint = self.make_room(next)?.unwrap_or(index);
            let Some(taken) = self.pool.take(hint) else {
                return Err(Blocked::Segments);
            };
            let before = full
                .retention_mark()
                .units_before
                .wrapping_add(head.units().into());
            self.pool
                .get(taken)
                .set_retention_mark(RetentionMark::new(&self.retention, before));
            self.pool.get(taken).prepare(self.id, next, base);
            // Release, to everybody who finds the segment: its number, base and zeroed index.
            let put = self.slot(next).compare_exchange(
                old.0,
                TableEntry::new(next, taken).0,
                ord!("partition.install", P3, Release),
                ord!(Relaxed),
            );
            if let Err(found) = put {
                self.pool.put(taken);
                if TableEntry(found).is_end() {
                    return Err(Blocked::Closed);
                }
            }
        }
        // Failing means that another thread has moved it.
        let _ = self
            .live
            .active
            .compare_exchange(number, next, ord!(Relaxed), ord!(Relaxed));
        Ok(())
    }
}
