//! Retention limits: how much of a partition is kept, by age and by bytes, besides what fits its
//! ring.
//!
//! No thread enforces the limits. Every roll applies them (`partition/roll.rs`), and so does
//! [`Topic::apply_retention`](crate::Topic::apply_retention). Whole segments are retired, the
//! oldest first, never the active one.
//!
//! A segment is marked when it is prepared: with the time, and with the units that had been
//! appended to the partition before it. Its predecessor was sealed by then. So a segment's age
//! is counted from its successor's creation time, an upper bound on every append in it. Record
//! timestamps are ignored. The units from a segment to the end are one subtraction. (Both
//! are marked in topics without a limit too: a limit may be set later, and statistics report the
//! units: `partition/extent.rs`.)
//!
//! The limits may change at any time. A thread that rolls reads them as it goes: whichever value it
//! finds was in force while it ran.
//!
//! A thread that reads marks holds no segment, so a segment may be recycled while its mark is
//! read. In that case the log start has moved, and the compare-and-swap that would retire the
//! oldest segment fails. If it succeeds, the oldest segment was still the same one. The segments
//! that were read all follow it, so they were live throughout, and their marks were theirs.

use crate::log::segment::{RetentionMark, UNIT};
use crate::sync::Count;
use core::fmt;
use std::time::Duration;

/// The value of a limit that is not set.
const NO_LIMIT: u64 = u64::MAX;

/// The limits of a topic, which its partitions share.
pub(crate) struct RetentionLimits {
    /// The longest age of a segment in nanoseconds, or [`NO_LIMIT`].
    time: Count,
    /// Units to keep in a partition, or [`NO_LIMIT`].
    units: Count,
}

impl RetentionLimits {
    pub(crate) fn new(time: Option<Duration>, bytes: Option<u64>) -> RetentionLimits {
        let limits = RetentionLimits {
            time: Count::default(),
            units: Count::default(),
        };
        limits.set_time(time);
        limits.set_bytes(bytes);
        limits
    }

    pub(crate) fn set_time(&self, time: Option<Duration>) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(NO_LIMIT);
        self.time.set(time.map_or(NO_LIMIT, nanos));
    }

    pub(crate) fn set_bytes(&self, bytes: Option<u64>) {
        let units = |bytes: u64| bytes.div_ceil(UNIT as u64);
        self.units.set(bytes.map_or(NO_LIMIT, units));
    }

    /// The limit by time in milliseconds, if there is one.
    pub(crate) fn time_ms(&self) -> Option<u64> {
        Some(self.time.get())
            .filter(|&time| time != NO_LIMIT)
            .map(|time| time / 1_000_000)
    }

    /// The limit by bytes, if there is one.
    pub(crate) fn bytes(&self) -> Option<u64> {
        let units = Some(self.units.get()).filter(|&units| units != NO_LIMIT)?;
        Some(units.saturating_mul(UNIT as u64))
    }

    /// Whether records may be evicted although there is room.
    pub(crate) fn are_set(&self) -> bool {
        self.time.get() != NO_LIMIT || self.units.get() != NO_LIMIT
    }

    /// Whether the segment before the one marked `next` is to be retired. `last` is the mark of
    /// the last segment, in which `units` units are claimed. A segment is retired when it is old
    /// enough, or when the segments after it hold as much as is to be kept.
    pub(super) fn is_exceeded(
        &self,
        now: u64,
        next: RetentionMark,
        last: RetentionMark,
        units: u32,
    ) -> bool {
        // Marks of segments that were recycled meanwhile may be in any order.
        let age = now.saturating_sub(next.created_at);
        let rest = last.units_before.wrapping_sub(next.units_before);
        let rest = rest.wrapping_add(units.into());
        let (time, kept) = (self.time.get(), self.units.get());
        (time != NO_LIMIT && age >= time) || (kept != NO_LIMIT && rest >= kept)
    }
}

impl fmt::Debug for RetentionLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetentionLimits")
            .field("time", &self.time.get())
            .field("units", &self.units.get())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_as_configured_and_the_longest_are_none() {
        assert!(!RetentionLimits::new(None, None).are_set());
        let some = |time, bytes| {
            let limits = RetentionLimits::new(time, bytes);
            (limits.time.get(), limits.units.get())
        };
        assert_eq!(some(Some(Duration::ZERO), None), (0, u64::MAX));
        assert_eq!(some(Some(Duration::from_micros(1)), Some(9)), (1000, 2));
        assert_eq!(some(Some(Duration::MAX), Some(0)), (u64::MAX, 0));
        assert_eq!(some(None, Some(u64::MAX)).1, u64::MAX / 8 + 1);
    }

    #[test]
    fn a_segment_is_retired_when_the_next_one_is_old_enough() {
        let retention = RetentionLimits::new(Some(Duration::from_nanos(10)), None);
        let mark = |created_at| RetentionMark {
            created_at,
            units_before: 0,
        };
        for (created_at, now, retired) in
            [(5, 14, false), (5, 15, true), (5, 99, true), (5, 4, false)]
        {
            let found = retention.is_exceeded(now, mark(created_at), mark(0), 1000);
            assert_eq!(found, retired, "{created_at} {now}");
        }
    }

    #[test]
    fn a_segment_is_retired_when_enough_follows_it() {
        let retention = RetentionLimits::new(None, Some(80));
        let mark = |before| RetentionMark {
            created_at: 0,
            units_before: before,
        };
        for (before, units, retired) in [(4, 0, false), (4, 5, false), (4, 6, true), (10, 0, true)]
        {
            let found = retention.is_exceeded(0, mark(0), mark(before), units);
            assert_eq!(found, retired, "{before} {units}");
        }
    }
}
