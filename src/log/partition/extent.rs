//! A partition's extent, looked at by a thread that holds nothing.
//!
//! All of it is in words that are there anyway: which segments are live, and of the first and the
//! last one the base, what was appended before (`segment.rs`, the mark) and the head. Each is
//! loaded with Acquire and found live afterwards, as in all lookups (P7).

use super::Partition;
use crate::log::segment::UNIT;
use crate::sync::spin_loop;

/// Looks for a log start that stands still, at most. Each takes some nanoseconds, where it takes
/// producers a whole segment to move it.
#[cfg(not(loom))]
const TRIES: u32 = 16;

/// A model explores one as well as many.
#[cfg(loom)]
const TRIES: u32 = 1;

/// Where a log is, at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogExtent {
    /// The first offset retained, and one past the last.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The first live segment, and the last.
    pub(crate) first: u64,
    pub(crate) active: u64,
    /// Bytes appended, and those of the live segments.
    pub(crate) appended_bytes: u64,
    pub(crate) retained_bytes: u64,
}

impl LogExtent {
    /// How many offsets are retained from `position` on. A position before the log start counts as
    /// the log start.
    pub(crate) fn lag(&self, position: u64) -> u64 {
        self.end.saturating_sub(position.max(self.start))
    }

    /// How many offsets are retained before `position`; none if it is before the log start.
    pub(crate) fn lead(&self, position: u64) -> u64 {
        position.saturating_sub(self.start)
    }
}

impl Partition {
    pub(crate) fn extent(&self) -> LogExtent {
        let mut tries = 0;
        loop {
            let first = self.log_start();
            // Before the end is looked at: so it is not past the end.
            let deleted_before = self.deleted_before();
            let Some(at_start) = self.look(first) else {
                spin_loop();
                continue;
            };
            let (active, at_end) = loop {
                let active = self.active();
                match self.look(active) {
                    Some(at_end) => break (active, at_end),
                    None => spin_loop(),
                }
            };
            tries += 1;
            if self.log_start() != first && tries < TRIES {
                continue; // the two would not belong together
            }
            let end = at_end.base + u64::from(at_end.records);
            let units = at_end.before + u64::from(at_end.units);
            let bytes = |units: u64| units.saturating_mul(UNIT as u64);
            return LogExtent {
                start: at_start.base.max(deleted_before).min(end),
                end,
                first,
                active,
                appended_bytes: bytes(units),
                retained_bytes: bytes(units.saturating_sub(at_start.before)),
            };
        }
    }

    /// How far a reader may have come that was at `position` and has not left that segment since,
    /// where the log ends at `end`.
    pub(crate) fn reach(&self, position: u64, end: u64) -> u64 {
        let Some(number) = self.locate(position) else {
            return position; // before the log start, in a segment that is gone
        };
        match self.look(number + 1) {
            Some(next) => next.base.min(end),
            None => end,
        }
    }
}
