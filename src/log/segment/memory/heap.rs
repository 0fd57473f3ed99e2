//! The memory of segments on the heap. The invariants M1 to M6 are those of [`memory`](super).
#![allow(unsafe_code)]

use super::prefetch;
use crate::log::segment::shape::{ALIGN, HEADER_BYTES, SLOTS_PER_LINE, SegmentShape};
use crate::sync::{AtomicU64, Ordering, ord};
use core::marker::PhantomData;
use core::ptr::NonNull;
use std::alloc::{Layout, alloc_zeroed, dealloc};

/// The alignment that the system's allocator provides in any case.
const DEFAULT_ALIGN: usize = 16;

/// Blocks that are allocated and freed together.
pub(crate) struct Slab {
    /// The first block: the next multiple of [`ALIGN`] in what was allocated.
    start: NonNull<u8>,
    allocated: NonNull<u8>,
    layout: Layout,
    shape: SegmentShape,
    count: usize,
}

// SAFETY: the slab only owns memory, which is accessed through blocks.
unsafe impl Send for Slab {}

// SAFETY: as above; `&Slab` gives no access to the bytes.
unsafe impl Sync for Slab {}

impl Slab {
    /// Memory for `count` blocks, zeroed and not touched yet: the system provides each page at its
    /// first use. `None` if the system refuses or the size overflows.
    pub(crate) fn allocate(shape: SegmentShape, count: usize) -> Option<Slab> {
        let bytes = shape.block_bytes().checked_mul(count)?;
        // Aligned here: for more than its default alignment the system's allocator writes the zeros
        // itself, which would touch all of the memory.
        let layout = Layout::from_size_align(bytes.checked_add(ALIGN)?, DEFAULT_ALIGN).ok()?;
        if bytes == 0 {
            return None;
        }
        // SAFETY: the layout's size is not zero.
        let allocated = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        // SAFETY: less than `ALIGN` bytes further, and `ALIGN` bytes more than the blocks' were
        // allocated.
        let start = unsafe { allocated.add(allocated.as_ptr().align_offset(ALIGN)) };
        Some(Slab {
            start,
            allocated,
            layout,
            shape,
            count,
        })
    }

    /// All blocks of the slab.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Block> + '_ {
        (0..self.count).map(|i| {
            // SAFETY: M1: block `i` begins within the slab's allocation.
            let start = unsafe { self.start.add(i * self.shape.block_bytes()) };
            Block {
                start,
                // SAFETY: M1: the data follows the index, within the block.
                data: unsafe { start.add(self.shape.data_start()) },
            }
        })
    }

    /// Touches every page, so that no later access takes a page fault.
    pub(crate) fn prefault(&mut self) {
        let mut at = 0;
        while at < self.layout.size() {
            // SAFETY: M1: within the allocation; `&mut self` before any block is used, and zero is
            // what is already there. Volatile, so that the compiler keeps the store.
            unsafe { self.allocated.add(at).write_volatile(0) };
            at += 4096;
        }
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout; M2: no block is in use.
        unsafe { dealloc(self.allocated.as_ptr(), self.layout) }
    }
}

/// One segment's memory, by address. A copy is the same memory.
#[derive(Clone)]
pub(crate) struct Block {
    start: NonNull<u8>,
    data: NonNull<u8>,
}

// SAFETY: all shared words are atomics; accesses to the bytes follow M4.
unsafe impl Send for Block {}

// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    /// A block over a chunk in a file: `words` are the place of a header, which is not there, the
    /// descriptors, and from word `data` on the data.
    ///
    /// # Safety
    /// M7: the words stay as they are while the block or a copy of it is used; and only its index
    /// and its data are, within the chunk, and only for reading.
    pub(crate) unsafe fn of_chunk(words: &[u64], data: usize) -> Block {
        let start = NonNull::from(words).cast::<u8>();
        debug_assert!(HEADER_BYTES / 8 <= data && data <= words.len());
        Block {
            start,
            // SAFETY: within the words, or at their end.
            data: unsafe { start.add(data * 8) },
        }
    }

    /// The word at byte `at` of the block.
    #[inline]
    fn word(&self, at: usize) -> &AtomicU64 {
        // SAFETY: M1, M2: `at` is 8-aligned and within header or index; any bits are a valid
        // atomic.
        unsafe { self.start.add(at).cast::<AtomicU64>().as_ref() }
    }

    #[inline]
    pub(crate) fn state(&self) -> &AtomicU64 {
        self.word(0)
    }

    #[inline]
    pub(crate) fn number(&self) -> &AtomicU64 {
        self.word(128)
    }

    #[inline]
    pub(crate) fn base(&self) -> &AtomicU64 {
        self.word(136)
    }

    /// The base, by a plain load, which the compiler omits where the base is not used.
    ///
    /// # Safety
    /// M6: the caller has a claim in this life that is not published.
    #[inline(always)]
    pub(crate) unsafe fn plain_base(&self) -> u64 {
        // SAFETY: M1, M2 for the address; M6: it is not written meanwhile.
        unsafe { self.start.add(136).cast::<u64>().read() }
    }

    #[inline]
    pub(crate) fn recycled(&self) -> &AtomicU64 {
        self.word(144)
    }

    #[inline]
    pub(crate) fn max_timestamp(&self) -> &AtomicU64 {
        self.word(152)
    }

    pub(crate) fn created_at(&self) -> u64 {
        self.word(160).load(ord!(Relaxed))
    }

    pub(crate) fn set_created_at(&self, time: u64) {
        self.word(160).store(time, ord!(Relaxed));
    }

    #[inline]
    pub(crate) fn units_before(&self) -> &AtomicU64 {
        self.word(168)
    }

    /// A slot of the index.
    #[inline]
    pub(crate) fn index(&self, slot: u32) -> &AtomicU64 {
        debug_assert!(
            self.start.as_ptr() as usize + HEADER_BYTES + (slot as usize) * 8
                < self.data.as_ptr() as usize
        );
        self.word(HEADER_BYTES + slot as usize * 8)
    }

    /// The slots of the index from `first` on, as many as a line has. The index has all of them
    /// (M3).
    ///
    /// One array: from slot numbers, which might overflow, the compiler would compute each slot's
    /// address separately.
    #[inline]
    pub(crate) fn slots(&self, first: u32) -> &[AtomicU64; SLOTS_PER_LINE as usize] {
        let _last = self.index(first + (SLOTS_PER_LINE - 1)); // checked in debug builds
        // SAFETY: M1, M2, M3: as in `word`, for each of them.
        unsafe {
            let line = self.start.add(HEADER_BYTES + first as usize * 8);
            line.cast::<[AtomicU64; SLOTS_PER_LINE as usize]>().as_ref()
        }
    }

    /// Whether a slot is the first of its line.
    #[inline(always)]
    pub(crate) fn begins_line(&self, slot: u32) -> bool {
        slot % SLOTS_PER_LINE == 0
    }

    /// Empties a slot of the index, for the segment's one owner.
    #[inline]
    pub(crate) fn empty_slot(&self, slot: u32) {
        self.index(slot).store(0, ord!(Relaxed));
    }

    /// Empties all of [`slots`](Self::slots).
    #[inline]
    pub(crate) fn empty_slots(&self, first: u32) {
        for slot in self.slots(first) {
            slot.store(0, ord!(Relaxed));
        }
    }

    /// Stores a descriptor in a slot of the index that was emptied before.
    #[inline(always)]
    pub(crate) fn fill_slot(&self, slot: u32, descriptor: u64, order: Ordering) {
        self.index(slot).store(descriptor, order);
    }

    /// The index, for reading descriptors as plain memory.
    #[inline]
    pub(crate) fn index_view(&self) -> Index<'_> {
        Index {
            // SAFETY: M1: the index follows the header, within the block.
            start: unsafe { self.start.add(HEADER_BYTES) }.cast(),
            _block: PhantomData,
        }
    }

    /// The data, for reading.
    #[inline]
    pub(crate) fn bytes(&self) -> Bytes<'_> {
        Bytes {
            start: self.data,
            _block: PhantomData,
        }
    }

    /// The data bytes `at .. at + len`, for the owner of the claim that they belong to.
    ///
    /// # Safety
    /// M3; and M4: the caller owns the unpublished claim of these bytes for `'a`.
    #[inline]
    pub(crate) unsafe fn claimed_mut<'a>(
        &self,
        at: usize,
        len: usize,
        _access: &'a mut WriteAccess,
    ) -> &'a mut [u8] {
        // SAFETY: M1 and M3 for the range, which is always initialised (zeroed when allocated); the
        // caller's promise for the exclusiveness.
        unsafe { core::slice::from_raw_parts_mut(self.data.add(at).as_ptr(), len) }
    }

    /// The same bytes, for reading.
    ///
    /// # Safety
    /// As for [`claimed_mut`](Self::claimed_mut).
    #[inline]
    pub(crate) unsafe fn claimed<'a>(
        &self,
        at: usize,
        len: usize,
        _access: &'a WriteAccess,
    ) -> &'a [u8] {
        // SAFETY: as in `claimed_mut`; they are not borrowed mutably while the access is borrowed.
        unsafe { core::slice::from_raw_parts(self.data.add(at).as_ptr(), len) }
    }

    /// Prefetches a slot of the index for reading.
    #[inline(always)]
    pub(crate) fn prefetch_slot(&self, slot: u32) {
        let index = self.start.as_ptr().wrapping_add(HEADER_BYTES);
        prefetch::to_read(index.wrapping_add(slot as usize * 8));
    }

    /// Prefetches the data at `at` for reading.
    #[inline(always)]
    pub(crate) fn prefetch_data(&self, at: usize) {
        prefetch::to_read(self.data.as_ptr().wrapping_add(at));
    }

    /// Prefetches for writing the data `AHEAD` bytes after `at`. Readers of the life before have
    /// those lines in their caches, and fetching one back takes longer than a send. At the end of a
    /// segment this takes lines of the next block, which its users have to fetch back: a few lines
    /// a life.
    #[inline(always)]
    pub(crate) fn prefetch_data_for_writing<const AHEAD: usize>(&self, at: usize) {
        prefetch::to_write::<1, AHEAD>(self.data.as_ptr(), at);
    }

    /// The same for the index, two lines after a slot. A shared producer would wait for it most:
    /// its compare-and-swap waits until all stores before it have finished.
    #[inline(always)]
    pub(crate) fn prefetch_slot_for_writing(&self, slot: u32) {
        const AHEAD: usize = HEADER_BYTES + 128;
        prefetch::to_write::<8, AHEAD>(self.start.as_ptr(), slot as usize);
    }

    /// The right to write the data bytes `at .. at + len`.
    #[inline]
    pub(crate) fn write_access(&self, _at: usize, _len: usize) -> WriteAccess {
        WriteAccess
    }
}

