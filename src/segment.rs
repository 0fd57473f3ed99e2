//! One append buffer: claim, fill, publish, read, seal, recycle.
//!
//! # The life of a segment
//!
//! A segment is used again and again, each time as another numbered segment of some
//! partition: a **life**. Its `head` word says where in its life it is, and every step is
//! one atomic step on that word, so that a thread may stop between any two:
//!
//! | head | who may do what |
//! |---|---|
//! | `FRESH(partition, number)` | Its index is all zero. In the pool or in the hands of one roller, until it is put into the partition's table under `number`; from then on **any** thread that found it there may open it. |
//! | `OPEN(partition, records, units)` | Producers of `partition` claim. Anybody may seal. |
//! | `SEALED(partition, records, units)` | Final. Whoever sealed it owes END at slot `records`. Once retired and nobody's any more, one thread takes it out of the pool and makes it fresh. |
//!
//! # Invariants
//!
//! - **S1** A claim is exclusive. Claims are compare-and-swaps of `head`, each from the
//!   value it saw to one further on, so no two claims share a slot or a byte. (The
//!   exclusive producer's claims are plain stores: nobody else writes `head` while the
//!   segment is open, because a topic has no other producer then. Nor need it read `head` again.)
//! - **S2** A claim is in its own partition. The expected value of the claim holds the
//!   partition, and `OPEN` is reached only through the partition's table. So a producer that
//!   slept from reading `head` to its compare-and-swap, while the segment was retired,
//!   recycled and opened again, either fails or has a good claim in a later life of the same
//!   partition: it reads `base` only *after* the claim. There is no third case, and nothing
//!   to undo. A life is opened once: `FRESH` holds the full number, which never comes back.
//! - **S3** A segment is not recycled while a claim in it is unpublished: `recycle` needs
//!   every frame up to END, and END is at the final count. So what a claimer read of the
//!   life stays true until it publishes, and its bytes are its own.
//! - **S4** A segment is not recycled while a reader holds it (`readers.rs`, `pool.rs`).
//! - **S5** A frame's bytes are written before its descriptor is stored (Release, P2) and
//!   read after the descriptor was loaded (Acquire, P2); nobody writes them again in this life.
#![allow(unsafe_code)]

use crate::counts::SharedCounters;
use crate::frame::{Descriptor, Kind, UNIT};
use crate::head::SegmentState;
use crate::memory::{Block, Bytes, Index, SLOTS_IN_LINE, SegmentShape, WriteAccess};
use crate::sleepers::EventCount;
use crate::sync::{AtomicU64, ord, store_alone};
use core::mem::ManuallyDrop;
use std::sync::Arc;

/// What retention goes by, and what is told of a partition's bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RetentionMark {
    /// When the life was prepared, by [`clock::monotonic`](crate::clock::monotonic): all that is
    /// in the segments before it was claimed by then. Zero where retention does not ask for it.
    pub(crate) created_at: u64,
    /// Units of the partition's segments before it, from the first on.
    pub(crate) before: u64,
}

/// Nobody has left word of a life's latest time.
const UNKNOWN: u64 = 0;
/// What is added to a time, of which the first is -1, none.
const FIRST_TIME: u64 = 2;

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
        store_alone(head, next, ord!("segment.claim_alone", P7, Release));
        Ok(())
    }
}

/// What a reader finds in a slot of the index.
#[inline(always)]
fn published(slot: &AtomicU64) -> Descriptor {
    Descriptor(slot.load(ord!("segment.descriptor", P2, Acquire)))
}

/// One segment: where its memory is, and its measures. A copy is the same segment, for as long as
/// the topic lives (M2).
#[derive(Clone)]
pub(crate) struct Segment {
    block: Block,
    shape: SegmentShape,
}

impl Segment {
    pub(crate) fn new(block: Block, shape: SegmentShape) -> Segment {
        Segment { block, shape }
    }

    #[inline]
    pub(crate) fn shape(&self) -> SegmentShape {
        self.shape
    }

