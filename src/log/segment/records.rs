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
    u32::from_ne_bytes(unsafe { read(bytes, at) })
}

/// # Safety
/// As for [`read`], with eight bytes.
#[inline]
unsafe fn read_i64(bytes: Bytes<'_>, at: usize) -> i64 {
    // SAFETY: the caller's promise.
    i64::from_ne_bytes(unsafe { read(bytes, at) })
}

/// The layout of a frame of several records, decoded once a frame.
#[derive(Clone, Copy)]
enum BatchLayout {
    /// Its descriptors begin at byte position `at`.
    Table { at: usize },
    /// Its values, of `length` bytes each, begin at byte position `at`.
    Uniform { at: usize, length: usize },
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
    /// StoredRecords of the frame at `slot`, if it is open: if it has several, and was decoded. Zero if
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
            records.open_frame(segment.bytes(), first);
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
            count: 0,
            within: 0,
            layout: BatchLayout::Table { at: 0 },
            time: NO_TIMESTAMP,
        }
    }

    /// The segment's data; `None` if there are no records.
    #[inline]
    pub(super) fn bytes(&self) -> Option<Bytes<'b>> {
        self.memory.map(|(_, bytes)| bytes)
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
        let (index, bytes) = self.memory?;
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
    fn next_of_any_kind(
        mut self,
        index: PublishedIndex<'b>,
        bytes: Bytes<'b>,
    ) -> (StoredRecord<'b>, Self) {
        if self.count == 0 {
            if let Some(descriptor) = self.next_frame(index, bytes) {
                self.left -= 1;
                let offset = self.base + u64::from(self.slot - 1);
                let record = StoredRecord::new(bytes, descriptor, NO_TIMESTAMP, offset);
                return (record, self);
            }
        }
        let (offset, time) = (self.offset_within(), self.time);
        let record = match self.layout {
            BatchLayout::Uniform { at, length } => StoredRecord {
                bytes,
                at: at + self.within as usize * length,
                length,
                flags: Descriptor::EMPTY,
                time,
                offset,
            },
            BatchLayout::Table { at } => {
                StoredRecord::new(bytes, self.table_entry(bytes, at), time, offset)
            }
        };
        self.skip_in_frame(1);
        (record, self)
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
        if self.singles || self.count == 0 {
            // SAFETY: B1: a record is left, so this frame is part of the run.
            let descriptor = unsafe { index.descriptor(self.slot) };
            if self.singles || descriptor.is_single_record() {
                let offset = self.base + u64::from(self.slot);
                self.slot += 1;
                self.left -= 1;
                return Some(StoredRecord::new(bytes, descriptor, NO_TIMESTAMP, offset));
            }
        }
        if let (1.., BatchLayout::Uniform { at, length }) = (self.count, self.layout) {
            let record = StoredRecord {
                bytes,
                at: at + self.within as usize * length,
                length,
                flags: Descriptor::EMPTY,
                time: self.time,
                offset: self.offset_within(),
            };
            self.skip_in_frame(1);
            return Some(record);
        }
        let (record, records) = self.clone().next_of_any_kind(index, bytes);
        *self = records;
        Some(record)
    }

    /// What `for_each`, `sum` and the like use: faster than [`next`](Self::next) in a loop if all
    /// are single records.
    #[inline]
    fn fold<A, F: FnMut(A, StoredRecord<'b>) -> A>(self, init: A, mut f: F) -> A {
        let mut all = init;
        match self.memory {
            Some((index, bytes)) if self.singles => {
                for slot in self.slot..self.slot + self.left {
                    let offset = self.base + u64::from(slot);
                    // SAFETY: B1: a frame of the run.
                    let descriptor = unsafe { index.descriptor(slot) };
                    all = f(
                        all,
                        StoredRecord::new(bytes, descriptor, NO_TIMESTAMP, offset),
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
