//! Kafka's round-robin assignor.

use super::{Assignment, Assignor, GroupView, RebalanceProtocol};

/// Assigns all partitions of all topics, in order, to the members in turn (Kafka's
/// `RoundRobinAssignor`). Members that do not read the topic are skipped. The protocol is eager.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobinAssignor;

impl Assignor for RoundRobinAssignor {
    fn name(&self) -> &str {
        "roundrobin"
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Eager
    }

    fn assign(&self, group: &GroupView) -> Assignment {
        let mut assignment = Assignment::new();
        let members = &group.members;
        let mut next = 0;
        for topic in &group.topics {
            if !members.iter().any(|m| m.reads(&topic.name)) {
                continue;
            }
            for partition in topic.all_partitions() {
                while !members[next % members.len()].reads(&topic.name) {
                    next += 1;
                }
                let member = &members[next % members.len()];
                assignment.entry(member.id).or_default().push(partition);
                next += 1;
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
    fn partitions_are_assigned_to_the_members_in_turn() {
        let both: &[&str] = &["a", "b"];
        let view = group(
            &[("a", 3), ("b", 2)],
            &[(both, &[]), (&["b"], &[]), (both, &[])],
        );
        assert_eq!(
            shares(&view, &RoundRobinAssignor),
            [vec!["a:0", "a:2"], vec!["b:0"], vec!["a:1", "b:1"]]
        );
    }
}
