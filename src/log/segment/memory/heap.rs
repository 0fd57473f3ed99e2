#![allow(unsafe_code)]

use super::prefetch;
use crate::log::segment::shape::{ALIGN, HEADER_BYTES, SLOTS_IN_LINE, SegmentShape};
use crate::sync::{AtomicU64, Ordering, ord};
use core::marker::PhantomData;
use core::ptr::NonNull;
use std::alloc::{Layout, alloc_zeroed, dealloc};

/// What every allocator gives without asking.
#[cfg(not(loom))]
const OWN_ALIGN: usize = 16;

/// Blocks allocated, and freed, as one.
pub(crate) struct Slab {
    /// Where the first block begins: the next multiple of [`ALIGN`] in what was allocated.
    start: NonNull<u8>,
    allocated: NonNull<u8>,
    layout: Layout,
    shape: SegmentShape,
    count: usize,
}

// SAFETY: the slab only owns memory; what lies in it is reached through blocks.
unsafe impl Send for Slab {}

// SAFETY: as above; `&Slab` gives no access to the bytes.
unsafe impl Sync for Slab {}

impl Slab {
    /// Memory for `count` blocks, zeroed, not touched yet (the system gives pages at
    /// their first use). `None` when the system refuses or the size overflows.
    pub(crate) fn allocate(shape: SegmentShape, count: usize) -> Option<Slab> {
        let bytes = shape.block_bytes().checked_mul(count)?;
        // Aligned here: asked for more than its own alignment, the system's allocator has to
        // write the zeros itself, and all of the memory would be touched.
        let layout = Layout::from_size_align(bytes.checked_add(ALIGN)?, OWN_ALIGN).ok()?;
        if bytes == 0 {
            return None;
        }
        // SAFETY: the layout's size is not zero.
        let allocated = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        // SAFETY: less than `ALIGN` bytes further, of which there are so many more.
        let start = unsafe { allocated.add(allocated.as_ptr().align_offset(ALIGN)) };
        Some(Slab {
            start,
            allocated,
            layout,
            shape,
            count,
        })
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = Block> + '_ {
        (0..self.count).map(|i| {
            // SAFETY: M1: block `i` starts within the slab's allocation.
            let start = unsafe { self.start.add(i * self.shape.block_bytes()) };
            Block {
                start,
                // SAFETY: M1: the data lies behind the index, within the block.
                data: unsafe { start.add(self.shape.data_start()) },
            }
        })
    }

    /// Touches every page, so that none is missing at its first use.
    pub(crate) fn prefault(&mut self) {
        let mut at = 0;
        while at < self.layout.size() {
            // SAFETY: M1: within the allocation; `&mut self` before any block is used,
            // and zero is what is already there. Volatile, so that it is really done.
            unsafe { self.allocated.add(at).write_volatile(0) };
            at += 4096;
        }
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout; M2: no block is used any more.
        unsafe { dealloc(self.allocated.as_ptr(), self.layout) }
    }
}

/// One segment's memory: where it is. A copy is the same memory.
#[derive(Clone)]
pub(crate) struct Block {
    start: NonNull<u8>,
    data: NonNull<u8>,
}

// SAFETY: all shared words are atomics; the bytes follow M4.
unsafe impl Send for Block {}

// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    #[inline]
    fn word(&self, at: usize) -> &AtomicU64 {
        // SAFETY: M1, M2: `at` is 8-aligned and within header or index; the word is
        // only ever reached as an atomic, for which any bits are valid.
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

    /// The base, for who does not always need it: a plain load, which the compiler leaves out then.
    ///
    /// # Safety
    /// M6: the caller has a claim in this life that is not published.
    #[inline(always)]
    pub(crate) unsafe fn known_base(&self) -> u64 {
        // SAFETY: M1, M2 for the place; M6: nobody writes there.
        unsafe { self.start.add(136).cast::<u64>().read() }
    }

    #[inline]
    pub(crate) fn recycled(&self) -> &AtomicU64 {
        self.word(144)
    }

    #[inline]
    pub(crate) fn latest(&self) -> &AtomicU64 {
        self.word(152)
    }

    #[inline]
    pub(crate) fn created_at(&self) -> &AtomicU64 {
        self.word(160)
    }

    #[inline]
    pub(crate) fn before(&self) -> &AtomicU64 {
        self.word(168)
    }

    #[inline]
    pub(crate) fn index(&self, slot: u32) -> &AtomicU64 {
        debug_assert!(
            self.start.as_ptr() as usize + HEADER_BYTES + (slot as usize) * 8
                < self.data.as_ptr() as usize
        );
        self.word(HEADER_BYTES + slot as usize * 8)
    }

    /// Some slots of the index, as many as a line has. The last of them is one of it as well (M3).
    ///
    /// As one array: the compiler would work out each one's place by itself otherwise, lest the
    /// number overflow.
    #[inline]
    pub(crate) fn slots(&self, first: u32) -> &[AtomicU64; SLOTS_IN_LINE as usize] {
        let _last = self.index(first + (SLOTS_IN_LINE - 1)); // in debug builds it is looked at
        // SAFETY: M1, M2, M3: as in `word`, for each of them.
        unsafe {
            let place = self.start.add(HEADER_BYTES + first as usize * 8);
            place.cast::<[AtomicU64; SLOTS_IN_LINE as usize]>().as_ref()
        }
    }

    /// Whether a slot is the first of its line.
    #[inline(always)]
    pub(crate) fn begins_line(&self, slot: u32) -> bool {
        slot % SLOTS_IN_LINE == 0
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

    /// Writes a descriptor into a slot of the index, which was emptied before.
    #[inline(always)]
    pub(crate) fn fill_slot(&self, slot: u32, descriptor: u64, order: Ordering) {
        self.index(slot).store(descriptor, order);
    }

    #[inline]
    pub(crate) fn index_view(&self) -> Index<'_> {
        Index {
            // SAFETY: M1: the index lies behind the header, within the block.
            start: unsafe { self.start.add(HEADER_BYTES) }.cast(),
            _block: PhantomData,
        }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> Bytes<'_> {
        Bytes {
            start: self.data,
            _block: PhantomData,
        }
    }

    /// The bytes `at .. at + len` for the owner of the claim they belong to.
    ///
    /// # Safety
    /// M3; and M4: the caller owns the unpublished claim of these bytes for `'a`.
    #[inline]
    pub(crate) unsafe fn claimed<'a>(
        &self,
        at: usize,
        len: usize,
        _access: &'a mut WriteAccess,
    ) -> &'a mut [u8] {
        // SAFETY: M1 and M3 for the range, always initialised (zeroed when made); the
        // caller's promise for the exclusiveness.
        unsafe { core::slice::from_raw_parts_mut(self.data.add(at).as_ptr(), len) }
    }

    /// The same bytes, to look at.
    ///
    /// # Safety
    /// As for [`claimed`](Self::claimed).
    #[inline]
    pub(crate) unsafe fn claimed_ref<'a>(
        &self,
        at: usize,
        len: usize,
        _access: &'a WriteAccess,
    ) -> &'a [u8] {
        // SAFETY: as in `claimed`; nobody has them mutably while the access is borrowed.
        unsafe { core::slice::from_raw_parts(self.data.add(at).as_ptr(), len) }
    }

    /// Says that a slot of the index will soon be read.
    #[inline(always)]
    pub(crate) fn will_look(&self, slot: u32) {
        let index = self.start.as_ptr().wrapping_add(HEADER_BYTES);
        prefetch::to_read(index.wrapping_add(slot as usize * 8));
    }

    /// Says that the data about `at` will soon be read.
    #[inline(always)]
    pub(crate) fn will_read(&self, at: usize) {
        prefetch::to_read(self.data.as_ptr().wrapping_add(at));
    }

    /// Says that the data about `AHEAD` bytes after `at` will soon be written: whoever read
    /// the life before has those lines, and to fetch one back takes longer than a send. At the
    /// end of a segment it takes lines of the next block, which whoever uses them fetches
    /// back: a few lines a life.
    #[inline(always)]
    pub(crate) fn will_write<const AHEAD: usize>(&self, at: usize) {
        prefetch::to_write::<1, AHEAD>(self.data.as_ptr(), at);
    }

    /// The same for the index, two lines after a slot. What waits for it most is a shared
    /// producer: an exchange has all stores before it finish first.
    #[inline(always)]
    pub(crate) fn will_fill(&self, slot: u32) {
        const AHEAD: usize = HEADER_BYTES + 128;
        prefetch::to_write::<8, AHEAD>(self.start.as_ptr(), slot as usize);
    }

    #[inline]
    pub(crate) fn write_access(&self, _at: usize, _len: usize) -> WriteAccess {
        WriteAccess
    }
}

/// The right to write a claim's bytes; loom checks it, the plain build trusts it.
pub(crate) struct WriteAccess;

/// The index of a segment, one step nearer than through the block.
#[derive(Clone, Copy)]
pub(crate) struct Index<'a> {
    start: NonNull<AtomicU64>,
    _block: PhantomData<&'a AtomicU64>,
}

// SAFETY: what it gives out are `&'a AtomicU64`, which are Send and Sync.
unsafe impl Send for Index<'_> {}

// SAFETY: as above.
unsafe impl Sync for Index<'_> {}

impl<'a> Index<'a> {
    /// The descriptor in a slot. A plain load: the compiler must not keep anything in
    /// registers across an atomic one, whatever its ordering, so that every loop over records
    /// would write all of its own state back to memory, record by record.
    ///
    /// # Safety
    /// M5: the caller found the slot published, in this life of a segment that it holds.
    #[inline(always)]
    pub(crate) unsafe fn known(self, slot: u32) -> u64 {
        // SAFETY: M1, M2, M3 for the place; M5: nobody writes there.
        unsafe { self.start.add(slot as usize).cast::<u64>().read() }
    }
}

/// The data of a segment that a reader holds.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a> {
    start: NonNull<u8>,
    _block: PhantomData<&'a [u8]>,
}

// SAFETY: what it gives out are `&'a [u8]`, which are Send and Sync.
unsafe impl Send for Bytes<'_> {}

// SAFETY: as above.
unsafe impl Sync for Bytes<'_> {}

impl<'a> Bytes<'a> {
    /// # Safety
    /// M3; and M4: the range is part of a published frame, of a segment that is held
    /// for all of `'a`.
    #[inline]
    pub(crate) unsafe fn slice(self, at: usize, len: usize) -> &'a [u8] {
        // SAFETY: M1, M3; nobody writes these bytes during `'a` by the caller's promise.
        unsafe { core::slice::from_raw_parts(self.start.add(at).as_ptr(), len) }
    }
}
