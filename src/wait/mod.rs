//! Waiting: how threads and tasks wait for a condition, are woken, and are interrupted.
//!
//! Consumers wait for records and producers for room, by the same means:
//!
//! | file | what it holds |
//! |---|---|
//! | `strategy.rs` | [`WaitStrategy`]: spin, yield, nap or sleep, as configured |
//! | `schedule.rs` | the steps of one wait, under a strategy and a time limit |
//! | `wait_loop.rs` | [`wait()`]: the one loop, for threads and for tasks |
//! | `event_count.rs` | [`EventCount`]: the wait list that notifiers check |
//! | `waiter.rs` | [`Waiter`]: a producer's or consumer's enrolment in event counts |
//! | `asymmetric_fence.rs` | the fence of their handshake, by `membarrier(2)` |
//! | `deferred_wakes.rs` | [`defer_wakes`]: wakes run outside of ringlog's locks |
//! | `wakeup.rs` | [`WakeupHandle`]: ends a poll from another thread |
//!
//! Every wait follows one sequence: attempt; ask the schedule for the next step; when that is to
//! sleep, enrol, attempt once more, and only then sleep (row P15, `event_count.rs`).

mod asymmetric_fence;
mod deferred_wakes;
mod event_count;
mod schedule;
mod strategy;
#[cfg(test)]
mod tests;
mod wait_loop;
mod waiter;
mod wakeup;

pub use strategy::{WaitAction, WaitPolicy, WaitStrategy};
pub use wakeup::WakeupHandle;

pub(crate) use deferred_wakes::{DeferredWakes, contain_panic, defer_wakes};
pub(crate) use event_count::EventCount;
pub(crate) use wait_loop::{Attempt, Patience, WaitFor, Waited, wait};
pub(crate) use waiter::Waiter;
pub(crate) use wakeup::Wakeup;

/// Does now what the first wait would do: registers the process for `membarrier(2)`. The kernel does
/// that at once for a process of one thread. For one of several it waits until every core has passed
/// through the scheduler, which takes milliseconds.
pub(crate) fn prepare() {
    asymmetric_fence::is_asymmetric();
}
