//! A segment: one append buffer of a partition, with an index of what was published in it.
//!
//! A segment is a block of memory of the topic's pool ([`memory`]). It is used again and again,
//! each time under another number, by the same partition or another. Each use is one **life**.
//! Producers claim and publish frames in it without a lock, and readers read them where they lie.
//!
//! # The life of a segment
//!
//! The **state word** says where in its life a segment is. Every step is one atomic operation on
//! that word, so a thread may stop between any two steps.
//!
//! ```text
//!                      open              seal
//!            FRESH ------------> OPEN ---------> SEALED
//!              ^                |    ^              |
//!      prepare |       try_claim +--+               | retire: the log start passes it
//!              |                                    v
//!            empty <-------------------------- in the pool
//!                           recycle
//! ```
//!
//! | state word | what is allowed |
//! |---|---|
//! | `FRESH(partition, number)` | The index is all zero. The segment is in the pool or owned by one roller, until it is put into the partition's table under `number`. From then on **any** thread that finds it there may open it. |
//! | `OPEN(partition, records, units)` | Producers of `partition` claim. Any thread may seal. |
//! | `SEALED(partition, records, units)` | Final. The sealing thread owes END at slot `records`. Once the segment is retired and without an owner, one thread takes it out of the pool, recycles it and prepares its next life. |
//!
//! [`open`](Segment::open) and [`seal`](Segment::seal) are steps of the roll (`partition/roll.rs`),
//! and retiring is another (`partition/retire.rs`). [`recycle`](Segment::recycle) zeroes the index
//! of a segment that no reader holds and whose frames are all published; `segment_pool.rs` has its
//! rules. Memory that was never used is empty: its state word is zero, which is `FRESH(0, 0)`.
//!
//! # Invariants
//!
//! - **S1** A claim is exclusive. A claim is a compare-and-swap of the state word from the value
//!   that was read to one further on, so no two claims share a slot or a byte. (The exclusive
//!   producer claims by plain stores: while the segment is open it is the word's only writer,
//!   because the topic has no other producer then. For the same reason it need not read the word
//!   again.)
//! - **S2** A claim is in its own partition. The expected value of the exchange holds the
//!   partition, and `OPEN` is reached only through the partition's table. A producer may stall
//!   between reading the word and its exchange, while the segment is retired, recycled and opened
//!   again. Then it either fails or has a valid claim in a later life of the same partition,
//!   because it reads `base` only *after* the claim. There is no third case, and nothing to undo. A
//!   life is opened once: `FRESH` holds the full number, which is never used again.
//! - **S3** A segment is not recycled while a claim in it is unpublished: `recycle` needs every
//!   frame up to END, and END is at the final count. So what a claimer has read about the life
//!   stays true until it publishes, and its bytes are its own.
//! - **S4** A segment is not recycled while a reader holds it (`log/holds.rs`,
//!   `log/segment_pool.rs`).
//! - **S5** A frame's bytes are written before its descriptor is stored (Release, P2) and read
//!   after the descriptor was loaded (Acquire, P2). They are not written again in this life.
#![allow(unsafe_code)]

mod batch_share;
mod chunk;
mod claim;
mod descriptor;
mod frame;
mod gathered_frame;
mod memory;
mod record_ref;
mod records;
mod shape;
mod stand_back;
mod state;
mod values;

pub use claim::{ExclusiveMode, SharedMode};
pub use frame::Headers;
pub use record_ref::{RecordRef, Records};
pub use values::Values;

pub(crate) use batch_share::{BatchShare, SimpleRecord};
pub(crate) use chunk::FrameRun;
pub(crate) use chunk::{WORDS_BEFORE_CHUNK, check_chunk};
pub(crate) use claim::{ClaimMode, ClaimTarget, FrameClaim, RecordClaim};
pub(crate) use descriptor::UNIT;
pub(in crate::log) use descriptor::{Descriptor, Kind};
pub(crate) use frame::{in_place_size, record_size, uniform_size};
pub(crate) use gathered_frame::{GatheredFrame, GatheredRecord, gathered_size};
pub(crate) use records::{RecordRun, StoredRecords};
pub(crate) use shape::SegmentShape;
pub(crate) use state::{MAX_NUMBER, MAX_RECORDS, MAX_UNITS, SegmentState};

use crate::log::partition_id::PartitionId;
use crate::sync::{AtomicU64, ord};
#[cfg(loom)]
pub(crate) use memory::ReadAccess;
pub(crate) use memory::Slab;
use memory::{Block, Bytes, Index};
use shape::SLOTS_PER_LINE;

/// What retention needs to know of a life: when it began, and how much was appended before it.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::log) struct RetentionMark {
    /// When the life was prepared, by [`clock::monotonic`](crate::clock::monotonic): an upper bound
    /// on every append in the segments before it.
    pub(in crate::log) created_at: u64,
    /// Units used by the partition's segments before this one, counted from its first.
    pub(in crate::log) units_before: u64,
}

/// Sentinel: the segment's maximum timestamp has not been cached.
const NOT_CACHED: u64 = 0;

