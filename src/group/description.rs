//! What can be told of a group.

use crate::group::assignor::MemberId;
use crate::group::coordinator::Coordinator;
use crate::topic::TopicPartition;

/// A group at one moment: see [`Broker::describe_group`](crate::Broker::describe_group).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupDescription {
    /// Its name.
    pub name: String,
    /// Counts its assignments.
    pub generation: u64,
    /// The name of its assignor, if it ever had a member.
    pub assignor: Option<String>,
    /// Its members, as they came.
    pub members: Vec<MemberDescription>,
    /// The partitions that it knows, in order.
    pub partitions: Vec<PartitionDescription>,
}

/// A member of a [`GroupDescription`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberDescription {
    /// Which it is.
    pub id: MemberId,
    /// Its name, if it was given one.
    pub instance_id: Option<String>,
    /// `false` if its consumer is gone, and its place is kept for the next of its name.
    pub is_live: bool,
    /// What it is subscribed to.
    pub topics: Vec<String>,
}

/// A partition of a [`GroupDescription`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionDescription {
    /// Which it is.
    pub partition: TopicPartition,
    /// Whose it is now.
    pub owner: Option<MemberId>,
    /// What is committed: the next offset to be read by whoever gets it next.
    pub committed: Option<u64>,
    /// One past its last offset.
    pub log_end: u64,
}

impl PartitionDescription {
    /// How many offsets come behind what is committed (Kafka's consumer group lag); `None` if
    /// nothing is.
    pub fn lag(&self) -> Option<u64> {
        self.committed.map(|c| self.log_end.saturating_sub(c))
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
        let places = self.places.iter();
        let partitions = places.map(|((topic, partition), place)| {
            let log = place.topic.partition(*partition);
            PartitionDescription {
                partition: TopicPartition::new(&**topic, *partition),
                owner: place.owner.as_ref().map(|(id, _)| *id),
                committed: place.committed(),
                log_end: log.log_end_offset(),
            }
        });
        GroupDescription {
            name: name.to_owned(),
            generation: self.generation,
            assignor: self.assignor.as_ref().map(|(name, _)| name.clone()),
            members: members.collect(),
            partitions: partitions.collect(),
        }
    }
}
