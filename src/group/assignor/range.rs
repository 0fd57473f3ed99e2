//! Kafka's range assignor.

use super::{Assignment, Assignor, GroupView, RebalanceProtocol};
use crate::topic::TopicPartition;

/// Divides each topic by itself: its partitions, in order, into one range per member that reads it
/// (Kafka's `RangeAssignor`). If the division has a remainder, the first ranges are one longer.
///
/// So partitions of the same number, of topics with the same keys and members, go to the same
/// member. The price: over several topics, the first members get up to one partition more per
/// topic. The protocol is eager.
#[derive(Clone, Copy, Debug, Default)]
pub struct RangeAssignor;

impl Assignor for RangeAssignor {
    fn name(&self) -> &str {
        "range"
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Eager
    }

    fn assign(&self, group: &GroupView) -> Assignment {
        let mut assignment = Assignment::new();
        for topic in &group.topics {
            let readers = group.members.iter().filter(|m| m.reads(&topic.name));
            let readers: Vec<_> = readers.collect();
            let count = readers.len() as u64;
            let bound = |i: u64| {
                let total = u64::from(topic.partitions);
                (i * (total / count) + i.min(total % count)) as u32
            };
            for (i, member) in (0..).zip(&readers) {
                let range = bound(i)..bound(i + 1);
                let mine = assignment.entry(member.id).or_default();
                mine.extend(range.map(|p| TopicPartition::new(&*topic.name, p)));
            }
        }
        assignment
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{group, shares};
    use super::*;

    #[test]
    fn each_topic_is_divided_into_ranges_of_which_the_first_are_longer() {
        let both: &[&str] = &["a", "b"];
        let view = group(
            &[("a", 5), ("b", 2)],
            &[(both, &[]), (both, &[]), (&["a"], &[])],
        );
        assert_eq!(
            shares(&view, &RangeAssignor),
            [
                vec!["a:0", "a:1", "b:0"],
                vec!["a:2", "a:3", "b:1"],
                vec!["a:4"]
            ]
        );
    }
}
