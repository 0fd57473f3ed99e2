//! Claiming a frame, writing it and publishing it: a producer's part of a segment.
//!
//! A claim is one step of the state word, which takes the frame's slots and its bytes together (S1,
//! S2 in [`segment`](super)). The claimer then writes the bytes and publishes the frame by one
//! store of its descriptor (S5). A claim that is dropped unpublished becomes an aborted frame.
#![allow(unsafe_code)]

use super::Segment;
use super::batch_share::BatchShare;
use super::descriptor::{Descriptor, Kind, UNIT};
use super::frame::{write_all_but_value, write_record, write_values};
use super::gathered_frame::GatheredFrame;
use super::stand_back::claim_beside_others;
use super::state::SegmentState;
use crate::log::counters::SharedCounters;
use crate::log::segment::memory::{Block, WriteAccess};
use crate::record::Record;
use crate::sync::{AtomicU64, ord, store_exclusive};
use crate::wait::EventCount;
use core::mem::ManuallyDrop;
use std::sync::Arc;

/// How a producer advances the state word: the one step in which shared and exclusive producers
/// differ.
#[allow(unreachable_pub)] // it seals the public `ProducerMode`, and cannot be named outside
pub trait ClaimMode: 'static {
    /// Whether this is the topic's only producer.
    const EXCLUSIVE: bool;

    /// The word to claim from; `last` is the word that this producer's last claim has left.
    fn current(state: &AtomicU64, last: u64) -> u64;

    /// Advances the state word from `seen` to `next`, or returns what it is instead.
    fn advance(state: &AtomicU64, seen: u64, next: u64) -> Result<(), u64>;
}

/// Claims with a compare-and-swap, beside any number of other producers.
#[derive(Debug)]
pub struct SharedMode;

/// Claims with a plain store, as the topic's only producer.
#[derive(Debug)]
pub struct ExclusiveMode;

impl ClaimMode for SharedMode {
    const EXCLUSIVE: bool = false;

    #[inline(always)]
    fn current(state: &AtomicU64, _last: u64) -> u64 {
        state.load(ord!(Relaxed))
    }

    #[inline]
    fn advance(state: &AtomicU64, seen: u64, next: u64) -> Result<(), u64> {
        // Acquire, from the thread that prepared this life: its base and its zeroed index.
        state
            .compare_exchange_weak(
                seen,
                next,
                ord!("segment.claim", P1, Acquire),
                ord!(Relaxed),
            )
            .map(drop)
    }
}

impl ClaimMode for ExclusiveMode {
    const EXCLUSIVE: bool = true;

    #[inline(always)]
    fn current(_state: &AtomicU64, last: u64) -> u64 {
        // No other thread has written it (S1), and a producer forgets `last` where it may seal
        // (`producer/appender.rs`). Reading the word again would wait for the store of the last
        // claim.
        last
    }

    #[inline]
    fn advance(state: &AtomicU64, _seen: u64, next: u64) -> Result<(), u64> {
        // This producer opened the life itself, or took the topic over from those before it (P9).
        // No other thread writes the word while it is open (S1). Release, because a plain store
        // does not carry on the release of the thread that prepared the life, which lookups need
        // (P7).
        store_exclusive(state, next, ord!("segment.claim_exclusive", P7, Release));
        Ok(())
    }
}

impl Segment {
    /// Prefetches, for writing, the data that the next claims will probably be of: `bytes` long, as
    /// the one just made at `at`.
    #[inline(always)]
    fn prefetch_data_for_writing(&self, at: usize, bytes: usize) {
        const LINE: usize = 64;
        if bytes <= LINE {
            return self.block.prefetch_data_for_writing::<AHEAD_BYTES>(at);
        }
        let from = at + bytes.saturating_sub(AHEAD_BYTES);
        let mut line = 0;
        while line < bytes.min(MAX_AHEAD_BYTES) {
            self.block
                .prefetch_data_for_writing::<AHEAD_BYTES>(from + line);
            line += LINE;
        }
    }

