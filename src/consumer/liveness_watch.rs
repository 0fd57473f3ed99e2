//! When a member checks whether the other members of its group are still alive.

use super::config::Clock;
use std::time::Duration;

/// The most polls between two readings of the clock. A member that polls without a pause reads the
/// clock once in this many polls.
const MAX_POLLS: u32 = 64;

/// The schedule of a member's liveness checks. Most polls only count down; the clock is read when
/// the count reaches zero.
pub(super) struct LivenessWatch {
    /// Polls until the next reading of the clock.
    polls_left: u32,
    /// Polls between the last reading and the next. Doubled, up to [`MAX_POLLS`], while a reading
    /// shows that no check is due.
    polls_between: u32,
    /// The time of the last check.
    last_check: Duration,
    /// The time between two checks, an eighth of the shortest `max_poll_interval` in the group.
    /// Zero: no member has such a limit, so no check is ever due.
    period: Duration,
}

impl LivenessWatch {
    pub(super) fn new() -> LivenessWatch {
        LivenessWatch {
            polls_left: 1,
            polls_between: 1,
            last_check: Duration::ZERO,
            period: Duration::ZERO,
        }
    }

    /// Counts a poll. Returns whether the clock has to be read.
    #[inline(always)]
    pub(super) fn count_poll(&mut self) -> bool {
        self.polls_left = self.polls_left.saturating_sub(1);
        self.polls_left == 0
    }

    /// The next poll takes the slow path, as one does that has to read the clock.
    pub(super) fn take_slow_path(&mut self) {
        self.polls_left = 1;
    }

    /// Follows the group's shortest `max_poll_interval`; zero if no member has a limit. The next
    /// poll reads the clock.
    pub(super) fn set_shortest_interval(&mut self, interval: Duration) {
        self.period = interval / 8;
        self.polls_left = 1;
    }

    /// Reads the clock, unless no check is ever due. Returns the time if a check is due now.
    pub(super) fn check_due(&mut self, clock: Clock) -> Option<Duration> {
        if self.period.is_zero() {
            self.polls_left = u32::MAX;
            return None;
        }
        let now = clock();
        let due = now.saturating_sub(self.last_check) >= self.period;
        if due {
            self.polls_between = 1;
            self.last_check = now;
        } else {
            self.polls_between = (self.polls_between * 2).min(MAX_POLLS);
        }
        self.polls_left = self.polls_between;
        due.then_some(now)
    }

    /// How long the member may sleep between two checks.
    pub(super) fn longest_park(&self) -> Duration {
        if self.period.is_zero() {
            return Duration::MAX;
        }
        self.period
    }
}
