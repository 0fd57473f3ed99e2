//! One partition's share of a batch: the size and the layout of its frame, and writing it.
//!
//! A share of plain values of one length is a uniform frame, and any other a table
//! ([`frame`](super::frame)). The usual record, a value with or without a key, has a way of its own
//! here: splitting and writing a batch are loops over records, in which each branch counts.

use super::descriptor::{Descriptor, Flags, Kind, UNIT, padded};
use super::frame::{
    TABLE_PREFIX, TOO_LARGE, UNIFORM_PREFIX, copy, put, record_size, uniform_size, write_record,
    write_uniform_prefix,
};
use crate::record::Record;

/// A record that has a value, perhaps a key, and nothing else to write: the usual record.
#[derive(Clone, Copy)]
pub(crate) struct SimpleRecord<'r> {
    pub(crate) value: &'r [u8],
    pub(crate) key: Option<&'r [u8]>,
}

impl<'r> SimpleRecord<'r> {
    #[inline(always)]
    pub(crate) fn of(record: &Record<'r>) -> Option<SimpleRecord<'r>> {
        match *record {
            Record {
                value: Some(value),
                key,
                headers: [],
                timestamp: None,
                ..
            } => Some(SimpleRecord { value, key }),
            _ => None,
        }
    }

    /// Its bytes in a table.
    #[inline(always)]
    pub(crate) fn size(self) -> u64 {
        let meta = self.key.map_or(0, |key| padded(key.len()) as u64 + 8);
        // Each is about half of what the sum can be: no slice is longer than `isize::MAX`.
        (padded(self.value.len()) as u64).saturating_add(meta)
    }

    /// Writes it at `bodies[*at]`, and moves `at` past it. `first` is the byte position of `bodies`
    /// in the segment.
    #[inline(always)]
    pub(super) fn write(self, bodies: &mut [u8], at: &mut usize, first: usize) -> Descriptor {
        let SimpleRecord { value, key } = self;
        let bytes = self.size() as usize; // within a segment, as the share is
        let body = &mut bodies[*at..][..bytes];
        copy(&mut body[..value.len()], value);
        if let Some(key) = key {
            let meta = padded(value.len());
            // Lengths fit: see `put_u32`.
            let lengths = [key.len() as u32, 0].map(u32::to_le_bytes);
            body[meta..meta + 8].copy_from_slice(lengths.as_flattened());
            copy(&mut body[meta + 8..][..key.len()], key);
        }
        let unit = ((first + *at) / UNIT) as u32;
        *at += bytes;
        let flags = Flags {
            key: key.is_some(),
            ..Flags::default()
        };
        Descriptor::record(unit, value.len(), false, flags)
    }
}

/// As [`SimpleRecord::write`], for the other records.
#[inline(never)]
fn write_other(bodies: &mut [u8], at: &mut usize, first: usize, record: &Record<'_>) -> Descriptor {
    let bytes = record_size(record, record.timestamp.is_some());
    let body = &mut bodies[*at..][..bytes];
    let unit = ((first + *at) / UNIT) as u32;
    *at += bytes;
    write_record(body, unit, record, record.timestamp)
}

/// One partition's share of a batch: what decides the layout of its frame.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BatchShare {
    pub(crate) records: usize,
    /// Bytes of the records in a table frame, without the time and the descriptors.
    bodies: u64,
    /// The first record's value length.
    value: usize,
    /// Whether any record is not just a value (it has a key, headers or a timestamp, or is a
    /// tombstone), or has a value of another length. Then the frame is a table, and otherwise
    /// uniform.
    mixed: bool,
}

impl BatchShare {
    /// Adds a record to the share.
    pub(crate) fn add(&mut self, record: &Record<'_>) {
        if let Some(simple) = SimpleRecord::of(record) {
            return self.add_simple(simple);
        }
        self.mixed = true;
        self.records += 1;
        let bytes = record_size(record, record.timestamp.is_some());
        self.bodies = self.bodies.saturating_add(bytes as u64);
    }

    /// [`add`](Self::add) for a simple record.
    #[inline(always)]
    pub(crate) fn add_simple(&mut self, record: SimpleRecord<'_>) {
        match record.key {
            Some(_) => self.mixed = true,
            None if self.records == 0 => self.value = record.value.len(),
            None => self.mixed |= record.value.len() != self.value,
        }
        self.records += 1;
        self.bodies = self.bodies.saturating_add(record.size());
    }

