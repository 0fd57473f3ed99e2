//! The raw memory of segments: one position-independent block each, in slabs.
//!
//! A block holds no pointers, so the same bytes could lie in a mapped file or in shared memory.
//!
//! ```text
//!  byte
//!     0  +------------------------------------------+
//!        |  state          u64                      |  alone on two cache lines, for which
//!        |                                          |  producers contend
//!   128  +------------------------------------------+
//!        |  number         u64                      |  written once a life, read by all
//!   136  |  base           u64                      |  written once a life, read by all
//!   144  |  recycled       u64                      |  written while the segment is recycled
//!   152  |  max_timestamp  u64                      |  written by lookups
//!   160  |  created_at     u64                      |  written once a life
//!   168  |  units_before   u64                      |  written once a life
//!   176  |  unused                                  |
//!   256  +------------------------------------------+
//!        |  index   (records + 1) x u64             |  one descriptor a slot, and END
//!        |          padded to 64                    |
//!        +------------------------------------------+  SegmentShape::data_start
//!        |  data    units x 8 bytes                 |
//!        |          padded to 64                    |
//!        +------------------------------------------+  SegmentShape::block_bytes,
//!                                                      a multiple of 128
//! ```
//!
//! `heap.rs` is the real memory. Under loom a block is a struct of loom's types behind the same
//! accessors (`loom.rs`), and every unit of data has a shadow cell. Writers and readers hold a
//! guard of it, so loom reports bytes that are accessed without an ordering between the accesses.
//!
//! # Invariants
//!
//! - **M1** A block's pointer points at `SegmentShape::block_bytes` bytes, zeroed when allocated
//!   and aligned to 128 (`Slab::allocate` ensures both), which live as long as the slab. Zero is a
//!   valid state of every word.
//! - **M2** A slab outlives every use of its blocks: what holds a block, or a copy of one, holds
//!   the pool, and so the slab: through the topic (producers), or through a partition (cursors,
//!   gates, lookups).
//! - **M3** Callers keep slots at or below `records`, and byte ranges within `units * 8`.
//! - **M4** Bytes are written only by the one owner of a claim that is not yet published, and read
//!   only through published descriptors of a segment that the reader holds. The protocol of
//!   [`segment`](super) keeps the two apart.
//! - **M5** A descriptor that was found published (Acquire, P2) is not written while the segment is
//!   held: its slot is filled once a life, and emptied only after the last reader has released the
//!   segment (S4). What was stored there in earlier lives, END included, happened before this one
//!   (P6). So the thread that found it may read it again as plain memory.
//! - **M6** The base of a life was written before any claim in it (P1, P9), and is not written
//!   again while a claim is unpublished (S3). So a claimer may read it as plain memory.
//! - **M7** A block may also stand for a chunk in a file (`chunk.rs`), which has no header and is
//!   never written. Then only its index and its data are read, within the chunk: an atomic load of
//!   a word is allowed in memory that can only be read.
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
                // SAFETY: the whole data of a block that no other code uses.
                let data = unsafe { block.claimed_mut(0, shape.data_bytes(), &mut access) };
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
