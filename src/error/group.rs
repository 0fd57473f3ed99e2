//! The error of the broker's calls about groups.

use std::sync::Arc;

/// Why a broker's call about a group failed. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The broker has no such group.
    #[error("there is no group named {name:?}")]
    UnknownGroup {
        /// The requested name.
        name: String,
    },
    /// The broker has a group of this name already.
    #[error("there already is a group named {name:?}")]
    GroupExists {
        /// The requested name.
        name: String,
    },
    /// The name is not valid for a group.
    #[error("{name:?} is not a valid group: {reason}")]
    InvalidName {
        /// The requested name.
        name: String,
        /// The rule that it breaks.
        reason: &'static str,
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
    /// The group's offset in this partition cannot be set from outside: a live member owns the
    /// partition, or is to get it at its next poll.
    #[error("partition {partition} of topic {topic:?} belongs to {member} of group {name:?}")]
    PartitionInUse {
        /// The group.
        name: String,
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// The member's id, as [`MemberId`](crate::MemberId) displays it.
        member: String,
    },
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
    /// The offset is outside what the partition retains.
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
