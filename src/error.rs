//! Every public error: enums with the facts in them.
//!
//! A refused record is still the caller's: every sending call borrows it, and a refused
//! call has appended nothing, except where [`BatchError`] says what it has.

use std::sync::Arc;
use std::time::Duration;

/// Why a topic could not be made, found or given an exclusive producer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// No topic of this name is in the broker.
    #[error("there is no topic named {name:?}")]
    UnknownTopic {
        /// The name asked for.
        name: String,
    },
    /// A topic of this name is already in the broker.
    #[error("a topic named {name:?} exists already")]
    TopicExists {
        /// The name asked for.
        name: String,
    },
    /// The name cannot be a topic's name.
    #[error("{name:?} cannot be a topic's name: {reason}")]
    InvalidName {
        /// The name asked for.
        name: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// A setting is outside its limits.
    #[error("{setting} is {value}, and must be {min} to {max}")]
    InvalidConfig {
        /// The setting's name in [`TopicConfig`](crate::TopicConfig).
        setting: &'static str,
        /// What it was set to.
        value: u64,
        /// The least it may be.
        min: u64,
        /// The most it may be.
        max: u64,
    },
    /// The topic has as many partitions as there can be, so that none can be added.
    #[error(
        "topic {topic:?} has {partitions} partitions, the most that there can be, and {asked} \
         were asked for"
    )]
    NoMorePartitions {
        /// The topic.
        topic: Arc<str>,
        /// How many it has.
        partitions: u32,
        /// How many it was to have.
        asked: u32,
    },
    /// The topic has more segments than a topic can number.
    #[error("{segments} segments are more than the {max} that one topic can have")]
    TooManySegments {
        /// Partitions times (segments + 1).
        segments: u64,
        /// The limit.
        max: u64,
    },
    /// The system would not give the topic's memory, or its size overflows.
    #[error("the topic needs {bytes} bytes, which cannot be had")]
    OutOfMemory {
        /// Bytes asked for; `u64::MAX` when the size itself overflows.
        bytes: u64,
    },
    /// The topic has no such partition.
    #[error("partition {partition} is not one of the {partitions} of topic {topic:?}")]
    PartitionOutOfRange {
        /// The topic.
        topic: Arc<str>,
        /// The partition named.
        partition: u32,
        /// How many the topic has.
        partitions: u32,
    },
    /// An exclusive producer needs the topic for itself.
    #[error("topic {topic:?} has {shared} shared and {exclusive} exclusive producers already")]
    ProducersExist {
        /// The topic.
        topic: Arc<str>,
        /// Shared producers alive.
        shared: u64,
        /// Exclusive producers alive: 0 or 1.
        exclusive: u64,
    },
    /// The topic was closed or deleted.
    #[error("topic {topic:?} is closed")]
    Closed {
        /// The topic.
        topic: Arc<str>,
    },
    /// A time below zero.
    #[error("the timestamp {timestamp} is before 1970")]
    InvalidTimestamp {
        /// The time asked for, in milliseconds.
        timestamp: i64,
    },
    /// The partition does not have the offset.
    #[error(
        "offset {offset} in partition {partition} of topic {topic:?} is outside \
         {log_start} to {log_end}"
    )]
    OffsetOutOfRange {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// The offset asked for.
        offset: u64,
        /// The first offset retained.
        log_start: u64,
        /// One past the last offset.
        log_end: u64,
    },
}