    /// Prefetches, for writing, the line that is `bytes` after the end of all claims, if `last` is
    /// still the state word.
    #[inline(always)]
    pub(crate) fn prefetch_after_claim<S: ClaimMode>(&self, last: SegmentState, bytes: usize) {
        if S::current(self.block.state(), last.0) == last.0 {
            let at = last.unit_field() as usize * UNIT + bytes;
            self.block.prefetch_data_for_writing::<0>(at);
        }
    }

    /// [`try_claim`](Self::try_claim), but by one exchange: `None` too if another producer claims at
    /// this moment. For the fast path, which has no registers to spare for more.
    #[inline(always)]
    pub(crate) fn claim_at_once<S: ClaimMode>(
        &self,
        last: SegmentState,
        full: SegmentState,
        records: u32,
        units: u32,
    ) -> Option<SegmentState> {
        let word = self.block.state();
        let state = SegmentState(S::current(word, last.0));
        if !state.has_room(full, records, units) {
            return None;
        }
        let next = state.after(records, units);
        S::advance(word, state.0, next.0).ok().map(|()| state)
    }

    /// Claims `records` slots and `units` units at once. Returns the state word before the claim,
    /// where the claim begins ([`FrameClaim::new`]).
    ///
    /// `last` is what the caller knows of the state word ([`ClaimMode::current`]). `full` is
    /// [`SegmentState::full`] of the caller's partition, for segments of this shape.
    ///
    /// Returns words, from which the caller makes the claim, so that all of it stays in registers.
    ///
    /// `may_wait`: if other producers keep it from claiming, it may wait for them once
    /// ([`stand_back`](super::stand_back)).
    ///
    /// # Errors
    /// The state word, if it is not open in the partition or has no room for the frame.
    #[inline(always)]
    pub(crate) fn try_claim<S: ClaimMode>(
        &self,
        last: SegmentState,
        full: SegmentState,
        records: u32,
        units: u32,
        may_wait: bool,
    ) -> Result<SegmentState, SegmentState> {
        let word = self.block.state();
        let seen = S::current(word, last.0);
        let state = SegmentState(seen);
        if !state.has_room(full, records, units) {
            return Err(state);
        }
        match S::advance(word, seen, state.after(records, units).0) {
            Ok(()) => Ok(state),
            Err(now) => claim_beside_others::<S>(word, now, full, (records, units), may_wait),
        }
    }
}

/// Where a producer claims: a segment, and what its partition's producers share.
pub(crate) struct ClaimTarget {
    pub(crate) segment: Segment,
    /// The readers that wait for a frame to be published.
    pub(crate) waiting_readers: Arc<EventCount>,
    /// For claims that are given up. Others do not touch it.
    pub(crate) counters: SharedCounters,
}

/// The exclusive right to write a claimed frame and publish it.
///
/// Dropped unpublished, whether given up or unwound by a panic, it publishes an aborted frame,
/// which readers step over.
///
/// All its fields are whole words. Narrower ones would be written to the stack apart and read back
/// together, which stalls every send (`docs/performance-log.md`).
pub(crate) struct FrameClaim<'a> {
    target: &'a ClaimTarget,
    /// The target's memory: a copy, so that its address need not be loaded again after each store.
    block: Block,
    base: u64,
    /// The state word before the claim: the slot and the unit at which the claim begins.
    start: SegmentState,
    records: u64,
    bytes: usize,
    access: WriteAccess,
}

/// Distance in bytes from the beginning of a claim to the lines that are prefetched for writing,
/// unless the claim is longer: some sends ahead, and no further than the caches keep them.
const AHEAD_BYTES: usize = 512;

/// At most the lines of this many bytes are prefetched after a claim.
const MAX_AHEAD_BYTES: usize = 1024;

/// A frame of several records of up to this many bytes is short: no lines are prefetched after it.
const SHORT_FRAME_BYTES: usize = 2048;

