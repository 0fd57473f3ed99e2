//! What a group knows of one partition: its owner, the committed offset, and the resting gate.
//!
//! The coordinator changes it under the group's lock (`coordinator/mod.rs` has G1 and G2).

use super::gate::GroupGate;
use super::ownership::Ownership;
use crate::group::assignor::MemberId;
use crate::log::cursor::OffsetReset;
use crate::log::partition::Partition;
use crate::log::published_position::PublishedPosition;
use crate::sync::Count;
use crate::topic::{TopicPartition, TopicShared};
use std::sync::Arc;

/// The name of a partition in a group: its topic's name, and its number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PartitionKey {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: u32,
}

impl PartitionKey {
    pub(crate) fn new(topic: &TopicShared, partition: u32) -> PartitionKey {
        PartitionKey {
            topic: topic.name().clone(),
            partition,
        }
    }

    pub(crate) fn to_topic_partition(&self) -> TopicPartition {
        TopicPartition {
            topic: self.topic.clone(),
            partition: self.partition,
        }
    }
}

/// The member that owns a partition.
pub(super) struct Owner {
    pub(super) member: MemberId,
    pub(super) ownership: Arc<Ownership>,
}

/// What a group knows of one partition. It survives the group's members.
pub(crate) struct GroupPartition {
    topic: Arc<TopicShared>,
    partition: u32,
    /// The offset at which the next owner begins; `None` if there has been no owner yet.
    start: Option<u64>,
    /// `start` was committed. Otherwise it is where the first owner began.
    is_committed: bool,
    /// The member that the last assignment gives it to.
    pub(super) target: Option<MemberId>,
    owner: Option<Owner>,
    /// Holds what is retained from `start` on while the partition has no owner (G2).
    gate: Option<GroupGate>,
    /// Whether there is to be a gate under `Backpressure`.
    holds_back: bool,
    /// Offsets that its owners, one after another, have not read in time.
    lost: Arc<Count>,
    /// What the group has read, for readers that follow it (row P18 in `ownership.rs`).
    published: Arc<PublishedPosition>,
    /// Some reader follows the group in this partition.
    watched: bool,
}

impl GroupPartition {
    pub(super) fn new(
        topic: &Arc<TopicShared>,
        partition: u32,
        holds_back: bool,
    ) -> GroupPartition {
        GroupPartition {
            topic: topic.clone(),
            partition,
            start: None,
            is_committed: false,
            target: None,
            owner: None,
            gate: None,
            holds_back,
            lost: Arc::default(),
            published: Arc::new(PublishedPosition::new(topic.partition(partition).readers())),
            watched: false,
        }
    }

    /// The position to follow: everything before it was committed, or lies before the group's
    /// start.
    pub(super) fn watch(&mut self) -> Arc<PublishedPosition> {
        self.watched = true;
        if let Some(ownership) = self.ownership() {
            ownership.watch();
        }
        self.publish();
        self.published.clone()
    }

    /// Publishes where the group is, if that is watched. What a current ownership has committed is
    /// valid: it ends under the lock.
    fn publish(&self) {
        if let (true, Some(offset)) = (self.watched, self.committed().or(self.start)) {
            self.published.raise(offset);
        }
    }

    pub(crate) fn topic(&self) -> &Arc<TopicShared> {
        &self.topic
    }

    pub(super) fn log(&self) -> &Arc<Partition> {
        self.topic.partition(self.partition)
    }

    /// Whether it is of this very topic, and not of another one of the same name.
    pub(super) fn is_of(&self, topic: &Arc<TopicShared>) -> bool {
        Arc::ptr_eq(&self.topic, topic)
    }

    pub(super) fn is_owned(&self) -> bool {
        self.owner.is_some()
    }

    pub(super) fn owner(&self) -> Option<MemberId> {
        self.owner.as_ref().map(|owner| owner.member)
    }

    pub(crate) fn ownership(&self) -> Option<&Arc<Ownership>> {
        self.owner.as_ref().map(|owner| &owner.ownership)
    }

    /// The committed offset.
    pub(crate) fn committed(&self) -> Option<u64> {
        let by_owner = self.ownership().and_then(|current| current.committed());
        by_owner.or(self.start.filter(|_| self.is_committed))
    }

    /// Where the next owner would begin if there were one now; `None` if there has been no owner yet
    /// and nothing was committed.
    pub(super) fn next_offset(&self) -> Option<u64> {
        self.committed().or(self.start)
    }

