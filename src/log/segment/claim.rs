#![allow(unsafe_code)]

use super::Segment;
use super::descriptor::{Descriptor, Kind, UNIT};
use super::frame::{BatchShare, write_around_value, write_record, write_values};
use super::state::SegmentState;
use crate::log::counters::SharedCounters;
use crate::log::segment::memory::{Block, WriteAccess};
use crate::record::Record;
use crate::sync::{AtomicU64, ord, spin_loop, store_exclusive};
use crate::wait::EventCount;
use core::mem::ManuallyDrop;
use std::sync::Arc;

/// How a producer moves `head` on: the one step in which the kinds of producer differ.
#[allow(unreachable_pub)] // in the bounds of the public `Producer`, and not to be named
pub trait ClaimMode: 'static {
    /// Whether this is the topic's only producer.
    const EXCLUSIVE: bool;

    /// What to claim from, `last` being where this producer's last claim has left `head`.
    fn look(head: &AtomicU64, last: u64) -> u64;

    /// Moves `head` from `seen` to `next`, or tells what it is instead.
    fn step(head: &AtomicU64, seen: u64, next: u64) -> Result<(), u64>;
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
    fn look(head: &AtomicU64, _last: u64) -> u64 {
        head.load(ord!(Relaxed))
    }

    #[inline]
    fn step(head: &AtomicU64, seen: u64, next: u64) -> Result<(), u64> {
        // Acquire, from whoever prepared this life: its base and its zeroed index.
        head.compare_exchange_weak(
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
    fn look(_head: &AtomicU64, last: u64) -> u64 {
        // Nobody else has written it (S1), and a producer forgets it where it may seal (`lane.rs`).
        // To read it again is to wait for the store of the last claim.
        last
    }

    #[inline]
    fn step(head: &AtomicU64, _seen: u64, next: u64) -> Result<(), u64> {
        // This producer opened the life itself, or took the topic over from those who did
        // (P9); nobody else writes `head` while it is open (S1). Release, because a plain store
        // does not carry on the release of whoever prepared the life, which lookups need (P7).
        store_exclusive(head, next, ord!("segment.claim_alone", P7, Release));
        Ok(())
    }
}

impl Segment {
    /// Says that a frame like the one that was just claimed will soon be written.
    #[inline(always)]
    fn will_write(&self, at: usize, bytes: usize) {
        const LINE: usize = 64;
        if bytes <= LINE {
            return self.block.will_write::<AHEAD>(at);
        }
        let from = at + bytes.saturating_sub(AHEAD);
        let mut line = 0;
        while line < bytes.min(MOST_AHEAD) {
            self.block.will_write::<AHEAD>(from + line);
            line += LINE;
        }
    }

    /// Claims `records` slots and `units` units, both at once, and answers what the head was
    /// before: the claim begins there ([`FrameClaim::new`]). Refused, it answers what the head is:
    /// not open in the partition, or without room for so much. `last` is what the caller knows of the
    /// head ([`ClaimMode::look`]), and `full` is [`SegmentState::full`] of the partition, for segments of
    /// this shape.
    ///
    /// The answers are words, and the claim is put together by the caller, so that all of it
    /// stays in registers.
    #[inline(always)]
    pub(crate) fn try_claim<S: ClaimMode>(
        &self,
        last: SegmentState,
        full: SegmentState,
        records: u32,
        units: u32,
    ) -> Result<SegmentState, SegmentState> {
        let word = self.block.state();
        let mut seen = S::look(word, last.0);
        loop {
            let head = SegmentState(seen);
            if !head.has_room(full, records, units) {
                return Err(head);
            }
            match S::step(word, seen, head.after(records, units).0) {
                Ok(()) => return Ok(head),
                Err(now) => {
                    // Another producer was first: it has its claim, so somebody goes on.
                    seen = now;
                    spin_loop();
                }
            }
        }
    }
}

/// Where a producer claims: a segment, and what its partition's producers share.
pub(crate) struct ClaimTarget {
    pub(crate) segment: Segment,
    /// Who sleeps until something is published there.
    pub(crate) readers: Arc<EventCount>,
    /// For the claims that are given up. The others do not look at it.
    pub(crate) counts: SharedCounters,
}

/// The exclusive right to fill a claimed frame and publish it.
///
/// Dropped unpublished, whether given up or unwound by a panic, it publishes an aborted
/// frame, which readers step over.
///
/// All its fields are whole words: narrower ones are written to the stack apart and read
/// back together, which stalls every send (`docs/performance.md`).
pub(crate) struct FrameClaim<'a> {
    target: &'a ClaimTarget,
    /// The target's memory: a copy, so that where it is need not be read again after each store.
    block: Block,
    base: u64,
    /// The head before the claim: slot and unit of its beginning.
    head: SegmentState,
    records: u64,
    bytes: usize,
    access: WriteAccess,
}

