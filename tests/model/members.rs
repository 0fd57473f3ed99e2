//! Operations of the members of a group.

use super::group::{Member, owner_and_commit};
use super::ops::{GroupOp, Leave, MEMBERS};
use super::reader::Expected;
use super::reads::compare;
use super::run::{Run, TOPIC};
use ringlog::{
    Assignor, ConsumeError, ConsumerConfig, CooperativeStickyAssignor, GroupDescription,
    OffsetReset, Overflow, RangeAssignor,
};
use std::collections::BTreeMap;

const GROUP: &str = "group";

/// Rounds in which every member polls, after which every partition has an owner.
const ROUNDS: usize = 4;

impl Run {
    pub(crate) fn group_step(&mut self, op: GroupOp) {
        match op {
            GroupOp::Join(i, reset, eager) => self.join_group(i, reset, eager),
            GroupOp::Poll(i) => self.poll_member(i),
            GroupOp::Round => (0..MEMBERS).for_each(|i| self.poll_member(i)),
            GroupOp::Commit(i) => self.commit(i),
            GroupOp::Seek(i, partition, share) => self.seek_member(i, partition, share),
            GroupOp::Leave(i, leave) => self.leave_group(i, leave),
        }
    }

    fn group(&self) -> GroupDescription {
        self.broker.describe_group(GROUP).unwrap()
    }

    fn join_group(&mut self, i: usize, reset: OffsetReset, eager: bool) {
        if self.group.members[i].is_some() {
            return;
        }
        let config = ConsumerConfig::new()
            .group(GROUP)
            .offset_reset(reset)
            .max_poll_records(self.setup.max_poll);
        let config = match eager {
            true => config.assignor(RangeAssignor),
            false => config.assignor(CooperativeStickyAssignor),
        };
        let mut consumer = self.broker.consumer(config).unwrap();
        let answer = consumer.subscribe([TOPIC]);
        let mut others = self.group.members.iter().flatten();
        if let Some(other) = others.find(|other| other.eager != eager) {
            let name = |eager| match eager {
                true => RangeAssignor.name().to_owned(),
                false => CooperativeStickyAssignor.name().to_owned(),
            };
            let refused = ConsumeError::OtherAssignor {
                group: GROUP.into(),
                assignor: name(other.eager),
                asked: name(eager),
            };
            assert_eq!(answer, Err(refused));
            return;
        }
        assert_eq!(answer, Ok(()));
        (self.group.exists, self.group.subscribed) = (true, true);
        self.group.members[i] = Some(Member {
            id: consumer.member_id().unwrap(),
            consumer,
            reset,
            eager,
            stale: false,
            last_read: None,
            lost: BTreeMap::new(),
        });
    }

    // ---- polling ------------------------------------------------------------------------

    fn poll_member(&mut self, i: usize) {
        let Some(mut member) = self.group.members[i].take() else {
            return;
        };
        let before = member.positions();
        member.stale = false;
        let generation = member.consumer.generation();
        self.group.take_added();
        let batch = member.consumer.try_poll().unwrap();
        let group = self.broker.describe_group(GROUP).unwrap();
        self.group.check_commits(&group, &before);
        let read = (!batch.is_empty()).then(|| batch.partition().unwrap() as usize);
        // An eager member returns all partitions before a new assignment.
        let reassigned = member.eager && generation != Some(group.generation);
        let mut rest = Vec::new();
        for (p, (state, log)) in self.group.partitions.iter_mut().zip(&self.log).enumerate() {
            let old = before.get(&p).copied();
            if let Some(position) = old.filter(|_| member.last_read == Some(p)) {
                // The batch of the previous poll is committed.
                assert_eq!(state.committed(), Some(position), "{p}");
                state.advance_gate(position);
            }
            let owner = owner_and_commit(&group, p).and_then(|(owner, _)| owner);
            let mine = owner == Some(member.id);
            let kept = old.filter(|_| mine && !reassigned);
            if old.is_some() && kept.is_none() {
                state.release();
            }
            if !mine {
                continue;
            }
            let from = kept.unwrap_or_else(|| {
                member.lost.remove(&p);
                state.acquire(member.id, member.reset, log)
            });
            let (start, missed) = (log.start(), log.start().saturating_sub(from));
            if read != Some(p) {
                let nothing = log.first_from(from.max(start)).is_none();
                assert!(read.is_some() || nothing, "{p} is not read");
                rest.push((p, from));
                continue;
            }
            let max = self.setup.max_poll as usize;
            let (records, next) = log.read(from.max(start), max).unwrap();
            state.deliver(log, records[0].0, next);
            let expected = Expected {
                cursor: 0,
                partition: p,
                records,
                lost: member.lost.remove(&p).unwrap_or(0) + missed,
            };
            compare(&batch, &expected);
            rest.push((p, next));
        }
        assert!(
            read.is_none_or(|read| rest.iter().any(|&(p, _)| p == read)),
            "read a partition that it does not own"
        );
        member.last_read = read;
        for (p, from) in rest {
            let (log, now) = (&self.log[p], member.position(p));
            if now != from {
                // It has moved past offsets without a record, or past overwritten ones.
                let begin = from.max(log.start());
                let passed = log.first_from(begin).is_none_or(|first| first >= now);
                assert!(
                    read != Some(p) && begin <= now && passed,
                    "{p}: {from} {now}"
                );
                *member.lost.entry(p).or_default() += begin - from;
            }
        }
        self.group.members[i] = Some(member);
        self.check_group();
    }

