//! Why a call on a broker or a topic failed.

use super::StorageError;
use std::sync::Arc;

/// Why a call on a broker or a topic failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// The broker has no topic of this name.
    #[error("there is no topic named {name:?}")]
    UnknownTopic {
        /// The requested name.
        name: String,
    },
    /// The broker already has a topic of this name.
    #[error("a topic named {name:?} already exists")]
    TopicExists {
        /// The requested name.
        name: String,
    },
    /// The name is not a valid topic name.
    #[error("{name:?} is not a valid topic name: {reason}")]
    InvalidName {
        /// The requested name.
        name: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// A setting is outside its limits.
    #[error("{setting} is {value}, but must be from {min} to {max}")]
    InvalidConfig {
        /// The setting's name in [`TopicConfig`](crate::TopicConfig).
        setting: &'static str,
        /// The configured value.
        value: u64,
        /// The smallest valid value.
        min: u64,
        /// The largest valid value.
        max: u64,
    },
    /// The topic already has the maximum number of partitions, so none can be added.
    #[error(
        "topic {topic:?} already has {partitions} partitions, the maximum, and {asked} were \
         requested"
    )]
    NoMorePartitions {
        /// The topic.
        topic: Arc<str>,
        /// The number of partitions that it has.
        partitions: u32,
        /// The requested number of partitions.
        asked: u32,
    },
    /// The topic needs more segments than a topic can number.
    #[error("the topic needs {segments} segments, but a topic can have at most {max}")]
    TooManySegments {
        /// Partitions times (segments + 1); when partitions are added, plus the handles' spares.
        segments: u64,
        /// The limit.
        max: u64,
    },
    /// The system refused the topic's memory, or its size overflows.
    #[error("{bytes} bytes for the topic's segments could not be allocated")]
    OutOfMemory {
        /// The requested bytes; `u64::MAX` when the size itself overflows.
        bytes: u64,
    },
    /// The topic has no such partition.
    #[error("topic {topic:?} has no partition {partition}: it has {partitions} partitions")]
    PartitionOutOfRange {
        /// The topic.
        topic: Arc<str>,
        /// The requested partition.
        partition: u32,
        /// The number of partitions that the topic has.
        partitions: u32,
    },
    /// An exclusive producer must be the topic's only producer.
    #[error("topic {topic:?} already has {shared} shared and {exclusive} exclusive producers")]
    ProducersExist {
        /// The topic.
        topic: Arc<str>,
        /// Live shared producers.
        shared: u64,
        /// Live exclusive producers: 0 or 1.
        exclusive: u64,
    },
    /// The topic was closed or deleted.
    #[error("topic {topic:?} is closed")]
    Closed {
        /// The topic.
        topic: Arc<str>,
    },
    /// The timestamp is below zero.
    #[error("timestamp {timestamp} ms is before 1970")]
    InvalidTimestamp {
        /// The requested time, in milliseconds since 1970 UTC.
        timestamp: i64,
    },
    /// The offset is outside the partition's log.
    #[error(
        "offset {offset} of partition {partition} of topic {topic:?} is outside the log \
         ({log_start} to {log_end})"
    )]
    OffsetOutOfRange {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// The requested offset.
        offset: u64,
        /// The first offset retained.
        log_start: u64,
        /// One past the last offset.
        log_end: u64,
    },
    /// The files of a durable topic could not be made, written or removed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
