//! Polls and commits of one member, checked against what the group had committed before.

use super::{Evenness, INTERVAL, Partition, Simulation, milliseconds, partition_of};
use ringlog::{Assignor, ConsumeError, FenceReason, GroupDescription, HoldBack, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

impl<A: Assignor + 'static, F: Fn() -> A> Simulation<A, F> {
    pub(super) fn poll(&mut self, i: usize) {
        let fenced = self.members[i].is_fenced();
        let owned = self.members[i].owned();
        let before = self.positions(&owned, Some(&self.members[i]));
        let member = &mut self.members[i];
        let gap = milliseconds() - member.polled;
        member.polled = milliseconds();
        let result = member.consumer.try_poll().map(|batch| {
            let at = batch.topic_partition().map(partition_of);
            let offsets: Vec<_> = batch.iter().map(|record| record.offset()).collect();
            for record in &batch {
                assert_eq!(record.value_bytes(), record.offset().to_ne_bytes());
            }
            (at, offsets, batch.lost())
        });
        match result {
            Err(ConsumeError::Fenced { reason, .. }) => {
                assert!(fenced && (member.replaced || !member.must_rejoin));
                assert_eq!(member.owned(), BTreeSet::new());
                match reason {
                    // Only members that stopped polling are expelled.
                    FenceReason::MaxPollInterval => assert!(member.must_rejoin || gap > INTERVAL),
                    FenceReason::InstanceId => member.replaced = true,
                    _ => panic!("{reason:?}"),
                }
                (member.must_rejoin, member.last_read) = (true, None);
            }
            Err(other) => panic!("{other}"),
            Ok((at, offsets, lost)) => {
                assert!(!fenced || member.must_rejoin, "a fenced member reads on");
                member.must_rejoin = false;
                let last = member.last_read.take();
                if !offsets.is_empty() {
                    member.last_read = at.clone();
                }
                self.check_own_commits(&before);
                self.check_batch(i, &before, last, at.as_ref(), &offsets, lost);
            }
        }
    }

    /// Checks a poll's batch. Its partition was owned before the poll, or was assigned by it.
    fn check_batch(
        &mut self,
        i: usize,
        before: &BTreeMap<Partition, u64>,
        last_read: Option<Partition>,
        at: Option<&Partition>,
        offsets: &[u64],
        lost: u64,
    ) {
        let member = &self.members[i];
        let auto = self.setup.auto_commit;
        // The batch of the previous poll is committed.
        if let Some(last) = last_read.filter(|_| auto) {
            assert_eq!(self.committed.get(&last), Some(&before[&last]));
        }
        if let Some(at) = at {
            assert!(member.owned().contains(at), "not its own");
        }
        for owned in member.owned() {
            let here = at == Some(&owned);
            let began = if here {
                offsets[0] - lost
            } else {
                member.position(&owned)
            };
            let eager = self.evenness != Evenness::Overall || is_eager(&(self.assignor)());
            let kept = before.get(&owned).filter(|&&p| p == began || !eager);
            if let Some(&position) = kept {
                assert_eq!(began, position, "{owned:?}: its own position has moved");
                continue;
            }
            // A new owner begins at the committed offset, or where the first owner began: nothing
            // committed is read again, and nothing is skipped.
            match self.committed.get(&owned).or(self.starts.get(&owned)) {
                Some(&start) => assert_eq!(began, start, "{owned:?}: begins elsewhere"),
                None => {
                    assert!(began <= self.bounds(&owned).0);
                    self.starts.insert(owned, began);
                }
            }
        }
        if let (Some(at), Some(&first), Some(&end)) = (at, offsets.first(), offsets.last()) {
            assert!(offsets.iter().copied().eq(first..=end), "{offsets:?}");
            assert_eq!(member.position(at), end + 1);
        }
        if self.setup.hold_back == HoldBack::Committed {
            assert_eq!(lost, 0, "overwritten");
        }
    }

    // ---- committing ---------------------------------------------------------------------

    pub(super) fn commit(&mut self, i: usize) {
        let fenced = self.members[i].is_fenced();
        let owned = self.members[i].owned();
        let positions = self.positions(&owned, Some(&self.members[i]));
        match self.members[i].consumer.commit() {
            Ok(()) => {
                assert!(!fenced);
                self.committed.extend(positions);
            }
            Err(ConsumeError::Fenced { .. }) => assert!(fenced),
            Err(other) => panic!("{other}"),
        }
    }

    pub(super) fn commit_offset(&mut self, i: usize, at: u8, to: u8) {
        let Some((i, at)) = self.pick_owned(i, at) else {
            return;
        };
        let (start, end) = self.bounds(&at);
        // Sometimes one past the end.
        let to = start + u64::from(to) % (end - start + 2);
        let member = &mut self.members[i];
        let fenced = member.is_fenced();
        let offset = (TopicPartition::new(&at.0, at.1), to);
        match member.consumer.commit_offsets([offset]) {
            Ok(()) => {
                assert!(!fenced && to <= end);
                self.committed.insert(at, to);
            }
            Err(ConsumeError::Fenced { .. }) => assert!(fenced),
            Err(ConsumeError::CommitPastEnd { log_end, .. }) => {
                assert_eq!((to, log_end), (end + 1, end));
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// After a step of the member that was at these positions: an automatic commit is of one of
    /// them.
    pub(super) fn check_own_commits(&mut self, before: &BTreeMap<Partition, u64>) {
        for (at, committed) in self.group_commits() {
            if self.committed.get(&at) != Some(&committed) {
                assert!(
                    self.setup.auto_commit,
                    "{at:?}: committed without auto-commit"
                );
                assert_eq!(before.get(&at), Some(&committed), "{at:?}");
                self.committed.insert(at, committed);
            }
        }
    }

    pub(super) fn group(&self) -> Option<GroupDescription> {
        self.broker.describe_group("g").ok()
    }

    pub(super) fn group_commits(&self) -> BTreeMap<Partition, u64> {
        let group = self.group();
        let all = group.iter().flat_map(|group| &group.partitions);
        all.filter_map(|p| Some((partition_of(&p.topic_partition), p.committed?)))
            .collect()
    }
}

fn is_eager(assignor: &dyn Assignor) -> bool {
    assignor.protocol() == ringlog::RebalanceProtocol::Eager
}
