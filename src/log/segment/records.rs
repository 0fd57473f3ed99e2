//! The records of a run, one at a time: from descriptors to keys and values.
//!
//! # Invariant
//!
//! **B1** (`consumer/batch.rs`): everything here borrows a batch, whose segment is held and whose
//! frames were all found published. Or a lookup by time uses it, while its pin holds the segment
//! (`log/time_lookup.rs`). So their bytes may be read (M4 of [`memory`](super::memory)),
//! their descriptors may be read again (M5), and their layout is that of [`frame`](super::frame).
#![allow(unsafe_code)]

use super::descriptor::{Descriptor, Kind, padded};
use super::frame::{Headers, TABLE_PREFIX, UNIFORM_PREFIX};
use super::{PublishedIndex, Segment};
use crate::log::segment::memory::Bytes;
use crate::record::{NO_TIMESTAMP, known_timestamp};

/// A record where it lies in the log; it borrows the segment.
#[derive(Clone, Copy)]
pub(crate) struct StoredRecord<'b> {
    bytes: Bytes<'b>,
    /// Byte position and length of the value.
    pub(crate) at: usize,
    pub(crate) length: usize,
    /// For what follows the value; empty for a value of a uniform frame, which nothing follows.
    flags: Descriptor,
    /// The frame's time, for a record without its own.
    time: i64,
    pub(crate) offset: u64,
}

impl<'b> StoredRecord<'b> {
    #[inline]
    fn new(bytes: Bytes<'b>, descriptor: Descriptor, time: i64, offset: u64) -> Self {
        StoredRecord {
            bytes,
            at: descriptor.at(),
            length: descriptor.length(),
            flags: descriptor,
            time,
            offset,
        }
    }

    /// The bytes of the value; none for a tombstone.
    #[inline]
    pub(crate) fn value_bytes(&self) -> &'b [u8] {
        // SAFETY: B1: part of a published frame of the batch.
        unsafe { self.bytes.slice(self.at, self.length) }
    }

    /// Whether the record has no value.
    #[inline]
    pub(crate) fn is_tombstone(&self) -> bool {
        self.flags.is_tombstone()
    }

    /// The record's own timestamp or its frame's, if there is one.
    #[inline]
    pub(crate) fn timestamp(&self) -> Option<i64> {
        if !self.flags.is_timed() {
            return known_timestamp(self.time);
        }
        // SAFETY: B1, and `frame.rs`: a timed record's time follows its value.
        Some(unsafe { read_i64(self.bytes, self.value_end()) })
    }

    /// The key, if the record has one.
    #[inline]
    pub(crate) fn key(&self) -> Option<&'b [u8]> {
        if !self.flags.has_key() {
            return None;
        }
        let (at, key, _) = self.meta();
        // SAFETY: B1, and `frame.rs`: the key follows its length.
        Some(unsafe { self.bytes.slice(at, key) })
    }

    /// The headers, in order.
    #[inline]
    pub(crate) fn headers(&self) -> Headers<'b> {
        if !self.flags.has_meta() {
            return Headers::new(&[]);
        }
        let (at, key, headers) = self.meta();
        // SAFETY: B1, and `frame.rs`: the headers follow the key.
        Headers::new(unsafe { self.bytes.slice(at + key, headers) })
    }

    /// The record's value alone.
    #[inline]
    fn value_run(&self) -> ValueRun {
        ValueRun {
            at: self.at,
            length: self.length,
            count: 1,
        }
    }

    /// Byte position of what follows the value.
    fn value_end(&self) -> usize {
        padded(self.at + self.length)
    }

    /// Byte position of the key, and the lengths of key and headers.
    #[inline]
    fn meta(&self) -> (usize, usize, usize) {
        let at = self.value_end() + if self.flags.is_timed() { 8 } else { 0 };
        // SAFETY: B1, and `frame.rs`: a record with key or headers has both lengths here.
        let (key, headers) = unsafe { (read_u32(self.bytes, at), read_u32(self.bytes, at + 4)) };
        (at + 8, key as usize, headers as usize)
    }
}

