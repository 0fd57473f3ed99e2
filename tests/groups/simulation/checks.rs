//! Invariants that hold after every step, and what holds once the members have settled.

use super::{Evenness, INSTANCE_IDS, Member, ROUNDS, Simulation, partition_of};
use ringlog::Assignor;
use std::collections::{BTreeMap, BTreeSet};

impl<A: Assignor + 'static, F: Fn() -> A> Simulation<A, F> {
    pub(super) fn check_invariants(&mut self) {
        assert_eq!(self.group_commits(), self.committed);
        let Some(group) = self.group() else { return };
        let owners = group.partitions.iter();
        let owners: BTreeMap<_, _> = owners
            .filter_map(|p| Some((partition_of(&p.topic_partition), p.owner?)))
            .collect();
        let mut owned = BTreeMap::new();
        for member in &mut self.members {
            if member.is_fenced() {
                continue;
            }
            let id = member.consumer.member_id().unwrap();
            for at in member.owned() {
                let twice = owned.insert(at.clone(), id);
                assert_eq!(twice, None, "{at:?} has two owners");
            }
        }
        assert_eq!(owned, owners);
    }

    /// Every member polls for some rounds: then every partition has an owner, evenly spread.
    pub(super) fn settle(&mut self) {
        // A static member that was dropped comes back: its partitions are kept for it.
        let Some(group) = self.group() else { return };
        let gone = group.members.iter().filter(|m| !m.is_live);
        let gone: Vec<_> = gone.filter_map(|m| m.instance_id.clone()).collect();
        for name in gone {
            let name = INSTANCE_IDS.iter().position(|n| *n == name).unwrap();
            self.join(Some(name as u8), None);
        }
        for _ in 0..ROUNDS {
            for i in 0..self.members.len() {
                self.poll(i);
                self.check_invariants();
            }
        }
        let live: Vec<_> = self.members.iter().filter(|m| !m.replaced).collect();
        let read: BTreeSet<_> = live.iter().flat_map(|m| &m.topics).collect();
        let all = read.iter().flat_map(|topic| {
            let partitions = self.topic(topic).partitions();
            (0..partitions).map(|p| (topic.to_string(), p))
        });
        let owned: BTreeSet<_> = live.iter().flat_map(|m| m.owned()).collect();
        assert_eq!(owned, all.collect(), "not everything has an owner");
        if live.iter().all(|m| m.topics == live[0].topics) {
            let loads = |topic: Option<&str>| {
                let of = |m: &&Member| {
                    let owned = m.owned();
                    let counts = owned.iter().filter(|at| topic.is_none_or(|t| at.0 == t));
                    counts.count()
                };
                live.iter().map(of).collect::<Vec<_>>()
            };
            let even = |loads: Vec<usize>| {
                let (least, most) = (loads.iter().min(), loads.iter().max());
                let apart = most.unwrap_or(&0) - least.unwrap_or(&0);
                assert!(apart <= 1, "{loads:?}");
            };
            match self.evenness {
                Evenness::Overall => even(loads(None)),
                Evenness::InEachTopic => read.iter().for_each(|topic| even(loads(Some(topic)))),
            }
        }
    }

    /// At the end of a run, the members that are left read and commit every record.
    pub(super) fn end(mut self) {
        if self.members.iter().all(|m| m.replaced) {
            self.join(None, None);
        }
        self.settle();
        if self.members.iter().any(|m| m.paused) {
            return;
        }
        for _ in 0..600 {
            for i in 0..self.members.len() {
                self.poll(i);
            }
            let group = self.group().unwrap();
            let owned = group.partitions.iter().filter(|p| p.owner.is_some());
            let live = self.members.iter().filter(|m| !m.replaced);
            let mut positions = live.flat_map(|m| m.owned().into_iter().map(|at| m.position(&at)));
            let ends: BTreeMap<_, _> = owned
                .map(|p| (partition_of(&p.topic_partition), p.log_end))
                .collect();
            if positions.by_ref().sum::<u64>() == ends.values().sum() {
                for i in 0..self.members.len() {
                    self.commit(i);
                }
                self.check_invariants();
                assert!(
                    ends.iter()
                        .all(|(at, end)| self.committed.get(at) == Some(end))
                );
                return;
            }
        }
        panic!("the end is never read");
    }
}
