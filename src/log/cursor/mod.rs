//! One reader's place in one partition. (`seek.rs`: how it is sent elsewhere.)
//!
//! A cursor stands at a slot where a frame begins, or inside a batch at one of its records,
//! and moves on by the descriptors it finds. It looks at a descriptor first and holds the
//! segment only when there is something to read (`readers.rs` for what holding means): a
//! look without a hold may be at a later life of the segment, so it is only a hint, until
//! the hold finds the log start still at or below the segment; then the segment had
//! the same life all along, and what was loaded was true.
//!
//! When records are deleted, the cursor is told to look (`topic_inner.rs`), and overtakes itself:
//! it leaves what it holds and goes on behind them.
//!
//! Under `DropOldest` the cursor is overtaken when the log start is past its segment.
//! Under `Backpressure` its hold is a gate, and once it has found the log start at or below
//! it, it is never overtaken: the log start cannot pass a gate that was seen, and one moment
//! of both (`readers.rs`) leaves the segment held, if not live.

mod offset_reset;
mod read_backoff;
mod seek;

pub use offset_reset::OffsetReset;

use crate::log::holds::{Hold, NO_SEGMENT};
use crate::log::partition::Partition;
use crate::log::segment::{Descriptor, Kind, RecordRun, Segment};
use read_backoff::ReadBackoff;
use std::sync::Arc;

/// The cursor is outside what is retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutOfRange {
    /// Its records are gone: others were appended over them.
    Overtaken,
    /// It was told to go there.
    Sought,
}

/// Whether the cursor is where its offset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CursorPosition {
    /// At the frame that holds it, or will.
    There,
    /// It was retained when the cursor was sent there, and has still to be found.
    Known,
    /// It has still to be found, and may be nowhere.
    Sought,
}

/// A reader that finds so many records at once has a backlog before it, and looks at many at once from
/// there on. Those that keep up with their producers do not: that was measured, and the producers are
/// slower then.
const BACKLOG: u32 = if cfg!(loom) { 1 } else { 256 };

pub(crate) struct Cursor {
    partition: Arc<Partition>,
    hold: Arc<Hold>,
    /// Its hold is a gate, not a pin. (A pin it may be also where the partition is gated.)
    gate: bool,
    /// What `hold` says, if the log start was found to allow it.
    held: u64,
    /// The segment it is in, and the offset of its slot 0. (A copy: the topic keeps its memory.)
    number: u64,
    segment: Segment,
    base: u64,
    /// The frame it is at, and how many of the frame's records it has read.
    slot: u32,
    skip: u32,
    place: CursorPosition,
    /// Where it was sent, until it is there.
    sought: u64,
    lost: u64,
    /// Where in the segment's data the next value will probably be.
    next_value: usize,
    backoff: ReadBackoff,
    /// What the last poll read, which a batch lends out.
    run: RecordRun,
}

/// What a cursor can tell without moving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Glance {
    /// It has read something.
    Found,
    Nothing,
    /// It takes a [`poll`](Cursor::poll) to tell.
    Unsure,
}

impl Cursor {
    /// A cursor at the log start. It holds that segment if the partition is gated, from now.
    pub(crate) fn join(partition: &Arc<Partition>) -> Cursor {
        Self::join_as(partition.is_gated(), partition)
    }

    /// A cursor at the log start that never holds back the log start: see `group/tenure.rs` for
    /// who does it in its place.
    pub(crate) fn join_ungated(partition: &Arc<Partition>) -> Cursor {
        Self::join_as(false, partition)
    }

    fn join_as(gate: bool, partition: &Arc<Partition>) -> Cursor {
        let first = if gate {
            partition.log_start()
        } else {
            NO_SEGMENT
        };
        let hold = partition.readers().join(first);
        Self::with_as(gate, hold, partition)
    }

