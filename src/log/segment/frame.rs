//! Writing frames into claimed bytes, and reading what lies behind a value: the two sides
//! of `frame.rs`'s layout.

use super::descriptor::{Descriptor, Flags, Kind, UNIT, padded};
use crate::record::{Header, Record};

/// Bytes of the words before a uniform frame's values.
pub(super) const UNIFORM_HEAD: usize = 16;

/// Bytes of the time before a table frame's descriptors.
pub(super) const TABLE_HEAD: usize = 8;

/// What is larger than anything that could be appended: a sum that may have overflowed.
const TOO_LARGE: usize = usize::MAX;

/// Lengths up to here add up, a few of them, without overflowing.
const TAME: usize = usize::MAX >> 3;

/// Bytes that `record` takes, padded, with a time of its own if `timed`; [`TOO_LARGE`] if the sum might
/// overflow.
#[inline(always)]
pub(crate) fn record_size(record: &Record<'_>, timed: bool) -> usize {
    let headers = match record.record_headers() {
        [] => 0,
        headers => headers_size(headers),
    };
    let key = record.record_key().map(<[u8]>::len);
    parts_size(record.value().len(), timed, key, headers)
}

/// The same of a record without headers whose value, of `value` bytes, is written in place.
#[inline(always)]
pub(crate) fn in_place_size(value: usize, key: Option<usize>, timed: bool) -> usize {
    parts_size(value, timed, key, 0)
}

#[inline(always)]
fn parts_size(value: usize, timed: bool, key: Option<usize>, headers: usize) -> usize {
    let meta = match (key, headers) {
        (None, 0) => 0,
        (key, headers) => {
            let key = key.unwrap_or(0);
            if (key | headers) > TAME {
                return TOO_LARGE;
            }
            8 + padded(key + headers)
        }
    };
    if value > TAME {
        return TOO_LARGE;
    }
    padded(value) + if timed { 8 } else { 0 } + meta
}

/// Bytes that a uniform frame takes, padded: `records` values of `value` bytes each. [`TOO_LARGE`] if the
/// sum might overflow.
#[inline]
pub(crate) fn uniform_size(records: usize, value: usize) -> usize {
    match records.checked_mul(value) {
        Some(values) if values <= TAME => UNIFORM_HEAD + padded(values),
        _ => TOO_LARGE,
    }
}

/// A header's value length when there is no value.
const NO_VALUE: u32 = u32::MAX;

#[inline(always)]
fn put(out: &mut [u8], at: &mut usize, bytes: &[u8]) {
    copy(&mut out[*at..*at + bytes.len()], bytes);
    *at += bytes.len();
}

/// `out.copy_from_slice(bytes)`, for which most records are too short to be worth a call:
/// up to 128 bytes go in a few moves that may overlap.
#[inline(always)]
fn copy(out: &mut [u8], bytes: &[u8]) {
    /// Copies `N` bytes at both ends; `bytes` has at least `N`.
    #[inline(always)]
    fn ends<const N: usize>(out: &mut [u8], bytes: &[u8]) {
        let last = bytes.len() - N;
        // Both read before either is written: where they are the same, one is left.
        let (mut first, mut end) = ([0; N], [0; N]);
        first.copy_from_slice(&bytes[..N]);
        end.copy_from_slice(&bytes[last..]);
        out[..N].copy_from_slice(&first);
        out[last..last + N].copy_from_slice(&end);
    }
    assert_eq!(out.len(), bytes.len());
    match bytes.len() {
        0 => {}
        1..4 => {
            for (to, from) in out.iter_mut().zip(bytes) {
                *to = *from;
            }
        }
        4..8 => ends::<4>(out, bytes),
        8..=16 => ends::<8>(out, bytes),
        17..=32 => ends::<16>(out, bytes),
        33..=64 => ends::<32>(out, bytes),
        65..=128 => ends::<64>(out, bytes),
        _ => out.copy_from_slice(bytes),
    }
}

fn put_u32(out: &mut [u8], at: &mut usize, number: usize) {
    // Lengths fit: all of a frame is under 2^28 bytes (`MAX_UNITS`).
    put(out, at, &(number as u32).to_ne_bytes());
}

