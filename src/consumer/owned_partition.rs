//! What a member has of the partitions that it owns.

use super::assigned_partition::AssignedPartition;
use crate::group::{GroupGate, Ownership, ReleasedPartition};
use crate::log::segment_pool::SpareSegment;
use std::sync::Arc;

/// What a consumer has of a partition that it owns in a group.
pub(crate) struct OwnedPartition {
    pub(super) ownership: Arc<Ownership>,
    pub(super) gate: Option<GroupGate>,
    /// The segment that the gate holds; without a gate, one that no cursor comes to.
    pub(super) gate_at: u64,
    /// For the cursor's pin.
    pub(super) _spare: SpareSegment,
}

impl OwnedPartition {
    pub(crate) fn ownership(&self) -> &Arc<Ownership> {
        &self.ownership
    }

    pub(super) fn hold(&mut self, offset: u64) {
        if let Some(gate) = &mut self.gate {
            gate.hold_from(offset);
            self.gate_at = gate.held_segment();
        }
    }

    pub(super) fn holds(&self, segment: u64) -> bool {
        self.gate_at == segment || self.gate.is_none()
    }

    /// Holds all that is retained, before the cursor goes to its start.
    pub(crate) fn hold_all(&mut self) {
        if let Some(gate) = &mut self.gate {
            gate.hold_all();
            self.gate_at = gate.held_segment();
        }
    }

    /// When records were deleted: nothing of them is held any more.
    pub(crate) fn skip_deleted(&mut self) {
        if let Some(gate) = &mut self.gate {
            gate.skip_deleted();
            self.gate_at = gate.held_segment();
        }
    }

    /// Before the cursor is sent to an offset: holds what lies from there on too. Never less than
    /// before.
    pub(crate) fn hold_back_to(&mut self, offset: u64) {
        if self
            .gate
            .as_ref()
            .is_some_and(|gate| offset < gate.held_from())
        {
            self.hold(offset);
        }
    }
}

/// What goes back to the coordinator of a partition that was owned.
pub(super) fn give_up(assigned: &mut AssignedPartition) -> Option<ReleasedPartition> {
    let ownership = assigned.owned.as_ref()?.ownership.clone();
    Some(ReleasedPartition {
        key: assigned.key(),
        ownership,
        gate: take_gate(assigned),
    })
}

pub(super) fn take_gate(assigned: &mut AssignedPartition) -> Option<GroupGate> {
    assigned.owned.as_mut()?.gate.take()
}
