//! What a partition keeps besides what its ring has room for: by time, and by bytes.
//!
//! There is no thread for it: retention is applied at every roll, by whoever rolls (`partition.rs`,
//! step 2), and when somebody asks ([`Topic::apply_retention`](crate::Topic::apply_retention)).
//! Segments go whole, oldest first, never the active one.
//!
//! Each segment is marked when it is prepared: with the time, and with how many units had been
//! appended to the partition before it. Its predecessor was sealed by then, so all that is in
//! the predecessor is at least as old as the mark, whatever times its records were given. And the
//! units from a segment to the end are one subtraction. (The units are marked also where nothing
//! limits them, to be shown: `stats/log.rs`. The time is not: nobody else asks for it.)
//!
//! Whoever looks at marks holds nothing, and what it looks at may be recycled under it. Then the
//! log start has moved, and the exchange that would retire the segment fails: its success says
//! that the oldest segment was still that one, so the ones looked at, all of them behind it, were
//! live throughout and their marks were theirs.

use crate::log::segment::{RetentionMark, UNIT};
use std::time::Duration;

/// What is kept, in a topic that limits it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetentionLimits {
    /// Nanoseconds; `u64::MAX`: for ever.
    time: u64,
    /// Units; `u64::MAX`: all.
    units: u64,
}

impl RetentionLimits {
    /// `None` when neither is limited.
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

    /// Whether the segment before `next` goes, where the last is `last`, and `units` are claimed in
    /// it: it is old enough, or as much as is to be kept is there without it.
    pub(super) fn gives_up(
        &self,
        now: u64,
        next: RetentionMark,
        last: RetentionMark,
        units: u32,
    ) -> bool {
        // (Wrong marks of segments that were recycled under us may be in any order.)
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
    fn limits_are_as_given_and_the_longest_are_none() {
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
    fn a_segment_goes_when_the_next_began_long_enough_ago() {
        let retention = RetentionLimits::new(Some(Duration::from_nanos(10)), None).unwrap();
        let mark = |created_at| RetentionMark {
            created_at,
            units_before: 0,
        };
        for (created_at, now, goes) in [(5, 14, false), (5, 15, true), (5, 99, true), (5, 4, false)]
        {
            let found = retention.gives_up(now, mark(created_at), mark(0), 1000);
            assert_eq!(found, goes, "{created_at} {now}");
        }
    }

    #[test]
    fn a_segment_goes_when_as_much_as_is_to_be_kept_is_behind_it() {
        let retention = RetentionLimits::new(None, Some(80)).unwrap();
        let mark = |before| RetentionMark {
            created_at: 0,
            units_before: before,
        };
        for (before, units, goes) in [(4, 0, false), (4, 5, false), (4, 6, true), (10, 0, true)] {
            let found = retention.gives_up(0, mark(0), mark(before), units);
            assert_eq!(found, goes, "{before} {units}");
        }
    }
}
