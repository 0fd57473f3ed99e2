//! How a frame lies in memory: its size, writing it, and reading what follows a value.
//!
//! This is pure byte arithmetic, without atomics. A frame is a record or several of one batch
//! ([`descriptor`](super::descriptor)), and begins on a unit of 8 bytes.
//!
//! ```text
//! record     value, padded | [time i64] | [meta, padded]
//! meta       key length u32, headers length u32 | key | headers
//! header     name length u32 | value length u32, or u32::MAX for none | name | value
//!
//! table      time i64 | one descriptor a record | the records, each as above
//! uniform    time i64 | value length u32, 0 u32 | the values, back to back, padded
//! ```
//!
//! A value starts on a unit, so it can be viewed in place as a type of alignment 8 or less. (The
//! values of a uniform frame lie a multiple of their own size from there.) All numbers are
//! little-endian, because frames are copied to files as they are (`chunk.rs`).

use super::descriptor::{Descriptor, Flags, Kind, padded};
use crate::record::{Header, Record};

/// Bytes before a uniform frame's values: time and length.
pub(super) const UNIFORM_PREFIX: usize = 16;

/// Bytes before a table frame's descriptors: the time.
pub(super) const TABLE_PREFIX: usize = 8;

/// A size that no segment can hold: stands for a sum that may have overflowed.
pub(super) const TOO_LARGE: usize = usize::MAX;

/// A few lengths of up to this many bytes add up without overflowing.
const MAX_SUMMABLE: usize = usize::MAX >> 3;

/// Bytes that `record` takes, padded, with a time of its own if `timed`; [`TOO_LARGE`] if the sum
/// might overflow.
#[inline(always)]
pub(crate) fn record_size(record: &Record<'_>, timed: bool) -> usize {
    let headers = match record.headers {
        [] => 0,
        headers => headers_size(headers),
    };
    let key = record.key.map(<[u8]>::len);
    parts_size(record.value_bytes().len(), timed, key, headers)
}

/// Bytes that a record takes whose value, of `value` bytes, is written in place; `key` is the key's
/// length. Otherwise as [`record_size`].
#[inline(always)]
pub(crate) fn in_place_size(value: usize, key: Option<usize>, timed: bool) -> usize {
    parts_size(value, timed, key, 0)
}

#[inline(always)]
fn parts_size(value: usize, timed: bool, key: Option<usize>, headers: usize) -> usize {
    let has_meta = key.is_some() || headers > 0;
    let key = key.unwrap_or(0);
    if (value | key | headers) > MAX_SUMMABLE {
        return TOO_LARGE;
    }
    let meta = if has_meta {
        8 + padded(key + headers)
    } else {
        0
    };
    padded(value) + if timed { 8 } else { 0 } + meta
}

/// Bytes that a uniform frame of `records` values of `value` bytes each takes, padded;
/// [`TOO_LARGE`] if the sum might overflow.
#[inline]
pub(crate) fn uniform_size(records: usize, value: usize) -> usize {
    match records.checked_mul(value) {
        Some(values) if values <= MAX_SUMMABLE => UNIFORM_PREFIX + padded(values),
        _ => TOO_LARGE,
    }
}

/// A header's value length if it has no value.
const NO_VALUE: u32 = u32::MAX;

#[inline(always)]
pub(super) fn put(out: &mut [u8], at: &mut usize, bytes: &[u8]) {
    copy(&mut out[*at..*at + bytes.len()], bytes);
    *at += bytes.len();
}