/// How far after the beginning of a claim, in bytes, lie the lines that are fetched to be written
/// later, unless the claim is longer: some sends ahead, and no further than the caches keep them.
const AHEAD: usize = 512;

/// The lines of so many bytes are fetched at most.
const MOST_AHEAD: usize = 1024;

impl<'a> FrameClaim<'a> {
    /// The claim that moved the head of the target's segment on from `head` by so many records and
    /// units. Whoever made that step makes this, once.
    #[inline(always)]
    pub(crate) fn new<S: ClaimMode>(
        target: &'a ClaimTarget,
        segment: Segment,
        head: SegmentState,
        records: u32,
        units: u32,
    ) -> FrameClaim<'a> {
        let bytes = units as usize * UNIT;
        let slot = head.claimed_records();
        // Once a line: producers that claim by turns would take it from each other at each claim.
        // Where there are no others, to ask at each claim is less work than to ask whether to.
        if S::EXCLUSIVE || segment.block.begins_line(slot) {
            segment.block.will_fill(slot);
        }
        // At each claim, of one unit as well: only those that begin a line was measured, and is slower.
        segment.will_write(head.units() as usize * UNIT, bytes);
        FrameClaim {
            target,
            // SAFETY: M6: after the claim (S2), and used only until it is published.
            base: unsafe { segment.block.known_base() },
            head,
            records: records.into(),
            bytes,
            access: (segment.block).write_access(head.units() as usize * UNIT, bytes),
            block: segment.block,
        }
    }

    /// Writes `record` and makes it visible to readers; returns its offset. The claim is of one
    /// record and of exactly its bytes ([`record_size`](super::record_size)).
    #[inline(always)]
    pub(crate) fn publish_record(mut self, record: &Record<'_>, time: Option<i64>) -> u64 {
        let (unit, offset) = (self.unit(), self.offset());
        let descriptor = write_record(self.bytes(), unit, record, time);
        self.publish(descriptor);
        offset
    }

    /// Writes values of `value` bytes each, which lie in `values` back to back, and makes them visible
    /// to readers, all at once; returns the first one's offset. The claim is of as many records.
    #[inline(always)]
    pub(crate) fn publish_values(mut self, values: &[u8], value: usize, time: i64) -> u64 {
        let (unit, offset, records) = (self.unit(), self.offset(), self.records);
        let descriptor = write_values(self.bytes(), unit, records, value, values, time);
        self.publish(descriptor);
        offset
    }

    /// Writes a partition's share of a batch, which is `records`, and makes it visible to readers, all
    /// at once; returns the first record's offset. `time` is that of the records without their own.
    #[inline(always)]
    pub(crate) fn publish_batch<'r>(
        mut self,
        share: &BatchShare,
        records: impl Iterator<Item = &'r Record<'r>>,
        time: i64,
    ) -> u64 {
        let (unit, offset) = (self.unit(), self.offset());
        let descriptor = share.write(self.bytes(), unit, records, time);
        self.publish(descriptor);
        offset
    }

    /// Writes time and key of a record whose value, of `value` bytes, is then written in place. The
    /// claim is of one record and of exactly its bytes ([`in_place_size`](super::in_place_size)).
    #[inline(always)]
    pub(crate) fn in_place(
        mut self,
        value: usize,
        key: Option<&[u8]>,
        time: Option<i64>,
    ) -> RecordClaim<'a> {
        let unit = self.unit();
        let descriptor = write_around_value(self.bytes(), unit, value, key, time);
        RecordClaim {
            frame: self,
            descriptor,
        }
    }

    /// Offset of the frame's first record.
    #[inline(always)]
    fn offset(&self) -> u64 {
        self.base + u64::from(self.head.claimed_records())
    }

    /// Position of the frame's first unit.
    #[inline(always)]
    fn unit(&self) -> u32 {
        self.head.units()
    }

    fn at(&self) -> usize {
        self.head.units() as usize * UNIT
    }

    /// The frame's bytes, whatever was in them before.
    #[inline(always)]
    fn bytes(&mut self) -> &mut [u8] {
        let at = self.at();
        // SAFETY: S1: the claim is exclusive, and within the segment (M3); S3, M4: it is not
        // published, because `publish` and `drop` end it.
        unsafe { self.block.claimed(at, self.bytes, &mut self.access) }
    }

    /// The frame's bytes, to look at.
    #[inline]
    fn bytes_ref(&self) -> &[u8] {
        // SAFETY: as in `bytes`.
        unsafe { self.block.claimed_ref(self.at(), self.bytes, &self.access) }
    }

    /// Makes the frame visible to readers, all of it at once.
    #[inline(always)]
    fn publish(self, descriptor: Descriptor) {
        debug_assert_eq!(u64::from(descriptor.slots()), self.records);
        let mut this = ManuallyDrop::new(self);
        // SAFETY: dropped once, here: `this` is never dropped. The access ends before the
        // bytes become the readers' (S5).
        unsafe { core::ptr::drop_in_place(&mut this.access) };
        this.target.publish(&this.block, this.head, descriptor);
        // SAFETY: dropped once, as above. (Nothing at all in the plain build.)
        unsafe { core::ptr::drop_in_place(&mut this.block) };
    }
}

