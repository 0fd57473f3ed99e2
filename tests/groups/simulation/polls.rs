//! Polls of one member, checked against what the group had committed before.

use super::{
    BatchCommit, LONG_INTERVAL, Member, Partition, Simulation, milliseconds, partition_of,
};
use ringlog::{
    Assignor, Batch, ConsumeError, FenceReason, GroupDescription, HoldBack, RebalanceProtocol,
};
use std::collections::{BTreeMap, BTreeSet};
use std::task::Poll;
use std::time::Duration;

/// What the tests keep of a batch.
#[derive(Debug)]
struct Read {
    at: Option<Partition>,
    offsets: Vec<u64>,
    lost: u64,
    /// What was committed while it was held.
    committed: Option<u64>,
}

impl Read {
    fn new(batch: &Batch<'_>, commit: BatchCommit) -> Read {
        for record in batch {
            assert_eq!(record.value_bytes(), record.offset().to_ne_bytes());
        }
        Read {
            at: batch.topic_partition().map(partition_of),
            offsets: batch.iter().map(|record| record.offset()).collect(),
            lost: batch.lost(),
            committed: commit.apply(batch),
        }
    }
}

/// What was known of a member before its poll.
struct Before {
    fenced: bool,
    gap: u64,
    positions: BTreeMap<Partition, u64>,
    ends: BTreeMap<Partition, u64>,
    moved: BTreeSet<Partition>,
    generation: Option<u64>,
    /// What the group had committed.
    committed: BTreeMap<Partition, u64>,
    /// The member waits in a future that nothing has woken.
    unwoken: bool,
    live: usize,
}