    /// A cursor at the log start, with a hold that is on the partition's list.
    pub(crate) fn with(hold: Arc<Hold>, partition: &Arc<Partition>) -> Cursor {
        Self::with_as(partition.is_gated(), hold, partition)
    }

    fn with_as(gate: bool, hold: Arc<Hold>, partition: &Arc<Partition>) -> Cursor {
        let number = partition.log_start();
        let mut cursor = Cursor {
            partition: partition.clone(),
            hold,
            gate,
            held: NO_SEGMENT,
            number,
            segment: partition.pool().get(0).clone(), // any will do: it enters one at once
            base: 0,
            slot: 0,
            skip: 0,
            place: CursorPosition::There,
            sought: 0,
            lost: 0,
            next_value: 0,
            backoff: ReadBackoff::new(),
            run: RecordRun::default(),
        };
        cursor.go_to_start();
        cursor
    }

    /// A cursor that was to read from `first` on, with a hold that is on the partition's list.
    /// What has gone by since counts as lost.
    pub(crate) fn from(hold: Arc<Hold>, partition: &Arc<Partition>, first: u64) -> Cursor {
        let mut cursor = Self::with(hold, partition);
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
        match self.place {
            CursorPosition::There => self.base + u64::from(self.slot + self.skip),
            CursorPosition::Known | CursorPosition::Sought => self.sought,
        }
    }

    /// The position, if the cursor is there: what lies before it was read, or stepped over.
    #[inline(always)]
    pub(crate) fn reached(&self) -> Option<u64> {
        (self.place == CursorPosition::There).then(|| self.base + u64::from(self.slot + self.skip))
    }

    /// The segment it is in, or was when it was sent elsewhere.
    #[inline(always)]
    pub(crate) fn segment_number(&self) -> u64 {
        self.number
    }

    /// Whether this offset, which is not past the position, lies in the segment it is in.
    pub(crate) fn is_in_segment_of(&self, offset: u64) -> bool {
        self.place == CursorPosition::There && offset >= self.base
    }

    /// The segment that its hold is known to hold; [`NO_SEGMENT`] if there is none.
    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    /// Leaves word of the position, for who wants to see it. Not at every poll: where the cursor
    /// goes to another segment, is sent elsewhere, or finds nothing and is going to wait.
    pub(crate) fn show(&self) {
        let (shown, position) = (self.hold.position(), self.position());
        if shown.get() != position {
            shown.set(position);
        }
    }

    /// What the readers' list has of it.
    pub(crate) fn hold_word(&self) -> &Arc<Hold> {
        &self.hold
    }

    /// Lets go of a pin, so that the one consumer's pins in its many partitions are one at
    /// a time. A gate stays.
    pub(crate) fn unpin(&mut self) {
        if !self.gate && self.held != NO_SEGMENT {
            self.held = NO_SEGMENT;
            self.hold.set(NO_SEGMENT);
        }
    }

    /// Holds segment `number`; `false` if the log start has passed it.
    #[inline]
    fn hold(&mut self, number: u64) -> bool {
        if self.held == number {
            return self.gate || self.partition.log_start() <= number;
        }
        if self.gate {
            self.hold.set(number);
        } else {
            self.hold.pin(number);
        }
        let live = self.partition.confirm_hold(number);
        self.held = if live { number } else { NO_SEGMENT };
        if !live && !self.gate {
            // Not to be left behind: nothing would take it back, and the segment may be idle
            // in the pool. (A gate is set again before anything else happens.)
            self.hold.set(NO_SEGMENT);
        }
        live
    }

    fn enter(&mut self, number: u64, segment: Segment, base: u64) {
        self.number = number;
        self.segment = segment;
        self.base = base;
        self.slot = 0;
        self.skip = 0;
        self.next_value = 0;
        self.place = CursorPosition::There;
    }

    /// Whether a poll might do anything: without a hold, and without touching anything.
    #[inline]
    pub(crate) fn may_move(&self) -> bool {
        self.place != CursorPosition::There || !self.look().is_empty() || self.has_moved()
    }

