//! The back-off of a measured thread: how it waits for room or for messages, the same for every
//! system.

use crate::failure::Failure;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Spin hints between two attempts where throughput is measured. An attempt without a pause
/// would take the cache line from the other thread again and again.
pub(crate) const SPINS: u32 = 16;

/// Spin hints between two attempts where latency is measured. Mostly one message is on its way,
/// and spins would only add to its latency.
pub(crate) const LATENCY_SPINS: u32 = 1;

/// Waits between attempts that found nothing to do: spins, then yields, then gives up.
pub(crate) struct Backoff<'a> {
    /// Another thread of the run has given up.
    stop: &'a AtomicBool,
    /// Every thread has a core of its own.
    own_core: bool,
    spins: u32,
    attempts: u32,
    since: Option<Instant>,
}

impl<'a> Backoff<'a> {
    const LIMIT: Duration = Duration::from_secs(20);

    pub(crate) fn new(stop: &'a AtomicBool, own_core: bool, spins: u32) -> Self {
        Backoff {
            stop,
            own_core,
            spins,
            attempts: 0,
            since: None,
        }
    }

    /// An attempt succeeded.
    #[inline]
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
        self.since = None;
    }

    /// Waits and attempts again until an attempt returns `true`. The caller makes the first
    /// attempt itself, so a thread that need not wait has no business here.
    #[inline]
    pub(crate) fn retry(
        &mut self,
        mut attempt: impl FnMut() -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        loop {
            self.wait()?;
            if attempt()? {
                self.reset();
                return Ok(());
            }
        }
    }

    #[cold]
    pub(crate) fn wait(&mut self) -> Result<(), Failure> {
        self.attempts += 1;
        // On a shared core the other thread cannot run until this one yields.
        if self.own_core && self.attempts <= 1024 {
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
