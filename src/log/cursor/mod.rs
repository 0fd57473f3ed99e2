//! One reader's position in one partition: polling, holding, reading, seeking.
//!
//! A cursor stands at a slot where a frame begins, or inside a batch at one of its records. It
//! moves on by the descriptors that it finds. It never reads bytes of a segment that it does not
//! hold (`log/holds.rs`).
//!
//! A cursor loads a descriptor first, and holds the segment only when there is something to read.
//! A descriptor loaded without a hold may be of a later life of the segment, so it is only a hint.
//! The hold then finds the log start still at or below the segment. So the segment had the same
//! life all along, and what was loaded was true.
//!
//! When records are deleted, the topic's state changes and the cursor checks its position
//! (`topic/shared.rs`). A cursor before the deleted offset counts as overtaken: it leaves the
//! segment that it holds, and continues after the deleted records.
//!
//! Under `DropOldest` the cursor is overtaken when the log start has passed its segment.
//! Under `Backpressure` its hold is a gate. Once the gate has found the log start at or below
//! itself, the cursor is never overtaken: the log start cannot pass a gate that was seen, and one
//! moment of both (`log/holds.rs`) leaves the segment held, if not live.
//!
//! | file | its one job |
//! |---|---|
//! | `hold.rs` | the hold on the current segment |
//! | `read.rs` | reading past frames |
//! | `limit.rs` | the limit of a dependent reader |
//! | `seek.rs`, `offset_reset.rs` | moving to another offset; by the reset policy |
//! | `files.rs` | reading a durable partition's files, behind the ring |
//! | `copy.rs` | frames for the copier of a durable topic |

mod copy;
mod files;
mod hold;
mod limit;
mod offset_reset;
mod read;
mod seek;

pub use offset_reset::OffsetReset;

use crate::log::files::Chunk;
use crate::log::holds::{Hold, NO_SEGMENT};
use crate::log::partition::Partition;
use crate::log::segment::{Descriptor, Kind, RecordRun, Segment};
use limit::NO_LIMIT;
use std::sync::Arc;

/// Why the cursor's position is outside what is retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutOfRange {
    /// The log start has passed the cursor: its records were overwritten or deleted.
    Overtaken,
    /// The cursor was sent to an offset that is not retained.
    SeekTarget,
}

/// Whether the frame at the cursor's position is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CursorPosition {
    /// The cursor is at the frame that holds its offset, or will hold it.
    Resolved,
    /// After a seek: the offset was retained at that time, and its frame has still to be found.
    Retained,
    /// After a seek: the frame has still to be found, and the offset may be outside the log.
    Unverified,
}

/// One reader's position in one partition. See the head of this module.
pub(crate) struct Cursor {
    partition: Arc<Partition>,
    hold: Arc<Hold>,
    /// Its hold is a gate, not a pin. (It may be a pin in a gated partition too.)
    gate: bool,
    /// The segment in `hold`, if the hold is known to be in force; otherwise [`NO_SEGMENT`].
    held: u64,
    /// The number of the segment that the cursor is in.
    number: u64,
    /// That segment. (A copy: `partition` holds the pool, which keeps its memory.) Or a chunk of a
    /// file, which `chunk` keeps.
    segment: Segment,
    /// The offset of the segment's slot 0.
    base: u64,
    /// The slot of the frame that the cursor is at.
    slot: u32,
    /// How many of that frame's records it has read.
    skip: u32,
    located: CursorPosition,
    /// The offset of the last seek, until it is resolved.
    seek_target: u64,
    /// Offsets missed since the last run was read.
    lost: u64,
    /// It reads nothing at or after this offset.
    limit: u64,
    /// Where in the segment's data the next value will probably be.
    next_value: usize,
    /// The last look found nothing.
    is_idle: bool,
    /// Reads since one that came to the end of what was published.
    reads_since_end: u32,
    /// What the last poll read, which a batch lends out.
    run: RecordRun,
    /// It may read what the ring does not retain from the partition's files, if it has any.
    reads_files: bool,
    /// The chunk that the cursor is in, if it is behind the ring.
    chunk: Option<Chunk>,
}

/// The outcome of a [`quick_poll`](Cursor::quick_poll).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuickPoll {
    /// It has read records: they are the cursor's run.
    Records,
    /// There is nothing to read.
    Empty,
    /// Only a full [`poll`](Cursor::poll) can decide.
    Undecided,
}

impl Cursor {
    /// A cursor at the log start. In a gated partition it holds that segment from now on.
    pub(crate) fn join(partition: &Arc<Partition>) -> Cursor {
        Self::join_as(partition.is_gated(), partition, true)
    }

    /// A cursor at the log start that never holds back the log start: that of a consumer that may
    /// be lapped, or of a group's member, for which the group's gate does so
    /// (`group/ownership.rs`).
    pub(crate) fn join_ungated(partition: &Arc<Partition>) -> Cursor {
        Self::join_as(false, partition, true)
    }

