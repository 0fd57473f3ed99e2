use super::strategy::{WaitAction, WaitStrategy};
use crate::sync::{spin_loop, yield_now};
use core::fmt::Debug;
use std::time::{Duration, Instant};

const MOST_SPINS: u32 = 1_000;

const LONGEST_NAP: Duration = Duration::from_millis(1);

/// One wait, from its first look to its last.
pub(crate) struct WaitSchedule {
    strategy: WaitStrategy,
    limit: Duration,
    start: Option<Instant>,
    /// Looks in vain; stays at the end.
    pub(super) looks: u32,
    unclocked: u8,
}

/// What to do after a look in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextStep {
    /// Give up.
    TimeUp,
    /// Look again: some time has passed.
    Retry,
    /// Sleep until woken, this long at most.
    Sleep(Duration),
}

impl WaitSchedule {
    #[inline]
    pub(crate) fn new(strategy: WaitStrategy, limit: Duration) -> WaitSchedule {
        WaitSchedule {
            strategy,
            limit,
            start: None,
            looks: 0,
            unclocked: 0,
        }
    }

    /// Passes some time, or says what else is to be done.
    #[cold]
    pub(crate) fn next(&mut self) -> NextStep {
        if self.limit.is_zero() {
            return NextStep::TimeUp;
        }
        let start = *self.start.get_or_insert_with(Instant::now);
        self.looks = self.looks.saturating_add(1);
        let pause = self.strategy.next(self.looks);
        if let WaitAction::Spin(hints) = pause {
            for _ in 0..hints.min(MOST_SPINS) {
                spin_loop();
            }
            // The clock costs more than the spins: look at it now and then.
            self.unclocked = self.unclocked.wrapping_add(1);
            if self.unclocked % 16 != 0 {
                return NextStep::Retry;
            }
        }
        let Some(left) = self.limit.checked_sub(start.elapsed()) else {
            return NextStep::TimeUp;
        };
        if left.is_zero() {
            return NextStep::TimeUp;
        }
        match pause {
            WaitAction::Spin(_) | WaitAction::Nothing => {}
            WaitAction::Yield => yield_now(),
            WaitAction::Nap(nap) => std::thread::sleep(nap.min(LONGEST_NAP).min(left)),
            WaitAction::Sleep => return NextStep::Sleep(left),
        }
        NextStep::Retry
    }

    /// How long this wait has taken.
    pub(crate) fn waited(&self) -> Duration {
        self.start.map_or(Duration::ZERO, |start| start.elapsed())
    }
}
