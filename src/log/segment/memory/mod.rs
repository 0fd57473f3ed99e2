//! The raw memory of segments: one position-independent block each, in one slab.
//!
//! A block holds no pointers, so the same bytes could lie in a mapped file or in shared
//! memory:
//!
//! ```text
//!      0  head        u64 on its own pair of cache lines: producers fight over it
//!    128  number      u64 \
//!    136  base        u64  | written once a life, read by all
//!    144  recycled    u64 /
//!    152  latest      u64, written by lookups
//!    160  began       u64, written once a life where retention asks for it
//!    168  before      u64, written once a life
//!    256  index       (records + 1) x u64, padded to 64
//!         data        units x 8 bytes, padded to 64
//! ```
//!
//! Under loom a block is a struct of loom types behind the same accessors, and every unit
//! of data has a shadow cell: writers and readers hold its guard, so that bytes touched
//! without an ordering between them are a violation that loom reports.
//!
//! # Invariants
//!
//! - **M1** The pointer of a block points at `SegmentShape::block_bytes` bytes, zeroed when made,
//!   128-byte aligned (`Slab::allocate` sees to that), that live as long as the slab. Zero is a valid state of every word.
//! - **M2** A slab outlives every use of its blocks: whoever holds a block, or a copy of one,
//!   holds the slab (by way of the topic).
//! - **M3** Callers keep slots at or under `records` and byte ranges within `units * 8`.
//! - **M4** Bytes are written only by the one owner of a claim that is not yet published,
//!   and read only through published descriptors of a segment the reader holds: the
//!   protocol of `segment.rs` keeps the two apart.
//! - **M5** A descriptor that was found published (Acquire, P2) is not written while the segment
//!   is held: its slot is filled once a life, and emptied only after the last reader has let go
//!   (S4). What was stored there in the lives before, END included, happened before this one (P6).
//!   So whoever found it may read it again as plain memory.
//! - **M6** The base of a life was written before any claim in it (P1, P9), and is not written again
//!   while a claim is unpublished (S3). So a claimer may read it as plain memory.
#![allow(unsafe_code)]

#[cfg(not(loom))]
mod heap;
#[cfg(loom)]
mod loom;
#[cfg(not(loom))]
mod prefetch;

#[cfg(loom)]
pub(crate) use self::loom::{Block, Bytes, Index, ReadAccess, Slab, WriteAccess};
#[cfg(not(loom))]
pub(crate) use heap::{Block, Bytes, Index, Slab, WriteAccess};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::segment::shape::{ALIGN, SegmentShape};
    use crate::log::segment::state::{MAX_RECORDS, MAX_UNITS};

    #[test]
    fn blocks_do_not_overlap_and_are_aligned() {
        for (records, units) in [(1, 1), (2, 3), (63, 1000), (1000, 7)] {
            let shape = SegmentShape { records, units };
            let slab = Slab::allocate(shape, 3).unwrap();
            let blocks: Vec<_> = slab.blocks().collect();
            assert_eq!(blocks.len(), 3);
            for block in &blocks {
                assert_eq!(block.state() as *const _ as usize % ALIGN, 0);
                let mut access = block.write_access(0, shape.data_bytes());
                // SAFETY: the whole data of a block that nobody else uses.
                let data = unsafe { block.claimed(0, shape.data_bytes(), &mut access) };
                assert_eq!(data.as_ptr() as usize % 64, 0);
                assert!(data.iter().all(|&b| b == 0), "not zeroed, or overlapping");
                data.fill(0xff);
                let last = block.index(records) as *const _ as usize + 8;
                assert!(last <= data.as_ptr() as usize);
            }
        }
    }

    #[test]
    fn a_slab_that_no_machine_can_hold_is_refused() {
        let shape = SegmentShape {
            records: MAX_RECORDS,
            units: MAX_UNITS,
        };
        assert!(Slab::allocate(shape, usize::MAX / 4).is_none());
        assert!(Slab::allocate(shape, 200_000).is_none());
    }
}
