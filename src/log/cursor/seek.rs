//! Sending a cursor elsewhere. A seek remembers where to, and under a gate holds it back; the next
//! poll finds the frame.

use super::{Cursor, CursorPosition, OutOfRange};
use crate::log::segment::Kind;
use crate::sync::spin_loop;

impl Cursor {
    /// Goes to an offset where a reader before it was, lazily. What has gone of the log from
    /// there on counts as lost.
    pub(crate) fn resume_at(&mut self, offset: u64) {
        self.seek(offset);
        self.place = CursorPosition::Known;
    }

    /// Goes to `offset`, lazily: the next poll finds it, or finds it outside. What is retained
    /// from there on now is held back from now if the partition is gated.
    pub(crate) fn seek(&mut self, offset: u64) {
        self.sought = offset;
        self.place = CursorPosition::Sought;
        self.show();
        loop {
            let located = self.partition.locate(offset);
            if located.is_some() && offset <= self.partition.log_end_offset() {
                self.place = CursorPosition::Known;
            }
            let number = located.unwrap_or_else(|| self.partition.first());
            if !self.gate || self.hold(number) {
                return;
            }
            self.place = CursorPosition::Sought;
            spin_loop();
        }
    }

    /// Goes to the first offset retained.
    pub(crate) fn go_to_start(&mut self) {
        loop {
            let number = self.partition.log_start();
            if self.hold(number) {
                // Held, it keeps its place in the table, but this thread may not see it yet.
                if let Some(segment) = self.partition.segment(number).cloned() {
                    let base = segment.base();
                    self.enter(number, segment, base);
                    let deleted_before = self.partition.deleted_before();
                    if deleted_before > self.base {
                        self.seek(deleted_before);
                    }
                    // The floor is retained, unless the log goes on meanwhile.
                    if self.place != CursorPosition::Sought {
                        self.show();
                        return;
                    }
                }
            }
            spin_loop();
        }
    }

    /// Goes past the last offset claimed.
    pub(crate) fn go_to_end(&mut self) {
        loop {
            let number = self.partition.active();
            if self.hold(number) {
                if let Some(segment) = self.partition.segment(number).cloned() {
                    let base = segment.base();
                    self.enter(number, segment, base);
                    // A claim's end is where a frame begins, published or not.
                    self.slot = self.segment.state().records();
                    self.show();
                    return;
                }
            }
            spin_loop();
        }
    }

    /// When records were deleted: if this cursor was before them, the next poll finds it overtaken.
    /// A gate goes on to where reading begins now.
    pub(crate) fn skip_deleted(&mut self) {
        let position = self.position();
        if position >= self.partition.deleted_before() {
            return;
        }
        let place = match self.place {
            CursorPosition::There => CursorPosition::Known,
            sought => sought,
        };
        self.seek(position);
        self.place = place;
    }

    /// Goes to the log start after having been overtaken, and counts what it missed; answers that.
    pub(crate) fn catch_up(&mut self) -> u64 {
        let from = self.position();
        self.go_to_start();
        let lost = self.position() - from;
        self.lost += lost;
        lost
    }

    /// Finds the frame of the offset sought; `false` while a frame before it is unpublished,
    /// so that nobody can say where it begins.
    #[cold]
    pub(super) fn resolve(&mut self) -> Result<bool, OutOfRange> {
        let (number, segment) = loop {
            let Some(number) = self.partition.locate(self.sought) else {
                return Err(match self.place {
                    CursorPosition::Known => OutOfRange::Overtaken,
                    _ => OutOfRange::Sought,
                });
            };
            if self.hold(number) {
                if let Some(segment) = self.partition.segment(number).cloned() {
                    break (number, segment);
                }
            }
            spin_loop();
        };
        let count = segment.state().records();
        let wanted = self.sought - segment.base();
        if wanted > u64::from(count) {
            return Err(OutOfRange::Sought);
        }
        let wanted = wanted as u32;
        // Where a claim ends, a frame begins; and one begins at 0. Otherwise the frame that
        // holds the slot, or the one before it, is the nearest with a descriptor.
        let mut slot = wanted;
        if wanted != 0 && wanted != count {
            let mut descriptor = segment.descriptor(slot);
            while descriptor.is_empty() && slot > 0 {
                slot -= 1;
                descriptor = segment.descriptor(slot);
            }
            let end = slot + descriptor.slots();
            if descriptor.is_empty() || end < wanted {
                return Ok(false);
            }
            if end == wanted || descriptor.kind() == Kind::Aborted {
                slot = end;
            }
        }
        let base = segment.base();
        self.enter(number, segment, base);
        self.skip = wanted.saturating_sub(slot);
        self.slot = slot;
        Ok(true)
    }
}