fn headers_size(headers: &[Header<'_>]) -> usize {
    headers.iter().fold(0, |sum: usize, header| {
        let value = header.value.map_or(0, <[u8]>::len);
        sum.saturating_add(8)
            .saturating_add(header.name.len())
            .saturating_add(value)
    })
}

/// Writes a record into exactly the bytes it takes, which begin at `unit`.
#[inline(always)]
pub(super) fn write_record(
    out: &mut [u8],
    unit: u32,
    record: &Record<'_>,
    time: Option<i64>,
) -> Descriptor {
    let value = record.value();
    let (key, headers) = (record.record_key(), record.record_headers());
    copy(&mut out[..value.len()], value);
    write_behind(out, padded(value.len()), key, headers, time);
    let flags = Flags {
        key: key.is_some(),
        headers: !headers.is_empty(),
        tombstone: record.is_tombstone(),
    };
    Descriptor::record(unit, value.len(), time.is_some(), flags)
}

/// Writes all of a record but its value, which the caller writes in place.
#[inline(always)]
pub(super) fn write_around_value(
    out: &mut [u8],
    unit: u32,
    value: usize,
    key: Option<&[u8]>,
    time: Option<i64>,
) -> Descriptor {
    write_behind(out, padded(value), key, &[], time);
    let flags = Flags {
        key: key.is_some(),
        ..Flags::default()
    };
    Descriptor::record(unit, value, time.is_some(), flags)
}

/// Writes what lies behind a value: time, key and headers, as far as there are any.
#[inline(always)]
fn write_behind(
    out: &mut [u8],
    mut at: usize,
    key: Option<&[u8]>,
    headers: &[Header<'_>],
    time: Option<i64>,
) {
    if let Some(time) = time {
        put(out, &mut at, &time.to_ne_bytes());
    }
    if key.is_some() || !headers.is_empty() {
        write_meta(out, at, key.unwrap_or_default(), headers);
    }
}

#[inline(always)]
fn write_meta(out: &mut [u8], mut at: usize, key: &[u8], headers: &[Header<'_>]) {
    let mut lengths = at;
    at += 8;
    put(out, &mut at, key);
    let headers_start = at;
    if !headers.is_empty() {
        write_headers(out, &mut at, headers);
    }
    put_u32(out, &mut lengths, key.len());
    put_u32(out, &mut lengths, at - headers_start);
}

#[inline(never)]
fn write_headers(out: &mut [u8], at: &mut usize, headers: &[Header<'_>]) {
    for header in headers {
        put_u32(out, at, header.name.len());
        match header.value {
            Some(value) => put_u32(out, at, value.len()),
            None => put(out, at, &NO_VALUE.to_ne_bytes()),
        }
        put(out, at, header.name.as_bytes());
        put(out, at, header.value.unwrap_or_default());
    }
}

/// What one partition's share of a batch will take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BatchShare {
    pub(crate) records: usize,
    /// Bytes of the records as a table frame has them, heads not counted.
    bodies: usize,
    /// The first record's value length, and whether all are plain and as long.
    value: usize,
    mixed: bool,
}

impl BatchShare {
    #[inline]
    pub(crate) fn add(&mut self, record: &Record<'_>) {
        let plain = record.record_key().is_none()
            && record.record_headers().is_empty()
            && record.given_timestamp().is_none()
            && !record.is_tombstone();
        let length = record.value().len();
        if self.records == 0 {
            self.value = length;
        }
        self.mixed |= !plain || length != self.value;
        self.records += 1;
        let timed = record.given_timestamp().is_some();
        self.bodies = self.bodies.saturating_add(record_size(record, timed));
    }

    /// Bytes of the share's frame; [`TOO_LARGE`] when they might overflow.
    pub(crate) fn bytes(&self) -> usize {
        if self.bodies == TOO_LARGE {
            TOO_LARGE
        } else if self.mixed {
            (self.records * 8)
                .saturating_add(TABLE_HEAD)
                .saturating_add(self.bodies)
        } else {
            uniform_size(self.records, self.value)
        }
    }

    /// Writes the share into its frame's bytes, which begin at `unit`.
    pub(super) fn write<'r>(
        &self,
        out: &mut [u8],
        unit: u32,
        records: impl Iterator<Item = &'r Record<'r>>,
        time: i64,
    ) -> Descriptor {
        if !self.mixed {
            write_uniform_head(out, self.value, time);
            let mut at = UNIFORM_HEAD;
            for record in records {
                put(out, &mut at, record.value());
            }
            return Descriptor::new(Kind::Uniform, unit, self.records as u64);
        }
        out[..8].copy_from_slice(&time.to_ne_bytes());
        let (head, bodies) = out.split_at_mut(TABLE_HEAD + self.records * 8);
        let mut bodies = bodies;
        let mut body_unit = unit + (head.len() / UNIT) as u32;
        for (record, entry) in records.zip(head[TABLE_HEAD..].chunks_exact_mut(8)) {
            let timed = record.given_timestamp();
            let bytes = record_size(record, timed.is_some());
            let (body, rest) = bodies.split_at_mut(bytes);
            let descriptor = write_record(body, body_unit, record, timed);
            entry.copy_from_slice(&descriptor.0.to_ne_bytes());
            body_unit += (bytes / UNIT) as u32;
            bodies = rest;
        }
        Descriptor::new(Kind::Table, unit, self.records as u64)
    }
}

/// Writes a uniform frame, which begins at `unit`: `records` values, which lie in `values` back to back.
pub(super) fn write_values(
    out: &mut [u8],
    unit: u32,
    records: u64,
    value: usize,
    values: &[u8],
    time: i64,
) -> Descriptor {
    write_uniform_head(out, value, time);
    out[UNIFORM_HEAD..][..values.len()].copy_from_slice(values);
    Descriptor::new(Kind::Uniform, unit, records)
}

/// Writes what stands before a uniform frame's values.
fn write_uniform_head(out: &mut [u8], value: usize, time: i64) {
    let mut at = 0;
    put(out, &mut at, &time.to_ne_bytes());
    put_u32(out, &mut at, value);
    put_u32(out, &mut at, 0);
}

/// The headers of a record, in order.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Headers { bytes }
    }
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(take(bytes, 4)?.try_into().ok()?))
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        let name = take_u32(&mut self.bytes)? as usize;
        let value = take_u32(&mut self.bytes)?;
        let name = core::str::from_utf8(take(&mut self.bytes, name)?).ok()?;
        let value = match value {
            NO_VALUE => None,
            length => Some(take(&mut self.bytes, length as usize)?),
        };
        Some(Header { name, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_every_short_length_are_whole_and_stay_inside() {
        for length in 0..300 {
            let from: Vec<u8> = (0..length).map(|i| (i * 7 + 1) as u8).collect();
            let mut to = vec![0xee; length + 2];
            copy(&mut to[1..=length], &from);
            assert_eq!(&to[1..=length], from);
            assert_eq!((to[0], to[length + 1]), (0xee, 0xee));
        }
    }

    #[test]
    fn a_record_takes_exactly_the_bytes_it_was_sized_for() {
        let headers = [
            Header::new("a", b"x"),
            Header::new("a", b""),
            Header {
                name: "nil",
                value: None,
            },
        ];
        for value in [&b""[..], b"v", b"12345678", b"123456789"] {
            for key in [None, Some(&b""[..]), Some(b"k"), Some(b"a longer key")] {
                for headers in [&headers[..0], &headers[..1], &headers[..]] {
                    for time in [None, Some(77)] {
                        let mut record = Record::new(value).headers(headers);
                        if let Some(key) = key {
                            record = record.key(key);
                        }
                        let bytes = record_size(&record, time.is_some());
                        assert_eq!(bytes % UNIT, 0);
                        let mut out = vec![0xee; bytes];
                        let d = write_record(&mut out, 3, &record, time);
                        assert_eq!((d.at(), d.length()), (24, value.len()));
                        assert_eq!(&out[..value.len()], value);
                        assert_eq!(d.has_key(), key.is_some());
                    }
                }
            }
        }
    }

    #[test]
    fn headers_come_back_in_order_repeated_null_and_empty() {
        let headers = [
            Header::new("a", b"x"),
            Header::new("a", b""),
            Header {
                name: "",
                value: None,
            },
        ];
        let mut out = vec![0; 8 + headers_size(&headers)];
        write_meta(&mut out, 0, b"", &headers);
        let back: Vec<_> = Headers::new(&out[8..]).collect();
        assert_eq!(back, headers);
        // Cut short, they end early and do not panic.
        assert_eq!(Headers::new(&out[8..out.len() - 1]).count(), 2);
    }

    #[test]
    fn a_batch_of_plain_equal_values_is_uniform_and_any_other_is_not() {
        let bytes = |records: &[Record<'_>]| {
            let mut share = BatchShare::default();
            records.iter().for_each(|record| share.add(record));
            (share.mixed, share.bytes())
        };
        let plain = Record::new(b"1234");
        assert_eq!(bytes(&[plain, plain]), (false, UNIFORM_HEAD + 8));
        assert_eq!(bytes(&[plain, Record::new(b"12")]), (true, 8 + 16 + 16));
        assert_eq!(bytes(&[plain.timestamp(5)]), (true, 8 + 8 + 16));
        assert_eq!(bytes(&[plain.key("k")]), (true, 8 + 8 + 8 + 16));
    }

    #[test]
    fn sizes_are_padded_and_refuse_to_overflow() {
        assert_eq!(parts_size(0, false, None, 0), 0);
        assert_eq!(parts_size(1, true, None, 0), 16);
        assert_eq!(parts_size(64, true, Some(8), 0), 88);
        assert_eq!(parts_size(64, true, Some(0), 0), 80);
        assert_eq!(parts_size(64, true, None, 16), 96);
        assert_eq!(parts_size(usize::MAX, true, None, 0), TOO_LARGE);
        assert_eq!(parts_size(1, true, Some(usize::MAX), 5), TOO_LARGE);
        assert_eq!(parts_size(1, true, None, usize::MAX), TOO_LARGE);
        let all_tame = parts_size(TAME, true, Some(TAME), TAME);
        assert!(all_tame > 3 * (TAME - 8) && all_tame < TOO_LARGE);
        assert_eq!(uniform_size(3, 5), UNIFORM_HEAD + 16);
        assert_eq!(uniform_size(usize::MAX, 2), TOO_LARGE);
        assert_eq!(uniform_size(1, usize::MAX), TOO_LARGE);
    }
}
