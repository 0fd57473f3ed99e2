//! The records of a batch, one by one: from descriptors to keys and values.
//!
//! # Invariant
//!
//! **B1** of `batch.rs`: what is made here borrows a batch, whose segment is held and whose
//! frames were all found published. So their bytes may be read (M4 of `memory.rs`), their
//! descriptors may be read again (M5), and they are as `frame.rs` says.
#![allow(unsafe_code)]

use super::descriptor::{Descriptor, Kind, padded};
use super::frame::{Headers, TABLE_HEAD, UNIFORM_HEAD};
use super::{PublishedIndex, Segment};
use crate::log::segment::memory::Bytes;
use crate::record::NO_TIMESTAMP;
use core::fmt;

/// A record lent out of the ring.
#[derive(Clone, Copy)]
pub struct RecordRef<'b> {
    bytes: Bytes<'b>,
    /// Where the value lies, and how long it is.
    pub(crate) at: usize,
    pub(crate) length: usize,
    /// What lies behind it; for a value of a uniform frame, nothing.
    flags: Descriptor,
    /// The frame's time, for a record without its own.
    time: i64,
    offset: u64,
}

impl<'b> RecordRef<'b> {
    #[inline]
    fn new(bytes: Bytes<'b>, descriptor: Descriptor, time: i64, offset: u64) -> Self {
        RecordRef {
            bytes,
            at: descriptor.at(),
            length: descriptor.length(),
            flags: descriptor,
            time,
            offset,
        }
    }

    /// Its place in the partition.
    #[inline]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Its value; empty for a tombstone.
    #[inline]
    pub fn value(&self) -> &'b [u8] {
        // SAFETY: B1: part of a published frame of the batch.
        unsafe { self.bytes.slice(self.at, self.length) }
    }

    /// Whether it has no value, which is not the same as an empty one.
    #[inline]
    pub fn is_tombstone(&self) -> bool {
        self.flags.is_tombstone()
    }

    /// Its time in milliseconds since 1970 UTC, or [`NO_TIMESTAMP`].
    #[inline]
    pub fn timestamp(&self) -> i64 {
        if !self.flags.is_timed() {
            return self.time;
        }
        // SAFETY: B1, and frame.rs: a timed record's time follows its value.
        unsafe { read_i64(self.bytes, self.behind()) }
    }

    /// Its key; an empty key is a key.
    #[inline]
    pub fn key(&self) -> Option<&'b [u8]> {
        if !self.flags.has_key() {
            return None;
        }
        let (at, key, _) = self.meta();
        // SAFETY: B1, and frame.rs: the key follows its length.
        Some(unsafe { self.bytes.slice(at, key) })
    }

    /// Its headers, in order.
    #[inline]
    pub fn headers(&self) -> Headers<'b> {
        if !self.flags.has_meta() {
            return Headers::new(&[]);
        }
        let (at, key, headers) = self.meta();
        // SAFETY: B1, and frame.rs: the headers follow the key.
        Headers::new(unsafe { self.bytes.slice(at + key, headers) })
    }

    fn behind(&self) -> usize {
        padded(self.at + self.length)
    }

    /// Where the key begins, and the lengths of key and headers.
    #[inline]
    fn meta(&self) -> (usize, usize, usize) {
        let at = self.behind() + if self.flags.is_timed() { 8 } else { 0 };
        // SAFETY: B1, and frame.rs: a record with key or headers has both lengths here.
        let (key, headers) = unsafe { (read_u32(self.bytes, at), read_u32(self.bytes, at + 4)) };
        (at + 8, key as usize, headers as usize)
    }
}

impl fmt::Debug for RecordRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordRef")
            .field("offset", &self.offset)
            .field("timestamp", &self.timestamp())
            .field("key", &self.key())
            .field("value", &(!self.is_tombstone()).then(|| self.value()))
            .field("headers", &self.headers().collect::<Vec<_>>())
            .finish()
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

