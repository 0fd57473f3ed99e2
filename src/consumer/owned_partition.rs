//! A partition as a member of a group owns it: the ownership, the gate, and what polls, commits and
//! seeks do with them.
//!
//! The member's cursor has a pin. What the group holds back under `Backpressure` is held by the
//! gate, which belongs to the owner while there is one (`group/ownership.rs`).

use super::assigned_partition::AssignedPartition;
use crate::group::{Grant, GroupGate, MemberSignals, Ownership, PartitionKey, ReleasedPartition};
use crate::log::segment_pool::SpareSegment;
use crate::sync::{Count, lock_std as lock};
use crate::wait::defer_wakes;
// Not the facade's lock: in the models no thread waits for another under this lock.
use std::sync::{Arc, Mutex};

/// What a consumer has of a partition that it owns in a group.
pub(super) struct OwnedPartition {
    ownership: Arc<Ownership>,
    /// Locked while the gate moves: threads that share a batch may commit at the same time. The
    /// user's wakers do not run under this lock.
    gate: Mutex<Option<GroupGate>>,
    /// The segment that the gate holds. Without a gate: `u64::MAX`, which no cursor reaches.
    /// Written under the lock or by an exclusive borrow, so any ordering will do.
    gate_segment: Count,
    /// The spare segment that pays for the cursor's pin.
    _spare: SpareSegment,
}

impl OwnedPartition {
    /// Holds what lies from `offset` on, and nothing before it.
    pub(super) fn hold_from(&mut self, offset: u64) {
        self.with_gate(|gate| gate.hold_from(offset));
    }

    /// Before the cursor seeks to `offset`: holds what lies from there on too, and never less than
    /// before.
    pub(super) fn hold_also_from(&mut self, offset: u64) {
        self.with_gate(|gate| {
            if offset < gate.held_from() {
                gate.hold_from(offset);
            }
        });
    }

    /// Before the cursor seeks to the log start: holds all that is retained.
    pub(super) fn hold_all(&mut self) {
        self.with_gate(|gate| _ = gate.hold_all());
    }

    /// After records were deleted: holds nothing of them any more.
    pub(super) fn skip_deleted(&mut self) {
        self.with_gate(GroupGate::skip_deleted);
    }

    /// Moves the gate, if there is one.
    fn with_gate(&self, go: impl FnOnce(&mut GroupGate)) {
        let _deferred = defer_wakes();
        self.move_locked(&mut lock(&self.gate), go);
    }

    fn move_locked(&self, gate: &mut Option<GroupGate>, go: impl FnOnce(&mut GroupGate)) {
        if let Some(gate) = gate {
            go(gate);
            self.gate_segment.set(gate.held_segment());
        }
    }

    #[inline(always)]
    fn gate_segment(&self) -> u64 {
        self.gate_segment.get()
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
            gate_segment: Count::new(
                grant
                    .gate
                    .as_ref()
                    .map_or(u64::MAX, GroupGate::held_segment),
            ),
            ownership: grant.ownership,
            gate: Mutex::new(grant.gate),
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

    /// Commits the position, if `commit` says so. Returns `false` if the gate holds an older segment
    /// than the cursor's, so that it can move forward.
    ///
    /// It is for a partition whose last batch was returned as a whole.
    #[inline(always)]
    pub(super) fn follow_reads(&self, commit: bool) -> bool {
        let Some(owned) = &self.owned else {
            return true;
        };
        let (Some(position), true) = (self.cursor.resolved_position(), self.positioned) else {
            self.commit_target(commit);
            return true;
        };
        if commit {
            owned.ownership.commit(position);
        }
        self.cursor.segment_number() <= owned.gate_segment()
    }

    /// As [`follow_reads`](Self::follow_reads), for a partition of whose last batch a stream may not
    /// have returned all records yet.
    pub(super) fn follow_returned(&self, commit: bool) -> bool {
        match (&self.owned, self.unreturned) {
            (Some(owned), Some(next)) => {
                if commit {
                    owned.ownership.commit(next);
                }
                true // the gate follows when all of them have been returned
            }
            _ => self.follow_reads(commit),
        }
    }

    /// Publishes the last commit, if readers follow the group in this partition.
    #[inline(always)]
    pub(super) fn publish_committed(&self, signals: &MemberSignals) {
        let owned = self.owned.as_ref();
        if let Some(owned) = owned.filter(|owned| owned.ownership.is_watched()) {
            owned.ownership.publish_committed(signals);
        }
    }

    /// Commits a position that was sought, and that no poll has reached yet. One past the end is not
    /// committed: the next poll finds it out of range.
    #[cold]
    #[inline(never)]
    fn commit_target(&self, commit: bool) {
        let Some(owned) = self.owned.as_ref().filter(|_| commit && self.positioned) else {
            return;
        };
        let target = self.cursor.position();
        if target <= self.cursor.partition().log_end_offset() {
            owned.ownership.commit(target);
        }
    }

    /// Moves the gate to the position. The caller has checked that the member is not fenced (P14).
    pub(super) fn move_gate(&mut self) {
        let position = self.cursor.position();
        if let Some(owned) = &mut self.owned {
            owned.hold_from(position);
        }
    }

    /// After a valid commit: holds from the committed offset on, or from the position if that is
    /// lower.
    ///
    /// Threads that share a batch come here one after another, each after its own commit. So the
    /// last one holds from the last commit. That may be another thread's, so it is found valid here
    /// before the gate moves to it (P14 in `group/ownership.rs`).
    pub(super) fn hold_uncommitted(&self, signals: &MemberSignals) {
        let Some(owned) = &self.owned else { return };
        let _deferred; // dropped after the lock
        let mut gate = lock(&owned.gate);
        let Some(committed) = owned.ownership.committed() else {
            return;
        };
        let from = committed.min(self.cursor.position());
        let is_current = self.cursor.is_in_segment_of(from)
            && (owned.gate_segment() == self.cursor.segment_number() || gate.is_none());
        if !is_current && signals.is_commit_valid() {
            _deferred = defer_wakes();
            owned.move_locked(&mut gate, |gate| gate.hold_from(from));
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
        lock(&self.owned.as_ref()?.gate).take()
    }
}