/// Why nothing was appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The record's frame is larger than a segment's data. Waiting would not help.
    #[error("the record takes {size} bytes, and a segment holds {max}")]
    RecordTooLarge {
        /// Bytes the record takes in the log: value, key, headers and time, padded.
        size: u64,
        /// Bytes a segment holds ([`TopicConfig::segment_bytes`](crate::TopicConfig::segment_bytes)).
        max: u64,
    },
    /// One partition's share of a batch is larger than a segment. Waiting would not help.
    #[error(
        "the batch's share of partition {partition} is {records} records in {size} bytes, \
         and a segment holds {max_records} records in {max} bytes"
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
    /// The record, the route or the partitioner named a partition that is not there.
    #[error("partition {partition} is not one of the topic's {partitions}")]
    PartitionOutOfRange {
        /// The partition named.
        partition: u32,
        /// How many the topic has.
        partitions: u32,
    },
    /// A timestamp below zero ([Kafka's rule](https://kafka.apache.org/documentation/)).
    #[error("the timestamp {timestamp} is before 1970")]
    InvalidTimestamp {
        /// The timestamp, in milliseconds.
        timestamp: i64,
    },
    /// The topic was closed or deleted.
    #[error("topic {topic:?} is closed")]
    Closed {
        /// The topic.
        topic: Arc<str>,
    },
    /// Another producer has the topic for itself.
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

/// Why a batch was not appended, or not all of it.
///
/// A batch's share of one partition is appended as a whole or not at all. When one share is
/// refused, the shares before it may already be in the log: `appended` says how many
/// records, and `refused` which ones are not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{appended} records appended, {} refused: {cause}", refused.len())]
pub struct BatchError {
    /// Why the first refused share was refused.
    #[source]
    pub cause: SendError,
    /// Records that are in the log.
    pub appended: usize,
    /// The positions in the batch of the records that are not.
    pub refused: Vec<usize>,
}

/// Why a consumer's call could not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumeError {
    /// No topic of this name is in the broker.
    #[error("there is no topic named {name:?}")]
    UnknownTopic {
        /// The name asked for.
        name: String,
    },
    /// The topic has no such partition.
    #[error("partition {partition} is not one of the {partitions} of topic {topic:?}")]
    PartitionOutOfRange {
        /// The topic.
        topic: Arc<str>,
        /// The partition named.
        partition: u32,
        /// How many the topic has.
        partitions: u32,
    },
    /// `subscribe` and `assign` do not mix: one consumer keeps to the first it was given,
    /// until `unsubscribe`.
    #[error("this consumer was given its partitions by {given}, which does not mix with {asked}")]
    MixedAssignment {
        /// What it was given first: `subscribe` or `assign`.
        given: &'static str,
        /// What was asked now.
        asked: &'static str,
    },
    /// A poll before any `subscribe` or `assign`.
    #[error("the consumer is neither subscribed to topics nor assigned partitions")]
    NotSubscribed,
    /// The partition is not one of this consumer's.
    #[error("partition {partition} of topic {topic:?} is not assigned to this consumer")]
    NotAssigned {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
    },
    /// The partition has no position yet, and the policy is
    /// [`OffsetReset::None`](crate::OffsetReset::None): seek first.
    #[error("partition {partition} of topic {topic:?} has no position and no policy gives it one")]
    NoPosition {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
    },
    /// The position is outside what is retained, and the policy is
    /// [`OffsetReset::None`](crate::OffsetReset::None).
    #[error(
        "position {position} in partition {partition} of topic {topic:?} is outside \
         {log_start} to {log_end}"
    )]
    OffsetOutOfRange {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// The next offset to be read.
        position: u64,
        /// The first offset retained.
        log_start: u64,
        /// One past the last offset.
        log_end: u64,
    },
    /// The topic was closed, and all of it is read; or it was deleted.
    #[error("topic {topic:?} is closed")]
    Closed {
        /// The topic.
        topic: Arc<str>,
    },
    /// A setting is outside its limits.
    #[error("{setting} is {value}, and must be {min} to {max}")]
    InvalidConfig {
        /// The setting's name in [`ConsumerConfig`](crate::ConsumerConfig).
        setting: &'static str,
        /// What it was set to.
        value: u64,
        /// The least it may be.
        min: u64,
        /// The most it may be.
        max: u64,
    },
    /// Another thread has called [`WakeupHandle::wakeup`](crate::WakeupHandle::wakeup). Nothing
    /// was read.
    #[error("the consumer was woken up")]
    Wakeup,
    /// A time below zero.
    #[error("the timestamp {timestamp} is before 1970")]
    InvalidTimestamp {
        /// The time asked for, in milliseconds.
        timestamp: i64,
    },
    /// The name cannot be a group's, a member's or a consumer's.
    #[error("{name:?} cannot be a {setting}: {reason}")]
    InvalidName {
        /// Which setting of [`ConsumerConfig`](crate::ConsumerConfig): `group`, `instance_id`
        /// or `client_id`.
        setting: &'static str,
        /// What it was set to.
        name: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// Only a consumer with a [`group`](crate::ConsumerConfig::group) can do this.
    #[error("{asked} needs a group, and this consumer has none")]
    NoGroup {
        /// What was asked: a call's name, or `instance_id`.
        asked: &'static str,
    },
    /// This member's part in the group is over: nothing that it does counts any more. The next
    /// poll joins the group again, but not where another has taken its name.
    #[error(
        "this member of group {group:?} is fenced: {reason} (its generation is {generation}, \
         and the group's {current})"
    )]
    Fenced {
        /// The group.
        group: Arc<str>,
        /// The last generation that this member had partitions in.
        generation: u64,
        /// The group's generation now.
        current: u64,
        /// Why.
        reason: FenceReason,
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
    /// A consumer that is no member cannot commit while the group has members.
    #[error("group {group:?} has {members} members, and this consumer is none of them")]
    NotAMember {
        /// The group.
        group: Arc<str>,
        /// How many there are.
        members: usize,
    },
    /// What the assignor answered cannot be. The group keeps the assignment that it had, until
    /// its members or topics change again.
    #[error("assignor {assignor:?} of group {group:?}: {reason}")]
    BadAssignment {
        /// The group.
        group: Arc<str>,
        /// The assignor's name.
        assignor: String,
        /// What cannot be.
        reason: String,
    },
    /// The members of a group must all use the same assignor.
    #[error("group {group:?} uses assignor {assignor:?}, and not {asked:?}")]
    OtherAssignor {
        /// The group.
        group: Arc<str>,
        /// What the group uses.
        assignor: String,
        /// What this consumer would use.
        asked: String,
    },
}

