//! A group's gate: its hold on one partition's log under `Backpressure`.

use crate::log::cursor::{Cursor, OffsetReset};
use crate::log::holds::Hold;
use crate::log::partition::Partition;
use crate::log::segment_pool::SpareSegment;
use std::sync::Arc;

/// A group's hold on one partition's log. It keeps everything that is retained from some offset
/// on, and so holds back the log start.
///
/// It is a cursor that never reads. The spare stands in for the segment that the gate can keep
/// from reuse while it is set but not yet in force (`segment_pool.rs`).
pub(crate) struct GroupGate {
    cursor: Cursor,
    // Dropped after the cursor, whose hold it stands in for.
    _spare: SpareSegment,
}

impl GroupGate {
    /// A gate at the log start; `None` under `DropOldest`.
    pub(super) fn join(log: &Arc<Partition>) -> Option<GroupGate> {
        log.is_gated().then(|| GroupGate {
            _spare: log.pool().spare(),
            cursor: Cursor::join(log),
        })
    }

    /// The gate of a partition that was added, made from its hold, which is in force already;
    /// `None` under `DropOldest`, and for a group that holds back nothing.
    pub(super) fn of_added(
        log: &Arc<Partition>,
        hold: Arc<Hold>,
        holds_back: bool,
    ) -> Option<GroupGate> {
        let gate = GroupGate {
            _spare: log.pool().spare(),
            cursor: Cursor::with_hold(hold, holds_back, log),
        };
        (holds_back && log.is_gated()).then_some(gate)
    }

    /// After records were deleted: stops holding them.
    pub(crate) fn skip_deleted(&mut self) {
        self.cursor.skip_deleted();
    }

    /// Holds what is retained from `offset` on.
    pub(crate) fn hold_from(&mut self, offset: u64) {
        self.cursor.seek(offset);
    }

    /// Holds all that is retained. Returns its first offset.
    pub(crate) fn hold_all(&mut self) -> u64 {
        self.cursor.go_to_start();
        self.cursor.position()
    }

    /// Holds what is retained from where the policy begins, and returns that offset. Under
    /// [`OffsetReset::None`] there is none, and the gate stays.
    pub(super) fn reset(&mut self, policy: OffsetReset) -> Option<u64> {
        self.cursor.reset(policy).then(|| self.cursor.position())
    }

    /// The offset from which on it holds what is retained.
    pub(crate) fn held_from(&self) -> u64 {
        self.cursor.position()
    }

    /// The segment that it holds, as far as that is known.
    pub(crate) fn held_segment(&self) -> u64 {
        self.cursor.held_segment()
    }

    /// Its hold on the list of the partition's readers.
    pub(super) fn hold(&self) -> &Arc<Hold> {
        self.cursor.hold()
    }
}
