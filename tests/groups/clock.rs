//! A clock that the test sets: one for each thread, so for each test.

use std::cell::Cell;
use std::time::Duration;

thread_local! {
    static MILLISECONDS: Cell<u64> = const { Cell::new(0) };
}

/// The time as consumers see it: `ConsumerConfig::clock`.
pub(crate) fn now() -> Duration {
    Duration::from_millis(milliseconds())
}

pub(crate) fn milliseconds() -> u64 {
    MILLISECONDS.get()
}

/// Sets the clock back to zero, where one test is many runs.
pub(crate) fn reset() {
    MILLISECONDS.set(0);
}

/// Moves the clock forward.
pub(crate) fn pass(milliseconds: u64) {
    MILLISECONDS.set(MILLISECONDS.get() + milliseconds);
}
