//! A group's gate: its hold on a partition's log under `Backpressure`.

use crate::log::cursor::Cursor;
use crate::log::holds::Hold;
use crate::log::partition::Partition;
use crate::log::segment_pool::SpareSegment;
use std::sync::Arc;

/// A group's hold on a partition's log. It keeps what is retained from some offset on.
pub(crate) struct GroupGate {
    pub(super) cursor: Cursor,
    _spare: SpareSegment,
}

impl GroupGate {
    /// A gate at the log start, or none under `DropOldest`.
    pub(crate) fn join(log: &Arc<Partition>) -> Option<GroupGate> {
        log.is_gated().then(|| GroupGate {
            _spare: log.pool().spare(),
            cursor: Cursor::join(log),
        })
    }

    /// The gate of a partition that was just added, by its hold, which is in force; none under
    /// `DropOldest`. And the partition's first offset.
    pub(crate) fn of_added(log: &Arc<Partition>, hold: Arc<Hold>) -> (Option<GroupGate>, u64) {
        let gate = GroupGate {
            _spare: log.pool().spare(),
            cursor: Cursor::with_hold(hold, log),
        };
        let start = gate.from();
        (log.is_gated().then_some(gate), start)
    }

    /// After records were deleted: holds nothing of them any more.
    pub(crate) fn skip_deleted(&mut self) {
        self.cursor.skip_deleted();
    }

    /// Holds what is retained from `offset` on.
    pub(crate) fn go(&mut self, offset: u64) {
        self.cursor.seek(offset);
    }

    /// Holds all that is retained; returns the first offset.
    pub(crate) fn go_to_start(&mut self) -> u64 {
        self.cursor.go_to_start();
        self.cursor.position()
    }

    /// Holds the last segment; returns the end of the log.
    pub(crate) fn go_to_end(&mut self) -> u64 {
        self.cursor.go_to_end();
        self.cursor.position()
    }

    /// The offset from which on it holds what is retained.
    pub(crate) fn from(&self) -> u64 {
        self.cursor.position()
    }

    /// The segment it holds, as far as it is known.
    pub(crate) fn held(&self) -> u64 {
        self.cursor.held_segment()
    }
}
