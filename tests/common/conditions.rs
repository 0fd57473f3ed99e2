//! Waits on conditions: no verdict depends on how soon a thread is scheduled.

use ringlog::{WaitAction, WaitPolicy, WaitStrategy};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for what must happen before it fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A time limit of a call that must end before it: long enough to tell a wake-up from a timeout,
/// which the test notices by [`LIMIT`].
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// Waits until a condition holds; after [`LIMIT`] it fails with what did not happen.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        thread::sleep(Duration::from_micros(200));
    }
}

/// Runs `call`, and fails if it took [`LIMIT`]: it was ended by its own time limit, [`LONG`].
#[track_caller]
pub(crate) fn woken<T>(what: &str, call: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = call();
    assert!(start.elapsed() < LIMIT, "was not woken: {what}");
    result
}

/// A wait strategy that sleeps after the first attempt, and counts the waits that got so far. A
/// counted waiter has enrolled: whatever happens from then on has to wake it.
#[derive(Clone, Debug, Default)]
pub(crate) struct CountSleepers(Arc<AtomicU32>);

impl WaitPolicy for CountSleepers {
    fn next(&self, attempts: u32) -> WaitAction {
        // The first attempt enrols. After the second the thread sleeps.
        if attempts == 2 {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        WaitAction::Sleep
    }
}

impl CountSleepers {
    pub(crate) fn strategy(&self) -> WaitStrategy {
        WaitStrategy::Custom(Arc::new(self.clone()))
    }

    /// Runs `start`, which starts a thread that waits, and returns once that thread has enrolled.
    #[track_caller]
    pub(crate) fn asleep<T>(&self, start: impl FnOnce() -> T) -> T {
        let before = self.0.load(Ordering::SeqCst);
        let started = start();
        wait_until("a thread goes to sleep", || {
            self.0.load(Ordering::SeqCst) > before
        });
        started
    }
}
