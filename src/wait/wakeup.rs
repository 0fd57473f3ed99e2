//! Ending a poll from another thread.
//!
//! One word for each consumer, that its handles set and its poll takes back. A poll looks at it
//! once, and it lies alone on its cache line, so that a consumer that nobody wakes up only reads
//! what it has. Beside it is the list on which the consumer sleeps for what is said to it alone.

use super::event_count::EventCount;
use crate::sync::{AtomicU64, ord};
use crossbeam_utils::CachePadded;
use std::fmt;
use std::sync::Arc;

/// The consumer's side.
#[derive(Clone)]
pub(crate) struct Wakeup {
    set: Arc<CachePadded<AtomicU64>>,
    event_count: Arc<EventCount>,
}

impl Default for Wakeup {
    fn default() -> Self {
        Wakeup {
            set: Arc::new(CachePadded::new(AtomicU64::new(0))),
            event_count: Arc::new(EventCount::new(true)),
        }
    }
}

impl Wakeup {
    /// As a hint: [`take`](Self::take) tells.
    #[inline(always)]
    pub(crate) fn is_set(&self) -> bool {
        self.set.load(ord!(Relaxed)) != 0
    }

    /// Whether somebody has called since the last time.
    pub(crate) fn take(&self) -> bool {
        // Acquire, from whoever called: all that it did before.
        self.is_set() && self.set.swap(0, ord!("wakeup.take", P12, Acquire)) != 0
    }

    /// On which the consumer sleeps, beside those of its partitions.
    pub(crate) fn event_count(&self) -> &Arc<EventCount> {
        &self.event_count
    }

    pub(crate) fn handle(&self) -> WakeupHandle {
        WakeupHandle(self.clone())
    }
}

/// Ends a [`Consumer`](crate::Consumer)'s poll from any thread, as Kafka's `wakeup` does.
///
/// A poll that waits ends with [`ConsumeError::Wakeup`](crate::ConsumeError::Wakeup), at once if it
/// sleeps, and otherwise at its next look, a millisecond later at most. When none is waiting it is remembered: the next poll ends
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
        self.0.set.store(1, ord!("wakeup.set", P12, Release));
        self.0.event_count.notify();
    }
}

impl fmt::Debug for WakeupHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WakeupHandle")
            .field("set", &self.0.is_set())
            .finish()
    }
}
