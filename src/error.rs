//! Every public error: enums whose variants carry the facts as fields.
//!
//! Every sending call borrows its records, so a refused record is still the caller's. A refused
//! call has appended nothing; only [`BatchError`] can report a partial append.

use crate::topic_partition::TopicPartition;
use crate::upstream_error::UpstreamError;
use std::sync::Arc;
use std::time::Duration;

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
}

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
    #[error("partition {partition} of topic {topic:?} is full (waited {waited:?})")]
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

/// Why a consumer's call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumeError {
    /// The broker has no topic of this name.
    #[error("there is no topic named {name:?}")]
    UnknownTopic {
        /// The requested name.
        name: String,
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
    /// `subscribe` and `assign` cannot be mixed: the first one applies until `unsubscribe`.
    #[error("this consumer uses {given}, which cannot be mixed with {asked}")]
    MixedAssignment {
        /// The call in effect: `subscribe` or `assign`.
        given: &'static str,
        /// The refused call.
        asked: &'static str,
    },
    /// A poll before any `subscribe` or `assign`.
    #[error("the consumer is neither subscribed to topics nor assigned partitions")]
    NotSubscribed,
    /// The partition is not assigned to this consumer.
    #[error("partition {partition} of topic {topic:?} is not assigned to this consumer")]
    NotAssigned {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
    },
    /// The partition has no position yet, and the policy is
    /// [`OffsetReset::None`](crate::OffsetReset::None): seek first.
    #[error(
        "partition {partition} of topic {topic:?} has no position, and the offset reset policy \
         sets none"
    )]
    NoPosition {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
    },
    /// The position is outside the retained log, and the policy is
    /// [`OffsetReset::None`](crate::OffsetReset::None).
    #[error(
        "position {position} in partition {partition} of topic {topic:?} is outside the log \
         ({log_start} to {log_end})"
    )]
    OffsetOutOfRange {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// The next offset to read.
        position: u64,
        /// The first offset retained.
        log_start: u64,
        /// One past the last offset.
        log_end: u64,
    },
    /// The topic was closed and has been read to its end, or it was deleted.
    #[error("topic {topic:?} is closed")]
    Closed {
        /// The topic.
        topic: Arc<str>,
    },
    /// A setting is outside its limits.
    #[error("{setting} is {value}, but must be from {min} to {max}")]
    InvalidConfig {
        /// The setting's name in [`ConsumerConfig`](crate::ConsumerConfig).
        setting: &'static str,
        /// The configured value.
        value: u64,
        /// The smallest valid value.
        min: u64,
        /// The largest valid value.
        max: u64,
    },
    /// [`WakeupHandle::wakeup`](crate::WakeupHandle::wakeup) ended the poll. Nothing was read.
    #[error("the consumer was woken up")]
    Wakeup,
    /// The timestamp is below zero.
    #[error("timestamp {timestamp} ms is before 1970")]
    InvalidTimestamp {
        /// The requested time, in milliseconds since 1970 UTC.
        timestamp: i64,
    },
    /// The name is not valid for a group, a member or a consumer.
    #[error("{name:?} is not a valid {setting}: {reason}")]
    InvalidName {
        /// The setting of [`ConsumerConfig`](crate::ConsumerConfig): `group`, `instance_id` or
        /// `client_id`.
        setting: &'static str,
        /// The configured name.
        name: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// Only a consumer with a [`group`](crate::ConsumerConfig::group) can do this.
    #[error("{asked} requires a group, but this consumer has none")]
    NoGroup {
        /// The refused call, or `instance_id`.
        asked: &'static str,
    },
    /// The group has fenced this member off: nothing it does in the group has an effect any more.
    ///
    /// The next poll joins the group again, unless another consumer has taken over this
    /// member's `instance_id`.
    #[error(
        "this member of group {group:?} is fenced off: {reason} (its generation is \
         {generation}, the group's is {current})"
    )]
    Fenced {
        /// The group.
        group: Arc<str>,
        /// The last generation in which this member had partitions.
        generation: u64,
        /// The group's current generation.
        current: u64,
        /// Why the member was fenced off.
        reason: FenceReason,
    },
    /// The record is not one of the batch through which it was to be committed.
    #[error(
        "the record of {record} at offset {offset} is not in the batch (of {batch:?}, offsets \
         {first} to {next})"
    )]
    NotInBatch {
        /// The record's partition.
        record: TopicPartition,
        /// The record's offset.
        offset: u64,
        /// The batch's partition; `None` if the batch is empty.
        batch: Option<TopicPartition>,
        /// The offset of the batch's first record.
        first: u64,
        /// The next offset to read after the batch.
        next: u64,
    },
    /// The offset to commit is past the end of the partition. Nothing was committed.
    #[error(
        "offset {offset} cannot be committed: partition {partition} of topic {topic:?} ends at \
         {log_end}"
    )]
    CommitPastEnd {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The offset to commit.
        offset: u64,
        /// One past the last offset.
        log_end: u64,
    },
    /// A consumer that is not a member cannot commit while the group has members.
    #[error("group {group:?} has {members} members, and this consumer is not one of them")]
    NotAMember {
        /// The group.
        group: Arc<str>,
        /// The number of members.
        members: usize,
    },
    /// The assignor returned an invalid assignment. The group keeps its previous assignment until
    /// its members or topics change again.
    #[error("assignor {assignor:?} of group {group:?}: {reason}")]
    BadAssignment {
        /// The group.
        group: Arc<str>,
        /// The assignor's name.
        assignor: String,
        /// What is invalid.
        reason: String,
    },
    /// All members of a group must use the same assignor.
    #[error("group {group:?} uses assignor {assignor:?}, not {asked:?}")]
    OtherAssignor {
        /// The group.
        group: Arc<str>,
        /// The group's assignor.
        assignor: String,
        /// The assignor that this consumer is configured with.
        asked: String,
    },
    /// The consumer cannot read after its [upstreams](crate::ConsumerConfig::read_after).
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The members of a group must agree whether it holds records back: either all of them are
    /// configured with [`HoldBack::Nothing`](crate::HoldBack::Nothing), or none is.
    #[error(
        "the members of group {group:?} hold {} back, other than this consumer",
        if *holds_back { "records" } else { "nothing" }
    )]
    OtherHoldBack {
        /// The group.
        group: Arc<str>,
        /// Whether the group's members hold records back.
        holds_back: bool,
    },
}

