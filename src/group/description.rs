//! The description of a group that [`Broker::describe_group`](crate::Broker::describe_group)
//! returns.

use crate::group::assignor::MemberId;
use crate::group::coordinator::Coordinator;
use crate::topic::TopicPartition;

/// A group at one moment: see [`Broker::describe_group`](crate::Broker::describe_group).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupDescription {
    /// The group's name.
    pub name: String,
    /// The number of assignments so far.
    pub generation: u64,
    /// The name of the members' assignor; `None` if the group never had a member.
    pub assignor: Option<String>,
    /// The members, in the order in which they joined.
    pub members: Vec<MemberDescription>,
    /// The partitions that the group knows, sorted by topic and number.
    pub partitions: Vec<PartitionDescription>,
}

/// A member of a [`GroupDescription`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberDescription {
    /// The member's id.
    pub id: MemberId,
    /// The configured [`instance_id`](crate::ConsumerConfig::instance_id), if any.
    pub instance_id: Option<String>,
    /// `false` if the member's consumer is gone, and its partitions are kept for the next consumer
    /// with its instance id.
    pub is_live: bool,
    /// The topics that the member is subscribed to.
    pub topics: Vec<String>,
}

/// A partition of a [`GroupDescription`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionDescription {
    /// The partition's name.
    pub topic_partition: TopicPartition,
    /// The member that owns it now.
    pub owner: Option<MemberId>,
    /// The committed offset, at which the next owner begins.
    pub committed: Option<u64>,
    /// The first offset that is retained.
    pub log_start: u64,
    /// The offset after its last one.
    pub log_end: u64,
}

impl PartitionDescription {
    /// How many offsets are retained from the committed one on (Kafka's consumer group lag):
    /// `log_end - max(committed, log_start)`. `None` if no offset is committed.
    pub fn lag(&self) -> Option<u64> {
        let from = self.committed?.max(self.log_start);
        Some(self.log_end.saturating_sub(from))
    }
}

impl Coordinator {
    pub(crate) fn describe(&self, name: &str) -> GroupDescription {
        let members = self.members.iter().map(|(&id, member)| MemberDescription {
            id,
            instance_id: member.instance_id.as_deref().map(str::to_owned),
            is_live: member.is_live(),
            topics: member.topics.iter().map(|t| t.name().to_string()).collect(),
        });
        let partitions = self.partitions.iter();
        let partitions = partitions.map(|(key, partition)| {
            // Read before the log, so that it is not past its end.
            let committed = partition.committed();
            let log = partition.log().extent();
            PartitionDescription {
                topic_partition: key.to_topic_partition(),
                owner: partition.owner(),
                committed,
                log_start: log.start,
                log_end: log.end,
            }
        });
        GroupDescription {
            name: name.to_owned(),
            generation: self.generation,
            assignor: self.assignor.as_ref().map(|assignor| assignor.name.clone()),
            members: members.collect(),
            partitions: partitions.collect(),
        }
    }
}
