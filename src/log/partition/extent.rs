//! A partition's extent at one moment, read by a thread that holds nothing.
//!
//! It is computed from words that exist anyway: the numbers of the live segments, and, of the
//! first and the last one, the base, the units appended before (`segment/mod.rs`, the retention
//! mark) and the state word. Each is loaded with Acquire, and its segment is found live
//! afterwards, as in all lookups (P7).

use super::Partition;
use crate::log::segment::UNIT;
use crate::sync::spin_loop;

/// The most reads that wait for a log start that stays the same. A read takes some nanoseconds;
/// producers fill a whole segment to move the log start once.
#[cfg(not(loom))]
const TRIES: u32 = 16;

/// One read shows a model as much as many do.
#[cfg(loom)]
const TRIES: u32 = 1;

/// The extent of a log at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogExtent {
    /// The first offset retained.
    pub(crate) start: u64,
    /// One past the last offset claimed.
    pub(crate) end: u64,
    /// The number of the first live segment.
    pub(crate) first: u64,
    /// The number of the active segment.
    pub(crate) active: u64,
    /// Bytes appended so far.
    pub(crate) appended_bytes: u64,
    /// Bytes of the live segments.
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
    /// The extent of the log now.
    pub(crate) fn extent(&self) -> LogExtent {
        let mut tries = 0;
        loop {
            let first = self.log_start();
            // Loaded before the end, so it is not past the end.
            let deleted_before = self.deleted_before();
            let Some(at_start) = self.segment_bounds(first) else {
                spin_loop();
                continue;
            };
            let (active, at_end) = loop {
                let active = self.active();
                match self.segment_bounds(active) {
                    Some(at_end) => break (active, at_end),
                    None => spin_loop(),
                }
            };
            tries += 1;
            if self.log_start() != first && tries < TRIES {
                continue; // the start and the end are of different moments
            }
            let end = at_end.base + u64::from(at_end.records);
            let units = at_end.units_before + u64::from(at_end.units);
            let bytes = |units: u64| units.saturating_mul(UNIT as u64);
            let start = match self.files() {
                Some(files) => files.start().min(at_start.base),
                None => at_start.base,
            };
            return LogExtent {
                start: start.max(deleted_before).min(end),
                end,
                first,
                active,
                appended_bytes: bytes(units),
                retained_bytes: bytes(units.saturating_sub(at_start.units_before)),
            };
        }
    }

    /// The furthest position that a reader may have reached that was at `position` and has not
    /// left that segment since, in a log that ends at `end`.
    pub(crate) fn furthest_position(&self, position: u64, end: u64) -> u64 {
        let Some(number) = self.locate(position) else {
            return position; // before the log start, in a segment that is retired
        };
        match self.segment_bounds(number + 1) {
            Some(next) => next.base.min(end),
            None => end,
        }
    }
}
