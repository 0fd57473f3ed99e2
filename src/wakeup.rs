//! Ending a poll from another thread.
//!
//! One word for each consumer, that its handles set and its poll takes back. A poll looks at it
//! once, and it lies alone on its cache line, so that a consumer that nobody wakes up only reads
//! what it has.

use crate::sync::{AtomicU64, ord};
use crossbeam_utils::CachePadded;
use std::fmt;
use std::sync::Arc;

/// The consumer's side.
#[derive(Clone)]
pub(crate) struct Wakeup(Arc<CachePadded<AtomicU64>>);

impl Default for Wakeup {
    fn default() -> Self {
        Wakeup(Arc::new(CachePadded::new(AtomicU64::new(0))))
    }
}

impl Wakeup {
    /// As a hint: [`take`](Self::take) tells.
    #[inline(always)]
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(ord!(Relaxed)) != 0
    }

    /// Whether somebody has called since the last time.
    pub(crate) fn take(&self) -> bool {
        // Acquire, from whoever called: all that it did before.
        self.is_set() && self.0.swap(0, ord!("wakeup.take", P12, Acquire)) != 0
    }

    pub(crate) fn handle(&self) -> WakeupHandle {
        WakeupHandle(self.clone())
    }
}

/// Ends a [`Consumer`](crate::Consumer)'s poll from any thread, as Kafka's `wakeup` does.
///
/// A poll that waits ends with [`ConsumeError::Wakeup`](crate::ConsumeError::Wakeup) at its next
/// look, a millisecond later at most. When none is waiting it is remembered: the next poll ends
/// so, also when there are records, and its position stays where it is. Several calls before a
/// poll are one. All that was done before the call is seen by whoever gets the error.
///
/// Handles may be cloned and sent, and may outlive the consumer.
///
/// ```
/// use ringlog::{Broker, ConsumeError, ConsumerConfig, TopicConfig};
/// use std::time::Duration;
///
/// let broker = Broker::new();
/// broker.create_topic("orders", TopicConfig::new())?;
/// let mut consumer = broker.consumer(ConsumerConfig::new());
/// consumer.subscribe(&["orders"])?;
///
/// let handle = consumer.wakeup_handle();
/// let other = std::thread::spawn(move || handle.wakeup());
/// let ended = consumer.poll(Duration::from_secs(60));
/// assert_eq!(ended.unwrap_err(), ConsumeError::Wakeup);
/// # other.join().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct WakeupHandle(Wakeup);

impl WakeupHandle {
    /// Ends the poll that waits, or the next one.
    pub fn wakeup(&self) {
        // Release, to the poll that ends: all that the caller did before.
        self.0.0.store(1, ord!("wakeup.set", P12, Release));
    }
}

impl fmt::Debug for WakeupHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WakeupHandle")
            .field("set", &self.0.is_set())
            .finish()
    }
}
