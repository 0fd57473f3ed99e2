//! A group's members, partitions and generation. `group/mod.rs` describes the protocol.
//!
//! All of it is read and written under the group's one lock (`Group::lock`). No code of the user
//! runs here.
//!
//! # Invariants
//!
//! - **G1** A partition has at most one owner. It gets an owner only in
//!   [`Coordinator::grant_unowned`], when it has none. It loses its owner only when the owner
//!   releases it ([`Coordinator::release`]) or is fenced off (`Coordinator::fence_off`). Both end
//!   the ownership first.
//! - **G2** Under `Backpressure`, what the group is to read again is held at all times. From the
//!   first grant of a partition on, one gate is in force. The owner has it while there is one;
//!   otherwise it rests in the [`GroupPartition`]. A new gate is in force before the old one is
//!   removed.
//! - **G3** A member that has something to do is signalled under the same lock that made it so.
//!
//! # Access rules
//!
//! "Locked" means: by a thread that holds the group's lock.
//!
//! | state | written by | read by |
//! |---|---|---|
//! | [`Coordinator`], [`Member`], [`GroupPartition`] | any thread, locked | any thread, locked |
//! | [`MemberSignals`]: `signal` | any thread, locked | its member: a hint at each poll, decisive after the fence of row P14 |
//! | [`MemberSignals`]: `polls` (the count, and where a wait began) | its member | other members, locked |
//! | [`Ownership`]: `committed` | the owner | any thread (row P14) |
//! | [`Ownership`]: `final_commit` | the fencing thread, once, locked | the owner, later |
//! | [`Ownership`]: `lost` | the owner, also once fenced off | any thread |
//! | [`GroupGate`] | the owner; without one any thread, locked. The fencing thread takes it off the list of holds | the same |
//!
//! The owner reads `final_commit` only after it has held the lock since it was fenced off.
//!
//! [`Ownership`]: crate::group::Ownership
//! [`GroupGate`]: crate::group::GroupGate

mod following;
mod hold_back;
mod members;
mod offsets;
mod partitions;

pub(crate) use offsets::OffsetChange;

use crate::error::{ConsumeError, FenceReason};
use crate::group::assignor::{
    self, Assignment, GroupMember, GroupView, MemberId, RebalanceProtocol, TopicView,
};
use crate::group::member::Member;
use crate::group::ownership::MemberSignals;
use crate::group::partition_state::{Grant, GroupPartition, PartitionKey, Revocation};
use crate::log::cursor::OffsetReset;
use crate::topic::{TopicPartition, TopicShared, TopicSubscription};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The state of one group.
pub(crate) struct Coordinator {
    name: Arc<str>,
    /// What the members have agreed on. Kept when the last member leaves.
    pub(super) assignor: Option<GroupAssignor>,
    pub(crate) generation: u64,
    pub(super) members: BTreeMap<MemberId, Member>,
    pub(crate) partitions: BTreeMap<PartitionKey, GroupPartition>,
    /// Whether producers have to wait for the group under `Backpressure` (`hold_back.rs`).
    pub(super) holds_back: bool,
    /// One for each topic that the group knows. Its inbox receives added partitions.
    subscriptions: Vec<TopicSubscription>,
    /// How many partitions the members' topics had when that was last looked at.
    partition_count: u64,
    next_id: u64,
    /// Counts the changes that make a new assignment due.
    changes: u64,
    /// The value of `changes` for which an assignment was last installed or refused.
    assigned_changes: u64,
}

/// The assignor that all members of a group use.
#[derive(PartialEq, Eq)]
pub(super) struct GroupAssignor {
    pub(super) name: String,
    protocol: RebalanceProtocol,
}

impl GroupAssignor {
    /// Its name, with the protocol where the name does not distinguish it from `other`.
    fn name_beside(&self, other: &GroupAssignor) -> String {
        match self.protocol {
            _ if self.name != other.name => self.name.clone(),
            RebalanceProtocol::Eager => format!("{} (eager)", self.name),
            RebalanceProtocol::Cooperative => format!("{} (cooperative)", self.name),
        }
    }
}

/// What a member has to do next.
pub(crate) enum RebalanceStep {
    /// Nothing.
    Done {
        generation: u64,
        /// The shortest `max_poll_interval` of any member; zero if no member has one.
        shortest_interval: Duration,
    },
    /// To give up everything: it was fenced off.
    FencedOff(FenceReason),
    /// To run its assignor on `group`, and to [`install`](Coordinator::install) the assignment.
    RunAssignor { change: u64, group: GroupView },
    /// To [`release`](Coordinator::release) these partitions.
    Release(Vec<Revocation>),
    /// To read these partitions, which it owns now.
    Take(Vec<Grant>),
}

impl Coordinator {
    pub(super) fn new(name: Arc<str>) -> Coordinator {
        Coordinator {
            name,
            assignor: None,
            generation: 0,
            members: BTreeMap::new(),
            partitions: BTreeMap::new(),
            holds_back: true,
            subscriptions: Vec::new(),
            partition_count: 0,
            next_id: 0,
            changes: 0,
            assigned_changes: 0,
        }
    }

    /// Makes a new assignment due, and signals all members.
    fn require_assignment(&mut self) {
        self.changes += 1;
        self.signal_all();
    }

    fn is_assignment_due(&self) -> bool {
        self.changes != self.assigned_changes
    }

    fn signal_all(&self) {
        for signals in self.members.values().filter_map(|m| m.signals.as_ref()) {
            signals.signal();
        }
    }

    fn is_all_released(&self) -> bool {
        self.partitions.values().all(|p| !p.is_owned())
    }

    /// Once the last partition is released, an eager assignor can run.
    fn signal_if_all_released(&self) {
        if self.is_assignment_due() && self.is_all_released() {
            self.signal_all();
        }
    }