/// Why a member of a group was fenced off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FenceReason {
    /// The member did not poll for [`max_poll_interval`](crate::ConsumerConfig::max_poll_interval).
    MaxPollInterval,
    /// Another consumer joined with the member's
    /// [`instance_id`](crate::ConsumerConfig::instance_id). The fenced member cannot join again
    /// until it subscribes again.
    InstanceId,
}

impl std::fmt::Display for FenceReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            FenceReason::MaxPollInterval => "it did not poll for max_poll_interval",
            FenceReason::InstanceId => "another consumer has taken over its instance_id",
        })
    }
}

/// Why a broker's call about a group failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The broker has no such group.
    #[error("there is no group named {name:?}")]
    UnknownGroup {
        /// The requested name.
        name: String,
    },
    /// A group with live members cannot be deleted.
    #[error("group {name:?} has {members} live members")]
    NotEmpty {
        /// The group.
        name: String,
        /// The number of live members.
        members: usize,
    },
    /// The group's offsets in this topic cannot be deleted yet: a member is subscribed to the
    /// topic, or owns a partition of it until its next poll.
    #[error("group {name:?} is subscribed to topic {topic:?} or still owns some of its partitions")]
    Subscribed {
        /// The group.
        name: String,
        /// The topic.
        topic: String,
    },
}

/// Why a batch's values cannot be viewed as a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// A value's length differs from the type's size.
    #[error("the value at offset {offset} has {length} bytes, but the type has {size}")]
    Size {
        /// Offset of the first record that does not fit.
        offset: u64,
        /// Bytes of its value.
        length: usize,
        /// Bytes of the type.
        size: usize,
    },
    /// The type needs a larger alignment than the 8 bytes that values have.
    #[error("the type needs an alignment of {align} bytes, but values are aligned to {max}")]
    Alignment {
        /// The type's alignment, in bytes.
        align: usize,
        /// The alignment of values, in bytes.
        max: usize,
    },
}

/// A public error that can report that a topic is closed.
pub(crate) trait ClosedError {
    fn closed(topic: Arc<str>) -> Self;
}

/// A public error that can report that a timestamp is below zero.
pub(crate) trait TimestampError {
    fn invalid_timestamp(timestamp: i64) -> Self;
}

macro_rules! common_errors {
    ($($error:ident),*) => {$(
        impl ClosedError for $error {
            fn closed(topic: Arc<str>) -> Self {
                $error::Closed { topic }
            }
        }

        impl TimestampError for $error {
            fn invalid_timestamp(timestamp: i64) -> Self {
                $error::InvalidTimestamp { timestamp }
            }
        }
    )*};
}

common_errors!(TopicError, SendError, ConsumeError);
