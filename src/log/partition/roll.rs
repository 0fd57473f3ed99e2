//! Claiming in the active segment, rolling to the next one, and ending the log.
//!
//! The steps of the roll and of the end, and why any thread may take any of them, are in the head
//! of the module above (`partition/mod.rs`).

use super::{Blocked, Partition, TableEntry, last_base};
use crate::log::segment::{ClaimMode, MAX_NUMBER, RetentionMark, Segment, SegmentState};
use crate::sync::{ord, spin_loop};

/// Searches for a free segment before the claim reports that there is none. One always exists
/// (`segment_pool.rs`), but while other threads take and put back, it may move to a place that
/// the search has passed.
const TRIES: u32 = 64;

impl Partition {
    /// Claims a frame in the active segment, rolling to the next one when it is full. Returns the
    /// segment, and its state word before the claim ([`Segment::try_claim`]). The frame must fit
    /// an empty segment. A producer calls this when the segment of its last claim has no room.
    #[cold]
    #[inline(never)]
    pub(crate) fn claim<S: ClaimMode>(
        &self,
        records: u32,
        units: u32,
    ) -> Result<(&Segment, SegmentState), Blocked> {
        debug_assert!(records <= self.pool.shape().records && units <= self.pool.shape().units);
        let mut tries = 0;
        loop {
            let number = self.active();
            let Some(index) = self.index_of(number) else {
                spin_loop(); // `active` has moved on, or this thread sees it before the entry
                continue;
            };
            let segment = self.pool.get(index);
            let state = segment.state();
            if state.is_fresh_as(self.id, number) {
                segment.open(self.id, number);
            } else if state.is_open_in(self.id) {
                let full = self.pool.shape().full_state(self.id);
                // It may have waited in the segment that has ended.
                match segment.try_claim::<S>(state, full, records, units, false) {
                    Ok(state) => return Ok((segment, state)),
                    Err(state) if state.is_open_in(self.id) => segment.seal(state),
                    Err(_) => {}
                }
            } else if state.is_sealed_in(self.id) {
                match self.roll(number, index, state) {
                    Ok(()) => {}
                    Err(Blocked::Segments) if tries < TRIES => {
                        tries += 1;
                        spin_loop();
                    }
                    Err(blocked) => return Err(blocked),
                }
            } else {
                spin_loop(); // the segment is in another life by now, so `active` has moved on
            }
        }
    }

    /// Ends the log after what is claimed by then. Not while an exclusive producer may claim (S1).
    pub(crate) fn close(&self) {
        loop {
            let number = self.active();
            let next = number + 1;
            let entry = self.table_entry(next);
            if entry.number() >= next && !entry.is_none() {
                // The segment is there; only `active` lags. Failing means that another thread has
                // helped.
                let _ =
                    self.bounds
                        .active
                        .compare_exchange(number, next, ord!(Relaxed), ord!(Relaxed));
                spin_loop();
                continue;
            }
            if !entry.is_end() {
                // Relaxed: the mark brings nothing else with it.
                let marked = self.table_word(next).compare_exchange(
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
            let Some(segment) = self.segment(number) else {
                spin_loop(); // this thread sees `active` before the entry
                continue;
            };
            let state = segment.state();
            if state.is_sealed_in(self.id) {
                return;
            }
            if state.is_open_in(self.id) {
                segment.seal(state);
            } else if state.is_fresh_as(self.id, number) {
                segment.open(self.id, number);
            } else {
                spin_loop();
            }
        }
    }

    /// One past the last offset of a log that is closed: it is final. `None` while the log may
    /// still grow.
    pub(crate) fn final_end_offset(&self) -> Option<u64> {
        let number = self.active();
        if !self.table_entry(number + 1).is_end() {
            return None;
        }
        // The last segment is never retired, so this is the right life of it (T5).
        let segment = self.segment(number)?;
        let state = segment.state_unheld();
        let end = segment.base_unheld() + u64::from(state.records());
        state.is_sealed_in(self.id).then_some(end)
    }

    /// One past the last offset of a closed log that is or will be durable: less than
    /// [`final_end_offset`](Self::final_end_offset) if its files have failed.
    pub(crate) fn final_durable_end(&self) -> Option<u64> {
        let end = self.final_end_offset()?;
        match self.files() {
            Some(files) if files.is_stopped() => Some(end.min(files.durable_end())),
            _ => Some(end),
        }
    }

    /// Steps 2 to 4 of the roll from segment `number`, which is at `index` in the pool and was
    /// sealed with `state`.
    fn roll(&self, number: u64, index: u16, state: SegmentState) -> Result<(), Blocked> {
        let next = number + 1;
        if next >= MAX_NUMBER {
            return Err(Blocked::Exhausted);
        }
        let old = self.table_entry(next);
        if old.is_end() {
            return Err(Blocked::Closed);
        }
        if old.is_none() || old.number() < next {
            // Checked before anything is retired for it.
            let full: &Segment = self.pool.get(index);
            let base = full.base().saturating_add(u64::from(state.records()));
            if base > last_base(self.pool.shape().records) {
                return Err(Blocked::Exhausted);
            }
            // The segment just retired, if any, is the first choice for the next one: it is in
            // the caches.
            let hint = self.make_room(next)?.unwrap_or(index);
            let Some(taken) = self.pool.take(hint) else {
                return Err(Blocked::Segments);
            };
            let before = full
                .retention_mark()
                .units_before
                .wrapping_add(state.units().into());
            self.pool
                .get(taken)
                .set_retention_mark(RetentionMark::now(before));
            self.pool.get(taken).prepare(self.id, next, base);
            // Release, to every thread that finds the segment: its number, base and zeroed index.
            let put = self.table_word(next).compare_exchange(
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
            .bounds
            .active
            .compare_exchange(number, next, ord!(Relaxed), ord!(Relaxed));
        Ok(())
    }
}
