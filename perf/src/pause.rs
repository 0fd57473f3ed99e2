//! How a thread of a measurement waits, whatever the system.

use crate::measure::Failure;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Spin hints between two looks where throughput is measured: a look without a pause would
/// take the other side's cache line from it again and again.
pub(crate) const SPINS: u32 = 16;

/// And where latency is measured: there is one message on the way at most times, and spins
/// would only add to what it takes.
pub(crate) const LATENCY_SPINS: u32 = 1;

/// Waits between looks that found nothing.
pub(crate) struct Pause<'a> {
    /// Another side has given up.
    stop: &'a AtomicBool,
    /// Every thread has a core of its own.
    alone: bool,
    spins: u32,
    looks: u32,
    since: Option<Instant>,
}

impl<'a> Pause<'a> {
    const LIMIT: Duration = Duration::from_secs(20);

    pub(crate) fn new(stop: &'a AtomicBool, alone: bool, spins: u32) -> Self {
        Pause {
            stop,
            alone,
            spins,
            looks: 0,
            since: None,
        }
    }

    /// Something moved.
    #[inline]
    pub(crate) fn reset(&mut self) {
        self.looks = 0;
        self.since = None;
    }

    /// Waits, and looks again, until a look says that something has moved. Whoever waits has looked
    /// before: what need not wait has nothing to do with a pause.
    #[inline]
    pub(crate) fn until(
        &mut self,
        mut moved: impl FnMut() -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        loop {
            self.wait()?;
            if moved()? {
                self.reset();
                return Ok(());
            }
        }
    }

    #[cold]
    pub(crate) fn wait(&mut self) -> Result<(), Failure> {
        self.looks += 1;
        // On a shared core the other side cannot run before this one lets it.
        if self.alone && self.looks <= 1024 {
            for _ in 0..self.spins {
                spin_loop();
            }
            return Ok(());
        }
        if self.stop.load(Ordering::Relaxed) {
            return Err("another thread gave up".into());
        }
        if self.since.get_or_insert_with(Instant::now).elapsed() > Self::LIMIT {
            return Err("nothing moved for 20 s".into());
        }
        thread::yield_now();
        Ok(())
    }
}
