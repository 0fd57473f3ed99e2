//! Who gets which partition.

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

/// A member of a group, for as long as it is one. A member with an instance id keeps it when it
/// comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub(crate) u64);

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "member-{}", self.0)
    }
}

/// What members give back before the assignor runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RebalanceProtocol {
    /// Everything: nobody reads while the group rebalances, and all begin anew where the group
    /// has committed.
    Eager,
    /// Nothing. Afterwards only what moves is given back, and the rest is read all the time.
    Cooperative,
}

/// The members' partitions. A member that is not in it gets none, and a partition that is not
/// in it is read by nobody until the next rebalance.
pub type Assignment = BTreeMap<MemberId, Vec<TopicPartition>>;

/// Shares a group's partitions among its members.
///
/// It runs in the poll of one of the members, whichever comes first after a change, and no lock
/// is held. If it panics, so does that poll, and its member leaves the group.
///
/// ```
/// use ringlog::{Assignment, Assignor, GroupView, Protocol, TopicPartition};
///
/// /// Everything to the member that has been there longest.
/// #[derive(Debug)]
/// struct Oldest;
///
/// impl Assignor for Oldest {
///     fn name(&self) -> &str {
///         "oldest"
///     }
///     fn protocol(&self) -> Protocol {
///         Protocol::Cooperative
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
    /// Its name. All members of a group use assignors of one name and one protocol.
    fn name(&self) -> &str;

    /// What members give back before it runs.
    fn protocol(&self) -> RebalanceProtocol;

    /// Shares all partitions of the group's topics.
    ///
    /// What cannot be (a member or a partition that is not there, a partition twice or for a
    /// member that does not read its topic) is refused by the poll that runs it, with
    /// [`ConsumeError::BadAssignment`](crate::ConsumeError::BadAssignment), and the group keeps
    /// the assignment that it had. Leaving partitions out is allowed, as in Kafka.
    fn assign(&self, group: &GroupView) -> Assignment;
}

/// A group, as its assignor sees it.
#[derive(Clone, Debug)]
pub struct GroupView {
    pub(crate) topics: Vec<TopicView>,
    pub(crate) members: Vec<GroupMember>,
}

impl GroupView {
    /// The topics that any member reads, by name.
    pub fn topics(&self) -> &[TopicView] {
        &self.topics
    }

    /// The members: first those with an instance id, by that, and then the others, as they
    /// came.
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
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many partitions it has.
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// All its partitions, in order.
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
    /// Which it is.
    pub fn id(&self) -> MemberId {
        self.id
    }

    /// The name that it was given.
    pub fn instance_id(&self) -> Option<&str> {
        self.instance_id.as_deref()
    }

    /// Whether it is subscribed to this topic.
    pub fn reads(&self, topic: &str) -> bool {
        self.topics.contains(topic)
    }

    /// The partitions that it owns, or owned until it gave them back for this assignment.
    pub fn owned(&self) -> &[TopicPartition] {
        &self.owned
    }
}

/// What is wrong with an assignment, if anything is.
pub(crate) fn check(group: &GroupView, assignment: &Assignment) -> Result<(), String> {
    let mut given = BTreeMap::new();
    for (id, partitions) in assignment {
        let Some(member) = group.members.iter().find(|m| m.id == *id) else {
            return Err(format!("{id} is not a member"));
        };
        for at in partitions {
            let TopicPartition { topic, partition } = at;
            let of = group.topics.iter().find(|t| *t.name == **topic);
            match of {
                Some(of) if *partition < of.partitions => {}
                Some(of) => {
                    return Err(format!(
                        "partition {partition} is not one of the {} of topic {topic:?}",
                        of.partitions
                    ));
                }
                None => return Err(format!("no member reads a topic {topic:?}")),
            }
            if !member.reads(topic) {
                return Err(format!("{id} does not read topic {topic:?}"));
            }
            if let Some(first) = given.insert(at, *id) {
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
    type Reads<'a> = (&'a [&'a str], &'a [(&'a str, u32)]);

    pub(crate) fn group(topics: &[(&str, u32)], members: &[Reads<'_>]) -> GroupView {
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
    fn what_cannot_be_is_told_by_its_reason() {
        let view = group(&[("a", 2), ("b", 1)], &[(&["a"], &[]), (&["a", "b"], &[])]);
        let refused = |given: &[(u64, &str, u32)]| {
            let mut assignment = Assignment::new();
            for &(id, topic, partition) in given {
                let mine = assignment.entry(MemberId(id)).or_default();
                mine.push(TopicPartition::new(topic, partition));
            }
            check(&view, &assignment).err()
        };
        assert_eq!(refused(&[(0, "a", 0), (1, "a", 1), (1, "b", 0)]), None);
        assert_eq!(refused(&[]), None);
        let said = |given: &[(u64, &str, u32)]| refused(given).unwrap();
        assert_eq!(said(&[(7, "a", 0)]), "member-7 is not a member");
        assert_eq!(
            said(&[(0, "a", 2)]),
            "partition 2 is not one of the 2 of topic \"a\""
        );
        assert_eq!(said(&[(0, "c", 0)]), "no member reads a topic \"c\"");
        assert_eq!(said(&[(0, "b", 0)]), "member-0 does not read topic \"b\"");
        assert_eq!(
            said(&[(0, "a", 0), (1, "a", 0)]),
            "partition 0 of topic \"a\" is given to member-0 and to member-1"
        );
    }
}
