use super::shared::TopicShared;
use crate::sync::ord;

/// Set in the producers' word while an exclusive producer lives; the rest counts shared ones.
const EXCLUSIVE: u64 = 1 << 63;

impl TopicShared {
    /// Counts a shared producer in. Answers how many were there, and whether it may send: not
    /// while an exclusive producer lives.
    pub(crate) fn enter_shared(&self) -> (u64, bool) {
        let before = self
            .producers
            .fetch_add(1, ord!("topic.enter_shared", P9, Acquire));
        (before & !EXCLUSIVE, before & EXCLUSIVE == 0)
    }

    /// Whether the exclusive producer that was there is gone. None can come any more while
    /// the caller is counted in.
    pub(crate) fn is_shared(&self) -> bool {
        self.producers.load(ord!("topic.is_shared", P9, Acquire)) & EXCLUSIVE == 0
    }

    /// Makes the caller the only producer, or tells how many shared and exclusive there are.
    pub(crate) fn enter_exclusive(&self) -> Result<(), (u64, u64)> {
        // Acquire, from the producers that left: their last claims.
        self.producers
            .compare_exchange(
                0,
                EXCLUSIVE,
                ord!("topic.enter_exclusive", P9, Acquire),
                ord!(Relaxed),
            )
            .map_err(|word| (word & !EXCLUSIVE, word / EXCLUSIVE))?;
        self.state
            .fetch_or(0, ord!("topic.enter_alone", P17, Release));
        Ok(())
    }

    /// How many producers there are, the exclusive one among them.
    pub(crate) fn producers(&self) -> u64 {
        let word = self.producers.load(ord!(Relaxed));
        (word & !EXCLUSIVE) + u64::from(word & EXCLUSIVE != 0)
    }

    /// Counts a producer out. Release, to the next: its last claims.
    pub(crate) fn leave_producer(&self, exclusive: bool) {
        let one = if exclusive { EXCLUSIVE } else { 1 };
        self.producers
            .fetch_sub(one, ord!("topic.leave_producer", P9, Release));
        if exclusive {
            self.state
                .fetch_or(0, ord!("topic.leave_alone", P17, Release));
            if self.is_closed() {
                // Not without another look at who produces: the next such producer may have come
                // before the topic was closed, and then it is for that one.
                self.close();
            }
        }
    }
}