    fn join_as(gate: bool, partition: &Arc<Partition>, reads_files: bool) -> Cursor {
        let first = if gate {
            partition.log_start()
        } else {
            NO_SEGMENT
        };
        let hold = partition.readers().join(first);
        Self::new(gate, hold, partition, reads_files)
    }

    /// A cursor at the log start, with a hold that is on the partition's list already: a gate in a
    /// gated partition if it holds back the log start.
    pub(crate) fn with_hold(
        hold: Arc<Hold>,
        holds_back: bool,
        partition: &Arc<Partition>,
    ) -> Cursor {
        Self::new(holds_back && partition.is_gated(), hold, partition, true)
    }

    fn new(gate: bool, hold: Arc<Hold>, partition: &Arc<Partition>, reads_files: bool) -> Cursor {
        let number = partition.log_start();
        let mut cursor = Cursor {
            partition: partition.clone(),
            hold,
            gate,
            held: NO_SEGMENT,
            number,
            segment: partition.pool().get(0).clone(), // any segment: `go_to_start` replaces it
            base: 0,
            slot: 0,
            skip: 0,
            located: CursorPosition::Resolved,
            seek_target: 0,
            lost: 0,
            limit: NO_LIMIT,
            next_value: 0,
            is_idle: false,
            reads_since_end: 0,
            run: RecordRun::default(),
            reads_files,
            chunk: None,
        };
        cursor.go_to_start();
        cursor
    }

    /// A cursor that is to read from `first` on, with a hold that is on the partition's list
    /// already. Offsets from there on that are not retained any more count as lost.
    pub(crate) fn resume_with_hold(
        hold: Arc<Hold>,
        holds_back: bool,
        partition: &Arc<Partition>,
        first: u64,
    ) -> Cursor {
        let mut cursor = Self::with_hold(hold, holds_back, partition);
        cursor.unpin();
        cursor.resume_at(first);
        cursor
    }

    pub(crate) fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    /// The next offset to be read.
    #[inline]
    pub(crate) fn position(&self) -> u64 {
        match self.located {
            CursorPosition::Resolved => self.base + u64::from(self.slot + self.skip),
            CursorPosition::Retained | CursorPosition::Unverified => self.seek_target,
        }
    }

    /// The position, unless a seek is still unresolved: everything before it was read, or stepped
    /// over.
    #[inline(always)]
    pub(crate) fn resolved_position(&self) -> Option<u64> {
        (self.located == CursorPosition::Resolved)
            .then(|| self.base + u64::from(self.slot + self.skip))
    }

    /// Reads since one that came to the end of what was published; 0 if the last one did.
    #[inline(always)]
    pub(crate) fn reads_since_end(&self) -> u32 {
        self.reads_since_end
    }

    /// Whether the last look found nothing.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// The segment that the cursor is in, or was in before an unresolved seek.
    #[inline(always)]
    pub(crate) fn segment_number(&self) -> u64 {
        self.number
    }

    /// Whether `offset`, which is not past the position, lies in the segment that the cursor is in.
    pub(crate) fn is_in_segment_of(&self, offset: u64) -> bool {
        self.located == CursorPosition::Resolved && offset >= self.base
    }

    /// Reports the position, for statistics. It is called when the cursor moves to another segment,
    /// seeks, or finds nothing and is about to wait; not at every poll.
    pub(crate) fn report_position(&self) {
        let (reported, position) = (self.hold.reported_position(), self.position());
        if reported.get() != position {
            reported.set(position);
        }
    }

    /// Moves to slot 0 of a segment.
    fn enter(&mut self, number: u64, segment: Segment, base: u64) {
        self.number = number;
        self.segment = segment;
        self.base = base;
        self.slot = 0;
        self.skip = 0;
        self.next_value = 0;
        self.located = CursorPosition::Resolved;
        self.chunk = None;
    }

    /// Whether a poll might do anything. It takes no hold and changes nothing.
    #[inline]
    pub(crate) fn may_move(&self) -> bool {
        self.located != CursorPosition::Resolved
            || !self.descriptor().is_empty()
            || self.log_has_moved_on()
    }

    /// Whether the log has rolled past the cursor's segment, or retired it.
    #[inline]
    fn log_has_moved_on(&self) -> bool {
        self.partition.active() > self.number || self.partition.log_start() > self.number
    }

