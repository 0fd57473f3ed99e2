//! The records of a batch, one at a time.
//!
//! # Invariant
//!
//! **B1** (`consumer/batch.rs`): everything here borrows a batch, whose segment is held and whose
//! frames were all found published. Or a lookup by time uses it, while its pin holds the segment
//! (`log/time_lookup.rs`). So their bytes may be read (M4 of [`memory`](super::memory)),
//! their descriptors may be read again (M5), and their layout is that of [`frame`](super::frame).
#![allow(unsafe_code)]

use super::descriptor::{Descriptor, Kind};
use super::frame::{TABLE_PREFIX, UNIFORM_PREFIX};
use super::record_ref::{RecordMemory, RecordRef, read_i64, read_u32};
use super::{PublishedIndex, Segment};
use crate::log::segment::memory::Bytes;
use crate::record::NO_TIMESTAMP;
use crate::topic_partition::TopicPartition;
use core::fmt;
use core::iter::FusedIterator;

/// The layout of a frame of several records, decoded once a frame.
#[derive(Clone, Copy)]
enum BatchLayout {
    /// Its descriptors begin at byte position `at`.
    Table { at: usize },
    /// Its values, of `length` bytes each, begin at byte position `at`.
    Uniform { at: usize, length: usize },
}

/// Iterates over the records of a [`Batch`](crate::Batch), in order of their offsets.
///
/// [`Batch::iter`](crate::Batch::iter) and `for record in &batch` make one. For records that were
/// sent one by one, methods that consume the whole iterator, such as `for_each`, are faster than a
/// `for` loop.
#[derive(Clone)]
pub struct Records<'b> {
    /// `None` if there are no records.
    memory: Option<RecordMemory<'b>>,
    /// See [`RecordRun::singles`].
    singles: bool,
    /// Offset of slot 0.
    base: u64,
    /// The next frame, or the open one.
    slot: u32,
    /// Records that are left.
    left: u32,
    /// Records of the frame at `slot`, if it is open: if it has several, and was decoded. Zero if
    /// no frame is open; the three fields that follow are of the open frame.
    count: u32,
    /// How many of its records were returned.
    within: u32,
    layout: BatchLayout,
    time: i64,
}

/// Values of one length, back to back.
pub(crate) struct ValueRun {
    /// Byte position of the first.
    pub(crate) at: usize,
    /// Bytes of each.
    pub(crate) length: usize,
    pub(crate) count: u32,
}

impl<'b> Records<'b> {
    #[inline]
    pub(crate) fn new(
        run: &RecordRun,
        segment: &'b Segment,
        source: &'b TopicPartition,
    ) -> Records<'b> {
        let mut records = Records {
            memory: Some(RecordMemory {
                index: segment.published_index(),
                bytes: segment.bytes(),
                source,
            }),
            singles: run.singles,
            base: run.base,
            slot: run.slot,
            left: run.records,
            ..Records::empty()
        };
        if run.skip > 0 {
            // SAFETY: B1: the run begins with it.
            let first = unsafe { segment.published_index().descriptor(run.slot) };
            records.open_frame(segment.bytes(), first);
            records.within = run.skip;
        }
        records
    }

    #[inline]
    pub(crate) fn empty() -> Records<'b> {
        Records {
            memory: None,
            singles: false,
            base: 0,
            slot: 0,
            left: 0,
            count: 0,
            within: 0,
            layout: BatchLayout::Table { at: 0 },
            time: NO_TIMESTAMP,
        }
    }

    /// The segment's data; `None` if there are no records.
    #[inline]
    pub(super) fn bytes(&self) -> Option<Bytes<'b>> {
        self.memory.map(|memory| memory.bytes)
    }

    /// Opens a frame of several records.
    fn open_frame(&mut self, bytes: Bytes<'b>, descriptor: Descriptor) {
        let at = descriptor.at();
        // SAFETY: B1, and `frame.rs`: both kinds begin with their time, which the length of the
        // values follows in a uniform frame.
        unsafe {
            self.time = read_i64(bytes, at);
            self.layout = match descriptor.kind() {
                Kind::Uniform => BatchLayout::Uniform {
                    at: at + UNIFORM_PREFIX,
                    length: read_u32(bytes, at + 8) as usize,
                },
                _ => BatchLayout::Table {
                    at: at + TABLE_PREFIX,
                },
            };
        }
        self.count = descriptor.slots();
        self.within = 0;
    }

    /// While no frame is open: skips aborted frames up to the next one. If that is a single record,
    /// skips it as well and returns its descriptor; otherwise opens it.
    fn next_frame(&mut self, index: PublishedIndex<'b>, bytes: Bytes<'b>) -> Option<Descriptor> {
        loop {
            // SAFETY: B1: records are left, so this frame is part of the run.
            let descriptor = unsafe { index.descriptor(self.slot) };
            match descriptor.kind() {
                Kind::Timed | Kind::Untimed => {
                    self.slot += 1;
                    return Some(descriptor);
                }
                Kind::Table | Kind::Uniform => {
                    self.open_frame(bytes, descriptor);
                    return None;
                }
                other => {
                    debug_assert_eq!(other, Kind::Aborted);
                    self.slot += descriptor.slots().max(1);
                }
            }
        }
    }

    /// Skips `records` of the open frame, and closes it after its last.
    #[inline]
    fn skip_in_frame(&mut self, records: u32) {
        self.left -= records;
        self.within += records;
        if self.within == self.count {
            self.slot += self.count;
            self.count = 0;
            self.within = 0;
        }
    }

    #[inline]
    fn table_entry(&self, bytes: Bytes<'b>, table: usize) -> Descriptor {
        // SAFETY: B1, and `frame.rs`: the table has one descriptor for each record of the frame.
        Descriptor(unsafe { read_i64(bytes, table + self.within as usize * 8) } as u64)
    }

    /// The offset of the next record of the open frame.
    #[inline]
    fn offset_within(&self) -> u64 {
        self.base + u64::from(self.slot + self.within)
    }

    /// The next values that lie back to back, and the offset of the first.
    pub(crate) fn next_value_run(&mut self) -> Option<(u64, ValueRun)> {
        if self.left == 0 {
            return None;
        }
        let RecordMemory { index, bytes, .. } = self.memory?;
        let single = |descriptor: Descriptor| ValueRun {
            at: descriptor.at(),
            length: descriptor.length(),
            count: 1,
        };
        if self.count == 0 {
            if let Some(descriptor) = self.next_frame(index, bytes) {
                self.left -= 1;
                return Some((self.base + u64::from(self.slot - 1), single(descriptor)));
            }
        }
        let offset = self.offset_within();
        let run = match self.layout {
            BatchLayout::Uniform { at, length } => ValueRun {
                at: at + self.within as usize * length,
                length,
                count: (self.count - self.within).min(self.left),
            },
            BatchLayout::Table { at } => single(self.table_entry(bytes, at)),
        };
        self.skip_in_frame(run.count);
        Some((offset, run))
    }

    /// The next record of any kind; [`next`](Self::next) handles single records and values of the
    /// open uniform frame itself. Takes and returns the whole state, so that in a loop over single
    /// records it stays in registers.
    ///
    /// Cold, so that the compiler spills what only this needs at the call and not in the caller's
    /// loop: `poll and read` in `benches/instructions.txt` takes five instructions a record more
    /// without it.
    #[cold]
    #[inline(never)]
    fn next_of_any_kind(mut self, memory: RecordMemory<'b>) -> (RecordRef<'b>, Self) {
        let RecordMemory { index, bytes, .. } = memory;
        if self.count == 0 {
            if let Some(descriptor) = self.next_frame(index, bytes) {
                self.left -= 1;
                let offset = self.base + u64::from(self.slot - 1);
                let record = RecordRef::new(memory, descriptor, NO_TIMESTAMP, offset);
                return (record, self);
            }
        }
        let (offset, time) = (self.offset_within(), self.time);
        let record = match self.layout {
            BatchLayout::Uniform { at, length } => {
                let at = at + self.within as usize * length;
                RecordRef::of_uniform(memory, at, length, time, offset)
            }
            BatchLayout::Table { at } => {
                RecordRef::new(memory, self.table_entry(bytes, at), time, offset)
            }
        };
        self.skip_in_frame(1);
        (record, self)
    }
}