/// A claim of one record all of which is written but its value. Dropped unpublished, it is an aborted
/// frame, as its [`FrameClaim`] is.
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

    /// The value's bytes, whatever was in them before.
    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        &self.frame.bytes_ref()[..self.descriptor.length()]
    }

    /// The value's bytes, to be written.
    #[inline]
    pub(crate) fn value_mut(&mut self) -> &mut [u8] {
        &mut self.frame.bytes()[..self.descriptor.length()]
    }

    /// Makes the record visible to readers.
    #[inline]
    pub(crate) fn publish(self) {
        self.frame.publish(self.descriptor);
    }
}

impl ClaimTarget {
    #[inline(always)]
    fn publish(&self, block: &Block, head: SegmentState, descriptor: Descriptor) {
        block.fill_slot(
            head.claimed_records(),
            descriptor.0,
            ord!("segment.publish", P2, Release),
        );
        self.readers.notify();
    }

    /// Ends the claim of so many records that began at `head`, unpublished. Out of line, and by
    /// values: so that claims that are published stay in registers.
    #[cold]
    #[inline(never)]
    fn give_up(&self, head: SegmentState, records: u64) {
        self.counts.count_abort(records);
        let aborted = Descriptor::new(Kind::Aborted, head.units(), records);
        self.publish(&self.segment.block, head, aborted);
    }
}

impl Drop for FrameClaim<'_> {
    fn drop(&mut self) {
        // The access may end after this store: nobody reads the bytes of an aborted frame,
        // and the plain build's access is nothing at all. Under loom it must end first.
        #[cfg(loom)]
        {
            self.access = self.block.write_access(0, 0);
        }
        self.target.give_up(self.head, self.records);
    }
}