    // ---- commits, seeks, leaving --------------------------------------------------------

    fn commit(&mut self, i: usize) {
        let Some(member) = &mut self.group.members[i] else {
            return;
        };
        assert_eq!(member.consumer.commit(), Ok(()));
        for (p, position) in member.positions() {
            self.group.partitions[p].commit(position);
        }
    }

    /// Seeks to this share, in 1/255, of the retained offsets.
    fn seek_member(&mut self, i: usize, partition: u32, share: u8) {
        let p = self.in_range(partition);
        let Some(member) = &mut self.group.members[i] else {
            return;
        };
        if !member.positions().contains_key(&(p as usize)) {
            return;
        }
        let (log, consumer) = (&self.log[p as usize], &mut member.consumer);
        let (start, end) = (log.start(), log.end());
        let offset = start + (end - start) * u64::from(share) / 255;
        match share {
            0 => consumer.seek_to_beginning((TOPIC, p)),
            255 => consumer.seek_to_end((TOPIC, p)),
            _ => consumer.seek((TOPIC, p), offset),
        }
        .unwrap();
        self.group.partitions[p as usize].seek(offset);
        member.last_read = member.last_read.filter(|&read| read != p as usize);
    }

    fn leave_group(&mut self, i: usize, leave: Leave) {
        let Some(mut member) = self.group.members[i].take() else {
            return;
        };
        let before = member.positions();
        match leave {
            Leave::Drop => drop(member),
            Leave::Close => member.consumer.close(),
            Leave::Unsubscribe => {
                member.consumer.unsubscribe();
                assert_eq!(member.consumer.assignment(), []);
            }
        }
        let group = self.group();
        if leave == Leave::Drop {
            self.group.check_commits(&group, &BTreeMap::new());
        } else {
            self.group.check_commits(&group, &before);
        }
        for (p, position) in before {
            let state = &mut self.group.partitions[p];
            match leave {
                Leave::Drop => state.abandon(),
                _ => {
                    assert!(
                        state.was_sought() || state.begin() == Some(position),
                        "{state:?}"
                    );
                    state.release();
                }
            }
        }
    }

    /// The topic was deleted. Some members poll before it is created again, and get an error.
    pub(crate) fn group_is_refused(&mut self) {
        self.group.forget();
        for (i, member) in self.group.members.iter_mut().enumerate() {
            let Some(member) = member else { continue };
            member.stale = true;
            if i % 2 == 0 {
                let closed = ConsumeError::Closed {
                    topic: TOPIC.into(),
                };
                assert_eq!(member.consumer.try_poll().unwrap_err(), closed);
                assert_eq!(member.consumer.assignment(), []);
            }
        }
    }

    /// The topic was created again: every member subscribes to it.
    pub(crate) fn group_subscribes(&mut self) {
        for member in self.group.members.iter_mut().flatten() {
            member.consumer.subscribe([TOPIC]).unwrap();
            member.last_read = None;
            member.lost.clear();
            self.group.subscribed = true;
        }
    }

    // ---- invariants ---------------------------------------------------------------------

    /// A partition has at most one owner, commits are those of the reference, and no record that
    /// the group still needs is overwritten.
    pub(crate) fn check_group(&self) {
        if !self.group.exists {
            return;
        }
        let group = self.group();
        let mut owners = BTreeMap::new();
        for member in self.group.members.iter().flatten() {
            for p in member.positions().into_keys() {
                let other = owners.insert(p, member.id);
                assert_eq!(other, None, "partition {p} has two owners");
            }
        }
        for (p, (state, log)) in self.group.partitions.iter().zip(&self.log).enumerate() {
            let (owner, committed) = owner_and_commit(&group, p).unwrap_or_default();
            assert_eq!(owner, owners.get(&p).copied(), "{p}");
            assert_eq!((owner, committed), (state.owner, state.committed()), "{p}");
            if self.setup.overflow == Overflow::Backpressure {
                let next_needed = self.group.next_needed(p).unwrap_or(u64::MAX);
                assert!(log.is_kept_from(next_needed), "{p}: {state:?}");
            }
        }
    }

    /// At the end of a run, the group reads and commits every record.
    pub(crate) fn end_group(&mut self) {
        if !self.group.exists {
            return;
        }
        if self.group.members.iter().all(Option::is_none) {
            self.join_group(0, OffsetReset::Earliest, false);
        }
        let records: u64 = self.log.iter().map(|log| log.end() - log.start()).sum();
        for _ in 0..=ROUNDS as u64 + records {
            self.group_step(GroupOp::Round);
        }
        for (p, (state, log)) in self.group.partitions.iter().zip(&self.log).enumerate() {
            assert!(state.owner.is_some(), "{p} has no owner");
            let begin = state.begin().unwrap().max(log.start());
            assert_eq!(log.first_from(begin), None, "{p}: {state:?}");
        }
    }
}