/// Added to a timestamp before it is stored, so that none is [`NOT_CACHED`]: the lowest is -1,
/// which stands for "no timestamp".
const TIMESTAMP_BIAS: u64 = 2;

/// Loads a slot of the index as a reader does.
#[inline(always)]
fn load_descriptor(slot: &AtomicU64) -> Descriptor {
    Descriptor(slot.load(ord!("segment.descriptor", P2, Acquire)))
}

/// A handle to one segment: where its memory is, and its shape. A copy is the same segment, valid
/// for as long as the pool lives (M2).
#[derive(Clone)]
pub(crate) struct Segment {
    block: Block,
    shape: SegmentShape,
}

impl Segment {
    pub(in crate::log) fn new(block: Block, shape: SegmentShape) -> Segment {
        Segment { block, shape }
    }

    #[inline]
    pub(crate) fn shape(&self) -> SegmentShape {
        self.shape
    }

    /// Ends claiming, if the state word is still `seen`. The thread that succeeds owes END and
    /// stores it at once. If it stops in between, only this one segment cannot be recycled, and
    /// readers find the end in the state word.
    pub(in crate::log) fn seal(&self, seen: SegmentState) {
        // Acquire: the zeroing of END's slot happened before.
        let sealed = self.block.state().compare_exchange(
            seen.0,
            seen.sealed().0,
            ord!("segment.seal", P1, Acquire),
            ord!(Relaxed),
        );
        if sealed.is_ok() {
            // Release, to the thread that recycles the segment, and so to readers of the next life.
            // END publishes no bytes, but the next life may have a record in its slot, whose
            // descriptor is then read as plain memory (M5).
            self.block.fill_slot(
                seen.records(),
                Descriptor::END.0,
                ord!("segment.end", P6, Release),
            );
        }
    }

    /// Opens a fresh segment that the caller found in the partition's table under `number`.
    pub(in crate::log) fn open(&self, partition: PartitionId, number: u64) {
        // Release, to every claimer of this life: that the segment is the active one, and its entry
        // in the table. (Base and index come with the release of the thread that prepared it.) A
        // failure means that another thread has opened it.
        let _ = self.block.state().compare_exchange(
            SegmentState::fresh(partition, number).0,
            SegmentState::open(partition).0,
            ord!("segment.open", P11, Release),
            ord!(Relaxed),
        );
    }

    /// The state word, as a hint: a claim or a seal confirms or refutes it.
    #[inline]
    pub(in crate::log) fn state(&self) -> SegmentState {
        SegmentState(self.block.state().load(ord!(Relaxed)))
    }

    /// The descriptor at `slot`. What it describes may be read while the segment is held.
    #[inline]
    pub(in crate::log) fn descriptor(&self, slot: u32) -> Descriptor {
        load_descriptor(self.block.index(slot))
    }

    /// Skips single records from `slot` on, a line of the index at a time, as far as they go and at
    /// most to `stop`. Returns the slot after them and the last one's descriptor: `last`, if no
    /// line consists of single records.
    #[inline]
    pub(in crate::log) fn skip_single_records(
        &self,
        mut slot: u32,
        stop: u32,
        mut last: Descriptor,
    ) -> (u32, Descriptor) {
        while stop - slot >= SLOTS_PER_LINE {
            let line = self.block.slots(slot).each_ref().map(load_descriptor);
            if !Descriptor::are_single_records(&line) {
                break;
            }
            slot += SLOTS_PER_LINE;
            last = line[line.len() - 1];
        }
        (slot, last)
    }

    /// Prefetches the descriptor at `slot`.
    #[inline(always)]
    pub(in crate::log) fn prefetch_descriptor(&self, slot: u32) {
        self.block.prefetch_slot(slot);
    }

    /// Prefetches the data at `at`, whether it is published yet or not.
    #[inline(always)]
    pub(in crate::log) fn prefetch_data(&self, at: usize) {
        self.block.prefetch_data(at);
    }

