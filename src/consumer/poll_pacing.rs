//! Poll pacing: how a consumer keeps its distance from producers that it is faster than.
//!
//! Such a consumer stands right behind a producer and finds a few records at each poll. A poll that
//! reads up to the end of the log takes lines that the producer writes next, probably also some that
//! the processor fetches ahead of the reader. The producer has to fetch them back: some round trips
//! between the cores for each poll (`docs/performance.md`). Several partitions, and several readers
//! of one, make it worse.
//!
//! The cure is that of network cards, interrupt moderation. After a poll that has come to the end
//! there is a **pause** before the next one, and each poll reads few enough records to stop short
//! of the end mostly. So the consumer comes to the end once in some thousand records. The one
//! principle is that **a consumer pauses only if that makes its producers faster**.
//!
//! ```text
//!           a fast stream, few records a poll               long enough
//!  free ──────────────────────────────────────► growing ──────────────────► paced
//!   ▲ ▲                                            │                         │ │
//!   │ └── a pause brought too little ──────────────┴─────────────────────────┤ │
//!   │     they make it no faster ────────────────────────────────────────────┘ │
//!   └──── now and then, to measure the rate without pauses again ──────────────┘
//! ```
//!
//! - **Free**: no pauses. The rate of records is measured.
//! - **Growing**: the pauses become longer, from [`FIRST_PAUSE`] on, until [`RECORDS_PER_PAUSE`]
//!   records are read from one to the next, or they are as long as is allowed
//!   ([`ConsumerConfig::max_poll_pause`](crate::ConsumerConfig::max_poll_pause)).
//! - **Paced**: the pauses follow the rate. That has to stay higher than it was without them.
//!
//! A pause (with several partitions, a cycle of pauses) that brings much less than the rate foretold
//! is the last: the stream has stopped, or this very thread sends what it reads, or a producer waits
//! for its answer. After each failure four times as many windows pass before the next attempt. So a
//! stream that is no faster for the pauses sees next to none.
//!
//! A consumer that does not come to the end has a backlog, and needs no pauses: it is free again
//! after [`POLLS_WITHOUT_END`]. While one of its partitions is that far behind, it does not pause
//! at the end of another.

use super::{AssignedPartition, Consumer, MANY_PARTITIONS};
use crate::log::cursor::Cursor;
use crate::wait::WaitStrategy;
use std::time::{Duration, Instant};

/// Records to be read from one pause to the next, for each hold on the partition (a reader has one, a
/// group two). Coming to the end costs the producer 1 to 5 µs, the time of 50 to 300 records. And
/// lines that the producer wrote a while ago cost it less: `docs/performance-log.md`.
const RECORDS_PER_PAUSE: u64 = 4096;

/// The most records of a poll while there are pauses, so that it seldom comes to the end: eight
/// lines of descriptors.
const PACED_POLL_RECORDS: u32 = 64;

/// The records from one pause to the next are, at the measured rate, at most this part of what the
/// log retains, so that no reader is lapped or holds up a producer for having paused.
const PART_OF_RING: u64 = 8;

/// The first pause, in nanoseconds: some round trips between distant cores.
const FIRST_PAUSE: u64 = 1_000;

/// A stream is fast if this many records come within [`FIRST_PAUSE`]. There are no pauses in a
/// slower one.
const FAST: u64 = 4;

/// The rate is measured over this many nanoseconds at least: some hundred polls.
const WINDOW: u64 = 20_000;

/// Polls after which a free consumer checks the time.
const POLLS_PER_CHECK: u32 = 32;

/// Polls that do not come to the end, after which there is a backlog, at least: of 2,048 records or
/// more. It is also twice what one pause is to bring, at least.
const POLLS_WITHOUT_END: u32 = 32;

/// Pauses of one length while they grow: an attempt in vain should be short.
const PAUSES_PER_STEP: u32 = 4;

/// Pauses after which their length, and what they bring, is evaluated.
const PAUSES_PER_EVALUATION: u32 = 8;

/// The most windows between two attempts, after failures: a third of a second or more.
const MAX_WINDOWS: u32 = 1 << 14;

/// Evaluations after which the rate without pauses is measured again: that costs one window.
const EVALUATIONS_PER_BASE: u32 = 1 << 10;

