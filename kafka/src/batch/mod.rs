//! Record batches (magic 2): the form in which records travel in Produce and Fetch.
//!
//! | file | contents |
//! |---|---|
//! | `header.rs` | the 61 bytes before the records, with the layout |
//! | `decode.rs` | from the bytes of a Produce request to records |
//! | `encode.rs` | from records to the bytes of a Fetch response |
//! | `compression.rs` | the four codecs |
//! | `varint.rs` | integers of variable length |
//!
//! The layout and the names are those of [Kafka's protocol guide]. Nothing is allocated by a number
//! that comes from outside before that number has been checked against the bytes that are there.
//!
//! [Kafka's protocol guide]: https://kafka.apache.org/documentation/#recordbatch

mod compression;
mod decode;
mod encode;
mod header;
#[cfg(test)]
mod tests;
mod varint;

pub use compression::Codec;
pub use decode::{DecodedBatch, Limits, RawRecord, decode};
pub use encode::{BatchWriter, RecordFields, encode};
pub use header::{BatchHeader, HEADER_BYTES, Producer, TimestampType};

/// Why bytes are not a record batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBatch {
    /// There is no batch at all.
    #[error("there is no record batch")]
    Empty,
    /// The bytes end before the batch does.
    #[error("the batch takes {expected} bytes, and {present} are there")]
    Cut {
        /// The bytes that the batch takes, as far as is known.
        expected: u64,
        /// The bytes that are there.
        present: u64,
    },
    /// Bytes follow the batch: another one, as a rule.
    #[error("{surplus} bytes follow the batch: one batch at a time is allowed")]
    Surplus {
        /// The bytes after the batch.
        surplus: u64,
    },
    /// The format is older (0 or 1), or unknown.
    #[error("the batch has magic {magic}, but must have magic 2")]
    Magic {
        /// The byte that is there.
        magic: i8,
    },
    /// The checksum does not match the bytes.
    #[error("the batch has checksum {stored:08x}, but its bytes have {computed:08x}")]
    Checksum {
        /// The checksum in the batch.
        stored: u32,
        /// The checksum of its bytes.
        computed: u32,
    },
    /// The attributes name a codec that does not exist.
    #[error("the batch is compressed by the unknown codec {codec}")]
    UnknownCodec {
        /// Its number.
        codec: u8,
    },
    /// The codec refused the bytes.
    #[error("the records could not be decompressed ({codec}): {reason}")]
    Decompression {
        /// The codec.
        codec: Codec,
        /// What it said.
        reason: String,
    },
    /// The records take more bytes than allowed when decompressed.
    #[error("the records take more than {limit} bytes when decompressed ({codec})")]
    DecompressedTooLarge {
        /// The codec.
        codec: Codec,
        /// The limit.
        limit: u64,
    },
    /// The number of records does not match the records, or the last offset.
    #[error("the batch states {stated} records, but {found}")]
    RecordCount {
        /// The number in the header.
        stated: i32,
        /// What contradicts it.
        found: CountFault,
    },
    /// A control batch: only brokers write those.
    #[error("a client cannot send a control batch")]
    Control,
    /// A record of the batch is malformed.
    #[error("record {record} of the batch: {reason}")]
    Record {
        /// Its position in the batch, from 0.
        record: u32,
        /// The rule that it breaks.
        reason: &'static str,
    },
}

/// What contradicts the number of records that a batch states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CountFault {
    /// It is zero or less.
    #[error("it must have one or more")]
    NoRecords,
    /// The bytes cannot hold as many.
    #[error("its {bytes} bytes cannot hold them")]
    TooFewBytes {
        /// The bytes of all records.
        bytes: u64,
    },
    /// Bytes are left over after the last record.
    #[error("{bytes} bytes follow the last one")]
    BytesLeft {
        /// The bytes that are left.
        bytes: u64,
    },
    /// The last offset of the header is another.
    #[error("its last offset delta is {delta}")]
    LastOffset {
        /// The last offset delta of the header.
        delta: i32,
    },
}
