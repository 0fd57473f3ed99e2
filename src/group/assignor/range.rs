use super::{Assignment, Assignor, GroupView, RebalanceProtocol};
use crate::topic::TopicPartition;

/// Each topic by itself: its partitions in order, in as many runs as it has members; the first
/// runs are one longer where it does not come out even (Kafka's `RangeAssignor`).
///
/// So the partitions of one number, of topics that are keyed alike, go to the same member. The
/// price: over several topics the first members get up to one partition a topic more. Eager.
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
                let all = u64::from(topic.partitions);
                (i * (all / count) + i.min(all % count)) as u32
            };
            for (i, member) in (0..).zip(&readers) {
                let run = bound(i)..bound(i + 1);
                let mine = assignment.entry(member.id).or_default();
                mine.extend(run.map(|p| TopicPartition::new(&*topic.name, p)));
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
    fn each_topic_is_cut_into_runs_the_first_of_them_longer() {
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
