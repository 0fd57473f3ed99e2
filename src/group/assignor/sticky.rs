//! As even as can be, with as few moves as can be.
//!
//! Start from who owns what. Give what nobody owns to the least loaded of those that read it.
//! Then, as long as there is a way from a member to one with at least two partitions less, by
//! which each hands a partition to the next that reads its topic, go the shortest such way: it
//! takes one from the first and adds one to the last, and leaves the loads between as they are.
//!
//! Such a way is a *cost-reducing path*, and an assignment without one has the least maximum, and
//! the least variance, of all (Harvey, Ladner, Lovász, Tamir: *Semi-matchings for bipartite graphs
//! and load balancing*, 2003). Each step makes the sum of the squared loads less, so it ends. With
//! equal subscriptions every way is one move, and the loads end within one of each other.

use super::{Assignment, Assignor, GroupView, RebalanceProtocol};
use crate::topic::TopicPartition;
use std::collections::{BTreeMap, VecDeque};

/// Balanced, and members keep what they have as far as that allows (Kafka's `StickyAssignor`).
/// Eager: everybody gives everything back first, and most get the same again.
#[derive(Clone, Copy, Debug, Default)]
pub struct StickyAssignor;

/// Balanced, and members keep what they have as far as that allows; only what moves is given
/// back (Kafka's `CooperativeStickyAssignor`). The default.
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
        Shares::of(group).balance()
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
        Shares::of(group).balance()
    }
}

struct Shares<'g> {
    group: &'g GroupView,
    /// By topic, who reads it.
    readers: Vec<Vec<usize>>,
    /// By member, and by topic, the partitions.
    held: Vec<Vec<Vec<u32>>>,
    loads: Vec<usize>,
}

impl<'g> Shares<'g> {
    /// Everything given out: what is owned as it is, the rest to the least loaded.
    fn of(group: &'g GroupView) -> Self {
        let (topics, members) = (&group.topics, &group.members);
        let readers = topics.iter().map(|topic| {
            let reads = |&m: &usize| members[m].reads(&topic.name);
            (0..members.len()).filter(reads).collect()
        });
        let mut shares = Shares {
            group,
            readers: readers.collect(),
            held: vec![vec![Vec::new(); topics.len()]; members.len()],
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
                    shares.give(m, t, *partition);
                }
            }
        }
        // Topics with few readers first: the others have more to choose from.
        let mut order: Vec<usize> = (0..topics.len()).collect();
        order.sort_by_key(|&t| shares.readers[t].len());
        for t in order {
            for (partition, owned) in (0..).zip(&owned[t]) {
                let least = shares.readers[t].iter().min_by_key(|&&m| shares.loads[m]);
                if let (false, Some(&m)) = (*owned, least) {
                    shares.give(m, t, partition);
                }
            }
        }
        shares
    }

    fn give(&mut self, member: usize, topic: usize, partition: u32) {
        self.held[member][topic].push(partition);
        self.loads[member] += 1;
    }

    fn balance(mut self) -> Assignment {
        while let Some(way) = self.way() {
            for (from, topic, to) in way {
                // The last that it was given: what it has had longest it keeps.
                if let Some(partition) = self.held[from][topic].pop() {
                    self.loads[from] -= 1;
                    self.give(to, topic, partition);
                }
            }
        }
        let mut assignment = Assignment::new();
        for (member, held) in self.group.members.iter().zip(self.held) {
            let mine = assignment.entry(member.id).or_default();
            for (topic, partitions) in self.group.topics.iter().zip(held) {
                let named = |p| TopicPartition::new(&*topic.name, p);
                mine.extend(partitions.into_iter().map(named));
            }
        }
        assignment
    }

    /// The moves, as from, topic and to, of a shortest cost-reducing path, the last first, from
    /// the most loaded member that has one; to the least loaded that it leads to.
    fn way(&self) -> Option<Vec<(usize, usize, usize)>> {
        let mut starts: Vec<usize> = (0..self.loads.len()).collect();
        starts.sort_by_key(|&m| core::cmp::Reverse(self.loads[m]));
        starts.into_iter().find_map(|start| self.way_from(start))
    }

    fn way_from(&self, start: usize) -> Option<Vec<(usize, usize, usize)>> {
        // By member, from whom and with which topic the search came to it.
        let mut before: Vec<Option<(usize, usize)>> = vec![None; self.loads.len()];
        let mut queue = VecDeque::from([start]);
        let mut seen_topics = vec![false; self.readers.len()];
        let mut reached = vec![start];
        while let Some(from) = queue.pop_front() {
            for (topic, readers) in self.readers.iter().enumerate() {
                if self.held[from][topic].is_empty() || seen_topics[topic] {
                    continue;
                }
                seen_topics[topic] = true;
                for &to in readers {
                    if to != start && before[to].is_none() {
                        before[to] = Some((from, topic));
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
        let mut way = Vec::new();
        let mut to = end;
        while let Some((from, topic)) = before[to] {
            way.push((from, topic, to));
            to = from;
        }
        Some(way)
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
    fn who_comes_gets_its_share_and_nothing_else_moves() {
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
    fn a_way_over_a_member_between_is_found() {
        // The first reads a, the second a and b, the third b: what the first has too much goes to
        // the second, which gives of b to the third.
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
    fn what_is_owned_by_nobody_that_reads_it_is_given_anew() {
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