/// A frame of several records, decoded once.
#[derive(Clone, Copy)]
enum BatchLayout {
    /// Its descriptors begin here.
    Table { at: usize },
    /// Its values begin here, each of this length.
    Uniform { at: usize, length: usize },
}

/// The records of a [`Batch`](crate::Batch), in order.
#[derive(Clone)]
pub struct Records<'b> {
    /// `None`: no records.
    pub(crate) place: Option<(PublishedIndex<'b>, Bytes<'b>)>,
    /// As the run's.
    singles: bool,
    base: u64,
    slot: u32,
    left: u32,
    /// The frame at `slot`, if it has several records and is open: how many it has (0: none
    /// is open), how many of them are behind us, what it is, and its time.
    count: u32,
    within: u32,
    several: BatchLayout,
    time: i64,
}

/// Values of one length, back to back.
pub(crate) struct ValueRun {
    pub(crate) at: usize,
    pub(crate) length: usize,
    pub(crate) count: u32,
}

impl<'b> Records<'b> {
    #[inline]
    pub(crate) fn new(run: &RecordRun, segment: &'b Segment) -> Records<'b> {
        let mut records = Records {
            place: Some((segment.known(), segment.bytes())),
            singles: run.singles,
            base: run.base,
            slot: run.slot,
            left: run.records,
            ..Records::empty()
        };
        if run.skip > 0 {
            // SAFETY: B1: the run begins with it.
            let first = unsafe { segment.known().descriptor(run.slot) };
            records.open_frame(segment.bytes(), first);
            records.within = run.skip;
        }
        records
    }

    #[inline]
    pub(crate) fn empty() -> Records<'b> {
        Records {
            place: None,
            singles: false,
            base: 0,
            slot: 0,
            left: 0,
            count: 0,
            within: 0,
            several: BatchLayout::Table { at: 0 },
            time: NO_TIMESTAMP,
        }
    }

    /// Begins a frame of several records.
    fn open_frame(&mut self, bytes: Bytes<'b>, descriptor: Descriptor) {
        let at = descriptor.at();
        // SAFETY: B1, and frame.rs: both kinds begin with their time, and a uniform frame
        // goes on with the length of its values.
        unsafe {
            self.time = read_i64(bytes, at);
            self.several = match descriptor.kind() {
                Kind::Uniform => BatchLayout::Uniform {
                    at: at + UNIFORM_HEAD,
                    length: read_u32(bytes, at + 8) as usize,
                },
                _ => BatchLayout::Table {
                    at: at + TABLE_HEAD,
                },
            };
        }
        self.count = descriptor.slots();
        self.within = 0;
    }

