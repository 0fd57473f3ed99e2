//! The sticky assignors: balanced loads with few moves, by cost-reducing paths.
//!
//! 1. Start from the current owners.
//! 2. Assign each partition without an owner to the least loaded member that reads its topic.
//! 3. While there is a *cost-reducing path*, move one partition along each edge of a shortest one.
//!
//! A cost-reducing path leads from a member to one that has at least two partitions fewer. At each
//! edge a member hands a partition to the next member, which reads its topic. So the first member
//! loses one partition, the last gains one, and the loads between stay as they are.
//!
//! An assignment without a cost-reducing path has the least maximum load and the least variance of
//! all (Harvey, Ladner, Lovász, Tamir: *Semi-matchings for bipartite graphs and load balancing*,
//! 2003). Each path reduces the sum of the squared loads, so the loop ends. If all members read the
//! same topics, every path is one move, and the final loads differ by at most one.

use super::{Assignment, Assignor, GroupView, RebalanceProtocol};
use crate::topic::TopicPartition;
use std::collections::{BTreeMap, VecDeque};

/// Balances the loads; members keep their partitions as far as that allows (Kafka's
/// `StickyAssignor`). The protocol is eager: all members release all partitions first, and mostly
/// get the same ones again.
#[derive(Clone, Copy, Debug, Default)]
pub struct StickyAssignor;

/// The default assignor. Balances the loads; members keep their partitions as far as that allows,
/// and release only the partitions that move (Kafka's `CooperativeStickyAssignor`).
#[derive(Clone, Copy, Debug, Default)]
pub struct CooperativeStickyAssignor;

impl Assignor for StickyAssignor {
    fn name(&self) -> &str {
        "sticky"
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Eager
    }

    fn assign(&self, group: &GroupView) -> Assignment {
        Shares::new(group).balance()
    }
}

impl Assignor for CooperativeStickyAssignor {
    fn name(&self) -> &str {
        "cooperative-sticky"
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Cooperative
    }

    fn assign(&self, group: &GroupView) -> Assignment {
        Shares::new(group).balance()
    }
}

/// An assignment under construction. Members and topics are indices into the group's view.
struct Shares<'g> {
    group: &'g GroupView,
    /// For each topic, the members that read it.
    readers: Vec<Vec<usize>>,
    /// For each member and topic, the partitions assigned.
    assigned: Vec<Vec<Vec<u32>>>,
    /// For each member, the number of partitions assigned.
    loads: Vec<usize>,
}

/// One edge of a cost-reducing path: a partition of `topic` moves between two members.
#[derive(Clone, Copy)]
struct Move {
    from: usize,
    topic: usize,
    to: usize,
}

impl<'g> Shares<'g> {
    /// Assigns owned partitions to their owners, and all others to the least loaded readers.
    fn new(group: &'g GroupView) -> Self {
        let (topics, members) = (&group.topics, &group.members);
        let readers = topics.iter().map(|topic| {
            let reads = |&m: &usize| members[m].reads(&topic.name);
            (0..members.len()).filter(reads).collect()
        });
        let mut shares = Shares {
            group,
            readers: readers.collect(),
            assigned: vec![vec![Vec::new(); topics.len()]; members.len()],
            loads: vec![0; members.len()],
        };
        let numbers: BTreeMap<&str, usize> = topics.iter().map(|t| &*t.name).zip(0..).collect();
        let mut owned: Vec<Vec<bool>> = topics
            .iter()
            .map(|topic| vec![false; topic.partitions as usize])
            .collect();
        for (m, member) in members.iter().enumerate() {
            for TopicPartition { topic, partition } in &member.owned {
                let Some(&t) = numbers.get(&**topic) else {
                    continue;
                };
                let free = owned[t].get_mut(*partition as usize).filter(|o| !**o);
                if let (true, Some(free)) = (member.reads(topic), free) {
                    *free = true;
                    shares.assign(m, t, *partition);
                }
            }
        }
        // Topics with few readers first: the others leave more choice.
        let mut order: Vec<usize> = (0..topics.len()).collect();
        order.sort_by_key(|&t| shares.readers[t].len());
        for t in order {
            for (partition, owned) in (0..).zip(&owned[t]) {
                let least = shares.readers[t].iter().min_by_key(|&&m| shares.loads[m]);
                if let (false, Some(&m)) = (*owned, least) {
                    shares.assign(m, t, partition);
                }
            }
        }
        shares
    }

    fn assign(&mut self, member: usize, topic: usize, partition: u32) {
        self.assigned[member][topic].push(partition);
        self.loads[member] += 1;
    }