    // ---- appending ----------------------------------------------------------------------

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
                    crate::sync::spin_loop();
                }
            }
        }
    }

    /// Ends the claiming, if `seen` is still the head. Whoever does it owes END, and pays at
    /// once: a thread that stops in between keeps this one segment from being recycled, and
    /// readers find the end in `head`.
    pub(crate) fn seal(&self, seen: SegmentState) {
        // Acquire: the zeroing of the slot that END goes to happened before.
        let sealed = self.block.state().compare_exchange(
            seen.0,
            seen.sealed().0,
            ord!("segment.seal", P1, Acquire),
            ord!(Relaxed),
        );
        if sealed.is_ok() {
            // Release, to whoever recycles it, and so to readers of the next life: END lends no bytes,
            // but a record may be in its slot then, whose descriptor is read as plain memory (M5).
            self.block.fill_slot(
                seen.records(),
                Descriptor::END.0,
                ord!("segment.end", P6, Release),
            );
        }
    }

    /// Opens a fresh segment that the caller found in the partition's table under `number`.
    pub(crate) fn open(&self, partition: u16, number: u64) {
        // Release, to whoever claims in this life: that it is the active segment, and its entry
        // in the table. (Base and index come with the release of whoever prepared it.) Failing
        // means that another thread has opened it.
        let _ = self.block.state().compare_exchange(
            SegmentState::fresh(partition, number).0,
            SegmentState::open(partition).0,
            ord!("segment.open", P11, Release),
            ord!(Relaxed),
        );
    }

    /// The head, as a hint: a claim or a seal tells whether it was true.
    #[inline]
    pub(crate) fn state(&self) -> SegmentState {
        SegmentState(self.block.state().load(ord!(Relaxed)))
    }

    // ---- reading ------------------------------------------------------------------------

    /// The descriptor at a slot. What it describes may be read while the segment is held.
    #[inline]
    pub(crate) fn descriptor(&self, slot: u32) -> Descriptor {
        published(self.block.index(slot))
    }

    /// Steps over single records, many at once, as far as those go and at most to `stop`. Answers the
    /// slot behind them, and the last one's descriptor; `before` if there are none.
    #[inline]
    pub(crate) fn step_over(
        &self,
        mut slot: u32,
        stop: u32,
        before: Descriptor,
    ) -> (u32, Descriptor) {
        let mut last = before;
        while stop - slot >= SLOTS_IN_LINE {
            let found = self.block.slots(slot).each_ref().map(published);
            if !Descriptor::are_records(&found) {
                break;
            }
            slot += SLOTS_IN_LINE;
            last = found[found.len() - 1];
        }
        (slot, last)
    }

    /// Says that the descriptor at a slot will soon be looked at.
    #[inline(always)]
    pub(crate) fn will_look(&self, slot: u32) {
        self.block.will_look(slot);
    }

    /// Says that the data at `at` will soon be read, if it is there by then.
    #[inline(always)]
    pub(crate) fn will_read(&self, at: usize) {
        self.block.will_read(at);
    }

    /// The descriptors that a cursor has found published in this life.
    #[inline]
    pub(crate) fn known(&self) -> PublishedIndex<'_> {
        PublishedIndex(self.block.index_view())
    }

    /// The data, for reading published frames while the segment is held.
    #[inline]
    pub(crate) fn bytes(&self) -> Bytes<'_> {
        self.block.bytes()
    }

    /// The right to read, which the models check: nothing yet.
    #[cfg(loom)]
    pub(crate) fn read_access(&self) -> crate::memory::ReadAccess {
        self.block.read_access()
    }

    /// Extends the right to read to `len` bytes at `at`.
    #[cfg(loom)]
    pub(crate) fn cover(&self, access: &mut crate::memory::ReadAccess, at: usize, len: usize) {
        access.cover(&self.block, at, len);
    }

    /// Offset of slot 0 in this life, for who holds the segment.
    pub(crate) fn base(&self) -> u64 {
        self.block.base().load(ord!(Relaxed))
    }

    /// Number of this life, for who owns or holds the segment.
    pub(crate) fn number(&self) -> u64 {
        self.block.number().load(ord!(Relaxed))
    }

    /// The latest time of this life's records, if a lookup has found all of them published and
    /// has left word. For who holds the segment.
    pub(crate) fn latest(&self) -> Option<i64> {
        let word = self.block.latest().load(ord!(Relaxed));
        (word != UNKNOWN).then(|| word.wrapping_sub(FIRST_TIME) as i64)
    }

    /// Leaves word of it, for the lookups to come.
    pub(crate) fn set_latest(&self, time: i64) {
        let word = (time as u64).wrapping_add(FIRST_TIME);
        self.block.latest().store(word, ord!(Relaxed));
    }

    /// When this life began, and what had been appended before it. Right if the segment is live
    /// after it was asked (`retention.rs`).
    pub(crate) fn retention_mark(&self) -> RetentionMark {
        RetentionMark {
            created_at: self.block.created_at().load(ord!(Relaxed)),
            before: self.block.before().load(ord!(Relaxed)),
        }
    }

    /// Marks the life that is to begin. Only for the segment's one owner, before
    /// [`prepare`](Self::prepare).
    pub(crate) fn set_retention_mark(&self, mark: RetentionMark) {
        if mark.created_at != 0 {
            self.block
                .created_at()
                .store(mark.created_at, ord!(Relaxed));
        }
        // Release, to lookups that do not hold the segment, as in `prepare`.
        self.block
            .before()
            .store(mark.before, ord!("segment.set_retention_mark", P7, Release));
    }

    /// Base and head for who does not hold the segment and checks afterwards, by the log
    /// start, that they are of the life that was meant: Acquire, so that a later life's
    /// values bring that life's log start with them (P7).
    pub(crate) fn base_unheld(&self) -> u64 {
        self.block
            .base()
            .load(ord!("segment.base_unheld", P7, Acquire))
    }

    /// See [`base_unheld`](Self::base_unheld): the mark's units.
    pub(crate) fn before_unheld(&self) -> u64 {
        self.block
            .before()
            .load(ord!("segment.before_unheld", P7, Acquire))
    }

    /// See [`base_unheld`](Self::base_unheld).
    pub(crate) fn state_unheld(&self) -> SegmentState {
        SegmentState(
            self.block
                .state()
                .load(ord!("segment.state_unheld", P7, Acquire)),
        )
    }

    // ---- recycling ----------------------------------------------------------------------

    /// Empties the index of a retired segment that no reader holds, if every frame of it is
    /// published. Only for the one thread that has taken it out of the pool. Stopped by an
    /// unpublished frame it answers `false`, and the next try goes on from there.
    pub(crate) fn recycle(&self) -> bool {
        let mut slot = self.block.recycled().load(ord!(Relaxed)) as u32;
        // Acquire: the last writes to the frame's bytes happened before their reuse.
        let last_look =
            |word: &AtomicU64| Descriptor(word.load(ord!("segment.recycle", P6, Acquire)));
        loop {
            // Single records, as far as they go: many at once, and then the rest. END is behind the
            // last, at slot `records` or before.
            while self.shape.records - slot >= SLOTS_IN_LINE
                && Descriptor::are_records(&self.block.slots(slot).each_ref().map(last_look))
            {
                self.block.empty_slots(slot);
                slot += SLOTS_IN_LINE;
            }
            let mut found = last_look(self.block.index(slot));
            while found.is_record() {
                self.block.empty_slot(slot);
                slot += 1;
                found = last_look(self.block.index(slot));
            }
            match found.kind() {
                Kind::Empty => {
                    self.block.recycled().store(u64::from(slot), ord!(Relaxed));
                    return false;
                }
                Kind::End => {
                    self.block.empty_slot(slot);
                    self.block.recycled().store(0, ord!(Relaxed));
                    self.block.latest().store(UNKNOWN, ord!(Relaxed));
                    return true;
                }
                _ => {
                    self.block.empty_slot(slot);
                    slot += found.slots();
                }
            }
        }
    }

    /// Makes the segment fresh for a new life. Only for its one owner, and only when its
    /// index is all zero.
    pub(crate) fn prepare(&self, partition: u16, number: u64, base: u64) {
        self.block.number().store(number, ord!(Relaxed));
        // Release, to lookups that do not hold the segment; everybody else gets it through
        // the table (P3) or the claim (P1).
        self.block
            .base()
            .store(base, ord!("segment.prepare_base", P7, Release));
        // Release, to whoever claims in this life, by way of the exchanges that open the
        // segment and claim before it: its base and its zeroed index. To lookups as well (P7).
        self.block.state().swap(
            SegmentState::fresh(partition, number).0,
            ord!("segment.prepare_head", P1, Release),
        );
    }
}