    /// How many offsets its owners have not read in time.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.get()
    }

    /// Sets where the first owner begins, and what holds the partition until then. For a partition
    /// that was added while the group was subscribed to its topic.
    pub(super) fn begin_at(&mut self, start: u64, gate: Option<GroupGate>) {
        if self.start.is_none() {
            (self.gate, self.start) = (gate, Some(start));
            self.publish();
        }
    }

    /// Makes a member the owner of a partition that has none (G1). The resting gate passes to the
    /// owner.
    pub(super) fn grant(&mut self, member: MemberId, reset: OffsetReset) -> Grant {
        let mut gate = self.gate.take();
        match &mut gate {
            Some(gate) => gate.skip_deleted(),
            None => gate = self.new_gate(),
        }
        if self.start.is_none() {
            self.start = initial_offset(self.log(), reset, &mut gate);
        }
        self.publish();
        let (published, watched) = (&self.published, self.watched);
        let ownership = Ownership::new(gate.as_ref(), &self.lost, published, watched);
        let ownership = Arc::new(ownership);
        self.owner = Some(Owner {
            member,
            ownership: ownership.clone(),
        });
        Grant {
            topic: self.topic.clone(),
            partition: self.partition,
            ownership,
            gate,
            start: self.start,
        }
    }

    /// Ends an ownership by the owner's own call, with the gate that the owner had. Returns
    /// `false` if it has ended already.
    pub(super) fn release(&mut self, ownership: &Arc<Ownership>, gate: Option<GroupGate>) -> bool {
        let current = self.ownership();
        if !current.is_some_and(|current| Arc::ptr_eq(current, ownership)) {
            return false;
        }
        self.owner = None;
        self.set_start(ownership.committed());
        self.hold_for_next_owner(gate);
        true
    }

    /// Ends the ownership of a member that was fenced off, if it is the owner.
    pub(super) fn fence_off(&mut self, member: MemberId) {
        let Some(Owner { ownership, .. }) = self.owner.take_if(|owner| owner.member == member)
        else {
            return;
        };
        self.set_start(ownership.end_fenced_off());
        // G2: the new gate is in force before the old one leaves the list.
        self.hold_for_next_owner(None);
        ownership.remove_gate(self.log());
    }

    /// Commits for a partition without an owner.
    pub(super) fn commit_unowned(&mut self, offset: u64) {
        self.set_start(Some(offset));
        let gate = self.gate.take();
        self.hold_for_next_owner(gate);
    }

    /// Commits where the policy begins, and holds what is retained from there on. For a partition
    /// of which the group knows nothing yet.
    pub(super) fn commit_reset(&mut self, policy: OffsetReset) {
        let mut gate = self.new_gate();
        self.set_start(initial_offset(self.log(), policy, &mut gate));
        self.gate = gate;
    }

    /// Commits an offset in a partition without an owner. `gate` is in force, and holds from there
    /// on.
    pub(super) fn set_offset(&mut self, offset: u64, gate: Option<GroupGate>) {
        self.set_start(Some(offset));
        self.gate = gate;
    }

    /// The next owner begins at what was committed, if anything was.
    fn set_start(&mut self, committed: Option<u64>) {
        if let Some(offset) = committed {
            self.start = Some(offset);
            self.is_committed = true;
            self.publish();
        }
    }

    /// A gate at the log start, if there is to be one.
    fn new_gate(&self) -> Option<GroupGate> {
        let log = self.holds_back.then(|| self.log());
        log.and_then(GroupGate::join)
    }

    /// Holds what lies from the group's start on, or nothing any more. For a group without members.
    pub(super) fn set_hold_back(&mut self, holds_back: bool) {
        self.holds_back = holds_back;
        self.gate = None;
        if holds_back && self.start.is_some() && !self.is_owned() {
            self.hold_for_next_owner(None);
        }
    }

    /// Holds a partition without an owner from where the next owner begins (G2): by `gate`, or by
    /// a new one.
    fn hold_for_next_owner(&mut self, gate: Option<GroupGate>) {
        let mut gate = gate.or_else(|| self.new_gate());
        if let (Some(gate), Some(start)) = (&mut gate, self.start) {
            gate.hold_from(start);
        }
        self.gate = gate;
    }
}

/// The group forgets the partition.
impl Drop for GroupPartition {
    fn drop(&mut self) {
        self.published.end();
    }
}

/// Where a group begins in a partition that it has not read yet. It keeps that offset, so no
/// member skips what comes between the first owner's first poll and its first commit.
fn initial_offset(
    log: &Partition,
    reset: OffsetReset,
    gate: &mut Option<GroupGate>,
) -> Option<u64> {
    match (gate, reset) {
        (Some(gate), _) => gate.reset(reset),
        (None, OffsetReset::Earliest) => Some(log.log_start_offset()),
        (None, OffsetReset::Latest) => Some(log.log_end_offset()),
        (None, OffsetReset::None) => None,
    }
}

/// A partition that a member has come to own.
pub(crate) struct Grant {
    pub(crate) topic: Arc<TopicShared>,
    pub(crate) partition: u32,
    pub(crate) ownership: Arc<Ownership>,
    pub(crate) gate: Option<GroupGate>,
    /// Where the owner begins; `None` if the group has no offset and [`OffsetReset::None`] gives
    /// none.
    pub(crate) start: Option<u64>,
}

/// A partition that its owner is to release.
pub(crate) struct Revocation {
    pub(crate) key: PartitionKey,
    pub(crate) ownership: Arc<Ownership>,
}

/// A partition that its owner releases, with the gate that the owner had.
pub(crate) struct ReleasedPartition {
    pub(crate) key: PartitionKey,
    pub(crate) ownership: Arc<Ownership>,
    pub(crate) gate: Option<GroupGate>,
}