/// `out.copy_from_slice(bytes)`. Most records are too short to be worth the call that it makes, so
/// up to 128 bytes are copied by a few moves, which may overlap.
#[inline(always)]
pub(super) fn copy(out: &mut [u8], bytes: &[u8]) {
    /// Copies `N` bytes at both ends; `bytes` has at least `N`.
    #[inline(always)]
    fn ends<const N: usize>(out: &mut [u8], bytes: &[u8]) {
        let last = bytes.len() - N;
        if N > 16 {
            out[..N].copy_from_slice(&bytes[..N]);
            out[last..last + N].copy_from_slice(&bytes[last..]);
            return;
        }
        // Both are loaded before either is stored: where they are the same, the compiler leaves
        // one. (More than a register holds would go by way of the stack.)
        let (mut first, mut end) = ([0; N], [0; N]);
        first.copy_from_slice(&bytes[..N]);
        end.copy_from_slice(&bytes[last..]);
        out[..N].copy_from_slice(&first);
        out[last..last + N].copy_from_slice(&end);
    }
    assert_eq!(out.len(), bytes.len());
    let length = bytes.len();
    // A tree, so that each length is found by three comparisons or four.
    if length > 16 {
        if length > 64 {
            match length {
                65..=128 => ends::<64>(out, bytes),
                _ => out.copy_from_slice(bytes),
            }
        } else if length > 32 {
            ends::<32>(out, bytes);
        } else {
            ends::<16>(out, bytes);
        }
    } else if length >= 8 {
        ends::<8>(out, bytes);
    } else if length >= 4 {
        ends::<4>(out, bytes);
    } else {
        for (to, from) in out.iter_mut().zip(bytes) {
            *to = *from;
        }
    }
}

fn put_u32(out: &mut [u8], at: &mut usize, number: usize) {
    // Lengths fit: a whole frame is shorter than 2^28 bytes (`MAX_UNITS`).
    put(out, at, &(number as u32).to_le_bytes());
}

