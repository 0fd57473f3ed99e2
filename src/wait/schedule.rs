//! The schedule of one wait: what to do after each failed attempt, under a strategy and a limit.

use super::strategy::{WaitAction, WaitStrategy};
use crate::sync::{spin_loop, yield_now};
use core::fmt::Debug;
use std::time::{Duration, Instant};

const MAX_SPIN_HINTS: u32 = 1_000;

const MAX_NAP: Duration = Duration::from_millis(1);

/// One wait, from its first attempt to its last.
pub(super) struct WaitSchedule {
    strategy: WaitStrategy,
    limit: Duration,
    start: Option<Instant>,
    /// Failed attempts; saturates.
    pub(super) attempts: u32,
    /// Spins, modulo 256; the clock is read after every 16th.
    spins: u8,
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextStep {
    /// Give up.
    TimeUp,
    /// Attempt again: the schedule has passed some time.
    Retry,
    /// Sleep until woken, this long at most.
    Sleep(Duration),
}

impl WaitSchedule {
    #[inline]
    pub(super) fn new(strategy: WaitStrategy, limit: Duration) -> WaitSchedule {
        WaitSchedule {
            strategy,
            limit,
            start: None,
            attempts: 0,
            spins: 0,
        }
    }

    /// Passes some time, or returns another step for the caller.
    #[cold]
    pub(super) fn next(&mut self) -> NextStep {
        if self.limit.is_zero() {
            return NextStep::TimeUp;
        }
        let start = *self.start.get_or_insert_with(Instant::now);
        self.attempts = self.attempts.saturating_add(1);
        let action = self.strategy.next(self.attempts);
        if let WaitAction::Spin(hints) = action {
            for _ in 0..hints.min(MAX_SPIN_HINTS) {
                spin_loop();
            }
            // Reading the clock costs more than the spin.
            self.spins = self.spins.wrapping_add(1);
            if self.spins % 16 != 0 {
                return NextStep::Retry;
            }
        }
        let Some(left) = self.limit.checked_sub(start.elapsed()) else {
            return NextStep::TimeUp;
        };
        if left.is_zero() {
            return NextStep::TimeUp;
        }
        match action {
            WaitAction::Spin(_) | WaitAction::Nothing => {}
            WaitAction::Yield => yield_now(),
            WaitAction::Nap(nap) => std::thread::sleep(nap.min(MAX_NAP).min(left)),
            WaitAction::Sleep => return NextStep::Sleep(left),
        }
        NextStep::Retry
    }

    /// How long this wait has lasted.
    pub(super) fn waited(&self) -> Duration {
        self.start.map_or(Duration::ZERO, |start| start.elapsed())
    }
}
