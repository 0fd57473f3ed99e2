//! Whether a group holds records back under `Backpressure`. Under the group's lock
//! (`coordinator/mod.rs` has G2).
//!
//! A group that holds back nothing has no gates, so it may be lapped as under `DropOldest`. Its
//! members agree on that, since the gate of a partition outlives their ownerships. A group without
//! members takes the setting of the next consumer that joins it or commits for it.

use super::Coordinator;
use crate::error::ConsumeError;
use crate::topic::TopicSubscription;

impl Coordinator {
    /// Refuses a consumer whose setting differs from that of the members.
    pub(super) fn check_hold_back(&self, holds_back: bool) -> Result<(), ConsumeError> {
        if holds_back != self.holds_back && !self.members.is_empty() {
            return Err(ConsumeError::OtherHoldBack {
                group: self.name.clone(),
                holds_back: self.holds_back,
            });
        }
        Ok(())
    }

    /// Changes the setting of a group without members.
    pub(super) fn set_hold_back(&mut self, holds_back: bool) {
        if holds_back == self.holds_back {
            return;
        }
        // The new inboxes are open before the old ones are emptied and closed, so no partition is
        // missed. One that is in both is taken in once.
        let new = self.subscriptions.iter().map(|old| {
            let mut new = TopicSubscription::new(old.topic(), holds_back);
            new.subscribe();
            new
        });
        let new = new.collect();
        self.take_added();
        self.holds_back = holds_back;
        self.subscriptions = new;
        for partition in self.partitions.values_mut() {
            partition.set_hold_back(holds_back);
        }
    }
}
