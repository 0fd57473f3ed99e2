//! The memory of segments in the model-checked build: loom's types behind the accessors of
//! `heap.rs`, with a shadow cell for every unit of data. The invariants M1 to M6 are those of
//! [`memory`](super).
#![allow(unsafe_code)]

use crate::log::segment::descriptor::UNIT;
use crate::log::segment::shape::{SLOTS_PER_LINE, SegmentShape};
use crate::sync::{AtomicU64, Count, Ordering, Shadow, ord};
use core::cell::UnsafeCell;
use loom::cell::{self, ConstPtr, MutPtr};
use std::sync::{Arc, Mutex, MutexGuard};

pub(crate) struct Slab {
    shape: SegmentShape,
    count: usize,
}

impl Slab {
    pub(crate) fn allocate(shape: SegmentShape, count: usize) -> Option<Slab> {
        Some(Slab { shape, count })
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = Block> + '_ {
        (0..self.count).map(|_| Block::new(self.shape))
    }

    pub(crate) fn prefault(&mut self) {}
}

/// One segment's memory. A copy is the same memory.
#[derive(Clone)]
pub(crate) struct Block(Arc<BlockWords>);

struct BlockWords {
    state: AtomicU64,
    number: AtomicU64,
    base: AtomicU64,
    recycled: AtomicU64,
    max_timestamp: AtomicU64,
    /// A time, which the models do not count as a step.
    created_at: Count,
    units_before: AtomicU64,
    index: Box<[AtomicU64]>,
    /// For each slot, a cell that was written by the thread that emptied the slot last.
    emptied: Box<[Mutex<Arc<Shadow>>]>,
    data: Box<[UnsafeCell<u64>]>,
    // In an Arc, so that a guard can keep its cell alive.
    shadow: Arc<[cell::UnsafeCell<()>]>,
}

// SAFETY: as in the plain build; loom checks M4 through the shadows.
unsafe impl Send for BlockWords {}

// SAFETY: as above.
unsafe impl Sync for BlockWords {}

fn units(at: usize, len: usize) -> core::ops::Range<usize> {
    at / UNIT..(at + len).div_ceil(UNIT)
}

impl Block {
    fn new(shape: SegmentShape) -> Block {
        Block(Arc::new(BlockWords {
            state: AtomicU64::new(0),
            number: AtomicU64::new(0),
            base: AtomicU64::new(0),
            recycled: AtomicU64::new(0),
            max_timestamp: AtomicU64::new(0),
            created_at: Count::default(),
            units_before: AtomicU64::new(0),
            index: (0..=shape.records).map(|_| AtomicU64::new(0)).collect(),
            emptied: (0..=shape.records)
                .map(|_| Mutex::new(Arc::new(Shadow::written())))
                .collect(),
            data: (0..shape.units).map(|_| UnsafeCell::default()).collect(),
            shadow: (0..shape.units)
                .map(|_| cell::UnsafeCell::new(()))
                .collect(),
        }))
    }

    /// A chunk of a file, which no thread changes: a copy of it.
    pub(crate) fn of_chunk(shape: SegmentShape, descriptors: &[u64], data: &[u64]) -> Block {
        let Block(mut words) = Block::new(shape);
        if let Some(words) = Arc::get_mut(&mut words) {
            words.index = descriptors.iter().copied().map(AtomicU64::new).collect();
            words.data = data.iter().copied().map(UnsafeCell::new).collect();
        }
        Block(words)
    }

    pub(crate) fn state(&self) -> &AtomicU64 {
        &self.0.state
    }

    pub(crate) fn number(&self) -> &AtomicU64 {
        &self.0.number
    }

    pub(crate) fn base(&self) -> &AtomicU64 {
        &self.0.base
    }

    /// # Safety
    /// As in the plain build. Loom checks that every store of the word happened before.
    #[track_caller]
    pub(crate) unsafe fn plain_base(&self) -> u64 {
        // SAFETY: the caller's promise.
        unsafe { self.0.base.unsync_load() }
    }

    pub(crate) fn recycled(&self) -> &AtomicU64 {
        &self.0.recycled
    }

    pub(crate) fn prefetch_slot(&self, _slot: u32) {}

    pub(crate) fn prefetch_data(&self, _at: usize) {}

    pub(crate) fn prefetch_data_for_writing<const AHEAD: usize>(&self, _at: usize) {}

    pub(crate) fn prefetch_slot_for_writing(&self, _slot: u32) {}

    pub(crate) fn max_timestamp(&self) -> &AtomicU64 {
        &self.0.max_timestamp
    }

    pub(crate) fn created_at(&self) -> u64 {
        self.0.created_at.get()
    }

    pub(crate) fn set_created_at(&self, time: u64) {
        self.0.created_at.set(time);
    }

