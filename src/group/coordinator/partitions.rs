//! The partitions of a group: added ones, ownership and commits. Under the group's lock
//! (`coordinator/mod.rs` has G1 and G2).

use super::Coordinator;
use crate::error::ConsumeError;
use crate::group::assignor::MemberId;
use crate::group::gate::GroupGate;
use crate::group::ownership::{MemberSignals, Ownership};
use crate::group::partition_state::{Grant, GroupPartition, PartitionKey, ReleasedPartition};
use crate::log::cursor::OffsetReset;
use crate::log::published_position::PublishedPosition;
use crate::topic::{AddedPartition, TopicShared, TopicSubscription};
use std::sync::Arc;

impl Coordinator {
    // ---- partitions that are added ------------------------------------------------------

    /// Subscribes the group to a topic, so that it misses no record of partitions that are added.
    pub(super) fn subscribe_group(&mut self, topic: &Arc<TopicShared>) {
        self.open_inbox(topic);
    }

    /// As [`subscribe_group`](Self::subscribe_group). Returns how many partitions the topic had:
    /// those do not arrive in the inbox. Zero if the group was subscribed before.
    pub(super) fn open_inbox(&mut self, topic: &Arc<TopicShared>) -> u32 {
        let mut known = self.subscriptions.iter();
        if known.any(|subscription| Arc::ptr_eq(subscription.topic(), topic)) {
            return 0;
        }
        let mut subscription = TopicSubscription::new(topic, self.holds_back);
        let partitions = subscription.subscribe();
        self.subscriptions.push(subscription);
        partitions
    }

    /// Takes in the partitions that were added to the group's topics, and all partitions of topics
    /// that were found (`following.rs`). They are read from the first
    /// record on, regardless of the members' [`OffsetReset`].
    pub(crate) fn take_added(&mut self) {
        for subscription in &self.subscriptions {
            let topic = subscription.topic();
            for AddedPartition { partition, hold } in subscription.take_added() {
                let holds_back = subscription.holds_back();
                let gate = GroupGate::of_added(topic.partition(partition), hold, holds_back);
                // What is not retained any more counts as lost, as for a consumer outside groups.
                let start = topic.origin().offset;
                let state = self.partitions.entry(PartitionKey::new(topic, partition));
                let new = || GroupPartition::new(topic, partition, holds_back);
                let state = state.or_insert_with(new);
                if state.topic().is_deleted() {
                    // `topic` may be its successor of the same name.
                    *state = new();
                }
                if state.is_of(topic) {
                    state.begin_at(start, gate);
                }
            }
        }
    }

    // ---- ownership ----------------------------------------------------------------------

    /// Grants a member all partitions whose target it is and that have no owner (G1).
    pub(super) fn grant_unowned(&mut self, id: MemberId, reset: OffsetReset) -> Vec<Grant> {
        let targets = self.partitions.values_mut();
        let unowned = targets.filter(|p| p.target == Some(id) && !p.is_owned());
        unowned.map(|p| p.grant(id, reset)).collect()
    }

    /// Takes partitions back from their owner, by the owner's own call, with the gates that it
    /// had.
    ///
    /// A partition is identified by its ownership. Its name is not enough: the topic may have been
    /// deleted, and another one created with the same name.
    pub(crate) fn release(
        &mut self,
        signals: &MemberSignals,
        released: impl Iterator<Item = ReleasedPartition>,
    ) {
        if signals.fence_reason().is_some() {
            return;
        }
        for ReleasedPartition {
            key,
            ownership,
            gate,
        } in released
        {
            let Some(partition) = self.partitions.get_mut(&key) else {
                continue;
            };
            if !partition.release(&ownership, gate) {
                continue;
            }
            let target = partition.target.and_then(|id| self.members.get(&id));
            if let Some(signals) = target.and_then(|member| member.signals.as_ref()) {
                signals.signal();
            }
        }
        self.signal_if_all_released();
    }

    // ---- commits ------------------------------------------------------------------------

    /// Commits several partitions of one owner: all of them or, if it is fenced off, none.
    pub(crate) fn commit_owned<'t>(
        &self,
        signals: &MemberSignals,
        generation: u64,
        commits: impl Iterator<Item = (&'t Ownership, u64)>,
    ) -> Result<(), ConsumeError> {
        if let Some(reason) = signals.fence_reason() {
            return Err(self.fenced_error(generation, reason));
        }
        for (ownership, offset) in commits {
            ownership.commit(offset);
            ownership.publish(offset);
        }
        Ok(())
    }

    /// Commits for a consumer that is not a member. Refused while the group has members. From then
    /// on the group holds records back if the consumer does.
    pub(crate) fn commit_unowned(
        &mut self,
        commits: &[(Arc<TopicShared>, u32, u64)],
        holds_back: bool,
    ) -> Result<(), ConsumeError> {
        if !self.members.is_empty() {
            return Err(ConsumeError::NotAMember {
                group: self.name.clone(),
                members: self.members.len(),
            });
        }
        for (topic, ..) in commits {
            topic.refuse_deleted::<ConsumeError>()?;
        }
        self.set_hold_back(holds_back);
        // Otherwise the hold in the inbox would stay, beside the gate at the committed offset.
        self.take_added();
        for (topic, partition, offset) in commits {
            self.partition_of(topic, *partition).commit_unowned(*offset);
        }
        Ok(())
    }

    /// The group's published position in a partition of this very topic. `None` if the topic is
    /// deleted.
    pub(crate) fn watch(
        &mut self,
        topic: &Arc<TopicShared>,
        partition: u32,
    ) -> Option<Arc<PublishedPosition>> {
        // Under the lock: a topic that is deleted after this check is forgotten after it, too.
        (!topic.is_deleted()).then(|| self.partition_of(topic, partition).watch())
    }

    /// The committed offset of a partition of this very topic.
    pub(crate) fn committed(&self, topic: &Arc<TopicShared>, partition: u32) -> Option<u64> {
        let state = self.partitions.get(&PartitionKey::new(topic, partition))?;
        state.committed().filter(|_| state.is_of(topic))
    }
}