    /// Whether the log has gone on to other segments than the cursor's.
    #[inline]
    fn has_moved(&self) -> bool {
        self.partition.active() > self.number || self.partition.log_start() > self.number
    }

    /// The frames that the last poll read past, and their segment.
    #[inline]
    pub(crate) fn run(&self) -> (&RecordRun, &Segment) {
        (&self.run, &self.segment)
    }

    /// The usual poll, in a few steps: the segment is held, and a frame of records is at the
    /// cursor or nothing at all. Nothing is touched that producers write but the index, and, while
    /// it waits, the line of the value to come, which it asks for ahead. `again`: it
    /// was this cursor that found something last, so it may be that it should look later. `ahead`: the
    /// next value is asked for as well, which is worth it for few cursors.
    #[inline(always)]
    pub(crate) fn glance(&mut self, again: impl FnOnce() -> bool, ahead: bool, max: u32) -> Glance {
        if self.place != CursorPosition::There {
            return Glance::Unsure;
        }
        let stood = self.backoff.stands();
        if stood {
            // Whoever waits has the value's line on its way beside the descriptor's: one line's
            // time, not two. In a stream it would only take the line from the producer.
            if ahead {
                self.segment.prefetch_data(self.next_value);
            }
        } else if self.backoff.is_due() {
            self.backoff.wait(again());
        }
        let descriptor = self.look();
        if descriptor.is_empty() {
            // (Not written again: where a round goes through many, those lines stay clean.)
            if !stood {
                self.backoff.found_nothing();
            }
            return if self.has_moved() {
                Glance::Unsure
            } else {
                Glance::Nothing
            };
        }
        let held =
            self.held == self.number && (self.gate || self.partition.log_start() <= self.number);
        if !held || matches!(descriptor.kind(), Kind::End | Kind::Aborted) {
            return Glance::Unsure;
        }
        self.read(descriptor, max);
        Glance::Found
    }

    /// Reads past the next frames, `max` records of them at most, all of one segment: they are the
    /// [`run`](Self::run). `false` when there is nothing to read yet.
    pub(crate) fn poll(&mut self, max: u32) -> Result<bool, OutOfRange> {
        loop {
            if self.place != CursorPosition::There && !self.resolve()? {
                return Ok(false);
            }
            let descriptor = self.look();
            if descriptor.is_empty() {
                if !self.is_behind()? {
                    return Ok(false);
                }
                continue;
            }
            if !self.hold(self.number) {
                return Err(OutOfRange::Overtaken);
            }
            match descriptor.kind() {
                Kind::End => {
                    if !self.next_segment() {
                        return Ok(false);
                    }
                }
                Kind::Aborted => self.step_over(descriptor),
                _ => {
                    self.read(descriptor, max);
                    return Ok(true);
                }
            }
        }
    }

    /// Says that it will soon be looked what is at the cursor.
    #[inline(always)]
    pub(crate) fn will_look(&self) {
        self.segment.prefetch_descriptor(self.slot);
    }

    /// The descriptor that the cursor is at.
    #[inline]
    fn look(&self) -> Descriptor {
        if self.slot == self.segment.shape().records {
            return Descriptor::END; // no slot is left, whether END is there yet or not
        }
        self.segment.descriptor(self.slot)
    }

    #[inline]
    fn step_over(&mut self, frame: Descriptor) {
        self.slot += frame.slots();
        self.skip = 0;
    }

    /// With nothing published at the cursor: whether it has something to read elsewhere, now
    /// that this has moved it there.
    fn is_behind(&mut self) -> Result<bool, OutOfRange> {
        if !self.gate && self.partition.log_start() > self.number {
            return Err(OutOfRange::Overtaken);
        }
        if self.partition.active() <= self.number {
            return Ok(false);
        }
        // The segment is sealed. If its last frame has been read, then whoever owes END has
        // stopped before it: the head says as much.
        if !self.hold(self.number) {
            return Err(OutOfRange::Overtaken);
        }
        let head = self.segment.state();
        Ok(head.is_sealed_in(self.partition.id())
            && head.records() == self.slot
            && self.next_segment())
    }

