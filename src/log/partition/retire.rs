//! Retiring segments, the oldest first: for room in the ring, and by retention.
//!
//! Retiring moves the log start past a segment and puts the segment into the pool. A later taker
//! recycles it, once no reader holds it and no frame in it is unpublished (`segment_pool.rs`).

use super::{Blocked, Partition};
use crate::clock;
use crate::log::segment::RetentionMark;
use crate::sync::{fence, ord, spin_loop};

/// The outcome of an attempt to retire a segment.
enum Retired {
    /// The segment is in the pool now, at this index.
    Done(u16),
    /// A reader's gate is in the segment, or below it.
    Gated,
    /// Another thread has retired it, or is about to.
    Elsewhere,
}

/// What retention says about the oldest segment.
enum Expiry {
    Kept,
    Expired,
    /// The segments that were read are not the oldest and the last one any more, or this thread
    /// does not see them yet.
    Unknown,
}

impl Partition {
    /// Retires the oldest segment if the ring has no room for segment `next`, and the segments
    /// that retention does not keep. Returns the index of the last one retired.
    pub(super) fn make_room(&self, next: u64) -> Result<Option<u16>, Blocked> {
        let mut last = None;
        loop {
            let start = self.log_start();
            // True also when others have rolled so far that the log starts after `next`: then
            // the table has `next`, or had it, and the caller's step 3 fails.
            let full = next >= start + self.table.len() as u64;
            if !full {
                match self.expiry(start, next - 1) {
                    Expiry::Expired => {}
                    Expiry::Kept => return Ok(last),
                    Expiry::Unknown => {
                        spin_loop();
                        continue;
                    }
                }
            }
            match self.retire(start) {
                Retired::Done(index) if !self.retention.are_set() => return Ok(Some(index)),
                Retired::Done(index) => last = Some(index),
                Retired::Gated if full => {
                    self.counters.count_stall(next);
                    return Err(Blocked::Reader);
                }
                Retired::Gated => return Ok(last),
                Retired::Elsewhere => spin_loop(),
            }
        }
    }

    /// Moves the log start past segment `start` and puts the segment into the pool. The caller
    /// has just seen the log start there, and the segment is not the active one.
    fn retire(&self, start: u64) -> Retired {
        if self.gated {
            // Between the load of the log start and the load of the gates: a reader that still
            // found the log start here or before is seen (P5).
            fence!("partition.gates", P5);
            if self.readers().lowest_gate() <= start {
                return Retired::Gated;
            }
        }
        let Some(index) = self.index_of(start) else {
            return Retired::Elsewhere; // it has just been retired, or its entry is a stale read
        };
        let moved =
            self.bounds
                .log_start
                .compare_exchange(start, start + 1, ord!(Relaxed), ord!(Relaxed));
        if moved.is_err() {
            return Retired::Elsewhere;
        }
        // Between the move of the log start and any thread's load of the holds: the thread that
        // takes the segment sees a reader that did not see the move (P8).
        fence!("partition.retire", P5);
        self.pool.put(index);
        Retired::Done(index)
    }
}

impl RetentionMark {
    /// The mark of a segment that is being prepared: the time now, and the units before it.
    pub(super) fn now(units_before: u64) -> RetentionMark {
        RetentionMark {
            created_at: clock::monotonic(),
            units_before,
        }
    }
}

impl Partition {
    /// What retention says about segment `start`, where `last` is the last segment. To rely on
    /// it, the caller must find that the log still starts at `start` afterwards.
    fn expiry(&self, start: u64, last: u64) -> Expiry {
        if !self.retention.are_set() || start >= last {
            return Expiry::Kept;
        }
        let Some(next) = self.segment(start + 1) else {
            return Expiry::Unknown;
        };
        let Some(last) = self.segment(last) else {
            return Expiry::Unknown;
        };
        let (units, now) = (last.state().units(), clock::monotonic());
        let limits = &self.retention;
        match limits.is_exceeded(now, next.retention_mark(), last.retention_mark(), units) {
            true => Expiry::Expired,
            false => Expiry::Kept,
        }
    }

    /// Retires the segments that retention does not keep, as far as gates allow.
    pub(crate) fn apply_retention(&self) {
        loop {
            let start = self.log_start();
            match self.expiry(start, self.active()) {
                Expiry::Expired => {}
                Expiry::Kept => return,
                Expiry::Unknown => {
                    spin_loop();
                    continue;
                }
            }
            match self.retire(start) {
                Retired::Done(_) => {}
                Retired::Gated => return,
                Retired::Elsewhere => spin_loop(),
            }
        }
    }
}