impl<'a> FrameClaim<'a> {
    /// The claim that has advanced the state word of `segment` from `start` by `records` and
    /// `units`. `segment` is the target's: a copy, in registers. The thread that made that step
    /// makes this, once.
    #[inline(always)]
    pub(crate) fn new<S: ClaimMode>(
        target: &'a ClaimTarget,
        segment: Segment,
        start: SegmentState,
        records: u32,
        units: u32,
    ) -> FrameClaim<'a> {
        let bytes = units as usize * UNIT;
        let slot = start.record_field();
        // Once a line: producers that alternate would take the line from each other at each claim.
        // An exclusive producer prefetches at each claim, which is less work than the test.
        if S::EXCLUSIVE || segment.block.begins_line(slot) {
            segment.block.prefetch_slot_for_writing(slot);
        }
        // At each claim of a single record, even of one unit: prefetching only at the beginning of a
        // line was measured, and is slower. Not for a short frame of several records.
        if records == 1 || bytes > SHORT_FRAME_BYTES {
            segment.prefetch_data_for_writing(start.unit_field() as usize * UNIT, bytes);
        }
        FrameClaim {
            target,
            // SAFETY: M6: after the claim (S2), and used only until it is published.
            base: unsafe { segment.block.plain_base() },
            start,
            records: records.into(),
            bytes,
            access: (segment.block).write_access(start.unit_field() as usize * UNIT, bytes),
            block: segment.block,
        }
    }

    /// Writes `record` and publishes it; returns its offset. The claim is of one record, and of
    /// exactly its bytes ([`record_size`](super::record_size)).
    #[inline(always)]
    pub(crate) fn publish_record(mut self, record: &Record<'_>, time: Option<i64>) -> u64 {
        let (unit, offset) = (self.unit(), self.offset());
        let descriptor = write_record(self.bytes_mut(), unit, record, time);
        self.publish(descriptor);
        offset
    }

    /// Writes values of `value` bytes each, which lie back to back in `values`, and publishes them
    /// as one frame; returns the first one's offset. The claim is of as many records, and of
    /// exactly their bytes ([`uniform_size`](super::uniform_size)).
    #[inline(always)]
    pub(crate) fn publish_values(mut self, values: &[u8], value: usize, time: i64) -> u64 {
        let (unit, offset, records) = (self.unit(), self.offset(), self.records);
        let descriptor = write_values(self.bytes_mut(), unit, records, value, values, time);
        self.publish(descriptor);
        offset
    }

    /// Writes `records`, a partition's `share` of a batch, and publishes them as one frame; returns
    /// the first one's offset. The claim is of as many records, and of exactly [`BatchShare::size`]
    /// bytes. `time` is that of the records without one of their own.
    #[inline(always)]
    pub(crate) fn publish_batch<'r>(
        mut self,
        share: &BatchShare,
        records: impl Iterator<Item = &'r Record<'r>>,
        time: i64,
    ) -> u64 {
        let (unit, offset) = (self.unit(), self.offset());
        let descriptor = share.write(self.bytes_mut(), unit, records, time);
        self.publish(descriptor);
        offset
    }

    /// [`publish_batch`](Self::publish_batch) of a share [with a note](BatchShare::with_note).
    pub(crate) fn publish_with_note<'r>(
        mut self,
        share: &BatchShare,
        records: impl Iterator<Item = &'r Record<'r>>,
        time: i64,
        note: &[u64],
    ) -> u64 {
        let (unit, offset) = (self.unit(), self.offset());
        let descriptor = share.write_with_note(self.bytes_mut(), unit, records, time, note);
        self.publish(descriptor);
        offset
    }

    /// Writes a gathered frame and publishes it; returns the first record's offset. The claim is of
    /// as many records, and of exactly [`GatheredFrame::size`] bytes. `time` is that of the records
    /// without one of their own.
    #[inline(always)]
    pub(crate) fn publish_gathered(mut self, frame: &GatheredFrame, time: i64) -> u64 {
        let (unit, offset) = (self.unit(), self.offset());
        let descriptor = frame.write(self.bytes_mut(), unit, time);
        self.publish(descriptor);
        offset
    }

    /// Writes a record but for its value of `value` bytes, which the caller then writes in place.
    /// The claim is of one record, and of exactly its bytes
    /// ([`in_place_size`](super::in_place_size)).
    #[inline(always)]
    pub(crate) fn begin_record(
        mut self,
        value: usize,
        key: Option<&[u8]>,
        time: Option<i64>,
    ) -> RecordClaim<'a> {
        let unit = self.unit();
        let descriptor = write_all_but_value(self.bytes_mut(), unit, value, key, time);
        RecordClaim {
            frame: self,
            descriptor,
        }
    }

    /// Offset of the frame's first record.
    #[inline(always)]
    fn offset(&self) -> u64 {
        self.base + u64::from(self.start.record_field())
    }

    /// The frame's first unit.
    #[inline(always)]
    fn unit(&self) -> u32 {
        self.start.unit_field()
    }

    /// Byte position of the frame.
    fn at(&self) -> usize {
        self.start.unit_field() as usize * UNIT
    }

    /// The frame's bytes, with what earlier lives have left there.
    #[inline(always)]
    fn bytes_mut(&mut self) -> &mut [u8] {
        let at = self.at();
        // SAFETY: S1: the claim is exclusive, and within the segment (M3); S3, M4: it is not
        // published, because `publish` and `drop` end it.
        unsafe { self.block.claimed_mut(at, self.bytes, &mut self.access) }
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        // SAFETY: as in `bytes_mut`.
        unsafe { self.block.claimed(self.at(), self.bytes, &self.access) }
    }

    /// Makes the frame visible to readers, all of it at once.
    #[inline(always)]
    fn publish(self, descriptor: Descriptor) {
        debug_assert_eq!(u64::from(descriptor.slots()), self.records);
        let mut this = ManuallyDrop::new(self);
        // SAFETY: dropped once, here: `this` is never dropped. The access ends before the
        // bytes become the readers' (S5).
        unsafe { core::ptr::drop_in_place(&mut this.access) };
        this.target.publish(&this.block, this.start, descriptor);
        // SAFETY: dropped once, as above. (Nothing at all in the plain build.)
        unsafe { core::ptr::drop_in_place(&mut this.block) };
    }
}

