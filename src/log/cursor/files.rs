//! A durable partition's files: where a cursor reads what the ring does not retain any more.
//!
//! A cursor that is behind the ring stands in a chunk of a file (`log/files/`), as in a segment: it
//! polls and lends out the chunk's records by the same code ([`Segment::of_chunk`]). It holds no
//! segment then, but keeps the chunk's memory. At the end of the chunk it looks for the next
//! offset again, first in the ring and then in the files: as after a seek.
//!
//! In a chunk the cursor's segment number is [`IN_FILES`], which is greater than that of every
//! segment. So the checks of a quick poll find that the log has not passed it.
//!
//! Only the copier's cursor never reads from files. Cursors with gates need not.

use super::seek::frame_of_slot;
use super::{Cursor, CursorPosition, OutOfRange};
use crate::log::files::{Chunk, Found};
use crate::log::holds::NO_SEGMENT;
use crate::log::segment::MAX_NUMBER;

/// Stands for the number of the cursor's segment while it is in a chunk.
pub(super) const IN_FILES: u64 = MAX_NUMBER + 1;

/// The outcome of a look into the files.
pub(super) enum FileLookup {
    /// The cursor is at its target, in a chunk.
    Entered,
    /// The target has moved past offsets that are lost, or was written meanwhile: it is looked for
    /// again.
    Moved,
    /// The copier has not decided yet whether the files will have the target's offset.
    Undecided,
    /// The files do not have it.
    Outside,
}

impl Cursor {
    /// Whether it may read from its partition's files.
    pub(super) fn reads_files(&self) -> bool {
        self.reads_files && self.partition.files().is_some()
    }

    /// Looks for the target of the seek in the files.
    pub(super) fn look_in_files(&mut self) -> Result<FileLookup, OutOfRange> {
        let target = self.seek_target;
        let Some(files) = self.partition.files().filter(|_| self.reads_files) else {
            return Ok(FileLookup::Outside);
        };
        if target < self.partition.deleted_before() {
            return Ok(FileLookup::Outside);
        }
        let next = match files.read(target) {
            Found::Chunk(chunk) => {
                self.enter_chunk(chunk, target);
                return Ok(FileLookup::Entered);
            }
            Found::Gap { next } => next,
            Found::Damaged { next, fault } => {
                files.report_damage(fault);
                next
            }
            // The next look may succeed: nothing is passed over.
            Found::Unreadable { fault } => {
                files.report_unreadable(fault, self.partition.readers().waiting());
                return Ok(FileLookup::Undecided);
            }
            Found::Outside => {
                // Loaded before the end: nothing is written after it.
                let is_stopped = files.is_stopped();
                let ring_start = self.partition.ring_start_offset();
                if target < files.start() || target >= ring_start {
                    return Ok(FileLookup::Outside);
                }
                if target < files.written_end() {
                    return Ok(FileLookup::Moved); // it was written meanwhile
                }
                if !is_stopped {
                    return Ok(FileLookup::Undecided);
                }
                ring_start
            }
        };
        // A gap is what the copier missed. What is damaged is counted and reported: the storage
        // lists it. Nor does a copier that has stopped write what the ring does not retain any more.
        self.lost = self.lost.saturating_add(next.saturating_sub(target));
        self.seek_target = next.max(target + 1);
        self.located = CursorPosition::Retained;
        Ok(FileLookup::Moved)
    }

    fn enter_chunk(&mut self, chunk: Chunk, target: u64) {
        let base = chunk.first_offset();
        let segment = chunk.segment();
        self.leave_ring();
        self.enter(IN_FILES, segment, base);
        self.chunk = Some(chunk);
        self.held = IN_FILES;
        let wanted = (target - base) as u32;
        let slot = frame_of_slot(&self.segment, wanted, self.segment.shape().records);
        self.go_to_slot(slot.unwrap_or(0), wanted);
        self.report_position();
    }

    /// Releases the segment that the cursor has pinned in the ring.
    fn leave_ring(&mut self) {
        if self.held != NO_SEGMENT && self.held != IN_FILES {
            self.hold.set(NO_SEGMENT);
        }
        self.held = NO_SEGMENT;
    }

    /// At the end of a chunk: its last offset has been read, and the next is to be found.
    pub(super) fn leave_chunk(&mut self) {
        let next = self.position();
        self.resume_at(next);
    }
}
