//! How a thread waits: consumers for records, producers for room.

use crate::sync::{spin_loop, yield_now};
use std::time::{Duration, Instant};

/// How the threads of a topic wait, consumers for records and producers for room alike.
///
/// No strategy puts a thread to sleep in a way that needs waking, so appending costs the
/// same under all of them. Ordered from the most eager to the most patient; a consumer of
/// several topics waits as the most patient of them asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum WaitStrategy {
    /// Spins: the least latency, a whole core a waiting thread.
    BusySpin,
    /// Spins a little, then gives the core to whoever else wants it.
    Yield,
    /// Spins, then yields, then sleeps 50 µs to 1 ms at a time: for machines with other
    /// work to do.
    #[default]
    Backoff,
}

/// Spin hints between two looks: an eager look steals the line that a producer writes.
const SPINS: u32 = 16;
/// Looks while spinning, before anything gentler.
const SPINNING: u32 = 128;
/// Looks while yielding, before sleeping.
const YIELDING: u32 = 64;
const NAP: Duration = Duration::from_micros(50);
const LONGEST_NAP: Duration = Duration::from_millis(1);

/// One wait, from its first look to its last.
pub(crate) struct Waiter {
    strategy: WaitStrategy,
    limit: Duration,
    start: Option<Instant>,
    /// How far it has come from spinning to sleeping; stays at the end.
    step: u32,
    looks: u8,
}

impl Waiter {
    #[inline]
    pub(crate) fn new(strategy: WaitStrategy, limit: Duration) -> Waiter {
        Waiter {
            strategy,
            limit,
            start: None,
            step: 0,
            looks: 0,
        }
    }

    /// Passes some time, or answers `false` when the time is up.
    #[cold]
    pub(crate) fn wait(&mut self) -> bool {
        if self.limit.is_zero() {
            return false;
        }
        let start = *self.start.get_or_insert_with(Instant::now);
        self.step = self.step.saturating_add(1);
        let spinning = match self.strategy {
            WaitStrategy::BusySpin => true,
            _ => self.step <= SPINNING,
        };
        if spinning {
            for _ in 0..SPINS {
                spin_loop();
            }
            // The clock costs more than the spins: look at it now and then.
            self.looks = self.looks.wrapping_add(1);
            return self.looks % 16 != 0 || start.elapsed() < self.limit;
        }
        let waited = start.elapsed();
        if waited >= self.limit {
            return false;
        }
        if self.strategy == WaitStrategy::Yield || self.step <= SPINNING + YIELDING {
            yield_now();
        } else {
            let naps = self.step - SPINNING - YIELDING;
            let nap = NAP.saturating_mul(naps).min(LONGEST_NAP);
            std::thread::sleep(nap.min(self.limit - waited));
        }
        true
    }

    /// How long this wait has taken.
    pub(crate) fn waited(&self) -> Duration {
        self.start.map_or(Duration::ZERO, |start| start.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_strategy_ends_soon_after_its_limit() {
        for strategy in [
            WaitStrategy::BusySpin,
            WaitStrategy::Yield,
            WaitStrategy::Backoff,
        ] {
            let mut waiter = Waiter::new(strategy, Duration::from_millis(20));
            while waiter.wait() {}
            assert!(waiter.waited() >= Duration::from_millis(20), "{strategy:?}");
            assert!(waiter.waited() < Duration::from_secs(5), "{strategy:?}");
        }
    }

    #[test]
    fn a_wait_ends_however_many_looks_came_before() {
        for strategy in [WaitStrategy::BusySpin, WaitStrategy::Backoff] {
            let mut waiter = Waiter::new(strategy, Duration::from_millis(5));
            waiter.step = u32::MAX - 3;
            let looks = (0..100_000_000).take_while(|_| waiter.wait()).count();
            assert!(looks < 100_000_000, "{strategy:?} waits for ever");
        }
    }

    #[test]
    fn no_time_to_wait_means_no_wait() {
        let mut waiter = Waiter::new(WaitStrategy::Backoff, Duration::ZERO);
        assert!(!waiter.wait());
        assert_eq!(waiter.waited(), Duration::ZERO);
    }
}
