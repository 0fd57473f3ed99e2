//! How a thread waits: consumers for records, producers for room.
//!
//! A [`WaitSchedule`] says what to do next, from its first look to its last; a [`Waiter`] is the thread,
//! or the task, that is put on the lists of [`EventCount`] when it comes to sleeping. Whoever waits
//! does the same in all cases: look; ask the waiter; and when that says [`NextStep::Sleep`], enrol, look
//! once more, and only then sleep (row P15 in `sleepers.rs`).

use core::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// How the threads of a topic wait, consumers for records and producers for room alike.
///
/// While nobody sleeps, appending and polling cost the same under all of them. A consumer of
/// several topics waits as the most patient of them asks: the last of this list.
///
/// Timeouts are kept to within a millisecond or so, as the system's timers allow.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum WaitStrategy {
    /// Spins: the least latency, a whole core a waiting thread.
    BusySpin,
    /// Spins a little, then gives the core to whoever else wants it.
    Yield,
    /// Spins, then yields, then sleeps 50 µs to 1 ms at a time. Nobody has to wake anybody, so
    /// that a send never makes a system call.
    Backoff,
    /// Spins and yields a little, then sleeps until it is woken. Whoever appends wakes who sleeps,
    /// which costs that one send some microseconds.
    #[default]
    Block,
    /// Your own.
    Custom(Arc<dyn WaitPolicy>),
}

/// A way of waiting of your own: see [`WaitStrategy::Custom`].
///
/// It only says what to do next; ringlog does it, looks again, and keeps the time.
///
/// ```
/// use ringlog::{Broker, Pause, TopicConfig, WaitPolicy, WaitStrategy};
/// use std::sync::Arc;
///
/// /// Spins for longer than `Block` does, and then sleeps.
/// #[derive(Debug)]
/// struct SpinThenSleep;
///
/// impl WaitPolicy for SpinThenSleep {
///     fn next(&self, looks: u32) -> Pause {
///         if looks < 10_000 { Pause::Spin(16) } else { Pause::Sleep }
///     }
/// }
///
/// let wait = WaitStrategy::Custom(Arc::new(SpinThenSleep));
/// let topic = Broker::new().create_topic("orders", TopicConfig::new().wait(wait))?;
/// # Ok::<(), ringlog::TopicError>(())
/// ```
pub trait WaitPolicy: Debug + Send + Sync {
    /// What to do after so many looks in vain, 1 or more. Called at every look of a wait, so it
    /// should be quick. If it panics, so does the poll or send that waits, and nothing else is
    /// touched.
    fn next(&self, looks: u32) -> WaitAction;
}

/// What to do until the next look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitAction {
    /// So many spin hints, 1,000 at most.
    Spin(u32),
    /// Gives the core to whoever wants it.
    Yield,
    /// Sleeps so long, 1 ms at most.
    Nap(Duration),
    /// Sleeps until there is something to look for.
    Sleep,
    /// Nothing: the policy has passed the time itself.
    Nothing,
}

/// Spin hints between two looks: an eager look steals the line that a producer writes.
const SPINS: u32 = 16;

/// Looks while spinning, before anything gentler.
const SPINNING: u32 = 128;

/// Looks while yielding, before naps.
const YIELDING: u32 = 64;

/// Looks while yielding, before sleeping until woken.
const YIELDING_FIRST: u32 = 8;

const NAP: Duration = Duration::from_micros(50);

/// Two of your own are the same if they are one.
impl PartialEq for WaitStrategy {
    fn eq(&self, other: &WaitStrategy) -> bool {
        match (self, other) {
            (WaitStrategy::Custom(a), WaitStrategy::Custom(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.patience() == b.patience(),
        }
    }
}

impl Eq for WaitStrategy {}

impl WaitStrategy {
    pub(super) fn next(&self, looks: u32) -> WaitAction {
        let spinning = looks <= SPINNING;
        match self {
            // A model has nothing to spin for.
            #[cfg(loom)]
            WaitStrategy::Block => WaitAction::Sleep,
            WaitStrategy::Custom(policy) => policy.next(looks),
            WaitStrategy::BusySpin => WaitAction::Spin(SPINS),
            _ if spinning => WaitAction::Spin(SPINS),
            WaitStrategy::Yield => WaitAction::Yield,
            WaitStrategy::Backoff if looks <= SPINNING + YIELDING => WaitAction::Yield,
            WaitStrategy::Backoff => {
                WaitAction::Nap(NAP.saturating_mul(looks - SPINNING - YIELDING))
            }
            #[cfg(not(loom))]
            WaitStrategy::Block if looks <= SPINNING + YIELDING_FIRST => WaitAction::Yield,
            #[cfg(not(loom))]
            WaitStrategy::Block => WaitAction::Sleep,
        }
    }

    fn patience(&self) -> u32 {
        match self {
            WaitStrategy::BusySpin => 0,
            WaitStrategy::Yield => 1,
            WaitStrategy::Backoff => 2,
            WaitStrategy::Block => 3,
            WaitStrategy::Custom(_) => 4,
        }
    }

    /// The most patient of them; of two of the same patience the first.
    pub(crate) fn most_patient<'a>(all: impl Iterator<Item = &'a WaitStrategy>) -> WaitStrategy {
        let patient = all.reduce(|a, b| if b.patience() > a.patience() { b } else { a });
        patient.cloned().unwrap_or_default()
    }

    /// Whether its topics' notifiers are to fence where that cannot be left to the sleepers: their
    /// threads may come to sleep. (Tasks that wait for another topic then keep looking.)
    pub(crate) fn may_sleep(&self) -> bool {
        if cfg!(loom) {
            return matches!(self, WaitStrategy::Block);
        }
        self.patience() > 1
    }
}