impl<'b> Iterator for Records<'b> {
    type Item = RecordRef<'b>;

    #[inline]
    fn next(&mut self) -> Option<RecordRef<'b>> {
        if self.left == 0 {
            return None;
        }
        let memory = self.memory?;
        if self.singles || self.count == 0 {
            // SAFETY: B1: a record is left, so this frame is part of the run.
            let descriptor = unsafe { memory.index.descriptor(self.slot) };
            if self.singles || descriptor.is_single_record() {
                let offset = self.base + u64::from(self.slot);
                self.slot += 1;
                self.left -= 1;
                return Some(RecordRef::new(memory, descriptor, NO_TIMESTAMP, offset));
            }
        }
        if let (1.., BatchLayout::Uniform { at, length }) = (self.count, self.layout) {
            let at = at + self.within as usize * length;
            let offset = self.offset_within();
            let record = RecordRef::of_uniform(memory, at, length, self.time, offset);
            self.skip_in_frame(1);
            return Some(record);
        }
        let (record, records) = self.clone().next_of_any_kind(memory);
        *self = records;
        Some(record)
    }

    /// What `for_each`, `sum` and the like use: faster than [`next`](Self::next) in a loop if all
    /// are single records.
    #[inline]
    fn fold<A, F: FnMut(A, RecordRef<'b>) -> A>(self, init: A, mut f: F) -> A {
        let mut all = init;
        match self.memory {
            Some(memory) if self.singles => {
                for slot in self.slot..self.slot + self.left {
                    let offset = self.base + u64::from(slot);
                    // SAFETY: B1: a frame of the run.
                    let descriptor = unsafe { memory.index.descriptor(slot) };
                    all = f(
                        all,
                        RecordRef::new(memory, descriptor, NO_TIMESTAMP, offset),
                    );
                }
            }
            _ => {
                for record in self {
                    all = f(all, record);
                }
            }
        }
        all
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Records<'_> {}

impl FusedIterator for Records<'_> {}

impl fmt::Debug for Records<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// Consecutive frames that a cursor has passed. They stay readable while it holds their segment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RecordRun {
    /// Offset of slot 0.
    pub(crate) base: u64,
    /// Slot of the first frame.
    pub(crate) slot: u32,
    /// Leading records of the first frame that are not part of the run.
    pub(crate) skip: u32,
    /// Records of the run.
    pub(crate) records: u32,
    /// Whether every frame of it is a single record, and none was aborted.
    pub(crate) singles: bool,
    /// Offsets that the reader missed between the run before and this one.
    pub(crate) lost: u64,
}