fn headers_size(headers: &[Header<'_>]) -> usize {
    headers.iter().fold(0, |sum: usize, header| {
        let value = header.value.map_or(0, <[u8]>::len);
        sum.saturating_add(8)
            .saturating_add(header.name.len())
            .saturating_add(value)
    })
}

/// Writes `record` into `out`, exactly its bytes, which begin at `unit`.
#[inline(always)]
pub(super) fn write_record(
    out: &mut [u8],
    unit: u32,
    record: &Record<'_>,
    time: Option<i64>,
) -> Descriptor {
    let value = record.value_bytes();
    let (key, headers) = (record.key, record.headers);
    copy(&mut out[..value.len()], value);
    write_trailer(out, padded(value.len()), key, headers, time);
    let flags = Flags {
        key: key.is_some(),
        headers: !headers.is_empty(),
        tombstone: record.is_tombstone(),
    };
    Descriptor::record(unit, value.len(), time.is_some(), flags)
}

/// Writes a record into `out`, exactly its bytes, which begin at `unit`, but for its value of
/// `value` bytes, which is written in place.
#[inline(always)]
pub(super) fn write_all_but_value(
    out: &mut [u8],
    unit: u32,
    value: usize,
    key: Option<&[u8]>,
    time: Option<i64>,
) -> Descriptor {
    write_trailer(out, padded(value), key, &[], time);
    let flags = Flags {
        key: key.is_some(),
        ..Flags::default()
    };
    Descriptor::record(unit, value, time.is_some(), flags)
}

/// Writes what follows a value: the time, the key and the headers that the record has.
#[inline(always)]
fn write_trailer(
    out: &mut [u8],
    mut at: usize,
    key: Option<&[u8]>,
    headers: &[Header<'_>],
    time: Option<i64>,
) {
    if let Some(time) = time {
        put(out, &mut at, &time.to_le_bytes());
    }
    if key.is_some() || !headers.is_empty() {
        write_meta(out, at, key.unwrap_or_default(), headers);
    }
}

#[inline(always)]
fn write_meta(out: &mut [u8], mut at: usize, key: &[u8], headers: &[Header<'_>]) {
    let lengths = at;
    at += 8;
    put(out, &mut at, key);
    let headers_start = at;
    if !headers.is_empty() {
        write_headers(out, &mut at, headers);
    }
    // Lengths fit: see `put_u32`.
    let both = [key.len() as u32, (at - headers_start) as u32].map(u32::to_le_bytes);
    out[lengths..lengths + 8].copy_from_slice(both.as_flattened());
}

#[inline(never)]
fn write_headers(out: &mut [u8], at: &mut usize, headers: &[Header<'_>]) {
    for header in headers {
        put_u32(out, at, header.name.len());
        match header.value {
            Some(value) => put_u32(out, at, value.len()),
            None => put(out, at, &NO_VALUE.to_le_bytes()),
        }
        put(out, at, header.name.as_bytes());
        put(out, at, header.value.unwrap_or_default());
    }
}

/// Writes a uniform frame into `out`, which begins at `unit`: `records` values of `value` bytes
/// each, which lie back to back in `values`.
pub(super) fn write_values(
    out: &mut [u8],
    unit: u32,
    records: u64,
    value: usize,
    values: &[u8],
    time: i64,
) -> Descriptor {
    write_uniform_prefix(out, value, time);
    out[UNIFORM_PREFIX..][..values.len()].copy_from_slice(values);
    Descriptor::new(Kind::Uniform, unit, records)
}

/// Writes the time and the length that precede a uniform frame's values.
pub(super) fn write_uniform_prefix(out: &mut [u8], value: usize, time: i64) {
    let mut at = 0;
    put(out, &mut at, &time.to_le_bytes());
    put_u32(out, &mut at, value);
    put_u32(out, &mut at, 0);
}

/// Reads what follows the value of a record that [`write_record`] has written at the beginning of
/// `body`, a copy outside of the log: its own time, its key and the bytes of its headers.
pub(super) fn read_meta(
    body: &[u8],
    descriptor: Descriptor,
) -> (Option<i64>, Option<&[u8]>, &[u8]) {
    fn parts(mut rest: &[u8], descriptor: Descriptor) -> Option<(Option<i64>, &[u8], &[u8])> {
        let time = match descriptor.is_timed() {
            true => Some(i64::from_le_bytes(take(&mut rest, 8)?.try_into().ok()?)),
            false => None,
        };
        if !descriptor.has_meta() {
            return Some((time, &[], &[]));
        }
        let (key, headers) = (take_u32(&mut rest)?, take_u32(&mut rest)?);
        Some((
            time,
            take(&mut rest, key as usize)?,
            take(&mut rest, headers as usize)?,
        ))
    }
    let rest = body.get(padded(descriptor.length())..).unwrap_or_default();
    let (time, key, headers) = parts(rest, descriptor).unwrap_or_default();
    (time, descriptor.has_key().then_some(key), headers)
}

/// Iterates over the headers of a record, in the order in which they were sent.
///
/// [`RecordRef`](crate::RecordRef) has an example.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Of these bytes, which [`write_headers`] has written.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Headers { bytes }
    }
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?))
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
    use super::super::descriptor::UNIT;
    use super::*;

    #[test]
    fn copies_of_every_short_length_are_complete_and_in_bounds() {
        for length in 0..300 {
            let from: Vec<u8> = (0..length).map(|i| (i * 7 + 1) as u8).collect();
            let mut to = vec![0xee; length + 2];
            copy(&mut to[1..=length], &from);
            assert_eq!(&to[1..=length], from);
            assert_eq!((to[0], to[length + 1]), (0xee, 0xee));
        }
    }

    #[test]
    fn a_record_takes_exactly_the_bytes_of_its_size() {
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
    fn headers_are_read_back_in_order_repeated_null_or_empty() {
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
        // Truncated bytes end the iteration early, without a panic.
        assert_eq!(Headers::new(&out[8..out.len() - 1]).count(), 2);
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
        let largest = parts_size(MAX_SUMMABLE, true, Some(MAX_SUMMABLE), MAX_SUMMABLE);
        assert!(largest > 3 * (MAX_SUMMABLE - 8) && largest < TOO_LARGE);
        assert_eq!(uniform_size(3, 5), UNIFORM_PREFIX + 16);
        assert_eq!(uniform_size(usize::MAX, 2), TOO_LARGE);
        assert_eq!(uniform_size(1, usize::MAX), TOO_LARGE);
    }
}