impl<A: Assignor + 'static, F: Fn() -> A> Simulation<A, F> {
    pub(super) fn poll(&mut self, i: usize, commit: BatchCommit) {
        let before = self.before(i);
        let member = &mut self.members[i];
        member.waits = None;
        // A patient member waits for several records, for no time to speak of.
        let result = match member.interval == LONG_INTERVAL {
            true => member.consumer.poll(Duration::from_nanos(1)),
            false => member.consumer.try_poll(),
        };
        let result = result.map(|batch| Read::new(&batch, commit));
        self.polled(
            i,
            before,
            result.map(|read| Some(read).filter(|r| !r.offsets.is_empty())),
        );
    }

    /// A poll of the member's task: a new future, or the one that was kept.
    pub(super) fn poll_task(&mut self, i: usize, kept: bool) {
        let before = self.before(i);
        let unwoken = before
            .unwoken
            .then(|| (before.live, before.positions.clone()));
        let member = &mut self.members[i];
        let answer = member.poll_once(kept, |batch| Read::new(&batch, BatchCommit::Nothing));
        if let Some((live, positions)) = unwoken.filter(|(live, _)| *live == self.live_members()) {
            // What it looked up by itself: dead members, of which there are none, and the end.
            let ended = matches!(answer, Poll::Ready(Err(ConsumeError::Closed { .. })));
            assert!(
                ended || answer.is_pending(),
                "not woken: {answer:?}, {live} members"
            );
            let member = &self.members[i];
            assert_eq!(self.positions(&member.owned(), member), positions);
        }
        match answer {
            Poll::Pending => self.polled(i, before, Ok(None)),
            Poll::Ready(Ok(read)) => {
                assert!(!read.offsets.is_empty());
                self.polled(i, before, Ok(Some(read)));
            }
            Poll::Ready(Err(error)) => self.polled(i, before, Err(error)),
        }
    }

    fn before(&mut self, i: usize) -> Before {
        let fenced = self.members[i].is_fenced();
        let member = &self.members[i];
        let owned = member.owned();
        // Waiting is polling.
        let gap = match &member.waits {
            Some(_) => 0,
            None => milliseconds() - member.polled,
        };
        Before {
            fenced,
            gap,
            positions: self.positions(&owned, member),
            ends: owned
                .iter()
                .map(|at| (at.clone(), self.bounds(at).1))
                .collect(),
            moved: member.moved.clone(),
            generation: member.consumer.generation(),
            committed: self.committed.clone(),
            unwoken: member
                .waits
                .as_ref()
                .is_some_and(|wakes| wakes.count() == 0),
            live: self.live_members(),
        }
    }

    fn live_members(&self) -> usize {
        self.group().map_or(0, |group| group.members.len())
    }

    fn polled(&mut self, i: usize, before: Before, result: Result<Option<Read>, ConsumeError>) {
        let member = &mut self.members[i];
        member.polled = milliseconds();
        if let Err(ConsumeError::Fenced { reason, .. }) = result {
            assert!(before.fenced && (member.replaced || !member.must_rejoin));
            assert_eq!(member.owned(), BTreeSet::new());
            match reason {
                // Only members that stopped polling are expelled.
                FenceReason::MaxPollInterval => assert!(before.gap > member.interval),
                FenceReason::InstanceId => member.replaced = true,
                _ => panic!("{reason:?}"),
            }
            member.must_rejoin = true;
            member.forget();
            self.disturbances += 1;
            return;
        }
        assert!(
            !before.fenced || member.must_rejoin,
            "a fenced member reads on"
        );
        member.must_rejoin = false;
        member.moved.clear();
        let held = match &result {
            Ok(Some(read)) => read.at.clone().zip(read.committed),
            _ => None,
        };
        self.check_commits(&before.positions, &before.moved, held);
        let empty = result.as_ref().is_ok_and(Option::is_none);
        match result {
            Ok(read) => self.check_batch(i, &before, read),
            Err(ConsumeError::Closed { topic }) => {
                self.check_batch(i, &before, None);
                self.check_end(i, &topic);
            }
            Err(other) => panic!("{other}"),
        }
        if empty {
            self.check_no_end(i);
        }
    }

    /// Checks a poll's batch. Its partition was owned before the poll, or was assigned by it.
    fn check_batch(&mut self, i: usize, before: &Before, read: Option<Read>) {
        let member = &mut self.members[i];
        let owned = member.owned();
        let regranted =
            is_eager(&(self.assignor)()) && member.consumer.generation() != before.generation;
        if regranted {
            member.paused.clear();
            member.sought.clear();
            member.skipped.clear();
        }
        member.skipped.retain(|at, _| owned.contains(at));
        // A poll that finds nothing has tried all.
        let tried = |at: &Partition| match &read {
            Some(read) => read.at.as_ref() == Some(at),
            None => !member.paused.contains(at),
        };
        member.sought.retain(|at| owned.contains(at) && !tried(at));
        member.paused.retain(|at| owned.contains(at));
        if owned.iter().ne(before.positions.keys()) || regranted {
            self.disturbances += 1;
            // The end of a topic is not reported again for a partition that was granted again.
            member.due_again.clear();
        }
        let at = read.as_ref().and_then(|read| read.at.clone());
        if let Some(at) = &at {
            assert!(owned.contains(at), "not its own");
            assert!(!self.members[i].paused.contains(at), "{at:?} is paused");
        }
        for owned in &owned {
            let first = read.as_ref().filter(|_| at.as_ref() == Some(owned));
            let first = first.map(|read| read.offsets[0]);
            self.check_begin(i, owned, before, first, regranted);
        }
        if let (Some(read), Some(at)) = (read, at) {
            let (first, last) = (read.offsets[0], *read.offsets.last().unwrap());
            assert!(read.offsets.iter().copied().eq(first..=last), "{read:?}");
            assert_eq!(self.members[i].position(&at), last + 1);
            if let Some(skipped) = self.members[i].skipped.insert(at.clone(), 0) {
                assert_eq!(read.lost, skipped, "{at:?}: {read:?}");
            }
            self.committed
                .extend(read.committed.map(|offset| (at.clone(), offset)));
            self.members[i].moved.insert(at);
        }
    }

    /// Checks where a poll has begun in a partition: at `first`, or without a record of it at the
    /// position that it has left.
    fn check_begin(
        &mut self,
        i: usize,
        at: &Partition,
        before: &Before,
        first: Option<u64>,
        regranted: bool,
    ) {
        let reached = first.unwrap_or_else(|| self.members[i].position(at));
        let began = self.retained(at, reached);
        let position = before.positions.get(at).copied();
        if let Some(position) = position {
            // A position past the end is set back to the start, once it is polled.
            let set_back = position > before.ends[at] && began == self.bounds(at).0;
            if set_back || began == self.retained(at, position) {
                if regranted {
                    self.members[i].skipped.remove(at);
                } else if !set_back {
                    self.check_skipped(at, position, reached);
                    if let Some(skipped) = self.members[i].skipped.get_mut(at) {
                        *skipped += reached - position;
                    }
                }
                return;
            }
            assert!(regranted, "{at:?}: {position} moved to {began}");
        }
        // A new owner begins at the committed offset, or where the first owner began: nothing
        // committed is read again, and nothing is skipped.
        let committed = match position {
            Some(_) => self.committed.get(at).copied(),
            None => before.committed.get(at).copied(),
        };
        match committed.or(self.starts.get(at).copied()) {
            Some(start) => {
                let start = self.retained(at, start);
                assert_eq!(began, start, "{at:?}: begins elsewhere");
            }
            None => {
                assert!(began <= self.bounds(at).0);
                self.starts.insert(at.clone(), began);
            }
        }
        if let Some(committed) = committed {
            self.check_skipped(at, committed, reached);
        }
        // A poll may take several steps of the protocol. What was skipped before the partition was
        // granted once more is in the group's count alone.
        let skipped = &mut self.members[i].skipped;
        if committed == Some(reached) {
            skipped.insert(at.clone(), 0);
        } else {
            skipped.remove(at);
        }
    }

    /// A poll has skipped what was deleted, and nothing else where the group holds that back.
    fn check_skipped(&self, at: &Partition, from: u64, to: u64) {
        if from < to && self.setup.hold_back == HoldBack::Committed {
            let deleted = self.deleted.get(at).copied();
            assert!(deleted >= Some(to), "{at:?}: {from} to {to} overwritten");
        }
    }

    // ---- the end of a closed topic ------------------------------------------------------

    /// Whether the member has read what it has of a topic; without a partition of it, whether the
    /// group has committed all.
    pub(super) fn has_read_its_part(&self, member: &Member, topic: &str) -> bool {
        let owned = member.owned();
        let mut owned = owned.iter().filter(|at| at.0 == topic).peekable();
        if owned.peek().is_some() {
            return owned.all(|at| self.retained(at, member.position(at)) >= self.bounds(at).1);
        }
        let mut all = (0..self.topic(topic).partitions()).map(|p| (topic.to_owned(), p));
        all.all(|at| {
            let next = self.committed.get(&at).or(self.starts.get(&at));
            self.retained(&at, next.copied().unwrap_or(0)) >= self.bounds(&at).1
        })
    }

    /// The member got the end of this topic: once, unless something has happened since or all its
    /// topics have ended.
    fn check_end(&mut self, i: usize, topic: &str) {
        assert!(self.topic(topic).is_closed());
        assert!(
            self.has_read_its_part(&self.members[i], topic),
            "{topic}: not read"
        );
        let disturbances = self.disturbances;
        let member = &mut self.members[i];
        assert!(member.topics.contains(&topic));
        let finished = member.consumer.is_finished();
        member.due_again.remove(topic);
        let last = member.ended.insert(topic.to_owned(), disturbances);
        assert!(
            finished || last != Some(disturbances),
            "{topic}: its end came twice"
        );
        let all = member.topics.iter().all(|t| member.ended.contains_key(*t));
        assert!(!finished || all, "finished before the end");
    }

    /// The member got nothing, and no end. A poll without a wait need not look for the ends of
    /// topics of which the member has no partitions, while it has others.
    fn check_no_end(&mut self, i: usize) {
        let member = &self.members[i];
        let owned = member.owned();
        for topic in &member.topics {
            let looked = owned.is_empty() || owned.iter().any(|at| at.0 == *topic);
            let waits = member.waits.is_some();
            if self.topic(topic).is_closed() && !member.has_end(topic) && (looked || waits) {
                assert!(!self.has_read_its_part(member, topic), "{topic}: no end");
            }
        }
    }

    // ---- automatic commits --------------------------------------------------------------

    /// After a step of the member that was at these positions: an automatic commit is of one of
    /// them, and a position that had moved is committed, unless it is past the end.
    pub(super) fn check_own_commits(
        &mut self,
        before: &BTreeMap<Partition, u64>,
        moved: &BTreeSet<Partition>,
    ) {
        self.check_commits(before, moved, None);
    }

    /// The same if the application has committed of the batch that the step returned. That commit
    /// is checked here, but it is added only by `check_batch`.
    fn check_commits(
        &mut self,
        before: &BTreeMap<Partition, u64>,
        moved: &BTreeSet<Partition>,
        held: Option<(Partition, u64)>,
    ) {
        let mut commits = self.group_commits();
        if let Some((at, offset)) = held {
            assert_eq!(commits.remove(&at), Some(offset), "{at:?}: of a batch");
            let automatic = moved.contains(&at) && self.setup.auto_commit;
            let old = before.get(&at).filter(|_| automatic);
            let old = old.filter(|old| **old <= self.bounds(&at).1);
            let old = old.or(self.committed.get(&at)).copied();
            commits.extend(old.map(|old| (at, old)));
        }
        for (at, &committed) in &commits {
            if self.committed.get(at) != Some(&committed) {
                assert!(
                    self.setup.auto_commit,
                    "{at:?}: committed without auto-commit"
                );
                let allowed = match before.get(at) {
                    // A waiting poll may commit what it has set back or has skipped.
                    Some(&position) => [position, self.retained(at, position), self.bounds(at).0],
                    None => [self.retained(at, 0); 3],
                };
                let from = before.get(at);
                assert!(
                    allowed.contains(&committed),
                    "{at:?}: {committed}, {from:?}"
                );
            }
        }
        for at in moved.iter().filter(|_| self.setup.auto_commit) {
            let position = before.get(at).copied().unwrap_or(u64::MAX);
            if position <= self.bounds(at).1 {
                let committed = commits.get(at).copied();
                let skipped = Some(self.retained(at, position));
                assert!(
                    committed == Some(position) || committed == skipped,
                    "{at:?}: {committed:?} was committed at {position}"
                );
            }
        }
        // What was sought by a member counts for the others once it is committed.
        let went_back = |(at, offset): (&Partition, &u64)| self.committed.get(at) > Some(offset);
        if commits.iter().any(went_back) {
            self.disturbances += 1;
        }
        self.committed = commits;
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
    assignor.protocol() == RebalanceProtocol::Eager
}
