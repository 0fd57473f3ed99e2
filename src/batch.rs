//! What a poll gives: records lent out of the ring, one partition's run.
//!
//! # Invariant
//!
//! **B1** A [`Batch`] borrows its consumer, so the consumer's cursor cannot move on while
//! the batch lives, and the cursor holds the batch's segment (`cursor.rs`); every frame of
//! the batch's run was found published. So its bytes may be read, by M4 of `memory.rs`,
//! for as long as the batch is borrowed.
#![allow(unsafe_code)]

use crate::cursor::{Cursor, Run};
use crate::encode::Headers;
use crate::error::ViewError;
use crate::frame::{Descriptor, Kind, TABLE_HEAD, UNIFORM_HEAD, UNIT};
use crate::memory::Bytes;
use crate::record::NO_TIMESTAMP;
use crate::segment::{Known, Segment};
use crate::topic::TopicInner;
use core::fmt;
use zerocopy::{FromBytes, Immutable};

/// Records of one partition, in order, lent out of the ring without a copy.
///
/// While a batch is held, its records stay where they are. Under `Backpressure` producers
/// may come to wait for it; under `DropOldest` they go on, and the batch stays readable.
pub struct Batch<'c> {
    /// `None`: nothing came in time.
    run: Option<(Run, &'c mut Cursor, &'c TopicInner, u32)>,
    /// The models' check that the run may be read for as long as the batch lives.
    #[cfg(loom)]
    access: Option<crate::memory::ReadAccess>,
}

impl<'c> Batch<'c> {
    pub(crate) fn empty() -> Batch<'c> {
        Batch {
            run: None,
            #[cfg(loom)]
            access: None,
        }
    }

    pub(crate) fn new(
        run: Run,
        cursor: &'c mut Cursor,
        topic: &'c TopicInner,
        partition: u32,
    ) -> Batch<'c> {
        Batch {
            #[cfg(loom)]
            access: Some(cover(&run, topic)),
            run: Some((run, cursor, topic, partition)),
        }
    }

    /// How many records.
    #[inline]
    pub fn len(&self) -> usize {
        self.run
            .as_ref()
            .map_or(0, |(run, ..)| run.records as usize)
    }

    /// Whether nothing came in time.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The topic's name; empty when the batch is.
    pub fn topic(&self) -> &str {
        self.run
            .as_ref()
            .map_or("", |(_, _, topic, _)| topic.name())
    }

    /// The partition; 0 when the batch is empty.
    pub fn partition(&self) -> u32 {
        self.run.as_ref().map_or(0, |&(.., partition)| partition)
    }

    /// How many offsets of this partition went by unread between the last batch from it and
    /// this one, because they were dropped before this consumer came to them
    /// ([`Overflow::DropOldest`](crate::Overflow::DropOldest)); aborted claims among them
    /// count too.
    pub fn lost(&self) -> u64 {
        self.run.as_ref().map_or(0, |(run, ..)| run.lost)
    }

    /// The records, in order.
    #[inline]
    pub fn iter(&self) -> Records<'_> {
        match &self.run {
            Some((run, _, topic, _)) => Records::new(run, topic.pool().get(run.segment)),
            None => Records::empty(),
        }
    }

    /// The values as fixed-size values, in place.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Route, TopicConfig};
    /// # use std::time::Duration;
    /// # let broker = Broker::new();
    /// # let topic = broker.create_topic("ticks", TopicConfig::new())?;
    /// # let mut consumer = broker.consumer(ConsumerConfig::new());
    /// # consumer.subscribe(&["ticks"])?;
    /// topic.producer().send_values(Route::Any, &[1u64, 2, 3])?;
    /// let batch = consumer.poll(Duration::from_millis(100))?;
    /// assert_eq!(batch.values::<u64>()?.sum::<u64>(), 6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ViewError::Size`] if any value's length is not the size of `T`, and
    /// [`ViewError::Alignment`] if `T` needs an alignment above 8; both before the first
    /// value.
    pub fn values<T>(&self) -> Result<Values<'_, T>, ViewError>
    where
        T: FromBytes + Immutable,
    {
        if align_of::<T>() > UNIT {
            return Err(ViewError::Alignment {
                align: align_of::<T>(),
                max: UNIT,
            });
        }
        let mut frames = self.iter();
        while let Some((offset, values)) = frames.next_run() {
            if values.length != size_of::<T>() {
                return Err(ViewError::Size {
                    offset,
                    length: values.length,
                    size: size_of::<T>(),
                });
            }
        }
        Ok(Values {
            frames: self.iter(),
            run: [].iter(),
        })
    }
}

