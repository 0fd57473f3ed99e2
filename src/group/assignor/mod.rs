//! Assignors: how a group's partitions are distributed among its members.

mod range;
mod round_robin;
mod sticky;

pub use range::RangeAssignor;
pub use round_robin::RoundRobinAssignor;
pub use sticky::{CooperativeStickyAssignor, StickyAssignor};

use crate::topic::TopicPartition;
use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Identifies a member of a group as long as it is a member. A consumer that comes back with the
/// same [`instance_id`](crate::ConsumerConfig::instance_id) gets the same member id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub(crate) u64);

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "member-{}", self.0)
    }
}

/// What members release before the assignor runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RebalanceProtocol {
    /// All partitions. No member reads while the group rebalances, and all members begin again at
    /// the committed offsets.
    Eager,
    /// None. Afterwards a member releases only the partitions that move to another member. The
    /// other partitions are read all the time.
    Cooperative,
}

/// The partitions of each member. A member that is missing gets none. A partition that is missing
/// has no reader until the next rebalance.
pub type Assignment = BTreeMap<MemberId, Vec<TopicPartition>>;

/// Distributes a group's partitions among its members.
///
/// It runs in the poll of one member, the first to poll after a change, without any lock. If it
/// panics, that poll panics, and its member leaves the group.
///
/// ```
/// use ringlog::{Assignment, Assignor, GroupView, RebalanceProtocol};
///
/// /// All partitions to the member that joined first.
/// #[derive(Debug)]
/// struct Oldest;
///
/// impl Assignor for Oldest {
///     fn name(&self) -> &str {
///         "oldest"
///     }
///     fn protocol(&self) -> RebalanceProtocol {
///         RebalanceProtocol::Cooperative
///     }
///     fn assign(&self, group: &GroupView) -> Assignment {
///         let oldest = group.members().iter().min_by_key(|member| member.id());
///         let mine = oldest.map(|member| {
///             let topics = group.topics().iter().filter(|topic| member.reads(topic.name()));
///             (member.id(), topics.flat_map(|topic| topic.all_partitions()).collect())
///         });
///         mine.into_iter().collect()
///     }
/// }
/// ```
pub trait Assignor: fmt::Debug + Send + Sync {
    /// The assignor's name. All members of a group must use assignors of the same name and
    /// protocol.
    fn name(&self) -> &str;

    /// What members release before it runs.
    fn protocol(&self) -> RebalanceProtocol;

    /// Distributes the partitions of the group's topics.
    ///
    /// An assignment is invalid if it names an unknown member or partition, assigns a partition
    /// twice, or assigns it to a member that does not read its topic. The poll that runs the
    /// assignor then fails with
    /// [`ConsumeError::BadAssignment`](crate::ConsumeError::BadAssignment), and the group keeps its
    /// previous assignment. Partitions may be left out, as in Kafka.
    fn assign(&self, group: &GroupView) -> Assignment;
}

/// A group as its assignor sees it.
#[derive(Clone, Debug)]
pub struct GroupView {
    pub(crate) topics: Vec<TopicView>,
    pub(crate) members: Vec<GroupMember>,
}

impl GroupView {
    /// The topics that any member reads, sorted by name.
    pub fn topics(&self) -> &[TopicView] {
        &self.topics
    }

    /// The members: first those with an instance id, sorted by it, then the others in the order in
    /// which they joined.
    pub fn members(&self) -> &[GroupMember] {
        &self.members
    }
}

/// A topic of a [`GroupView`].
#[derive(Clone, Debug)]
pub struct TopicView {
    pub(crate) name: Arc<str>,
    pub(crate) partitions: u32,
}

impl TopicView {
    /// The topic's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of partitions.
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// All partitions of the topic, in order.
    pub fn all_partitions(&self) -> impl Iterator<Item = TopicPartition> + '_ {
        (0..self.partitions).map(|p| TopicPartition::new(&*self.name, p))
    }
}

/// A member of a [`GroupView`].
#[derive(Clone, Debug)]
pub struct GroupMember {
    pub(crate) id: MemberId,
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) topics: BTreeSet<Arc<str>>,
    pub(crate) owned: Vec<TopicPartition>,
}

impl GroupMember {
    /// The member's id.
    pub fn id(&self) -> MemberId {
        self.id
    }

