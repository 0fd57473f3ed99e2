//! Wait strategies: what a waiting thread does between two attempts.

use core::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// How a topic's threads wait: consumers for records, producers for room.
///
/// While no thread sleeps, appending and polling cost the same under every strategy. A consumer of
/// several topics uses the most patient of their strategies: the last one in this list.
///
/// Timeouts are accurate to about a millisecond, as the system's timers allow.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum WaitStrategy {
    /// Spins: the lowest latency, and each waiting thread occupies a core.
    BusySpin,
    /// Spins briefly, then yields the core to other threads.
    Yield,
    /// Spins, then yields, then sleeps for 50 µs to 1 ms at a time. No thread has to be woken, so
    /// a send never makes a system call.
    Backoff,
    /// Spins and yields briefly, then sleeps until woken. A send that wakes a sleeping thread takes
    /// some microseconds longer.
    #[default]
    Block,
    /// A custom policy.
    Custom(Arc<dyn WaitPolicy>),
}

/// A custom way of waiting; see [`WaitStrategy::Custom`].
///
/// The policy only chooses the next action. Ringlog carries it out, attempts again, and keeps track
/// of the time.
///
/// ```
/// use ringlog::{Broker, TopicConfig, WaitAction, WaitPolicy, WaitStrategy};
/// use std::sync::Arc;
///
/// /// Spins for longer than `Block` does, and then sleeps.
/// #[derive(Debug)]
/// struct SpinThenSleep;
///
/// impl WaitPolicy for SpinThenSleep {
///     fn next(&self, attempts: u32) -> WaitAction {
///         if attempts < 10_000 { WaitAction::Spin(16) } else { WaitAction::Sleep }
///     }
/// }
///
/// let wait = WaitStrategy::Custom(Arc::new(SpinThenSleep));
/// let topic = Broker::new().create_topic("orders", TopicConfig::new().wait(wait))?;
/// # Ok::<(), ringlog::TopicError>(())
/// ```
pub trait WaitPolicy: Debug + Send + Sync {
    /// The action after `attempts` failed attempts of one wait; 1 or more.
    ///
    /// It is called after every failed attempt, so it should be quick. If it panics, the poll or
    /// send that waits panics too, and nothing else is affected.
    fn next(&self, attempts: u32) -> WaitAction;
}

/// What a waiting thread does before its next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitAction {
    /// Executes this many spin hints, 1,000 at most.
    Spin(u32),
    /// Yields the core to other threads.
    Yield,
    /// Sleeps for this long, 1 ms at most.
    Nap(Duration),
    /// Sleeps until notified that another attempt may succeed.
    Sleep,
    /// Nothing: the policy has passed the time itself.
    Nothing,
}

/// Spin hints between two attempts: frequent attempts steal the cache line that a producer writes.
const SPIN_HINTS: u32 = 16;

/// Attempts with spins in between, before the strategy yields.
const SPIN_ATTEMPTS: u32 = 128;

/// Attempts with yields in between, before `Backoff` naps.
const YIELD_ATTEMPTS_BEFORE_NAP: u32 = 64;

/// Attempts with yields in between, before `Block` sleeps until woken.
const YIELD_ATTEMPTS_BEFORE_SLEEP: u32 = 8;

/// Each nap is longer than the one before by this much.
const NAP_STEP: Duration = Duration::from_micros(50);

/// Two custom strategies are equal if they share one policy.
impl PartialEq for WaitStrategy {
    fn eq(&self, other: &WaitStrategy) -> bool {
        match (self, other) {
            (WaitStrategy::Custom(a), WaitStrategy::Custom(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.rank() == b.rank(),
        }
    }
}

impl Eq for WaitStrategy {}

impl WaitStrategy {
    pub(super) fn next(&self, attempts: u32) -> WaitAction {
        const NAP_AFTER: u32 = SPIN_ATTEMPTS + YIELD_ATTEMPTS_BEFORE_NAP;
        #[cfg(not(loom))]
        const SLEEP_AFTER: u32 = SPIN_ATTEMPTS + YIELD_ATTEMPTS_BEFORE_SLEEP;
        match self {
            // A model gains nothing by spinning.
            #[cfg(loom)]
            WaitStrategy::Block => WaitAction::Sleep,
            WaitStrategy::Custom(policy) => policy.next(attempts),
            WaitStrategy::BusySpin => WaitAction::Spin(SPIN_HINTS),
            _ if attempts <= SPIN_ATTEMPTS => WaitAction::Spin(SPIN_HINTS),
            WaitStrategy::Yield => WaitAction::Yield,
            WaitStrategy::Backoff if attempts <= NAP_AFTER => WaitAction::Yield,
            WaitStrategy::Backoff => WaitAction::Nap(NAP_STEP.saturating_mul(attempts - NAP_AFTER)),
            #[cfg(not(loom))]
            WaitStrategy::Block if attempts <= SLEEP_AFTER => WaitAction::Yield,
            #[cfg(not(loom))]
            WaitStrategy::Block => WaitAction::Sleep,
        }
    }

    /// The position in the order from least to most patient.
    fn rank(&self) -> u32 {
        match self {
            WaitStrategy::BusySpin => 0,
            WaitStrategy::Yield => 1,
            WaitStrategy::Backoff => 2,
            WaitStrategy::Block => 3,
            WaitStrategy::Custom(_) => 4,
        }
    }

    /// The most patient strategy; among equals the first.
    pub(crate) fn most_patient<'a>(all: impl Iterator<Item = &'a WaitStrategy>) -> WaitStrategy {
        let patient = all.reduce(|a, b| if b.rank() > a.rank() { b } else { a });
        patient.cloned().unwrap_or_default()
    }

    /// Whether threads that wait on a topic with this strategy may come to sleep. Then its
    /// notifiers must fence where there is no asymmetric fence. Where they do not, a waiting task
    /// keeps attempting.
    pub(crate) fn may_sleep(&self) -> bool {
        if cfg!(loom) {
            return matches!(self, WaitStrategy::Block);
        }
        self.rank() > 1
    }
}