/// Copies the `N` bytes at `at`.
///
/// # Safety
/// As for [`Bytes::slice`], with `N` bytes at `at`.
#[inline]
unsafe fn read<const N: usize>(bytes: Bytes<'_>, at: usize) -> [u8; N] {
    let mut copy = [0; N];
    // SAFETY: the caller's promise.
    copy.copy_from_slice(unsafe { bytes.slice(at, N) });
    copy
}

/// # Safety
/// As for [`read`], with four bytes.
#[inline]
unsafe fn read_u32(bytes: Bytes<'_>, at: usize) -> u32 {
    // SAFETY: the caller's promise.
    u32::from_le_bytes(unsafe { read(bytes, at) })
}

/// # Safety
/// As for [`read`], with eight bytes.
#[inline]
unsafe fn read_i64(bytes: Bytes<'_>, at: usize) -> i64 {
    // SAFETY: the caller's promise.
    i64::from_le_bytes(unsafe { read(bytes, at) })
}

/// A frame of several records, decoded once.
#[derive(Clone, Copy)]
struct Frame {
    /// Its records.
    count: u32,
    time: i64,
    layout: BatchLayout,
}

impl Frame {
    /// Stands for a single record.
    const NONE: Frame = Frame {
        count: 0,
        time: NO_TIMESTAMP,
        layout: BatchLayout::Table { at: 0 },
    };

    /// The frame of this descriptor, which is of a table or a uniform frame.
    #[inline]
    fn open(bytes: Bytes<'_>, descriptor: Descriptor) -> Frame {
        let at = descriptor.at();
        // SAFETY: B1, and `frame.rs`: both kinds begin with their time, which the length of the
        // values follows in a uniform frame.
        let (time, layout) = unsafe {
            let layout = match descriptor.kind() {
                Kind::Uniform => BatchLayout::Uniform {
                    at: at + UNIFORM_PREFIX,
                    length: read_u32(bytes, at + 8) as usize,
                },
                _ => BatchLayout::Table {
                    at: at + TABLE_PREFIX,
                },
            };
            (read_i64(bytes, at), layout)
        };
        Frame {
            count: descriptor.slots(),
            time,
            layout,
        }
    }

    /// The next frame from `slot` on that was not aborted: its slot, its descriptor, and
    /// itself unless it is a single record.
    fn next(
        index: PublishedIndex<'_>,
        bytes: Bytes<'_>,
        mut slot: u32,
    ) -> (u32, Descriptor, Frame) {
        loop {
            // SAFETY: B1: records are left, so this frame is part of the run.
            let descriptor = unsafe { index.descriptor(slot) };
            match descriptor.kind() {
                Kind::Timed | Kind::Untimed => return (slot, descriptor, Frame::NONE),
                Kind::Table | Kind::Uniform => {
                    return (slot, descriptor, Frame::open(bytes, descriptor));
                }
                other => {
                    debug_assert_eq!(other, Kind::Aborted);
                    slot += descriptor.slots().max(1);
                }
            }
        }
    }

    /// [`next`](Self::next), for a loop over single records. Cold, and by value, so that the
    /// compiler keeps the loop's state in registers: `poll and read` in `benches/instructions.txt`
    /// takes five instructions a record more without it.
    #[cold]
    #[inline(never)]
    fn next_cold(
        index: PublishedIndex<'_>,
        bytes: Bytes<'_>,
        slot: u32,
    ) -> (u32, Descriptor, Frame) {
        Self::next(index, bytes, slot)
    }
}

/// Where the records of a frame are.
#[derive(Clone, Copy)]
enum BatchLayout {
    /// Its descriptors begin at byte position `at`.
    Table { at: usize },
    /// Its values, of `length` bytes each, begin at byte position `at`.
    Uniform { at: usize, length: usize },
}

/// The descriptor of record number `within` of the frame whose table begins at `at`.
#[inline]
fn table_entry(bytes: Bytes<'_>, at: usize, within: u32) -> Descriptor {
    // SAFETY: B1, and `frame.rs`: the table has one descriptor for each record of the frame.
    Descriptor(unsafe { read_i64(bytes, at + within as usize * 8) } as u64)
}

