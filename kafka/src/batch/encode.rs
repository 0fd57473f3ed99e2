//! From records to the bytes of batches.

use super::header::{BatchHeader, HEADER_BYTES, Producer, TimestampType};
use super::{Codec, varint};
use ringlog::Header;
use std::io;

/// A record to encode.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecordFields<'a> {
    /// The timestamp, in milliseconds since 1970 UTC; -1 for none.
    pub timestamp: i64,
    /// The key; `None` differs from an empty one.
    pub key: Option<&'a [u8]>,
    /// The value; `None` differs from an empty one.
    pub value: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: &'a [Header<'a>],
}

/// Encodes records as one batch, at offset 0.
///
/// # Errors
/// What the codec reports, and `InvalidInput` for no records at all.
pub fn encode(records: &[RecordFields<'_>], codec: Codec) -> io::Result<Vec<u8>> {
    let mut writer = BatchWriter::new(TimestampType::CreateTime);
    for (offset, record) in records.iter().enumerate() {
        let headers = record.headers.iter().copied();
        writer.append(offset as u64, record, headers);
    }
    writer.finish(codec, None)
}

/// Writes records as batches, one after the other in one buffer.
///
/// A batch ends where the next record does not fit it: its offset is too far from the first one's,
/// all records of a batch must have the same timestamp ([`TimestampType::LogAppendTime`]), or another
/// leader epoch begins.
#[derive(Debug, Default)]
pub struct BatchWriter {
    bytes: Vec<u8>,
    timestamp_type: TimestampType,
    leader_epoch: i32,
    open: Option<OpenBatch>,
}

/// The batch at the end of the buffer, whose header is not written yet.
#[derive(Debug)]
struct OpenBatch {
    /// Where it begins.
    at: usize,
    base_offset: u64,
    last_offset: u64,
    base_timestamp: i64,
    max_timestamp: i64,
    records: i32,
}

impl OpenBatch {
    fn takes(&self, offset: u64, timestamp: i64, timestamp_type: TimestampType) -> bool {
        let delta = offset.checked_sub(self.base_offset);
        delta.is_some_and(|delta| delta <= i32::MAX as u64)
            && self.records < i32::MAX
            && (timestamp_type == TimestampType::CreateTime || timestamp == self.max_timestamp)
    }

    fn header(&self, timestamp_type: TimestampType, leader_epoch: i32) -> BatchHeader {
        BatchHeader {
            base_offset: self.base_offset as i64,
            partition_leader_epoch: leader_epoch,
            codec: Codec::None,
            timestamp_type,
            is_transactional: false,
            is_control: false,
            last_offset_delta: (self.last_offset - self.base_offset) as i32,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer: None,
            records: self.records,
        }
    }
}

/// The bytes of a record's parts, before its own length.
fn body_size<'a>(
    record: &RecordFields<'_>,
    headers: impl Iterator<Item = Header<'a>>,
    timestamp_delta: i64,
    offset_delta: i64,
) -> (usize, usize) {
    let part = |bytes: Option<&[u8]>| match bytes {
        Some(bytes) => varint::size(bytes.len() as i64) + bytes.len(),
        None => 1,
    };
    let mut size = 1 + varint::size(timestamp_delta) + varint::size(offset_delta);
    size += part(record.key) + part(record.value);
    let mut count = 0;
    for header in headers {
        size += part(Some(header.name.as_bytes())) + part(header.value);
        count += 1;
    }
    (size + varint::size(count as i64), count)
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            varint::put(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
        None => varint::put(out, -1),
    }
}

impl BatchWriter {
    /// A writer of batches with such timestamps.
    pub fn new(timestamp_type: TimestampType) -> BatchWriter {
        BatchWriter {
            timestamp_type,
            ..BatchWriter::default()
        }
    }

    /// Sets the leader epoch of the records that are appended from now on, 0 at first. A batch is of
    /// one epoch alone.
    pub(crate) fn set_leader_epoch(&mut self, epoch: i32) {
        if epoch != self.leader_epoch {
            self.close(None);
            self.leader_epoch = epoch;
        }
    }

    /// Whether the next record may be added to a batch: if not, another begins.
    pub(crate) fn has_open_batch(&self) -> bool {
        self.open.is_some()
    }

    /// The bytes so far, with the header of the open batch.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether no record was appended yet.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes that this record adds at most, beside the header of a batch.
    pub fn record_bytes<'a>(
        record: &RecordFields<'_>,
        headers: impl Iterator<Item = Header<'a>>,
    ) -> usize {
        // The longest deltas, and the longest length.
        body_size(record, headers, i64::MAX, i64::from(i32::MAX)).0 + 5
    }

    /// Appends a record; offsets must ascend. The record's own `headers` are not looked at.
    pub fn append<'a>(
        &mut self,
        offset: u64,
        record: &RecordFields<'_>,
        headers: impl Iterator<Item = Header<'a>> + Clone,
    ) {
        let timestamp = record.timestamp;
        let timestamp_type = self.timestamp_type;
        let fits = |open: &OpenBatch| open.takes(offset, timestamp, timestamp_type);
        if !self.open.as_ref().is_some_and(fits) {
            self.close(None);
        }
        let bytes = &mut self.bytes;
        let open = self.open.get_or_insert_with(|| {
            let at = bytes.len();
            bytes.resize(at + HEADER_BYTES, 0);
            OpenBatch {
                at,
                base_offset: offset,
                last_offset: offset,
                base_timestamp: timestamp,
                max_timestamp: timestamp,
                records: 0,
            }
        });
        let timestamp_delta = timestamp.wrapping_sub(open.base_timestamp);
        let offset_delta = (offset - open.base_offset) as i64;
        let (size, count) = body_size(record, headers.clone(), timestamp_delta, offset_delta);
        bytes.reserve(size + 5);
        varint::put(bytes, size as i64);
        bytes.push(0); // attributes: none are in use
        varint::put(bytes, timestamp_delta);
        varint::put(bytes, offset_delta);
        put_bytes(bytes, record.key);
        put_bytes(bytes, record.value);
        varint::put(bytes, count as i64);
        for header in headers {
            put_bytes(bytes, Some(header.name.as_bytes()));
            put_bytes(bytes, header.value);
        }
        open.last_offset = offset;
        open.max_timestamp = open.max_timestamp.max(timestamp);
        open.records += 1;
    }

    /// Writes the header of the open batch.
    fn close(&mut self, producer: Option<Producer>) {
        if let Some(open) = self.open.take() {
            let mut header = open.header(self.timestamp_type, self.leader_epoch);
            header.producer = producer;
            header.write(&mut self.bytes[open.at..]);
        }
    }

    /// The batches, uncompressed.
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.close(None);
        self.bytes
    }

    /// The records as one compressed batch, with its producer: for clients and tests.
    ///
    /// # Errors
    /// What the codec reports, and `InvalidInput` if the records are not one batch.
    pub fn finish(mut self, codec: Codec, producer: Option<Producer>) -> io::Result<Vec<u8>> {
        let Some(open) = self.open.take().filter(|open| open.at == 0) else {
            let reason = "the records are not one batch";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        };
        let mut header = open.header(self.timestamp_type, self.leader_epoch);
        header.producer = producer;
        header.codec = codec;
        let mut bytes = self.bytes;
        if codec != Codec::None {
            let records = codec.compress(&bytes[HEADER_BYTES..])?;
            bytes.truncate(HEADER_BYTES);
            bytes.extend_from_slice(&records);
        }
        header.write(&mut bytes);
        Ok(bytes)
    }
}