    /// The part of the index that a cursor has found published in this life.
    #[inline]
    fn published_index(&self) -> PublishedIndex<'_> {
        PublishedIndex(self.block.index_view())
    }

    /// The data, for reading published frames while the segment is held.
    #[inline]
    fn bytes(&self) -> Bytes<'_> {
        self.block.bytes()
    }

    /// The right to read, which the models check: of nothing yet.
    #[cfg(loom)]
    pub(crate) fn read_access(&self) -> ReadAccess {
        self.block.read_access()
    }

    /// Extends the right to read to `len` bytes at `at`.
    #[cfg(loom)]
    pub(crate) fn cover(&self, access: &mut ReadAccess, at: usize, len: usize) {
        access.cover(&self.block, at, len);
    }

    /// Offset of slot 0 in this life. The caller holds the segment.
    pub(in crate::log) fn base(&self) -> u64 {
        self.block.base().load(ord!(Relaxed))
    }

    /// Number of this life. The caller owns or holds the segment.
    pub(in crate::log) fn number(&self) -> u64 {
        self.block.number().load(ord!(Relaxed))
    }

    /// The maximum timestamp of this life's records, if a lookup has found all of them published
    /// and has cached it. The caller holds the segment.
    pub(in crate::log) fn max_timestamp(&self) -> Option<i64> {
        let word = self.block.max_timestamp().load(ord!(Relaxed));
        (word != NOT_CACHED).then(|| word.wrapping_sub(TIMESTAMP_BIAS) as i64)
    }

    /// Caches the maximum timestamp for later lookups. The caller holds the segment.
    pub(in crate::log) fn cache_max_timestamp(&self, time: i64) {
        let word = (time as u64).wrapping_add(TIMESTAMP_BIAS);
        self.block.max_timestamp().store(word, ord!(Relaxed));
    }

    /// When this life began, and what had been appended before it. Correct if the segment is found
    /// live after this call (`log/retention.rs`).
    pub(in crate::log) fn retention_mark(&self) -> RetentionMark {
        RetentionMark {
            created_at: self.block.created_at(),
            units_before: self.block.units_before().load(ord!(Relaxed)),
        }
    }

    /// Sets the mark of the life that is about to begin. Only for the segment's one owner, before
    /// [`prepare`](Self::prepare).
    pub(in crate::log) fn set_retention_mark(&self, mark: RetentionMark) {
        self.block.set_created_at(mark.created_at);
        // Release, to lookups that do not hold the segment, as in `prepare`.
        self.block.units_before().store(
            mark.units_before,
            ord!("segment.set_retention_mark", P7, Release),
        );
    }

    /// [`base`](Self::base) for a caller that does not hold the segment, and afterwards checks by
    /// the log start that the value is of the life that was meant. Acquire: a later life's value
    /// brings that life's log start with it (P7).
    pub(in crate::log) fn base_unheld(&self) -> u64 {
        self.block
            .base()
            .load(ord!("segment.base_unheld", P7, Acquire))
    }

    /// The mark's units, under the conditions of [`base_unheld`](Self::base_unheld).
    pub(in crate::log) fn units_before_unheld(&self) -> u64 {
        self.block
            .units_before()
            .load(ord!("segment.units_before_unheld", P7, Acquire))
    }

    /// The state word, under the conditions of [`base_unheld`](Self::base_unheld).
    pub(in crate::log) fn state_unheld(&self) -> SegmentState {
        SegmentState(
            self.block
                .state()
                .load(ord!("segment.state_unheld", P7, Acquire)),
        )
    }

    /// Zeroes the index of a retired segment that no reader holds, if all its frames are published.
    /// Only for the one thread that has taken it out of the pool. Returns `false` at an unpublished
    /// frame; the next call continues from there.
    pub(in crate::log) fn recycle(&self) -> bool {
        let mut slot = self.block.recycled().load(ord!(Relaxed)) as u32;
        // Acquire: the last writes to the frame's bytes happened before their reuse.
        let load = |word: &AtomicU64| Descriptor(word.load(ord!("segment.recycle", P6, Acquire)));
        loop {
            // Single records, as far as they go: whole lines, and then the rest. END follows the
            // last frame, at slot `records` or before.
            while self.shape.records - slot >= SLOTS_PER_LINE
                && Descriptor::are_single_records(&self.block.slots(slot).each_ref().map(load))
            {
                self.block.empty_slots(slot);
                slot += SLOTS_PER_LINE;
            }
            let mut descriptor = load(self.block.index(slot));
            while descriptor.is_single_record() {
                self.block.empty_slot(slot);
                slot += 1;
                descriptor = load(self.block.index(slot));
            }
            match descriptor.kind() {
                Kind::Empty => {
                    self.block.recycled().store(u64::from(slot), ord!(Relaxed));
                    return false;
                }
                Kind::End => {
                    self.block.empty_slot(slot);
                    self.block.recycled().store(0, ord!(Relaxed));
                    self.block.max_timestamp().store(NOT_CACHED, ord!(Relaxed));
                    return true;
                }
                _ => {
                    self.block.empty_slot(slot);
                    slot += descriptor.slots();
                }
            }
        }
    }

    /// Makes the segment fresh for a new life. Only for its one owner, and only when its index is
    /// all zero.
    pub(in crate::log) fn prepare(&self, partition: PartitionId, number: u64, base: u64) {
        self.block.number().store(number, ord!(Relaxed));
        // Release, to lookups that do not hold the segment. All other threads get the base through
        // the table (P3) or the claim (P1).
        self.block
            .base()
            .store(base, ord!("segment.prepare_base", P7, Release));
        // Release, to every claimer of this life, carried on by the exchanges that open the segment
        // and claim before it: the base and the zeroed index. To lookups as well (P7).
        self.block.state().swap(
            SegmentState::fresh(partition, number).0,
            ord!("segment.prepare_state", P1, Release),
        );
    }
}

/// See [`Segment::published_index`].
#[derive(Clone, Copy)]
struct PublishedIndex<'a>(Index<'a>);

impl PublishedIndex<'_> {
    /// # Safety
    /// M5: the slot was found published in this life, and the segment is held.
    #[inline(always)]
    unsafe fn descriptor(self, slot: u32) -> Descriptor {
        // SAFETY: the caller's promise.
        Descriptor(unsafe { self.0.plain(slot) })
    }
}