/// Iterates over the records of a run, in order of their offsets.
#[derive(Clone)]
pub(crate) struct StoredRecords<'b> {
    /// The segment's index and data; `None` if there are no records.
    memory: Option<(PublishedIndex<'b>, Bytes<'b>)>,
    /// See [`RecordRun::singles`].
    singles: bool,
    /// Offset of slot 0.
    base: u64,
    /// The next frame, or the open one.
    slot: u32,
    /// StoredRecords that are left.
    left: u32,
    /// The frame at `slot`, if it has several records and is open; otherwise its count is zero.
    frame: Frame,
    /// How many of its records were returned.
    within: u32,
}

/// Values of one length, back to back.
pub(crate) struct ValueRun {
    /// Byte position of the first.
    pub(crate) at: usize,
    /// Bytes of each.
    pub(crate) length: usize,
    pub(crate) count: u32,
}

impl<'b> StoredRecords<'b> {
    #[inline]
    pub(crate) fn new(run: &RecordRun, segment: &'b Segment) -> StoredRecords<'b> {
        let mut records = StoredRecords {
            memory: Some((segment.published_index(), segment.bytes())),
            singles: run.singles,
            base: run.base,
            slot: run.slot,
            left: run.records,
            ..StoredRecords::empty()
        };
        if run.skip > 0 {
            // SAFETY: B1: the run begins with it.
            let first = unsafe { segment.published_index().descriptor(run.slot) };
            records.frame = Frame::open(segment.bytes(), first);
            records.within = run.skip;
        }
        records
    }

    #[inline]
    pub(crate) fn empty() -> StoredRecords<'b> {
        StoredRecords {
            memory: None,
            singles: false,
            base: 0,
            slot: 0,
            left: 0,
            frame: Frame::NONE,
            within: 0,
        }
    }

