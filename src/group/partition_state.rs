use super::gate::GroupGate;
use super::ownership::Ownership;
use crate::group::assignor::MemberId;
use crate::sync::Count;
use crate::topic::TopicShared;
use std::sync::Arc;

/// A partition in a group, by its topic's name.
pub(crate) type Key = (Arc<str>, u32);

/// What the group knows of one partition. It survives the group's members.
pub(crate) struct GroupPartition {
    pub(crate) topic: Arc<TopicShared>,
    /// Where the next owner begins, if anybody has begun yet.
    pub(crate) start: Option<u64>,
    /// `start` was committed, and is not just where the first owner began.
    is_committed: bool,
    /// Whose it is by the last assignment.
    pub(super) target: Option<MemberId>,
    /// Whose it is.
    pub(crate) owner: Option<(MemberId, Arc<Ownership>)>,
    /// Holds back what lies from `start` on, while nobody owns the partition.
    pub(super) gate: Option<GroupGate>,
    /// Offsets that went by its owners unread, one after another.
    pub(crate) lost: Arc<Count>,
}

impl GroupPartition {
    pub(super) fn new(topic: &Arc<TopicShared>) -> GroupPartition {
        GroupPartition {
            topic: topic.clone(),
            start: None,
            is_committed: false,
            target: None,
            owner: None,
            gate: None,
            lost: Arc::default(),
        }
    }

    pub(super) fn is_owned_by(&self, id: MemberId) -> bool {
        self.owner.as_ref().is_some_and(|(owner, _)| *owner == id)
    }

    /// What is committed now.
    pub(crate) fn committed(&self) -> Option<u64> {
        let ownership = self.owner.as_ref().and_then(|(_, t)| t.committed());
        ownership.or(self.start.filter(|_| self.is_committed))
    }

    /// Commits, with no owner.
    pub(super) fn commit(&mut self, partition: u32, offset: u64) {
        self.start = Some(offset);
        self.is_committed = true;
        if self.gate.is_none() {
            self.gate = GroupGate::join(self.topic.partition(partition));
        }
        if let Some(gate) = &mut self.gate {
            gate.go(offset);
        }
    }

    /// After a tenure that committed this: the next owner begins there.
    pub(super) fn end_ownership(&mut self, committed: Option<u64>) {
        if let Some(offset) = committed {
            self.start = Some(offset);
            self.is_committed = true;
        }
        self.owner = None;
    }
}

/// A partition that a member has come to own.
pub(crate) struct Grant {
    pub(crate) topic: Arc<TopicShared>,
    pub(crate) partition: u32,
    pub(crate) ownership: Arc<Ownership>,
    pub(crate) gate: Option<GroupGate>,
    /// Where it begins; `None` when nobody knows ([`OffsetReset::None`]).
    pub(crate) start: Option<u64>,
}

/// A partition that its owner gives back.
pub(crate) struct Returned {
    pub(crate) key: Key,
    pub(crate) ownership: Arc<Ownership>,
    pub(crate) gate: Option<GroupGate>,
}
