//! Why a consumer's call failed.

use super::upstream::UpstreamError;
use crate::topic_partition::TopicPartition;
use std::sync::Arc;

/// Why a consumer's call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumeError {
    /// The broker has no topic of this name. To subscribe before it is created, configure
    /// [`wait_for_topics`](crate::ConsumerConfig::wait_for_topics).
    #[error("there is no topic named {name:?} (wait_for_topics lets a consumer wait for it)")]
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
    /// The pattern is not a regular expression over topic names.
    #[error("{pattern:?} is not a pattern for topic names: {reason}")]
    InvalidPattern {
        /// The requested pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The name is not valid for a group, a member, a consumer or a topic.
    #[error("{name:?} is not a valid {setting}: {reason}")]
    InvalidName {
        /// The setting of [`ConsumerConfig`](crate::ConsumerConfig): `group`, `instance_id` or
        /// `client_id`. Or `topic name`, of a subscription.
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
    /// The consumer cannot read after its [upstreams](crate::ConsumerConfig::read_after).
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
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