/// Records, and the time in which they came.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    records: u64,
    nanoseconds: u64,
}

impl Rate {
    /// The records that come in this many nanoseconds.
    fn records_in(self, nanoseconds: u64) -> u64 {
        self.records.saturating_mul(nanoseconds) / self.nanoseconds.max(1)
    }

    /// Whether this rate is higher by an eighth, so that no small difference of two measurements counts.
    fn is_faster_than(self, other: Rate) -> bool {
        let (a, b) = (
            self.records.saturating_mul(other.nanoseconds),
            other.records.saturating_mul(self.nanoseconds),
        );
        a.saturating_mul(8) >= b.saturating_mul(9)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Free,
    Growing,
    Paced,
}

/// What the pauses are to bring, and how long they may be. See [`PollPacing::pause`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    /// Records to be read from one pause to the next.
    records: u64,
    /// Partitions that have records. Each is read again after as many pauses.
    partitions: u64,
}

/// The pacing of one consumer's polls. Times are nanoseconds since `epoch`.
#[derive(Debug)]
pub(super) struct PollPacing {
    /// Polls until [`pause`](Self::pause) is to be called.
    polls_left: u32,
    /// The most records of a poll.
    limit: u32,
    /// Records read.
    records: u64,
    /// Polls that came to the end of a partition.
    ends: u64,
    /// The last poll did.
    at_end: bool,
    /// The partition that is far behind.
    behind: Option<usize>,
    phase: Phase,
    /// Polls that do not come to the end, after which there is a backlog.
    backlog_polls: u32,
    max_records: u32,
    max_pause: u64,
    epoch: Option<Instant>,
    window_start: u64,
    /// The records read by then.
    window_records: u64,
    pause: u64,
    /// The rate without pauses.
    base: Rate,
    /// Windows until the next attempt, and how many those are after a failure.
    windows_left: u32,
    windows: u32,
    /// Pauses of this window.
    pauses: u32,
    evaluations: u32,
    /// Partitions that have records: a cycle is as many pauses, and reads each of them once.
    partitions: u64,
    /// Pauses of this cycle, when its first began, and the records read by then.
    cycle_pauses: u64,
    cycle_start: u64,
    cycle_records: u64,
}

impl PollPacing {
    /// A model has no time.
    const HAS_TIME: bool = !cfg!(loom);

    /// For polls of at most `max_records`. Pauses take `max_pause` at most; zero: there are none.
    pub(super) fn new(max_records: u32, max_pause: Duration) -> PollPacing {
        let max_pause = nanoseconds(max_pause);
        PollPacing {
            polls_left: POLLS_PER_CHECK,
            limit: max_records,
            ends: 0,
            at_end: false,
            behind: None,
            records: 0,
            phase: Phase::Free,
            backlog_polls: POLLS_WITHOUT_END,
            max_records,
            max_pause: if Self::HAS_TIME { max_pause } else { 0 },
            epoch: None,
            window_start: 0,
            window_records: 0,
            pause: 0,
            base: Rate::default(),
            windows_left: 0,
            windows: 1,
            pauses: 0,
            evaluations: 0,
            partitions: 1,
            cycle_pauses: 0,
            cycle_start: 0,
            cycle_records: 0,
        }
    }

    /// The most records of a poll.
    #[inline(always)]
    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// A poll begins. Whether [`pause`](Self::pause) must be called before it.
    #[inline(always)]
    pub(super) fn begins_poll(&mut self) -> bool {
        self.polls_left = self.polls_left.wrapping_sub(1);
        self.polls_left == 0
    }

    /// A poll has found records in partition `i`, which is read by `cursor`.
    #[inline(always)]
    pub(super) fn found(&mut self, i: usize, cursor: &Cursor) {
        self.count(i, cursor.run().0.records, cursor.reads_since_end());
    }

    #[inline(always)]
    fn count(&mut self, i: usize, records: u32, reads_since_end: u32) {
        self.records += u64::from(records);
        self.at_end = reads_since_end == 0;
        self.ends += u64::from(self.at_end);
        if self.phase != Phase::Free {
            self.count_paced(i, reads_since_end);
        }
    }

