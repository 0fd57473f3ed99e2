//! Wake-ups: ending a consumer's poll from another thread, and sending it to new topics.
//!
//! Each consumer has one word with two bits. Its handles set the one, a thread that creates a topic
//! which the consumer follows sets the other, and the consumer's poll clears them. A poll loads the
//! word once, and takes the slow path if it is not zero. The word has a cache line to itself (no
//! false sharing), so without wake-ups that line stays in the consumer's cache. Beside it is the
//! event count for what concerns this consumer alone.

use super::event_count::EventCount;
use crate::sync::{AtomicU64, ord};
use crossbeam_utils::CachePadded;
use std::fmt;
use std::sync::Arc;

/// Bit of the word: a handle was used.
const WOKEN: u64 = 1;

/// Bit of the word: topics were created that the consumer follows (`topic/follower.rs`).
const TOPICS_FOUND: u64 = 1 << 1;

/// The consumer's side of its wake-ups.
#[derive(Clone)]
pub(crate) struct Wakeup {
    word: Arc<CachePadded<AtomicU64>>,
    event_count: Arc<EventCount>,
}

impl Default for Wakeup {
    fn default() -> Self {
        Wakeup {
            word: Arc::new(CachePadded::new(AtomicU64::new(0))),
            event_count: Arc::new(EventCount::new(true)),
        }
    }
}

impl Wakeup {
    /// Whether a poll has to take the slow path. A hint; the calls that take a bit give the certain
    /// answer.
    #[inline(always)]
    pub(crate) fn is_set(&self) -> bool {
        self.word.load(ord!(Relaxed)) != 0
    }

    fn is_woken(&self) -> bool {
        self.word.load(ord!(Relaxed)) & WOKEN != 0
    }

    /// Whether a handle was used since the last `take`.
    pub(crate) fn take(&self) -> bool {
        self.take_bit(WOKEN)
    }

    /// Whether topics were found since the last call.
    pub(crate) fn take_topics_found(&self) -> bool {
        self.take_bit(TOPICS_FOUND)
    }

    /// Whether the bit is set. Clears it.
    fn take_bit(&self, bit: u64) -> bool {
        self.word.load(ord!(Relaxed)) & bit != 0 && {
            // Acquire, from `wakeup.set`: what the setting thread did before. All changes are
            // exchanges, so a bit that was set earlier brings its thread's actions as well.
            let word = self.word.fetch_and(!bit, ord!("wakeup.take", P12, Acquire));
            word & bit != 0
        }
    }

    fn set_bit(&self, bit: u64) {
        // Release, to `wakeup.take` in the poll: what the caller did before.
        self.word.fetch_or(bit, ord!("wakeup.set", P12, Release));
        self.event_count.notify();
    }

    /// Makes the consumer's next poll look for topics that it follows, and ends its sleep.
    pub(crate) fn set_topics_found(&self) {
        self.set_bit(TOPICS_FOUND);
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
        self.0.set_bit(WOKEN);
    }
}

impl fmt::Debug for WakeupHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WakeupHandle")
            .field("set", &self.0.is_woken())
            .finish()
    }
}
