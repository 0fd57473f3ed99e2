//! From the bytes of a batch to its records, by one walk.
//!
//! ```text
//! record:  length (varint) | attributes (1 byte) | timestamp delta (varlong) | offset delta (varint)
//!          key length (varint, -1: null) | key | value length (varint, -1: null) | value
//!          headers (varint) | headers
//! header:  name length (varint) | name | value length (varint, -1: null) | value
//! ```

use super::varint::{take_i32, take_i64};
use super::{BatchHeader, Codec, CountFault, InvalidBatch};
use ringlog::{Header, Record};
use std::borrow::Cow;
use std::ops::Range;

/// The fewest bytes of a record: each of its seven fields takes one.
const MIN_RECORD_BYTES: u64 = 7;
/// The fewest bytes of a header.
const MIN_HEADER_BYTES: usize = 2;

/// What a batch may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The bytes of all records when decompressed.
    pub decompressed_bytes: usize,
}

impl Limits {
    /// A limit on the bytes of all records when decompressed.
    pub fn new(decompressed_bytes: usize) -> Limits {
        Limits { decompressed_bytes }
    }
}

/// A batch whose frame was checked, and whose records are decompressed.
#[derive(Debug)]
pub struct DecodedBatch<'a> {
    header: BatchHeader,
    payload: Cow<'a, [u8]>,
}

/// Checks the frame of the one batch that `bytes` must be, and decompresses its records.
///
/// The records are checked when they are [walked](DecodedBatch::records).
///
/// ```
/// use ringlog_kafka::batch::{Codec, Limits, RecordFields, decode, encode};
///
/// let record = RecordFields { key: Some(b"user-001"), value: Some(b"login"), ..RecordFields::default() };
/// let bytes = encode(&[record], Codec::Lz4)?;
/// let batch = decode(&bytes, Limits::new(1024))?;
/// let mut headers = Vec::new();
/// let records = batch.records(&mut headers)?;
/// assert_eq!(records[0].value, Some(&b"login"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`InvalidBatch`].
pub fn decode(bytes: &[u8], limits: Limits) -> Result<DecodedBatch<'_>, InvalidBatch> {
    let (header, records) = BatchHeader::read(bytes)?;
    let fault = |found| InvalidBatch::RecordCount {
        stated: header.records,
        found,
    };
    if header.is_control {
        return Err(InvalidBatch::Control);
    }
    if header.records <= 0 {
        return Err(fault(CountFault::NoRecords));
    }
    if header.last_offset_delta != header.records - 1 {
        return Err(fault(CountFault::LastOffset {
            delta: header.last_offset_delta,
        }));
    }
    let payload = match header.codec {
        Codec::None => Cow::Borrowed(records),
        codec => Cow::Owned(codec.decompress(records, limits.decompressed_bytes)?),
    };
    let bytes = payload.len() as u64;
    if bytes / MIN_RECORD_BYTES < u64::from(header.records.unsigned_abs()) {
        return Err(fault(CountFault::TooFewBytes { bytes }));
    }
    Ok(DecodedBatch { header, payload })
}

/// A record of a batch, as it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawRecord<'b> {
    /// The timestamp, in milliseconds since 1970 UTC; -1 for none.
    pub timestamp: i64,
    /// The key; `None` differs from an empty one.
    pub key: Option<&'b [u8]>,
    /// The value; `None` differs from an empty one.
    pub value: Option<&'b [u8]>,
    /// Its headers, among those of all records.
    pub headers: Range<usize>,
}

impl DecodedBatch<'_> {
    /// The batch's header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The bytes of all records, decompressed.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Walks over the records. Their headers, one record's after the other's, are put in `headers`.
    ///
    /// # Errors
    /// [`InvalidBatch::Record`] and [`InvalidBatch::RecordCount`] for bytes that are not the stated
    /// number of records.
    pub fn records<'b>(
        &'b self,
        headers: &mut Vec<Header<'b>>,
    ) -> Result<Vec<RawRecord<'b>>, InvalidBatch> {
        headers.clear();
        let mut rest = self.payload();
        // `decode` has compared the number with the bytes that are there.
        let mut records = Vec::with_capacity(self.header.records.unsigned_abs() as usize);
        for number in 0..self.header.records.unsigned_abs() {
            let fault = |reason| InvalidBatch::Record {
                record: number,
                reason,
            };
            let record = take_record(&mut rest, self.header.base_timestamp, headers);
            records.push(record.map_err(fault)?);
        }
        match rest.len() {
            0 => Ok(records),
            bytes => Err(InvalidBatch::RecordCount {
                stated: self.header.records,
                found: CountFault::BytesLeft {
                    bytes: bytes as u64,
                },
            }),
        }
    }
}

impl<'b> RawRecord<'b> {
    /// The record as ringlog's, for this partition. A record without a timestamp has none.
    pub fn to_record<'r>(&self, headers: &'r [Header<'b>], partition: u32) -> Record<'r>
    where
        'b: 'r,
    {
        let mut record = Record::default().partition(partition);
        record.key = self.key;
        record.value = self.value;
        record.headers = headers.get(self.headers.clone()).unwrap_or_default();
        record.timestamp = (self.timestamp >= 0).then_some(self.timestamp);
        record
    }
}

const CUT: &str = "it is cut";

fn take_record<'b>(
    rest: &mut &'b [u8],
    base_timestamp: i64,
    headers: &mut Vec<Header<'b>>,
) -> Result<RawRecord<'b>, &'static str> {
    let length = take_i32(rest).ok_or(CUT)?;
    let length = usize::try_from(length).map_err(|_| "its length is negative")?;
    let (mut body, after) = rest.split_at_checked(length).ok_or(CUT)?;
    *rest = after;
    let body = &mut body;
    let (_attributes, after) = body.split_first().ok_or(CUT)?;
    *body = after;
    let timestamp = base_timestamp.wrapping_add(take_i64(body).ok_or(CUT)?);
    // Order decides the offsets.
    let _offset_delta = take_i32(body).ok_or(CUT)?;
    let key = take_bytes(body)?;
    let value = take_bytes(body)?;
    let first_header = headers.len();
    let count = take_i32(body).ok_or(CUT)?;
    let count = usize::try_from(count).map_err(|_| "its number of headers is negative")?;
    if body.len() / MIN_HEADER_BYTES < count {
        return Err("its number of headers is more than its bytes can hold");
    }
    for _ in 0..count {
        let name = take_bytes(body)?.ok_or("a header has no name")?;
        let name = core::str::from_utf8(name).map_err(|_| "a header's name is not UTF-8")?;
        let value = take_bytes(body)?;
        headers.push(Header { name, value });
    }
    if !body.is_empty() {
        return Err("bytes follow its last field");
    }
    Ok(RawRecord {
        timestamp,
        key,
        value,
        headers: first_header..headers.len(),
    })
}

/// Bytes with their length in front; -1 for null.
#[inline]
fn take_bytes<'b>(rest: &mut &'b [u8]) -> Result<Option<&'b [u8]>, &'static str> {
    match take_i32(rest).ok_or(CUT)? {
        -1 => Ok(None),
        length => {
            let length = usize::try_from(length).map_err(|_| "a length is negative")?;
            let (bytes, after) = rest.split_at_checked(length).ok_or(CUT)?;
            *rest = after;
            Ok(Some(bytes))
        }
    }
}