impl ClaimTarget {
    #[inline(always)]
    fn publish(&self, block: &Block, start: SegmentState, descriptor: Descriptor) {
        // Release, to readers (`segment.descriptor`) and to the thread that recycles the segment
        // (`segment.recycle`): the frame's bytes (S5).
        block.fill_slot(
            start.record_field(),
            descriptor.0,
            ord!("segment.publish", P2, Release),
        );
        self.waiting_readers.notify();
    }

    /// Ends an unpublished claim of `records` records that begins at `start`. Out of line and by
    /// values, so that claims that are published stay in registers.
    #[cold]
    #[inline(never)]
    fn give_up(&self, start: SegmentState, records: u64) {
        self.counters.count_abort(records);
        let aborted = Descriptor::new(Kind::Aborted, start.unit_field(), records);
        self.publish(&self.segment.block, start, aborted);
    }
}

impl Drop for FrameClaim<'_> {
    fn drop(&mut self) {
        // The access may end after this store: the bytes of an aborted frame are never read, and
        // the plain build's access is nothing at all. Under loom it must end first.
        #[cfg(loom)]
        {
            self.access = self.block.write_access(0, 0);
        }
        self.target.give_up(self.start, self.records);
    }
}

/// A claim of one record that is written but for its value. Dropped unpublished, it publishes an
/// aborted frame, as its [`FrameClaim`] does.
pub(crate) struct RecordClaim<'a> {
    frame: FrameClaim<'a>,
    descriptor: Descriptor,
}

impl RecordClaim<'_> {
    /// The record's offset.
    #[inline]
    pub(crate) fn offset(&self) -> u64 {
        self.frame.offset()
    }

    /// The value, with what earlier lives have left there.
    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        &self.frame.bytes()[..self.descriptor.length()]
    }

    /// The value, to be written.
    #[inline]
    pub(crate) fn value_mut(&mut self) -> &mut [u8] {
        &mut self.frame.bytes_mut()[..self.descriptor.length()]
    }

    /// Makes the record visible to readers.
    #[inline]
    pub(crate) fn publish(self) {
        self.frame.publish(self.descriptor);
    }
}