    /// The configured [`instance_id`](crate::ConsumerConfig::instance_id), if any.
    pub fn instance_id(&self) -> Option<&str> {
        self.instance_id.as_deref()
    }

    /// Whether the member is subscribed to this topic.
    pub fn reads(&self, topic: &str) -> bool {
        self.topics.contains(topic)
    }

    /// The partitions that the member owns, or owned until it released them for this assignment.
    pub fn owned(&self) -> &[TopicPartition] {
        &self.owned
    }
}

/// Checks an assignment. The error says why it is invalid.
pub(crate) fn check(group: &GroupView, assignment: &Assignment) -> Result<(), String> {
    let mut assigned = BTreeMap::new();
    for (id, partitions) in assignment {
        let Some(member) = group.members.iter().find(|m| m.id == *id) else {
            return Err(format!("{id} is not a member"));
        };
        for name in partitions {
            let TopicPartition { topic, partition } = name;
            match group.topics.iter().find(|t| *t.name == **topic) {
                Some(view) if *partition < view.partitions => {}
                Some(view) => {
                    return Err(format!(
                        "partition {partition} is not one of the {} of topic {topic:?}",
                        view.partitions
                    ));
                }
                None => return Err(format!("no member reads a topic {topic:?}")),
            }
            if !member.reads(topic) {
                return Err(format!("{id} does not read topic {topic:?}"));
            }
            if let Some(first) = assigned.insert(name, *id) {
                return Err(format!(
                    "partition {partition} of topic {topic:?} is given to {first} and to {id}"
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The topics that a member reads, and the partitions that it owns.
    type MemberTopics<'a> = (&'a [&'a str], &'a [(&'a str, u32)]);

    pub(crate) fn group(topics: &[(&str, u32)], members: &[MemberTopics<'_>]) -> GroupView {
        let topics = topics.iter().map(|&(name, partitions)| TopicView {
            name: name.into(),
            partitions,
        });
        let members = members.iter().enumerate().map(|(i, (reads, owned))| {
            let owned = owned
                .iter()
                .map(|&(topic, p)| TopicPartition::new(topic, p));
            GroupMember {
                id: MemberId(i as u64),
                instance_id: None,
                topics: reads.iter().map(|&t| t.into()).collect(),
                owned: owned.collect(),
            }
        });
        GroupView {
            topics: topics.collect(),
            members: members.collect(),
        }
    }

    /// Each member's partitions, as "topic:partition".
    pub(crate) fn shares(group: &GroupView, assignor: &dyn Assignor) -> Vec<Vec<String>> {
        let assignment = assignor.assign(group);
        check(group, &assignment).unwrap();
        let share = |member: &GroupMember| {
            let mine = assignment.get(&member.id).into_iter().flatten();
            let mut mine: Vec<_> = mine
                .map(|p| format!("{}:{}", p.topic, p.partition))
                .collect();
            mine.sort();
            mine
        };
        group.members.iter().map(share).collect()
    }

    #[test]
    fn an_invalid_assignment_is_refused_with_its_reason() {
        let view = group(&[("a", 2), ("b", 1)], &[(&["a"], &[]), (&["a", "b"], &[])]);
        let refused = |assigned: &[(u64, &str, u32)]| {
            let mut assignment = Assignment::new();
            for &(id, topic, partition) in assigned {
                let mine = assignment.entry(MemberId(id)).or_default();
                mine.push(TopicPartition::new(topic, partition));
            }
            check(&view, &assignment).err()
        };
        assert_eq!(refused(&[(0, "a", 0), (1, "a", 1), (1, "b", 0)]), None);
        assert_eq!(refused(&[]), None);
        let reason = |assigned: &[(u64, &str, u32)]| refused(assigned).unwrap();
        assert_eq!(reason(&[(7, "a", 0)]), "member-7 is not a member");
        assert_eq!(
            reason(&[(0, "a", 2)]),
            "partition 2 is not one of the 2 of topic \"a\""
        );
        assert_eq!(reason(&[(0, "c", 0)]), "no member reads a topic \"c\"");
        assert_eq!(reason(&[(0, "b", 0)]), "member-0 does not read topic \"b\"");
        assert_eq!(
            reason(&[(0, "a", 0), (1, "a", 0)]),
            "partition 0 of topic \"a\" is given to member-0 and to member-1"
        );
    }
}