    /// Bytes of the share's frame; [`TOO_LARGE`] if the sum might overflow.
    pub(crate) fn size(&self) -> usize {
        if !self.mixed {
            return uniform_size(self.records, self.value);
        }
        let prefix = TABLE_PREFIX as u64 + self.records as u64 * 8;
        usize::try_from(self.bodies.saturating_add(prefix)).unwrap_or(TOO_LARGE)
    }

    /// Writes `records`, those of the share, into `out`, exactly the frame's bytes, which begin at
    /// `unit`. `time` is that of the records without one of their own.
    #[inline(never)] // its loop needs all registers
    pub(super) fn write<'r>(
        &self,
        out: &mut [u8],
        unit: u32,
        records: impl Iterator<Item = &'r Record<'r>>,
        time: i64,
    ) -> Descriptor {
        if !self.mixed {
            write_uniform_prefix(out, self.value, time);
            let mut at = UNIFORM_PREFIX;
            for record in records {
                put(out, &mut at, record.value_bytes());
            }
            return Descriptor::new(Kind::Uniform, unit, self.records as u64);
        }
        out[..TABLE_PREFIX].copy_from_slice(&time.to_le_bytes());
        let (table, bodies) = out.split_at_mut(TABLE_PREFIX + self.records * 8);
        let first = unit as usize * UNIT + table.len();
        let mut at = 0;
        for (record, entry) in records.zip(table[TABLE_PREFIX..].chunks_exact_mut(8)) {
            let descriptor = match SimpleRecord::of(record) {
                Some(simple) => simple.write(bodies, &mut at, first),
                None => write_other(bodies, &mut at, first, record),
            };
            entry.copy_from_slice(&descriptor.0.to_le_bytes());
        }
        Descriptor::new(Kind::Table, unit, self.records as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_batch_of_plain_values_of_one_length_is_uniform() {
        let bytes = |records: &[Record<'_>]| {
            let mut share = BatchShare::default();
            records.iter().for_each(|record| share.add(record));
            (share.mixed, share.size())
        };
        let plain = Record::new(b"1234");
        assert_eq!(bytes(&[plain, plain]), (false, UNIFORM_PREFIX + 8));
        assert_eq!(bytes(&[plain, Record::new(b"12")]), (true, 8 + 16 + 16));
        assert_eq!(bytes(&[plain.timestamp(5)]), (true, 8 + 8 + 16));
        assert_eq!(bytes(&[plain.key("k")]), (true, 8 + 8 + 8 + 16));
    }

    #[test]
    fn simple_records_are_counted_and_written_as_any_others() {
        let mut share = BatchShare::default();
        let text: Vec<u8> = (0..=255).collect();
        let lengths = [0, 1, 7, 8, 9, 16, 17, 33, 64, 65, 128, 129];
        let pairs: Vec<_> = lengths
            .iter()
            .flat_map(|&v| lengths.map(|k| (&text[..v], &text[100..][..k])))
            .collect();
        let keyed = pairs.iter().map(|(v, k)| Record::new(v).key(k));
        let plain = pairs.iter().map(|(v, _)| Record::new(v));
        let records: Vec<_> = keyed.chain(plain).collect();
        for record in &records {
            share.add_simple(SimpleRecord::of(record).unwrap());
        }
        let mut out = vec![0xee; share.size()];
        share.write(&mut out, 2, records.iter(), 0);
        let mut at = TABLE_PREFIX + records.len() * 8;
        for (i, record) in records.iter().enumerate() {
            let mut expected = vec![0xee; record_size(record, false)];
            let descriptor = write_record(&mut expected, 2 + (at / UNIT) as u32, record, None);
            assert_eq!(&out[at..][..expected.len()], expected);
            let entry = &out[TABLE_PREFIX + i * 8..][..8];
            assert_eq!(entry, descriptor.0.to_le_bytes());
            at += expected.len();
        }
        assert_eq!(at, out.len());
        share.bodies = u64::MAX - 7;
        share.add(&records[0]);
        assert_eq!(share.size(), TOO_LARGE);
    }
}