/// Checks, in the models, that all of the run's frames may be read for as long as the batch
/// lives.
#[cfg(loom)]
fn cover(run: &Run, topic: &TopicInner) -> crate::memory::ReadAccess {
    let segment = topic.pool().get(run.segment);
    let mut access = segment.read_access();
    for record in Records::new(run, segment) {
        segment.cover(&mut access, record.at, record.length);
    }
    access
}

impl Drop for Batch<'_> {
    #[inline]
    fn drop(&mut self) {
        #[cfg(loom)]
        drop(self.access.take());
        if let Some((_, cursor, topic, partition)) = &mut self.run {
            cursor.settle(topic.partition(*partition), topic.pool());
        }
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("topic", &self.topic())
            .field("partition", &self.partition())
            .field("lost", &self.lost())
            .field("records", &self.iter().collect::<Vec<_>>())
            .finish()
    }
}

impl<'b> IntoIterator for &'b Batch<'_> {
    type Item = RecordRef<'b>;
    type IntoIter = Records<'b>;

    #[inline]
    fn into_iter(self) -> Records<'b> {
        self.iter()
    }
}

/// A record lent out of the ring.
#[derive(Clone, Copy)]
pub struct RecordRef<'b> {
    bytes: Bytes<'b>,
    /// Where the value lies, and how long it is.
    at: usize,
    length: usize,
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
        crate::frame::padded(self.at + self.length)
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

/// # Safety
/// As for [`Bytes::slice`], with four bytes at `at`.
#[inline]
unsafe fn read_u32(bytes: Bytes<'_>, at: usize) -> u32 {
    // SAFETY: the caller's promise.
    let four = unsafe { bytes.slice(at, 4) };
    u32::from_ne_bytes([four[0], four[1], four[2], four[3]])
}

/// # Safety
/// As for [`Bytes::slice`], with eight bytes at `at`.
#[inline]
unsafe fn read_i64(bytes: Bytes<'_>, at: usize) -> i64 {
    // SAFETY: the caller's promise.
    let eight = unsafe { bytes.slice(at, 8) };
    i64::from_ne_bytes([
        eight[0], eight[1], eight[2], eight[3], eight[4], eight[5], eight[6], eight[7],
    ])
}

/// A frame of several records, decoded once.
#[derive(Clone, Copy)]
enum Several {
    /// Its descriptors begin here.
    Table { at: usize },
    /// Its values begin here, each of this length.
    Uniform { at: usize, length: usize },
}

/// The records of a [`Batch`], in order.
#[derive(Clone)]
pub struct Records<'b> {
    /// `None`: no records.
    place: Option<(Known<'b>, Bytes<'b>)>,
    /// As the run's.
    singles: bool,
    base: u64,
    slot: u32,
    left: u32,
    /// The frame at `slot`, if it has several records and is open: how many it has (0: none
    /// is open), how many of them are behind us, what it is, and its time.
    count: u32,
    within: u32,
    several: Several,
    time: i64,
}

/// Values of one length, back to back.
struct ValueRun {
    at: usize,
    length: usize,
    count: u32,
}

