//! The producer count: any number of shared producers, or one exclusive producer (rows P9, P17).
//!
//! ```text
//!  63          62                                  0
//! | exclusive | shared producers that are alive     |
//! ```
//!
//! A shared producer counts itself in when it is created, and may send once it finds no exclusive
//! producer: it looks before its first claim. An exclusive producer enters only if the whole word
//! is zero.

use super::shared::TopicShared;
use crate::error::TopicError;
use crate::sync::ord;

/// Set while an exclusive producer lives.
const EXCLUSIVE: u64 = 1 << 63;

impl TopicShared {
    /// Counts a shared producer in, and returns how many were counted before it. It may not send
    /// before [`has_exclusive_producer`](Self::has_exclusive_producer) has returned `false` to it.
    pub(crate) fn enter_shared(&self) -> u64 {
        self.producers.fetch_add(1, ord!(Relaxed)) & !EXCLUSIVE
    }

    /// Whether an exclusive producer lives. Once this is false, it stays so while the caller is
    /// counted in as a shared producer.
    pub(crate) fn has_exclusive_producer(&self) -> bool {
        // Acquire: the last claims of an exclusive producer that left (`topic.leave_producer`). The
        // caller's own `enter_shared` carries that release on: it is a read-modify-write.
        // (`TopicShared::close` relies on row P17 instead.)
        self.producers
            .load(ord!("topic.has_exclusive_producer", P9, Acquire))
            & EXCLUSIVE
            != 0
    }

    /// Makes the caller the only producer.
    ///
    /// # Errors
    /// [`TopicError::ProducersExist`] if there is any other.
    pub(crate) fn enter_exclusive(&self) -> Result<(), TopicError> {
        // Acquire: the last claims of the producers that left.
        let entered = self.producers.compare_exchange(
            0,
            EXCLUSIVE,
            ord!("topic.enter_exclusive", P9, Acquire),
            ord!(Relaxed),
        );
        if let Err(word) = entered {
            return Err(TopicError::ProducersExist {
                topic: self.name().clone(),
                shared: word & !EXCLUSIVE,
                exclusive: word / EXCLUSIVE,
            });
        }
        // See `TopicShared::close`.
        self.state
            .fetch_or(0, ord!("topic.enter_exchange", P17, Release));
        Ok(())
    }

    /// How many producers live, shared and exclusive.
    pub(crate) fn producer_count(&self) -> u64 {
        let word = self.producers.load(ord!(Relaxed));
        (word & !EXCLUSIVE) + u64::from(word & EXCLUSIVE != 0)
    }

    /// Counts a producer out. Release: the next producer sees its last claims.
    pub(crate) fn leave_producer(&self, exclusive: bool) {
        let one = if exclusive { EXCLUSIVE } else { 1 };
        self.producers
            .fetch_sub(one, ord!("topic.leave_producer", P9, Release));
        if exclusive {
            // See `TopicShared::close`.
            self.state
                .fetch_or(0, ord!("topic.leave_exchange", P17, Release));
            if self.is_closed() {
                // `close` checks for an exclusive producer again. The next one may have entered
                // before the topic was closed; then ending the logs is left to that one.
                self.close();
            }
        }
    }
}