/// Why a member of a group was fenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FenceReason {
    /// It had not polled for [`max_poll_interval`](crate::ConsumerConfig::max_poll_interval).
    MaxPollInterval,
    /// Another consumer came with its [`instance_id`](crate::ConsumerConfig::instance_id). This
    /// one cannot join again before it subscribes again.
    InstanceId,
}

impl std::fmt::Display for FenceReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            FenceReason::MaxPollInterval => "it had not polled for max_poll_interval",
            FenceReason::InstanceId => "another consumer has taken its instance_id",
        })
    }
}

/// Why a broker's call about a group could not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The broker has no such group.
    #[error("there is no group named {name:?}")]
    UnknownGroup {
        /// The name asked for.
        name: String,
    },
    /// A group with live members cannot be deleted.
    #[error("group {name:?} has {members} live members")]
    NotEmpty {
        /// The group.
        name: String,
        /// How many there are.
        members: usize,
    },
    /// A group's offsets in a topic that a member is subscribed to, or still owns a partition of
    /// until its next poll, cannot be deleted.
    #[error("group {name:?} is subscribed to topic {topic:?}, or still owns some of it")]
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
    /// A value's length is not the type's size.
    #[error("the value at offset {offset} has {length} bytes, and the type {size}")]
    Size {
        /// Offset of the first record that does not fit.
        offset: u64,
        /// Bytes of its value.
        length: usize,
        /// Bytes of the type.
        size: usize,
    },
    /// Values start on multiples of 8 bytes; the type needs more.
    #[error("the type is aligned to {align} bytes, and values to {max}")]
    Alignment {
        /// The type's alignment.
        align: usize,
        /// What values are aligned to.
        max: usize,
    },
}
