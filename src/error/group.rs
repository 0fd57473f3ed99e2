//! Why a broker's call about a group failed.

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
