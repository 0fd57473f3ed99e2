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

pub(crate) use deferred_wakes::{DeferredWakes, defer_wakes};
pub(crate) use event_count::EventCount;
pub(crate) use wait_loop::{Attempt, Patience, WaitFor, Waited, wait};
pub(crate) use waiter::Waiter;
pub(crate) use wakeup::Wakeup;
