//! Invariants that hold after every step, and what holds once the members have settled.

use super::promises::Shares;
use super::{BatchCommit, INSTANCE_IDS, Joining, Member, ROUNDS, Simulation, partition_of};
use ringlog::Assignor;
use std::collections::{BTreeMap, BTreeSet};

impl<A: Assignor + 'static, F: Fn() -> A> Simulation<A, F> {
    pub(super) fn check_invariants(&mut self) {
        self.steps += 1;
        assert_eq!(self.group_commits(), self.committed);
        self.check_lag();
        self.check_waiting();
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
            self.join(Joining {
                name: Some(name as u8),
                topic: None,
                patient: false,
            });
        }
        for _ in 0..ROUNDS {
            for i in 0..self.members.len() {
                self.poll(i, BatchCommit::Nothing);
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
        self.check_shares(&live);
    }

    /// Every partition is with the member that the last assignment gave it to, so that all that
    /// was checked of the assignment holds for the members.
    fn check_shares(&self, live: &[&Member]) {
        let shares = live.iter().map(|member| {
            let id = member.consumer.member_id().unwrap();
            (id, member.consumer.assignment().into_iter().collect())
        });
        let shares: Shares = shares.collect();
        let mut record = self.last_assignment.lock().unwrap();
        for (id, owned) in &shares {
            let given = record.last.get(id).cloned().unwrap_or_default();
            assert_eq!(*owned, given, "{id} has other partitions than given");
        }
        record.settled = true;
    }

    /// At the end of a run, the members that are left read and commit every record, and get the
    /// ends of their topics.
    pub(super) fn end(mut self) {
        if self.members.iter().all(|m| m.replaced) {
            self.join(Joining {
                name: None,
                topic: None,
                patient: false,
            });
        }
        self.settle();
        self.resume_all();
        self.read_all();
        for i in 0..self.members.len() {
            self.commit(i);
        }
        self.check_invariants();
        for member in self.members.iter().filter(|m| !m.replaced) {
            for at in member.owned() {
                assert_eq!(self.committed.get(&at), Some(&self.bounds(&at).1), "{at:?}");
            }
        }
        (0..self.topics.len()).for_each(|topic| self.close(topic));
        for _ in 0..ROUNDS {
            for i in 0..self.members.len() {
                self.poll_task(i, false);
            }
        }
        for member in self.members.iter().filter(|m| !m.replaced) {
            assert!(member.consumer.is_finished(), "the end does not come");
        }
    }

    fn resume_all(&mut self) {
        for member in &mut self.members {
            for at in std::mem::take(&mut member.paused) {
                member.consumer.resume((&*at.0, at.1)).unwrap();
            }
        }
    }

    fn read_all(&mut self) {
        for _ in 0..600 {
            for i in 0..self.members.len() {
                self.poll(i, BatchCommit::Nothing);
            }
            let live = self.members.iter().filter(|m| !m.replaced);
            let mut owned = live.flat_map(|m| m.owned().into_iter().map(move |at| (m, at)));
            if owned.all(|(m, at)| m.position(&at) == self.bounds(&at).1) {
                return;
            }
        }
        panic!("the end is never read");
    }
}