impl<'b> Records<'b> {
    #[inline]
    fn new(run: &Run, segment: &'b Segment) -> Records<'b> {
        let mut records = Records {
            place: Some((segment.known(), segment.bytes())),
            singles: run.singles,
            base: run.base,
            slot: run.slot,
            left: run.records,
            ..Records::empty()
        };
        if run.skip > 0 {
            records.open_frame(segment.bytes(), segment.known().descriptor(run.slot));
            records.within = run.skip;
        }
        records
    }

    #[inline]
    fn empty() -> Records<'b> {
        Records {
            place: None,
            singles: false,
            base: 0,
            slot: 0,
            left: 0,
            count: 0,
            within: 0,
            several: Several::Table { at: 0 },
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
                Kind::Uniform => Several::Uniform {
                    at: at + UNIFORM_HEAD,
                    length: read_u32(bytes, at + 8) as usize,
                },
                _ => Several::Table {
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
    fn next_frame(&mut self, known: Known<'b>, bytes: Bytes<'b>) -> Option<Descriptor> {
        loop {
            let descriptor = known.descriptor(self.slot);
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
    fn next_run(&mut self) -> Option<(u64, ValueRun)> {
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
            Several::Uniform { at, length } => ValueRun {
                at: at + self.within as usize * length,
                length,
                count: (self.count - self.within).min(self.left),
            },
            Several::Table { at } => single(self.table_entry(bytes, at)),
        };
        self.pass(run.count);
        Some((offset, run))
    }

    /// The next record, when it is not simply the next single one. Takes and gives the whole
    /// state, so that in a loop over single records it stays in registers.
    #[inline(never)]
    fn next_slowly(mut self, known: Known<'b>, bytes: Bytes<'b>) -> (RecordRef<'b>, Self) {
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
            Several::Uniform { at, length } => RecordRef {
                bytes,
                at: at + self.within as usize * length,
                length,
                flags: Descriptor::EMPTY,
                time,
                offset,
            },
            Several::Table { at } => {
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
            let descriptor = known.descriptor(self.slot);
            if self.singles || descriptor.is_record() {
                let offset = self.base + u64::from(self.slot);
                self.slot += 1;
                self.left -= 1;
                return Some(RecordRef::new(bytes, descriptor, NO_TIMESTAMP, offset));
            }
        }
        let (record, records) = self.clone().next_slowly(known, bytes);
        *self = records;
        Some(record)
    }

    /// All at once, as `for_each`, `sum` and their like do it: faster than one by one where
    /// all are single records.
    #[inline]
    fn fold<A, F: FnMut(A, RecordRef<'b>) -> A>(mut self, init: A, mut f: F) -> A {
        let mut all = init;
        match self.place {
            Some((known, bytes)) if self.singles => {
                for slot in self.slot..self.slot + self.left {
                    let offset = self.base + u64::from(slot);
                    let descriptor = known.descriptor(slot);
                    all = f(all, RecordRef::new(bytes, descriptor, NO_TIMESTAMP, offset));
                }
            }
            _ => {
                while let Some(record) = self.next() {
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

/// The values of a [`Batch`], viewed in place as `T`.
pub struct Values<'b, T> {
    frames: Records<'b>,
    run: core::slice::Iter<'b, T>,
}

impl<'b, T: FromBytes + Immutable> Values<'b, T> {
    /// The next values that lie back to back in the ring, as one slice: a whole frame of
    /// `send_values`, or a single value.
    #[inline]
    pub fn next_slice(&mut self) -> Option<&'b [T]> {
        let rest = self.run.as_slice();
        if !rest.is_empty() {
            self.run = [].iter();
            return Some(rest);
        }
        let (_, run) = self.frames.next_run()?;
        let (_, bytes) = self.frames.place?;
        let count = run.count as usize;
        debug_assert_eq!(run.length, size_of::<T>());
        // SAFETY: B1. `values` has checked that every length is the size of `T`, so the values
        // lie one `T` apart, and that `T` needs no more alignment than where values begin
        // (frame.rs) or a multiple of its own size from there. Any bytes are a `T`
        // (`FromBytes`), and nobody changes them (`Immutable`, B1).
        Some(unsafe {
            let bytes = bytes.slice(run.at, run.length * count);
            core::slice::from_raw_parts(bytes.as_ptr().cast::<T>(), count)
        })
    }
}

impl<'b, T: FromBytes + Immutable> Iterator for Values<'b, T> {
    type Item = &'b T;

    #[inline]
    fn next(&mut self) -> Option<&'b T> {
        loop {
            if let Some(value) = self.run.next() {
                return Some(value);
            }
            self.run = self.next_slice()?.iter();
        }
    }
}

impl<T> fmt::Debug for Values<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").finish_non_exhaustive()
    }
}
