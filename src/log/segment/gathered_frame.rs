//! A frame that is built outside of the log, record by record, and copied into it as a whole.
//!
//! It has the layout of a table frame ([`frame`](super::frame)), but for what is known only when it
//! is appended: its time, and where it lies in the segment. Appending it is then one copy of the
//! records' bytes, and an addition to each descriptor.
//!
//! ```text
//! table      one descriptor a record, its position counted from the beginning of `bodies`
//! bodies     the records, each as in the log
//! ```
//!
//! If all records are plain values of one length it is appended as a uniform frame, as a batch is.

use super::batch_share::SimpleRecord;
use super::descriptor::{Descriptor, Kind, UNIT, padded};
use super::frame::{
    Headers, TABLE_PREFIX, UNIFORM_PREFIX, put, read_meta, uniform_size, write_record,
    write_uniform_prefix,
};
use crate::record::Record;

/// Records that are gathered to be appended as one frame.
#[derive(Default)]
pub(crate) struct GatheredFrame {
    /// As many as there may become; the first `records` are those of the records.
    table: Box<[Descriptor]>,
    records: usize,
    /// As long as the records may become; the first `used` bytes are theirs.
    bodies: Box<[u8]>,
    used: usize,
    /// The first record's value length.
    value: usize,
    /// Whether any record is not just a value, or has a value of another length. Then the frame is
    /// a table, and otherwise uniform.
    mixed: bool,
}

/// A record of a [`GatheredFrame`], as it was given.
pub(crate) struct GatheredRecord<'f> {
    pub(crate) value: Option<&'f [u8]>,
    pub(crate) key: Option<&'f [u8]>,
    pub(crate) headers: Headers<'f>,
    /// Its own, if it has one.
    pub(crate) timestamp: Option<i64>,
}

/// Bytes that a frame of one record needs whose body has `body` bytes.
pub(crate) fn gathered_size(body: usize) -> usize {
    body.saturating_add(TABLE_PREFIX + size_of::<Descriptor>())
}

impl GatheredFrame {
    /// An empty frame, for at most `records` records and `bytes` bytes. Nothing is allocated
    /// afterwards. (The default has no room at all.)
    pub(crate) fn new(records: usize, bytes: usize) -> GatheredFrame {
        // No frame has more records than its bytes have room for.
        let records = records.min(bytes / size_of::<Descriptor>());
        GatheredFrame {
            table: vec![Descriptor::EMPTY; records].into(),
            bodies: vec![0; bytes.saturating_sub(TABLE_PREFIX)].into(),
            ..GatheredFrame::default()
        }
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.records
    }

    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Whether it has as many records as it may have.
    #[inline(always)]
    pub(crate) fn is_full(&self) -> bool {
        self.records == self.table.len()
    }

    /// Whether a record of `body` bytes can be added to it.
    #[inline(always)]
    pub(crate) fn has_room(&self, body: usize) -> bool {
        let table = (self.records + 1) * size_of::<Descriptor>();
        // Neither sum overflows: both are lengths of memory that exists. The table alone may have
        // no room: a body may have no bytes.
        let free = self.bodies.len().checked_sub(self.used + table);
        !self.is_full() && free.is_some_and(|free| body <= free)
    }

    /// Adds a record. The caller has made sure that there is room for its `body` bytes, its
    /// [`record_size`](super::record_size) with the timestamp of its own that it may have.
    #[inline]
    pub(crate) fn push(&mut self, record: &Record<'_>, body: usize) {
        match SimpleRecord::of(record) {
            Some(simple) => self.push_simple(simple),
            None => self.push_other(record, body),
        }
    }

    /// Adds a simple record, if the frame is not empty, has room for it, and is not full with it.
    #[inline(always)]
    pub(crate) fn try_push(&mut self, record: SimpleRecord<'_>) -> bool {
        let table = (self.records + 1) * size_of::<Descriptor>();
        let end = record.size().saturating_add((self.used + table) as u64);
        let fits = end <= self.bodies.len() as u64 && self.records + 1 < self.table.len();
        if self.records == 0 || !fits {
            return false;
        }
        self.mixed |= record.key.is_some() || record.value.len() != self.value;
        self.table[self.records] = record.write(&mut self.bodies, &mut self.used, 0);
        self.records += 1;
        true
    }

    /// [`push`](Self::push) for a simple record.
    fn push_simple(&mut self, record: SimpleRecord<'_>) {
        let length = record.value.len();
        if self.records == 0 {
            self.value = length;
        }
        self.mixed |= record.key.is_some() || length != self.value;
        self.table[self.records] = record.write(&mut self.bodies, &mut self.used, 0);
        self.records += 1;
    }

    #[inline(never)]
    fn push_other(&mut self, record: &Record<'_>, body: usize) {
        let out = &mut self.bodies[self.used..][..body];
        let unit = (self.used / UNIT) as u32;
        self.table[self.records] = write_record(out, unit, record, record.timestamp);
        self.mixed = true;
        self.used += body;
        self.records += 1;
    }

    /// Bytes that it takes in the log as a table.
    #[inline(always)]
    pub(crate) fn table_size(&self) -> usize {
        TABLE_PREFIX + self.records * size_of::<Descriptor>() + self.used
    }