    /// The poll of the common case, in a few steps: the segment is held, and at the cursor is a
    /// frame of records, or nothing at all. Of all that producers write it touches only the index,
    /// and, while it finds nothing, the line of the next value, which it prefetches.
    ///
    /// `prefetch_value` says whether the next value is prefetched as well, which pays for few
    /// cursors. At most `max` records are read.
    #[inline(always)]
    pub(crate) fn quick_poll(&mut self, prefetch_value: bool, max: u32) -> QuickPoll {
        if self.located != CursorPosition::Resolved {
            return QuickPoll::Undecided;
        }
        // A reader that waits has the value's line on its way together with the descriptor's: one
        // transfer's time, not two. In a stream this would only take the line from the producer.
        if prefetch_value && self.is_idle {
            self.segment.prefetch_data(self.next_value);
        }
        let descriptor = self.descriptor();
        if descriptor.is_empty() {
            // Not written a second time: in a round of many cursors those lines stay clean.
            if !self.is_idle {
                self.is_idle = true;
            }
            return if self.log_has_moved_on() {
                QuickPoll::Undecided
            } else {
                QuickPoll::Empty
            };
        }
        let held =
            self.held == self.number && (self.gate || self.partition.log_start() <= self.number);
        if !held || matches!(descriptor.kind(), Kind::End | Kind::Aborted) {
            return QuickPoll::Undecided;
        }
        self.read(descriptor, max);
        QuickPoll::Records
    }

    /// A read came to the end of what is published, or not.
    #[inline(always)]
    fn set_at_end(&mut self, at_end: bool) {
        self.reads_since_end = if at_end {
            0
        } else {
            self.reads_since_end.saturating_add(1)
        };
    }

    /// Reads past the next frames of one segment, at most `max` records: they are the
    /// [`run`](Self::run). `false` when there is nothing to read yet.
    pub(crate) fn poll(&mut self, max: u32) -> Result<bool, OutOfRange> {
        loop {
            if self.located != CursorPosition::Resolved && !self.resolve()? {
                return Ok(false);
            }
            let descriptor = self.descriptor();
            if descriptor.is_empty() {
                match self.leave_finished_segment() {
                    Ok(true) => {}
                    Ok(false) => return Ok(false),
                    Err(overtaken) => self.overtaken(overtaken)?,
                }
                continue;
            }
            if !self.try_hold(self.number) {
                self.overtaken(OutOfRange::Overtaken)?;
                continue;
            }
            match descriptor.kind() {
                Kind::End => {
                    if !self.next_segment() {
                        return Ok(false);
                    }
                }
                Kind::Aborted => self.step_over(descriptor),
                _ => {
                    let max = self.allowance().min(max.into()) as u32;
                    if max == 0 {
                        return Ok(false);
                    }
                    self.read(descriptor, max);
                    return Ok(true);
                }
            }
        }
    }

    /// Prefetches the descriptor at the cursor.
    #[inline(always)]
    pub(crate) fn prefetch_descriptor(&self) {
        self.segment.prefetch_descriptor(self.slot);
    }

    /// The descriptor at the cursor.
    #[inline]
    fn descriptor(&self) -> Descriptor {
        if self.slot == self.segment.shape().records {
            return Descriptor::END; // no slot is left, whether END is stored yet or not
        }
        self.segment.descriptor(self.slot)
    }

    #[inline]
    fn step_over(&mut self, frame: Descriptor) {
        self.slot += frame.slots();
        self.skip = 0;
    }

    /// When nothing is published at the cursor: moves to the next segment if this one is read to
    /// its end, and returns whether it has moved.
    fn leave_finished_segment(&mut self) -> Result<bool, OutOfRange> {
        if !self.gate && self.partition.log_start() > self.number {
            return Err(OutOfRange::Overtaken);
        }
        if self.partition.active() <= self.number {
            return Ok(false);
        }
        // The segment is sealed. If its last frame has been read, the thread that owes END has
        // not stored it yet; the state word says where the segment ends.
        if !self.try_hold(self.number) {
            return Err(OutOfRange::Overtaken);
        }
        let state = self.segment.state();
        Ok(state.is_sealed_in(self.partition.id())
            && state.records() == self.slot
            && self.next_segment())
    }

    /// The log start has passed the cursor's segment. The files of a durable partition may have its
    /// position: it is looked for there.
    #[cold]
    fn overtaken(&mut self, overtaken: OutOfRange) -> Result<(), OutOfRange> {
        if !self.reads_files() {
            return Err(overtaken);
        }
        self.resume_at(self.position());
        Ok(())
    }

    /// Moves from the end of a segment to the next one, if that exists. The segment is held.
    #[cold]
    #[inline(never)]
    fn next_segment(&mut self) -> bool {
        if self.chunk.is_some() {
            self.leave_chunk();
            return true;
        }
        let next = self.number + 1;
        let Some(segment) = self.partition.segment(next).cloned() else {
            return false;
        };
        if self.gate {
            // Forward from a gate that was in force: the log start cannot be past the next
            // segment, so nothing needs to be confirmed.
            self.hold.set(next);
            self.held = next;
        }
        // Its base is where this one ends (T2 of `log/partition/mod.rs`).
        self.enter(next, segment, self.position());
        self.report_position();
        true
    }
}