    /// Moves from the end of a segment to the next, if that is there. The segment is held.
    #[cold]
    #[inline(never)]
    fn next_segment(&mut self) -> bool {
        let next = self.number + 1;
        let Some(index) = self.partition.find(next) else {
            return false;
        };
        if self.gate {
            // Forward from a gate that was in force: the log start cannot be past the next
            // segment, so there is nothing to check.
            self.hold.set(next);
            self.held = next;
        }
        // Its base is where this one ends (T2 of partition.rs).
        let segment = self.partition.pool().get(index).clone();
        self.enter(next, segment, self.position());
        self.show();
        true
    }

    /// Reads past frames, beginning with this one at the cursor. The segment is held.
    #[inline(always)]
    fn read(&mut self, first: Descriptor, max: u32) {
        let start = self.slot;
        let (mut slot, mut descriptor) = (start, first);
        let stop = start + (self.segment.shape().records - start).min(max);
        // Single records, as far as they go.
        let (mut last, mut turn) = (first, stop.min(start + BACKLOG));
        while descriptor.is_single_record() {
            last = descriptor;
            slot += 1;
            if slot == turn {
                (slot, last) = self.segment.skip_single_records(slot, stop, last);
                if slot == stop {
                    break;
                }
                turn = stop;
            }
            descriptor = self.segment.descriptor(slot);
        }
        let lost = core::mem::take(&mut self.lost);
        self.run = RecordRun {
            base: self.base,
            slot: start,
            skip: self.skip,
            records: slot - start,
            singles: true,
            lost,
        };
        self.slot = slot;
        if slot < stop && !matches!(descriptor.kind(), Kind::Empty | Kind::End) {
            return self.read_on(descriptor, max);
        }
        let end = last.end();
        // (After a seek not quite: it is for a hint.)
        let bytes = end.wrapping_sub(core::mem::replace(&mut self.next_value, end));
        if slot < stop && descriptor.is_empty() {
            self.backoff.found(slot - start, bytes);
        } else if slot - start == max {
            self.backoff.found_more();
        } else {
            self.backoff.found_end();
        }
    }

    /// Goes on reading at a frame that is no single record.
    #[inline(never)]
    fn read_on(&mut self, first: Descriptor, max: u32) {
        let segment = &self.segment;
        let last = segment.shape().records;
        // In locals: each Acquire would have the compiler write fields back and read them again.
        let (mut slot, mut skip, mut records) = (self.slot, self.skip, self.run.records);
        let mut descriptor = first;
        loop {
            match descriptor.kind() {
                Kind::Timed | Kind::Untimed => {
                    records += 1;
                    slot += 1;
                }
                Kind::Table | Kind::Uniform => {
                    let rest = descriptor.slots() - skip;
                    let taken = rest.min(max - records);
                    records += taken;
                    if taken < rest {
                        skip += taken;
                    } else {
                        slot += descriptor.slots();
                        skip = 0;
                    }
                }
                Kind::Aborted => slot += descriptor.slots(),
                Kind::Empty | Kind::End => break,
            }
            if slot == last || records == max {
                break;
            }
            descriptor = segment.descriptor(slot);
        }
        self.run.records = records;
        self.run.singles = false;
        self.backoff.found_more();
        self.slot = slot;
        self.skip = skip;
    }

    /// When a batch is given back: moves a gate out of a segment that has been read to its
    /// end, so that producers waiting for it need not wait for the next poll.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if self.gate && self.place == CursorPosition::There && self.look().kind() == Kind::End {
            self.next_segment();
        }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.partition.readers().leave(&self.hold);
    }
}
