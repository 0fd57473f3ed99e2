//! Moving a cursor to another offset.
//!
//! A seek is lazy: it stores the target, and with a gate holds what is retained from there on. The
//! next poll resolves it, that is, finds the frame.

use super::files::FileLookup;
use super::{Cursor, CursorPosition, OutOfRange};
use crate::log::segment::{Kind, Segment};
use crate::sync::spin_loop;

impl Cursor {
    /// Seeks an offset that an earlier reader has reached. Offsets from there on that are not
    /// retained any more count as lost.
    pub(crate) fn resume_at(&mut self, offset: u64) {
        self.seek(offset);
        self.located = CursorPosition::Retained;
    }

    /// Seeks `offset`: the next poll finds it, or reports that it is out of range. A cursor with a
    /// gate holds what is retained from there on, from now on.
    pub(crate) fn seek(&mut self, offset: u64) {
        self.seek_target = offset;
        self.located = CursorPosition::Unverified;
        self.report_position();
        loop {
            let found = self.partition.locate(offset);
            if found.is_some() && offset <= self.partition.log_end_offset() {
                self.located = CursorPosition::Retained;
            }
            let number = found.unwrap_or_else(|| self.partition.first_readable());
            if !self.gate || self.try_hold(number) {
                return;
            }
            self.located = CursorPosition::Unverified;
            spin_loop();
        }
    }

    /// Moves to the first offset retained.
    pub(crate) fn go_to_start(&mut self) {
        if self.reads_files() {
            let start = self.partition.log_start_offset();
            if start < self.partition.ring_start_offset() {
                return self.resume_at(start);
            }
        }
        self.go_to_ring_start();
    }

    /// Moves to the first offset that the ring retains.
    pub(super) fn go_to_ring_start(&mut self) {
        loop {
            let number = self.partition.log_start();
            if self.try_hold(number) {
                // While it is held it stays in the table, but this thread may not see it yet.
                if let Some(segment) = self.partition.segment(number).cloned() {
                    let base = segment.base();
                    self.enter(number, segment, base);
                    let deleted_before = self.partition.deleted_before();
                    if deleted_before > self.base {
                        self.seek(deleted_before);
                    }
                    // That offset is retained, unless the log start has passed it meanwhile.
                    if self.located != CursorPosition::Unverified {
                        self.report_position();
                        return;
                    }
                }
            }
            spin_loop();
        }
    }

    /// Moves past the last offset claimed.
    pub(crate) fn go_to_end(&mut self) {
        loop {
            let number = self.partition.active();
            if self.try_hold(number) {
                if let Some(segment) = self.partition.segment(number).cloned() {
                    let base = segment.base();
                    self.enter(number, segment, base);
                    // A claim's end is where a frame begins, published or not.
                    self.slot = self.segment.state().records();
                    self.report_position();
                    return;
                }
            }
            spin_loop();
        }
    }

    /// Follows a deletion of records: if the cursor is before the offset up to which they were
    /// deleted, the next poll finds it overtaken. A gate moves on to where reading begins now.
    pub(crate) fn skip_deleted(&mut self) {
        let position = self.position();
        if position >= self.partition.deleted_before() {
            return;
        }
        let located = match self.located {
            CursorPosition::Resolved => CursorPosition::Retained,
            unresolved => unresolved,
        };
        self.seek(position);
        self.located = located;
    }

    /// Moves an overtaken cursor to the log start. Counts the offsets that it missed, and returns
    /// how many.
    pub(crate) fn catch_up(&mut self) -> u64 {
        let from = self.position();
        self.go_to_start();
        let lost = self.position() - from;
        self.lost = self.lost.saturating_add(lost);
        lost
    }

    /// Finds the frame of the seek's target. `false` while a frame before it is unpublished: then
    /// it is not known where the target's frame begins.
    #[cold]
    pub(super) fn resolve(&mut self) -> Result<bool, OutOfRange> {
        let (number, segment) = loop {
            let Some(number) = self.partition.locate(self.seek_target) else {
                match self.look_in_files()? {
                    FileLookup::Entered => return Ok(true),
                    FileLookup::Moved => continue,
                    FileLookup::Undecided => return Ok(false),
                    FileLookup::Outside => {}
                }
                return Err(match self.located {
                    CursorPosition::Retained => OutOfRange::Overtaken,
                    _ => OutOfRange::SeekTarget,
                });
            };
            if self.try_hold(number) {
                if let Some(segment) = self.partition.segment(number).cloned() {
                    break (number, segment);
                }
            }
            spin_loop();
        };
        let count = segment.state().records();
        let wanted = self.seek_target - segment.base();
        if wanted > u64::from(count) {
            return Err(OutOfRange::SeekTarget);
        }
        let wanted = wanted as u32;
        let Some(slot) = frame_of_slot(&segment, wanted, count) else {
            return Ok(false);
        };
        let base = segment.base();
        self.enter(number, segment, base);
        self.go_to_slot(slot, wanted);
        Ok(true)
    }

    /// Stands at slot `wanted`, in the frame that begins at `slot`.
    pub(super) fn go_to_slot(&mut self, slot: u32, wanted: u32) {
        self.skip = wanted.saturating_sub(slot);
        self.slot = slot;
    }
}

/// Where the frame begins that holds slot `wanted`, or is to hold it, of a segment in which `count`
/// slots are claimed. `None` while a frame before it is unpublished. An aborted frame is passed.
pub(super) fn frame_of_slot(segment: &Segment, wanted: u32, count: u32) -> Option<u32> {
    // A frame begins at slot 0, and wherever a claim ends. Otherwise the nearest descriptor at or
    // below the slot belongs to the frame that holds the slot, or to the one before it.
    if wanted == 0 || wanted == count {
        return Some(wanted);
    }
    let mut slot = wanted;
    let mut descriptor = segment.descriptor(slot);
    while descriptor.is_empty() && slot > 0 {
        slot -= 1;
        descriptor = segment.descriptor(slot);
    }
    let end = slot + descriptor.slots();
    if descriptor.is_empty() || end < wanted {
        return None;
    }
    match end == wanted || descriptor.kind() == Kind::Aborted {
        true => Some(end),
        false => Some(slot),
    }
}
