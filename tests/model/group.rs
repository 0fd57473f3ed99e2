//! The reference of a group: the owner, the committed offset and the hold-back of each partition.
//! The assignors decide the owners; the reference only observes them.

use super::ops::MEMBERS;
use super::reference::Partition;
use super::run::TOPIC;
use ringlog::{Consumer, GroupDescription, MemberId, OffsetReset};
use std::collections::BTreeMap;

/// The group's state of a partition.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GroupPartition {
    pub(crate) owner: Option<MemberId>,
    /// The offset at which the first owner began.
    first_begin: Option<u64>,
    committed: Option<u64>,
    /// The first offset, if the partition was added to a group that has not polled since.
    added: Option<u64>,
    /// The lowest offset that may be held back. It may be below the committed offset, because the
    /// gate advances with the polls.
    low: u64,
    /// The offset that the group must read next, if no owner has sought elsewhere.
    next: Option<u64>,
    /// The owner has sought elsewhere: the committed offset may move back.
    sought: bool,
}

pub(crate) struct Member {
    pub(crate) consumer: Consumer,
    pub(crate) id: MemberId,
    pub(crate) reset: OffsetReset,
    pub(crate) eager: bool,
    /// Its assignment is of a deleted topic, until its next poll.
    pub(crate) stale: bool,
    /// The partition that its last poll read, unless it has sought there since.
    pub(crate) last_read: Option<usize>,
    /// Lost records of each partition that no poll has reported yet.
    pub(crate) lost: BTreeMap<usize, u64>,
}

#[derive(Default)]
pub(crate) struct Group {
    pub(crate) partitions: Vec<GroupPartition>,
    pub(crate) members: [Option<Member>; MEMBERS],
    /// It has had members since the topic was created, and so reads partitions that are added.
    pub(crate) subscribed: bool,
    /// It has had members.
    pub(crate) exists: bool,
}

impl Member {
    /// The partitions that it owns, and its positions.
    pub(crate) fn positions(&self) -> BTreeMap<usize, u64> {
        let owned = self.consumer.assignment().into_iter();
        let owned = owned.filter(|_| !self.stale).map(|at| {
            let position = self.consumer.position((TOPIC, at.partition)).unwrap();
            (at.partition as usize, position)
        });
        owned.collect()
    }

    pub(crate) fn position(&self, partition: usize) -> u64 {
        self.consumer.position((TOPIC, partition as u32)).unwrap()
    }
}

impl Group {
    pub(crate) fn new(partitions: u32) -> Group {
        let partitions = vec![GroupPartition::default(); partitions as usize];
        Group {
            partitions,
            ..Group::default()
        }
    }

    /// The topic was deleted.
    pub(crate) fn forget(&mut self) {
        self.partitions.fill(GroupPartition::default());
        self.subscribed = false;
    }

    pub(crate) fn add(&mut self, first: u64) {
        let added = self.subscribed.then_some(first);
        self.partitions.push(GroupPartition {
            added,
            low: first,
            ..GroupPartition::default()
        });
    }

    /// At a poll: added partitions are read from their first offset, retained or not.
    pub(crate) fn take_added(&mut self) {
        for state in &mut self.partitions {
            if let Some(first) = state.added.take() {
                state.first_begin = Some(first);
            }
        }
    }

    /// Lower and upper bound of the offset from which a partition is held back.
    pub(crate) fn gate(&self, partition: usize, log: &Partition) -> Option<(u64, u64)> {
        let state = &self.partitions[partition];
        let high = self.next_needed(partition)?.max(log.start());
        Some((state.low.min(high), high))
    }

    /// The first offset that the group still needs to read.
    pub(crate) fn next_needed(&self, partition: usize) -> Option<u64> {
        let state = &self.partitions[partition];
        let begin = state.begin().or(state.added)?;
        let mut members = self.members.iter().flatten();
        let owner = members.find(|m| Some(m.id) == state.owner && !m.stale);
        Some(owner.map_or(begin, |owner| begin.min(owner.position(partition))))
    }

    /// Checks commits after a step of a member that was at `before`. Each is unchanged or at that
    /// member's position, and does not move back unless the member has sought.
    pub(crate) fn check_commits(
        &mut self,
        group: &GroupDescription,
        before: &BTreeMap<usize, u64>,
    ) {
        for (p, state) in self.partitions.iter_mut().enumerate() {
            let committed = owner_and_commit(group, p).and_then(|(_, committed)| committed);
            if committed != state.committed {
                assert_eq!(committed.as_ref(), before.get(&p), "{p}: {state:?}");
                assert!(
                    state.sought || committed > state.committed,
                    "{p}: {state:?}"
                );
                (state.committed, state.sought) = (committed, false);
            }
        }
    }
}

/// Owner and committed offset of a partition, as the group describes it.
pub(crate) fn owner_and_commit(
    group: &GroupDescription,
    partition: usize,
) -> Option<(Option<MemberId>, Option<u64>)> {
    let mut all = group.partitions.iter();
    let found = all.find(|p| p.topic_partition.partition as usize == partition)?;
    assert_eq!(&*found.topic_partition.topic, TOPIC);
    Some((found.owner, found.committed))
}

impl GroupPartition {
    /// The offset at which the next owner begins.
    pub(crate) fn begin(&self) -> Option<u64> {
        self.committed.or(self.first_begin)
    }

    pub(crate) fn committed(&self) -> Option<u64> {
        self.committed
    }

    /// A member becomes the owner; returns the offset at which it begins.
    pub(crate) fn acquire(&mut self, id: MemberId, reset: OffsetReset, log: &Partition) -> u64 {
        assert_eq!(self.owner, None, "{self:?}");
        self.owner = Some(id);
        let first = match reset {
            OffsetReset::Latest => log.end(),
            _ => log.start(),
        };
        self.first_begin.get_or_insert(first);
        self.reset_gate()
    }

    /// The owner returns the partition.
    pub(crate) fn release(&mut self) {
        self.owner = None;
        self.sought = false;
        self.reset_gate();
    }

    /// The owner is dropped: its last batch is read again.
    pub(crate) fn abandon(&mut self) {
        self.release();
        self.next = self.begin();
    }

    /// Moves the gate to the offset at which the next owner begins.
    fn reset_gate(&mut self) -> u64 {
        let begin = self.begin().unwrap();
        self.low = begin;
        begin
    }

    /// At the owner's next poll: the gate has advanced to its position.
    pub(crate) fn advance_gate(&mut self, position: u64) {
        self.low = self.low.max(position);
    }

    /// The owner commits.
    pub(crate) fn commit(&mut self, position: u64) {
        assert!(self.sought || self.committed.is_none_or(|c| c <= position));
        self.committed = Some(position);
        (self.low, self.sought) = (position, false);
    }

    /// The owner seeks.
    pub(crate) fn seek(&mut self, position: u64) {
        self.low = self.low.min(position);
        self.sought = true;
        self.next = None;
    }

    /// Whether the owner has sought since the last commit.
    pub(crate) fn was_sought(&self) -> bool {
        self.sought
    }

    /// The group reads a batch: it follows the batch before without a gap.
    pub(crate) fn deliver(&mut self, log: &Partition, first: u64, next: u64) {
        if let Some(due) = self.next {
            assert_eq!(
                log.first_from(due.max(log.start())),
                Some(first),
                "{self:?}"
            );
        }
        self.next = Some(next);
    }
}
