//! A partition as a member of a group owns it: the ownership, the gate, and what polls, commits and
//! seeks do with them.
//!
//! The member's cursor has a pin. What the group holds back under `Backpressure` is held by the
//! gate, which belongs to the owner while there is one (`group/ownership.rs`).

use super::assigned_partition::AssignedPartition;
use crate::group::{Grant, GroupGate, Ownership, PartitionKey, ReleasedPartition};
use crate::log::segment_pool::SpareSegment;
use std::sync::Arc;

/// What a consumer has of a partition that it owns in a group.
pub(super) struct OwnedPartition {
    ownership: Arc<Ownership>,
    gate: Option<GroupGate>,
    /// The segment that the gate holds. Without a gate: `u64::MAX`, which no cursor reaches.
    gate_segment: u64,
    /// The spare segment that pays for the cursor's pin.
    _spare: SpareSegment,
}

impl OwnedPartition {
    /// Holds what lies from `offset` on, and nothing before it.
    pub(super) fn hold_from(&mut self, offset: u64) {
        if let Some(gate) = &mut self.gate {
            gate.hold_from(offset);
            self.gate_segment = gate.held_segment();
        }
    }

    /// Before the cursor seeks to `offset`: holds what lies from there on too, and never less than
    /// before.
    pub(super) fn hold_also_from(&mut self, offset: u64) {
        if self
            .gate
            .as_ref()
            .is_some_and(|gate| offset < gate.held_from())
        {
            self.hold_from(offset);
        }
    }

    /// Before the cursor seeks to the log start: holds all that is retained.
    pub(super) fn hold_all(&mut self) {
        if let Some(gate) = &mut self.gate {
            gate.hold_all();
            self.gate_segment = gate.held_segment();
        }
    }

    /// After records were deleted: holds nothing of them any more.
    pub(super) fn skip_deleted(&mut self) {
        if let Some(gate) = &mut self.gate {
            gate.skip_deleted();
            self.gate_segment = gate.held_segment();
        }
    }

    /// Whether the gate needs no move to hold exactly from this segment on.
    fn holds_from_segment(&self, number: u64) -> bool {
        self.gate_segment == number || self.gate.is_none()
    }
}

impl AssignedPartition {
    /// The partition of a grant, from the moment that the member owns it.
    pub(super) fn from_grant(grant: Grant) -> AssignedPartition {
        let spare = grant.topic.pool().spare();
        let mut assigned = AssignedPartition::join_ungated(&grant.topic, grant.partition);
        if let Some(start) = grant.start {
            assigned.resume_at(start);
        }
        assigned.owned = Some(OwnedPartition {
            gate_segment: grant
                .gate
                .as_ref()
                .map_or(u64::MAX, GroupGate::held_segment),
            ownership: grant.ownership,
            gate: grant.gate,
            _spare: spare,
        });
        assigned
    }

    /// The ownership, if the consumer reads the partition as a member of a group.
    pub(super) fn ownership(&self) -> Option<&Arc<Ownership>> {
        self.owned.as_ref().map(|owned| &owned.ownership)
    }

    pub(super) fn is_owned_by(&self, ownership: &Arc<Ownership>) -> bool {
        let own = self.ownership();
        own.is_some_and(|own| Arc::ptr_eq(own, ownership))
    }

    /// Commits the position that polls have reached, if `commit` says so. Returns `false` if the
    /// gate holds an older segment than the cursor's, so that it can move forward.
    #[inline(always)]
    pub(super) fn follow_reads(&self, commit: bool) -> bool {
        // A position that was sought and is not reached yet is not committed.
        let (Some(owned), Some(position), true) = (
            &self.owned,
            self.cursor.resolved_position(),
            self.positioned,
        ) else {
            return true;
        };
        if commit {
            owned.ownership.commit(position);
        }
        self.cursor.segment_number() <= owned.gate_segment
    }

    /// Moves the gate to the position. The caller has checked that the member is not fenced (P14).
    pub(super) fn move_gate(&mut self) {
        let position = self.cursor.position();
        if let Some(owned) = &mut self.owned {
            owned.hold_from(position);
        }
    }

    /// After a commit: holds from the committed offset on, or from the position if that is lower.
    pub(super) fn hold_uncommitted(&mut self, committed: u64) {
        let from = committed.min(self.cursor.position());
        let in_cursor_segment = self.cursor.is_in_segment_of(from);
        let number = self.cursor.segment_number();
        if let Some(owned) = &mut self.owned {
            if !(in_cursor_segment && owned.holds_from_segment(number)) {
                owned.hold_from(from);
            }
        }
    }

    /// What the coordinator gets back; `None` if the partition is not owned in a group.
    pub(super) fn release(&mut self) -> Option<ReleasedPartition> {
        let ownership = self.ownership()?.clone();
        Some(ReleasedPartition {
            key: PartitionKey::new(&self.topic, self.partition),
            ownership,
            gate: self.take_gate(),
        })
    }

    pub(super) fn take_gate(&mut self) -> Option<GroupGate> {
        self.owned.as_mut()?.gate.take()
    }
}