    /// With no frame open: steps over aborted frames to the next one, and answers its
    /// descriptor if it is a single record, which is then behind us; frames of several are
    /// opened.
    fn next_frame(&mut self, known: PublishedIndex<'b>, bytes: Bytes<'b>) -> Option<Descriptor> {
        loop {
            // SAFETY: B1: records are left, so this frame is part of the run.
            let descriptor = unsafe { known.descriptor(self.slot) };
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

    /// Puts `records` of the open frame behind us, and closes it after its last.
    #[inline]
    fn pass(&mut self, records: u32) {
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
        // SAFETY: B1, and frame.rs: the table has as many descriptors as the frame records.
        Descriptor(unsafe { read_i64(bytes, table + self.within as usize * 8) } as u64)
    }

    /// The offset of the next record of the open frame.
    #[inline]
    fn offset_within(&self) -> u64 {
        self.base + u64::from(self.slot + self.within)
    }

    /// The next values that lie back to back, and the offset of the first.
    pub(crate) fn next_run(&mut self) -> Option<(u64, ValueRun)> {
        if self.left == 0 {
            return None;
        }
        let (known, bytes) = self.place?;
        let single = |descriptor: Descriptor| ValueRun {
            at: descriptor.at(),
            length: descriptor.length(),
            count: 1,
        };
        if self.count == 0 {
            if let Some(descriptor) = self.next_frame(known, bytes) {
                self.left -= 1;
                return Some((self.base + u64::from(self.slot - 1), single(descriptor)));
            }
        }
        let offset = self.offset_within();
        let run = match self.several {
            BatchLayout::Uniform { at, length } => ValueRun {
                at: at + self.within as usize * length,
                length,
                count: (self.count - self.within).min(self.left),
            },
            BatchLayout::Table { at } => single(self.table_entry(bytes, at)),
        };
        self.pass(run.count);
        Some((offset, run))
    }

    /// The next record, where it is neither a single record nor a value of the open uniform frame.
    /// Takes and returns the whole state, so that in a loop over single records it stays in registers.
    ///
    /// Cold, so that the compiler spills what only this needs at the call and not in the caller's loop:
    /// `poll and read` in `benches/instructions.txt` takes five instructions a record more without it.
    #[cold]
    #[inline(never)]
    fn next_slowly(mut self, known: PublishedIndex<'b>, bytes: Bytes<'b>) -> (RecordRef<'b>, Self) {
        if self.count == 0 {
            if let Some(descriptor) = self.next_frame(known, bytes) {
                self.left -= 1;
                let offset = self.base + u64::from(self.slot - 1);
                let record = RecordRef::new(bytes, descriptor, NO_TIMESTAMP, offset);
                return (record, self);
            }
        }
        let (offset, time) = (self.offset_within(), self.time);
        let record = match self.several {
            BatchLayout::Uniform { at, length } => RecordRef {
                bytes,
                at: at + self.within as usize * length,
                length,
                flags: Descriptor::EMPTY,
                time,
                offset,
            },
            BatchLayout::Table { at } => {
                RecordRef::new(bytes, self.table_entry(bytes, at), time, offset)
            }
        };
        self.pass(1);
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
        let (known, bytes) = self.place?;
        if self.singles || self.count == 0 {
            // SAFETY: B1: a record is left, so this frame is part of the run.
            let descriptor = unsafe { known.descriptor(self.slot) };
            if self.singles || descriptor.is_record() {
                let offset = self.base + u64::from(self.slot);
                self.slot += 1;
                self.left -= 1;
                return Some(RecordRef::new(bytes, descriptor, NO_TIMESTAMP, offset));
            }
        }
        if let (1.., BatchLayout::Uniform { at, length }) = (self.count, self.several) {
            let record = RecordRef {
                bytes,
                at: at + self.within as usize * length,
                length,
                flags: Descriptor::EMPTY,
                time: self.time,
                offset: self.offset_within(),
            };
            self.pass(1);
            return Some(record);
        }
        let (record, records) = self.clone().next_slowly(known, bytes);
        *self = records;
        Some(record)
    }

    /// All at once, as `for_each`, `sum` and their like do it: faster than one by one where
    /// all are single records.
    #[inline]
    fn fold<A, F: FnMut(A, RecordRef<'b>) -> A>(self, init: A, mut f: F) -> A {
        let mut all = init;
        match self.place {
            Some((known, bytes)) if self.singles => {
                for slot in self.slot..self.slot + self.left {
                    let offset = self.base + u64::from(slot);
                    // SAFETY: B1: a frame of the run.
                    let descriptor = unsafe { known.descriptor(slot) };
                    all = f(all, RecordRef::new(bytes, descriptor, NO_TIMESTAMP, offset));
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

impl fmt::Debug for Records<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// Some frames that a cursor has read past: they stay readable while it holds them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RecordRun {
    /// Offset of slot 0.
    pub(crate) base: u64,
    /// Slot of the first frame.
    pub(crate) slot: u32,
    /// Records of the first frame that are not part of the run.
    pub(crate) skip: u32,
    /// Records of the run.
    pub(crate) records: u32,
    /// Every frame of it is a single record, and none was aborted.
    pub(crate) singles: bool,
    /// Offsets that the reader missed before it.
    pub(crate) lost: u64,
}