/// The right to write a claim's bytes: checked by loom, and nothing at all in the plain build.
pub(crate) struct WriteAccess;

/// The index of a segment, by its own address.
#[derive(Clone, Copy)]
pub(crate) struct Index<'a> {
    start: NonNull<AtomicU64>,
    _block: PhantomData<&'a AtomicU64>,
}

// SAFETY: it stands for `&'a AtomicU64`s, which are Send and Sync.
unsafe impl Send for Index<'_> {}

// SAFETY: as above.
unsafe impl Sync for Index<'_> {}

impl<'a> Index<'a> {
    /// The descriptor in a slot, by a plain load. Across an atomic load, whatever its ordering, the
    /// compiler keeps nothing in registers, so every loop over records would write all of its state
    /// back to memory at each record.
    ///
    /// # Safety
    /// M5: the caller found the slot published, in this life of a segment that it holds.
    #[inline(always)]
    pub(crate) unsafe fn plain(self, slot: u32) -> u64 {
        // SAFETY: M1, M2, M3 for the address; M5: it is not written meanwhile.
        unsafe { self.start.add(slot as usize).cast::<u64>().read() }
    }
}

/// The data of a segment that a reader holds.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a> {
    start: NonNull<u8>,
    _block: PhantomData<&'a [u8]>,
}

// SAFETY: it stands for `&'a [u8]`s, which are Send and Sync.
unsafe impl Send for Bytes<'_> {}

// SAFETY: as above.
unsafe impl Sync for Bytes<'_> {}

impl<'a> Bytes<'a> {
    /// The data bytes `at .. at + len`.
    ///
    /// # Safety
    /// M3; and M4: the range is part of a published frame, of a segment that is held for all of
    /// `'a`.
    #[inline]
    pub(crate) unsafe fn slice(self, at: usize, len: usize) -> &'a [u8] {
        // SAFETY: M1, M3; by the caller's promise these bytes are not written during `'a`.
        unsafe { core::slice::from_raw_parts(self.start.add(at).as_ptr(), len) }
    }
}
