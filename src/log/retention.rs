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
//! timestamps are ignored. The units from a segment to the end are one subtraction. (The units
//! are marked in topics without a limit too, because statistics report them:
//! `partition/extent.rs`. The time is not: only retention needs it.)
//!
//! A thread that reads marks holds no segment, so a segment may be recycled while its mark is
//! read. In that case the log start has moved, and the compare-and-swap that would retire the
//! oldest segment fails. If it succeeds, the oldest segment was still the same one. The segments
//! that were read all follow it, so they were live throughout, and their marks were theirs.

use crate::log::segment::{RetentionMark, UNIT};
use std::time::Duration;

/// The limits of a topic that has any.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetentionLimits {
    /// The longest age of a segment in nanoseconds; `u64::MAX` is no limit.
    time: u64,
    /// Units to keep in a partition; `u64::MAX` is no limit.
    units: u64,
}

impl RetentionLimits {
    /// The limits, or `None` when neither is set.
    pub(crate) fn new(time: Option<Duration>, bytes: Option<u64>) -> Option<RetentionLimits> {
        if time.is_none() && bytes.is_none() {
            return None;
        }
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Some(RetentionLimits {
            time: time.map_or(u64::MAX, nanos),
            units: bytes.map_or(u64::MAX, |bytes| bytes.div_ceil(UNIT as u64)),
        })
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
        (self.time != u64::MAX && age >= self.time)
            || (self.units != u64::MAX && rest >= self.units)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_as_configured_and_the_longest_are_none() {
        assert!(RetentionLimits::new(None, None).is_none());
        let some = |time, bytes| {
            let retention = RetentionLimits::new(time, bytes).unwrap();
            (retention.time, retention.units)
        };
        assert_eq!(some(Some(Duration::ZERO), None), (0, u64::MAX));
        assert_eq!(some(Some(Duration::from_micros(1)), Some(9)), (1000, 2));
        assert_eq!(some(Some(Duration::MAX), Some(0)), (u64::MAX, 0));
        assert_eq!(some(None, Some(u64::MAX)).1, u64::MAX / 8 + 1);
    }

    #[test]
    fn a_segment_is_retired_when_the_next_one_is_old_enough() {
        let retention = RetentionLimits::new(Some(Duration::from_nanos(10)), None).unwrap();
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
        let retention = RetentionLimits::new(None, Some(80)).unwrap();
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