    pub(crate) fn units_before(&self) -> &AtomicU64 {
        &self.0.units_before
    }

    pub(crate) fn index(&self, slot: u32) -> &AtomicU64 {
        &self.0.index[slot as usize]
    }

    pub(crate) fn begins_line(&self, _slot: u32) -> bool {
        true
    }

    pub(crate) fn slots(&self, first: u32) -> &[AtomicU64; SLOTS_PER_LINE as usize] {
        core::array::from_ref(self.index(first))
    }

    #[track_caller]
    pub(crate) fn empty_slots(&self, first: u32) {
        self.empty_slot(first);
    }

    /// What was stored there in the life that has ended happened before. The next life may have a
    /// record there, whose descriptor is read as plain memory (M5).
    #[track_caller]
    pub(crate) fn empty_slot(&self, slot: u32) {
        // SAFETY: this is what loom checks here.
        unsafe { self.index(slot).unsync_load() };
        *self.emptied(slot) = Arc::new(Shadow::written());
        self.0.index[slot as usize].store(0, ord!(Relaxed));
    }

    /// Loom keeps the stores to one word in the order in which they ran, and so would not find one
    /// that an older zero overwrites. So this checks that the zero happened before.
    #[track_caller]
    pub(crate) fn fill_slot(&self, slot: u32, descriptor: u64, order: Ordering) {
        let emptied = self.emptied(slot).clone();
        emptied.read();
        self.0.index[slot as usize].store(descriptor, order);
    }

    fn emptied(&self, slot: u32) -> MutexGuard<'_, Arc<Shadow>> {
        self.0.emptied[slot as usize]
            .lock()
            .unwrap_or_else(|e| e.into_inner())
    }

    pub(crate) fn index_view(&self) -> Index<'_> {
        Index { block: self }
    }

    pub(crate) fn bytes(&self) -> Bytes<'_> {
        Bytes { block: self }
    }

    /// # Safety
    /// As in the plain build.
    pub(crate) unsafe fn claimed_mut<'a>(
        &self,
        at: usize,
        len: usize,
        _access: &'a mut WriteAccess,
    ) -> &'a mut [u8] {
        assert!(at + len <= self.0.data.len() * UNIT);
        // SAFETY: in range; the access holds the shadows of the claim.
        unsafe { core::slice::from_raw_parts_mut((self.0.data.as_ptr() as *mut u8).add(at), len) }
    }

    /// # Safety
    /// As in the plain build.
    pub(crate) unsafe fn claimed<'a>(
        &self,
        at: usize,
        len: usize,
        _access: &'a WriteAccess,
    ) -> &'a [u8] {
        assert!(at + len <= self.0.data.len() * UNIT);
        // SAFETY: in range; the access holds the shadows of the claim.
        unsafe { core::slice::from_raw_parts((self.0.data.as_ptr() as *const u8).add(at), len) }
    }

    pub(crate) fn write_access(&self, at: usize, len: usize) -> WriteAccess {
        WriteAccess {
            _guards: units(at, len).map(|u| self.0.shadow[u].get_mut()).collect(),
            _shadow: self.0.shadow.clone(),
        }
    }

    pub(crate) fn read_access(&self) -> ReadAccess {
        ReadAccess {
            guards: Vec::new(),
            _shadow: self.0.shadow.clone(),
        }
    }
}

pub(crate) struct WriteAccess {
    // Dropped before the cells.
    _guards: Vec<MutPtr<()>>,
    _shadow: Arc<[cell::UnsafeCell<()>]>,
}

pub(crate) struct ReadAccess {
    guards: Vec<ConstPtr<()>>,
    _shadow: Arc<[cell::UnsafeCell<()>]>,
}

impl ReadAccess {
    pub(crate) fn cover(&mut self, block: &Block, at: usize, len: usize) {
        self.guards
            .extend(units(at, len).map(|u| block.0.shadow[u].get()));
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Index<'a> {
    block: &'a Block,
}

impl<'a> Index<'a> {
    /// # Safety
    /// As in the plain build. Loom checks that every store of the word happened before.
    pub(crate) unsafe fn plain(self, slot: u32) -> u64 {
        // SAFETY: the caller's promise.
        unsafe { self.block.index(slot).unsync_load() }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a> {
    block: &'a Block,
}

impl<'a> Bytes<'a> {
    /// # Safety
    /// As in the plain build.
    pub(crate) unsafe fn slice(self, at: usize, len: usize) -> &'a [u8] {
        let data = &self.block.0.data;
        assert!(at + len <= data.len() * UNIT);
        for unit in units(at, len) {
            self.block.0.shadow[unit].with(|_| ());
        }
        // SAFETY: in range; the shadows have just been checked.
        unsafe { core::slice::from_raw_parts((data.as_ptr() as *const u8).add(at), len) }
    }
}
