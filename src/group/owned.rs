//! What a member has of the partitions that it owns.

use super::place::{Grant, Key, Returned};
use super::tenure::{GroupGate, Ownership};
use crate::assigned::{AssignedPartition, TopicSubscription};
use crate::consumer::TopicPartition;
use std::sync::Arc;

/// What a consumer has of a partition that it owns in a group.
pub(crate) struct OwnedPartition {
    pub(super) ownership: Arc<Ownership>,
    gate: Option<GroupGate>,
    /// The segment that the gate holds; without a gate, one that no cursor comes to.
    gate_at: u64,
    /// For the cursor's pin.
    _subscription: TopicSubscription,
}

impl OwnedPartition {
    pub(crate) fn ownership(&self) -> &Arc<Ownership> {
        &self.ownership
    }

    pub(super) fn hold(&mut self, offset: u64) {
        if let Some(gate) = &mut self.gate {
            gate.go(offset);
            self.gate_at = gate.held();
        }
    }

    pub(super) fn holds(&self, segment: u64) -> bool {
        self.gate_at == segment || self.gate.is_none()
    }

    /// Holds all that is retained, before the cursor goes to its start.
    pub(crate) fn hold_all(&mut self) {
        if let Some(gate) = &mut self.gate {
            gate.go_to_start();
            self.gate_at = gate.held();
        }
    }

    /// When records were deleted: nothing of them is held any more.
    pub(crate) fn skip_deleted(&mut self) {
        if let Some(gate) = &mut self.gate {
            gate.skip_deleted();
            self.gate_at = gate.held();
        }
    }

    /// Before the cursor is sent to an offset: holds what lies from there on too. Never less than
    /// before.
    pub(crate) fn hold_back_to(&mut self, offset: u64) {
        if self.gate.as_ref().is_some_and(|gate| offset < gate.from()) {
            self.hold(offset);
        }
    }
}

impl AssignedPartition {
    /// What a member has come to own.
    pub(super) fn own(grant: Grant) -> AssignedPartition {
        let subscription = TopicSubscription::new(&grant.topic);
        let mut assigned = AssignedPartition::join_ungated(&grant.topic, grant.partition);
        if let Some(start) = grant.start {
            assigned.resume_at(start);
        }
        assigned.owned = Some(OwnedPartition {
            gate_at: grant.gate.as_ref().map_or(u64::MAX, GroupGate::held),
            ownership: grant.ownership,
            gate: grant.gate,
            _subscription: subscription,
        });
        assigned
    }

    /// Commits the position, if that is to be; `false` if the gate can move on.
    #[inline(always)]
    pub(super) fn keep_up(&self, commit: bool) -> bool {
        // Where it was sent and has not come to yet is nothing to commit.
        let (Some(owned), Some(position), true) =
            (&self.owned, self.cursor.reached(), self.positioned)
        else {
            return true;
        };
        if commit {
            owned.ownership.commit(position);
        }
        self.cursor.segment_number() <= owned.gate_at
    }

    pub(super) fn is_in(&self, ownership: &Arc<Ownership>) -> bool {
        let owned = self.owned.as_ref();
        owned.is_some_and(|owned| Arc::ptr_eq(&owned.ownership, ownership))
    }

    fn key(&self) -> Key {
        (self.topic.name().clone(), self.partition)
    }

    pub(super) fn named(&self) -> TopicPartition {
        TopicPartition::new(&**self.topic.name(), self.partition)
    }
}

/// What goes back to the coordinator of a partition that was owned.
pub(super) fn give_up(assigned: &mut AssignedPartition) -> Option<Returned> {
    let ownership = assigned.owned.as_ref()?.ownership.clone();
    Some(Returned {
        key: assigned.key(),
        ownership,
        gate: take_gate(assigned),
    })
}

pub(super) fn take_gate(assigned: &mut AssignedPartition) -> Option<GroupGate> {
    assigned.owned.as_mut()?.gate.take()
}