    /// What this member has to do next. A poll calls it again until that is nothing.
    pub(crate) fn next_step(
        &mut self,
        id: MemberId,
        signals: &MemberSignals,
        reset: OffsetReset,
    ) -> RebalanceStep {
        if let Some(reason) = signals.fence_reason() {
            return RebalanceStep::FencedOff(reason);
        }
        self.take_found();
        self.take_added();
        let partition_count = self.count_partitions();
        if partition_count != self.partition_count {
            self.partition_count = partition_count;
            self.require_assignment();
        }
        let protocol = self.assignor.as_ref().map(|assignor| assignor.protocol);
        let eager = protocol == Some(RebalanceProtocol::Eager);
        let release_all = if self.is_assignment_due() {
            if !eager || self.is_all_released() {
                return RebalanceStep::RunAssignor {
                    change: self.changes,
                    group: self.view(),
                };
            }
            true
        } else {
            false
        };
        let revoked = self.partitions.iter().filter_map(|(key, partition)| {
            let is_revoked = release_all || partition.target != Some(id);
            let ownership = partition.ownership()?;
            (partition.owner() == Some(id) && is_revoked).then(|| Revocation {
                key: key.clone(),
                ownership: ownership.clone(),
            })
        });
        let revoked: Vec<_> = revoked.collect();
        if !revoked.is_empty() {
            return RebalanceStep::Release(revoked);
        }
        if !release_all {
            let grants = self.grant_unowned(id, reset);
            if !grants.is_empty() {
                return RebalanceStep::Take(grants);
            }
        }
        signals.clear();
        let intervals = self.members.values().map(|m| m.max_poll_interval);
        RebalanceStep::Done {
            generation: self.generation,
            shortest_interval: intervals.filter(|i| !i.is_zero()).min().unwrap_or_default(),
        }
    }

    /// How many partitions the topics of all members have.
    fn count_partitions(&self) -> u64 {
        let topics = self.members.values().flat_map(|m| &m.topics);
        let topics: BTreeMap<_, _> = topics.map(|t| (Arc::as_ptr(t), t)).collect();
        let open = topics.values().filter(|topic| !topic.is_deleted());
        open.map(|topic| u64::from(topic.partitions())).sum()
    }

    /// The group's state of this partition. A state that is still of an older topic of the same
    /// name is replaced.
    fn partition_of(&mut self, topic: &Arc<TopicShared>, partition: u32) -> &mut GroupPartition {
        let key = PartitionKey::new(topic, partition);
        let new = || GroupPartition::new(topic, partition, self.holds_back);
        let state = self.partitions.entry(key).or_insert_with(new);
        if !state.is_of(topic) {
            *state = new();
        }
        state
    }

    /// The error of a member that was fenced off, whose last generation was `generation`.
    pub(crate) fn fenced_error(&self, generation: u64, reason: FenceReason) -> ConsumeError {
        ConsumeError::Fenced {
            group: self.name.clone(),
            generation,
            current: self.generation,
            reason,
        }
    }

    /// The group as its assignor sees it.
    fn view(&self) -> GroupView {
        let mut topics = BTreeMap::new();
        for topic in self.members.values().flat_map(|m| &m.topics) {
            if !topic.is_deleted() {
                let name = topic.name().clone();
                let partitions = topic.partitions();
                topics.insert(name.clone(), TopicView { name, partitions });
            }
        }
        let mut owned: BTreeMap<MemberId, Vec<TopicPartition>> = BTreeMap::new();
        for (key, partition) in &self.partitions {
            if let Some(owner) = partition.owner().or(partition.target) {
                let owned = owned.entry(owner).or_default();
                owned.push(key.to_topic_partition());
            }
        }
        let members = self.members.iter().map(|(&id, member)| {
            let open = member.topics.iter().filter(|topic| !topic.is_deleted());
            GroupMember {
                id,
                instance_id: member.instance_id.clone(),
                topics: open.map(|topic| topic.name().clone()).collect(),
                owned: owned.remove(&id).unwrap_or_default(),
            }
        });
        let mut members: Vec<_> = members.collect();
        members.sort_by_key(|m| (m.instance_id.is_none(), m.instance_id.clone(), m.id));
        GroupView {
            topics: topics.into_values().collect(),
            members,
        }
    }

    /// Makes an assignment the group's next generation, unless the group has changed since the
    /// assignor's view of it was made. Returns whether it was installed.
    ///
    /// An invalid assignment is refused, and no other is requested before the next change.
    pub(crate) fn install(
        &mut self,
        change: u64,
        group: &GroupView,
        assignment: &Assignment,
    ) -> Result<bool, ConsumeError> {
        if self.changes != change || self.assigned_changes == change {
            return Ok(false);
        }
        self.assigned_changes = change;
        // Also if it is refused: the members of an eager group then take back what they had.
        self.signal_all();
        if let Err(reason) = assignor::check(group, assignment) {
            let name = self.assignor.as_ref().map(|assignor| assignor.name.clone());
            return Err(ConsumeError::BadAssignment {
                group: self.name.clone(),
                assignor: name.unwrap_or_default(),
                reason,
            });
        }
        self.generation += 1;
        for partition in self.partitions.values_mut() {
            partition.target = None;
        }
        for (&id, partitions) in assignment {
            let Some(member) = self.members.get(&id) else {
                continue;
            };
            let topics = member.topics.clone();
            for TopicPartition { topic, partition } in partitions {
                let mut open = topics.iter().filter(|topic| !topic.is_deleted());
                if let Some(topic) = open.find(|t| t.name() == topic) {
                    self.partition_of(topic, *partition).target = Some(id);
                }
            }
        }
        Ok(true)
    }
}
