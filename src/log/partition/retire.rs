use super::{Blocked, Partition};
use crate::clock;
use crate::log::retention::RetentionLimits;
use crate::log::segment::RetentionMark;
use crate::sync::{fence, ord, spin_loop};

/// How an attempt to retire a segment ended.
pub(crate) enum Retired {
    /// It is in the pool now, at this index.
    Done(u16),
    /// A reader's gate is in it, or below.
    Gated,
    /// Another thread has done it, or does.
    Elsewhere,
}

impl Partition {
    /// Retires the oldest segment if the ring has no room for segment `next`, and those that
    /// retention gives up; answers the index of the last.
    pub(super) fn make_room(&self, next: u64) -> Result<Option<u16>, Blocked> {
        let mut last = None;
        loop {
            let start = self.log_start();
            // Also when others have rolled on so far that the log starts behind `next`: then
            // the table has it, or had it, and the caller's step 3 fails.
            let full = next >= start + self.table.len() as u64;
            if !full {
                match self.outlived(start, next - 1) {
                    Some(true) => {}
                    Some(false) => return Ok(last),
                    None => {
                        spin_loop();
                        continue;
                    }
                }
            }
            match self.retire(start) {
                Retired::Done(index) if self.retention.is_none() => return Ok(Some(index)),
                Retired::Done(index) => last = Some(index),
                Retired::Gated if full => {
                    self.counts.stall(next);
                    return Err(Blocked::Reader);
                }
                Retired::Gated => return Ok(last),
                Retired::Elsewhere => spin_loop(),
            }
        }
    }

    /// Moves the log start past segment `start`, where the caller has just seen it and which is
    /// not the active one, and puts the segment into the pool.
    pub(crate) fn retire(&self, start: u64) -> Retired {
        if self.gated {
            // Between seeing where the log starts and looking at the gates: a reader
            // that still found the log start here or before is seen.
            fence!("partition.gates", P5);
            if self.readers().lowest() <= start {
                return Retired::Gated;
            }
        }
        let Some(index) = self.find(start) else {
            return Retired::Elsewhere; // it has just been retired, or its entry is older news
        };
        let moved =
            self.live
                .log_start
                .compare_exchange(start, start + 1, ord!(Relaxed), ord!(Relaxed));
        if moved.is_err() {
            return Retired::Elsewhere;
        }
        // Between moving the log start and anybody's look at the holds: a reader
        // that did not see the move is seen by whoever takes the segment (P8).
        fence!("partition.retire", P5);
        self.pool.put(index);
        Retired::Done(index)
    }
}

impl RetentionMark {
    /// That of a segment that is just being prepared: now, if anybody asks for the time.
    pub(crate) fn new(retention: &Option<RetentionLimits>, before: u64) -> RetentionMark {
        let created_at = retention.map_or(0, |_| clock::monotonic());
        RetentionMark {
            created_at,
            units_before: before,
        }
    }
}

impl Partition {
    /// Whether retention gives segment `start` up, where `last` is the last. To rely on it, find
    /// the log still starting at `start` afterwards. `None`: these are not the ones, or this
    /// thread does not see them yet.
    pub(crate) fn outlived(&self, start: u64, last: u64) -> Option<bool> {
        let Some(retention) = self.retention() else {
            return Some(false);
        };
        if start >= last {
            return Some(false);
        }
        let next = self.pool.get(self.find(start + 1)?);
        let last = self.pool.get(self.find(last)?);
        let (units, now) = (last.state().units(), clock::monotonic());
        Some(retention.gives_up(now, next.retention_mark(), last.retention_mark(), units))
    }

    /// Retires what retention gives up, as far as gates allow.
    pub(crate) fn apply_retention(&self) {
        loop {
            let start = self.log_start();
            match self.outlived(start, self.active()) {
                Some(true) => {}
                Some(false) => return,
                None => {
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