    /// The segment's data; `None` if there are no records.
    #[inline]
    pub(super) fn bytes(&self) -> Option<Bytes<'b>> {
        self.memory.map(|(_, bytes)| bytes)
    }

    /// While no frame is open: goes on to the one that [`Frame::next`] has found. If that is a single
    /// record, returns it; otherwise the frame is open.
    #[inline(always)]
    fn enter(
        &mut self,
        bytes: Bytes<'b>,
        (slot, descriptor, frame): (u32, Descriptor, Frame),
    ) -> Option<StoredRecord<'b>> {
        self.slot = slot;
        if frame.count == 0 {
            return Some(self.single(bytes, descriptor));
        }
        self.frame = frame;
        None
    }

    /// The single record of this descriptor, which is the next record.
    #[inline(always)]
    fn single(&mut self, bytes: Bytes<'b>, descriptor: Descriptor) -> StoredRecord<'b> {
        let offset = self.base + u64::from(self.slot);
        self.slot += 1;
        self.left -= 1;
        StoredRecord::new(bytes, descriptor, NO_TIMESTAMP, offset)
    }

    /// Skips `records` of the open frame, and closes it after its last.
    #[inline]
    fn skip_in_frame(&mut self, records: u32) {
        self.left -= records;
        self.within += records;
        if self.within == self.frame.count {
            self.slot += self.frame.count;
            self.frame.count = 0;
            self.within = 0;
        }
    }

    /// The next values that lie back to back, and the offset of the first.
    pub(crate) fn next_value_run(&mut self) -> Option<(u64, ValueRun)> {
        if self.left == 0 {
            return None;
        }
        let (index, bytes) = self.memory?;
        if self.frame.count == 0 {
            let found = Frame::next(index, bytes, self.slot);
            if let Some(record) = self.enter(bytes, found) {
                return Some((record.offset, record.value_run()));
            }
        }
        let first = self.record_in_frame(bytes, self.within);
        let mut run = first.value_run();
        if let BatchLayout::Uniform { .. } = self.frame.layout {
            run.count = (self.frame.count - self.within).min(self.left);
        }
        self.skip_in_frame(run.count);
        Some((first.offset, run))
    }

    /// The next frame with a note that begins in the run: the offset of its first record, how many
    /// records it has, and the note's bytes.
    pub(crate) fn next_note(&mut self) -> Option<(u64, u32, &'b [u8])> {
        while self.left > 0 {
            let (index, bytes) = self.memory?;
            if self.frame.count == 0
                && (self.enter(bytes, Frame::next(index, bytes, self.slot))).is_some()
            {
                continue;
            }
            let (first, begins) = (self.base + u64::from(self.slot), self.within == 0);
            let Frame { count, layout, .. } = self.frame;
            self.skip_in_frame((count - self.within).min(self.left));
            if let (BatchLayout::Table { at }, true) = (layout, begins) {
                let end = at + count as usize * 8;
                let length = table_entry(bytes, at, 0).at().saturating_sub(end);
                if length > 0 {
                    // SAFETY: B1, and C1 for a chunk of a file: it lies before the first record.
                    return Some((first, count, unsafe { bytes.slice(end, length) }));
                }
            }
        }
        None
    }

    /// The next record of the open frame, which has one left.
    #[inline(always)]
    fn next_in_frame(&mut self, bytes: Bytes<'b>) -> StoredRecord<'b> {
        let record = self.record_in_frame(bytes, self.within);
        self.skip_in_frame(1);
        record
    }

    /// Record number `within` of the open frame, which has it.
    #[inline(always)]
    fn record_in_frame(&self, bytes: Bytes<'b>, within: u32) -> StoredRecord<'b> {
        let offset = self.base + u64::from(self.slot + within);
        let time = self.frame.time;
        match self.frame.layout {
            BatchLayout::Uniform { at, length } => StoredRecord {
                bytes,
                at: at + within as usize * length,
                length,
                flags: Descriptor::EMPTY,
                time,
                offset,
            },
            BatchLayout::Table { at } => {
                let entry = table_entry(bytes, at, within);
                StoredRecord::new(bytes, entry, time, offset)
            }
        }
    }
}

impl<'b> Iterator for StoredRecords<'b> {
    type Item = StoredRecord<'b>;

    #[inline]
    fn next(&mut self) -> Option<StoredRecord<'b>> {
        if self.left == 0 {
            return None;
        }
        let (index, bytes) = self.memory?;
        if self.singles || self.frame.count == 0 {
            // SAFETY: B1: a record is left, so this frame is part of the run.
            let descriptor = unsafe { index.descriptor(self.slot) };
            if self.singles || descriptor.is_single_record() {
                return Some(self.single(bytes, descriptor));
            }
            let found = Frame::next_cold(index, bytes, self.slot);
            if let Some(record) = self.enter(bytes, found) {
                return Some(record);
            }
        }
        Some(self.next_in_frame(bytes))
    }

    /// What `for_each`, `sum` and the like use: faster than [`next`](Self::next) in a loop, which
    /// asks at each record what kind of frame it is in.
    #[inline]
    fn fold<A, F: FnMut(A, StoredRecord<'b>) -> A>(mut self, init: A, mut f: F) -> A {
        let mut all = init;
        let Some((index, bytes)) = self.memory else {
            return all;
        };
        if self.singles {
            for slot in self.slot..self.slot + self.left {
                let offset = self.base + u64::from(slot);
                // SAFETY: B1: a frame of the run.
                let descriptor = unsafe { index.descriptor(slot) };
                all = f(
                    all,
                    StoredRecord::new(bytes, descriptor, NO_TIMESTAMP, offset),
                );
            }
            return all;
        }
        while self.left > 0 {
            if self.frame.count == 0 {
                let found = Frame::next(index, bytes, self.slot);
                if let Some(record) = self.enter(bytes, found) {
                    all = f(all, record);
                    continue;
                }
            }
            let records = (self.frame.count - self.within).min(self.left);
            for within in self.within..self.within + records {
                all = f(all, self.record_in_frame(bytes, within));
            }
            self.skip_in_frame(records);
        }
        all
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for StoredRecords<'_> {}

/// Consecutive frames that a cursor has passed. They stay readable while it holds their segment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RecordRun {
    /// Offset of slot 0.
    pub(crate) base: u64,
    /// Slot of the first frame.
    pub(crate) slot: u32,
    /// Leading records of the first frame that are not part of the run.
    pub(crate) skip: u32,
    /// StoredRecords of the run.
    pub(crate) records: u32,
    /// Whether every frame of it is a single record, and none was aborted.
    pub(crate) singles: bool,
    /// Offsets that the reader missed between the run before and this one.
    pub(crate) lost: u64,
}