    #[inline(never)]
    fn count_paced(&mut self, i: usize, reads_since_end: u32) {
        if reads_since_end >= self.backlog_polls {
            self.behind = Some(i);
        } else if self.at_end && self.behind == Some(i) {
            self.behind = None;
        }
        if self.at_end && self.behind.is_none() {
            self.polls_left = 1;
        }
    }

    /// Pauses, if that pays. `allowed` is `false` for a consumer that waits by spinning. `target` is
    /// `None` if no partition has records.
    pub(super) fn pause(&mut self, allowed: bool, target: impl FnOnce() -> Option<Target>) {
        self.polls_left = POLLS_PER_CHECK;
        if !allowed || self.max_pause == 0 {
            self.free(0, 0);
            return;
        }
        let epoch = match self.epoch {
            Some(epoch) => epoch,
            None => {
                self.begin_window(0);
                *self.epoch.insert(Instant::now())
            }
        };
        let now = || nanoseconds(epoch.elapsed());
        let Some(until) = self.pause_until(now(), target) else {
            return;
        };
        // Other threads may want this core, even the producers that the pause is for. They may keep
        // it for longer than the pause.
        while now() < until {
            crate::sync::yield_now();
        }
    }

    /// The time before which the next poll should not begin, if there is one.
    fn pause_until(&mut self, now: u64, target: impl FnOnce() -> Option<Target>) -> Option<u64> {
        let go_on = match self.phase {
            Phase::Free => self.is_worth_an_attempt(now, target),
            Phase::Growing | Phase::Paced => self.is_worth_it(now, target),
        };
        if !go_on {
            return None;
        }
        if self.cycle_pauses == 0 {
            self.cycle_start = now;
            self.cycle_records = self.records;
        }
        self.polls_left = 2 * self.backlog_polls;
        Some(now + self.pause)
    }

    /// Whether a free consumer should try pauses now.
    fn is_worth_an_attempt(&mut self, now: u64, target: impl FnOnce() -> Option<Target>) -> bool {
        let (rate, ends) = (self.rate(now), self.ends);
        if rate.nanoseconds < WINDOW {
            return false;
        }
        self.begin_window(now);
        if self.windows_left > 0 {
            self.windows_left -= 1;
            return false;
        }
        // After the rate was measured again: the pause of before.
        let pause = core::mem::take(&mut self.pause).max(FIRST_PAUSE);
        if rate.records_in(FIRST_PAUSE) < FAST {
            return false;
        }
        let Some(target) = target() else {
            return false;
        };
        if rate.records >= ends.saturating_mul(target.records) {
            return false; // it seldom comes to the end
        }
        self.base = rate;
        self.phase = Phase::Growing;
        self.limit = self.max_records.min(PACED_POLL_RECORDS);
        self.pause = self.allowed(pause, target);
        self.aim_at(target);
        self.cycle_pauses = 0;
        true
    }

    /// Whether there should be another pause.
    fn is_worth_it(&mut self, now: u64, target: impl FnOnce() -> Option<Target>) -> bool {
        if !self.at_end || self.behind.is_some() {
            // A backlog.
            self.free(now, 1);
            return false;
        }
        self.pauses += 1;
        self.cycle_pauses += 1;
        if self.cycle_pauses < self.partitions {
            return true;
        }
        self.cycle_pauses = 0;
        let found = self.records - self.cycle_records;
        if found < self.base.records_in(now - self.cycle_start) / 4 {
            self.give_up(now);
            return false;
        }
        let enough = match self.phase {
            Phase::Growing => PAUSES_PER_STEP,
            _ => PAUSES_PER_EVALUATION,
        };
        if self.pauses < enough {
            return true;
        }
        match target() {
            Some(target) => self.evaluate(now, target),
            None => {
                self.free(now, 1);
                false
            }
        }
    }

