//! The header of a record batch.
//!
//! ```text
//!  offset  bytes  field
//!       0      8  base offset
//!       8      4  batch length: the bytes after this field
//!      12      4  partition leader epoch
//!      16      1  magic: 2
//!      17      4  CRC-32C of all bytes from 21 on
//!      21      2  attributes: codec (bits 0-2), log append time (3), transactional (4), control (5)
//!      23      4  last offset delta
//!      27      8  base timestamp
//!      35      8  max timestamp
//!      43      8  producer id
//!      51      2  producer epoch
//!      53      4  base sequence
//!      57      4  number of records
//!      61         records, compressed together
//! ```
//!
//! The base offset and the leader epoch come before the bytes that the checksum covers.

use super::{Codec, InvalidBatch};

/// The bytes before the records.
pub const HEADER_BYTES: usize = 61;
/// The bytes that the batch length does not count: those up to and including itself.
const UNCOUNTED_BYTES: usize = 12;
/// The checksum covers what comes from here on.
const CHECKED_FROM: usize = 21;

const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// What the timestamps of a batch are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TimestampType {
    /// The producer's.
    #[default]
    CreateTime,
    /// The time of the append: the maximum timestamp, for all records.
    LogAppendTime,
}

/// An idempotent producer, and the place of a batch in its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Producer {
    /// The producer id, 0 or more.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// The sequence number of the first record.
    pub base_sequence: i32,
}

/// The fields of a batch before its records.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchHeader {
    /// The offset of the first record.
    pub base_offset: i64,
    /// The leader epoch, which brokers set.
    pub partition_leader_epoch: i32,
    /// How the records are compressed.
    pub codec: Codec,
    /// What the timestamps are.
    pub timestamp_type: TimestampType,
    /// Whether the batch is part of a transaction.
    pub is_transactional: bool,
    /// Whether the batch has a marker of a transaction instead of records.
    pub is_control: bool,
    /// The last record's offset minus the base offset.
    pub last_offset_delta: i32,
    /// The timestamp to which the records' are relative.
    pub base_timestamp: i64,
    /// The greatest timestamp of the records, as stated.
    pub max_timestamp: i64,
    /// The producer, if it is idempotent.
    pub producer: Option<Producer>,
    /// The number of records, as stated.
    pub records: i32,
}

/// `N` bytes from `at` on. The caller has checked that they are there.
fn array<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

impl BatchHeader {
    /// Reads the header of the one batch that `bytes` must be, and checks its length, magic and
    /// checksum. Returns it with the records' bytes.
    ///
    /// # Errors
    /// [`InvalidBatch`], of what is wrong with the frame of the batch.
    pub fn read(bytes: &[u8]) -> Result<(BatchHeader, &[u8]), InvalidBatch> {
        if bytes.is_empty() {
            return Err(InvalidBatch::Empty);
        }
        let cut = |expected: u64| InvalidBatch::Cut {
            expected,
            present: bytes.len() as u64,
        };
        // The magic of all formats is at the same place, so an old one is named before its length
        // is looked at.
        match bytes.get(16) {
            None => return Err(cut(HEADER_BYTES as u64)),
            Some(2) => {}
            Some(&magic) => {
                return Err(InvalidBatch::Magic { magic: magic as i8 });
            }
        }
        let (header, records) = bytes
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or_else(|| cut(HEADER_BYTES as u64))?;
        let length = i32::from_be_bytes(array(header, 8));
        let length = u64::try_from(length).unwrap_or_default() + UNCOUNTED_BYTES as u64;
        if length < HEADER_BYTES as u64 || length > bytes.len() as u64 {
            return Err(cut(length.max(HEADER_BYTES as u64)));
        }
        if length < bytes.len() as u64 {
            return Err(InvalidBatch::Surplus {
                surplus: bytes.len() as u64 - length,
            });
        }
        let stored = u32::from_be_bytes(array(header, 17));
        let computed = crc32c::crc32c(&bytes[CHECKED_FROM..]);
        if stored != computed {
            return Err(InvalidBatch::Checksum { stored, computed });
        }
        let attributes = i16::from_be_bytes(array(header, 21));
        let producer_id = i64::from_be_bytes(array(header, 43));
        let header = BatchHeader {
            base_offset: i64::from_be_bytes(array(header, 0)),
            partition_leader_epoch: i32::from_be_bytes(array(header, 12)),
            codec: Codec::from_attributes(attributes)?,
            timestamp_type: match attributes & LOG_APPEND_TIME {
                0 => TimestampType::CreateTime,
                _ => TimestampType::LogAppendTime,
            },
            is_transactional: attributes & TRANSACTIONAL != 0,
            is_control: attributes & CONTROL != 0,
            last_offset_delta: i32::from_be_bytes(array(header, 23)),
            base_timestamp: i64::from_be_bytes(array(header, 27)),
            max_timestamp: i64::from_be_bytes(array(header, 35)),
            producer: (producer_id >= 0).then(|| Producer {
                id: producer_id,
                epoch: i16::from_be_bytes(array(header, 51)),
                base_sequence: i32::from_be_bytes(array(header, 53)),
            }),
            records: i32::from_be_bytes(array(header, 57)),
        };
        Ok((header, records))
    }

    /// Writes the header over the first bytes of `batch`, whose records are complete, and its
    /// checksum.
    pub(super) fn write(&self, batch: &mut [u8]) {
        debug_assert!(batch.len() >= HEADER_BYTES);
        let attributes = self.codec.attributes()
            | match self.timestamp_type {
                TimestampType::CreateTime => 0,
                TimestampType::LogAppendTime => LOG_APPEND_TIME,
            }
            | if self.is_transactional {
                TRANSACTIONAL
            } else {
                0
            }
            | if self.is_control { CONTROL } else { 0 };
        let producer = self.producer.unwrap_or(Producer {
            id: -1,
            epoch: -1,
            base_sequence: -1,
        });
        let length = (batch.len() - UNCOUNTED_BYTES) as i32;
        let mut put = |at: usize, field: &[u8]| batch[at..at + field.len()].copy_from_slice(field);
        put(0, &self.base_offset.to_be_bytes());
        put(8, &length.to_be_bytes());
        put(12, &self.partition_leader_epoch.to_be_bytes());
        put(16, &[2]);
        put(21, &attributes.to_be_bytes());
        put(23, &self.last_offset_delta.to_be_bytes());
        put(27, &self.base_timestamp.to_be_bytes());
        put(35, &self.max_timestamp.to_be_bytes());
        put(43, &producer.id.to_be_bytes());
        put(51, &producer.epoch.to_be_bytes());
        put(53, &producer.base_sequence.to_be_bytes());
        put(57, &self.records.to_be_bytes());
        let checksum = crc32c::crc32c(&batch[CHECKED_FROM..]);
        batch[17..21].copy_from_slice(&checksum.to_be_bytes());
    }
}
