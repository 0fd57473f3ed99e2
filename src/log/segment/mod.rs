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

mod claim;
mod descriptor;
mod frame;
mod memory;
mod records;
mod shape;
mod state;
mod values;

pub use claim::{ExclusiveMode, SharedMode};
pub use frame::Headers;
pub use records::{RecordRef, Records};
pub use values::Values;

pub(crate) use claim::{ClaimMode, ClaimTarget, FrameClaim, RecordClaim};
pub(crate) use descriptor::UNIT;
pub(in crate::log) use descriptor::{Descriptor, Kind};
pub(crate) use frame::{BatchShare, in_place_size, record_size, uniform_size};
pub(crate) use records::RecordRun;
pub(crate) use shape::SegmentShape;
pub(crate) use state::{MAX_NUMBER, MAX_RECORDS, MAX_UNITS, SegmentState};

use crate::log::partition_id::PartitionId;
use crate::sync::{AtomicU64, ord};
#[cfg(loom)]
pub(crate) use memory::ReadAccess;
pub(crate) use memory::Slab;
use memory::{Block, Bytes, Index};
use shape::SLOTS_IN_LINE;

/// What retention goes by, and what is told of a partition's bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RetentionMark {
    /// When the life was prepared, by [`clock::monotonic`](clock::monotonic): all that is
    /// in the segments before it was claimed by then. Zero where retention does not ask for it.
    pub(crate) created_at: u64,
    /// Units of the partition's segments before it, from the first on.
    pub(crate) before: u64,
}

/// Nobody has left word of a life's latest time.
const UNKNOWN: u64 = 0;

/// What is added to a time, of which the first is -1, none.
const FIRST_TIME: u64 = 2;

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
    pub(crate) fn open(&self, partition: PartitionId, number: u64) {
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

    /// The descriptor at a slot. What it describes may be read while the segment is held.
    #[inline]
    pub(in crate::log) fn descriptor(&self, slot: u32) -> Descriptor {
        published(self.block.index(slot))
    }

    /// Steps over single records, many at once, as far as those go and at most to `stop`. Answers the
    /// slot behind them, and the last one's descriptor; `before` if there are none.
    #[inline]
    pub(in crate::log) fn step_over(
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
    pub(crate) fn read_access(&self) -> ReadAccess {
        self.block.read_access()
    }

    /// Extends the right to read to `len` bytes at `at`.
    #[cfg(loom)]
    pub(crate) fn cover(&self, access: &mut ReadAccess, at: usize, len: usize) {
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
    pub(crate) fn prepare(&self, partition: PartitionId, number: u64, base: u64) {
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
    unsafe fn descriptor(self, slot: u32) -> Descriptor {
        // SAFETY: the caller's promise.
        Descriptor(unsafe { self.0.known(slot) })
    }
}