    /// Bytes that it takes in the log.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        match self.mixed {
            true => self.table_size(),
            false => uniform_size(self.records, self.value),
        }
    }

    /// Writes it into `out`, exactly its bytes, which begin at `unit`. `time` is that of the
    /// records without one of their own.
    pub(super) fn write(&self, out: &mut [u8], unit: u32, time: i64) -> Descriptor {
        let (bodies, value) = (&self.bodies[..self.used], self.value);
        if !self.mixed {
            write_uniform_prefix(out, value, time);
            let out = &mut out[UNIFORM_PREFIX..];
            if value == padded(value) {
                out.copy_from_slice(bodies);
            } else {
                let mut at = 0;
                for body in bodies.chunks_exact(padded(value)) {
                    put(out, &mut at, &body[..value]);
                }
            }
            return Descriptor::new(Kind::Uniform, unit, self.records as u64);
        }
        let (prefix, rest) = out.split_at_mut(TABLE_PREFIX);
        let (table, out) = rest.split_at_mut(self.records * size_of::<Descriptor>());
        prefix.copy_from_slice(&time.to_le_bytes());
        let first = unit as usize * UNIT + prefix.len() + table.len();
        for (entry, descriptor) in table.chunks_exact_mut(8).zip(&self.table[..self.records]) {
            entry.copy_from_slice(&descriptor.moved_by(first).0.to_le_bytes());
        }
        out.copy_from_slice(bodies);
        Descriptor::new(Kind::Table, unit, self.records as u64)
    }

    /// Empties it. Its memory stays.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.records = 0;
        self.used = 0;
        self.mixed = false;
    }

    /// Its records, in order.
    pub(crate) fn records(&self) -> impl Iterator<Item = GatheredRecord<'_>> {
        self.table[..self.records].iter().map(|&descriptor| {
            let body = &self.bodies[descriptor.at()..self.used];
            let (timestamp, key, headers) = read_meta(body, descriptor);
            GatheredRecord {
                value: (!descriptor.is_tombstone()).then(|| &body[..descriptor.length()]),
                key,
                headers: Headers::new(headers),
                timestamp,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch_share::BatchShare;
    use super::super::frame::record_size;
    use super::*;
    use crate::record::Header;

    fn gather(records: &[Record<'_>], room: usize) -> GatheredFrame {
        let mut frame = GatheredFrame::new(records.len(), room);
        for record in records {
            let body = record_size(record, record.timestamp.is_some());
            assert!(frame.has_room(body), "{} of {}", frame.len(), records.len());
            frame.push(record, body);
        }
        frame
    }

    /// A gathered frame is the frame of the same records as a batch, byte by byte.
    fn assert_same_as_a_batch(records: &[Record<'_>]) {
        let frame = gather(records, 1 << 16);
        let mut share = BatchShare::default();
        records.iter().for_each(|record| share.add(record));
        assert_eq!(frame.size(), share.size());
        // What pads a record is what was there before.
        let mut expected = vec![0; share.size()];
        let mut written = vec![0; frame.size()];
        let of_batch = share.write(&mut expected, 5, records.iter(), 77);
        assert_eq!(frame.write(&mut written, 5, 77), of_batch);
        assert_eq!(written, expected);
    }

    #[test]
    fn a_gathered_frame_is_that_of_a_batch() {
        let text: Vec<u8> = (0..=255).collect();
        let headers = [Header::new("a", b"x"), Header::new("b", b"")];
        for length in [0, 1, 7, 8, 64, 65, 200] {
            let plain = Record::new(&text[..length]);
            assert_same_as_a_batch(&[plain]);
            assert_same_as_a_batch(&[plain, plain, plain]);
            assert_same_as_a_batch(&[plain, plain.key("key"), plain.key("")]);
            assert_same_as_a_batch(&[plain, Record::new(b"other length")]);
            let all = plain.key("k").headers(&headers).timestamp(5);
            assert_same_as_a_batch(&[all, Record::tombstone("gone"), plain.timestamp(6), all]);
        }
    }

    #[test]
    fn its_records_are_read_back_as_they_were_given() {
        let headers = [Header::new("a", b"x"), Header::new("b", b"")];
        let records = [
            Record::new("value"),
            Record::new("").key(""),
            Record::tombstone("gone").timestamp(5),
            Record::default(),
            Record::new("all").key("k").headers(&headers).timestamp(6),
            Record::new("headers").headers(&headers[1..]),
        ];
        let frame = gather(&records, 1 << 12);
        let mut back = 0;
        for (record, given) in frame.records().zip(&records) {
            assert_eq!((record.value, record.key), (given.value, given.key));
            assert_eq!(record.timestamp, given.timestamp);
            assert!(record.headers.eq(given.headers.iter().copied()));
            back += 1;
        }
        assert_eq!(back, records.len());
    }

    #[test]
    fn it_has_room_up_to_its_bytes_and_its_records() {
        let record = Record::new("12345678").key("k");
        let body = record_size(&record, false);
        let one = gathered_size(body);
        assert!(!GatheredFrame::new(9, one - 1).has_room(body));
        let mut frame = gather(&[record], one);
        assert_eq!((frame.size(), frame.has_room(0)), (one, false));
        frame.clear();
        assert!(frame.is_empty() && frame.has_room(body) && !frame.has_room(body + 8));
        let two = gather(&[record, record], 1 << 12);
        assert!(!two.has_room(body), "as many records as it may have");
    }
}
