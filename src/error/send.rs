//! Why a send, a claim, a batch or a flush failed.

use crate::owned_record::UnsentRecord;
use std::sync::Arc;
use std::time::Duration;

/// Why a send or a claim failed. Nothing was appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The record's frame is larger than a segment's data. Waiting would not help.
    #[error("the record needs {size} bytes, but a segment holds {max}")]
    RecordTooLarge {
        /// Bytes the record takes in the log: value, key, headers and timestamp, padded.
        size: u64,
        /// Bytes a segment holds: [`segment_bytes`](crate::TopicConfig::segment_bytes).
        max: u64,
    },
    /// One partition's share of a batch is larger than a segment. Waiting would not help.
    #[error(
        "the batch's share of partition {partition} is {records} records in {size} bytes, \
         but a segment holds {max_records} records in {max} bytes"
    )]
    BatchTooLarge {
        /// The partition.
        partition: u32,
        /// Records of the share.
        records: u64,
        /// Bytes the share takes in the log.
        size: u64,
        /// Records a segment holds.
        max_records: u64,
        /// Bytes a segment holds.
        max: u64,
    },
    /// There is no room: a subscribed consumer has not read the oldest segment yet
    /// ([`Overflow::Backpressure`](crate::Overflow::Backpressure)), or every segment is in use.
    /// [`Broker::snapshot`](crate::Broker::snapshot) shows which: the lowest position or committed
    /// offset in the partition holds the room.
    #[error("partition {partition} of topic {topic:?} is full{}", after(*waited))]
    Full {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// How long the call waited for room; zero for the `try_` calls.
        waited: Duration,
    },
    /// The record, the destination or the partitioner named a partition that does not exist.
    #[error("the topic has no partition {partition}: it has {partitions} partitions")]
    PartitionOutOfRange {
        /// The requested partition.
        partition: u32,
        /// The number of partitions that the topic has.
        partitions: u32,
    },
    /// The timestamp is below zero ([Kafka's rule](https://kafka.apache.org/documentation/)).
    #[error("timestamp {timestamp} ms is before 1970")]
    InvalidTimestamp {
        /// The timestamp, in milliseconds since 1970 UTC.
        timestamp: i64,
    },
    /// The topic was closed or deleted.
    #[error("topic {topic:?} is closed")]
    Closed {
        /// The topic.
        topic: Arc<str>,
    },
    /// An exclusive producer of the topic is alive, so no other producer may send.
    #[error("topic {topic:?} has an exclusive producer")]
    ExclusiveProducer {
        /// The topic.
        topic: Arc<str>,
    },
    /// The partition has used up its offsets or segment numbers.
    #[error("partition {partition} of topic {topic:?} has no offsets left")]
    Exhausted {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
    },
    /// The gathered record was taken back before it was sent: only from a
    /// [`Ticket`](crate::Ticket) or in a callback.
    #[error("the record was taken back before it was sent to topic {topic:?}")]
    Withdrawn {
        /// The topic.
        topic: Arc<str>,
    },
}

/// Why all or part of a batch was not appended.
///
/// A batch's share of one partition is appended as a whole or not at all. When one share is
/// refused, the shares before it may already be in the log: `appended` counts the records in the
/// log, and `refused` lists the records that are not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{appended} records appended, {} refused: {cause}", refused.len())]
pub struct BatchError {
    /// Why the first refused share was refused.
    #[source]
    pub cause: SendError,
    /// The number of records that are in the log.
    pub appended: usize,
    /// The positions in the batch of the records that are not in the log.
    pub refused: Vec<usize>,
}

/// Why a flush did not send all gathered records. What it did not send is still gathered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{unsent} gathered records are not sent yet: {cause}")]
pub struct FlushError {
    /// Why the first partition that was refused was refused.
    #[source]
    pub cause: SendError,
    /// The number of records that are still gathered.
    pub unsent: usize,
}

/// Why the close of a gathering producer left records unsent, and the records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} gathered records were not sent: {cause}", records.len())]
pub struct CloseError {
    /// Why the first partition that was refused was refused.
    #[source]
    pub cause: SendError,
    /// The records, by partition, and in the order in which they were gathered.
    pub records: Vec<UnsentRecord>,
}

/// How long a call has waited, for its message.
fn after(waited: Duration) -> String {
    match waited.is_zero() {
        true => String::new(),
        false => format!(" (waited {waited:?})"),
    }
}