/// See [`Segment::known`].
#[derive(Clone, Copy)]
pub(crate) struct PublishedIndex<'a>(Index<'a>);

impl PublishedIndex<'_> {
    /// # Safety
    /// M5: the slot was found published in this life, and the segment is held.
    #[inline(always)]
    pub(crate) unsafe fn descriptor(self, slot: u32) -> Descriptor {
        // SAFETY: the caller's promise.
        Descriptor(unsafe { self.0.known(slot) })
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

    /// Offset of the frame's first record.
    #[inline(always)]
    pub(crate) fn offset(&self) -> u64 {
        self.base + u64::from(self.head.claimed_records())
    }

    /// Position of the frame's first unit.
    #[inline(always)]
    pub(crate) fn unit(&self) -> u32 {
        self.head.units()
    }

    fn at(&self) -> usize {
        self.head.units() as usize * UNIT
    }

    /// The frame's bytes, whatever was in them before.
    #[inline(always)]
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        let at = self.at();
        // SAFETY: S1: the claim is exclusive, and within the segment (M3); S3, M4: it is not
        // published, because `publish` and `drop` end it.
        unsafe { self.block.claimed(at, self.bytes, &mut self.access) }
    }

    /// The frame's bytes, to look at.
    #[inline]
    pub(crate) fn bytes_ref(&self) -> &[u8] {
        // SAFETY: as in `bytes`.
        unsafe { self.block.claimed_ref(self.at(), self.bytes, &self.access) }
    }

    /// Makes the frame visible to readers, all of it at once.
    #[inline(always)]
    pub(crate) fn publish(self, descriptor: Descriptor) {
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
        self.counts.abort(records);
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