    /// Evaluates the last pauses. Whether there should be more.
    fn evaluate(&mut self, now: u64, target: Target) -> bool {
        let rate = self.rate(now);
        let brought = rate.records / u64::from(self.pauses);
        self.aim_at(target);
        self.begin_window(now);
        let longer = self.allowed(self.pause.saturating_mul(2), target);
        let is_short = brought < target.records / 2 && self.pause < longer;
        let is_long = brought > target.records.saturating_mul(2);
        if self.pause <= FIRST_PAUSE && is_long {
            self.give_up(now); // the log retains too little for the shortest pause
            return false;
        }
        if self.phase == Phase::Growing {
            if is_short {
                self.pause = longer;
            } else {
                self.phase = Phase::Paced;
            }
            return true;
        }
        if !rate.is_faster_than(self.base) {
            self.give_up(now);
            return false;
        }
        let pause = if is_short {
            longer
        } else if is_long {
            (self.pause / 2).max(FIRST_PAUSE)
        } else {
            self.pause
        };
        self.pause = self.allowed(pause, target);
        self.windows = 1;
        self.evaluations += 1;
        if self.evaluations < EVALUATIONS_PER_BASE {
            return true;
        }
        let pause = self.pause;
        self.free(now, 0);
        self.pause = pause;
        false
    }

    /// Takes over what the pauses are to bring, and so what a backlog is.
    fn aim_at(&mut self, target: Target) {
        self.partitions = target.partitions;
        let polls = 2 * target.records / u64::from(self.limit.max(1));
        let polls = u32::try_from(polls).unwrap_or(u32::MAX / 2);
        self.backlog_polls = polls.max(POLLS_WITHOUT_END);
    }

    /// A pause this long, or the longest allowed. A record waits for the pauses of all partitions.
    fn allowed(&self, pause: u64, target: Target) -> u64 {
        pause.min(self.max_pause / target.partitions.max(1))
    }

    fn give_up(&mut self, now: u64) {
        self.windows = (self.windows * 4).min(MAX_WINDOWS);
        self.free(now, self.windows);
    }

    /// No pauses from now on, and no attempt for this many windows.
    fn free(&mut self, now: u64, windows: u32) {
        self.phase = Phase::Free;
        self.limit = self.max_records;
        self.polls_left = POLLS_PER_CHECK;
        self.pause = 0;
        self.behind = None;
        self.windows_left = windows;
        self.evaluations = 0;
        self.begin_window(now);
    }

    fn rate(&self, now: u64) -> Rate {
        Rate {
            records: self.records - self.window_records,
            nanoseconds: now - self.window_start,
        }
    }

    fn begin_window(&mut self, now: u64) {
        self.window_start = now;
        self.window_records = self.records;
        (self.ends, self.pauses) = (0, 0);
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Target {
    /// For a consumer that reads these partitions, of which at least `busy` have records. `None` if
    /// none of them had any lately.
    pub(super) fn of(assigned: &[AssignedPartition], busy: usize) -> Option<Target> {
        let mut targets = assigned.iter().filter_map(|assigned| {
            let cursor = &assigned.cursor;
            if cursor.run().0.records == 0 || cursor.is_idle() {
                return None;
            }
            let log = cursor.partition();
            let wanted = RECORDS_PER_PAUSE * log.readers().count().max(1) as u64;
            let retained = (log.log_end_offset()).saturating_sub(log.log_start_offset());
            Some(wanted.min(retained / PART_OF_RING))
        });
        let first = targets.next()?;
        let (records, partitions) = targets.fold((first, 1), |(least, count), target| {
            (target.min(least), count + 1)
        });
        Some(Target {
            records,
            partitions: partitions.max(busy as u64),
        })
    }
}

impl Consumer {
    /// Pauses before the next poll, if that pays.
    #[cold]
    #[inline(never)]
    pub(super) fn pause_before_poll(&mut self) {
        let allowed = self.wait != WaitStrategy::BusySpin;
        let target = || match self.assigned.len() {
            few if few < MANY_PARTITIONS => Target::of(&self.assigned, 0),
            many => {
                // The one that was read last stands for all.
                let last = self.next.checked_sub(1).unwrap_or(many - 1);
                Target::of(&self.assigned[last..=last], self.poll_order.busy())
            }
        };
        self.pacing.pause(allowed, target);
    }

    /// The most records that a poll returns.
    #[inline(always)]
    pub(super) fn max_records(&self, may_pace: bool) -> u32 {
        if may_pace {
            self.pacing.limit()
        } else {
            self.config.max_poll_records
        }
    }

    /// A poll has found records in partition `i`.
    #[inline]
    pub(super) fn count_for_pacing(&mut self, i: usize) {
        self.pacing.found(i, &self.assigned[i].cursor);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
