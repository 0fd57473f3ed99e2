//! Wake-ups: ending a consumer's poll from another thread.
//!
//! Each consumer has one word, set by its handles and cleared by its poll. A poll loads it once.
//! The word has a cache line to itself (no false sharing), so without wake-ups that line stays in
//! the consumer's cache. Beside it is the event count for what concerns this consumer alone.

use super::event_count::EventCount;
use crate::sync::{AtomicU64, ord};
use crossbeam_utils::CachePadded;
use std::fmt;
use std::sync::Arc;

/// The consumer's side of its wake-ups.
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
    /// A hint; [`take`](Self::take) gives the certain answer.
    #[inline(always)]
    pub(crate) fn is_set(&self) -> bool {
        self.set.load(ord!(Relaxed)) != 0
    }

    /// Whether a handle was used since the last `take`. Clears the word.
    pub(crate) fn take(&self) -> bool {
        // Acquire, from `wakeup.set`: what the calling thread did before the call.
        self.is_set() && self.set.swap(0, ord!("wakeup.take", P12, Acquire)) != 0
    }

    /// The event count in which the consumer enrols in addition to its partitions'.
    pub(crate) fn event_count(&self) -> &Arc<EventCount> {
        &self.event_count
    }

    pub(crate) fn handle(&self) -> WakeupHandle {
        WakeupHandle(self.clone())
    }
}

/// Ends a [`Consumer`](crate::Consumer)'s poll from any thread, as Kafka's `wakeup` does.
///
/// A waiting poll returns [`ConsumeError::Wakeup`](crate::ConsumeError::Wakeup): at once if it
/// sleeps, otherwise at its next attempt, within a millisecond. Without a waiting poll, the call is
/// remembered: the next poll returns the error even if there are records, and the position does not
/// move. Several calls before a poll count as one. The thread that receives the error sees
/// everything that the caller did before the call.
///
/// Handles can be cloned and sent to other threads, and may outlive the consumer.
///
/// ```
/// use ringlog::{Broker, ConsumeError, ConsumerConfig, TopicConfig};
/// use std::time::Duration;
///
/// let broker = Broker::new();
/// broker.create_topic("orders", TopicConfig::new())?;
/// let mut consumer = broker.consumer(ConsumerConfig::new())?;
/// consumer.subscribe(["orders"])?;
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
    /// Ends the waiting poll, or else the next one.
    pub fn wakeup(&self) {
        // Release, to `wakeup.take` in the ended poll: what the caller did before.
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