    fn balance(mut self) -> Assignment {
        while let Some(path) = self.cost_reducing_path() {
            for Move { from, topic, to } in path {
                // The partition assigned last: a member keeps what it has owned longest.
                if let Some(partition) = self.assigned[from][topic].pop() {
                    self.loads[from] -= 1;
                    self.assign(to, topic, partition);
                }
            }
        }
        let mut assignment = Assignment::new();
        for (member, assigned) in self.group.members.iter().zip(self.assigned) {
            let mine = assignment.entry(member.id).or_default();
            for (topic, partitions) in self.group.topics.iter().zip(assigned) {
                let named = |p| TopicPartition::new(&*topic.name, p);
                mine.extend(partitions.into_iter().map(named));
            }
        }
        assignment
    }

    /// The moves of a cost-reducing path, the last one first. The path begins at the most loaded
    /// member that has one, ends at the least loaded member that can be reached, and is a shortest
    /// one between the two.
    fn cost_reducing_path(&self) -> Option<Vec<Move>> {
        let mut starts: Vec<usize> = (0..self.loads.len()).collect();
        starts.sort_by_key(|&m| core::cmp::Reverse(self.loads[m]));
        starts.into_iter().find_map(|start| self.path_from(start))
    }

    /// Breadth-first search.
    fn path_from(&self, start: usize) -> Option<Vec<Move>> {
        // For each member, the move by which the search reached it.
        let mut reached_by: Vec<Option<Move>> = vec![None; self.loads.len()];
        let mut queue = VecDeque::from([start]);
        let mut seen_topics = vec![false; self.readers.len()];
        let mut reached = vec![start];
        while let Some(from) = queue.pop_front() {
            for (topic, readers) in self.readers.iter().enumerate() {
                if self.assigned[from][topic].is_empty() || seen_topics[topic] {
                    continue;
                }
                seen_topics[topic] = true;
                for &to in readers {
                    if to != start && reached_by[to].is_none() {
                        reached_by[to] = Some(Move { from, topic, to });
                        queue.push_back(to);
                        reached.push(to);
                    }
                }
            }
        }
        let end = reached.into_iter().min_by_key(|&m| self.loads[m])?;
        if self.loads[end] + 2 > self.loads[start] {
            return None;
        }
        let mut path = Vec::new();
        let mut to = end;
        while let Some(last) = reached_by[to] {
            path.push(last);
            to = last.from;
        }
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{group, shares};
    use super::*;

    fn loads(shares: &[Vec<String>]) -> Vec<usize> {
        shares.iter().map(Vec::len).collect()
    }

    #[test]
    fn a_new_member_gets_its_share_and_nothing_else_moves() {
        let a: &[&str] = &["a"];
        let first: Vec<_> = (0..4).map(|p| ("a", p)).collect();
        let second: Vec<_> = (4..8).map(|p| ("a", p)).collect();
        let view = group(&[("a", 8)], &[(a, &first), (a, &second), (a, &[])]);
        let given = shares(&view, &CooperativeStickyAssignor);
        assert_eq!(loads(&given), [3, 3, 2]);
        for (kept, had) in given.iter().zip([first, second]) {
            assert!(
                kept.iter()
                    .all(|k| had.iter().any(|(t, p)| *k == format!("{t}:{p}")))
            );
        }
    }

    #[test]
    fn three_and_one_of_four_is_evened_out() {
        let a: &[&str] = &["a"];
        let most: Vec<_> = (0..3).map(|p| ("a", p)).collect();
        let view = group(&[("a", 4)], &[(a, &most), (a, &[("a", 3)])]);
        assert_eq!(loads(&shares(&view, &StickyAssignor)), [2, 2]);
    }

    #[test]
    fn a_path_through_another_member_is_found() {
        // The first member reads a, the second a and b, the third b. The first moves its surplus to
        // the second, which moves partitions of b to the third.
        let owned_a: Vec<_> = (0..4).map(|p| ("a", p)).collect();
        let owned_b: Vec<_> = (0..3).map(|p| ("b", p)).collect();
        let view = group(
            &[("a", 4), ("b", 3)],
            &[(&["a"], &owned_a), (&["a", "b"], &owned_b), (&["b"], &[])],
        );
        let mut given = loads(&shares(&view, &CooperativeStickyAssignor));
        given.sort_unstable();
        assert_eq!(given, [2, 2, 3]);
    }

    #[test]
    fn partitions_whose_owners_do_not_read_them_are_assigned_again() {
        let view = group(
            &[("a", 2), ("b", 2)],
            &[
                (&["a"], &[("b", 0), ("c", 0), ("a", 9)]),
                (&["a", "b"], &[]),
            ],
        );
        let given = shares(&view, &CooperativeStickyAssignor);
        assert_eq!(given, [vec!["a:0", "a:1"], vec!["b:0", "b:1"]]);
    }
}
