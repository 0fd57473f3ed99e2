//! What a group knows of a partition: whose it is, what is committed, and what is held back while
//! it is nobody's. Under the coordinator's lock, as all of it (`coordinator.rs` has G1 and G2).

use super::Coordinator;
use crate::error::ConsumeError;
use crate::group::assignor::MemberId;
use crate::group::gate::GroupGate;
use crate::group::ownership::{MemberSignals, Ownership};
use crate::group::partition_state::{Grant, GroupPartition, Returned};
use crate::log::cursor::OffsetReset;
use crate::topic::{AddedPartition, TopicShared, TopicSubscription};
use std::sync::Arc;

impl Coordinator {
    // ---- partitions that are added ------------------------------------------------------

    /// From now on nothing is missed of partitions that are added to this topic.
    pub(super) fn watch_topic(&mut self, topic: &Arc<TopicShared>) {
        if !self
            .subscriptions
            .iter()
            .any(|subscription| Arc::ptr_eq(subscription.topic(), topic))
        {
            let mut subscription = TopicSubscription::new(topic);
            subscription.subscribe();
            self.subscriptions.push(subscription);
        }
    }

    /// What was added to the group's topics is to be read from its first record on, whatever the
    /// members' [`OffsetReset`].
    pub(super) fn take_added(&mut self) {
        for subscription in &self.subscriptions {
            let topic = subscription.topic();
            for AddedPartition { partition, hold } in subscription.take_added() {
                let (gate, start) = GroupGate::of_added(topic.partition(partition), hold);
                let key = (topic.name().clone(), partition);
                let place = self
                    .places
                    .entry(key)
                    .or_insert_with(|| GroupPartition::new(topic));
                if Arc::ptr_eq(&place.topic, topic) && place.start.is_none() {
                    (place.gate, place.start) = (gate, Some(start));
                }
            }
        }
    }

    // ---- ownership ----------------------------------------------------------------------

    /// Gives a member all that is meant for it and has no owner (G1).
    pub(super) fn take(&mut self, id: MemberId, reset: OffsetReset) -> Vec<Grant> {
        let mut grants = Vec::new();
        for (&(_, partition), place) in &mut self.places {
            if place.target != Some(id) || place.owner.is_some() {
                continue;
            }
            let mut gate = place.gate.take();
            match &mut gate {
                Some(gate) => gate.skip_deleted(),
                None => gate = GroupGate::join(place.topic.partition(partition)),
            }
            if place.start.is_none() {
                place.start = begin(&place.topic, partition, reset, &mut gate);
            }
            let ownership = Arc::new(Ownership::new(gate.as_ref(), &place.lost));
            place.owner = Some((id, ownership.clone()));
            grants.push(Grant {
                topic: place.topic.clone(),
                partition,
                ownership,
                gate,
                start: place.start,
            });
        }
        grants
    }

    /// Takes partitions back from their owner, by its own hand, with the gates that it had. It is
    /// the tenure that counts: one of a topic that was deleted is not one of the next topic of
    /// that name.
    pub(crate) fn release(
        &mut self,
        signals: &MemberSignals,
        released: impl Iterator<Item = Returned>,
    ) {
        if signals.fenced().is_some() {
            return;
        }
        for Returned {
            key,
            ownership,
            gate,
        } in released
        {
            let Some(place) = self.places.get_mut(&key) else {
                continue;
            };
            let owner = place.owner.as_ref();
            if !owner.is_some_and(|(_, t)| Arc::ptr_eq(t, &ownership)) {
                continue;
            }
            let committed = place.owner.as_ref().and_then(|(_, t)| t.committed());
            place.end_ownership(committed);
            rest(place, key.1, gate);
            let target = place.target.and_then(|target| self.members.get(&target));
            if let Some(signals) = target.and_then(|member| member.signals.as_ref()) {
                signals.signal();
            }
        }
        self.signal_if_free();
    }

    // ---- commits ------------------------------------------------------------------------

    /// Commits several partitions of one owner, all of them or, if it is fenced, none.
    pub(crate) fn commit_owned<'t>(
        &self,
        signals: &MemberSignals,
        generation: u64,
        commits: impl Iterator<Item = (&'t Ownership, u64)>,
    ) -> Result<(), ConsumeError> {
        if let Some(reason) = signals.fenced() {
            return Err(self.fenced(generation, reason));
        }
        for (ownership, offset) in commits {
            ownership.commit(offset);
        }
        Ok(())
    }

    /// Commits from outside, which only a group without members allows.
    pub(crate) fn commit_unowned(
        &mut self,
        commits: &[(Arc<TopicShared>, u32, u64)],
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
        for (topic, partition, offset) in commits {
            let key = (topic.name().clone(), *partition);
            let place = self
                .places
                .entry(key)
                .or_insert_with(|| GroupPartition::new(topic));
            if !Arc::ptr_eq(&place.topic, topic) {
                *place = GroupPartition::new(topic);
            }
            place.commit(*partition, *offset);
        }
        Ok(())
    }

    /// What is committed in a partition of this very topic.
    pub(crate) fn committed(&self, topic: &Arc<TopicShared>, partition: u32) -> Option<u64> {
        let place = self.places.get(&(topic.name().clone(), partition))?;
        let here = Arc::ptr_eq(&place.topic, topic);
        place.committed().filter(|_| here)
    }
}

/// A partition without an owner is held from where the next one begins (G2): by the gate that the
/// last one had, or by a new one.
pub(super) fn rest(place: &mut GroupPartition, partition: u32, gate: Option<GroupGate>) {
    let mut gate = gate.or_else(|| GroupGate::join(place.topic.partition(partition)));
    if let (Some(gate), Some(start)) = (&mut gate, place.start) {
        gate.go(start);
    }
    place.gate = gate;
}

/// Where a group begins in a partition that it has not read yet. It keeps that, so that what
/// comes between the first owner and its first commit is skipped by nobody.
fn begin(
    topic: &Arc<TopicShared>,
    partition: u32,
    reset: OffsetReset,
    gate: &mut Option<GroupGate>,
) -> Option<u64> {
    let log = topic.partition(partition);
    Some(match (reset, gate) {
        (OffsetReset::None, _) => return None,
        (OffsetReset::Earliest, Some(gate)) => gate.go_to_start(),
        (OffsetReset::Earliest, None) => log.log_start_offset(),
        (OffsetReset::Latest, Some(gate)) => gate.go_to_end(),
        (OffsetReset::Latest, None) => log.log_end_offset(),
    })
}
