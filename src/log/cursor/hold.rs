//! The cursor's hold on its segment: a pin, or a gate under `Backpressure` (`log/holds.rs`).

use super::files::IN_FILES;
use super::{Cursor, CursorPosition};
use crate::log::holds::{Hold, NO_SEGMENT};
use crate::log::segment::Kind;
use std::sync::Arc;

impl Cursor {
    /// The cursor's entry in the list of the partition's holds.
    pub(crate) fn hold(&self) -> &Arc<Hold> {
        &self.hold
    }

    /// The segment that the hold is known to be in force for; [`NO_SEGMENT`] if there is none.
    pub(crate) fn held_segment(&self) -> u64 {
        self.held
    }

    /// Releases a pin, so that a consumer has one pin at a time in its many partitions. A gate
    /// stays.
    pub(crate) fn unpin(&mut self) {
        if !self.gate && self.held != NO_SEGMENT && self.held != IN_FILES {
            self.held = NO_SEGMENT;
            self.hold.set(NO_SEGMENT);
        }
    }

    /// Holds segment `number`; `false` if the log start has passed it.
    #[inline]
    pub(super) fn try_hold(&mut self, number: u64) -> bool {
        if self.held == number {
            return self.gate || self.partition.log_start() <= number;
        }
        if number == IN_FILES {
            self.held = number; // released by `unpin`; a chunk needs no hold
            return true;
        }
        if self.gate {
            self.hold.set(number);
        } else {
            self.hold.pin(number);
        }
        let live = self.partition.confirm_hold(number);
        self.held = if live { number } else { NO_SEGMENT };
        if !live && !self.gate {
            // A pin that failed must not stay: nothing else would release it, and the segment may
            // be idle in the pool. (A gate is set again before anything else happens.)
            self.hold.set(NO_SEGMENT);
        }
        live
    }

    /// When a batch has ended: moves a gate out of a segment that has been read to its end, so that
    /// producers that wait for room need not wait until this partition's turn comes.
    #[inline]
    pub(crate) fn advance_gate(&mut self) {
        if self.gate
            && self.located == CursorPosition::Resolved
            && self.descriptor().kind() == Kind::End
        {
            self.next_segment();
        }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.partition.readers().leave(&self.hold);
    }
}
